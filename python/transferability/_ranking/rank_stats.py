"""Rank models whose statistics were collected before: in blocks, on other machines, on a device."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._inputs.inputs import Inputs
from .._metric.registry import plan, spec_of
from .._metric.score import Score
from .._scoring.evaluate import evaluate
from .._stats.stats import Stats
from ..errors import DataError, TransferabilityError
from .ranking import Ranking, Row, pooled

__all__ = ["rank_stats", "reason_of", "row_of_stats"]


def rank_stats(
    models: Mapping[str, Stats], metrics: str | Sequence[str], options: Mapping[str, Any]
) -> Ranking:
    """Rank statistics of the same rows and labels, as :func:`transferability.rank` does."""
    _check_same_rows(models)
    first = next(iter(models.values()))
    provided = {"pool", "stats"}
    if all(stats.class_scatters for stats in models.values()):
        provided.add("class_scatters")
    requests, skipped = plan(metrics, first.task, options, provided)
    if not requests:
        raise DataError(f"no metric applies to a {first.task} task")
    rows = [row_of_stats(name, stats, requests) for name, stats in models.items()]
    facts = f"{_rows_of(first)}{requests}"
    return Ranking(
        pooled(rows, requests),
        metrics=tuple(requests),
        task=first.task,
        task_note=first.task_note,
        digest=hashlib.blake2b(facts.encode(), digest_size=16).hexdigest(),
        skipped=skipped,
    )


def row_of_stats(
    name: str,
    stats: Stats,
    requests: Mapping[str, dict[str, Any]],
    given: Inputs | None = None,
    n_threads: int | None = None,
) -> Row:
    """Score one model's statistics; a metric that fails gives its reason.

    What statistics cannot serve is computed from `given`: the same rows, as far as they are kept.
    """
    start = time.perf_counter()
    scores: dict[str, Score] = {}
    failures: dict[str, str] = {}
    try:
        for metric, result in _outcomes(stats, requests, given, n_threads).items():
            if isinstance(result, Score):
                scores[metric] = result
            else:
                failures[metric] = reason_of(result)
    except Exception as error:  # one bad model never loses the sweep
        failures = dict.fromkeys(requests, reason_of(error))
    first = next(iter(requests))
    notes = [text for score in scores.values() for text in score.warnings]
    notes += [f"{m} failed: {text}" for m, text in failures.items() if m != first and scores]
    return Row(
        name=name,
        scores=scores,
        n_samples=stats.n_samples,
        n_features=stats.n_features,
        seconds=time.perf_counter() - start,
        notes=tuple(dict.fromkeys(notes)),
        error=failures.get(first),
    )


def _outcomes(
    stats: Stats,
    requests: Mapping[str, dict[str, Any]],
    given: Inputs | None,
    n_threads: int | None,
) -> dict[str, Score | Exception]:
    served = {"stats", "class_scatters"} if given is not None else None
    of_stats = {
        name: options
        for name, options in requests.items()
        if served is None or served.issuperset(spec_of(name).needs)
    }
    if n_threads is not None:
        stats._n_threads = n_threads
    outcomes = stats.outcomes(of_stats) if of_stats else {}
    if given is not None:
        rest: dict[str, dict[str, Any]] = {}
        for name in requests.keys() - of_stats.keys():
            if missing := spec_of(name).unmet(given.provides()):
                outcomes[name] = DataError(f"there is no {missing[0]} for this model")
            else:
                rest[name] = requests[name]
        outcomes |= evaluate(given, rest, n_threads=n_threads)
    return {name: outcomes[name] for name in requests}


def reason_of(error: Exception) -> str:
    """Say what went wrong, with the kind of error where it is not one of this package's."""
    text = str(error) or "no message"
    return text if isinstance(error, TransferabilityError) else f"{type(error).__name__}: {text}"


def _check_same_rows(models: Mapping[str, Stats]) -> None:
    names = iter(models)
    first = next(names)
    for name, stats in models.items():
        if stats.task == "auto":
            raise DataError(f"the statistics of {name!r} hold no rows yet; call update first")
    for name in names:
        ours, theirs = _rows_of(models[first]), _rows_of(models[name])
        for what, value in ours.items():
            if theirs[what] != value:
                raise DataError(
                    f"the statistics of {first!r} and {name!r} are not of the same rows and "
                    f"labels: {what} is {value} and {theirs[what]}; collect both from the same data"
                )


def _rows_of(stats: Stats) -> dict[str, Any]:
    """Give what statistics tell of the rows and labels they come from."""
    return {
        "task": stats.task,
        "n_samples": stats.n_samples,
        "classes": stats.classes,
        "class_counts": stats.class_counts,
    }
