"""Rank models by sufficient statistics, which may come from blocks or from other machines."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .._inputs.inputs import Inputs
from .._metric.registry import plan, spec_of
from .._scoring.evaluate import Settings, evaluate
from .._stats.stats import Stats
from ..errors import DataError
from .extra_columns import pool_rows
from .ranking import Ranking
from .row import Row, RowBuilder, evaluate_available

__all__ = ["build_stats_row", "rank_stats"]

Requests = Mapping[str, dict[str, Any]]


def rank_stats(
    models: Mapping[str, Stats], metrics: str | Sequence[str], options: Mapping[str, Any]
) -> Ranking:
    """Rank the statistics of models for the same rows and labels."""
    _check_same_rows(models)
    first = next(iter(models.values()))
    provided = {"pool", "stats"}
    if all(stats.class_scatters for stats in models.values()):
        provided.add("class_scatters")
    requests, skipped = plan(metrics, first.task, options, provided)
    if not requests:
        raise DataError(f"no metric applies to a {first.task} task")
    rows = [build_stats_row(name, stats, requests) for name, stats in models.items()]
    facts = f"{_describe_rows(first)}{requests}"
    return Ranking(
        pool_rows(rows, requests),
        metrics=tuple(requests),
        task=first.task,
        task_note=first.task_note,
        digest=hashlib.blake2b(facts.encode(), digest_size=16).hexdigest(),
        skipped=skipped,
    )


def build_stats_row(
    name: str,
    stats: Stats,
    requests: Requests,
    given: Inputs | None = None,
    n_threads: int | None = None,
) -> Row:
    """Score one model's statistics.

    Metrics that need more than statistics are computed from `given`, the inputs for the same rows.
    """
    if n_threads is not None:
        stats._n_threads = n_threads
    rest: Requests = {}
    if given is not None:
        served = {"stats", "class_scatters"}
        rest = {m: options for m, options in requests.items() if not served >= {*spec_of(m).needs}}
    with RowBuilder(name, requests) as builder:
        builder.describe(stats.n_samples, stats.n_features)
        of_stats = {metric: options for metric, options in requests.items() if metric not in rest}
        outcomes = stats.outcomes(of_stats) if of_stats else {}
        if given is not None:
            run = functools.partial(evaluate, settings=Settings(n_threads=n_threads))
            outcomes |= evaluate_available(given, rest, run)
        builder.add({metric: outcomes[metric] for metric in requests})
    return builder.build()


def _check_same_rows(models: Mapping[str, Stats]) -> None:
    """Raise unless all statistics are of the same rows and labels."""
    names = iter(models)
    first = next(names)
    for name, stats in models.items():
        if stats.task == "auto":
            raise DataError(f"the statistics of {name!r} hold no rows yet; call update first")
    for name in names:
        ours, theirs = _describe_rows(models[first]), _describe_rows(models[name])
        for what, value in ours.items():
            if theirs[what] != value:
                raise DataError(
                    f"the statistics of {first!r} and {name!r} are not of the same rows and "
                    f"labels: {what} is {value} and {theirs[what]}; collect both from the same data"
                )


def _describe_rows(stats: Stats) -> dict[str, Any]:
    """Return the facts about rows and labels that statistics keep."""
    keys = ("task", "n_samples", "classes", "class_counts")
    return {key: getattr(stats, key) for key in keys}
