"""Sessions: statistics that several requests accumulate, in files, with limits and expiry."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._problems import Problem
from ._settings import Settings

__all__ = ["Session", "Sessions"]

_NO_ROWS = {"n_samples": 0, "n_features": 0, "n_classes": 0, "task": "auto", "n_bytes": 0}


@dataclass
class Session:
    """The statistics of one session: their settings, their file, and what they hold."""

    id: str
    stats: dict[str, Any]  # arguments of Stats
    used: float
    state: Path | None = None
    holds: dict[str, Any] = field(default_factory=lambda: dict(_NO_ROWS))
    version: int = 0  # number of changes
    #: Changes follow each other; readers of a state see the file of one change.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0  # requests
    readers: int = 0  # requests that do not change it
    stale: list[Path] = field(default_factory=list)  # earlier files, which readers may still open
    removed: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments with which a worker finds the statistics."""
        return {"state": None if self.state is None else str(self.state), "stats": self.stats}


class Sessions:
    """All sessions by id; those that nobody has used for a while are removed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_id: dict[str, Session] = {}  # least recently used first
        self.n_bytes = 0
        self.waiting = 0  # requests that wait for another change of the same session

    def __len__(self) -> int:
        return len(self._by_id)

    def create(self, stats: dict[str, Any]) -> Session:
        """Add a session without rows; raise Problem 429 if there are too many."""
        self.expire()
        most = self._settings.max_sessions
        if len(self._by_id) >= most:
            raise self._full(f"there are {len(self._by_id)} sessions, and max_sessions is {most}")
        session = Session(secrets.token_urlsafe(16), stats, time.monotonic())
        session.holds["task"] = stats["task"]
        self._by_id[session.id] = session
        return session

    @asynccontextmanager
    async def use(self, id: str, change: bool = False) -> AsyncIterator[Session]:
        """Yield a session, alone if it is to be changed; raise Problem 404 if there is none."""
        session = self._find(id)
        session.users += 1
        session.readers += not change
        try:
            if not change:
                yield session
                return
            await self._wait_for(session)
            try:
                if session.removed:
                    raise _missing()
                yield session
            finally:
                session.lock.release()
        finally:
            session.users -= 1
            session.readers -= not change
            session.used = time.monotonic()
            _unlink_stale(session)

    async def _wait_for(self, session: Session) -> None:
        """Acquire the lock of a session; raise Problem 429 if too many wait for such locks."""
        if session.lock.locked() and self.waiting >= self._settings.max_queue:
            detail = f"{self.waiting} changes wait for others of their session; try again after 1 s"
            raise Problem(429, "BusyError", detail, {"Retry-After": "1"})
        self.waiting += 1
        try:
            await session.lock.acquire()
        finally:
            self.waiting -= 1

    def commit(self, session: Session, state: Path, holds: dict[str, Any]) -> None:
        """Make a new file the state of a session; raise Problem 429 if all would be too large.

        The file is renamed, so that the end of the request leaves it.
        """
        total = self.n_bytes - session.holds["n_bytes"] + holds["n_bytes"]
        most = self._settings.sessions_bytes
        if total > most:
            raise self._full(f"all sessions would take {total:,} bytes; sessions_bytes is {most:,}")
        if session.removed:  # while it was computed
            raise _missing()
        kept = state.rename(state.with_name(f"session-{state.name}"))
        if session.state is not None:
            session.stale.append(session.state)
        session.state, session.holds, self.n_bytes = kept, holds, total
        session.version += 1

    def delete(self, id: str) -> None:
        """Remove a session; raise Problem 404 if there is none."""
        self._remove(self._find(id))

    def expire(self) -> None:
        """Remove the sessions that were not used for `session_seconds`."""
        oldest = time.monotonic() - self._settings.session_seconds
        for session in [*self._by_id.values()]:
            if session.used >= oldest:
                break
            if not session.users:
                self._remove(session)

    def describe(self, session: Session) -> dict[str, Any]:
        """Return what a client sees of a session."""
        return {
            "id": session.id,
            "version": session.version,
            "expires_in": self._settings.session_seconds,
            **session.stats,
            **session.holds,
        }

    def _find(self, id: str) -> Session:
        self.expire()
        session = self._by_id.pop(id, None)
        if session is None:
            raise _missing()
        self._by_id[id] = session  # the most recently used
        session.used = time.monotonic()
        return session

    def _remove(self, session: Session) -> None:
        del self._by_id[session.id]
        session.removed = True
        self.n_bytes -= session.holds["n_bytes"]
        _unlink_stale(session)

    def _full(self, reason: str) -> Problem:
        """Return Problem 429 with the seconds until a session may expire."""
        first = next(iter(self._by_id.values()), None)
        wait = self._settings.session_seconds
        if first is not None:
            wait -= time.monotonic() - first.used
        seconds = str(max(1, min(3600, round(wait))))
        detail = f"{reason}; delete sessions that are done, or try again after {seconds} s"
        return Problem(429, "BusyError", detail, {"Retry-After": seconds})


def _unlink_stale(session: Session) -> None:
    """Remove the files that no request reads any more."""
    if session.removed and session.state is not None:
        session.stale.append(session.state)
        session.state = None
    while session.stale and not session.readers:
        session.stale.pop().unlink(missing_ok=True)


def _missing() -> Problem:
    detail = "there is no such session: it was deleted, has expired, or the service was restarted"
    return Problem(404, "SessionError", detail)
