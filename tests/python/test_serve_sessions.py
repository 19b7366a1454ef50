"""The store of sessions: files, bytes, expiry; and limits that need no running service."""

from __future__ import annotations

import asyncio
import resource
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from http_service import npy, npz

from transferability.serve import _worker
from transferability.serve._client import Client
from transferability.serve._problems import Problem
from transferability.serve._sessions import Session, Sessions
from transferability.serve._settings import Settings

STATS = {"task": "auto", "precision": "double", "class_scatters": False}


def write(folder: Path, sessions: Sessions, session: Session, n_bytes: int) -> None:
    """Commit a file of so many bytes."""
    output = folder / f"{len([*folder.iterdir()])}.stats"
    output.write_bytes(bytes(n_bytes))
    sessions.commit(session, output, {"n_bytes": n_bytes})


def on_disk(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def nobody() -> Client:
    """Return a client that stays."""
    return Client(asyncio.get_running_loop().create_future())


def test_files_that_are_read_count_until_their_last_reader(tmp_path: Path) -> None:
    async def run() -> None:
        sessions = Sessions(Settings(sessions_bytes=100))
        id = sessions.create(STATS).id
        async with sessions.change(id, nobody()) as session:
            write(tmp_path, sessions, session, 40)
        async with sessions.read(id), sessions.read(id):
            async with sessions.change(id, nobody()) as session:
                write(tmp_path, sessions, session, 50)
            assert sessions.n_bytes == on_disk(tmp_path) == 90
            async with sessions.change(id, nobody()) as session:
                write(tmp_path, sessions, session, 60)  # instead of the 50, which nobody reads
            assert sessions.n_bytes == on_disk(tmp_path) == 100
            with pytest.raises(Problem, match="429"):
                async with sessions.change(id, nobody()) as session:
                    write(tmp_path, sessions, session, 61)
            (tmp_path / "2.stats").unlink()  # as the end of a request does
            assert sessions.n_bytes == on_disk(tmp_path) == 100
        assert sessions.n_bytes == on_disk(tmp_path) == 60
        async with sessions.read(id):
            sessions.delete(id)
            assert sessions.n_bytes == on_disk(tmp_path) == 60
        assert sessions.n_bytes == on_disk(tmp_path) == 0

    asyncio.run(run())


def test_a_session_that_was_deleted_is_not_committed(tmp_path: Path) -> None:
    async def run() -> None:
        sessions = Sessions(Settings())
        id = sessions.create(STATS).id
        async with sessions.change(id, nobody()) as session:
            sessions.delete(id)
            with pytest.raises(Problem, match="404"):
                write(tmp_path, sessions, session, 40)
        assert sessions.n_bytes == 0

    asyncio.run(run())


def test_sessions_expire_in_the_order_of_their_last_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """A long request, which began before others and ended after them, keeps none of them."""
    now = 0.0
    monkeypatch.setattr("transferability.serve._sessions.time.monotonic", lambda: now)

    async def run() -> None:
        nonlocal now
        sessions = Sessions(Settings(session_seconds=10))
        long, short = sessions.create(STATS).id, sessions.create(STATS).id
        async with sessions.use(long):
            async with sessions.use(short):
                now = 5.0
            now = 14.0
        now = 16.0  # 11 after the last use of `short`
        sessions.expire()
        assert len(sessions) == 1
        async with sessions.use(long):
            pass

    asyncio.run(run())


def test_turns_in_a_session_are_given_back(tmp_path: Path) -> None:
    """Whatever ends a wait, the next change gets its turn."""

    async def run() -> None:
        sessions = Sessions(Settings(max_seconds=0.05))
        id = sessions.create(STATS).id

        async def change(client: Client) -> None:
            async with sessions.change(id, client):
                pass

        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with sessions.change(id, nobody()):
            with pytest.raises(Problem, match="429"):
                await change(nobody())
            left = asyncio.ensure_future(change(Client(gone)))
            await asyncio.sleep(0)
            cancelled = asyncio.ensure_future(change(nobody()))
            await asyncio.sleep(0)
            gone.set_result(None)
            cancelled.cancel()
            results = await asyncio.gather(left, cancelled, return_exceptions=True)
            assert [type(result).__name__ for result in results] == [
                "Disconnected",
                "CancelledError",
            ]
        await change(nobody())
        assert sessions.waiting == 0

    asyncio.run(run())


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of open files")
@pytest.mark.parametrize(
    ("hard", "most"), [(resource.RLIM_INFINITY, 1000), (4096, 1000), (1024, 350), (64, 1)]
)
def test_connections_fit_the_open_files(
    monkeypatch: pytest.MonkeyPatch, hard: int, most: int
) -> None:
    protocol = pytest.importorskip("transferability.serve._protocol")
    given: list[Any] = []
    monkeypatch.setattr(protocol.resource, "getrlimit", lambda kind: (64, hard))
    monkeypatch.setattr(protocol.resource, "setrlimit", lambda kind, both: given.append(both))
    settings = Settings(max_connections=1000, max_receiving=64, workers=17)
    fitted = protocol.fit_connections(settings)
    assert fitted.max_connections == most
    needed = 2 * 1000 + 64 + 4 * 17 + 64 + 2 * 64
    wanted = needed + 2 * 2048  # a burst of connections is accepted before the first is closed
    assert given[0] == (wanted if hard < 0 else min(wanted, hard), hard)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of open files")
def test_a_system_that_allows_fewer_files_than_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = pytest.importorskip("transferability.serve._protocol")
    given: list[int] = []

    def allow(kind: int, both: tuple[int, int]) -> None:
        if both[0] > 3000:
            raise ValueError
        given.append(both[0])

    monkeypatch.setattr(protocol.resource, "getrlimit", lambda kind: (64, resource.RLIM_INFINITY))
    monkeypatch.setattr(protocol.resource, "setrlimit", allow)
    settings = Settings(max_connections=1000)
    assert protocol.fit_connections(settings) == settings
    assert given == [2 * 1000 + 64 + 4 + 64 + 2 * 64]


@pytest.mark.parametrize(
    ("left", "drained", "ended_at"),
    [
        ([5, 5], [0, 0], 2),
        ([9, 5, 5], [0, 0, 0], 3),
        ([9, 5, 2, 1], [0] * 4, None),
        ([5, 5, 5], [0, 1, 2], None),  # the client is fast, and takes one piece after another
        ([5, 0, 0], [0, 0, 0], 3),
    ],
)
def test_a_connection_stays_while_its_client_reads(
    left: list[int], drained: list[int], ended_at: int | None
) -> None:
    protocol = pytest.importorskip("transferability.serve._protocol")
    connection = mock.Mock(_marked=None)
    for check, n_bytes in enumerate(left, 1):
        connection.transport.get_write_buffer_size.return_value = n_bytes
        connection._drained = drained[check - 1]
        protocol.Protocol._check(connection)
        assert connection.transport.abort.called == (check == ended_at and n_bytes > 0)
        assert connection.transport.close.called == (check == ended_at and n_bytes == 0)


def test_answers_that_are_not_read_have_a_limit() -> None:
    """They are in memory until then."""
    module = pytest.importorskip("transferability.serve._front")
    front = module.Front(None, Settings(), None)
    front.connections = [mock.Mock() for _ in range(16)]
    for connection in front.connections:
        connection.transport.get_write_buffer_size.return_value = 15 << 20
    front.check_unread(16 << 20)  # 256 MiB in all
    with pytest.raises(Problem, match="429") as caught:
        front.check_unread((16 << 20) + 1)
    assert "answers that their clients have not read take 251,658,240 bytes" in caught.value.detail


def test_a_worker_is_replaced_whatever_its_start_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts once as lost, however often the next one does not start."""
    module = pytest.importorskip("transferability.serve._pool")
    starts: list[Any] = []

    async def start(settings: Settings) -> Any:
        starts.append(None)
        if len(starts) in (2, 3):
            raise [ValueError, EOFError][len(starts) - 2]
        worker = mock.Mock(metrics=[], pid=len(starts), has_ended=False)
        ends = len(starts) == 1

        async def wait() -> int:
            if not ends:
                await asyncio.Event().wait()
            return -9

        worker.wait = wait
        return worker

    async def run() -> None:
        monkeypatch.setattr(module._Worker, "start", start)
        pool = module.Pool(Settings())
        await pool.open()
        while len(starts) < 4:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0)
        assert (pool.alive, pool.lost, pool.queued) == (1, 1, 0)
        for task in pool._watches:
            task.cancel()

    asyncio.run(run())


# --- a worker, in this process -------------------------------------------------------------------


def ask(folder: Path, do: str, body: bytes, suffix: str, **call: Any) -> dict[str, Any]:
    """Return the problem that a worker reports."""
    path = folder / f"body{suffix}"
    path.write_bytes(body)
    worker = _worker.Worker(Settings())
    line = _worker.answer(worker, {"do": do, "body": str(path), **call})
    problem: dict[str, Any] = _worker.json.loads(line)["problem"]
    return problem


X, Y = np.eye(12, 3), np.arange(12) % 2


def test_a_disk_that_is_full_is_no_bug(tmp_path: Path) -> None:
    output = str(tmp_path / "none" / "x.stats")
    call = {"state": None, "stats": STATS, "output": output}
    problem = ask(tmp_path, "update", npy(X, Y), ".npy", **call)
    assert (problem["status"], problem["error"]) == (503, "StorageError")
    assert "cannot store the session" in problem["detail"]
    assert str(tmp_path) not in problem["detail"]


def test_an_answer_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_worker, "MOST_ANSWER", 500)
    call = {"options": {"keep_coef": True}}
    problem = ask(tmp_path, "score", npy(X, Y), ".npy", **call)
    assert (problem["status"], problem["error"]) == (413, "LimitError")
    assert "may have 500; leave out options such as keep_coef" in problem["detail"]


def test_bodies_with_very_many_arrays(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    views = {f"label_embeddings/{i}": np.zeros((1, 1)) for i in range(100)}
    for body, suffix in (
        (npz(compressed=False, features=X, **views), ".npz"),
        (safetensors.save({"features": X, **views}), ".safetensors"),
    ):
        problem = ask(tmp_path, "score", body, suffix, metrics="emms")
        assert (problem["status"], "101 arrays" in problem["detail"]) == (413, True)
