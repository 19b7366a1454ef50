"""Sessions: statistics that several requests accumulate, in files, with limits and expiry."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._client import Client
from ._problems import Problem, busy
from ._settings import Settings

__all__ = ["Session", "Sessions", "StateFile"]

_NO_ROWS = {"n_samples": 0, "n_features": 0, "n_classes": 0, "task": "auto", "n_bytes": 0}


@dataclass
class StateFile:
    """A file of statistics; one that is not the state any more goes with its last reader."""

    path: Path
    n_bytes: int
    readers: int = 0
    is_current: bool = True


@dataclass
class Session:
    """The statistics of one session: their settings, their file, and what they hold."""

    id: str
    stats: dict[str, Any]  # arguments of Stats
    used: float
    state: StateFile | None = None
    holds: dict[str, Any] = field(default_factory=lambda: dict(_NO_ROWS))
    version: int = 0  # number of changes
    #: Changes follow each other; readers of a state see the file of one change.
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    users: int = 0  # requests
    removed: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments with which a worker finds the statistics."""
        state = None if self.state is None else str(self.state.path)
        return {"state": state, "stats": self.stats}


class Sessions:
    """All sessions by id; those that nobody has used for a while are removed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._by_id: dict[str, Session] = {}  # least recently used first
        self.n_bytes = 0  # of all files, also of those that are only read
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
    async def use(self, id: str) -> AsyncIterator[Session]:
        """Yield a session, which does not expire meanwhile; raise Problem 404 if there is none."""
        session = self._find(id)
        session.users += 1
        try:
            yield session
        finally:
            session.users -= 1
            if not session.removed:
                self._touch(session)

    @asynccontextmanager
    async def read(self, id: str) -> AsyncIterator[Session]:
        """Yield a session whose present file stays until the end, whatever happens to it."""
        async with self.use(id) as session:
            with self._hold(session.state):
                yield session

    @asynccontextmanager
    async def change(self, id: str, client: Client) -> AsyncIterator[Session]:
        """Yield a session that nobody else changes, and whose present file stays."""
        async with self.use(id) as session:
            await self._wait_for(session, client)
            try:
                if session.removed:
                    raise _missing()
                with self._hold(session.state):
                    yield session
            finally:
                session.lock.release()

    @contextmanager
    def _hold(self, state: StateFile | None) -> Iterator[None]:
        if state is None:
            yield
            return
        state.readers += 1
        try:
            yield
        finally:
            state.readers -= 1
            self._unlink_unused(state)

    async def _wait_for(self, session: Session, client: Client) -> None:
        """Acquire the lock of a session; raise Problem 429 if too many wait, or for too long."""
        if session.lock.locked() and self.waiting >= self._settings.max_queue:
            raise busy(f"{self.waiting} changes wait for others of their session")
        self.waiting += 1
        turn = asyncio.ensure_future(session.lock.acquire())
        try:
            await client.wait(turn, self._settings.max_seconds)
        except BaseException as error:
            if not turn.cancel():
                session.lock.release()
            if isinstance(error, asyncio.TimeoutError):
                raise busy("other changes of the session took max_seconds") from None
            raise
        finally:
            self.waiting -= 1

    def commit(self, session: Session, output: Path, holds: dict[str, Any]) -> None:
        """Make a new file the state of a session; raise Problem 429 if all would be too large.

        The file is renamed, so that the end of the request leaves it.
        """
        if session.removed:  # while it was computed
            raise _missing()
        old, total = session.state, self.n_bytes + holds["n_bytes"]
        if old is not None and old.readers == 1:  # the caller
            total -= old.n_bytes
        most = self._settings.sessions_bytes
        if total > most:
            raise self._full(f"all sessions would take {total:,} bytes; sessions_bytes is {most:,}")
        path = output.rename(output.with_name(f"session-{output.name}"))
        session.state, session.holds = StateFile(path, holds["n_bytes"]), holds
        self.n_bytes += holds["n_bytes"]
        session.version += 1
        self._retire(old)

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
        session = self._by_id.get(id)
        if session is None:
            raise _missing()
        self._touch(session)
        return session

    def _touch(self, session: Session) -> None:
        """Note that a session is used now, which makes it the last one to expire."""
        session.used = time.monotonic()
        self._by_id[session.id] = self._by_id.pop(session.id)

    def _remove(self, session: Session) -> None:
        del self._by_id[session.id]
        session.removed = True
        self._retire(session.state)

    def _retire(self, state: StateFile | None) -> None:
        """Release a file that is not the state of its session any more."""
        if state is not None:
            state.is_current = False
            self._unlink_unused(state)

    def _unlink_unused(self, state: StateFile) -> None:
        if not state.is_current and not state.readers:
            self.n_bytes -= state.n_bytes
            state.path.unlink(missing_ok=True)

    def _full(self, reason: str) -> Problem:
        """Return Problem 429 with the seconds until a session may expire."""
        first = next(iter(self._by_id.values()), None)
        wait = self._settings.session_seconds
        if first is not None:
            wait -= time.monotonic() - first.used
        seconds = str(max(1, min(3600, round(wait))))
        detail = f"{reason}; delete sessions that are done, or try again after {seconds} s"
        return Problem(429, "BusyError", detail, {"Retry-After": seconds})


def _missing() -> Problem:
    detail = "there is no such session: it was deleted, has expired, or the service was restarted"
    return Problem(404, "SessionError", detail)
