"""Regularized H-score: the H-score with Ledoit-Wolf shrinkage."""

from __future__ import annotations

from .._inputs.types import ArrayLike
from .._metric.options import no_options
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from .h_score import explain

__all__ = ["regularized_h_score"]


def regularized_h_score(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
) -> Score:
    """Compute the H-score with Ledoit-Wolf shrinkage of the features' covariance.

    The same as :func:`transferability.h_score` with ``shrinkage="ledoit-wolf"``.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; classes only.
    task, precision, method, n_threads
        As in :func:`transferability.h_score`.

    Returns
    -------
    score : Score
        Without unit, from 0 to (n_classes - 1) n_samples / (n_samples - 1); higher is better; 0,
        with a warning, for one class or constant features. It is the sum of `per_target`, the
        parts of the classes. `shrinkage` is the estimate, from 0 to 1.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; features whose fourth powers overflow float64.

    Notes
    -----
    The estimate needs the fourth moments of the rows' norms only, which statistics hold, so that it
    is exact for any split into blocks.

    References
    ----------
    Ibrahim, Ponomareva, Mazumder (2022). Newer is not always better: Rethinking transferability
    metrics, their peculiarities, stability and performance. ECML-PKDD.

    Ledoit, Wolf (2004). A well-conditioned estimator for large-dimensional covariance matrices.
    Journal of Multivariate Analysis 88.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(60, 90))
    >>> labels = features[:, :3].argmax(axis=1)
    >>> score = tx.regularized_h_score(features, labels)
    >>> 0 < score < 2 and 0 < score.shrinkage < 1
    True
    """
    settings = {"precision": precision, "method": method, "n_threads": n_threads}
    return score_one("regularized_h_score", features, labels, {}, task=task, **settings)


WHEN = "H-score for many features or few samples: shrinkage keeps it from saturating."
SPEC = MetricSpec("regularized_h_score", no_options, explain, WHEN)
