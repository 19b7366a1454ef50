"""``transferability serve`` and clients that break rules, stall, or go away."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from http_service import Service, npy

for needed in ("starlette", "uvicorn", "prometheus_client"):
    pytest.importorskip(needed)

if not sys.platform.startswith("linux"):
    pytest.skip("finds workers in /proc", allow_module_level=True)

NPY = "application/x-npy"
RNG = np.random.default_rng(8)
X = RNG.normal(size=(40, 5))
Y = (X[:, 0] > 0).astype(int)
BODY = npy(X, Y)
HEAD = b"POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-npy\r\n"


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service without a token, with one worker, few connections and short times."""
    folder = tmp_path_factory.mktemp("spool")
    limits = ("--body-seconds", "1", "--max-connections", "12", "--max-queue", "3")
    running = Service("--workers", "1", *limits, TMPDIR=str(folder))
    running.folder = folder
    yield running
    assert running.terminate() == 0
    assert not [line for line in running.logs if line["level"] == "error"]
    assert [*folder.iterdir()] == []


@pytest.fixture
def stopped(service: Service) -> Iterator[int]:
    """Stop the worker during a test; yield its process id."""
    service.wait_for("workers", 1)
    (worker,) = service.workers()
    os.kill(worker, signal.SIGSTOP)
    yield worker
    os.kill(worker, signal.SIGCONT)
    service.wait_for("running", 0)


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=10)


def exchange(service: Service, *pieces: bytes) -> bytes:
    """Send bytes, and return everything until the connection is closed."""
    with connect(service) as connection:
        connection.sendall(b"".join(pieces))
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
    return answer


# --- heads ---------------------------------------------------------------------------------------


CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n" + CHUNKED,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 55\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
        b"\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 6\r\nContent-Length: 7\r\n\r\n",
        HEAD + b"Content-Length: -6\r\n\r\n",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n",
        HEAD.replace(b"Host: localhost\r\n", b"") + b"\r\n",
        HEAD + b"Host: localhost\r\n\r\n",
        HEAD + b"A: b\0c\r\n\r\n",
        "GET /é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(),
        b"GET /healthz\r\n\r\n",
        bytes.fromhex("16030100a5010000a10303") + bytes(160),  # the start of TLS
    ],
)
def test_requests_that_are_not_http_end_their_connection(service: Service, request_: bytes) -> None:
    """What follows is never read as a request: a proxy may have passed it as part of a body."""
    smuggled = b"GET /v1/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = exchange(service, request_, smuggled)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), answer
    assert b"\r\nconnection: close" in head.lower()
    assert b"\r\ncontent-type: application/problem+json" in head
    assert b"\r\nx-request-id: " in head
    assert body.count(b"HTTP/1.1 ") == 0 or b"well-formed HTTP/1.1" in body
    assert answer.count(b"HTTP/1.1 400") + answer.count(b"HTTP/1.1 2") == 1


def test_pages_of_other_hosts_are_refused_without_a_token(service: Service) -> None:
    """A browser sends such a request without asking, and would fill the store of sessions."""
    for origin in ("http://example.org", "null", "https://localhost.example.org", "http://a:b@c"):
        answer = service.request("POST", "/v1/sessions", Origin=origin)
        assert (answer.status, answer.json["error"]) == (403, "OriginError")
    answer = service.request("POST", "/v1/sessions", Origin="http://localhost:3000")
    assert answer.status == 201
    service.request("DELETE", answer.headers["location"])


def test_requests_that_are_sent_before_their_answers(service: Service) -> None:
    with connect(service) as connection:
        one = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
        connection.sendall(one * 4 + one.replace(b"Host", b"Connection: close\r\nHost"))
        answers = b""
        while chunk := connection.recv(65_536):
            answers += chunk
    assert answers.count(b"HTTP/1.1 200 OK") == answers.count(b'"scores":') == 5


def in_chunks(size: int, n_chunks: int) -> bytes:
    """Return a body whose numbers are sent `size` bytes at a time, all but the last one."""
    body = npy(RNG.normal(size=(40, max(5, size * n_chunks // 320))), Y)
    cut = min(size * n_chunks, len(body) - 1)
    pieces = [body[i : i + size] for i in range(0, cut, size)] + [body[cut:]]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("size", "n_chunks", "status"),
    [(1, 900, 200), (1, 1100, 400), (64, 1900, 200), (64, 2100, 400), (128, 4000, 200)],
)
def test_bodies_in_tiny_chunks(service: Service, size: int, n_chunks: int, status: int) -> None:
    """Few are read; very many would keep the service from all others."""
    head = HEAD.replace(b"Host", b"Connection: close\r\nHost") + b"Transfer-Encoding: chunked\r\n"
    answer = exchange(service, head, b"\r\n", in_chunks(size, n_chunks))
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert (b"chunks of fewer than 128 bytes; send larger ones" in answer) == (status == 400)


def test_tiny_chunks_after_the_answer(service: Service) -> None:
    """A client that has its answer, and goes on with its body, is not read for ever."""
    head = b"HEAD /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(service) as connection, suppress(ConnectionError):
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"1\r\na\r\n" * 1100)
        assert connection.recv(1000) == b""


# --- connections ---------------------------------------------------------------------------------


def test_connections_beyond_the_limit(service: Service) -> None:
    held = [connect(service) for _ in range(12)]
    answer = service.request("GET", "/v1/metrics")
    assert (answer.status, answer.json["error"]) == (503, "BusyError")
    assert "max_connections = 12" in answer.json["detail"]
    assert answer.headers["connection"] == "close"
    answer = service.score(bytes(5_000_000))  # its end is read, or the client would miss the answer
    assert (answer.status, answer.json["error"]) == (503, "BusyError")
    assert service.request("GET", "/healthz").status == 200  # it is alive
    held += [connect(service) for _ in range(80)]
    with suppress(ConnectionError):  # closed at once, before any request
        assert held[-1].recv(10) == b""
    for connection in held[:12]:  # without a head in time
        assert connection.recv(10) == b""
    for connection in held:
        connection.close()
    assert service.request("GET", "/v1/metrics").status == 200


def test_answers_that_nobody_reads(service: Service) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", service.port))
        with pytest.raises(ConnectionError):
            send_until_it_is_closed(connection)


def send_until_it_is_closed(connection: socket.socket) -> None:
    for _ in range(400):
        connection.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
        time.sleep(0.05)


# --- waiting -------------------------------------------------------------------------------------


def test_a_client_that_goes_away_frees_its_place_in_the_queue(
    service: Service, stopped: int
) -> None:
    lost = service.figure("workers_lost")
    sent = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(service.score, BODY)
        service.wait_for("running", 1)
        waiting = [connect(service) for _ in range(3)]
        for connection in waiting:
            connection.sendall(sent)
        service.wait_for("queue_length", 3)
        assert service.score(BODY).status == 429
        for connection in waiting:
            connection.close()
        service.wait_for("queue_length", 0)
        os.kill(stopped, signal.SIGCONT)
        assert first.result().status == 200
    assert service.figure("workers_lost") == lost


def test_a_client_that_goes_away_frees_its_turn_in_a_session(
    service: Service, stopped: int
) -> None:
    path = f"/v1/sessions/{service.create()}"
    sent = HEAD.replace(b"/v1/score", f"{path}/update".encode())
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(service.request, "POST", f"{path}/update", BODY, NPY)
        service.wait_for("running", 1)
        with connect(service) as connection:
            connection.sendall(sent + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
            service.wait_for("waiting_changes", 1)
        service.wait_for("waiting_changes", 0)
        os.kill(stopped, signal.SIGCONT)
        assert first.result().json["version"] == 1
    assert service.request("POST", f"{path}/update", BODY, NPY).json["version"] == 2
    service.request("DELETE", path)


def test_a_session_that_is_deleted_while_it_is_changed(service: Service) -> None:
    path = f"/v1/sessions/{service.create()}"
    assert service.request("POST", f"{path}/update", BODY, NPY).status == 200
    service.wait_for("workers", 1)
    (worker,) = service.workers()
    os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        scored = threads.submit(service.request, "POST", f"{path}/score")
        service.wait_for("running", 1)
        changed = threads.submit(service.request, "POST", f"{path}/update", BODY, NPY)
        service.wait_for("queue_length", 1)
        assert service.request("DELETE", path).status == 204
        assert service.figure("session_bytes") > 0  # they still read it
        os.kill(worker, signal.SIGCONT)
        assert scored.result().status == 200
        assert changed.result().json["error"] == "SessionError"
    assert service.figure("session_bytes") == 0
    (folder,) = service.folder.iterdir()
    assert [*folder.iterdir()] == []


@pytest.mark.parametrize("signals", [1, 2])
def test_all_are_told_that_the_service_stops(signals: int) -> None:
    """Those who compute, who wait, and who have not sent their body, at the end of the time."""
    running = Service("--workers", "1", "--drain-seconds", "0.3" if signals == 1 else "60")
    try:
        (worker,) = running.workers()
        os.kill(worker, signal.SIGSTOP)
        with ThreadPoolExecutor(2) as threads, connect(running) as slow:
            first = threads.submit(running.score, BODY)
            running.wait_for("running", 1)
            second = threads.submit(running.score, BODY)
            running.wait_for("queue_length", 1)
            slow.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:50])
            running.wait_for("receiving", 1)
            if signals == 2:
                running.process.send_signal(signal.SIGTERM)
                while running.request("GET", "/readyz").status != 503:
                    pass
                large = running.score(bytes(5_000_000))  # neither compute nor lose the answer
                assert large.json["error"] == "StoppingError"
            assert running.terminate(10) == 0
            told = [future.result() for future in (first, second)]
            last = slow.recv(65_536)
        assert [answer.status for answer in told] == [503, 503]
        assert [answer.json["error"] for answer in told] == ["StoppingError"] * 2
        assert last.startswith(b"HTTP/1.1 503 ")
        assert b'"error":"StoppingError"' in last
    finally:
        running.kill()
    assert not Path(f"/proc/{worker}").exists()
    requests = [line["status"] for line in running.logs if line["event"] == "request"]
    assert {*requests} == {200, 503}
    assert not [line for line in running.logs if line["level"] == "error"]
