"""LDA: the mean posterior of the true class under a linear discriminant."""

from __future__ import annotations

from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import ABOVE_ZERO, number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DtypeError

__all__ = ["lda"]


def lda(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    shrinkage: float | None = None,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the mean posterior of the true class under linear discriminant analysis (LDA).

    This is the classification part of ETran.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; at least 3 rows; at least two classes.
    shrinkage : float, optional
        Share, in (0, 1], of the within-class covariance that is replaced by its mean variance.
        Default: ``max(exp(-5 s), 1e-10)`` as in SFDA and ETran, where s estimates the largest
        eigenvalue of that covariance. With the default the score depends on the scale of the
        features; with a number it does not.
    task, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".
    precision : {"double", "single"}, default="double"
        Precision of the products of float32 features; with "single" the covariance within classes
        is summed again in float64.

    Returns
    -------
    score : Score
        A mean probability in (0, 1]; higher is better. `per_target` has the mean over the rows
        of each class; the value is their mean weighted by `class_counts`. `shrinkage` is the value
        used, `saturated` states by class whether the posterior is 1 to nine digits. Warnings state
        if it is 1 for all classes (usual with fewer samples than features), features do not vary
        within classes, or a class has one sample.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; one class, fewer than 3 samples, a shrinkage outside
        (0, 1].

    Notes
    -----
    With class means :math:`\mu_c`, shares :math:`\pi_c`, the covariance within classes
    :math:`S_w` (divided by N) and shrinkage a,

    .. math:: \Sigma = (1 - a) S_w + a \tfrac{\mathrm{tr} S_w}{D} I, \quad
              p(c \mid x) \propto \pi_c \exp\bigl(-\tfrac12 (x - \mu_c)^\top \Sigma^{-1}
              (x - \mu_c)\bigr),

    and the score is the mean of :math:`p(y_i \mid x_i)` over the samples that the model was
    fitted to, as in the paper. ETran's published code passes a matrix that is not symmetric to a
    symmetric eigensolver; this loses :math:`\Sigma`, so that it scores distances to class means.

    References
    ----------
    Gholami, Akbari, Wang, Behnam, Zhou (2023). ETran: Energy-Based Transferability Estimation.
    ICCV.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> tx.lda(features, labels) > tx.lda(noise, labels)
    True
    """
    asked = {"shrinkage": shrinkage}
    return score_one(
        "lda", features, labels, asked, task=task, precision=precision, n_threads=n_threads
    )


def options(task: str, *, shrinkage: float | None = None) -> dict[str, object]:
    """Validate the shrinkage and return the kernel options."""
    if shrinkage is not None:
        advice, within = "None or a number with 0 < shrinkage <= 1", (ABOVE_ZERO, 1)
        shrinkage = number("shrinkage", shrinkage, advice, within, wrong_type=DtypeError)
    return {"shrinkage": shrinkage}


def explain(score: Any) -> list[str]:
    """Return sentences that compare the score with chance."""
    return [
        "It is the mean probability that a linear discriminant, fitted to these samples, gives "
        "to their own classes.",
        *compared(score),
    ]


def compared(score: Any) -> list[str]:
    """Return sentences that compare a mean posterior with that of uninformative features."""
    share = sum((count / score.n_samples) ** 2 for count in score.class_counts)
    order = sorted(range(len(score.classes)), key=lambda i: float(score.per_target[i]))
    worst, best = (f"{score.classes[i]} ({score.per_target[i]:.4f})" for i in (order[0], order[-1]))
    return [
        f"Features that know nothing would get {share:.4f}; shrinkage {score.shrinkage:.3g}.",
        f"The posterior is highest for class {best} and lowest for class {worst}.",
    ]


WHEN = "A linear classifier's confidence without training: the classification part of ETran."
SPEC = MetricSpec("lda", options, explain, WHEN)
