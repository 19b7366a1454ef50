"""``transferability serve``: answer HTTP requests."""

from __future__ import annotations

from typing import Any

import click

from .._util.threads import get_num_threads
from ._shared import add_options, as_usage_errors, say

__all__ = ["serve"]

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True, max=86_400)
#: Limits as options: name, type, default, help. ``serve/_settings.py`` has the same names.
_LIMITS = (
    ("max-samples", _COUNT, 1_000_000, "Rows of a request."),
    ("max-features", _COUNT, 16_384, "Columns of an array."),
    ("max-classes", _COUNT, 10_000, "Classes, or columns of targets."),
    ("max-numbers", _COUNT, 50_000_000, "Rows times columns of an array."),
    ("max-body", _COUNT, 256 << 20, "Bytes of a body, also when it is unpacked."),
    ("max-bytes", _COUNT, 2 << 30, "Bytes that a computation may take beside the body."),
    ("max-seconds", _SECONDS, 60.0, "Seconds of a computation, and of waiting for a worker."),
    ("body-seconds", _SECONDS, 30.0, "Seconds in which a body must arrive, or a head."),
    ("max-queue", _COUNT, 64, "Requests that wait for a worker; others get status 429."),
    ("max-receiving", _COUNT, 64, "Bodies that are received at a time."),
    ("spool-bytes", _COUNT, 4 << 30, "Bytes of all bodies that are on disk at a time."),
    ("max-connections", _COUNT, 1024, "Connections."),
    ("max-sessions", _COUNT, 1000, "Sessions."),
    ("session-bytes", _COUNT, 128 << 20, "Bytes of the statistics of one session."),
    ("sessions-bytes", _COUNT, 1 << 30, "Bytes of the statistics of all sessions, on disk."),
    ("session-seconds", _SECONDS, 3600.0, "Seconds after which an unused session expires."),
    ("drain-seconds", _SECONDS, 30.0, "Seconds to finish requests after SIGTERM."),
)


@click.command()
@click.option("--host", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65_535), default=8000, help="Port; 0 for a free one."
)
@click.option(
    "--workers", type=click.IntRange(1, 128), help="Worker processes. Default: one for each core."
)
@click.option(
    "--insecure", is_flag=True, help="Let other machines connect without a token, if HOST does."
)
@add_options(
    click.option(f"--{name}", type=kind, default=default, help=text)
    for name, kind, default, text in _LIMITS
)
def serve(host: str, port: int, workers: int | None, insecure: bool, **limits: Any) -> None:
    """Serve scores and statistics over HTTP.

    Clients give the bearer token of the environment variable TRANSFERABILITY_SERVE_TOKEN. Without
    it only this machine can connect. SIGTERM finishes the running requests. The log is JSON on
    standard error. docs/service.md describes requests and limits.
    """
    from .._util.optional import need
    from ..serve._settings import Settings, check_address, read_token

    for module in ("starlette", "uvicorn", "prometheus_client"):
        need(module, extra="serve", what="transferability serve")
    with as_usage_errors():
        token = read_token()
        check_address(host, token, insecure)
    from ..serve._server import serve as run

    if token is None and insecure:
        say("note: everybody who can connect may use this service")
    count = get_num_threads() if workers is None else workers
    run(Settings(host=host, port=port, token=token, workers=count, **limits))
