"""Participation ratio: the number of directions that hold the variance of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import no_options
from .._metric.score import Score, make_outcome
from .._metric.spec import TASKS_OF_METRICS, MetricSpec
from .._scoring.score_features import score_one
from .._stats.stats import Stats
from ..health._null import describe_null
from ..health._spectrum import participation_ratio_of_stats

__all__ = ["participation_ratio"]


def participation_ratio(
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the participation ratio of the covariance as a score; labels are not read.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`; at least two rows.
    labels : array-like, optional
        Without effect on the value; checked, and described in the result by its `task`.
    task, precision, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        :math:`(\sum_k \lambda_k)^2 / \sum_k \lambda_k^2` of the eigenvalues of the covariance, as
        :func:`transferability.health.participation_ratio`; `per_target` is empty. It is a
        diagnostic: that higher is better has no evidence across architectures, so "all" and
        consensuses leave it out.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single row.

    References
    ----------
    Gao et al. (2017). A theory of multineuronal dimensionality, dynamics and measurement. bioRxiv.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(1000, 16)) * ([1] * 8 + [0] * 8)
    >>> print(f"{tx.participation_ratio(features):.1f}")
    7.9
    """
    return score_one(
        "participation_ratio",
        features,
        labels,
        {},
        task=task,
        precision=precision,
        n_threads=n_threads,
    )


def compute(stats: Stats, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Compute the participation ratio of statistics."""
    value = participation_ratio_of_stats(stats)
    warnings = ["no feature varies: the participation ratio is 0"] if value == 0 else []
    return make_outcome(value, {"bound": min(stats.n_samples - 1, stats.n_features)}, warnings)


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    return [
        "It is the number of directions of equal variance with the same ratio of the squared sum "
        f"to the sum of squares of eigenvalues; at most min(rows - 1, features) = {score.bound}.",
        *describe_null(score),
    ]


WHEN = "In how few directions most of the variance lies; between checkpoints of one training."
SPEC = MetricSpec(
    "participation_ratio",
    no_options,
    explain,
    WHEN,
    title="Participation ratio",
    summary="squared sum over sum of squares of the eigenvalues of the covariance",
    needs=("stats",),
    tasks=TASKS_OF_METRICS,
    cost="N D min(N, D)",
    source="Gao et al. 2017",
    diagnostic=True,
    compute=compute,
)
