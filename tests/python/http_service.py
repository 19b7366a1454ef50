"""A real ``transferability serve`` on a free port, and requests whose answers are checked.

Every answer must be of the OpenAPI document: its status, its media type and its request id.
"""

from __future__ import annotations

import http.client
import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

TOKEN = "a-token-of-the-tests"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Service:
    """A running service; `logs` has the lines of its log."""

    def __init__(self, *options: str, token: str | None = None, **env: str) -> None:
        variables = {**os.environ, **env}
        variables.pop("TRANSFERABILITY_SERVE_TOKEN", None)
        if token is not None:
            variables["TRANSFERABILITY_SERVE_TOKEN"] = token
        self.token = token
        self.folder = Path()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "transferability", "serve", "--port", "0", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=variables,
        )
        self.logs: list[dict[str, Any]] = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        assert self._listening.wait(30), self.logs
        address = next(line["address"] for line in self.logs if line["event"] == "listening")
        self.port = int(address.rpartition(":")[2])
        self.document = self.request("GET", "/openapi.json", check=False).json

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.logs.append(json.loads(line))
            if self.logs[-1]["event"] == "listening":
                self._listening.set()

    def connect(self, timeout: float = 20) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        media: str | None = None,
        check: bool = True,
        **headers: str,
    ) -> Answer:
        """Send a request and read its answer; headers are written with "_" for "-"."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if media is not None:
            sent["Content-Type"] = media
        if self.token is not None:
            sent.setdefault("Authorization", f"Bearer {self.token}")
        connection = self.connect()
        try:
            connection.request(method, path, body, sent, encode_chunked=hasattr(body, "__next__"))
            response = connection.getresponse()
            answer = Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()
        if check:
            self.check(method, path, answer)
        return answer

    def score(self, body: bytes, query: str = "", media: str = "application/x-npy") -> Answer:
        return self.request("POST", f"/v1/score{query}", body, media)

    def create(self, **members: Any) -> str:
        answer = self.request("POST", "/v1/sessions", json.dumps(members), "application/json")
        assert answer.status == 201, answer.json
        assert answer.headers["location"] == f"/v1/sessions/{answer.json['id']}"
        found: str = answer.json["id"]
        return found

    def check(self, method: str, path: str, answer: Answer) -> None:
        """Compare an answer with the OpenAPI document."""
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,128}", answer.headers["x-request-id"])
        if answer.status >= 400 and not path.startswith("/readyz"):
            assert answer.headers["content-type"] == "application/problem+json"
            problem = answer.json
            assert problem["status"] == answer.status
            assert problem["request_id"] == answer.headers["x-request-id"]
            assert {"type", "title", "detail", "error"} <= {*problem}
        template = re.sub(r"(/v1/sessions/)[^/?]+", r"\1{id}", path.partition("?")[0])
        operation = self.document["paths"].get(template, {}).get(method.lower())
        if operation is None:
            assert answer.status in (401, 404, 405, 421)
            return
        response = operation["responses"][str(answer.status)]
        media = answer.headers.get("content-type", "").partition(";")[0]
        assert [*response.get("content", {"": {}})] == [media]

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    def figure(self, name: str) -> float:
        """Return a figure without labels from /metrics."""
        text = self.request("GET", "/metrics").body.decode()
        found = re.search(rf"^transferability_{name} (\S+)$", text, re.M)
        assert found, text
        return float(found[1])

    def wait_for(self, name: str, value: float, seconds: float = 20) -> None:
        """Wait until a figure has a value."""
        end = time.monotonic() + seconds
        while self.figure(name) != value:
            assert time.monotonic() < end, (name, value, self.figure(name))
            time.sleep(0.02)

    def terminate(self, seconds: float = 20) -> int:
        """Send SIGTERM, and return the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        finally:
            self.kill()

    def kill(self) -> None:
        """End the service if it still runs, and read the rest of its log."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(20)
        assert self.process.stderr is not None
        self.process.stderr.close()


def npy(*arrays: Any, allow_pickle: bool = False) -> bytes:
    """Return arrays in npy format, one after the other."""
    buffer = io.BytesIO()
    for array in arrays:
        np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def npz(compressed: bool = True, **arrays: Any) -> bytes:
    """Return arrays as an npz archive; a name may have "/"."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def arrow(table: Any, is_file: bool = False, **options: Any) -> bytes:
    """Return a table as an Arrow IPC stream or file, in batches of 100 rows."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    write = pa.ipc.new_file if is_file else pa.ipc.new_stream
    with write(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table, max_chunksize=100)
    data: bytes = sink.getvalue().to_pybytes()
    return data
