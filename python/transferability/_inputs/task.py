"""Decide the task from labels: classification, regression or multilabel.

The decision is a function of the distinct values, the number of rows of each, and their kind. So it
can be made for an array or for the classes that statistics have counted, and no order and no split
of the rows changes it. The rules:

- *Strings* and *Booleans* are classes. If strings have more distinct values than half the rows, or
  look like texts, ``task`` must say what they are. So it must if there are more than 20, all are
  numbers and none is a code (``parse_labels``), and they are not whole, or would come to 6 below
  without being sparse: ages that were read from a file as text.
- *Real numbers* are targets, unless all are whole, with at most 50 distinct values and at least 5
  rows for each on average. Such numbers follow the rules for integers.
- *Integers*. The first of these that applies decides:

  1. There are more distinct values than half the rows: they may be anything, and ``task`` must say
     what they are.
  2. There are at most 20 distinct values: classes.
  3. All values have about as many rows, more evenly than if the rows had been drawn at random:
     classes, as in a balanced data set. Few measures are sampled like that.
  4. They look like *ids*: they start at 0 or 1 (or -1, or a little above if numbers are missing),
     and at least half of the numbers up to the last occur. They are classes if a number says
     nothing about its frequency. For counts and ages it does: near numbers are about as frequent,
     or multiples of 5 are more frequent than others, because people round. Of ids, only those that
     were given out by size are like that: they are still classes if no number is missing and the
     first ones are the most frequent. Otherwise go to 6.
  5. They look like *codes*, such as 1101 and 4302: most numbers between the common ones do not
     occur, though each value has 5 rows or more on average. Classes: a measure that was taken so
     often has gaps only in its tails.
  6. All others look like counts, ages, years or prices, and ``task`` must say what they are.

  A measure from 0 or 1 on whose values are all about as frequent, such as an angle in degrees,
  cannot be told from ids: it is taken for classes, and the user must say task="regression".
- *Rows of numbers* are multilabel if all are 0 or 1, else regression if they are real numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._util.delimited import parse_labels
from ..errors import DataError
from .texts import describe_strings

__all__ = ["FEW", "MAX_WHOLE", "count_values", "decide_rows_task", "decide_task"]
__all__ += ["find_short_span", "promote"]

MAX_WHOLE = 50  # whole floats with more distinct values are targets,
_MIN_ROWS = 5  # and so are whole floats with fewer rows for each
FEW = 20  # this many distinct integers are classes, whatever they look like
_FILLED = 0.5  # the share of the numbers in a range that separates ids from codes
#: Correlations of the frequencies of neighbours, and on average up to a tenth of the range, from
#: which on they vary smoothly: counts and ages have larger ones, and ids about 0.
_NEAR, _BROAD = 0.4, 0.2
_ROUND = 0.75  # how often a multiple of 5 exceeds another number; among ids 0.5
_Z_IDS = 4  # standard deviations of these statistics among ids
_Z = 3.7  # standard deviations that chance exceeds once in 10,000 times
_ORDER = "bif"  # the kind of several blocks is the last of their kinds

Values = NDArray[Any] | Sequence[Any]


def decide_task(
    kind: str,
    values: Values,
    counts: Values,
    remedy: str = "choose task='classification' or task='regression'",
) -> tuple[str, str]:
    """Decide the task of one label a row, and return it with the reason.

    Parameters
    ----------
    kind : {"b", "i", "f", "U"}
        Booleans, integers, whole real numbers or strings.
    values, counts : array-like of shape (n_distinct,)
        The distinct labels, sorted, and the number of rows of each.
    remedy : str
        What the user can do if the labels leave the task open, for the message.

    Raises
    ------
    DataError
        If the labels leave the task open.
    """
    n_rows = int(counts.sum()) if isinstance(counts, np.ndarray) else sum(counts)
    n_distinct = len(values)
    many = n_rows > 1 and n_distinct > n_rows / 2
    if kind == "b":
        return "classification", "classification, because the labels are booleans"
    if kind == "U":
        names = [*map(str, values)]
        note = describe_strings(names, n_rows)
        _refuse_written_measure(names, np.asarray(counts), remedy)
        return "classification", note
    if kind == "f" and (n_distinct > MAX_WHOLE or n_rows < _MIN_ROWS * n_distinct):
        return "regression", "regression, because the labels are real numbers"
    reason = "" if n_distinct <= FEW else _name_classes(np.asarray(values), np.asarray(counts))
    if many or reason is None:
        looks = "" if many else "; they look like counts, ages or another measure"
        raise DataError(
            f"labels has {n_distinct} distinct {'whole numbers' if kind == 'f' else 'integers'} in "
            f"{n_rows} rows, from {values[0]} to {values[-1]}, which may be classes or counts"
            f"{looks}; {remedy}"
        )
    if kind == "f":
        return "classification", (
            f"classification, because the labels are {n_distinct} distinct whole numbers{reason}; "
            f"pass task='regression' if they are targets"
        )
    return "classification", f"classification, because the labels are integers{reason}"


def decide_rows_task(kind: str, form: str, shape: tuple[int, int]) -> tuple[str, str]:
    """Decide the task of labels of a 2-D `shape`, and return it with the reason.

    `form` is "one-hot" if each row has a single 1 among 0, "binary" if all are 0 or 1, else
    "numbers".

    Raises
    ------
    DataError
        If the labels leave the task open.
    """
    if form != "numbers":
        hint = "; each row holds a single 1: for classes pass labels.argmax(axis=1)"
        note = "multilabel, because the labels are a 2-D array of 0 and 1"
        return "multilabel", note + (hint if form == "one-hot" else "")
    if kind == "f":
        return "regression", "regression, because the labels are a 2-D array of real numbers"
    raise DataError(
        f"labels of shape {shape} hold integers other than 0 and 1; choose task='regression' for "
        f"{shape[1]} targets, or give one column of classes"
    )


def promote(kind: str, other: str) -> str:
    """Return the kind of labels of two kinds together, as NumPy concatenates them."""
    if kind == other:
        return kind
    if "U" in (kind, other):
        raise DataError("labels mix integers and strings across blocks; use one kind for all")
    return max(kind, other, key=_ORDER.index)


def count_values(array: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct values, sorted, and how often each occurs."""
    if array.dtype.kind == "i":
        low, high = int(array.min()), int(array.max())
        if high - low <= array.size:  # counting takes one pass, sorting several
            counts = np.bincount(array.reshape(-1) - low)
            present = counts.nonzero()[0]
            return present + low, counts[present]
    return np.unique(array, return_counts=True)


def find_short_span(array: NDArray[np.int64]) -> range | None:
    """Return the integers from the least to the largest, if so few are classes however frequent.

    It saves counting the values.
    """
    low, high = _core.span(array)
    is_short = high - low < min(FEW, array.size // 2)
    return range(low, high + 1) if is_short else None


def _refuse_written_measure(names: Sequence[str], counts: NDArray[Any], remedy: str) -> None:
    """Raise DataError if many strings are numbers that look like a measure, not like names."""
    parsed = parse_labels(names) if len(names) > FEW else names
    if isinstance(parsed[0], str):
        return  # words, codes, or few
    values = np.array(parsed)
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    is_whole = bool((values == np.floor(values)).all()) and bool((np.abs(values) < 2.0**63).all())
    if is_whole and (_name_classes(values, counts) or _is_sparse(*_place(values, counts))):
        return
    raise DataError(
        f"labels has {len(names)} distinct strings in {counts.sum()} rows, which are numbers from "
        f"{values[0]} to {values[-1]} and may be classes or counts; they look like counts, ages or "
        f"another measure that was read as text; {remedy}"
    )


def _name_classes(values: NDArray[Any], counts: NDArray[Any]) -> str | None:
    """Return why many distinct integers look like names of classes; None if they do not."""
    n_distinct, n_rows = len(values), int(counts.sum())
    if _are_even(counts):
        return ", equally frequent"
    places, inner = _place(values, counts)
    n_numbers = int(places[-1]) + 1
    gaps = np.diff(inner)
    widest = int(gaps.max()) - 1 if gaps.size else 0
    if n_distinct >= _FILLED * n_numbers and -1 <= values[0] <= 1 + widest:
        return _name_ids(int(values[0]), places.astype(np.intp), counts)
    is_common = n_rows >= _MIN_ROWS * n_distinct
    return ", like codes" if is_common and _is_sparse(places, inner) else None


def _place(
    values: NDArray[Any], counts: NDArray[Any]
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Return distances from the least integer: of all, and of those that 80 % of the rows have."""
    # Unsigned differences are right for any 64-bit integers.
    places = values.astype(np.int64).view(np.uint64)
    places = places - places[0]
    cumulated = np.cumsum(counts)
    low, high = np.searchsorted(cumulated, [0.1 * cumulated[-1], 0.9 * cumulated[-1]])
    return places, places[low : high + 1]


def _is_sparse(places: NDArray[np.uint64], inner: NDArray[np.uint64]) -> bool:
    """Return whether most numbers between the common ones, `inner`, do not occur."""
    step = np.gcd.reduce(np.diff(places))  # prices in steps of 10 are not sparse
    span = inner[-1] - inner[0]
    return all(len(inner) < _FILLED * (int(span // unit) + 1) for unit in (np.uint64(1), step))


def _name_ids(first: int, places: NDArray[np.intp], counts: NDArray[Any]) -> str | None:
    """Return why numbers from 0 or 1 on look like ids of classes; None if like a count."""
    frequencies = np.zeros(places[-1] + 1)
    frequencies[places] = counts
    is_round = np.arange(first, first + frequencies.size) % 5 == 0
    some, others = frequencies[is_round], frequencies[~is_round]
    if _exceed(some, others):
        return None
    if not _vary_smoothly(frequencies) and not _vary_smoothly(others):
        return ", numbered throughout"
    falls = frequencies[: frequencies.size // 10].max() >= frequencies.max() / 2
    return ", sorted by frequency" if falls and frequencies.min() > 0 else None


def _exceed(some: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Return whether some frequencies are larger than others, by Mann and Whitney's statistic."""
    ranks = _rank(np.concatenate([some, others]))
    pairs = some.size * others.size
    share = ranks[: some.size].sum() / pairs + 0.5  # of the pairs in which the former is larger
    chance = np.sqrt((ranks.size + 1) / (12 * pairs))
    return bool(share >= max(_ROUND, 0.5 + _Z_IDS * chance))


def _vary_smoothly(frequencies: NDArray[np.float64]) -> bool:
    """Return whether the frequencies of near numbers are correlated, by their ranks.

    Among ids, the mean of n correlations is about 0 with standard deviation 1 / sqrt(n size).
    """
    ranks = _rank(frequencies)
    if not ranks.any():
        return False
    spectrum = np.fft.rfft(ranks, 2 * ranks.size)  # zeros after the end: no wrapping around
    products = np.fft.irfft(np.abs(spectrum) ** 2)
    for distance, least in ((1, _NEAR), (max(2, ranks.size // 10), _BROAD)):
        mean = products[1 : distance + 1].mean() / products[0]
        if mean >= max(least, _Z_IDS / np.sqrt(distance * ranks.size)):
            return True
    return False


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the ranks, equal ones averaged, less their mean."""
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(sizes) - (sizes - 1) / 2)[group]
    centred: NDArray[np.float64] = ranks - ranks.mean()
    return centred


def _are_even(counts: NDArray[Any]) -> bool:
    """Return whether counts are more even than those of random rows are once in 10,000 times.

    The statistic is that of the chi-squared test, with the approximation of Wilson and Hilferty. A
    value that no row has is not counted, so counts of random rows are Poisson without 0: with
    parameter r and mean m = r / (1 - exp(-r)), their variance is m (1 + r - m).
    """
    mean, freedom = float(counts.mean()), len(counts) - 1
    rate = mean
    for _ in range(100):
        rate = mean * -np.expm1(-rate)
    spread = 2 / (9 * freedom)
    least = (1 - spread - _Z * np.sqrt(spread)) ** 3
    return bool(counts.var(ddof=1) <= least * mean * (1 + rate - mean))
