"""Resamples of the rows that all models share, and what the scores would be on them.

Rows are resampled in units: single rows, groups of them, or blocks. A resample is how often each
unit counts; it is the same for all models, so that what they have in common cancels in comparisons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._metric.registry import spec_of
from .._metric.score import Score
from .._scoring.evaluate import accumulate, evaluate
from ..errors import DataError

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs
    from .._inputs.target import Target
    from .._stats.stats import Stats

__all__ = ["BLOCKS", "Units", "blocks", "exact", "jackknife", "leave_one_out", "row_influences"]

Rows = NDArray[np.float64]
#: Blocks of rows that are left out one by one where rows have no influences of their own.
BLOCKS = 50


@dataclass(frozen=True, eq=False)
class Units:
    """What is resampled; `codes` (n_samples,) is the unit of each row."""

    codes: NDArray[np.intp]
    n_units: int
    kind: str  # "rows", "groups" or "blocks"

    def draws(self, n_boot: int, seed: int, halves: bool = False) -> Iterator[NDArray[np.int64]]:
        """Give resample by resample how often each unit counts, (n_units,), 1 on average.

        `halves` takes every other unit twice instead of drawing with replacement: the same
        variance, without any row beside its own copy.
        """
        rng, n = np.random.default_rng(seed), self.n_units
        for _ in range(n_boot):
            if halves:
                count = np.zeros(n, dtype=np.int64)
                count[rng.permutation(n)[: n // 2]] = 1
                yield 2 * count
            else:
                yield np.bincount(rng.integers(n, size=n), minlength=n)

    def sums(self, values: Rows) -> Rows:
        """Sum what belongs to rows over each unit, (n_units,)."""
        sums = np.bincount(self.codes, weights=values, minlength=self.n_units).astype(np.float64)
        return sums

    def rows(self, unit: int) -> NDArray[np.intp]:
        """Give the rows of one unit."""
        return np.flatnonzero(self.codes == unit)


def blocks(target: Target, seed: int) -> Units:
    """Deal the rows at random into blocks, so that classes are spread evenly over them."""
    n_samples = target.n_samples
    n_units = min(BLOCKS, n_samples)
    shuffled = np.random.default_rng(seed).permutation(n_samples)
    if target.ids is not None:
        shuffled = shuffled[np.argsort(target.ids[shuffled], kind="stable")]
    codes = np.empty(n_samples, dtype=np.intp)
    codes[shuffled] = np.arange(n_samples) % n_units
    return Units(codes, n_units, "blocks")


def row_influences(
    given: Inputs, metric: str, options: Mapping[str, Any], common: Mapping[str, Any], value: float
) -> Rows | None:
    """Give the influence of every row on a score, divided by their number; None without any."""

    def scored(more: Mapping[str, Any], **how: Any) -> Score | Exception:
        return evaluate(given, {metric: {**options, **more}}, **{**common, **how})[metric]

    def run(**more: Any) -> Score:
        # Influences are those of the statistics; where these lack digits, there are none.
        found = scored(more, method="tridiagonal")
        if _is(found, value):
            assert isinstance(found, Score), "as was seen"
            return found
        if _is(scored({}), value):
            raise _NoInfluenceError
        now = str(found) if isinstance(found, Exception) else f"{float(found):.6g}"
        raise DataError(
            f"the {metric} of these features was {value:.6g} when they were ranked, now: {now}; "
            f"they have changed; rank again"
        )

    try:
        found = influence_of(metric, given, options, run)
    except _NoInfluenceError:
        return None
    return None if found is None else found / given.target.n_samples


class _NoInfluenceError(Exception):
    """The score is right but not from statistics."""


def _is(score: Score | Exception, value: float) -> bool:
    """Tell whether features are still what they were, by their score."""
    return isinstance(score, Score) and bool(np.isclose(float(score), value, rtol=1e-5, atol=1e-8))


def jackknife(
    given: Inputs,
    metric: str,
    options: Mapping[str, Any],
    common: Mapping[str, Any],
    units: Units,
) -> list[Score | Exception]:
    """Score without each unit in turn; in statistics where the metric is a function of these."""
    request = {metric: dict(options)}
    keep = {key: value for key, value in common.items() if key != "method"}
    if spec_of(metric).reads_statistics_only:
        parts = [
            accumulate(given.take(units.rows(u)), request, **keep) for u in range(units.n_units)
        ]
        return leave_one_out(parts, lambda stats: stats.outcomes(request)[metric])
    left = (given.take(np.flatnonzero(units.codes != u)) for u in range(units.n_units))
    return [evaluate(part, request, **common)[metric] for part in left]


def leave_one_out(
    parts: Sequence[Stats], score: Callable[[Stats], Score | Exception]
) -> list[Score | Exception]:
    """Score the sum of all statistics but one, for each; log2(n) sums are alive at a time."""

    def without(start: int, end: int, outside: Stats | None) -> list[Score | Exception]:
        if end - start == 1:
            return [DataError("nothing is left") if outside is None else score(outside)]
        middle = (start + end) // 2
        left, right = (_sum(parts[a:b]) for a, b in ((start, middle), (middle, end)))
        return [
            *without(start, middle, right if outside is None else outside + right),
            *without(middle, end, left if outside is None else outside + left),
        ]

    return without(0, len(parts), None)


def exact(
    given: Inputs,
    metric: str,
    options: Mapping[str, Any],
    common: Mapping[str, Any],
    units: Units,
    n_boot: int,
    seed: int,
) -> list[Score | Exception]:
    """Score every resample anew, with its rows repeated."""
    halves = "samples" in spec_of(metric).needs
    place = np.arange(given.target.n_samples)
    found = []
    for count in units.draws(n_boot, seed, halves):
        again = np.minimum(count, 1) if halves else count
        part = given.take(np.repeat(place, again[units.codes]))
        found.append(evaluate(part, {metric: dict(options)}, **common)[metric])
    return found


def _sum(parts: Sequence[Stats]) -> Stats:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def influence_of(
    metric: str, given: Inputs, options: Mapping[str, Any], run: Callable[..., Score]
) -> NDArray[np.float64] | None:
    """Return the influence of every row on a metric, (n_samples,); None where it has none."""
    influence = spec_of(metric).influence
    found = None if influence is None else influence(given, options, run)
    return found if found is not None and bool(np.isfinite(found).all()) else None
