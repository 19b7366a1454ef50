"""Linear CKA: the alignment of features with labels, targets or other features."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .._inputs.arrays import as_features, finite_floats, is_one_of
from .._inputs.inputs import RowSource
from .._inputs.rows import check_rows
from .._inputs.target import Target
from .._inputs.types import ArrayLike
from .._metric.options import choice
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DataError

__all__ = ["cka"]


def cka(
    features: ArrayLike,
    labels: ArrayLike | None = None,
    *,
    other_features: ArrayLike | None = None,
    estimator: str = "unbiased",
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the linear centred kernel alignment (CKA) of features with labels or other features.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples[, n_targets])
        As in :func:`transferability.logme`.
    other_features : array-like of shape (n_samples, n_other_features), optional
        In place of `labels`: features of the same rows from another model or layer, or features in
        files, which are read at once. The order of the two sets does not matter.
    estimator : {"unbiased", "biased"}, default="unbiased"
        "unbiased" needs at least 4 rows and may fall below 0 by chance; "biased" grows with
        n_features / n_samples.
    task, precision, n_threads
        As in :func:`transferability.logme`.

    Returns
    -------
    score : Score
        At most 1; higher is better. The unbiased estimate is at least -1, the biased one at least
        0. Both are 0, with a warning, where no feature varies, and the unbiased one also where only
        one row differs from the others. It has no `per_target`.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single class; targets that do not vary; more targets
        than features in ``Stats.score``, because statistics do not hold their products. Of the
        unbiased estimator: fewer than 4 rows, and labels in which all rows, or all but one row
        beside a single class, are alone in their class.

    Notes
    -----
    With the products K of the rows of centred features and L of those of centred targets, or of 0/1
    columns of the classes, and an estimate HSIC of the Hilbert-Schmidt independence criterion:

    .. math:: \operatorname{CKA} = \frac{\operatorname{HSIC}(K, L)}
              {\sqrt{\operatorname{HSIC}(K, K)\, \operatorname{HSIC}(L, L)}}.

    "biased" takes HSIC = tr KL, as Kornblith et al. do. Unrelated features then score above 0, the
    more the wider they are: 64 random features and four balanced classes score 0.257, 0.159, 0.090,
    0.048 and 0.013 for 32, 64, 128, 256 and 1024 rows. "unbiased" takes HSIC₁ of Song et al., which
    is 0 on average for unrelated features: 0.017, 0.012, 0.002, -0.001 and 0.000 there. Compare
    models of different widths by "unbiased".

    CKA does not change when features or targets are shifted, rotated or scaled as a whole.
    Directions of large variance dominate it. Statistics of blocks merge to the exact value of all
    rows. So do those of two sets of features, ``Stats("regression").update(features,
    other_features)`` with the wider set first, where Nguyen et al. average HSIC₁ over minibatches.

    References
    ----------
    Kornblith, Norouzi, Lee, Hinton (2019). Similarity of Neural Network Representations
    Revisited. ICML.

    Song, Smola, Gretton, Bedo, Borgwardt (2012). Feature Selection via Dependence Maximization.
    JMLR 13, theorem 2.

    Nguyen, Raghu, Kornblith (2021). Do Wide and Deep Networks Learn the Same Things? ICLR.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = np.arange(200) % 4
    >>> features, noise = np.eye(4)[labels], rng.normal(size=(200, 4))
    >>> round(tx.cka(features, labels), 6), abs(tx.cka(noise, labels)) < 0.1
    (1.0, True)

    Two sets of features:

    >>> rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    >>> round(tx.cka(noise, other_features=noise @ rotation), 6)
    1.0
    """
    if other_features is not None:
        features, labels = _read_two(features, labels, other_features, task)
        task = "auto"
    return score_one(
        "cka",
        features,
        labels,
        {"estimator": estimator},
        task=task,
        precision=precision,
        n_threads=n_threads,
    )


def _read_two(features: object, labels: object, other: object, task: str) -> tuple[object, Target]:
    """Validate two sets of features; return one of them and the other as real targets."""
    if labels is not None:
        raise DataError("cka compares features with labels or with other_features; give one")
    if not is_one_of(task, ("auto", "regression")):
        raise DataError(f"task is {task!r}; with other_features leave it out")
    check_rows((), features=features, other_features=other)
    for source in (features, other):
        if isinstance(source, RowSource):
            source.check_order()
    loaded = other.load() if isinstance(other, RowSource) else other
    array, warnings = as_features(loaded, "other_features")
    first = features
    if not isinstance(first, RowSource):
        first, notes = as_features(features)
        warnings = (*notes, *warnings)
    if first.shape[0] != len(array):
        raise DataError(
            f"other_features has {len(array)} rows but features has {first.shape[0]}; give the "
            f"same rows in both"
        )
    first, array = _in_order(first, array)
    values = array.astype("float64", order="C", copy=False)
    columns = tuple(range(values.shape[1]))
    note = "two sets of features"
    return first, Target("regression", note, values=values, columns=columns, warnings=warnings)


def _in_order(first: Any, second: NDArray[Any]) -> tuple[Any, NDArray[Any]]:
    """Return the set that is read as features, then the one that is read as targets.

    Statistics hold the products of targets up to as many as there are features, so the wider set
    comes first. But features may be constant, and targets not.
    """
    if isinstance(first, RowSource):
        if _varies(second):
            return first, finite_floats(second, "other_features")
        first = first.load()
    if _varies(first) and (second.shape[1] > first.shape[1] or not _varies(second)):
        return finite_floats(second, "other_features"), finite_floats(first)
    return first, finite_floats(second, "other_features")


def _varies(array: NDArray[Any]) -> bool:
    """Whether any row differs from the first; of most arrays the second does."""
    return any(bool((row != array[0]).any()) for row in array[1:])


def options(task: str, *, estimator: str = "unbiased") -> dict[str, object]:
    """Validate the estimator and return the kernel options."""
    return {"estimator": choice("estimator", estimator, ("unbiased", "biased"))}


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    kind = "targets" if score.classes is None else "classes"
    lines = [
        f"It is the alignment of two similarity matrices of the samples, by their features and by "
        f"their {kind}: 1 if they are proportional, 0 if they are unrelated."
    ]
    if float(score) < 0:
        lines.append("The estimate is below 0 by chance: it shows no relation in these samples.")
    return lines


WHEN = "Alignment of features and labels as a whole; rotation and scale do not matter."
SPEC = MetricSpec("cka", options, explain, WHEN)
