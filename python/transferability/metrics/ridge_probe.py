"""Ridge probe: leave-one-out accuracy or R² of ridge regression on the features."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import (
    ABOVE_ZERO,
    default_leave_out,
    leave_out_option,
    leaves_groups_out,
    number,
)
from .._metric.score import Score
from .._metric.spec import MetricSpec, Size
from .._scoring.evaluate import Settings
from .._scoring.score_features import score_one
from ..errors import DataError, DtypeError
from ._ridge_of_stats import is_stats_by_group, score_stats_by_group

__all__ = ["ridge_probe"]


def ridge_probe(
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    ridges: Sequence[float] | None = None,
    groups: ArrayLike | None = None,
    leave_out: str | None = None,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the leave-one-out accuracy or R² of ridge regression on standardised features.

    This is a linear probe without training: exact leave-one-out predictions (PRESS residuals)
    from one decomposition. With `groups` whole groups are left out, in closed form too.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples[, n_targets])
        As in :func:`transferability.logme`; at least 3 rows.
        Columns are standardised (constant ones left out), so their units do not matter.
        Alternatively a mapping of groups to their :class:`Stats`, without labels: the R² of targets
        when each of these groups is left out needs no more than their statistics. Classes need the
        rows.
    ridges : sequence of float, optional
        Candidate penalties per sample, above 0. Default: 1e-6, 1e-5, …, 1e3.
    groups : array-like of shape (n_samples,), optional
        The group of each row, such as its patient, video or chromosome: integers or strings. Each
        row is then predicted by a fit to the rows of the other groups, at least one.
    leave_out : {"row", "group"}, optional
        Predict each row without itself, or without its whole group. Default: "group" in this
        function if `groups` are given, else "row". In :func:`transferability.score` and
        :func:`transferability.rank` it is "row" unless it is given.
    task, precision, n_threads
        As in :func:`transferability.logme`; "single" cannot resolve ridges much below 1e-3.
        Statistics of groups have their own precision.

    Returns
    -------
    score : Score
        Higher is better. Classes: the leave-one-out accuracy, in [0, 1]; `per_target` has the
        accuracy of each class, and the value is their mean weighted by `class_counts`. Targets and
        0/1 columns: the mean over columns of R², at most 1, with `per_target` the R² of each.
        `ridge` is the penalty chosen, one for all classes or one for each target; `ridges` are the
        candidates. A warning counts classes of one sample: the other samples do not contain them.
        With groups `per_group` has the accuracy or R² of the predictions of each group, and the
        warning counts classes that occur in one group only.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; one class, fewer than 3 samples, constant targets, ridges
        that are not positive numbers; a single group, or missing groups.

    Notes
    -----
    For a ridge :math:`\lambda`, standardised rows x and targets y (one 0/1 column per class), each
    row is predicted by the minimiser of :math:`\sum_j (y_j - x_j^\top w - b)^2 + N \lambda
    |w|^2` over the other rows. With the leverage :math:`h_i` and the fit :math:`\hat y` of all
    rows the leave-one-out residual is

    .. math:: e_i = (y_i - \hat y_i) / (1 - h_i).

    Without a group g, of which the hat matrix has the block :math:`H_{gg}`, the residuals are

    .. math:: e_g = (I - H_{gg})^{-1} (y - \hat y)_g.

    The ridge minimises :math:`\sum e^2`, over all classes together or for each target. The
    predicted class of a row is the one with the largest output; the first wins a tie. R² is
    :math:`1 - \sum e^2 / \sum (y - \bar y)^2`, so uninformative features get slightly less than 0.
    Means, scales and N refer to all rows.

    References
    ----------
    Allen (1974). The relationship between variable selection and data augmentation and a
    method for prediction. Technometrics 16.
    Cook, Weisberg (1982). Residuals and Influence in Regression. Chapman and Hall: several rows.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> tx.ridge_probe(features, labels) > 0.9 > tx.ridge_probe(noise, labels)
    True

    Rows of a patient are alike, and a patient's label is that of all of them:

    >>> patients = np.repeat(np.arange(20), 10)
    >>> noise += 3 * rng.normal(size=(20, 8))[patients]
    >>> labels = np.arange(20)[patients] % 2
    >>> together = tx.ridge_probe(noise, labels, groups=patients)
    >>> bool(tx.ridge_probe(noise, labels) > 0.7 > 0.6 > together)
    True

    Statistics of every patient are enough for targets:

    >>> ages = rng.normal(size=200)
    >>> rows = {patient: patients == patient for patient in range(20)}
    >>> stats = {p: tx.Stats("regression").update(noise[r], ages[r]) for p, r in rows.items()}
    >>> bool(np.isclose(tx.ridge_probe(stats), tx.ridge_probe(noise, ages, groups=patients)))
    True
    """
    if is_stats_by_group(features):
        given = {"labels": labels, "groups": groups, "leave_out": leave_out}
        settings = Settings(precision, n_threads=n_threads)
        return score_stats_by_group(features, _read_ridges(ridges), task, settings, given)
    asked = {"ridges": ridges, "leave_out": default_leave_out(leave_out, groups)}
    common = {"groups": groups, "task": task, "precision": precision, "n_threads": n_threads}
    return score_one("ridge_probe", features, labels, asked, **common)


def options(
    task: str, *, ridges: Sequence[float] | None = None, leave_out: str | None = None
) -> dict[str, object]:
    """Validate the options and return those of the kernel."""
    return {"ridges": _read_ridges(ridges), **leave_out_option(leave_out)}


def _read_ridges(ridges: Sequence[float] | None) -> list[float] | None:
    if ridges is None:
        return None
    advice, within = "a finite number above 0", (ABOVE_ZERO, sys.float_info.max)
    try:
        values = [
            number(f"ridges[{place}]", ridge, advice, within, wrong_type=DtypeError)
            for place, ridge in enumerate(ridges)
        ]
    except TypeError:  # DtypeError of an entry, or TypeError of enumerate
        raise DtypeError(f"ridges is {ridges!r}; give a sequence of numbers above 0") from None
    if not values:
        raise DataError("ridges is empty; give at least one, or None for the default grid")
    return values


def explain(score: Score) -> list[str]:
    """Return sentences that compare the score with chance."""
    if score.class_counts is None:
        with_group = " with their groups" if leaves_groups_out(score.details) else ""
        return [
            f"It is the R² of predictions of rows that were left out{with_group}, the mean over "
            f"{len(score.targets)} targets; features that know nothing get about 0."
        ]
    share = max(score.class_counts) / score.n_samples
    if leaves_groups_out(score.details):
        name, left_out = "accuracy by left-out groups", "their group is"
    else:
        name, left_out = "leave-one-out accuracy", "they are"
    return [
        f"It is the {name} of a ridge regression: the share of samples whose class "
        f"it predicts when {left_out} left out, at a ridge of {score.ridge:g}.",
        f"Always guessing the most frequent class would get {share:.4f}.",
    ]


def standard_error(score: Score) -> float:
    """Estimate the standard error of the score over samples of rows.

    The binomial one of an accuracy p, sqrt(p (1 - p)/N). Of an R², (1 - R²) sqrt(4 R²/N + 2/N²):
    the large-sample one of a squared correlation (Olkin and Finn, 1995), with the spread of
    predictions without signal; the mean over targets.
    """
    n_samples = score.n_samples
    if score.class_counts is not None and score.task == "classification":
        accuracy = min(max(float(score), 0.0), 1.0)
        return math.sqrt(accuracy * (1 - accuracy) / n_samples)
    shares = [min(max(float(value), 0.0), 1.0) for value in score.per_target]
    errors = [(1 - r) * math.sqrt(4 * r / n_samples + 2 / n_samples**2) for r in shares]
    return sum(errors) / len(errors) if errors else 0.0


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    A prediction for each row and class.
    """
    return 1.25 * size.n_samples * size.n_classes


WHEN = "The closest to training a linear probe, by leave-one-out; the baseline others must beat."
SPEC = MetricSpec(
    "ridge_probe",
    options,
    explain,
    WHEN,
    standard_error=standard_error,
    recommended={},
    baseline=True,
    influence=True,
    memory=memory,
)
