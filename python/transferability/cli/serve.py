"""``transferability serve``: answer HTTP requests."""

from __future__ import annotations

from typing import Any

import click

from .._util.threads import get_num_threads
from ..serve._settings import Settings, check_address, read_token
from ._shared import add_options, as_usage_errors, say

__all__ = ["serve"]

_COUNT = click.IntRange(min=1)
_SECONDS = click.FloatRange(min=0, min_open=True, max=86_400)
_DEFAULTS = Settings()
#: Limits as options: the field of the settings, type, help.
_LIMITS = (
    ("max_samples", _COUNT, "Rows of a request."),
    ("max_features", _COUNT, "Columns of an array."),
    ("max_classes", _COUNT, "Classes, or columns of targets."),
    ("max_numbers", _COUNT, "Rows times columns of an array."),
    ("max_body", _COUNT, "Bytes of a body, also when it is unpacked."),
    ("max_bytes", _COUNT, "Bytes that a computation may take beside the body."),
    ("max_seconds", _SECONDS, "Seconds of a computation, and of waiting for a worker."),
    ("body_seconds", _SECONDS, "Seconds in which a body must arrive, or a head."),
    ("max_queue", _COUNT, "Requests that wait for a worker; others get status 429."),
    ("max_receiving", _COUNT, "Bodies that are received at a time."),
    ("spool_bytes", _COUNT, "Bytes of all bodies that are on disk at a time."),
    ("max_connections", _COUNT, "Connections."),
    ("max_sessions", _COUNT, "Sessions."),
    ("session_bytes", _COUNT, "Bytes of the statistics of one session."),
    ("sessions_bytes", _COUNT, "Bytes of the statistics of all sessions, on disk."),
    ("session_seconds", _SECONDS, "Seconds after which an unused session expires."),
    ("drain_seconds", _SECONDS, "Seconds to finish requests after SIGTERM."),
)


@click.command()
@click.option("--host", default=_DEFAULTS.host, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=_DEFAULTS.port,
    help="Port; 0 for a free one.",
)
@click.option(
    "--workers", type=click.IntRange(1, 128), help="Worker processes. Default: one for each core."
)
@click.option(
    "--insecure", is_flag=True, help="Let other machines connect without a token, if HOST does."
)
@add_options(
    click.option(
        f"--{name.replace('_', '-')}", type=kind, default=getattr(_DEFAULTS, name), help=text
    )
    for name, kind, text in _LIMITS
)
def serve(host: str, port: int, workers: int | None, insecure: bool, **limits: Any) -> None:
    """Serve scores and statistics over HTTP.

    Clients give the bearer token of the environment variable TRANSFERABILITY_SERVE_TOKEN. Without
    it only this machine can connect. SIGTERM finishes the running requests. The log is JSON on
    standard error. docs/service.md describes requests and limits.
    """
    from .._util.optional import need

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
