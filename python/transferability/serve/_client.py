"""The client of a request: what ends its wait in a queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

__all__ = ["Client", "Disconnected"]

_IGNORED = 8 << 20  # bytes of a body that nobody reads


class Disconnected(Exception):
    """The client has closed the connection before it was answered."""


class Client:
    """Tells whether the client of a request, whose body is read, still waits for the answer."""

    def __init__(self, gone: asyncio.Future[None]) -> None:
        self._gone = gone

    @classmethod
    @asynccontextmanager
    async def of(cls, request: Any) -> AsyncIterator[Client]:
        """Watch the connection of a request."""
        gone = asyncio.ensure_future(_wait_for_end(request.receive))
        try:
            yield cls(gone)
        finally:
            gone.cancel()

    async def wait(self, turn: asyncio.Future[Any], seconds: float) -> None:
        """Wait until a turn has come, which the caller gives back if this raises.

        Raises
        ------
        Disconnected
            If the client has gone.
        asyncio.TimeoutError
            If the time is over.
        """
        await asyncio.wait({turn, self._gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if self._gone.done():
            raise Disconnected
        if not turn.done():
            raise asyncio.TimeoutError


async def _wait_for_end(receive: Any) -> None:
    """Return when the connection is closed; what comes of a body until then is ignored."""
    ignored = 0
    while ignored <= _IGNORED:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        ignored += len(message.get("body", b""))
    await asyncio.get_running_loop().create_future()
