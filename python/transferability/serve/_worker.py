"""The worker process: read bodies and compute, one request at a time.

It reads one line of JSON for each request from its standard input, and answers with one line. Files
carry bodies and statistics. It ends when its input does, and limits its own memory and time, so
that it outlives neither its service nor its request.
"""

from __future__ import annotations

import functools
import inspect
import json
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .._metric.registry import metric_specs
from .._metric.score import Scores
from .._scoring.engine import Engine
from .._stats.stats import Stats
from ..errors import DataError, LimitError
from ._bodies import ArrayLimits, read_arrays
from ._problems import StorageError, describe_error, encode
from ._settings import MOST_ANSWER, Settings
from ._words import reword

__all__ = ["ARRAYS_OF_SCORE", "ARRAYS_OF_UPDATE", "Worker", "main"]

#: The arrays that a request may have, as arguments of ``Engine.score`` and ``Stats.update``.
ARRAYS_OF_SCORE = (
    *("features", "labels", "targets", "source_probs", "source_labels", "label_embeddings"),
)
ARRAYS_OF_UPDATE = ("features", "labels", "sample_weight")
#: Names that are no options of metrics: the other arguments of what is called with them.
_TAKEN = {
    parameter.name
    for function in (Engine.__init__, Stats.score)
    for parameter in inspect.signature(function).parameters.values()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
}
_REMEMBERED = 64  # engines
_FRAMES = 20  # the innermost ones, of the trace of an error
#: Address space beside that of computations: scratch memory of threads, arenas, libraries.
_HEADROOM = 1 << 30
_GRACE = 5.0  # seconds beyond the limit, after which the system ends a worker


class Worker:
    """Answers requests: each method is one kind, with plain arguments and a plain result."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._arrays = ArrayLimits(settings)

        @functools.lru_cache(_REMEMBERED)
        def engine_of(metrics: str, task: str, precision: str, method: str, options: str) -> Engine:
            return Engine(
                _split(metrics),
                task=task,
                precision=precision,
                method=method,
                n_threads=1,
                max_bytes=settings.max_bytes,
                max_samples=settings.max_samples,
                max_features=settings.max_features,
                max_classes=settings.max_classes,
                **json.loads(options),
            )

        self._engine_of = engine_of

    def score(
        self,
        body: str,
        metrics: str = "logme",
        task: str = "auto",
        precision: str = "double",
        method: str = "auto",
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Compute metrics of the arrays in a body."""
        engine = self._engine_of(metrics, task, precision, method, _as_key(options))
        arrays = read_arrays(Path(body), ARRAYS_OF_SCORE, self._arrays)
        return _to_dict(engine.score(**arrays))

    def update(self, body: str, output: str, **session: Any) -> dict[str, Any]:
        """Add the rows in a body to the statistics of a session, and write them to a new file."""
        arrays = read_arrays(Path(body), ARRAYS_OF_UPDATE, self._arrays)
        if "features" not in arrays:
            raise DataError("the body has no features; an update needs them")
        return self._write(self._load(**session).update(**arrays), output)

    def merge(self, body: str, output: str, **session: Any) -> dict[str, Any]:
        """Merge the statistics in a body into those of a session, and write them to a new file."""
        try:
            added = Stats.from_bytes(Path(body).read_bytes())
        except DataError as error:
            raise DataError(f"body: {error}") from error
        return self._write(self._load(**session).merge(added), output)

    def score_session(
        self,
        metrics: str = "logme",
        options: Mapping[str, Any] | None = None,
        task: str | None = None,
        **session: Any,
    ) -> dict[str, Any]:
        """Compute metrics of the statistics of a session."""
        stats = self._load(**session)
        if task is not None:
            stats = stats.replace(task=task)
        names = _split(metrics)
        return _to_dict(stats.score(names, **json.loads(_as_key(options))))

    def _load(self, state: str | None, stats: Mapping[str, Any]) -> Stats:
        """Return the statistics of a session: those of its file, or none yet."""
        if state is None:
            return Stats(n_threads=1, **stats)
        return Stats.from_bytes(Path(state).read_bytes()).replace(n_threads=1)

    def _write(self, stats: Stats, output: str) -> dict[str, Any]:
        """Check the limits of statistics, write them, and describe them."""
        limits = self._settings
        classes = len(stats.classes or ())
        targets = 0 if stats.described is None else len(stats.described.columns or ())
        for name, found, most in (
            ("features", stats.n_features, "max_features"),
            ("classes", classes, "max_classes"),
            ("columns of targets", targets, "max_classes"),
            ("bytes", stats.nbytes, "session_bytes"),
        ):
            if found > getattr(limits, most):
                raise LimitError(
                    f"the session would have {found:,} {name}, and {most} is "
                    f"{getattr(limits, most):,}; it is as it was before"
                )
        data = stats.to_bytes()
        try:
            Path(output).write_bytes(data)
        except OSError as error:
            raise StorageError("the session", error) from error
        return {
            "n_samples": stats.n_samples,
            "n_features": stats.n_features,
            "n_classes": classes,
            "task": stats.task,
            "n_bytes": len(data),
        }


def _split(metrics: str) -> str | list[str]:
    """Return names separated by commas; a set such as "all" stays one word."""
    names = [name.strip() for name in metrics.split(",")]
    return names[0] if names in (["all"], ["recommended"]) else names


def _as_key(options: Mapping[str, Any] | None) -> str:
    """Return options of metrics as text; raise DataError for what a request cannot choose."""
    for name in options or ():
        if name in _TAKEN:
            limit = name.startswith("max_")
            where = "a limit of the service" if limit else "no option of a metric"
            raise DataError(f"options has {name!r}, which is {where}; leave it out")
    return json.dumps(options or {}, sort_keys=True)


def _to_dict(scores: Scores) -> dict[str, Any]:
    """Return scores in JSON, with texts in the words of requests."""
    found = {name: score.to_dict() for name, score in scores.items()}
    for score in found.values():
        score["task_note"] = reword(score["task_note"])
        score["warnings"] = [reword(text) for text in score["warnings"]]
    return {
        "scores": found,
        "skipped": {name: reword(reason) for name, reason in scores.skipped.items()},
    }


def answer(worker: Worker, request: dict[str, Any]) -> str:
    """Return the result of a request, or what its Problem says, as a line of JSON."""
    call: Callable[..., dict[str, Any]] = getattr(worker, request.pop("do"))
    try:
        line = encode({"result": call(**request)}).decode()
        if len(line) > MOST_ANSWER:
            raise LimitError(
                f"the answer has {len(line):,} bytes, and may have {MOST_ANSWER:,}; leave out "
                f"options such as keep_coef"
            )
        return line
    except Exception as error:
        told = describe_error(error)
        told["detail"] = reword(told["detail"])
        if told["status"] == 500:  # the places in the code, without texts that may quote data
            told["trace"] = [
                f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(error.__traceback__, -_FRAMES)
            ]
        return json.dumps({"problem": told})


def _limit_memory(settings: Settings) -> None:
    """Limit the address space to what is mapped now and what a request may take."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    most = mapped + settings.max_bytes + 3 * settings.max_body + _HEADROOM
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        most = min(most, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def main() -> None:
    """Serve requests until standard input ends; its first line has the settings."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    warnings.simplefilter("ignore")
    settings = Settings(**json.loads(sys.stdin.readline()))
    worker = Worker(settings)
    Engine("logme").score(np.eye(8, 2), [0, 1] * 4)  # maps scratch memory, imports the metrics
    if sys.platform == "linux":
        _limit_memory(settings)
    reply = json.dumps({"metrics": [spec.facts() for spec in metric_specs().values()]})
    while True:
        channel.write(reply + "\n")
        channel.flush()
        line = sys.stdin.readline()
        if not line:
            return
        signal.setitimer(signal.ITIMER_REAL, settings.max_seconds + _GRACE)  # ends the process
        reply = answer(worker, json.loads(line))
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    main()
