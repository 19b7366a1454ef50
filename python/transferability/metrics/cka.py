"""Linear CKA: the alignment of features with labels or targets."""

from __future__ import annotations

from .._metric.options import no_options
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["cka"]


def cka(
    features: object,
    labels: object,
    *,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the linear centred kernel alignment (CKA) of features with labels or targets.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples[, n_targets])
        As in :func:`transferability.logme`.
    task, precision, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        From 0 to 1; higher is better; 0, with a warning, where no feature varies. It has no
        `per_target`.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single class, targets that do not vary; several targets
        in ``Stats.score``, because statistics do not hold the products of targets.

    Notes
    -----
    With centred features X and centred targets, or 0/1 columns of the classes, Y:

    .. math:: \operatorname{CKA} = \frac{\|X^\top Y\|_F^2}{\|X^\top X\|_F\, \|Y^\top Y\|_F}.

    It does not change when features or targets are shifted, rotated or scaled as a whole.
    Directions of large variance dominate it.

    References
    ----------
    Kornblith, Norouzi, Lee, Hinton (2019). Similarity of Neural Network Representations
    Revisited. ICML.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 4
    >>> features, noise = np.eye(4)[labels], rng.normal(size=(200, 4))
    >>> round(tx.cka(features, labels), 6), tx.cka(noise, labels) < 0.1
    (1.0, True)
    """
    return score_one(
        "cka", features, labels, {}, task=task, precision=precision, n_threads=n_threads
    )


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    kind = "targets" if score.classes is None else "classes"
    return [
        f"It is the alignment of two similarity matrices of the samples, by their features and by "
        f"their {kind}: 1 if they are proportional, 0 if they are unrelated."
    ]


WHEN = "Alignment of features and labels as a whole; rotation and scale do not matter."
SPEC = MetricSpec("cka", no_options, explain, WHEN)
