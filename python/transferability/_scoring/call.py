"""Decide the metrics, options and settings of a call of ``score`` before it sees data.

``score`` keeps the decisions of recent calls, so that repeated ones decide nothing again until a
metric is registered. Every check of data is made in every call.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._inputs.inputs import Inputs
from .._metric.plan import plan
from .._metric.prepared import PreparedRequests
from .._metric.registry import metric_names, snapshot, spec_of
from .._metric.score import SETS, Score, Scores, collect
from .._metric.spec import NEEDS, TASKS_OF_METRICS, MetricSpec
from ..errors import DataError, TransferabilityError
from .evaluate import Settings
from .groups import check_left_out

__all__ = ["Call", "Planned", "call_of", "check_options", "finish"]

Results = dict[str, Score | Exception]
#: The requests of a call, and the metrics of "all" that do not apply, with the reason.
Planned = tuple[PreparedRequests, dict[str, str]]
#: The metrics that were known, and what was planned with them by task and arguments.
Plans = tuple[Mapping[str, MetricSpec], dict[tuple[object, ...], Planned]]

#: Types of options whose values tell them apart. Others, such as lists, may change between calls.
_PLAIN = frozenset({str, bool, int, type(None)})
_REMEMBERED = 64  # calls


class Call:
    """The metrics and options of calls of ``score``, and what follows from them for each task."""

    def __init__(
        self,
        metrics: str | Sequence[str],
        precision: str,
        method: str,
        n_threads: int | None,
        options: Mapping[str, Any],
    ) -> None:
        self.metrics = metrics
        self.options = options
        self._settings = precision, method, n_threads
        self._plans: Plans = snapshot(), {}

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings of the computation; raises DataError or DtypeError for wrong ones."""
        return Settings(*self._settings)

    def plan(self, inputs: Inputs) -> Planned:
        """Return the requests for the task and the arguments of these inputs.

        They are made once for each, and again when a metric has been registered.

        Raises DataError or DtypeError if a metric does not apply, or an option is wrong.
        """
        task = inputs.target.task
        key = (task, *inputs.given())
        known, plans = self._plans
        if known is not snapshot():
            plans = {}
            self._plans = snapshot(), plans
        planned = plans.get(key)
        if planned is None:
            requests, skipped = plan(self.metrics, task, self.options, inputs.provides())
            planned = plans[key] = PreparedRequests(requests), skipped
        return planned


def call_of(
    metrics: str | Sequence[str],
    precision: str,
    method: str,
    n_threads: int | None,
    options: Mapping[str, Any],
) -> Call:
    """Return the call with these arguments: a remembered one if they tell what it does."""
    asked = metrics if isinstance(metrics, str) else _names(metrics)
    given = options.values()
    if asked is None or not (_PLAIN.issuperset(map(type, given)) or all(map(_is_plain, given))):
        return Call(metrics, precision, method, n_threads, options)
    try:
        return _remember(asked, precision, method, n_threads, **options)
    except TypeError:  # a setting that has no hash
        return Call(metrics, precision, method, n_threads, options)


def check_options(
    metrics: str | Sequence[str],
    task: str,
    options: Mapping[str, Any],
    provided: Collection[str] = tuple(NEEDS),
    *,
    has_groups: bool = False,
    remedy: str = "pass groups, the group of each row",
) -> None:
    """Raise unless the metrics have a task in common for which the options are right.

    No data are needed. `provided` are the needs of metrics that the call will meet. `remedy` says
    how the caller's user gives groups to metrics that leave out whole groups.

    Raises
    ------
    DataError, DtypeError
        As a call on any data would.
    """
    names = metric_names(metrics)
    several = isinstance(metrics, str) and metrics in SETS  # those of a set that apply
    shared = [
        known
        for known in (TASKS_OF_METRICS if task == "auto" else (task,))
        if several or all(known in spec_of(name).tasks for name in names)
    ]
    if not shared and task == "auto":
        tasks = "; ".join(f"{name} is for {' and '.join(spec_of(name).tasks)}" for name in names)
        raise DataError(f"no labels suit all of these metrics: {tasks}; take fewer at a time")
    errors: list[TransferabilityError] = []
    for known in shared or [task]:
        try:
            requests, _ = plan(metrics, known, options, provided)
            if not has_groups:
                check_left_out(requests, None, remedy)
        except TransferabilityError as error:
            errors.append(error)
        else:
            return
    raise errors[0]


def finish(
    results: Results, metrics: str | Sequence[str], skipped: Mapping[str, str]
) -> Score | Scores:
    """Return the result of a call; raise if a metric that the user named failed."""
    for name, result in results.items():
        if spec_of(name).pool is not None and isinstance(result, Score):
            results[name] = result.with_warning(
                f"{name} is NaN here, with its parts as attributes: it is defined among models, "
                f"by rank"
            )
    return collect(results, metrics, skipped)


def _is_plain(option: object) -> bool:
    """Return whether an equal option of the same type is the same: -0.0 and 0.0 are not."""
    kind = type(option)
    return kind in _PLAIN or (kind is float and str(option) != "-0.0")


def _names(metrics: object) -> tuple[str, ...] | None:
    """Return names of metrics as a tuple; None for anything else."""
    if type(metrics) in (list, tuple) and all(type(name) is str for name in metrics):  # type: ignore[attr-defined]
        return tuple(metrics)  # type: ignore[arg-type]
    return None


@functools.lru_cache(_REMEMBERED, typed=True)
def _remember(
    metrics: str | tuple[str, ...],
    precision: str,
    method: str,
    n_threads: int | None,
    /,
    **options: Any,
) -> Call:
    return Call(metrics, precision, method, n_threads, options)
