"""Which metrics there are and which options each takes, for score, rank and the command line.

A metric is a row of the native table and a module of its name in ``metrics/`` with

- ``options(task, *, ...)``, whose keywords are the options users may give and which returns
  those of the native kernel,
- ``explain(score)``, lines in plain words,
- a public function of its name,
- ``WHEN``, a sentence on when to use it.

A metric that is computed in Python has no native row but, in its module, ``ROW``, a dict like one,
and ``compute(given, options, n_threads)``, which returns a dict like a native outcome.

Nothing else names a metric, so a new one needs no change here.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

from . import _core, metrics
from .errors import DataError, DtypeError, TransferabilityError

__all__ = [
    "Plan",
    "is_native",
    "metric_names",
    "metric_rows",
    "module_of",
    "options_of",
    "plan",
    "pool_of",
    "title_of",
    "unmet",
]

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

#: Native options by metric, and the metrics of "all" that do not apply, with the reason.
Plan = tuple[dict[str, dict[str, Any]], dict[str, str]]


class Metric(Protocol):
    """What a module in ``metrics/`` provides."""

    def options(self, task: str, /, **given: object) -> dict[str, object]:
        """Turn the user's options into those of the native kernel."""

    def explain(self, score: Any, /) -> list[str]:
        """Say in plain words what this metric's number means."""

    def compute(self, given: Any, options: Mapping[str, Any], n_threads: int, /) -> dict[str, Any]:
        """Compute it, where the native module does not (absent where it does)."""


@functools.cache
def metric_rows() -> dict[str, dict[str, Any]]:
    """Give the table of metrics by name: the native one, and those that are computed in Python."""
    rows: dict[str, dict[str, Any]] = {row["name"]: dict(row) for row in _core.metric_table()}
    for name in metrics.__all__:
        if name not in rows:
            rows[name] = {"name": name, **cast(Any, module_of(name)).ROW}
    for name, row in rows.items():
        row["when"] = getattr(module_of(name), "WHEN", "")
    return rows


def is_native(metric: str) -> bool:
    """Tell whether the native module computes a metric."""
    return not hasattr(module_of(metric), "compute")


def pool_of(metric: str) -> Callable[[Sequence[Any]], list[float]] | None:
    """Give what makes values of the scores of models that are compared, where one has none."""
    return getattr(module_of(metric), "pool", None)


def title_of(metric: str) -> str:
    """Give a metric's name as papers print it."""
    return str(metric_rows()[metric]["title"])


def module_of(metric: str) -> Metric:
    """Import the module of a metric."""
    return cast(Metric, importlib.import_module(f".metrics.{metric}", __package__))


def metric_names(metrics: object) -> list[str]:
    """Check what was asked for: a name, several, or "all"."""
    known = list(metric_rows())
    if isinstance(metrics, str):
        asked: list[Any] = known if metrics == "all" else [metrics]
    else:
        asked = list(metrics) if isinstance(metrics, Iterable) else [metrics]
    if not all(isinstance(name, str) for name in asked):
        raise DtypeError(
            f"metrics is {metrics!r}; give a name, a list of names or 'all', of {', '.join(known)}"
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
) -> Plan:
    """Check metrics and options and say what to ask of the native module.

    Parameters
    ----------
    metrics : str or sequence of str
        Names, or "all" for every metric that applies to `task` and to what is provided.
    task : str
        Already decided.
    options : mapping
        Every option must be one that at least one of the metrics takes.
    provided : collection of str
        The needs that can be met.
    """
    rows = metric_rows()
    everything = isinstance(metrics, str) and metrics == "all"
    names = metric_names(metrics)
    reasons = {name: _why_not(rows[name], task, provided) for name in names}
    if everything:  # asked for by name, these say themselves what is missing
        for name in names:
            reasons[name] = reasons[name] or _why_not_by_itself(name, rows[name], provided)
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    if skipped and not everything:
        name, reason = next(iter(skipped.items()))
        raise DataError(f"{name} {reason}")
    requests: dict[str, dict[str, Any]] = {}
    known: set[str] = set()
    for name in names:
        if name in skipped:
            continue
        module = module_of(name)
        takes = options_of(name)
        known |= takes
        given = {k: v for k, v in options.items() if k in takes}
        try:
            requests[name] = module.options(task, **given)
        except (TypeError, ValueError, OverflowError) as error:
            if isinstance(error, TransferabilityError):
                raise
            raise DataError(
                f"an option of {name} is of the wrong kind ({error}): {given}"
            ) from error
    unknown = sorted(set(options) - known)
    if unknown:
        raise DtypeError(
            f"unknown option {unknown[0]!r}; {', '.join(requests) or 'no metric'} takes "
            f"{', '.join(sorted(known)) or 'no options'}"
        )
    return requests, skipped


def unmet(row: Mapping[str, Any], provided: Collection[str]) -> list[str]:
    """Give the needs of a metric that are not provided."""
    return [need for need in row["needs"] if need not in provided]


def _why_not(row: Mapping[str, Any], task: str, provided: Collection[str]) -> str | None:
    """Say why a metric does not apply, if it does not."""
    if task not in row["tasks"]:
        if task == "unlabelled":
            return "needs labels, and labels is None"
        tasks = [known for known in row["tasks"] if known != "unlabelled"]
        return f"is for {' and '.join(tasks)}, and this task is {task}"
    missing = unmet(row, provided)
    return f"needs {_ADVICE[missing[0]].format(name=row['name'])}" if missing else None


def _why_not_by_itself(name: str, row: Mapping[str, Any], provided: Collection[str]) -> str | None:
    """Say why a metric that applies would still give no value."""
    if pool_of(name) is not None and "pool" not in provided:
        return "is defined among models only; call rank"
    package = row.get("requires")
    if package is not None and importlib.util.find_spec(package) is None:
        return f"needs {package}: pip install transferability[{package}]"
    return None


@functools.cache
def options_of(metric: str) -> frozenset[str]:
    """Give the options users may set; inspecting a signature takes longer than a small score."""
    return frozenset(inspect.signature(module_of(metric).options).parameters) - {"task"}
