"""The server: binds the address, and finishes requests before it ends."""

from __future__ import annotations

import asyncio
import signal
import socket
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvicorn

from ..errors import DataError
from ._app import Application
from ._protocol import Protocol, fit_connections
from ._settings import Settings
from ._telemetry import LOG, log_as_json

__all__ = ["serve"]

_TICK = 0.05


class _Server(uvicorn.Server):
    """A server that, at the first signal, answers what it has and refuses what comes."""

    def __init__(self, config: Any, app: Application, settings: Settings) -> None:
        super().__init__(config)
        self._application, self._settings = app, settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._drain: asyncio.Task[None] | None = None
        self._hurries = False

    async def startup(self, sockets: Any = None) -> None:
        """Start the workers, then listen."""
        self._loop = asyncio.get_running_loop()
        self._application.asgi.connections = self.server_state.connections
        await super().startup(sockets)
        if self.started:
            LOG.info("listening", extra={"address": _address(sockets[0])})

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop: at once if that was asked for already, or before the service has started."""
        front = self._application.asgi
        if not self.started or self._loop is None:
            self.should_exit = True
        elif front.draining:
            self.force_exit = self._hurries or self.should_exit  # it does not end
            self._hurries = True
        else:
            front.draining = True
            self._loop.call_soon_threadsafe(self._start_drain)

    def _start_drain(self) -> None:
        self._drain = asyncio.get_running_loop().create_task(self._finish())

    async def _finish(self) -> None:
        """Wait until no request is active, or the time is over; then let the server end."""
        front = self._application.asgi
        LOG.info("stopping", extra={"active": front.active})
        end = time.monotonic() + self._settings.drain_seconds
        while front.active and time.monotonic() < end and not self._hurries:
            await asyncio.sleep(_TICK)
        if front.active:
            LOG.warning("requests are given up", extra={"active": front.active})
            front.give_up()
            await self._application.pool.close()
        self.should_exit = True


def serve(settings: Settings) -> None:
    """Serve until a signal comes: SIGTERM, SIGINT or SIGHUP; a second one ends at once.

    Raises DataError if the address cannot be bound.
    """
    listener = _bind(settings)
    log_as_json()
    settings = fit_connections(settings)
    with tempfile.TemporaryDirectory(prefix="transferability-serve-") as folder:
        app = Application(settings, Path(folder))
        config = uvicorn.Config(
            app.asgi,
            http=Protocol.of(settings, app.asgi),
            ws="none",
            loop="asyncio",
            lifespan="on",
            access_log=False,
            log_config=None,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=5,
        )
        server = _Server(config, app, settings)
        hang_up = getattr(signal, "SIGHUP", None)  # the terminal may be closed; not on Windows
        if hang_up is not None and signal.getsignal(hang_up) is signal.SIG_DFL:
            signal.signal(hang_up, server.handle_exit)
        try:
            asyncio.run(server.serve([listener]))
        finally:
            app.pool.kill()  # a third signal has left them
    LOG.info("stopped")


def _bind(settings: Settings) -> socket.socket:
    """Return a socket that is bound to the address of the service."""
    try:
        found = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
        with ExitStack() as on_error:
            on_error.enter_context(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            on_error.pop_all()
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"cannot listen on {settings.host} port {settings.port}: {reason}"
        ) from None
    return listener


def _address(listener: socket.socket) -> str:
    """Return the URL of a bound socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
