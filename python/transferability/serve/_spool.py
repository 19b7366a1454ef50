"""Receive bodies into files, with limits of size and time."""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ._client import Disconnected
from ._problems import Problem, StorageError, busy, describe_error
from ._settings import Settings

__all__ = ["Spool", "discard_body"]

_DISCARDED, _DISCARD_SECONDS = 8 << 20, 2.0


class Spool:
    """A folder of bodies and statistics that only this user can read, and its limits."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self.receiving = 0
        self.received = 0  # bytes of all bodies
        self._held: dict[Path, int] = {}  # bytes of bodies that are on disk

    @contextmanager
    def file(self, suffix: str) -> Iterator[Path]:
        """Yield the path of a new file, and remove it at the end if it is still there."""
        path = self._folder / f"{secrets.token_hex(8)}{suffix}"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
            self._held.pop(path, None)

    async def receive(self, request: Any, path: Path, most: int | None = None) -> int:
        """Write the body of a request to a file, and return its length.

        Raises
        ------
        Problem
            408 if it comes too slowly, 413 if it is or becomes too large, 429 if too many bodies
            are being received, 503 if the disk is full.
        Disconnected
            If the client has gone.
        """
        most = self._settings.max_body if most is None else most
        check_length(request.headers, most)
        if self.receiving >= self._settings.max_receiving:
            raise busy(f"{self.receiving} bodies are being received")
        self.receiving += 1
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(handle, "wb") as file:
                return await self._copy(request, path, file, most)
        except OSError as error:
            told = describe_error(StorageError("the body", error))
            raise Problem(**told, headers={"Retry-After": "1"}) from error
        finally:
            self.receiving -= 1

    async def _copy(self, request: Any, path: Path, file: Any, most: int) -> int:
        deadline = time.monotonic() + self._settings.body_seconds
        length = 0
        while True:
            left = deadline - time.monotonic()
            try:
                message = await asyncio.wait_for(request.receive(), max(left, 0.0))
            except asyncio.TimeoutError:
                raise Problem(
                    408,
                    "SlowBodyError",
                    f"{length:,} bytes of the body came in body_seconds = "
                    f"{self._settings.body_seconds:g} s; send it faster, or in parts to a session",
                    {"Connection": "close"},
                ) from None
            if message["type"] == "http.disconnect":
                raise Disconnected
            chunk = message.get("body", b"")
            length += len(chunk)
            self.received += len(chunk)
            if length > most:
                raise _too_large(f"more than {most:,}", most)
            self._held[path] = length
            if sum(self._held.values()) > self._settings.spool_bytes:
                raise busy("the bodies of all requests take spool_bytes")
            file.write(chunk)
            if not message.get("more_body", False):
                return length


def check_length(headers: Mapping[str, str], most: int) -> None:
    """Raise Problem 413 if a body declares more bytes than it may have, 415 if it is compressed."""
    coding = headers.get("content-encoding", "identity")
    if coding.lower() != "identity":
        detail = f"the body has the coding {coding[:50]!r}; send it without Content-Encoding"
        raise Problem(415, "MediaTypeError", detail)
    declared = headers.get("content-length", "")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > most):
        raise _too_large(declared[:30], most)


async def discard_body(receive: Any) -> bool:
    """Read the rest of a body that nobody wants, within limits; return whether its end came.

    A client that is still sending when the connection is closed may not see the answer.
    """
    deadline, length = time.monotonic() + _DISCARD_SECONDS, 0
    while length <= _DISCARDED:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, deadline - time.monotonic()))
        except asyncio.TimeoutError:
            return False
        length += len(message.get("body", b""))
        if not message.get("more_body", False):
            return True
    return False


def _too_large(length: str, most: int) -> Problem:
    detail = f"the body has {length} bytes, and max_body is {most:,}; send it in parts to a session"
    return Problem(413, "LimitError", detail)
