"""The metrics of a call with their kernel options, and what follows from these before any data.

Which metrics share statistics, which are native, and the options as the native module reads them
are decided once, and kept as long as the requests are. Calls that repeat share one object.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from .. import _core
from .registry import spec_of
from .spec import MetricSpec, Size

__all__ = ["PreparedRequests"]


class PreparedRequests(dict[str, dict[str, Any]]):
    """Kernel options by metric, as ``plan`` returns them. Nothing changes them afterwards."""

    @classmethod
    def of(cls, requests: Mapping[str, dict[str, Any]]) -> PreparedRequests:
        """Return kernel options by metric as they are if they are prepared, else prepare them."""
        return requests if isinstance(requests, cls) else cls(requests)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the options alone; the process that reads them has its own registry."""
        return PreparedRequests, (dict(self),)

    @functools.cached_property
    def by_source(self) -> Mapping[str, PreparedRequests]:
        """The requests by the statistics that they share: "stats", "source_stats" or "none"."""
        groups: dict[str, dict[str, dict[str, Any]]] = {}
        for name, options in self.items():
            needs, source = spec_of(name).needs, "none"
            if "stats" in needs or "class_scatters" in needs:
                source = "stats"
            elif "source_stats" in needs:
                source = "source_stats"
            groups.setdefault(source, {})[name] = options
        return {source: PreparedRequests(own) for source, own in groups.items()}

    @functools.cached_property
    def in_python(self) -> tuple[MetricSpec, ...]:
        """The metrics that Python computes."""
        return tuple(spec for spec in map(spec_of, self) if not spec.is_native)

    @functools.cached_property
    def pairs(self) -> Mapping[str, Callable[[Size, Mapping[str, Any]], tuple[str, int, float]]]:
        """The estimates of time of the metrics that compare samples or classes in pairs."""
        return {name: pairs for name in self if (pairs := spec_of(name).pairs) is not None}

    @functools.cached_property
    def native(self) -> tuple[str, ...]:
        """The metrics that the native module computes."""
        return tuple(name for name in self if spec_of(name).is_native)

    @functools.cached_property
    def compiled(self) -> _core.Requests:
        """The native metrics and their options, as the native module reads them."""
        return _core.Requests([(name, self[name]) for name in self.native])

    @functools.cached_property
    def reads_class_scatters(self) -> bool:
        """Whether a metric reads statistics of every class."""
        return any("class_scatters" in spec_of(name).needs for name in self)

    @functools.cached_property
    def reads_statistics_only(self) -> bool:
        """Whether ``Stats`` of the features suffice for all metrics."""
        return all(spec_of(name).reads_statistics_only for name in self)
