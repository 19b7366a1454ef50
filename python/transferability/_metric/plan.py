"""The plan of a call: which metrics to compute, each with its kernel options."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._inputs.arguments import suggest
from ..errors import DataError, DtypeError, TransferabilityError
from .registry import known_specs, metric_names, spec_of
from .score import SETS
from .spec import MetricSpec

__all__ = ["Plan", "plan"]

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


def plan(
    metrics: str | Sequence[str],
    task: str,
    options: Mapping[str, object],
    provided: Collection[str],
    baselines: bool = False,
    advice: Mapping[str, str] | None = None,
) -> Plan:
    """Validate metrics and options, and return the options of every kernel to run.

    `metrics` is a name, several names, "all" for every metric that applies to `task`, or
    "recommended" for the members of the consensus that apply; `baselines` adds the baseline metrics
    that apply. `provided` are the needs that can be met, and `advice` says how the caller's user
    meets others, where this is not as in a call of `score`. At least one metric must take each
    option.

    Raises
    ------
    DataError, DtypeError
        If a metric named by the user does not apply, or a metric or an option is wrong.
    """
    everything = isinstance(metrics, str) and metrics in SETS
    remedies = _ADVICE if advice is None else {**_ADVICE, **advice}
    names, met = metric_names(metrics), frozenset(provided)
    if baselines:
        known = [name for name, spec in known_specs().items() if spec.baseline]
        names += [
            n for n in known if n not in names and not _why_not(spec_of(n), task, met, remedies)
        ]
    specs = {name: spec_of(name) for name in names}
    skipped: dict[str, str] = {}
    for name, spec in specs.items():
        reason = _why_not(spec, task, met, remedies)
        if everything and reason is None:  # the metric itself raises if the user named it
            reason = _why_no_value(spec, met)
        if reason is not None:
            skipped[name] = reason
            if not everything:
                raise DataError(f"{name} {reason}")
    requests: dict[str, dict[str, Any]] = {}
    taken: set[str] = set()
    for name, spec in specs.items():
        if name in skipped:
            continue
        taken |= spec.option_names
        given = {k: v for k, v in options.items() if k in spec.option_names}
        if metrics == "recommended":
            given = {**(spec.recommended or {}), **given}
        try:
            requests[name] = spec.options(task, **given)
        except TransferabilityError:
            raise
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"an option of {name} is of the wrong kind ({error}): {given}"
            ) from error
    if unknown := options.keys() - taken:
        take = "take" if len(requests) > 1 else "takes"
        others = [own.name for own in known_specs().values() if min(unknown) in own.option_names]
        of_others = f"; it is an option of {', '.join(others)}" if others else ""
        raise DtypeError(
            f"unknown option {min(unknown)!r}{suggest(min(unknown), taken)}; "
            f"{', '.join(requests) or 'no metric'} {take} "
            f"{', '.join(sorted(taken)) or 'no options'}{of_others}"
        )
    return requests, skipped


def _why_not(
    spec: MetricSpec, task: str, provided: frozenset[str], advice: Mapping[str, str]
) -> str | None:
    """Return the reason why a metric does not apply, None if it does."""
    if task not in spec.tasks:
        if task == "unlabelled":
            return "needs labels, and there are none; give one label for each row"
        tasks = [known for known in spec.tasks if known != "unlabelled"]
        return f"is for {' and '.join(tasks)}, and this task is {task}"
    for need in spec.unmet(provided):
        return f"needs {advice[need].format(name='score' if spec.origin else spec.name)}"
    return None


def _why_no_value(spec: MetricSpec, provided: frozenset[str]) -> str | None:
    """Return the reason why a metric that applies has no value in this call, None if it has."""
    if spec.pool is not None and "pool" not in provided:
        return "is defined among models only; call rank"
    if spec.requires is not None and importlib.util.find_spec(spec.requires) is None:
        return f"needs {spec.requires}: pip install 'transferability[{spec.requires}]'"
    return None
