"""LiDAR: the effective rank of differences between samples beside those between their views."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .._inputs.arguments import name_arguments
from .._inputs.types import ArrayLike
from .._metric.options import no_options
from .._metric.score import Score, make_outcome
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one
from .._stats.stats import Stats
from ..health._lidar import rank_of_samples
from ..health._null import describe_null

__all__ = ["lidar"]


def lidar(
    features: ArrayLike,
    samples: ArrayLike,
    *,
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute LiDAR as a score: the effective rank of linear discriminants between samples.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`; rows are augmented views of samples.
    samples : array-like of shape (n_samples,)
        Names the sample of which each row is a view; in :func:`transferability.score` these are the
        labels, with ``task="classification"``. Class labels give another number, the rank of the
        differences between classes.
    precision, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        As :func:`transferability.health.lidar`, at most about `bound`, min(C - 1, n_features) for C
        samples; `variance` is the mean variance of a feature, `per_target` is empty. It is a
        diagnostic: that higher is better has no evidence across architectures, so "all" and
        consensuses leave it out.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; fewer than two samples; one row of each sample only.

    References
    ----------
    Thilak et al. (2024). LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL
    Architectures. ICLR.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> samples = np.arange(200).repeat(10)
    >>> images = rng.normal(size=(200, 32)) * ([1] * 8 + [0] * 24)  # differ in 8 directions
    >>> print(f"{tx.lidar(images[samples] + 0.01 * rng.normal(size=(2000, 32)), samples):.0f}")
    8
    """
    with name_arguments(labels="samples"):
        return score_one(
            "lidar",
            features,
            samples,
            {},
            task="classification",
            precision=precision,
            n_threads=n_threads,
        )


def compute(stats: Stats, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Compute LiDAR of statistics whose classes are the samples."""
    found = rank_of_samples(stats, n_threads)
    warnings = list(found.warnings)
    if found.value == 0:
        warnings.append("the means of all samples are equal: LiDAR is 0")
    bound = min(len(stats.class_counts or ()) - 1, stats.n_features)
    variance = float(np.trace(stats.covariance())) / stats.n_features
    return make_outcome(found.value, {"bound": bound, "variance": variance}, warnings)


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    return [
        "It is the number of equal directions in which samples differ by more than their own views "
        f"do; at most about min(samples - 1, features) = {score.bound}.",
        f"The {score.n_classes} classes are taken for samples; class labels give another number.",
        *describe_null(score),
    ]


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    Covariances within and between samples, and their factors.
    """
    return 5.0 * size.n_features**2


WHEN = (
    "Whether views of one sample agree where samples differ; between checkpoints of one training."
)
SPEC = MetricSpec(
    "lidar",
    no_options,
    explain,
    WHEN,
    title="LiDAR",
    summary="effective rank of linear discriminants between samples, whose views are the rows",
    needs=("stats",),
    tasks=("classification",),
    cost="N D² + D³",
    source="Thilak et al. 2024",
    diagnostic=True,
    compute=compute,
    memory=memory,
)
