"""Energy: the mean energy (log-sum-exp of the features) of the rows with the lowest energy."""

from __future__ import annotations

from .._inputs.types import ArrayLike
from .._metric.options import ABOVE_ZERO, choice, number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["energy"]


def energy(
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    share: float = 0.005,
    tail: str = "low",
    task: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the mean energy of the rows with the lowest energy, the label-free part of ETran.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`; one row is enough. ETran takes features, not logits.
    labels : array-like, optional
        Without effect on the value; checked, and described in the result by its `task`.
    share : float, default=0.005
        Share of the rows to average, above 0 and at most 1: ``max(1, floor(share * n_samples))``
        rows. The authors call their code with 0.5, but it averages
        ``int(0.5 * 10) * n_samples // 1000`` rows: half a percent, and NaN below 200 rows.
    tail : {"low", "high"}, default="low"
        The rows to average: the rows of lowest energy, as in ETran, or of highest energy.
    task, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        In nats; higher is better, as ETran uses it. `n_rows` is the number of averaged rows;
        `per_target` is empty.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a share outside (0, 1].

    Notes
    -----
    The energy of a row f is :math:`\ln \sum_j e^{f_j}`, with the sign of ETran. It grows with
    the scale and the number of the features, so compare models of one width only. The ETran score
    is 0.85 times the mean posterior of :func:`transferability.lda` plus 0.15 times the energy,
    both scaled to [0, 1] over the models that are compared.

    References
    ----------
    Gholami et al. (2023). ETran: Energy-Based Transferability Estimation. ICCV.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> print(f"{tx.energy(np.zeros((10, 4))):.4f}")
    1.3863
    """
    asked = {"share": share, "tail": tail}
    return score_one("energy", features, labels, asked, task=task, n_threads=n_threads)


def options(task: str, *, share: float = 0.005, tail: str = "low") -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    share = number("share", share, "a share of the rows above 0, at most 1", (ABOVE_ZERO, 1))
    return {"share": share, "highest": choice("tail", tail, ("low", "high")) == "high"}


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    tail = "highest" if score.highest else "lowest"
    return [
        f"It is the energy, ln sum exp over the features, averaged over the {int(score.n_rows)} "
        f"row(s) where it is {tail}; it grows with the width and scale of the features."
    ]


WHEN = "Without any labels; models of one width and scale only, and seldom by itself."
SPEC = MetricSpec("energy", options, explain, WHEN)
