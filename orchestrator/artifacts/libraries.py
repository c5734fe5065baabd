"""Codecs of other libraries' classes; a library is imported only once an annotation names one of them."""

from __future__ import annotations

from orchestrator.artifacts.codec import Codec
from orchestrator.artifacts.errors import UnsupportedType
from orchestrator.authoring.table import is_table

_SPARSE = {"scipy.spmatrix", "scipy.sparray"}
_MIXINS = {
    "sklearn.ClassifierMixin",
    "sklearn.RegressorMixin",
    "sklearn.TransformerMixin",
    "sklearn.ClusterMixin",
}


def library_codec(hint: object, cls: type, names: set[str], label: str) -> Codec | None:
    """The codec of a class by the names of itself and its bases, None for a class of no known library."""
    if is_table(cls):
        from orchestrator.artifacts.codecs.frames import ColumnsCodec

        return ColumnsCodec(label, cls.columns)
    if f"{cls.__module__.partition('.')[0]}.{cls.__name__}" in ("pandas.DataFrame", "pandas.Series"):
        from orchestrator.artifacts.codecs.frames import FrameCodec, SeriesCodec

        return FrameCodec() if cls.__name__ == "DataFrame" else SeriesCodec()
    if "pyarrow.Table" in names:
        from orchestrator.artifacts.codecs.tables import TableCodec

        return TableCodec()
    if cls.__module__ == "numpy" and cls.__name__ == "ndarray":
        from orchestrator.artifacts.codecs.arrays import ArrayCodec, scalar_of

        return ArrayCodec(label, scalar_of(hint))
    if "numpy.generic" in names:
        from orchestrator.artifacts.codecs.arrays import numpy_scalar_codec

        return numpy_scalar_codec(cls)
    if names & _SPARSE:
        from orchestrator.artifacts.codecs.arrays import SparseCodec

        return SparseCodec(label, cls)
    if "matplotlib.Figure" in names:
        from orchestrator.artifacts.codecs.figures import FigureCodec

        return FigureCodec(label, cls)
    if "sklearn.BaseEstimator" in names or names & _MIXINS:
        from orchestrator.artifacts.codecs.estimators import EstimatorCodec

        _check_trust(cls, label)
        return EstimatorCodec(label, cls)
    return None


def _check_trust(cls: type, label: str) -> None:
    """Say before anything is fitted that an estimator of this class could not be loaded again."""
    from orchestrator.artifacts.trust import Use, advice, is_trusted  # late: it reads the settings

    if not cls.__module__.startswith("sklearn.") and not is_trusted(
        cls.__module__, cls.__name__, Use.INSTANCE
    ):
        raise UnsupportedType(
            f"{label} cannot be stored: its type is not trusted",
            hint=advice([f"{cls.__module__}.{cls.__name__}"]),
        )
