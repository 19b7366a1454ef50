"""The service under load: latencies by size, memory, and honest clients beside an attack.

    .venv/bin/python benches/python/bench_serve.py

See benches/README.md. Needs Linux. Clients compare every score with that of
``transferability.score``; a wrong one, or any status but 200 and 429, stops the run.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from bench_logme import Shape, problem, table

import transferability as tx

SHAPES = (Shape(64, 16, 2), Shape(256, 128, 10), Shape(1024, 256, 10))
MEDIA = "application/x-npy"
#: p99 is at most this many times p50.
MOST = 5.0
ATTACKERS = 6
IDLE_SESSIONS = 10_000


class Service:
    """A service in a process of its own."""

    def __init__(self, *options: str) -> None:
        command = [sys.executable, "-m", "transferability", "serve", "--port", "0", *options]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if '"address"' in line:
                self.port = int(json.loads(line)["address"].rpartition(":")[2])
                break
        threading.Thread(target=self._discard, daemon=True).start()

    def _discard(self) -> None:
        assert self.process.stderr is not None
        for _ in self.process.stderr:
            pass

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [int(pid) for pid in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def memory(self) -> list[float]:
        """Return the resident memory of the service and of its workers together, in MB."""
        found = []
        for pid in (self.process.pid, *self.workers()):
            text = Path(f"/proc/{pid}/status").read_text()
            found.append(int(text.split("VmRSS:")[1].split()[0]) / 1024)
        return [round(found[0], 1), round(sum(found[1:]), 1)]

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def post(self, connection: Any, path: str, body: Any, media: str = MEDIA) -> tuple[int, bytes]:
        connection.request("POST", path, body, {"Content-Type": media})
        response = connection.getresponse()
        return response.status, response.read()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


class Clients:
    """Honest clients, each with one connection, which pause so that the load is as asked for."""

    def __init__(self, service: Service, pause: float) -> None:
        self.service, self.pause = service, pause
        self.cases = []
        for shape in SHAPES:
            features, labels = problem(shape)
            buffer = io.BytesIO()
            np.save(buffer, features)
            np.save(buffer, labels)
            self.cases.append((buffer.getvalue(), float(tx.logme(features, labels))))
        self.seconds: list[list[float]] = [[] for _ in SHAPES]
        self.busy, self.lost, self.wrong = 0, 0, []  # type: ignore[var-annotated]

    def run(self, seconds: float, clients: int) -> None:
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._run, args=(i, end)) for i in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, seed: int, end: float) -> None:
        rng, connection = np.random.default_rng(seed), self.service.connect()
        while time.monotonic() < end and not self.wrong:
            which = int(rng.integers(len(SHAPES)))
            body, expected = self.cases[which]
            time.sleep(rng.exponential(self.pause))
            start = time.perf_counter()
            try:
                status, answer = self.service.post(connection, "/v1/score", body)
            except (OSError, http.client.HTTPException):  # it closed an idle connection
                connection.close()
                connection = self.service.connect()
                continue
            self.seconds[which].append(time.perf_counter() - start)
            found = json.loads(answer)
            if status == 429:
                self.busy += 1
            elif status == 503 and found["error"] == "WorkerError":
                self.lost += 1
            elif status != 200 or found["scores"]["logme"]["value"] != expected:
                self.wrong.append(found)
        connection.close()

    def rows(self, phase: str) -> list[dict[str, object]]:
        rows = []
        for shape, seconds in zip(SHAPES, self.seconds, strict=True):
            p50, p99 = 1e3 * np.quantile(seconds, [0.5, 0.99])
            row = {"phase": phase, "shape": str(shape), "requests": len(seconds), "p50_ms": p50}
            rows.append(
                {**row, "p99_ms": p99, "p99/p50": p99 / p50, "met": bool(p99 <= MOST * p50)}
            )
        return rows


class Attack:
    """Clients that send what is truncated, too large, of a wrong type, a bomb, or slow."""

    def __init__(self, service: Service, good: bytes) -> None:
        self.service, self.good, self.statuses = service, good, {}  # type: ignore[var-annotated]
        self.done = threading.Event()
        self.bomb = self._make_bomb()

    def _make_bomb(self) -> bytes:
        text = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000,)}"
        header = b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text.encode()
        buffer = io.BytesIO()
        archive = zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED)
        with archive, archive.open("features.npy", "w") as member:
            member.write(header)
            for _ in range(800):
                member.write(bytes(1_000_000))
        return buffer.getvalue()

    def run(self, seed: int) -> None:
        rng = np.random.default_rng(1000 + seed)
        while not self.done.is_set():
            kind = ("cut", "large", "dtype", "bomb", "slow", "random")[int(rng.integers(6))]
            status = 0
            with suppress(OSError, http.client.HTTPException):
                status = self._send(kind, rng)
            key = f"{kind} {status}"
            self.statuses[key] = self.statuses.get(key, 0) + 1

    def _send(self, kind: str, rng: Any) -> int:
        if kind == "slow":
            with socket.create_connection(("127.0.0.1", self.service.port), timeout=10) as slow:
                head = "POST /v1/score HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n"
                slow.sendall(f"{head}Content-Type: {MEDIA}\r\n\r\nabc".encode())
                return int(slow.recv(100).split()[1])
        connection = self.service.connect()
        body, media = self.good, MEDIA
        if kind == "cut":
            body = body[: int(rng.integers(len(body)))]
        elif kind == "large":
            body = iter([bytes(1_000_000)] * 300)  # type: ignore[assignment]
        elif kind == "dtype":
            buffer = io.BytesIO()
            np.save(buffer, np.ones((9, 9), complex))
            body = buffer.getvalue()
        elif kind == "bomb":
            body, media = self.bomb, "application/x-npz"
        else:
            body = rng.bytes(int(rng.integers(5000)))
        status, _ = self.service.post(connection, "/v1/score", body, media)
        connection.close()
        return status


def fill_sessions(service: Service) -> dict[int, int]:
    """Ask for idle sessions, and count the statuses."""
    connection, statuses = service.connect(), {}  # type: ignore[var-annotated]
    for _ in range(IDLE_SESSIONS):
        status, _ = service.post(connection, "/v1/sessions", b"", "application/json")
        statuses[status] = statuses.get(status, 0) + 1
    connection.close()
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="of each phase; default: 60")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument(
        "--load", type=float, default=0.25, help="part of the capacity; default: 0.25"
    )
    parser.add_argument("--json", action="store_true", help="one JSON array on standard output")
    options = parser.parse_args()
    service = Service("--body-seconds", "2", "--max-sessions", "5000")
    warm = Clients(service, 0.0)
    warm.run(min(5.0, options.seconds), 4)
    capacity = sum(map(len, warm.seconds)) / min(5.0, options.seconds)
    pause = options.clients / (capacity * options.load)
    notes: dict[str, Any] = {"capacity_per_s": round(capacity), "memory_mb": [service.memory()]}
    rows: list[dict[str, object]] = []
    for phase in ("load", "attack"):
        clients, attack = Clients(service, pause), Attack(service, warm.cases[0][0])
        attackers = [threading.Thread(target=attack.run, args=(i,)) for i in range(ATTACKERS)]
        before = service.memory()
        if phase == "attack":
            killer = threading.Timer(options.seconds / 2, os.kill, (service.workers()[0], 9))
            for thread in (*attackers, killer):
                thread.start()
            notes["sessions"] = fill_sessions(service)
        clients.run(options.seconds, options.clients)
        attack.done.set()
        for thread in attackers:
            if thread.is_alive():
                thread.join()
        if clients.wrong:
            raise SystemExit(f"{phase}: {clients.wrong[0]}")
        rows += clients.rows(phase)
        counts = {"429": clients.busy, "lost": clients.lost, "attack": attack.statuses}
        notes[phase] = {**counts, "memory_mb": [before, service.memory()]}
    notes["exit"] = service.stop()
    print(json.dumps([*rows, notes], indent=1) if options.json else f"{table(rows)}\n{notes}")


if __name__ == "__main__":
    main()
