"""Ridge probe: leave-one-out accuracy or R² of ridge regression on the features."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from .._metric.options import ABOVE_ZERO, number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DataError, DtypeError

__all__ = ["ridge_probe"]


def ridge_probe(
    features: object,
    labels: object,
    *,
    ridges: Sequence[float] | None = None,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the leave-one-out accuracy or R² of ridge regression on standardised features.

    A linear probe without a training run: exact leave-one-out predictions from one
    decomposition.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`; at least 3 rows. Columns are standardised
        (constant ones left out), so their units do not matter.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        Classes, real-valued targets, or 0/1 columns (multilabel).
    ridges : sequence of float, optional
        The penalties per sample to choose from, above 0. Default: 1e-6, 1e-5, …, 1e3.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        As in :func:`transferability.logme`.
    precision : {"double", "single"}, default="double"
        Of the products of float32 features; "single" cannot resolve ridges much below 1e-3.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`.

    Returns
    -------
    score : Score
        Higher is better. Classes: the share of rows, in [0, 1], whose class is found by a model
        of all other rows; `per_target` has that share of each class, and the value is their
        mean weighted by `class_counts`. Targets and 0/1 columns: the mean over columns of R²,
        at most 1, with `per_target` the R² of each. `ridge` is the penalty that was chosen, one
        for all classes or one a target; `ridges` are those tried.

    Raises
    ------
    DataError
        One class, fewer than 3 samples, constant targets, ridges that are not positive, and as
        :func:`transferability.logme`.
    DtypeError
        Features that are no numbers, ridges that are none.

    Warns
    -----
    TransferabilityWarning
        For classes of one sample: without it, no model knows the class.

    Notes
    -----
    For a ridge :math:`\lambda`, standardised rows x and targets y (one 0/1 column a class), each
    row is predicted by the minimiser of :math:`\sum_j (y_j - x_j^\top w - b)^2 + N \lambda
    |w|^2` over the other rows. With the leverage :math:`h_i` and the fit :math:`\hat y` of all
    rows that prediction is off by

    .. math:: e_i = (y_i - \hat y_i) / (1 - h_i).

    The ridge is that of the least :math:`\sum e^2`, over all classes together or for each
    target. A row's class is that of its largest prediction, the first of equal ones. R² is
    :math:`1 - \sum e^2 / \sum (y - \bar y)^2`, so uninformative features get slightly less
    than 0. Means, scales and N are those of all rows.

    References
    ----------
    Allen (1974). The relationship between variable selection and data augmentation and a
    method for prediction. Technometrics 16.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> tx.ridge_probe(features, labels) > 0.9 > tx.ridge_probe(noise, labels)
    True
    """
    return score_one(
        "ridge_probe",
        features,
        labels,
        {"ridges": ridges},
        task=task,
        precision=precision,
        n_threads=n_threads,
    )


def options(task: str, *, ridges: Sequence[float] | None = None) -> dict[str, object]:
    """Validate the ridges and return them for the native module."""
    if ridges is None:
        return {"ridges": None}
    advice, within = "a finite number above 0", (ABOVE_ZERO, sys.float_info.max)
    try:
        values = [
            number(f"ridges[{place}]", ridge, advice, within, wrong_type=DtypeError)
            for place, ridge in enumerate(ridges)
        ]
    except TypeError:  # of an entry, which is a DtypeError, or of enumerate
        raise DtypeError(f"ridges is {ridges!r}; give a sequence of numbers above 0") from None
    if not values:
        raise DataError("ridges is empty; give at least one, or None for the default grid")
    for place, value in enumerate(values):
        if not 0.0 < value < float("inf"):
            raise DataError(f"ridges[{place}] is {value:g}; every ridge must be above 0 and finite")
    return {"ridges": values}


def influence(given: Any, options: Any, run: Any) -> Any:
    """Give the influence of every row on classes: whether it is found, at the fits as they are."""
    from ._influence import native

    return native(run(influence=True))


def explain(score: Any) -> list[str]:
    """Return sentences that compare the score with chance."""
    if score.classes is None:
        return [
            f"It is the R² of predictions of rows that were left out, the mean over "
            f"{len(score.targets)} targets; features that know nothing get about 0."
        ]
    share = max(score.class_counts) / score.n_samples
    return [
        "It is the leave-one-out accuracy of a ridge regression: the share of samples whose class "
        f"it predicts when they are left out, at a ridge of {score.ridge:g}.",
        f"Always guessing the most frequent class would get {share:.4f}.",
    ]


SPEC = MetricSpec(
    name="ridge_probe",
    options=options,
    explain=explain,
    when="The closest to training a linear probe, by leave-one-out; the baseline others must beat.",
    recommended={},
    baseline=True,
    influence=influence,
)
