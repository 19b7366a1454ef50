"""Regularized H-score: the H-score with Ledoit-Wolf shrinkage."""

from __future__ import annotations

from .._metric.options import no_options
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from .h_score import explain

__all__ = ["regularized_h_score"]


def regularized_h_score(
    features: object,
    labels: object,
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
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`.
    labels : array-like of shape (n_samples,)
        Classes: integers, strings or booleans.
    task : {"auto", "classification"}, default="auto"
        As in :func:`transferability.logme`.
    precision : {"double", "single"}, default="double"
        As in :func:`transferability.logme`.
    method : {"auto", "tridiagonal", "svd"}, default="auto"
        As in :func:`transferability.logme`.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    score : Score
        Without unit, from 0 to (n_classes - 1) n_samples / (n_samples - 1); higher is better.
        Its `per_target` has the part of each class, which add up to it; `shrinkage` is the
        estimate, from 0 to 1.

    Raises
    ------
    DataError
        Wrong shapes, NaN or infinity (with row and column), features whose fourth powers leave
        the range of float64.
    DtypeError
        Object, string or complex features, sparse or masked arrays.

    Warns
    -----
    TransferabilityWarning
        With one class or constant features, where the score is 0.

    Notes
    -----
    The estimate needs the fourth moments of the rows' lengths only, which statistics hold, so
    that it is exact for any split into blocks.

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
    return score_one(
        "regularized_h_score",
        features,
        labels,
        {},
        task=task,
        precision=precision,
        method=method,
        n_threads=n_threads,
    )


SPEC = MetricSpec(
    name="regularized_h_score",
    options=no_options,
    explain=explain,
    when="H-score for many features or few samples: shrinkage keeps it from saturating.",
)
