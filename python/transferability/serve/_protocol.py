"""HTTP on one connection: how many there are, and how long a client may do nothing."""

from __future__ import annotations

import asyncio
import resource
from contextlib import suppress
from dataclasses import replace
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ._front import Front
from ._settings import Settings
from ._telemetry import LOG

__all__ = ["Protocol", "fit_connections"]

_MOST_HEAD = 1 << 16  # bytes of the head of a request, or of a line between chunks
#: Connections beyond `max_connections` whose requests are told so; others are closed at once.
_REFUSED = 64
#: Parsing a chunk takes 30 µs, in which the service does nothing else. So a body may have so many
#: chunks beside one for each so many bytes.
_FREE_CHUNKS, _LEAST_CHUNK = 1000, 128
#: Open files beside those of connections, bodies and workers: libraries, the folder, the log.
_OTHER_FILES = 64
#: Connections that the event loop accepts at a time, twice: it closes surplus ones later.
_BURST = 2 * 2048


class _Parser(h11.Connection):
    """A parser that refuses bodies in very many tiny chunks, which would keep it busy alone."""

    _missing = 0  # bytes that the last chunks are too short
    refused = "it cannot be parsed"

    def next_event(self) -> Any:
        """Return the next event; raise RemoteProtocolError for too many chunks."""
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._missing = 0
        elif isinstance(event, h11.Data):
            needed = _LEAST_CHUNK if event.chunk_start else 0
            self._missing = max(0, self._missing + needed - len(event.data))
            if self._missing > _FREE_CHUNKS * _LEAST_CHUNK:
                self.refused = (
                    f"its body has chunks of fewer than {_LEAST_CHUNK} bytes; send larger ones"
                )
                raise h11.RemoteProtocolError(self.refused)
        return event


class Protocol(H11Protocol):
    """HTTP on one connection, which is closed if its client does nothing for too long.

    It must complete the head of a request, and take some of an answer, within `body_seconds`; the
    time of a body is limited where it is received.
    """

    _settings: Settings
    _front: Front
    _marked: Any = None
    _drained = 0  # how often what was sent has been taken
    _next_check: asyncio.TimerHandle | None = None

    @staticmethod
    def of(settings: Settings, front: Front) -> type[Protocol]:
        """Return the class of the connections of a service."""
        return type("_Protocol", (Protocol,), {"_settings": settings, "_front": front})

    def __init__(self, config: Any, *rest: Any, **more: Any) -> None:
        super().__init__(config, *rest, **more)
        self.conn = _Parser(h11.SERVER, _MOST_HEAD)

    def connection_made(self, transport: Any) -> None:
        """Start to watch the connection, or close it if there are far too many."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.max_connections + _REFUSED:
            transport.abort()
            return
        self._check()

    def _check(self) -> None:
        """Close the connection if its client has done nothing since the last check.

        What was sent and not taken yet is dropped only if the client takes nothing of it.
        """
        left = self.transport.get_write_buffer_size()
        mark: Any = None
        if left:
            mark = left, self._drained
        elif self.cycle is None or self.cycle.response_complete:
            mark = self.cycle or self
        if mark is not None and mark == self._marked:
            (self.transport.abort if left else self.transport.close)()
        self._marked = mark
        self._next_check = self.loop.call_later(self._settings.body_seconds, self._check)

    def resume_writing(self) -> None:
        """Go on to send, and note that the client has taken what was sent."""
        self._drained += 1
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the watch of the connection."""
        if self._next_check is not None:
            self._next_check.cancel()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP by a problem document, if no answer has begun."""
        headers, body = self._front.refuse_malformed(self.conn.refused)
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event))
        self.transport.close()


def fit_connections(settings: Settings) -> Settings:
    """Allow as many open files as the settings need, or set fewer connections, with a note.

    A connection takes a file, and another one while statistics are downloaded.
    """
    others = settings.max_receiving + 4 * settings.workers + _OTHER_FILES + 2 * _REFUSED
    needed = 2 * settings.max_connections + others
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    granted = soft
    for wanted in (needed + _BURST, needed):
        if granted == unlimited or granted >= wanted:
            return settings
        most = wanted if hard == unlimited else min(wanted, hard)
        with suppress(OSError, ValueError):  # the system has another limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            granted = most
    if granted >= needed:
        return settings
    most = max(1, (granted - others) // 2)
    LOG.warning("fewer connections: open files are limited", extra={"max_connections": most})
    return replace(settings, max_connections=most)
