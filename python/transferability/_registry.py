"""Which metrics there are and which options each takes, for score, rank and the command line.

A metric is a row of the native table and a module of its name in ``metrics/`` with

- ``options(task, *, ...)``, whose keywords are the options users may give and which returns
  those of the native kernel,
- ``explain(score)``, lines in plain words,
- a public function of its name,
- ``WHEN``, a sentence on when to use it,
- where it is a member of ``metrics="recommended"``, ``RECOMMENDED``, its options there; where it is
  a baseline that others should beat, ``BASELINE = True``.

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

from . import _consensus, _core, metrics
from ._score import SETS
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
    return _consensus.TITLES.get(metric) or str(metric_rows()[metric]["title"])


def module_of(metric: str) -> Metric:
    """Import the module of a metric, or of a column that is none."""
    if metric in _consensus.TITLES:
        return cast(Metric, _consensus)
    return cast(Metric, importlib.import_module(f".metrics.{metric}", __package__))


def metric_names(metrics: object) -> list[str]:
    """Check what was asked for: a name, several, "all" or "recommended"."""
    known = list(metric_rows())
    if isinstance(metrics, str):
        several = {"all": known, "recommended": _having("RECOMMENDED")}
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
    """Check metrics and options and say what to ask of the native module.

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
    rows = metric_rows()
    everything = isinstance(metrics, str) and metrics in SETS
    names = metric_names(metrics)
    if baselines:
        known = [name for name in _having("BASELINE") if name not in names]
        names += [name for name in known if _why_not(rows[name], task, provided) is None]
    reasons = {name: _why_not(rows[name], task, provided) for name in names}
    if everything:  # asked for by name, these say themselves what is missing
        for name in names:
            reasons[name] = reasons[name] or _why_not_by_itself(name, rows[name], provided)
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    if skipped and not everything:
        name, reason = next(iter(skipped.items()))
        raise DataError(f"{name} {reason}")
    requests: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    for name in names:
        if name in skipped:
            continue
        module = module_of(name)
        takes = options_of(name)
        taken |= takes
        given = {k: v for k, v in options.items() if k in takes}
        if metrics == "recommended":
            given = {**getattr(module, "RECOMMENDED", {}), **given}
        try:
            requests[name] = module.options(task, **given)
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


def unmet(row: Mapping[str, Any], provided: Collection[str]) -> list[str]:
    """Give the needs of a metric that are not provided."""
    return [need for need in row["needs"] if need not in provided]


def _having(attribute: str) -> list[str]:
    """Name the metrics whose module has an attribute."""
    return [name for name in metric_rows() if hasattr(module_of(name), attribute)]


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
