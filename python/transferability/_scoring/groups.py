"""Score groups of rows (videos, patients, domains), and aggregate their scores.

The statistics of each group are computed once, and merged to those of all rows.

Groups whose labels do not vary say nothing about features: one row, a single class, constant
targets. They are left out and counted, for every metric that reads labels, so that all metrics and
models of a call are aggregated over the same groups. Of several targets, those that are constant
within a group are left out there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arguments import suggest
from .._inputs.arrays import is_one_of
from .._inputs.inputs import Inputs
from .._inputs.labels import as_whole_ids, encode_labels, read_labels
from .._inputs.target import UNLABELLED, Target, suggest_header
from .._metric.options import leaves_groups_out
from .._metric.prepared import PreparedRequests
from .._metric.registry import spec_of
from .._metric.score import Score, issue
from .._stats.stats import Stats
from ..errors import DataError, TransferabilityError
from .evaluate import Requests, Settings, accumulate, evaluate
from .group_warnings import note_left_out, summarize_warnings

__all__ = ["Groups", "check_aggregate", "check_groups", "check_left_out", "evaluate_groups"]
__all__ += ["pool_groups", "read_groups", "summary"]

_QUANTILE = re.compile(r"quantile\((.*)\)")


class _SilentGroup(DataError):
    """Why the labels of a group say nothing about features, whatever the metric."""


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of rows, and how to aggregate their scores."""

    names: tuple[int | str, ...]
    rows: tuple[slice | NDArray[np.intp], ...]  # of each group; a slice if they are contiguous
    codes: NDArray[np.intp]  # of each row, an index into names
    aggregate: str = "pooled"

    @property
    def ids(self) -> NDArray[np.int64]:
        """The codes, as the native module reads them."""
        return np.ascontiguousarray(self.codes, dtype=np.int64)


def read_groups(groups: object, n_samples: int, aggregate: str = "pooled") -> Groups | None:
    """Validate the arguments `groups` and `aggregate`; None without groups."""
    check_aggregate(aggregate, groups is not None)
    if groups is None:
        return None
    array, _ = read_labels(groups, "groups")
    if array.shape != (n_samples,):
        raise DataError(
            f"groups has shape {array.shape} for {n_samples} rows; give one group for each row"
            f"{suggest_header(array, n_samples)}"
        )
    names, codes = encode_labels(as_whole_ids(array, "groups", "groups"))
    order = np.argsort(codes, kind="stable")
    bounds = np.searchsorted(codes[order], np.arange(len(names) + 1))
    rows: list[slice | NDArray[np.intp]] = []
    for part in (order[a:b] for a, b in pairwise(bounds)):
        first, last = int(part[0]), int(part[-1])
        rows.append(slice(first, last + 1) if last - first + 1 == len(part) else part)
    return Groups(tuple(names), tuple(rows), codes, aggregate)


def check_aggregate(aggregate: str, has_groups: bool) -> None:
    """Raise for an unknown `aggregate`, and for one of groups where there are none."""
    if has_groups or not is_one_of(aggregate, ("pooled",)):
        summary(aggregate)
        if not has_groups:
            raise DataError(
                f"aggregate={aggregate!r} needs groups: pass groups, the group of each row"
            )


def check_groups(groups: Groups | None, target: Target, requests: Requests) -> tuple[str, ...]:
    """Check the groups of a call on several models, and warn of silent ones once for all models.

    Return the warning, which the scores of all models have. Raise as :func:`check_left_out`.
    """
    check_left_out(requests, groups)
    across = _across(requests)
    if groups is None or not any(spec_of(m).reads_labels for m in requests if m not in across):
        return ()
    reasons = (_find_silence(target.take(rows)) for rows in groups.rows)
    silent = {
        name: reason
        for name, reason in zip(groups.names, reasons, strict=True)
        if reason is not None
    }
    n_groups, pooled = len(groups.names), groups.aggregate == "pooled"
    if len(silent) == n_groups and not pooled:
        return ()  # every score is refused for this reason
    warnings = note_left_out(silent, n_groups, groups.aggregate)
    issue(warnings)
    return warnings


def check_left_out(
    requests: Requests,
    groups: Groups | None,
    remedy: str = "pass groups, the group of each row",
) -> None:
    """Raise if a metric is to leave out whole groups and there are none, or only one."""
    for metric in _across(requests):
        if groups is None:
            raise DataError(
                f"leave_out is 'group', and {metric} has no groups to leave out; {remedy}"
            )
        if len(groups.names) < 2:
            raise DataError(
                f"leave_out is 'group', and groups has the same group, {groups.names[0]!r}, in all "
                f"rows, so that nothing is left without it; give at least two groups, or "
                f"leave_out='row'"
            )


def _across(requests: Requests) -> dict[str, dict[str, Any]]:
    """Return the requests of metrics that predict each group from the others.

    A registered metric may have an option of that name with a meaning of its own.
    """
    return {
        name: options
        for name, options in requests.items()
        if leaves_groups_out(options) and not spec_of(name).origin
    }


def summary(aggregate: object) -> Callable[[Sequence[float]], float]:
    """Return the function that aggregates the scores of groups to one value."""
    shares = {"min": 0.0, "median": 0.5, "pooled": None, "mean": None}
    known = aggregate if isinstance(aggregate, str) else ""
    share = shares.get(known, math.nan)  # the quantile; None for the mean
    if matched := _QUANTILE.fullmatch(known):
        with suppress(ValueError):
            share = float(matched[1])
    if share is not None and not 0.0 <= share <= 1.0:
        near = "" if matched else suggest(known, (*shares, "quantile(q)"))
        raise DataError(
            f"aggregate is {aggregate!r}{near}; choose 'pooled', 'min', 'mean', 'median' or "
            f"'quantile(q)' with q from 0 to 1"
        )

    def summarize(values: Sequence[float]) -> float:
        if share is None:
            return math.fsum(values) / len(values)
        ordered = sorted(values)
        place = share * (len(ordered) - 1)
        low, part = int(place), place - int(place)
        if not part:
            return ordered[low]
        # Weighted, because a difference of infinite scores would be NaN; clipped, because rounding
        # could move the quantile outside of its two neighbours.
        between = ordered[low] * (1 - part) + ordered[low + 1] * part
        return min(max(between, ordered[low]), ordered[low + 1])

    return summarize


def evaluate_groups(
    groups: Groups, inputs: Inputs, requests: Requests, settings: Settings
) -> dict[str, Score | Exception]:
    """Compute metrics as :func:`evaluate`, also for every group; ``details`` has those scores.

    Metrics that leave out groups are computed once, from all rows, and the score of a group is that
    of its predictions. Errors of invalid rows name the group.
    """
    inputs = replace(inputs.in_memory(), groups=groups.ids)
    across = _across(requests)
    within = PreparedRequests({name: own for name, own in requests.items() if name not in across})
    results, total = _evaluate_within(groups, inputs, within, settings) if within else ({}, {})
    if across:
        asked = {name: {**own, "by_group": True} for name, own in across.items()}
        needed = PreparedRequests.of(across).by_source.keys() - {"none"}
        states = total if needed <= total.keys() else None
        found = evaluate(inputs, asked, settings, states=states)
        for name, score in found.items():
            results[name] = score
            if isinstance(score, Score):
                by_group = _score_predictions(groups, inputs, score)
                options = across[name]
                overall = score.replace(details=_without(score.details, "by_group"))
                combined = _combine(name, overall, by_group, inputs, groups.aggregate, options)
                results[name] = combined
    return {name: results[name] for name in requests}


def _evaluate_within(
    groups: Groups, inputs: Inputs, requests: PreparedRequests, settings: Settings
) -> tuple[dict[str, Score | Exception], dict[str, Stats]]:
    """Compute metrics of every group by itself, and of all rows; return their statistics too."""
    pooling = groups.aggregate == "pooled"
    by_source = dict(requests.by_source)
    by_source.pop("none", None)
    by_group: dict[str, dict[int | str, Score | Exception]] = {name: {} for name in requests}
    total: dict[str, Stats] = {}
    for group, rows in zip(groups.names, groups.rows, strict=True):
        part = inputs.take(rows)
        states: dict[str, Stats] | None
        try:
            states = {key: accumulate(part, own, settings, key) for key, own in by_source.items()}
        except TransferabilityError as error:
            raise type(error)(f"group {group!r}, rows counted within it: {error}") from error
        if pooling:
            for source, stats in states.items():
                total[source] = total[source] + stats if source in total else stats
        results: dict[str, Score | Exception]
        if reason := _find_silence(part.target):
            said = {name: own for name, own in requests.items() if not spec_of(name).reads_labels}
            results = dict.fromkeys(requests, _SilentGroup(reason))
            wanted = PreparedRequests(said)
        else:
            results, wanted = {}, requests
            target = part.target.without_constant(regression=True)  # within this group
            states = states if target is part.target else None
            part = replace(part, target=target)
        try:
            results |= evaluate(part, wanted, settings, states=states) if wanted else {}
        except TransferabilityError as error:
            results |= dict.fromkeys(wanted, error)
        for name, result in results.items():
            by_group[name][group] = result
    overall = evaluate(inputs, requests, settings, states=total) if pooling else {}
    return {
        name: _combine(name, overall.get(name), by_group[name], inputs, groups.aggregate, options)
        for name, options in requests.items()
    }, total


def _find_silence(target: Target) -> str | None:
    """Return why the labels of some rows say nothing about features; None if they vary."""
    if target.task == UNLABELLED:
        return None
    if target.n_samples < 2:
        return "it has 1 row, and a score needs at least 2"
    if bool((target.data != target.data[:1]).any()):
        return None
    if target.ids is None:
        return "its targets are constant, the same in all of its rows"
    classes, counts = target.counts()
    (name,) = target.facts(classes, counts)["classes"]
    return f"its rows have a single class, {name!r}"


def _score_predictions(
    groups: Groups, inputs: Inputs, score: Score
) -> dict[int | str, Score | Exception]:
    """Return the scores of groups that were predicted from the others, from the parts of each.

    ``by_group`` (n_groups, n_targets) has the share of right rows of each class, or R² or the share
    of right votes of each target; NaN for classes that a group lacks, and targets constant in it.
    """
    found: dict[int | str, Score | Exception] = {}
    options = _without(score.details, "by_group", "ridge", "ridges", "influence")
    for group, rows, parts in zip(
        groups.names, groups.rows, score.details["by_group"], strict=True
    ):
        target = inputs.target.take(rows)
        defined = np.isfinite(parts)
        if not defined.any():
            found[group] = DataError(
                "its targets are the same in all of its rows, so there is no R²"
            )
            continue
        classes, counts = target.counts()
        facts = target.facts(classes, counts)
        if classes is None:
            facts["targets"] = tuple(
                column for column, own in zip(score.targets, defined, strict=True) if own
            )
        found[group] = Score(
            np.average(parts[defined], weights=counts),
            metric=score.metric,
            **facts,
            n_samples=target.n_samples,
            n_features=score.n_features,
            per_target=parts[defined],
            seconds=0.0,
            warnings=(),
            details=options,
        )
    return found


def _without(details: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in details.items() if name not in names}


def _combine(
    name: str,
    overall: Score | Exception | None,
    by_group: Mapping[int | str, Score | Exception],
    inputs: Inputs,
    aggregate: str,
    options: Mapping[str, Any],
) -> Score | Exception:
    """Add the scores of groups to the score of all rows, or aggregate them to one score."""
    if isinstance(overall, Exception):
        return overall
    found = {group: result for group, result in by_group.items() if isinstance(result, Score)}
    left_out = {group: str(error) for group, error in by_group.items() if group not in found}
    pooled = aggregate == "pooled"
    if not pooled and not found:
        group, reason = next(iter(left_out.items()))
        return DataError(f"no group has a score of its own; the first, {group!r}: {reason}")
    details = {"aggregate": aggregate, "per_group": found, "left_out": left_out}
    target = inputs.target
    general = (*target.warnings, *inputs.notes) if overall is None else overall.warnings
    silent = {group for group, error in by_group.items() if isinstance(error, _SilentGroup)}
    of_all = {group: reason for group, reason in left_out.items() if group in silent}
    of_metric = {group: reason for group, reason in left_out.items() if group not in silent}
    n_groups = len(by_group)
    warnings = [
        *note_left_out(of_all, n_groups, aggregate),
        *note_left_out(of_metric, n_groups, aggregate, name),
        *summarize_warnings(found, n_groups, {*general}),
    ]
    if pooled and overall is not None:
        return overall.replace(
            details={**overall.details, **details}, warnings=(*overall.warnings, *warnings)
        )
    first = next(iter(found.values()))
    return Score(
        summary(aggregate)([float(score) for score in found.values()]),
        metric=first.metric,
        **{**target.facts(*target.counts()), "targets": ()},
        n_samples=target.n_samples,
        n_features=first.n_features,
        per_target=np.empty(0),
        seconds=math.fsum(score.seconds for score in found.values()),
        warnings=(*general, *warnings),
        details={**options, **details},
    )


def pool_groups(
    pool: Callable[[Sequence[Any]], list[float]], scores: Sequence[Score]
) -> list[Score]:
    """Return scores with values of a metric that is defined among models only, also by group.

    `pool` is ``MetricSpec.pool``, and computes the values of models from their `scores` of it.
    """
    per_group: list[dict[int | str, Score]] = [dict(score.per_group) for score in scores]
    for group in dict.fromkeys(group for own in per_group for group in own):
        own_scores = {i: own[group] for i, own in enumerate(per_group) if group in own}
        values = pool([*own_scores.values()])
        for (i, score), value in zip(own_scores.items(), values, strict=True):
            per_group[i][group] = score.replace(value=value)
    if (aggregate := scores[0].aggregate) == "pooled":
        totals = pool(scores)
    else:
        totals = [summary(aggregate)([*map(float, own.values())]) for own in per_group]
    return [
        score.replace(value=value, details={**score.details, "per_group": own})
        for value, score, own in zip(totals, scores, per_group, strict=True)
    ]
