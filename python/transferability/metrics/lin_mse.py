"""LinMSE: minus the mean squared error of a linear fit from features to targets."""

from __future__ import annotations

from .._inputs.arguments import name_arguments
from .._inputs.types import ArrayLike
from .._metric.options import choice, flag, number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["lin_mse"]


def lin_mse(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    ridge: float = 0.0,
    penalty: bool = False,
    outputs: str = "mean",
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute LinMSE: minus the mean squared error of a linear fit from features to targets.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`.
    targets : array-like of shape (n_samples,) or (n_samples, n_targets)
        Real values, or 0/1 columns; keypoints (n_samples, 17, 2) are 34 targets.
    ridge : float, default=0.0
        The weight of the penalty, from 0 to 1e100, in the unit of a squared feature.
    penalty : bool, default=False
        Whether the score includes the penalty: the paper includes it, its code does not.
    outputs : {"mean", "sum"}, default="mean"
        Whether the errors of several targets are averaged, as in the code, or summed, as in the
        paper.
    task, precision, method, n_threads
        As in :func:`transferability.logme`; `task` is "auto", "regression" or "multilabel".

    Returns
    -------
    score : Score
        In squared units of the targets, at most 0; higher is better. It is the mean or the sum of
        `per_target` (minus the error of each target), minus the penalty if `penalty` is true.
        `saturated` is true, with a warning, if the centred features have full rank, n_samples - 1
        (usual with n_features >= n_samples - 1), so that without ridge the fit is exact for any
        targets. `rounding` bounds the rounding error. Without ridge `rank` is the number of
        independent directions. A warning states if no feature varies.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; classes, a negative ridge.

    Notes
    -----
    With :math:`\lambda` the ridge, the score is

    .. math:: -\min_{W, v} \tfrac1N \sum_i |y_i - W^\top f_i - v|^2 + \lambda |W|^2,

    by default without the penalty, and divided by the number of targets. It depends on the units
    of the features only with a ridge.

    References
    ----------
    Nguyen et al. (2023). Simple Transferability Estimation for Regression Tasks. UAI.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> targets = features[:, 0] + rng.normal(size=200)
    >>> 0 > tx.lin_mse(features, targets) > tx.lin_mse(noise, targets)
    True
    """
    asked = {"ridge": ridge, "penalty": penalty, "outputs": outputs}
    settings = {"precision": precision, "method": method, "n_threads": n_threads}
    with name_arguments(labels="targets"):
        return score_one("lin_mse", features, targets, asked, task=task, **settings)


def options(
    task: str, *, ridge: float = 0.0, penalty: bool = False, outputs: str = "mean"
) -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    return {
        "ridge": number("ridge", ridge, "a number from 0 to 1e100", (0, 1e100)),
        "penalty": flag("penalty", penalty),
        "outputs": choice("outputs", outputs, ("mean", "sum")),
        "skip_constant": task == "multilabel",
    }


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    ridge = score.details.get("ridge", 0.0)
    fit = f"ridge fit (penalty {ridge:g})" if ridge > 0 else "least-squares fit"
    what = "the sum" if score.details.get("outputs") == "sum" else "the mean"
    lines = [
        f"It is minus the mean squared error of a linear {fit} with intercept, in squared units "
        f"of the targets; 0 is a perfect fit."
    ]
    if len(score.per_target) > 1:
        order = sorted(range(len(score.per_target)), key=score.per_target.__getitem__)
        worst, best = (
            f"{score.targets[i]} ({score.per_target[i]:.4g})" for i in (order[0], order[-1])
        )
        lines.append(f"It is {what} over targets, highest for {best} and lowest for {worst}.")
    return lines


WHEN = "Regression with more samples than features; with few, give it a ridge."
SPEC = MetricSpec("lin_mse", options, explain, WHEN)
