"""Effective rank: RankMe, or the effective rank of the covariance or of centred features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import choice
from .._metric.score import Score, make_outcome
from .._metric.spec import TASKS_OF_METRICS, MetricSpec
from .._scoring.score_features import score_one
from .._stats.stats import Stats
from ..health._null import describe_null
from ..health._spectrum import CONVENTIONS, effective_rank_of

__all__ = ["effective_rank"]


def effective_rank(
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    convention: str = "rankme",
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the effective rank of features, such as RankMe, as a score; labels are not read.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`.
    labels : array-like, optional
        Without effect on the value; checked, and described in the result by its `task`.
    convention : {"rankme", "covariance", "centred"}, default="rankme"
        As in :func:`transferability.health.effective_rank`, which returns the number alone.
    task, precision, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        From 0 to `bound`, min(n_samples, n_features); `per_target` is empty. It is a diagnostic:
        that higher is better has no evidence across architectures, so "all" and consensuses leave
        it out.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; another convention; a single row unless "rankme".

    References
    ----------
    Garrido et al. (2023). RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank. ICML. Roy, Vetterli (2007). The effective rank:
    A measure of effective dimensionality. EUSIPCO.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(1000, 16)) * ([1] * 8 + [0] * 8)
    >>> print(f"{tx.effective_rank(features):.1f}")
    8.0
    """
    return score_one(
        "effective_rank",
        features,
        labels,
        {"convention": convention},
        task=task,
        precision=precision,
        n_threads=n_threads,
    )


def options(task: str, *, convention: str = "rankme") -> dict[str, object]:
    """Validate the convention."""
    return {"convention": choice("convention", convention, CONVENTIONS)}


def compute(stats: Stats, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Compute the effective rank of statistics."""
    value = effective_rank_of(stats, options["convention"])
    bound = min(stats.n_samples, stats.n_features)
    warnings = ["no feature varies: the effective rank is 0"] if value == 0 else []
    return make_outcome(value, {"bound": bound}, warnings)


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    of = {
        "rankme": "the singular values of the features as they are (RankMe)",
        "covariance": "the eigenvalues of their covariance",
        "centred": "the singular values of the features about their mean",
    }
    bound = f"It is at most min(rows, features) = {score.bound}."
    if score.n_samples <= score.n_features:
        bound += " There are no more rows than features, so that rows limit it."
    return [
        f"It is exp of the entropy of {of[score.convention]}: the number of equal directions with "
        f"as much entropy.",
        bound,
        *describe_null(score),
    ]


WHEN = "Whether features use their dimensions; between checkpoints of one training."
SPEC = MetricSpec(
    "effective_rank",
    options,
    explain,
    WHEN,
    title="Effective rank",
    summary="exponential of the entropy of the spectrum; RankMe by default",
    needs=("stats",),
    tasks=TASKS_OF_METRICS,
    cost="N D min(N, D)",
    source="Garrido et al. 2023; Roy & Vetterli 2007",
    diagnostic=True,
    compute=compute,
)
