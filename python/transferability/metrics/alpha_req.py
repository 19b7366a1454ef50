"""α-ReQ: the exponent with which the eigenvalues of the covariance decay."""

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
from ..health._spectrum import power_law_of_stats

__all__ = ["alpha_req"]


def alpha_req(
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the exponent of spectral decay, α-ReQ, as a score; labels are not read.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`; of rank 30 at least.
    labels : array-like, optional
        Without effect on the value; checked, and described in the result by its `task`.
    task, precision, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        The exponent, as :func:`transferability.health.alpha_req`; `n_points` is the number of
        eigenvalues in the fit, `per_target` is empty. It is a diagnostic, and for it "higher is
        better" does not hold: its authors prefer values close to 1. A ranking by it is in
        descending order, which is no order of quality; "all" and consensuses leave it out.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; fewer than 20 points, which is a rank below 30.

    References
    ----------
    Agrawal, Mondal, Ghosh, Richards (2022). α-ReQ: Assessing Representation Quality in
    Self-Supervised Learning by measuring eigenspectrum decay. NeurIPS.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> scales = np.arange(1, 65) ** -0.5  # of the singular values: eigenvalues decay as 1/k
    >>> features = np.random.default_rng(0).normal(size=(100_000, 64)) * scales
    >>> print(f"{tx.alpha_req(features):.2f}")
    1.00
    """
    return score_one(
        "alpha_req", features, labels, {}, task=task, precision=precision, n_threads=n_threads
    )


def compute(stats: Stats, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Fit the power law to the spectrum of statistics."""
    law = power_law_of_stats(stats)
    return make_outcome(law.alpha, {"n_points": law.n_points})


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    return [
        f"Eigenvalue k of the covariance falls about as k to the power -{float(score):.2f}, by a "
        f"fit to {score.n_points} eigenvalues from the eleventh on.",
        "Values close to 1 are what its authors prefer; a high one is no better than a low one.",
        *describe_null(score),
    ]


WHEN = "How fast the spectrum decays; close to 1 is preferred, between checkpoints of one training."
SPEC = MetricSpec(
    "alpha_req",
    no_options,
    explain,
    WHEN,
    title="α-ReQ",
    summary="exponent of the power law that the eigenvalues of the covariance follow",
    needs=("stats",),
    tasks=TASKS_OF_METRICS,
    cost="N D min(N, D)",
    source="Agrawal et al. 2022",
    diagnostic=True,
    compute=compute,
)
