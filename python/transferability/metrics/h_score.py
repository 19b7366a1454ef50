"""H-score: the between-class share of the features' variance, summed over directions."""

from __future__ import annotations

from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["h_score"]


def h_score(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    shrinkage: float | str | None = None,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the H-score of features for class labels.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; classes only.
    shrinkage : None, "ledoit-wolf", "oas" or float in [0, 1], default=None
        Shrinkage of the features' covariance to a multiple of the identity: no shrinkage, the
        estimate of Ledoit and Wolf or of Chen et al. (oracle approximating shrinkage), or a fixed
        number.
    task, precision, method, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".

    Returns
    -------
    score : Score
        Without unit, from 0 to n_classes - 1 (with shrinkage to n_samples / (n_samples - 1) times
        that); higher is better; 0, with a warning, for one class or constant features. It is the
        sum of `per_target`, the parts of the classes. `shrinkage` is the value used; `saturated`
        is true if the centred features have full rank, n_samples - 1: without shrinkage the score
        is then n_classes - 1 for any labels, with a warning. `rounding` bounds the rounding error.
        Without shrinkage `rank` is the number of independent directions.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a shrinkage outside [0, 1].

    Notes
    -----
    With :math:`\delta_c` the mean of the :math:`n_c` rows of class c minus the mean of all rows,
    and S the scatter matrix of the centred features,

    .. math:: H = \operatorname{tr}\left(\operatorname{cov}(f)^{-1}
              \operatorname{cov}(\operatorname E[f \mid y])\right)
              = \sum_c n_c\, \delta_c^\top S^+ \delta_c.

    It depends only on the space that the centred features span, not on their units. Directions of
    less than :math:`8 D \varepsilon` of the variance, at unit variance of each feature, are left
    out. With shrinkage a, S becomes :math:`S + \frac{a}{1-a} \frac{\operatorname{tr} S}{D} I`, and
    the sum is multiplied by :math:`N/(N-1)`, to match the normalisation of the two covariances by
    Ibrahim et al.

    References
    ----------
    Bao et al. (2019). An Information-Theoretic Approach to Transferability in Task Transfer
    Learning. ICIP.

    Ibrahim, Ponomareva, Mazumder (2022). Newer is not always better: Rethinking transferability
    metrics, their peculiarities, stability and performance. ECML-PKDD.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> labels = features[:, :3].argmax(axis=1)
    >>> 2 >= tx.h_score(features, labels) > tx.h_score(noise, labels) >= 0
    True
    >>> tx.h_score(features, labels, shrinkage=0.1).shrinkage
    0.1
    """
    asked = {"shrinkage": shrinkage}
    settings = {"precision": precision, "method": method, "n_threads": n_threads}
    return score_one("h_score", features, labels, asked, task=task, **settings)


def options(task: str, *, shrinkage: float | str | None = None) -> dict[str, object]:
    """Validate the shrinkage and return the kernel options."""
    if shrinkage is None or (isinstance(shrinkage, str) and shrinkage in ("ledoit-wolf", "oas")):
        return {"shrinkage": shrinkage}
    advice = "None, 'ledoit-wolf', 'oas' or a number between 0 and 1"
    return {"shrinkage": number("shrinkage", shrinkage, advice, (0, 1))}


def explain(score: Any) -> list[str]:
    """Return sentences that interpret the score."""
    most = score.n_classes - 1
    lines = [
        f"It is the share of the features' variance that lies between the classes, summed over at "
        f"most {most} directions: 0 if the class means coincide, {most} if the features tell all "
        f"classes apart."
    ]
    if score.shrinkage > 0:
        lines.append(f"The features' covariance was shrunk by {score.shrinkage:.4f}.")
    if most > 0:
        # A class of n_c rows can contribute 1 - n_c/N.
        shares = [
            float(part) / (1 - count / score.n_samples)
            for part, count in zip(score.per_target, score.class_counts, strict=True)
        ]
        order = sorted(range(len(shares)), key=shares.__getitem__)
        worst, best = (f"{score.classes[i]} ({shares[i]:.0%})" for i in (order[0], order[-1]))
        lines.append(
            f"Of its largest possible part, class {best} reaches the most and class {worst} the "
            f"least."
        )
    reach = min(most, score.n_features)
    if reach and float(score) > 0.98 * reach:
        lines.append(
            f"It is {float(score) / reach:.1%} of its maximum: nearly saturated, so it hardly "
            f"tells good features from better ones."
        )
    return lines


WHEN = "Class separation at a glance; compare models of similar width, since it grows with D/N."
SPEC = MetricSpec("h_score", options, explain, WHEN, influence=True)
