"""Rank models by their statistics, of the same rows and labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from .._metric.plan import plan
from .._metric.registry import known_specs
from .._scoring.evaluate import Settings
from .._stats.stats import Stats
from ..errors import DataError
from .extra_columns import pool_rows
from .ranking import Ranking
from .row import build_stats_row

__all__ = ["rank_stats", "read_stats"]


def rank_stats(
    models: Mapping[str, Stats],
    metrics: str | Sequence[str],
    options: Mapping[str, Any],
    settings: Settings,
    *,
    baselines: bool,
) -> Ranking:
    """Rank the statistics of models for the same rows and labels."""
    _check_settings(models, settings, baselines)
    first = next(iter(models.values()))
    provided = {"pool", "stats"}
    if all(stats.class_scatters for stats in models.values()):
        provided.add("class_scatters")
    requests, skipped = plan(metrics, first.task, options, provided)
    if not requests:
        raise DataError(f"no metric applies to a {first.task} task")
    rows = [
        build_stats_row(name, stats, requests, n_threads=settings.n_threads)
        for name, stats in models.items()
    ]
    facts = f"{_describe_rows(first)}{requests}"
    return Ranking(
        pool_rows(rows, requests),
        metrics=tuple(requests),
        task=first.task,
        task_note=first.task_note,
        digest=hashlib.blake2b(facts.encode(), digest_size=16).hexdigest(),
        skipped=skipped,
    )


def _check_settings(models: Mapping[str, Stats], settings: Settings, baselines: bool) -> None:
    """Raise for what needs rows, and for a precision that the statistics do not have."""
    if baselines:
        names = " and ".join(name for name, spec in known_specs().items() if spec.baseline)
        raise DataError(
            f"the baselines {names} need rows, which Stats do not keep; leave out baselines, or "
            f"give the features"
        )
    if settings.method == "svd":
        raise DataError(
            'method="svd" decomposes rows, which Stats do not keep; leave it out, or give the '
            "features"
        )
    for name, stats in models.items():
        settings.check_collected(stats.precision, f"the statistics of {name!r}")


def read_stats(
    models: Mapping[str, object], others: Mapping[str, object], task: str
) -> dict[str, Stats]:
    """Return the models as Stats with a decided task.

    Raise unless all are Stats, of the same rows, without other inputs.
    """
    states = {name: model for name, model in models.items() if isinstance(model, Stats)}
    for name in models:
        if name not in states:
            raise DataError(
                f"models mixes Stats with other things, such as {name!r}; give the Stats of all, "
                f"or the features of all"
            )
    for name, value in others.items():
        if value is not None:
            raise DataError(f"models holds Stats, which have their labels; leave out {name}")
    for name, stats in states.items():
        if not stats.n_features:
            raise DataError(f"the statistics of {name!r} hold no rows yet; call update first")
        states[name] = stats.decide() if task == "auto" else stats.replace(task=task)
    first, *rest = states
    ours = _describe_rows(states[first])
    for name in rest:
        for what, theirs in _describe_rows(states[name]).items():
            if ours[what] != theirs:
                raise DataError(
                    f"the statistics of {first!r} and {name!r} are not of the same rows and "
                    f"labels: {what} is {ours[what]} and {theirs}; collect both from the same data"
                )
    return states


def _describe_rows(stats: Stats) -> dict[str, Any]:
    """Return the facts about rows and labels that statistics keep."""
    keys = ("task", "n_samples", "classes", "class_counts")
    return {key: getattr(stats, key) for key in keys}
