"""SFDA: the mean posterior of a linear discriminant that is refitted to harder samples."""

from __future__ import annotations

from .._inputs.types import ArrayLike
from .._metric.options import no_options
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from .lda import compared

__all__ = ["sfda"]


def sfda(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute SFDA, the self-challenging Fisher discriminant analysis.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; at least 3 rows; at least two classes.
        Never changed (the authors' code changes features).
    task, precision, n_threads
        As in :func:`transferability.lda`.

    Returns
    -------
    score : Score
        A mean probability in (0, 1]; higher is better. `per_target`, `saturated` and the warnings
        are as in :func:`transferability.lda`; `shrinkage` is used in both fits; `certainty` is the
        mean of p, the share of each row that was kept.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; one class, fewer than 3 samples.

    Notes
    -----
    A discriminant as in :func:`transferability.lda` is fitted at the shrinkage
    :math:`a = \max(e^{-5\sigma}, 10^{-10})`, where three double steps of the power method on the
    covariance within classes estimate :math:`\sigma`. With p the softmax of the posteriors of a
    row x, at its own class c, the row becomes :math:`p x + (1 - p) \bar\mu_c`, where
    :math:`\bar\mu_c` is the mean of the other classes' means. A second discriminant is fitted to
    these rows at the same shrinkage. The score is its mean posterior of the true class, without a
    logarithm. Values agree with the authors' code and depend on the scale of the features.

    References
    ----------
    Shao, Zhao, Ge, Zhang, Yang, Wang, Shan, Luo (2022). Not All Models Are Equal: Predicting
    Model Transferability in a Self-challenging Fisher Space. ECCV.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> tx.sfda(features, labels) > tx.sfda(noise, labels)
    True
    """
    return score_one(
        "sfda", features, labels, {}, task=task, precision=precision, n_threads=n_threads
    )


def explain(score: Score) -> list[str]:
    """Return sentences that compare the score with chance."""
    return [
        "It is the mean probability that a linear discriminant gives to the true classes after "
        f"samples were moved towards the other classes ({1 - score.certainty:.1%} of the way).",
        *compared(score),
    ]


WHEN = "Classification after fine-tuning that separates classes further; saturates for N <= D."
SPEC = MetricSpec("sfda", no_options, explain, WHEN)
