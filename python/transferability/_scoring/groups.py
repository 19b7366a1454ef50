"""Scores of groups of rows (videos, patients, domains), and what is made of them.

Every group goes once into statistics of its own; those of all rows together are their sum.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.labels import read_labels
from .._metric.score import Score
from ..errors import DataError, TransferabilityError

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs
    from .._stats.stats import Stats

__all__ = ["Groups", "evaluate_groups", "pool_groups", "read_groups", "summary"]

_QUANTILE = re.compile(r"quantile\((.*)\)")
_SHOWN = 3  # groups that a warning names


@dataclass(frozen=True, eq=False)
class Groups:
    """Which rows belong together; the rows of a group are a slice where they stand together."""

    names: tuple[int | str, ...]
    rows: tuple[slice | NDArray[np.intp], ...]
    codes: NDArray[np.intp]
    aggregate: str = "pooled"


def read_groups(groups: object, n_samples: int, aggregate: str = "pooled") -> Groups | None:
    """Check the arguments `groups` and `aggregate`; None without groups."""
    summary(aggregate)
    if groups is None:
        if aggregate != "pooled":
            raise DataError(
                f"aggregate={aggregate!r} needs groups: pass groups, the group of each row"
            )
        return None
    array, _ = read_labels(groups, "groups")
    if array.shape != (n_samples,):
        raise DataError(
            f"groups has shape {array.shape} for {n_samples} rows; give one group for each row"
        )
    if array.dtype.kind == "f" and bool((array != np.floor(array)).any()):
        row = int(np.flatnonzero(array != np.floor(array))[0])
        raise DataError(f"groups[{row}] is {array[row]:g}; groups must be integers or strings")
    if array.dtype.kind == "f":
        array = array.astype(np.int64)
    names, codes = np.unique(array, return_inverse=True)
    codes = codes.reshape(-1)
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows = tuple(_span(order[a:b]) for a, b in pairwise(bounds))
    return Groups(tuple(names.tolist()), rows, codes, aggregate)


def _span(rows: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    """Give rows that stand together as a slice, which copies nothing."""
    whole = int(rows[-1]) - int(rows[0]) + 1 == len(rows)
    return slice(int(rows[0]), int(rows[-1]) + 1) if whole else rows


def summary(aggregate: str) -> Callable[[Sequence[float]], float]:
    """Give the function that makes one value of the groups' scores."""
    share = {"min": 0.0, "median": 0.5, "pooled": math.nan, "mean": math.nan}.get(aggregate, -1.0)
    if matched := _QUANTILE.fullmatch(str(aggregate)):
        try:
            share = float(matched[1])
        except ValueError:
            share = -1.0
    if not (0.0 <= share <= 1.0 or math.isnan(share)) or str(aggregate) == "quantile(nan)":
        raise DataError(
            f"aggregate is {aggregate!r}; choose 'pooled', 'min', 'mean', 'median' or "
            f"'quantile(q)' with q from 0 to 1"
        )

    def of(values: Sequence[float]) -> float:
        if math.isnan(share):
            return math.fsum(values) / len(values)
        ordered = sorted(values)
        place = share * (len(ordered) - 1)
        low, part = int(place), place - int(place)
        if not part:
            return ordered[low]
        # An infinite score stays one: inf - inf would be NaN. Rounding leaves no quantile outside.
        between = ordered[low] * (1 - part) + ordered[low + 1] * part
        return min(max(between, ordered[low]), ordered[low + 1])

    return of


def evaluate_groups(
    groups: Groups, given: Inputs, requests: Mapping[str, dict[str, Any]], **common: Any
) -> dict[str, Score | Exception]:
    """Compute metrics for every group and from these for all; like ``_evaluate.evaluate``."""
    from .evaluate import accumulate, evaluate

    given, pooling = given.in_memory(), groups.aggregate == "pooled"
    passing = {key: value for key, value in common.items() if key != "method"}
    found: dict[str, dict[int | str, Score]] = {name: {} for name in requests}
    failed: dict[str, dict[int | str, Exception]] = {name: {} for name in requests}
    whole: dict[str, Stats] = {}
    for group, rows in zip(groups.names, groups.rows, strict=True):
        part = given.take(rows)
        try:
            states = accumulate(part, requests, **passing)
        except TransferabilityError as error:
            text = f"group {group!r}, rows counted within it: {error}"
            raise type(error)(text) from error
        if pooling:
            whole = {kind: whole[kind] + own if whole else own for kind, own in states.items()}
        results: Mapping[str, Score | Exception]
        try:
            target = part.target.without_constant()
            # Columns that do not vary in this group are no task in it, and its own to leave out.
            if target is part.target:
                results = evaluate(part, requests, states=states, **common)
            else:
                results = evaluate(part.with_target(target), requests, **common)
        except TransferabilityError as error:
            results = dict.fromkeys(requests, error)
        for name, result in results.items():
            if isinstance(result, Score):
                found[name][group] = result
            else:
                failed[name][group] = result
    overall = evaluate(given, requests, states=whole, **common) if pooling else {}
    return {
        name: _joined(overall.get(name), found[name], failed[name], given, groups, requests[name])
        for name in requests
    }


def _joined(
    overall: Score | Exception | None,
    found: Mapping[int | str, Score],
    failed: Mapping[int | str, Exception],
    given: Inputs,
    groups: Groups,
    options: Mapping[str, Any],
) -> Score | Exception:
    """Make one score of those of the groups, or keep that of all rows and add them to it."""
    if isinstance(overall, Exception):
        return overall
    if overall is None and not found:
        group, error = next(iter(failed.items()))
        return DataError(f"no group has a score of its own; the first, {group!r}: {error}")
    details: dict[str, Any] = {
        "aggregate": groups.aggregate,
        "per_group": dict(found),
        "left_out": {group: str(error) for group, error in failed.items()},
    }
    notes = _notes(found, details["left_out"], {*given.target.warnings, *given.notes})
    if overall is not None:
        facts = {**overall.__dict__, "details": {**overall.details, **details}}
        return Score(overall, **{**facts, "warnings": (*overall.warnings, *notes)})
    first = next(iter(found.values()))
    return Score(
        summary(groups.aggregate)([float(score) for score in found.values()]),
        metric=first.metric,
        **{**given.target.facts(*given.target.counts()), "targets": ()},
        n_samples=given.target.n_samples,
        n_features=first.n_features,
        per_target=np.empty(0),
        seconds=math.fsum(score.seconds for score in found.values()),
        warnings=(*given.target.warnings, *given.notes, *notes),
        details={**options, **details},
    )


def _notes(
    found: Mapping[int | str, Score], left_out: Mapping[int | str, str], known: set[str]
) -> list[str]:
    """Count the groups that were left out, and those whose scores deserve a second look."""
    n_groups, notes = len(found) + len(left_out), []
    if left_out:
        shown = [f"{group!r} ({reason})" for group, reason in left_out.items()][:_SHOWN]
        more = f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else ""
        notes.append(
            f"{len(left_out)} of {n_groups} groups have no score of their own and were left out "
            f"of per_group: {'; '.join(shown)}{more}"
        )
    warned = sum(1 for score in found.values() if {*score.warnings} - known)
    if warned:
        notes.append(
            f"{warned} of {n_groups} groups have scores with warnings of their own, such as of a "
            f"single class; see per_group"
        )
    return notes


def pool_groups(
    pool: Callable[[Sequence[Any]], list[float]], scores: Sequence[Score]
) -> list[Score]:
    """Give values to scores by group of a metric that is defined among models only."""
    per_group: list[dict[int | str, Score]] = [dict(score.per_group) for score in scores]
    for group in dict.fromkeys(group for own in per_group for group in own):
        having = [i for i, own in enumerate(per_group) if group in own]
        values = pool([per_group[i][group] for i in having])
        for i, value in zip(having, values, strict=True):
            per_group[i][group] = Score(value, **per_group[i][group].__dict__)
    aggregate = scores[0].aggregate
    totals = (
        pool(scores)
        if aggregate == "pooled"
        else [summary(aggregate)([*map(float, own.values())]) for own in per_group]
    )
    return [
        Score(value, **{**score.__dict__, "details": {**score.details, "per_group": own}})
        for value, score, own in zip(totals, scores, per_group, strict=True)
    ]
