"""LogME: the log maximum evidence of a Bayesian linear model on the features."""

from __future__ import annotations

import math
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import flag
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one

__all__ = ["logme"]


def logme(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    task: str = "auto",
    intercept: bool | str = "auto",
    standardize: bool = False,
    keep_coef: bool = False,
    precision: str = "double",
    method: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute LogME, the log maximum evidence of a Bayesian linear model of the labels.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        float16, float32, float64, integer or boolean, at least 2 rows; NumPy arrays in any
        memory layout, read-only and memory-mapped ones, torch tensors, pandas and polars
        frames, Arrow tables, anything with the buffer protocol, ``__array__`` or ``__dlpack__``;
        also a single column whose cells are lists or arrays of one length. Arrays
        with swapped or unaligned bytes are copied; long doubles and frames of mixed or nullable
        columns are copied to float64. Others are not copied whole, except as `method` describes.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        Classes (integers, strings, booleans), real-valued targets, or 0/1 columns (multilabel).
        Structured targets, such as keypoints (n_samples, 17, 2), are a target for each coordinate.
        Rows match by position; a pandas index that has those of `features` in another order is
        refused.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        "auto": strings and booleans are classes; real numbers are targets, unless all are whole
        numbers with at most 50 distinct values and at least 5 rows for each on average; several
        columns of 0 and 1 are multilabel. Integers, and such whole numbers, are classes if they
        have at most 20 distinct values, or look like names of classes: equally frequent, numbered
        from 0 or 1 without the smooth frequencies of a count, or sparse codes. Others, such as
        ages, years, counts and prices, also as text, and strings or integers with more distinct
        values than half the rows, raise an error: pass `task`. ``Score.task_note`` states the
        decision.
    intercept : bool or "auto", default="auto"
        Whether the linear model has a free constant term (flat prior). "auto": only for
        regression; classification goes without one, as in the paper.
    standardize : bool, default=False
        Score z-scored features: every column at mean 0 and variance 1, constant ones left out, from
        the same statistics. The prior then treats all columns alike, whatever their units.
    keep_coef : bool, default=False
        Keep the posterior mean as ``coef`` (n_targets, n_features) and ``offset`` (n_targets,),
        and the names of a frame's columns as ``feature_names``.
    precision : {"double", "single"}, default="double"
        "single" multiplies float32 features in float32, in blocks that are summed in float64:
        about twice as fast, and inexact for ill-conditioned features.
    method : {"auto", "tridiagonal", "svd"}, default="auto"
        "tridiagonal" is the fast path over mergeable statistics. "svd" decomposes a float64
        copy of the features, which takes that memory and is slower. "auto" is "tridiagonal", but
        "svd" where statistics determine fewer than nine digits (almost exact fits, features whose
        directions differ in scale by many orders) and "svd" takes about a second at most.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    score : Score
        Mean over classes or targets of the log evidence per sample, in nats; higher is better.
        `per_target`, `alpha`, `beta`, `converged`, `iterations` have one entry for each.
        `distinct_rows` is there where rows that repeat were counted once, see Notes.
        +inf, with a warning, where the targets are exactly linear in features of fewer directions
        than distinct rows, as where the labels are among them: the evidence is then unbounded. Such
        a model is first by LogME alone; a consensus leaves it to its other members.

    Raises
    ------
    DataError
        Wrong shapes, NaN or infinity (with row and column), missing labels, labels of an ambiguous
        task, constant targets with an intercept, targets that are all zero, features whose largest
        magnitude is not from 1e-110 to 1e110.
    DtypeError
        Object, string or complex features, sparse or masked arrays.

    Warns
    -----
    TransferabilityWarning
        Where the value is defined but may mislead, for example with one class only.

    Notes
    -----
    For a target y and features F, LogME is the global maximum over the prior precision
    :math:`\alpha` and the noise precision :math:`\beta` of

    .. math:: \tfrac1N \ln p(y \mid F, \alpha, \beta), \quad
              y \sim \mathcal N(Fw, \beta^{-1}I), \quad w \sim \mathcal N(0, \alpha^{-1}I).

    It does not change when all features are scaled by one factor, or rotated. Only classes that
    occur are counted. Without any signal the maximum is the limit :math:`\alpha \to \infty`, and
    `alpha` is inf.

    Rows that repeat, with equal labels and to within rounding, would let the evidence of features
    that can fit all other rows grow without bound. They are counted once: N is the number of
    distinct rows, and weights are relative to their mean. If every row occurs equally often, the
    value is that of the distinct rows. With at most as many rows as features, rows are compared;
    those with different labels are one row to each class or target in which they agree. With more,
    the rank of the features and the norms of rows tell; features that cannot fit all distinct rows
    count every row, so that with half of the rows repeated and nearly as many features as distinct
    rows the value is too high.

    Implementations in papers iterate a fixed point a few times and differ from the maximum;
    ``transferability.compat`` has their numbers.

    References
    ----------
    You, Liu, Wang, Long (2021). LogME: Practical Assessment of Pre-trained Models for Transfer
    Learning. ICML.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> tx.logme(features, labels) > tx.logme(noise, labels)
    True
    """
    asked = {"intercept": intercept, "standardize": standardize, "keep_coef": keep_coef}
    settings = {"precision": precision, "method": method, "n_threads": n_threads}
    return score_one("logme", features, labels, asked, task=task, **settings)


def options(
    task: str,
    *,
    intercept: bool | str = "auto",
    standardize: bool = False,
    keep_coef: bool = False,
) -> dict[str, object]:
    """Validate the options and return those of the kernel; "auto" means regression only."""
    if intercept == "auto":
        intercept = task == "regression"
    return {
        "intercept": flag("intercept", intercept, "True, False or 'auto'"),
        "standardize": flag("standardize", standardize),
        "keep_coef": flag("keep_coef", keep_coef),
        "skip_constant": task == "multilabel",
    }


def explain(score: Any) -> list[str]:
    """Return sentences that compare the score with uninformative features."""
    kind = "targets" if score.classes is None else "classes"
    lines = [
        f"It is the log evidence per sample, in nats, of a Bayesian linear model, the mean over "
        f"{len(score.targets)} {kind}."
    ]
    if "distinct_rows" in score.details:
        n_repeats = score.n_samples - score.details["distinct_rows"]
        lines.append(
            f"{n_repeats} of the {score.n_samples} rows are duplicates, to within rounding, of "
            f"another row with the same label: they are counted once, because the evidence of "
            f"features that can fit all distinct rows would be unbounded."
        )
    if score.classes is not None and not score.details.get("intercept"):
        # With weights of zero, a 0/1 column of n_c ones is noise of variance n_c/N.
        shares = [count / score.n_samples for count in score.class_counts]
        flat = [-(math.log(2 * math.pi * share) + 1) / 2 for share in shares]
        gains = [float(value) - base for value, base in zip(score.per_target, flat, strict=True)]
        lines.append(
            f"Features that know nothing would get {sum(flat) / len(flat):.4f} on these labels; "
            f"this is {sum(gains) / len(gains):.4f} more."
        )
        if len(gains) > 1:
            order = sorted(range(len(gains)), key=gains.__getitem__)
            worst, best = (f"{score.classes[i]} ({gains[i]:+.4f})" for i in (order[0], order[-1]))
            lines.append(f"It gains most on class {best} and least on class {worst}.")
    return lines


WHEN = "The default: one pass over the features, nothing to tune, classes and targets alike."
SPEC = MetricSpec(
    "logme",
    options,
    explain,
    WHEN,
    recommended={"intercept": True, "standardize": True},
    influence=True,
)
