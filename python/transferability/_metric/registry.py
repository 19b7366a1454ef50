"""The registry of metrics by name: built-in, registered by users, and from entry points.

Only the modules in ``metrics/`` and the native table name a metric, so a new one changes nothing
here. Modules are imported when a metric is first asked for, and specifications resolved once.
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
from .score import SETS, issue
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

#: The group of entry points in which other packages declare metrics.
ENTRY_POINTS = "transferability.metrics"

#: How to meet a need.
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

#: Every specification that is resolved, derived columns included: the table behind `spec_of`.
_specs: dict[str, MetricSpec] = dict(DERIVED)


@functools.cache
def _built_in() -> Mapping[str, MetricSpec]:
    """Resolve the metrics of this package: those of the native table first, in its order."""
    modules = importlib.import_module("..metrics", __package__)
    rows = {row["name"]: row for row in _core.metric_table()}
    found = {}
    for name in dict.fromkeys((*rows, *modules.__all__)):
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
        found[name] = spec
    _specs.update(found)
    return found


@functools.cache
def _load_entry_points() -> Mapping[str, str]:
    """Register the metrics of installed packages, once a process.

    One that cannot be loaded is warned of and left out, so that a broken package disturbs no
    other metric. Returns the reasons by name.
    """
    broken = {}
    for point in importlib.metadata.entry_points(group=ENTRY_POINTS):
        try:
            _load(point)
        except Exception as error:
            broken[point.name] = (
                f"the metric {point.name!r} of the entry point {point.value!r} could not be "
                f"loaded: {type(error).__name__}: {error}"
            )
    issue(broken.values())
    return broken


def _load(point: importlib.metadata.EntryPoint) -> None:
    function = point.load()  # importing its module registers it
    origin = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    spec = _specs.get(point.name)
    if spec is None or spec.origin != origin:
        raise DataError(
            f"it must name a function that transferability.register_metric registers as "
            f"{point.name!r}; {origin} is not"
        )


def add_spec(spec: MetricSpec) -> None:
    """Register a metric; registering the same function again replaces it.

    Raises
    ------
    DataError
        If another metric has its name.
    """
    own = _built_in()
    if spec.name in own or spec.name in DERIVED or spec.name in SETS:
        raise DataError(f"name is {spec.name!r}, which transferability itself uses; choose another")
    taken = _specs.get(spec.name)
    if taken is not None and taken.origin != spec.origin:
        raise DataError(
            f"name is {spec.name!r}, which is registered already, by {taken.origin}; choose another"
        )
    _specs[spec.name] = spec


def metric_specs() -> Mapping[str, MetricSpec]:
    """Return every metric by name: built-in ones first, then as they were registered."""
    _built_in()
    _load_entry_points()
    return {name: spec for name, spec in [*_specs.items()] if name not in DERIVED}


def spec_of(name: str) -> MetricSpec:
    """Return a metric, or a derived column of a ranking, by name.

    Raises
    ------
    DataError
        If this process knows none.
    """
    spec = _specs.get(name) or metric_specs().get(name)
    if spec is None:
        raise DataError(
            f"there is no metric {name!r} in this process, only where register_metric was called; "
            f"import the module that registers it here too, or declare it as an entry point of the "
            f"group {ENTRY_POINTS}"
        )
    return spec


def title_of(name: str) -> str:
    """Return the title of a metric as papers print it; its name where this process has none."""
    spec = _specs.get(name) or metric_specs().get(name)
    return name if spec is None else spec.title


def metric_names(metrics: object) -> list[str]:
    """Validate a name, several names, "all" or "recommended", and return the names.

    Raises
    ------
    DataError, DtypeError
        If a metric is unknown or could not be loaded, there is none, or a name is no string.
    """
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
            if reason := _load_entry_points().get(name):
                raise DataError(reason)
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
    """Validate metrics and options, and return the options of every kernel to run.

    Parameters
    ----------
    metrics : str or sequence of str
        Names, "all" for every metric that applies to `task` and to what is provided, or
        "recommended" for the members of the consensus that apply.
    task : str
        The task of the labels.
    options : mapping
        Options by name; at least one of the metrics must take each.
    provided : collection of str
        The needs that can be met.
    baselines : bool
        Add the baseline metrics that apply.

    Raises
    ------
    DataError, DtypeError
        If a metric named by the user does not apply, or a metric or an option is wrong.
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
        if everything and reason is None:  # the metric itself raises if the user named it
            reason = _why_no_value(spec, met)
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
    if not missing:
        return None
    return f"needs {_ADVICE[missing[0]].format(name='score' if spec.origin else spec.name)}"


def _why_no_value(spec: MetricSpec, provided: frozenset[str]) -> str | None:
    """Return why a metric that applies would have no value here, if so."""
    if spec.pool is not None and "pool" not in provided:
        return "is defined among models only; call rank"
    if spec.requires is not None and importlib.util.find_spec(spec.requires) is None:
        return f"needs {spec.requires}: pip install transferability[{spec.requires}]"
    return None
