"""Figures for Prometheus, and logs as lines of JSON without data, tokens or ids of sessions."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

__all__ = ["LOG", "Telemetry", "log_as_json"]

LOG = logging.getLogger("transferability.serve")
#: Attributes of every record of ``logging``: what is beside them was passed as `extra`.
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Telemetry:
    """Counts of requests, and what is read from the parts of the service when it is asked for."""

    def __init__(self, pool: Any, sessions: Any, spool: Any) -> None:
        self._registry = registry = CollectorRegistry()
        prometheus_client.ProcessCollector(registry=registry)
        where = {"namespace": "transferability", "registry": registry}
        labels = ("method", "path", "status")
        self._requests = Counter("requests", "Requests that were answered.", labels, **where)
        self._seconds = Histogram(
            "request_seconds", "From head to answer.", ("path",), buckets=_SECONDS, **where
        )
        for name, text, read in (
            ("queue_length", "Requests that wait for a worker.", lambda: pool.queued),
            ("running", "Requests that are computed now.", lambda: pool.running),
            ("workers", "Worker processes.", lambda: pool.alive),
            ("workers_lost", "Workers that have ended since the start.", lambda: pool.lost),
            ("sessions", "Sessions.", lambda: len(sessions)),
            ("session_bytes", "Bytes of the statistics of sessions.", lambda: sessions.n_bytes),
            ("waiting_changes", "Changes that wait for another.", lambda: sessions.waiting),
            ("receiving", "Bodies that are being received.", lambda: spool.receiving),
            ("received_bytes", "Bytes of bodies since the start.", lambda: spool.received),
        ):
            Gauge(name, text, **where).set_function(read)

    def observe(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered; `path` is that of the table."""
        self._requests.labels(method, path, str(status)).inc()
        self._seconds.labels(path).observe(seconds)

    def expose(self) -> tuple[bytes, str]:
        """Return all figures as text, with its media type."""
        text: bytes = prometheus_client.generate_latest(self._registry)
        return text, prometheus_client.CONTENT_TYPE_LATEST


class _JsonFormatter(logging.Formatter):
    """One line of JSON for each record: time, level, event, and what was passed as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage().partition("\n")[0],
            **{name: value for name, value in vars(record).items() if name not in _PLAIN},
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = record.exc_info[0].__name__  # its text may quote data
            line["trace"] = [
                f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str)


def log_as_json() -> None:
    """Write the log of the service and the warnings of its libraries to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    LOG.setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # malformed requests are counted
