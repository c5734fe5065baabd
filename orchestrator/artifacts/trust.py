"""The types that a stored estimator may contain: our own list, never one that stands beside the model."""

from __future__ import annotations

from collections.abc import Sequence

from orchestrator.settings import settings

#: Plain data and pure functions of scikit-learn that skops does not trust by itself. Trees and neighbour
#: indexes are among them: a file that somebody altered could make them read beyond their arrays, but never
#: run code, and a model's digest is checked before it is loaded.
REVIEWED = (
    "numpy.dtype",
    "scipy.interpolate._bsplines.BSpline",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.feature_selection._univariate_selection.f_classif",
    "sklearn.feature_selection._univariate_selection.f_regression",
    "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.metrics._dist_metrics.EuclideanDistance64",
    "sklearn.metrics._dist_metrics.ManhattanDistance64",
    "sklearn.metrics._dist_metrics.MinkowskiDistance64",
    "sklearn.neighbors._ball_tree.BallTree",
    "sklearn.neighbors._kd_tree.KDTree",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.tree._tree.Tree",
)


def trusted_types() -> Sequence[str]:
    """What may be loaded beside skops' own list; `ORCHESTRATOR_TRUSTED_TYPES` adds to it."""
    return [*REVIEWED, *settings().trusted_types]
