"""k-NN: leave-one-out accuracy, or R², of the k nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import (
    choice,
    default_leave_out,
    leave_out_option,
    leaves_groups_out,
    whole_number,
)
from .._metric.score import Score
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one

__all__ = ["knn"]


def knn(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    k: int = 5,
    metric: str = "l2",
    groups: ArrayLike | None = None,
    leave_out: str | None = None,
    task: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the leave-one-out accuracy of the k nearest neighbours, or their R² on targets.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples[, n_targets])
        As in :func:`transferability.logme`; at least k + 1 rows.
    k : int, default=5
        Number of neighbours that vote, from 1 to n_samples - 1.
    metric : {"l2", "cosine"}, default="l2"
        Euclidean distance, or one minus the cosine of the angle.
    groups : array-like of shape (n_samples,), optional
        The group of each row, such as its patient, video or chromosome: integers or strings.
        Neighbours of a row are then rows of other groups, of which there must be `k`.
    leave_out : {"row", "group"}, optional
        As in :func:`transferability.ridge_probe`: "group" by default if `groups` are given.
    task, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        Classes: the share of rows whose neighbours vote for the row's own class, in [0, 1].
        `per_target` has that share for each class; the value is their mean weighted by
        `class_counts`. Targets: the mean over columns of R², at most 1. Multilabel: the mean
        over columns of the share of correct votes. Higher is better. With groups `per_group` has
        the score of the predictions of each group, and a warning counts classes that occur in one
        group only.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; `k` not below the number of rows, or above the number of
        rows outside a group; a single group, or missing groups; a target that is
        constant; a row of zeros with ``metric="cosine"``.

    Notes
    -----
    The prediction for a row is the most common class of the k nearest other rows
    (majority vote); ties go to the class with the smaller sum of distances, then to the smaller
    class. Of rows at the same distance, the earlier one counts as nearer; cosines are rounded,
    which may tell equal ones apart. For targets the prediction is the mean over the neighbours, and

    .. math:: R^2 = 1 - \sum_i (y_i - \hat y_i)^2 / \sum_i (y_i - \bar y)^2.

    Neighbours are exact: float32 products only narrow down the candidates, by a bound on their
    rounding; the distances of the candidates are computed in float64. Time grows with n_samples²
    n_features.

    References
    ----------
    Cover, Hart (1967). Nearest Neighbor Pattern Classification. IEEE Trans. Inf. Theory 13.
    Sorkhei et al. (2025). k-NN as a Simple and Effective Estimator of Transferability.
    arXiv:2503.18528.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> labels = np.repeat([0, 1], 50)
    >>> features = np.random.default_rng(0).normal(size=(100, 3)) + 4 * labels[:, None]
    >>> print(tx.knn(features, labels, k=3))
    1.0
    """
    asked = {"k": k, "metric": metric, "leave_out": default_leave_out(leave_out, groups)}
    common = {"groups": groups, "task": task, "n_threads": n_threads}
    return score_one("knn", features, labels, asked, **common)


def options(
    task: str, *, k: int = 5, metric: str = "l2", leave_out: str | None = None
) -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    return {
        "k": float(whole_number("k", k, 1)),
        "cosine": choice("metric", metric, ("l2", "cosine")) == "cosine",
        "vote": task == "multilabel",
        **leave_out_option(leave_out),
    }


def pairs(size: Size, options: Mapping[str, Any]) -> tuple[str, int, float]:
    """Estimate the time of comparing all pairs of rows."""
    return "rows", size.n_samples, size.n_samples**2 * (1e-11 * size.n_features + 1e-10)


def explain(score: Score) -> list[str]:
    """Return sentences that compare the score with guessing."""
    k, near = int(score.k), "nearest neighbours"
    if leaves_groups_out(score.details):
        near = "nearest neighbours in other groups"
    if score.class_counts is None:
        if score.task == "regression":
            return [
                f"It is the R² of predicting each row by the mean of its {k} {near}: 1 "
                f"is perfect, 0 no better than the overall mean."
            ]
        return [f"It is the share of the 0/1 labels that the {k} {near} of a row predict."]
    chance = max(score.class_counts) / score.n_samples
    return [
        f"It is the share of rows whose {k} {near} vote for the row's own class; "
        f"always guessing the largest class would get {chance:.4f}."
    ]


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    The features in float32, and the candidates of each row.
    """
    return 0.5 * size.n_samples * size.n_features + size.n_samples * (8 * int(options["k"]) + 110.0)


WHEN = "Labels that are no linear function of the features; time grows with N²."
SPEC = MetricSpec(
    "knn",
    options,
    explain,
    WHEN,
    baseline=True,
    influence=True,
    memory=memory,
    pairs=pairs,
)
