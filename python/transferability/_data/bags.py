r"""Pool the rows of bags: the patches of a slide, windows of a recording, chunks of a document.

For the rows x₁ … x_n of a bag, column by column:

| pool | row of the bag |
|---|---|
| mean | Σ x / n |
| max | the largest x |
| mean_std | the mean, then √(Σ (x - mean)² / n), in 2·D columns |
| mean_max | the mean, then the largest x, in 2·D columns |
| logsumexp | log(Σ exp(x) / n), between mean and max |

Each is a fold over the rows in their order, in float64, so that the bits of a result do not depend
on the batches in which the rows come. Sums are of differences from the first row of the bag: a
column that is constant stays exactly constant, and an offset costs no digits.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features, check_choice, finite_floats
from .._inputs.labels import as_whole_ids, read_labels
from .._inputs.rows import check_rows
from .._inputs.types import ArrayLike
from ..errors import DataError

__all__ = [
    "BAG_POOLS",
    "BagPooler",
    "PooledBags",
    "check_bag_labels",
    "pool_bags",
    "pooled_width",
    "read_bag_ids",
]

#: The poolings of bags by name, with the number of columns for each feature.
BAG_POOLS = {"mean": 1, "max": 1, "mean_std": 2, "mean_max": 2, "logsumexp": 1}
#: The running values that each pooling needs.
_FOLDS = {
    "mean": ("sum",),
    "max": ("max",),
    "mean_std": ("sum", "square"),
    "mean_max": ("sum", "max"),
    "logsumexp": ("logsum",),
}
_UFUNCS = {"sum": np.add, "square": np.add, "max": np.maximum, "logsum": np.logaddexp}
_START = {"sum": 0.0, "square": 0.0, "max": -np.inf, "logsum": -np.inf}
#: Rows that :func:`pool_bags` converts at once.
_BLOCK = 16_384


class PooledBags(NamedTuple):
    """Features of bags with their ids and labels, in the order of each bag's first row.

    Attributes
    ----------
    features : ndarray of shape (n_bags, D) or (n_bags, 2·D)
        One row a bag, in float64.
    ids : list of int or str
        The id of each bag.
    labels : ndarray of shape (n_bags,) or (n_bags, n_targets), or None
        The label of each bag; None without labels.
    """

    features: NDArray[np.float64]
    ids: list[Any]
    labels: NDArray[Any] | None = None


def pool_bags(
    features: ArrayLike,
    bags: ArrayLike,
    pool: str = "mean",
    labels: ArrayLike | None = None,
) -> PooledBags:
    """Pool the rows of each bag to one row.

    A bag is what has one label but many rows of features: a slide, a recording, a protein, a
    document. Pool before you score, because a metric takes rows for independent samples.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        One row for each part.
    bags : array-like of shape (n_samples,)
        The id of each row's bag, integers or strings. The rows of a bag need not be adjacent.
    pool : {"mean", "max", "mean_std", "mean_max", "logsumexp"}, default="mean"
        Pooling, column by column. "mean_std" and "mean_max" have both in 2·D columns, the mean
        first; the standard deviation is divided by n. "logsumexp" is log(mean(exp(x))).
    labels : array-like of shape (n_samples,) or (n_samples, n_targets), optional
        The label of each row, the same in all rows of a bag.

    Returns
    -------
    pooled : PooledBags
        ``features``, ``ids`` and ``labels`` of the bags, in the order of their first rows.

    Raises
    ------
    DataError, DtypeError
        If an argument is invalid, a feature is NaN or infinite, or the labels of a bag differ.

    Examples
    --------
    >>> import transferability as tx
    >>> features, ids, labels = tx.pool_bags(
    ...     [[1.0, 2.0], [3.0, 4.0], [5.0, 0.0]], ["b", "a", "b"], labels=[1, 0, 1]
    ... )
    >>> features.tolist(), ids, labels.tolist()
    ([[3.0, 1.0], [3.0, 4.0]], ['b', 'a'], [1, 0])
    """
    check_choice("pool", pool, tuple(BAG_POOLS))
    check_rows((), features=features, bags=bags, labels=labels)
    array, _ = as_features(features)
    ids = read_bag_ids(bags, len(array), "bags")
    own = None if labels is None else read_labels(labels)[0]
    if own is not None and len(own) != len(array):
        raise DataError(f"labels has {len(own)} entries but features has {len(array)} rows")
    pooler = BagPooler(pool)
    finite_floats(array)
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(array), _BLOCK):
            part = slice(start, start + _BLOCK)
            pooler.add(ids[part], array[part], None if own is None else own[part])
        pooled = pooler.close()
    if not (fits := np.isfinite(pooled.features).all(axis=1)).all():
        raise DataError(
            f"the features of bag {pooled.ids[int(np.argmin(fits))]!r} are so large that "
            f"pool={pool!r} overflows; scale them down"
        )
    return pooled


def pooled_width(n_features: int, pool: str) -> int:
    """Return the number of columns of pooled bags."""
    return n_features * BAG_POOLS[pool]


def read_bag_ids(bags: object, n_rows: int, name: str = "bag") -> list[Any]:
    """Validate the id of each row's bag; return integers or strings."""
    array, _ = read_labels(bags, name)
    if array.shape != (n_rows,):
        raise DataError(
            f"{name} has shape {array.shape} for {n_rows} rows; give the id of each row's bag"
        )
    ids: list[Any] = as_whole_ids(array, name, "ids of bags").tolist()
    if (empty := next((i for i, own in enumerate(ids) if own == "" and own is not False), -1)) >= 0:
        raise DataError(f"{name}[{empty}] is empty; give each row the id of its bag")
    return ids


def check_bag_labels(
    labels: Any,
    first: Sequence[int],
    ids: Sequence[Any],
    row_of: Callable[[int], int] = int,
) -> None:
    """Raise DataError unless each label is that of the first row of its bag.

    `first` has for each row the position of that first row, and `ids` the id of its bag; `row_of`
    returns the number of a row in messages.
    """
    for row, begin in enumerate(first):
        if row != begin and not _is_same(labels[row], labels[begin]):
            raise DataError(
                f"bag {ids[row]!r} has the label {_show(labels[begin])} in row {row_of(begin)} and "
                f"{_show(labels[row])} in row {row_of(row)}; the rows of a bag need one label: "
                f"correct them, or choose bags whose rows share it"
            )


def _is_same(a: Any, b: Any) -> bool:
    if isinstance(a, (str, int)) or isinstance(b, (str, int)):
        return bool(a == b)
    x, y = np.asarray(a), np.asarray(b)  # missing labels are refused where labels are read
    return bool(np.array_equal(x, y, equal_nan=x.dtype.kind == y.dtype.kind == "f"))


def _show(label: Any) -> str:
    return repr(label.tolist() if isinstance(label, (np.ndarray, np.generic)) else label)


class _ClosedBags:
    """The ids of closed bags; whole numbers that count up take no memory."""

    def __init__(self) -> None:
        self._counted = range(0)
        self._others: set[Hashable] = set()

    def add(self, bag: Hashable) -> None:
        if type(bag) is int and bag == self._counted.stop:
            self._counted = range(bag + 1)
        else:
            self._others.add(bag)

    def __contains__(self, bag: Hashable) -> bool:
        return bag in self._others or (type(bag) is int and bag in self._counted)


class BagPooler:
    """Pool the rows of bags that come in batches.

    A bag holds one row, or two, until it is closed. All bags stay open until :meth:`close`, or, if
    they are `adjacent`, until a row of another one follows. A closed bag takes no more rows.
    """

    def __init__(self, pool: str, adjacent: bool = False) -> None:
        self.pool, self.adjacent = pool, adjacent
        self._slots: dict[Hashable, int] = {}  # of open bags, in the order of their first rows
        self._closed = _ClosedBags()
        self._counts = np.zeros(0, np.int64)
        self._first = np.zeros((0, 0))
        self._values: dict[str, NDArray[np.float64]] = {}
        self._labels: list[Any] = []

    @property
    def n_open(self) -> int:
        """The number of open bags."""
        return len(self._slots)

    def check(self, ids: Sequence[Hashable], labels: NDArray[Any] | None) -> None:
        """Raise DataError if a bag is closed, or has a row with another label."""
        begins: dict[Hashable, int] = {}
        for row, bag in enumerate(ids):
            begins.setdefault(bag, row)
        if again := [bag for bag in begins if bag in self._closed]:
            why = "it was pooled when results were read; read results after the last batch"
            if self.adjacent:
                why = "rows of another one; keep the rows of each bag together"
            raise DataError(f"bag {again[0]!r} has a row after {why}")
        if labels is None:
            return
        check_bag_labels(labels, [begins[bag] for bag in ids], ids)
        for bag, row in begins.items():
            slot = self._slots.get(bag)
            if slot is not None and not _is_same(self._labels[slot], labels[row]):
                raise DataError(
                    f"bag {bag!r} has the label {_show(self._labels[slot])} in an earlier batch "
                    f"and {_show(labels[row])} here; the rows of a bag need one label"
                )

    def add(
        self, ids: Sequence[Hashable], rows: NDArray[Any], labels: NDArray[Any] | None = None
    ) -> None:
        """Add the rows (n, D) of a batch to their bags."""
        self.check(ids, labels)
        before = len(self._slots)
        slots = np.fromiter(
            (self._slots.setdefault(bag, len(self._slots)) for bag in ids), np.int64, len(ids)
        )
        x = np.asarray(rows, np.float64)
        new, where = np.unique(slots, return_index=True)
        where = where[new >= before]
        self._grow(x.shape[1])
        self._first[before : len(self._slots)] = x[where]
        if labels is not None:
            self._labels += [labels[row] for row in where]
        self._counts[: len(self._slots)] += np.bincount(slots, minlength=len(self._slots))
        differences = x - self._first[slots]
        steps = _plan_steps(slots)
        for name, values in self._values.items():
            terms = {"sum": differences, "square": differences * differences}.get(name, x)
            _fold(_UFUNCS[name], values, terms, steps)

    def take(self) -> PooledBags:
        """Close and return the bags that are complete: all but the last if they are adjacent."""
        return self._close(max(len(self._slots) - 1, 0) if self.adjacent else 0)

    def close(self) -> PooledBags:
        """Close all bags, and return those not returned before."""
        return self._close(len(self._slots))

    def _close(self, n: int) -> PooledBags:
        """Close the first `n` open bags."""
        bags = list(self._slots)
        done, rest = bags[:n], bags[n:]
        labels = self._labels[:n]
        pooled = PooledBags(self._pooled(n), done, np.asarray(labels) if labels else None)
        if labels and isinstance(labels[0], str):  # as wide as each entry, not as the longest
            pooled = pooled._replace(labels=np.array(labels, dtype=object))
        for bag in done:
            self._closed.add(bag)
        self._slots = {bag: slot for slot, bag in enumerate(rest)}
        self._labels = self._labels[n:]
        for array in (self._counts, self._first, *self._values.values()):
            array[: len(rest)] = array[n : n + len(rest)].copy()
        self._counts[len(rest) :] = 0
        for name, values in self._values.items():
            values[len(rest) :] = _START[name]
        return pooled

    def _pooled(self, n: int) -> NDArray[np.float64]:
        count, values = self._counts[:n, None], {k: v[:n] for k, v in self._values.items()}
        if self.pool == "max":
            return values["max"].copy()
        if self.pool == "logsumexp":
            found: NDArray[np.float64] = values["logsum"] - np.log(count)
            return found
        shift = values["sum"] / count
        mean = self._first[:n] + shift
        if self.pool == "mean":
            return mean
        if self.pool == "mean_max":
            return np.hstack([mean, values["max"]])
        return np.hstack([mean, np.sqrt(np.maximum(values["square"] / count - shift * shift, 0))])

    def _grow(self, n_features: int) -> None:
        """Make room for all open bags, by doubling."""
        if not self._values:
            self._first = np.zeros((0, n_features))
            self._values = {name: np.zeros((0, n_features)) for name in _FOLDS[self.pool]}
        held, needed = len(self._counts), len(self._slots)
        if needed <= held:
            return
        more = max(needed, 2 * held) - held
        self._counts = np.concatenate([self._counts, np.zeros(more, np.int64)])
        self._first = np.concatenate([self._first, np.zeros((more, n_features))])
        for name, values in self._values.items():
            self._values[name] = np.concatenate([values, np.full((more, n_features), _START[name])])


def _plan_steps(slots: NDArray[np.int64]) -> list[tuple[Any, NDArray[np.int64]]]:
    """Return (slot or slots, rows) of each step of a fold, in the fewer of two ways.

    Either a step folds all rows of one bag, or the k-th row of each bag that has so many. The order
    of rows within a bag, and with it the rounding, is the same.
    """
    order = np.argsort(slots, kind="stable")
    ordered = slots[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    sizes = np.diff(np.r_[starts, len(slots)])
    if len(starts) <= sizes.max():
        return [
            (int(ordered[begin]), order[begin : begin + size])
            for begin, size in zip(starts.tolist(), sizes.tolist(), strict=True)
        ]
    places = np.arange(len(slots)) - np.repeat(starts, sizes)
    by_place = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[by_place], np.arange(sizes.max() + 1))
    steps = [by_place[a:b] for a, b in pairwise(bounds)]
    return [(ordered[step], order[step]) for step in steps]


def _fold(
    ufunc: np.ufunc,
    values: NDArray[np.float64],
    terms: NDArray[np.float64],
    steps: Sequence[tuple[Any, NDArray[np.int64]]],
) -> None:
    """Fold terms into the running values of their bags, in place and in the order of rows."""
    for slot, rows in steps:
        if isinstance(slot, int):  # accumulate is sequential; reduce may add pairwise
            values[slot] = ufunc.accumulate(np.vstack([values[slot], terms[rows]]), axis=0)[-1]
        else:
            values[slot] = ufunc(values[slot], terms[rows])
