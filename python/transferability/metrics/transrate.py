"""TransRate: the coding rate of the features minus the mean coding rate of the classes."""

from __future__ import annotations

import math

from .._inputs.types import ArrayLike
from .._metric.options import choice, number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DataError

__all__ = ["transrate"]


def transrate(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    variant: str = "paper",
    eps: float = 1e-4,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute TransRate of features for class labels, in one of its three variants.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; classes only.
    variant : {"paper", "official", "trace"}, default="paper"
        "paper" is the paper's listing and tllib: features as they are, the unweighted mean over
        classes. "official" is the authors' repository: rows of unit norm about the mean, classes
        weighted by their rows, all divided by the rank. "trace" divides the features by the root of
        their sum of squares and weights classes by their rows. Values of different variants are not
        comparable.
    eps : float, default=1e-4
        Distortion, from 1e-30 to 1e30; directions of less variance hardly count. The authors of
        "official" set it between 1e-5 and 1e-1 by data set.
    task, precision, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".
        "official" multiplies in double precision.

    Returns
    -------
    score : Score
        In nats (per direction for "official"); higher is better. At least 0 for "official" and
        "trace", possibly below for "paper". Its `rate` is the coding rate of all rows,
        `per_target` are the coding rates of the classes and `weights` their shares, so that the
        score is ``rate - weights @ per_target``. `rounding` bounds its rounding error roughly;
        "official" has the `rank`. Warnings state if the value may mislead: one class, classes of
        one row, features that do not vary, precision lost to large features.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; options out of range; statistics that do not fit into
        memory (C D² numbers where classes have more rows than features).

    Notes
    -----
    With F the rows minus their mean, :math:`F_c` the rows of class c minus the same mean, and
    :math:`R(Z) = \tfrac12 \ln\det(I + Z^\top Z / (n \epsilon))` for the n rows of Z,

    .. math:: \mathrm{TrR} = R(F) - \sum_c v_c R(F_c), \quad v_c = 1/C \text{ or } n_c/N.

    Use it with many classes only: two classes of equal size and spread score about 0 wherever
    their means are, since the mean of all lies halfway between them.

    It does not change when features are shifted or rotated. "paper" depends on their scale and
    favours many features; "official" and "trace" do not change with a common scale. In "trace"
    rates are divided by the number of rows twice, so that the score falls with N. Only classes that
    occur are counted; other implementations divide by zero for an absent class.

    References
    ----------
    Huang, Huang, Rong, Yang, Wei (2022). Frustratingly Easy Transferability Estimation. ICML,
    eq. (2) and (3).

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 4, 200)
    >>> noise = rng.normal(size=(200, 4))
    >>> score = tx.transrate(noise + 3 * np.eye(4)[labels], labels)
    >>> score > tx.transrate(noise, labels)
    True
    >>> bool(np.isclose(score, score.rate - score.weights @ score.per_target))
    True
    """
    asked = {"variant": variant, "eps": eps}
    return score_one(
        "transrate", features, labels, asked, task=task, precision=precision, n_threads=n_threads
    )


def options(task: str, *, variant: str = "paper", eps: float = 1e-4) -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    distortion = number("eps", eps, "a positive number, such as 1e-4")
    if not 1e-30 <= distortion <= 1e30:
        problem = "is not a number" if math.isnan(distortion) else "is outside [1e-30, 1e30]"
        raise DataError(f"eps {problem}, got {eps!r}; the usual value is 1e-4")
    variant = choice("variant", variant, ("paper", "official", "trace"))
    return {"variant": variant, "eps": distortion}


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    within = score.rate - float(score)
    lines = [
        f"Coding the features takes {score.rate:.4f} nats, and {within:.4f} once the classes are "
        f"known: knowing them saves {float(score):.4f}."
    ]
    if score.classes is not None and len(score.classes) > 1:
        rates = [float(rate) for rate in score.per_target]
        order = sorted(range(len(rates)), key=rates.__getitem__)
        tight, wide = (f"{score.classes[i]} ({rates[i]:.4f})" for i in (order[0], order[-1]))
        lines.append(f"Class {tight} is the most compact, class {wide} the least.")
    return lines


WHEN = "Trade-off of separation and completeness; scale matters, so compare one kind of model."
SPEC = MetricSpec("transrate", options, explain, WHEN)
