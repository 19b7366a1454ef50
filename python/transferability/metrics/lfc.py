"""LFC: the correlation of feature similarity with label similarity over pairs of samples."""

from __future__ import annotations

from .._inputs.types import ArrayLike
from .._metric.options import no_options
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["lfc"]


def lfc(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the label-feature correlation (LFC) over pairs of samples.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; classes only, at least two of them.
    task, precision, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".

    Returns
    -------
    score : Score
        A correlation, from -1 to 1; higher is better; 0, with a warning, where no feature varies.
        It has no `per_target`.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single class.

    Notes
    -----
    Pearson's correlation of the entries of :math:`F F^\top` with the entries of a label matrix: +1
    for two samples of one class, -1 for samples of different classes. Neither matrix is formed.
    Features are not centred, so a common offset matters; :func:`transferability.cka` is the centred
    variant. Implementations that divide by spectral norms instead give other numbers.

    References
    ----------
    Deshpande et al. (2021). A linearized framework and a new benchmark for model selection for
    fine-tuning. arXiv 2102.00084.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 4
    >>> features, noise = np.eye(4)[labels], rng.normal(size=(200, 4))
    >>> round(tx.lfc(features, labels), 6), tx.lfc(noise, labels) < 0.1
    (1.0, True)
    """
    return score_one(
        "lfc", features, labels, {}, task=task, precision=precision, n_threads=n_threads
    )


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    return [
        "It is the correlation, over all pairs of samples, of the inner product of their features "
        "with whether they share a class: 1 if only samples of one class are similar, 0 if "
        "similarity is unrelated to the classes."
    ]


WHEN = "A quick check whether equal labels have similar features; weak as a ranking on its own."
SPEC = MetricSpec("lfc", no_options, explain, WHEN)
