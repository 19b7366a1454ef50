"""Evaluate metrics on validated inputs; compute the ``Stats`` that they share once."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .. import _core
from .._inputs.arrays import check_choice
from .._inputs.inputs import Inputs, RowSource
from .._metric.cost import warn_of_pairs
from .._metric.prepared import PreparedRequests
from .._metric.score import Score, make_scores
from .._metric.spec import Size
from .._stats.stats import PRECISIONS, Stats
from .._util.stages import stage, within
from .._util.threads import resolve_threads
from ..errors import DataError
from ..io._shards import FeatureSource
from ..io._stream import add_rows

__all__ = ["Requests", "Settings", "accumulate", "evaluate", "loads"]

#: Features in files up to this size, in bytes, are loaded, because an SVD may need them.
_LOADED = 64 << 20
#: Every decomposition of fewer features can be addressed: its order is below 20,000.
_SMALL = 20_000**2
_METHODS = ("auto", "tridiagonal", "svd")

#: Kernel options by metric.
Requests = Mapping[str, dict[str, Any]]


@dataclass(frozen=True)
class Settings:
    """Settings of the computation: the same for all metrics, models and resamples of a call."""

    precision: str = "double"
    method: str = "auto"
    n_threads: int | None = None
    stop: _core.Stop | None = None  # setting it from another thread interrupts the call

    def __post_init__(self) -> None:
        check_choice("precision", self.precision, PRECISIONS)
        check_choice("method", self.method, _METHODS)
        resolve_threads(self.n_threads)

    def check_collected(self, precision: str, what: str = "the statistics") -> None:
        """Raise if another precision than the default is asked of what was collected in one."""
        if self.precision not in ("double", precision):
            raise DataError(
                f"precision is {self.precision!r}, but {what} were collected in {precision!r}; "
                f"leave it out, or collect them in {self.precision!r}"
            )

    @property
    def threads(self) -> int:
        """Number of threads to use now."""
        return resolve_threads(self.n_threads)


def evaluate(
    inputs: Inputs,
    requests: Requests,
    settings: Settings,
    *,
    states: Mapping[str, Stats] | None = None,
) -> dict[str, Score | Exception]:
    """Compute metrics on inputs that meet their needs; return a failed one as its exception.

    `requests` has the kernel options of ``plan``. `states` has statistics of the same rows by
    source, if :func:`accumulate` has computed them before. Setting ``settings.stop`` raises a
    ``KeyboardInterrupt``.
    """
    prepared, method = PreparedRequests.of(requests), settings.method
    if inputs.files is not None and loads(inputs.files, prepared, method):
        inputs = inputs.in_memory()
    results: dict[str, Score | Exception] = {}
    for source, wanted in prepared.by_source.items():
        if source == "none":
            results |= _evaluate_directly(inputs, wanted, settings)
            continue
        stats = accumulate(inputs, wanted, settings, source) if states is None else states[source]
        # An SVD needs the rows of which these are the statistics.
        has_samples = source == "stats" and inputs.features is not None
        results |= stats.outcomes(wanted, method if has_samples else "tridiagonal", inputs)
    return results if len(prepared.by_source) == 1 else {name: results[name] for name in prepared}


def loads(files: RowSource, requests: PreparedRequests, method: str) -> bool:
    """Return whether features in files are read as a whole, not block by block."""
    return files.nbytes <= _LOADED or method == "svd" or not requests.reads_statistics_only


def accumulate(
    inputs: Inputs, requests: Requests, settings: Settings, source: str = "stats"
) -> Stats:
    """Compute the statistics that metrics share, in one pass over the rows.

    They are of the features (`source` "stats") or of the source outputs ("source_stats").
    """
    stats = Stats(
        inputs.target.task,
        settings.precision,
        settings.threads,
        class_scatters=PreparedRequests.of(requests).reads_class_scatters,
        stop=settings.stop,
    )
    rows = inputs.features if source == "stats" else inputs.source_probs
    if rows is not None:
        if rows.size > _SMALL and not (prepared := PreparedRequests.of(requests)).in_python:
            prepared.compiled.check_shape(*rows.shape)
        columns = inputs.columns if source == "stats" else None
        stats.push(rows, inputs.target, notes=inputs.notes, columns=columns)
    else:
        assert isinstance(inputs.files, FeatureSource), "plan checks that needs are met"
        add_rows(stats, inputs.files, inputs.target)
    return stats


def _evaluate_directly(
    inputs: Inputs, requests: PreparedRequests, settings: Settings
) -> dict[str, Score | Exception]:
    """Compute metrics that read no statistics, in native code or in Python."""
    start = time.perf_counter()
    n_threads = settings.threads
    warn_of_pairs(
        requests, lambda: Size.of(inputs, len(inputs.target.counts()[0] or ())), n_threads
    )
    outcomes: dict[str, Any] = {}
    for spec in requests.in_python:
        with within(spec.name):
            outcomes[spec.name] = spec.run(inputs, requests[spec.name], n_threads)
    if requests.native:
        stage(", ".join(requests.native))
        found = _core.compute(requests.compiled, n_threads, inputs.native(), settings.stop)
        outcomes.update(zip(requests.native, found, strict=True))
    target = inputs.target
    facts = {
        **target.facts(*target.counts()),
        "n_samples": target.n_samples,
        "n_features": inputs.shape[1],
        "seconds": time.perf_counter() - start,
    }
    return make_scores(requests, outcomes, facts, (*target.warnings, *inputs.notes))
