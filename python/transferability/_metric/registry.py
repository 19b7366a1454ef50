"""The registry of metrics: built-in, registered by users, and from entry points.

Nothing outside ``metrics/`` and the native table names a metric, so a new one needs no change here.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .. import _core
from ..errors import DataError, DtypeError, TransferabilityError
from .derived import DERIVED
from .score import SETS
from .spec import MetricSpec

__all__ = [
    "ENTRY_POINTS",
    "Plan",
    "add_spec",
    "metric_names",
    "metric_specs",
    "plan",
    "spec_of",
    "title_of",
]

#: The group of entry points that other packages declare their metrics in.
ENTRY_POINTS = "transferability.metrics"

#: What to do about a need that is not met.
_ADVICE = {
    "stats": "the features; pass features",
    "class_scatters": "statistics of every class; make them with Stats(class_scatters=True)",
    "samples": "the samples themselves; call transferability.{name} with features and labels",
    "source_stats": "the source model's outputs; pass source_probs",
    "source_probs": "the source model's probabilities; pass source_probs",
    "source_labels": "the source model's classes; pass source_labels",
    "label_embeddings": "embeddings of the labels; pass label_embeddings",
}

#: Kernel options by metric, and the metrics of "all" that do not apply, with the reason.
Plan = tuple[dict[str, dict[str, Any]], dict[str, str]]

#: Metrics that users registered, in the order in which they did.
_registered: dict[str, MetricSpec] = {}


@functools.cache
def _built_in() -> dict[str, MetricSpec]:
    """Return the metrics of this package by name: those of the native table first."""
    modules = importlib.import_module("..metrics", __package__)
    rows = {row["name"]: row for row in _core.metric_table()}
    specs = {}
    for name in (*rows, *(name for name in modules.__all__ if name not in rows)):
        spec: MetricSpec = importlib.import_module(f"..metrics.{name}", __package__).SPEC
        if row := rows.get(name):
            spec = replace(
                spec,
                title=row["title"],
                summary=row["summary"],
                needs=tuple(row["needs"]),
                tasks=tuple(row["tasks"]),
                cost=row["cost"],
                source=row["source"],
            )
        specs[name] = spec
    return specs


@functools.cache
def _load_entry_points() -> None:
    """Register the metrics of installed packages, once a process."""
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        if point.name in _built_in():
            raise DataError(
                f"the entry point {point.value!r} names its metric {point.name!r}, as one of "
                f"transferability is called; choose another name in its package"
            )
        found = point.load()  # which may register the metric by itself
        if point.name in _registered:
            continue
        if not isinstance(found, MetricSpec):
            raise DtypeError(
                f"the entry point {point.value!r} of group {ENTRY_POINTS} must name a function "
                f"decorated by transferability.register_metric with name={point.name!r}"
            )
        _registered[point.name] = found


def add_spec(spec: MetricSpec) -> None:
    """Register a metric; one of the same name that was registered before is replaced.

    Raises
    ------
    DataError
        If the name is taken by a metric of this package, or is no identifier.
    """
    taken = spec.name in _built_in() or spec.name in DERIVED or spec.name in SETS
    if taken or not spec.name.isidentifier():
        problem = "is taken by this package" if taken else "is not a Python identifier"
        raise DataError(f"the name of the metric, {spec.name!r}, {problem}; choose another")
    _registered[spec.name] = spec


def metric_specs() -> Mapping[str, MetricSpec]:
    """Return every metric by name."""
    _load_entry_points()
    return {**_built_in(), **_registered}


def spec_of(name: str) -> MetricSpec:
    """Return a metric, or a derived column of a ranking, by its name.

    Raises
    ------
    DataError
        If there is none.
    """
    spec = _built_in().get(name) or _registered.get(name) or DERIVED.get(name)
    return spec if spec is not None else metric_specs()[metric_names(name)[0]]


def title_of(name: str) -> str:
    """Return the name of a metric as papers print it."""
    return spec_of(name).title


def metric_names(metrics: object) -> list[str]:
    """Validate what was asked for: a name, several, "all" or "recommended"."""
    if isinstance(metrics, str) and metrics in _built_in():
        return [metrics]
    known = metric_specs()
    if isinstance(metrics, str):
        several = {"all": [*known], "recommended": _recommended()}
        asked: list[Any] = several.get(metrics, [metrics])
    else:
        asked = list(metrics) if isinstance(metrics, Iterable) else [metrics]
    if not all(isinstance(name, str) for name in asked):
        raise DtypeError(
            f"metrics is {metrics!r}; give a name, a list of names, 'all' or 'recommended', "
            f"of {', '.join(known)}"
        )
    if not asked:
        raise DataError(f"metrics is empty; choose from {', '.join(known)}")
    for name in asked:
        if name not in known:
            close = difflib.get_close_matches(name.lower(), known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise DataError(f"unknown metric {name!r}; {hint}known: {', '.join(known)}")
    return list(dict.fromkeys(asked))


def plan(
    metrics: str | Sequence[str],
    task: str,
    options: Mapping[str, object],
    provided: Collection[str],
    baselines: bool = False,
) -> Plan:
    """Validate metrics and options, and return what to ask of the kernels.

    Parameters
    ----------
    metrics : str or sequence of str
        Names, "all" for every metric that applies to `task` and to what is provided, or
        "recommended" for the members of the consensus that apply.
    task : str
        Already decided.
    options : mapping
        Every option must be one that at least one of the metrics takes.
    provided : collection of str
        The needs that can be met.
    baselines : bool
        Also plan for the metrics that others should beat, as far as they apply.
    """
    everything = isinstance(metrics, str) and metrics in SETS
    names, met = metric_names(metrics), frozenset(provided)
    if baselines:
        known = [name for name, spec in metric_specs().items() if spec.baseline]
        names += [n for n in known if n not in names and not _why_not(spec_of(n), task, met)]
    specs = {name: spec_of(name) for name in names}
    skipped: dict[str, str] = {}
    for name, spec in specs.items():
        reason = _why_not(spec, task, met)
        if everything and reason is None:  # asked for by name, it says itself what is missing
            reason = _why_not_by_itself(spec, met)
        if reason is not None:
            skipped[name] = reason
    if skipped and not everything:
        name, reason = next(iter(skipped.items()))
        raise DataError(f"{name} {reason}")
    requests: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    for name, spec in specs.items():
        if name in skipped:
            continue
        takes = spec.option_names
        taken |= takes
        given = {k: v for k, v in options.items() if k in takes}
        if metrics == "recommended":
            given = {**(spec.recommended or {}), **given}
        try:
            requests[name] = spec.options(task, **given)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, TransferabilityError):
                raise
            raise DataError(
                f"an option of {name} is of the wrong kind ({error}): {given}"
            ) from error
    unknown = sorted(set(options) - taken)
    if unknown:
        raise DtypeError(
            f"unknown option {unknown[0]!r}; {', '.join(requests) or 'no metric'} takes "
            f"{', '.join(sorted(taken)) or 'no options'}"
        )
    return requests, skipped


def _recommended() -> list[str]:
    return [name for name, spec in metric_specs().items() if spec.recommended is not None]


def _why_not(spec: MetricSpec, task: str, provided: frozenset[str]) -> str | None:
    """Return why a metric does not apply, if it does not."""
    if task not in spec.tasks:
        if task == "unlabelled":
            return "needs labels, and labels is None"
        tasks = [known for known in spec.tasks if known != "unlabelled"]
        return f"is for {' and '.join(tasks)}, and this task is {task}"
    missing = spec.unmet(provided)
    return f"needs {_ADVICE[missing[0]].format(name=spec.name)}" if missing else None


def _why_not_by_itself(spec: MetricSpec, provided: frozenset[str]) -> str | None:
    """Return why a metric that applies would still have no value."""
    if spec.pool is not None and "pool" not in provided:
        return "is defined among models only; call rank"
    if spec.requires is not None and importlib.util.find_spec(spec.requires) is None:
        return f"needs {spec.requires}: pip install transferability[{spec.requires}]"
    return None
