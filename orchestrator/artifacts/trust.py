"""What a stored estimator may be made of: our own rules, never a list that stands beside the model.

A skops file names things, and it chooses how each of them is used. That is why a rule speaks of a thing and
its use: a class that is plain data when it is given its attributes may do something when it is called.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Iterable
from enum import Enum, auto
from typing import Final

from orchestrator.settings import settings


class Use(Enum):
    """What reading a file does with a name."""

    INSTANCE = auto()  #: makes an object without calling its class, and gives it its attributes
    FUNCTION = auto()  #: hands a function on to an object, which may call it with the data
    TYPE = auto()  #: hands a class on to an object
    BINDING = auto()  #: makes a function of another one, which is judged by itself, and of arguments
    MAKING = auto()  #: calls it with what else is in the file


#: Kinds of scikit-learn's classes, by their bases: plain data, which skops does not trust by itself. Trees
#: and neighbour indexes are among them: a file that somebody altered could make them read beyond their
#: arrays, but never run code, and a model's digest is checked before it is loaded.
_KINDS: Final = frozenset(
    {
        "sklearn._loss.loss.BaseLoss",
        "sklearn.base.BaseEstimator",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.cluster._bisect_k_means._BisectingTree",
        "sklearn.compose._column_transformer.make_column_selector",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.Kernel",
        "sklearn.metrics._dist_metrics.DistanceMetric",
        "sklearn.metrics._scorer._BaseScorer",
        "sklearn.metrics._scorer._MultimetricScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.BaseCrossValidator",
        "sklearn.model_selection._split.BaseShuffleSplit",
        "sklearn.model_selection._split._RepeatedSplits",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.BaseOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
    }
)

#: The same of other libraries, by name: these have no common base, or are not installed everywhere.
_INSTANCES: Final = frozenset(
    {
        "scipy.interpolate._bsplines.BSpline",
        "lightgbm.basic.Booster",
        *(f"lightgbm.sklearn.LGBM{kind}" for kind in ("Classifier", "Model", "Ranker", "Regressor")),
        "xgboost.core.Booster",
        *(
            f"xgboost.sklearn.XGB{kind}"
            for kind in ("Classifier", "Model", "RFClassifier", "RFRegressor", "Ranker", "Regressor")
        ),
    }
)

#: Modules whose public functions compute something from what they are given, and do nothing else.
_PURE_MODULES: Final = (
    "sklearn.feature_selection",
    "sklearn.metrics",
    "sklearn.preprocessing",
)
_FUNCTIONS: Final = frozenset(
    {
        *(f"numpy.{name}" for name in ("clip", "max", "mean", "median", "min", "nan_to_num", "round", "sum")),
        *(f"sklearn.metrics.pairwise.{name}_kernel" for name in ("chi2", "laplacian", "linear")),
        *(f"sklearn.metrics.pairwise.{name}_kernel" for name in ("polynomial", "rbf", "sigmoid")),
        *(
            f"sklearn.feature_extraction.text.strip_{what}"
            for what in ("accents_ascii", "accents_unicode", "tags")
        ),
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "sklearn.cluster._kmeans._kmeans_single_elkan",
        "sklearn.cluster._kmeans._kmeans_single_lloyd",
        "sklearn.utils.validation.check_array",
    }
)

_TYPES: Final = frozenset(
    {
        "collections.OrderedDict",
        "sklearn.tree._tree.Tree",
        *(f"numpy.{kind}" for kind in ("floating", "generic", "inexact", "integer", "number")),
        *(f"numpy.{kind}" for kind in ("character", "flexible", "signedinteger", "unsignedinteger")),
    }
)

#: Containers, which may be called with anything.
_MADE: Final = frozenset(
    {
        "numpy.dtype",
        "sklearn.utils._bunch.Bunch",
        *(
            f"scipy.sparse._{form}.{form}_{kind}"
            for form in ("bsr", "coo", "csc", "csr", "dia")
            for kind in ("array", "matrix")
        ),
    }
)

#: What a person may fit: the base of scikit-learn's estimators, and its mixins.
_ESTIMATORS: Final = frozenset(
    {"sklearn.base.BaseEstimator"}
    | {f"sklearn.base.{kind}Mixin" for kind in ("Classifier", "Cluster", "Regressor", "Transformer")}
)


def is_trusted(module: str, name: str, use: Use) -> bool:
    """Whether a file may use this thing in this way; skops trusts some more by itself."""
    full = f"{module}.{name}"
    if full in settings().trusted_types:
        # A function that somebody trusts is meant to be given data, not what a file calls it with.
        return use in (Use.FUNCTION, Use.INSTANCE) or inspect.isclass(_found(module, name))
    match use:
        case Use.INSTANCE:
            return full in _INSTANCES or _is_data(module, name) or _is_own_estimator(module, name)
        case Use.FUNCTION:
            return full in _FUNCTIONS or _is_pure_function(module, name)
        case Use.TYPE:
            return full in _TYPES or _is_data(module, name)
        case Use.BINDING:
            return full == "functools.partial"
        case Use.MAKING:
            return full in _MADE


def own_packages() -> frozenset[str]:
    """The top-level packages of the pipelines, as far as the settings name them."""
    return frozenset(module.partition(".")[0] for module in settings().modules)


def advice(names: Iterable[str]) -> str:
    """What to do about things that are not trusted."""
    own = any(name.partition(".")[0] in own_packages() for name in names)
    kinds = "Of the pipelines' own packages estimators (BaseEstimator) are trusted, and no functions. "
    return (
        f"{kinds if own else ''}If you trust them, and all who can write to the store, add "
        f"{','.join(sorted(names))} to the setting ORCHESTRATOR_TRUSTED_TYPES (comma-separated) of the "
        "workers and of whoever loads the model."
    )


def _is_data(module: str, name: str) -> bool:
    """Whether it is one of scikit-learn's classes that are plain data."""
    return module.startswith("sklearn.") and not _KINDS.isdisjoint(_bases(module, name))


def _is_own_estimator(module: str, name: str) -> bool:
    """Whether it is an estimator of the pipelines' own packages. Their other classes, and what they have only
    imported, may do what nobody has meant for a file to do."""
    return module.partition(".")[0] in own_packages() and not _ESTIMATORS.isdisjoint(_bases(module, name))


def _is_pure_function(module: str, name: str) -> bool:
    home = next((home for home in _PURE_MODULES if module == home or module.startswith(f"{home}.")), None)
    if home is None or name not in importlib.import_module(home).__all__:
        return False
    found = _found(module, name)
    return inspect.isfunction(found) and found is _found(home, name)


def _bases(module: str, name: str) -> frozenset[str]:
    """A class that is defined in this module, and its bases, by full name; empty for anything else."""
    found = _found(module, name)
    if not inspect.isclass(found) or found.__module__ != module:
        return frozenset()
    return frozenset(f"{base.__module__}.{base.__name__}" for base in found.__mro__)


def _found(module: str, name: str) -> object:
    """What a module has under a name. Only packages that are trusted are looked into, and none of their
    modules that are no part of a model."""
    if any(part.startswith("__") or part in ("conftest", "externals", "tests") for part in module.split(".")):
        return None
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
