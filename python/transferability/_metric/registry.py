"""The registry of metrics by name: built-in, registered by users, and from entry points.

Built-in metrics are the modules in ``metrics/``, imported when a metric is first looked up.
"""

from __future__ import annotations

import functools
import importlib
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import _core
from .._inputs.arguments import suggest
from ..errors import DataError, DtypeError
from .derived import DERIVED
from .score import SETS, issue
from .spec import MetricSpec

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = [
    "ENTRY_POINTS",
    "add_spec",
    "is_diagnostic",
    "known_specs",
    "metric_names",
    "metric_specs",
    "snapshot",
    "spec_of",
    "title_of",
]

#: The group of entry points in which other packages declare metrics.
ENTRY_POINTS = "transferability.metrics"

#: The resolved specifications by name, derived columns included. It is replaced, never changed.
_specs: dict[str, MetricSpec] = dict(DERIVED)
_adding = threading.Lock()


@functools.cache
def _built_in() -> Mapping[str, MetricSpec]:
    """Import the metrics of this package: those of the native table first, in its order."""
    modules = importlib.import_module("..metrics", __package__)
    rows = {row["name"]: row for row in _core.metric_table()}
    found = {}
    for name in dict.fromkeys((*rows, *modules.__all__)):
        spec: MetricSpec = importlib.import_module(f"..metrics.{name}", __package__).SPEC
        if row := rows.get(name):
            lists = {"needs": tuple(row["needs"]), "tasks": tuple(row["tasks"])}
            fields: dict[str, Any] = {**row, **lists}
            spec = replace(spec, **fields)
        elif spec.is_native:
            raise LookupError(
                f"the native module has no metric {name!r}; add its row to METRICS in "
                f"src/metrics/mod.rs and build, or give its SPEC compute="
            )
        found[name] = spec
    _add(found)
    return found


@functools.cache
def _load_entry_points() -> Mapping[str, str]:
    """Register the metrics of installed packages, once a process.

    Returns the errors by name: a metric that cannot be loaded is left out.
    """
    from importlib.metadata import entry_points  # takes longer than a call

    broken = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            _load_entry_point(point)
        except Exception as error:
            of = "" if point.dist is None else f" of the package {point.dist.name}"
            broken[point.name] = (
                f"the metric {point.name!r}{of} (entry point {point.value!r}) could not be loaded: "
                f"{type(error).__name__}: {error}"
            )
    return broken


@functools.cache
def _warn_of_broken() -> None:
    """Warn, once a process, of metrics of installed packages that cannot be loaded."""
    issue(_load_entry_points().values())


def _load_entry_point(point: EntryPoint) -> None:
    function = point.load()  # importing its module registers it
    origin = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', '')}"
    spec = _specs.get(point.name)
    if spec is None or spec.origin != origin:
        raise DataError(
            f"it must name a function that transferability.register_metric registers as "
            f"{point.name!r}; {origin} is not"
        )


def add_spec(spec: MetricSpec) -> None:
    """Register a metric; DataError if another function has registered its name."""
    if spec.name in {*_built_in(), *DERIVED, *SETS}:
        raise DataError(f"name is {spec.name!r}, which transferability itself uses; choose another")
    taken = _specs.get(spec.name)
    if taken is not None and taken.origin != spec.origin:
        raise DataError(
            f"name is {spec.name!r}, which is registered already, by {taken.origin}; choose another"
        )
    _add({spec.name: spec})


def _add(specs: Mapping[str, MetricSpec]) -> None:
    """Replace the registry by one with more metrics, so that whoever kept the old one notices."""
    global _specs
    with _adding:
        _specs = {**_specs, **specs}


def snapshot() -> Mapping[str, MetricSpec]:
    """Return the metrics so far: the same object until one is registered."""
    return _specs


def metric_specs() -> Mapping[str, MetricSpec]:
    """Return every metric by name: built-in ones first, then in the order of registration.

    Warn of metrics of installed packages that are left out.
    """
    _load_entry_points()
    _warn_of_broken()
    return known_specs()


def known_specs() -> Mapping[str, MetricSpec]:
    """Return every metric by name as :func:`metric_specs`, without a warning.

    Whoever looks one up by its name need not know of others that cannot be loaded.
    """
    _built_in()
    _load_entry_points()
    return {name: spec for name, spec in [*_specs.items()] if name not in DERIVED}


def spec_of(name: str) -> MetricSpec:
    """Return a metric, or a derived column of a ranking, by name; DataError for other names."""
    spec = _specs.get(name) or known_specs().get(name)
    if spec is None:
        raise DataError(
            f"there is no metric {name!r} in this process, only where register_metric was called; "
            f"import the module that registers it here too, or declare it as an entry point of the "
            f"group {ENTRY_POINTS}"
        )
    return spec


def title_of(name: str) -> str:
    """Return the title of a metric, as papers print it; the name of an unknown metric."""
    spec = _specs.get(name) or known_specs().get(name)
    return name if spec is None else spec.title


def is_diagnostic(name: str) -> bool:
    """Return whether a metric describes features without a claim on transfer."""
    spec = _specs.get(name) or known_specs().get(name)  # unknown in a process that only reads
    return spec is not None and spec.diagnostic


def metric_names(metrics: object) -> list[str]:
    """Validate a name, several names, "all" or "recommended", and return the names.

    Raises
    ------
    DataError
        If a metric is unknown or could not be loaded, or the list is empty.
    DtypeError
        If a name is not a string, or options are given with the names.
    """
    if isinstance(metrics, Mapping):  # the names alone would lose the options
        raise DtypeError(
            f"metrics is a mapping of {', '.join(map(repr, metrics))}; give a list of names, and "
            f"options by name beside it, for example metrics=['cka'], estimator='biased'"
        )
    several = isinstance(metrics, Iterable) and not isinstance(metrics, str)
    asked: list[Any] = list(metrics) if several else [metrics]  # type: ignore[call-overload]
    if asked and all(isinstance(name, str) and name in _built_in() for name in asked):
        return list(dict.fromkeys(asked))  # entry points are loaded for other names only
    known = metric_specs() if not several and metrics in SETS else known_specs()
    if not several and metrics == "all":
        asked = [name for name, spec in known.items() if not spec.diagnostic]
    elif not several and metrics == "recommended":
        asked = [name for name, spec in known.items() if spec.recommended is not None]
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
            words = known if several else [*known, *SETS]
            raise DataError(
                f"unknown metric {name!r}{suggest(name, words)}; known: {', '.join(known)}"
            )
    return list(dict.fromkeys(asked))
