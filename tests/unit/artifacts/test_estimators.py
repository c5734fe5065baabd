"""Estimators: skops files that only hold trusted types."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, VotingClassifier
from sklearn.feature_selection import SelectKBest, f_classif
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, WhiteKernel
from sklearn.linear_model import LinearRegression, LogisticRegression, TweedieRegressor
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, scale
from sklearn.tree import DecisionTreeClassifier

from orchestrator.artifacts import (
    ArtifactStore,
    StoreError,
    UntrustedTypes,
    WrongValue,
    decode,
    encode,
    unsupported,
)
from orchestrator.artifacts.codecs.estimators import check_storable
from orchestrator.settings import settings

from .skops_files import edited, rename

X = np.arange(12.0).reshape(6, 2)
Y = np.array([0, 0, 0, 1, 1, 1])


class Mine(BaseEstimator):
    def fit(self, *_: object) -> Mine:
        self.seen_ = True
        return self


MINE = f"{Mine.__module__}.Mine"


@pytest.mark.parametrize("hint", [BaseEstimator, Pipeline, make_pipeline(StandardScaler()).__class__])
def test_a_fitted_estimator_comes_back_and_predicts_the_same(hint: object, store: ArtifactStore) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
    back: Any = decode(encode(model, hint, store), hint, store)
    assert type(back) is Pipeline
    np.testing.assert_array_equal(back.predict_proba(X), model.predict_proba(X))


def test_an_estimator_is_stored_under_its_mixin_too(store: ArtifactStore) -> None:
    back = decode(encode(LogisticRegression(), ClassifierMixin, store), ClassifierMixin, store)
    assert isinstance(back, LogisticRegression)


def test_another_class_is_refused_on_both_ways(store: ArtifactStore) -> None:
    with pytest.raises(WrongValue, match="is LinearRegression; annotated LogisticRegression"):
        encode(LinearRegression(), LogisticRegression, store)
    with pytest.raises(WrongValue, match="is LinearRegression; annotated LogisticRegression"):
        decode(encode(LinearRegression(), BaseEstimator, store), LogisticRegression, store)


def test_trees_are_trusted_by_the_reviewed_list(store: ArtifactStore) -> None:
    model = DecisionTreeClassifier(random_state=0).fit(X, Y)
    back: Any = decode(encode(model, BaseEstimator, store), BaseEstimator, store)
    np.testing.assert_array_equal(back.predict(X), model.predict(X))


def test_untrusted_types_are_refused_when_stored(store: ArtifactStore, trust: Callable[[str], None]) -> None:
    with pytest.raises(UntrustedTypes, match=MINE) as caught:
        encode(Mine().fit(), BaseEstimator, store)
    assert "ORCHESTRATOR_TRUSTED_TYPES" in str(caught.value.hint)


def test_types_of_the_setting_are_trusted_and_only_while_it_names_them(
    store: ArtifactStore, trust: Callable[[str], None]
) -> None:
    trust(f"other.Type, {MINE}")
    tree = encode(Mine().fit(), BaseEstimator, store)
    assert isinstance(decode(tree, BaseEstimator, store), Mine)
    trust("")
    with pytest.raises(UntrustedTypes, match=MINE) as caught:
        decode(tree, BaseEstimator, store)
    assert str(tree["digest"]) in str(caught.value)
    assert "ORCHESTRATOR_TRUSTED_TYPES" in str(caught.value.hint)


def test_a_class_and_a_function_of_ones_own_need_trust(
    store: ArtifactStore, trust: Callable[[str], None]
) -> None:
    for model, name in (
        (Mine().fit(), r"test_estimators\.Mine"),
        (FunctionTransformer(subprocess.run), r"subprocess\.run"),
    ):
        with pytest.raises(UntrustedTypes, match=name):
            encode(model, BaseEstimator, store)


def test_a_file_with_untrusted_types_put_there_by_others_never_loads(
    store: ArtifactStore, trust: Callable[[str], None]
) -> None:
    evil = store.put(skops.io.dumps(FunctionTransformer(subprocess.run)))
    with pytest.raises(UntrustedTypes, match=r"subprocess\.run"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


@pytest.mark.parametrize("data", [b"", b"nothing", b"\x80\x04K\x01."])
def test_a_blob_that_is_no_model_is_one_clear_error(data: bytes, store: ArtifactStore) -> None:
    with pytest.raises(StoreError, match="is no estimator that can be read"):
        decode({"codec": "estimator", "digest": store.put(data)}, BaseEstimator, store)


def test_what_skops_cannot_store_is_refused(store: ArtifactStore) -> None:
    model = LogisticRegression()
    model.generator_ = (number for number in range(3))
    with pytest.raises(WrongValue, match="is a LogisticRegression that skops cannot store"):
        encode(model, BaseEstimator, store)


FIT = """
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from orchestrator.artifacts import ArtifactStore, encode
X, y = np.arange(12.0).reshape(6, 2), np.array([0, 0, 0, 1, 1, 1])
model = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, y)
print(encode(model, type(model), ArtifactStore("memory://"))["digest"])
"""


def test_equal_models_have_equal_digests_in_every_process(store: ArtifactStore) -> None:
    def digest() -> object:
        return encode(make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y), Pipeline, store)[
            "digest"
        ]

    elsewhere = subprocess.check_output(
        [sys.executable, "-c", FIT], text=True, env={"PYTHONHASHSEED": "7"}
    ).strip()
    assert digest() == digest() == elsewhere


# What is trusted of scikit-learn, of others, and of the pipelines' own packages

TABLE = pd.DataFrame({"number": X[:, 0], "word": ["a", "b"] * 3})


BY_KIND = make_column_transformer(
    (StandardScaler(), make_column_selector(dtype_include=np.number)),
    (OneHotEncoder(), make_column_selector(dtype_include="str")),
)
SEARCH = GridSearchCV(
    LogisticRegression(), {"C": [1, 2]}, scoring=make_scorer(f1_score), cv=StratifiedKFold(2)
)


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(BY_KIND, LogisticRegression()),
        SEARCH,
        make_pipeline(SelectKBest(f_classif, k=1), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.log1p), FunctionTransformer(scale), LinearRegression()),
        GaussianProcessRegressor(RBF() + WhiteKernel()),
        TweedieRegressor(power=1.5),
        VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())]),
        make_pipeline(FeatureAgglomeration(), LinearRegression()),
        KNeighborsClassifier(1, metric="chebyshev", algorithm="kd_tree"),
        CalibratedClassifierCV(LogisticRegression(), method="temperature", cv=2),
        HistGradientBoostingClassifier(max_iter=2, categorical_features=[0]),
    ],
    ids=lambda model: type(getattr(model, "steps", [(0, model)])[0][1]).__name__,
)
def test_what_is_scikit_learns_own_data_and_arithmetic_is_trusted(model: Any, store: ArtifactStore) -> None:
    by_kind = getattr(model, "steps", [(0, None)])[0][1] is BY_KIND
    rows = TABLE if by_kind else X
    model.fit(rows, Y)
    back: Any = decode(encode(model, BaseEstimator, store), BaseEstimator, store)
    assert type(back) is type(model)
    np.testing.assert_array_equal(back.predict(rows), model.predict(rows))


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("lightgbm", "LGBMClassifier"),
        ("lightgbm", "LGBMRegressor"),
        ("xgboost", "XGBClassifier"),
        ("xgboost", "XGBRFRegressor"),
    ],
)
def test_boosted_trees_of_others_come_back(library: str, name: str, store: ArtifactStore) -> None:
    others = pytest.importorskip(library)
    rows = np.repeat(X, 10, axis=0)
    model = getattr(others, name)(n_estimators=3).fit(rows, np.repeat(Y, 10))
    for each in (model, make_pipeline(StandardScaler(), model)):
        back: Any = decode(encode(each, BaseEstimator, store), BaseEstimator, store)
        assert type(back) is type(each)
    back = decode(encode(model, BaseEstimator, store), BaseEstimator, store)
    np.testing.assert_array_equal(back.predict(rows), model.predict(rows))


OWN = """
from subprocess import run
from sklearn.base import BaseEstimator, TransformerMixin
class Scale(TransformerMixin, BaseEstimator):
    def __init__(self, by=2): self.by = by
    def fit(self, X, y=None): return self
    def transform(self, X): return X * self.by
class Helper:
    def fit(self, *_): return self
def clean(X): return X
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: Callable[[str], None]) -> Iterator[Any]:
    """A module beside the pipelines of a package of somebody's own."""
    (tmp_path / "acme_own").mkdir()
    for name, code in (("__init__", ""), ("flows", ""), ("models", OWN)):
        (tmp_path / "acme_own" / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ORCHESTRATOR_PIPELINES", "acme_own.flows")
    settings.cache_clear()
    yield importlib.import_module("acme_own.models")
    for name in ("acme_own", "acme_own.models"):
        sys.modules.pop(name, None)


def test_estimators_of_the_pipelines_own_packages_are_trusted(own: Any, store: ArtifactStore) -> None:
    model = make_pipeline(own.Scale(3), LogisticRegression()).fit(X, Y)
    back: Any = decode(encode(model, BaseEstimator, store), BaseEstimator, store)
    assert back.steps[0][1].by == 3


def test_nothing_else_of_the_pipelines_own_packages_is_trusted(own: Any, store: ArtifactStore) -> None:
    for model, name in (
        (FunctionTransformer(own.clean), "acme_own.models.clean"),
        (FunctionTransformer(own.run), "subprocess.run"),
        (Pipeline([("helper", own.Helper())]), "acme_own.models.Helper"),
    ):
        with pytest.raises(UntrustedTypes, match=name) as caught:
            encode(model, BaseEstimator, store)
        assert ("no functions" in str(caught.value.hint)) == name.startswith("acme_own")


def test_a_module_of_ones_own_does_not_make_trusted_what_it_imports(own: Any, store: ArtifactStore) -> None:
    data = skops.io.dumps(FunctionTransformer(own.run))
    evil = store.put(edited(data, lambda schema: rename(schema, "subprocess", "run", "acme_own.models")))
    with pytest.raises(UntrustedTypes, match=r"acme_own\.models\.run"):
        decode({"codec": "estimator", "digest": evil}, BaseEstimator, store)


def test_an_annotation_that_names_an_untrusted_estimator_is_refused_at_submission(
    trust: Callable[[str], None],
) -> None:
    assert f"{MINE} to the setting ORCHESTRATOR_TRUSTED_TYPES" in str(unsupported(Mine))
    assert unsupported(BaseEstimator) is unsupported(Pipeline) is unsupported(ClassifierMixin) is None
    trust(MINE)
    assert unsupported(list[Mine]) is None


def test_what_may_be_stored_is_known_before_it_is_fitted(trust: Callable[[str], None]) -> None:
    check_storable(make_pipeline(StandardScaler(), LogisticRegression()))
    with pytest.raises(UntrustedTypes, match=MINE):
        check_storable(make_pipeline(StandardScaler(), Mine()))
