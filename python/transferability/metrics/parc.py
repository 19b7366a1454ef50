"""PARC: the rank correlation of feature distances with label distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import whole_number
from .._metric.score import Score
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one

__all__ = ["parc"]


def parc(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    n_components: int = 32,
    max_samples: int = 500,
    seed: int = 0,
    task: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute PARC, the pairwise annotation representation comparison of features and classes.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; at least two classes, one of them with two rows.
    n_components : int, default=32
        Number of principal components to compare rows in, 2 or more; fewer where the features vary
        along fewer directions.
    max_samples : int, default=500
        Number of rows to compare, 3 or more, drawn by `seed` from more rows. Memory and time grow
        with its square.
    seed : int, default=0
        Seed of the draw, from 0 to 2**53; without effect where all rows are compared.
    task, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".

    Returns
    -------
    score : Score
        100 times a rank correlation, in [-100, 100]; higher is better. `rows` are the indices of
        the compared rows, `n_components` is the number of components; `per_target` is empty. A
        warning counts rows that do not vary across the components; they correlate with no other
        row.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; one class only, or no two rows of one class among those
        compared; features that vary along fewer than two directions.

    Notes
    -----
    With z the principal components of the rows, each scaled to unit variance,

    .. math:: 100 \,\rho\left(1 - \mathrm{corr}(z_i, z_j),\; [y_i \ne y_j]\right)_{i<j}

    where ρ is Spearman's, with ties at their mean rank. Correlations subtract the mean of a row,
    so the components' signs matter: their largest loading is positive, as in scikit-learn, and
    rotated features score differently. The authors' randomised principal components differ in the
    last digits. With fewer directions than components they also scale rounding noise to unit
    variance; here such components are left out.

    References
    ----------
    Bolya, Mittapalli, Hoffman (2021). Scalable Diverse Model Selection for Accessible Transfer
    Learning. NeurIPS, section 4.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> labels = np.repeat([0, 1, 2], 20)
    >>> noise = np.random.default_rng(0).normal(size=(60, 4))
    >>> tx.parc(noise + 3 * np.eye(3, 4)[labels], labels) > tx.parc(noise, labels)
    True
    """
    asked = {"n_components": n_components, "max_samples": max_samples, "seed": seed}
    return score_one("parc", features, labels, asked, task=task, n_threads=n_threads)


def options(
    task: str, *, n_components: int = 32, max_samples: int = 500, seed: int = 0
) -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    return {
        "n_components": float(whole_number("n_components", n_components, 2)),
        "max_samples": float(whole_number("max_samples", max_samples, 3)),
        "seed": float(whole_number("seed", seed, 0)),
    }


def pairs(size: Size, options: Mapping[str, Any]) -> tuple[str, int, float]:
    """Estimate the time of ranking all pairs of rows."""
    n = min(size.n_samples, int(options["max_samples"]))
    return "rows", n, n**2 * (1e-11 * size.n_features + 2e-7)


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    return [
        f"It is 100 times the rank correlation, over pairs of {len(score.rows)} rows, of the "
        f"distance of their features with whether their classes differ: 0 is no relation."
    ]


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    The rows that are compared, and all of their pairs.
    """
    n = min(size.n_samples, int(options["max_samples"]))
    return 4.0 * n * size.n_features + 8.0 * n * n


WHEN = "A quick look at few rows; noisy, so compare several seeds before small differences."
SPEC = MetricSpec("parc", options, explain, WHEN, memory=memory, pairs=pairs)
