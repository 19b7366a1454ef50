"""Fork server: a process that has imported torch and its libraries, from which models are forked.

A fresh process imports torch and transformers for seconds; a fork of a process that has imported
them starts at once. This is the side of the process that asks; ``fork_server_main`` is the server.

``multiprocessing.forkserver`` is not used for three reasons. It imports the main script in every
process. All code of a Python process shares it, with one list of modules. It outlives a parent that
is killed for as long as one of its children runs.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress

from .subprocess import dump_path, read_folder

__all__ = ["ForkServer", "ForkedProcess", "get_server"]
__all__ += ["FORK", "IMPORT", "KILL", "NUMBER", "RETIRE", "STALE", "UNSAFE"]

#: Messages to the server: one packet each, the first byte of which is the kind.
IMPORT, FORK, KILL, RETIRE = b"I", b"F", b"K", b"R"
#: The server writes a number to the pipe of a request, and the exit code of the process later.
NUMBER = struct.Struct("<q")
#: Answers to a request other than the number of a process.
UNSAFE, STALE = -1, -2

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from transferability._sweep.fork_server_main import serve; "
    "serve(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))"
)
#: Set while the server imports libraries: torch asks the driver for devices without touching
#: them, and pyarrow starts no thread. A model's process has the variables of its parent.
_WHILE_IMPORTING = {
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
#: Environment variables that no library reads when it is imported.
_HARMLESS = ("_", "COLUMNS", "LINES", "OLDPWD", "PWD", "PYTEST_CURRENT_TEST", "SHLVL")
#: Those that scikit-learn and sentence-transformers set when they are imported. The processes of
#: models get them from this one, so the import starts no new server.
_SET_BY_IMPORTS = {
    "CODECARBON_LOG_LEVEL": "error",
    "KMP_DUPLICATE_LIB_OK": "True",
    "KMP_INIT_AT_FORK": "FALSE",
}
#: A server without a process ends if it gets no message for this time.
_IDLE_SECONDS = 300.0
#: After this many servers that died without an answer, processes are started without one.
_MAX_DEATHS = 2


class ForkedProcess:
    """A process that the server has forked, with the methods of ``subprocess.Popen`` used here."""

    def __init__(self, server: socket.socket, status: int, pid: int) -> None:
        self._server, self._status, self._code = server.dup(), status, 0
        self._is_over = False
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""
        if not self._is_over and not select.select([self._status], [], [], 0)[0]:
            return None
        return self.wait()

    def wait(self) -> int:
        """Wait until the process ends; return its exit code, -9 if the server ended first."""
        if not self._is_over:
            code = _read_number(self._status)  # the system kills the children of a killed server
            self._code = -signal.SIGKILL if code is None else code
            self._is_over = True
            os.close(self._status)
            self._server.close()
        return self._code

    def kill(self) -> None:
        """Kill the process; only the server knows if its number is still its own."""
        if self.poll() is None:
            with suppress(OSError):
                self._server.send(KILL + NUMBER.pack(self.pid))


class ForkServer:
    """The fork server of this Python process, started when it is first needed.

    A new one is started if anything has changed that a process inherits: environment variables,
    ``sys.path``, limits, or the files of an imported library. It ends with this process, and after
    five minutes without a model.
    """

    def __init__(self, idle_seconds: float = _IDLE_SECONDS) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._retired: list[subprocess.Popen[bytes]] = []
        self._inherited: object = None
        self._modules: dict[str, None] = {}  # an ordered set
        self._n_deaths = 0

    @property
    def pid(self) -> int | None:
        """Number of the server's process; None if there is none."""
        return None if self._process is None else self._process.pid

    def prepare(self, modules: Iterable[str], start: bool = True) -> None:
        """Ask the server to import more modules, and start it if need be; return without waiting.

        Without `start`, a server that does not run imports them when it is started.
        """
        with self._lock:
            new = dict.fromkeys(name for name in modules if name not in self._modules)
            self._modules |= new
            is_new = start and self._ensure()
            if not is_new and new and self._socket is not None:
                with suppress(OSError):
                    self._socket.send(IMPORT + json.dumps([*new]).encode())

    def start(self, pipe: int, stderr: int) -> ForkedProcess | None:
        """Fork a process that serves one task; None if it must be started in another way.

        `pipe` and `stderr` are the descriptors of its task and its standard error.
        """
        for _ in range(_MAX_DEATHS):
            with self._lock:
                self._ensure()
                server = self._socket
            if server is None:
                return None
            reader, writer = os.pipe()
            try:
                with suppress(OSError):
                    socket.send_fds(server, [FORK], [pipe, stderr, writer])
            finally:
                os.close(writer)
            try:
                answer = _read_number(reader)  # waits while the server imports
            except BaseException:
                os.close(reader)
                raise
            if answer is not None and answer > 0:
                self._n_deaths = 0
                return ForkedProcess(server, reader, answer)
            os.close(reader)
            if answer == UNSAFE:
                return None
            with self._lock:
                self._n_deaths += answer is None
                if server is self._socket:
                    self._retire()
        return None

    def close(self) -> None:
        """End the server; processes that it has forked end too."""
        with self._lock:
            if self._process is not None:
                self._process.kill()
            self._retire()
            for process in self._retired:
                process.kill()
                process.wait()
            self._retired.clear()

    def forget(self) -> None:
        """Hand the server over to the process that has started it, in a fork of that process."""
        for process in (self._process, *self._retired):
            if process is not None:
                process.returncode = 0  # not a child of this process
        if self._socket is not None:
            self._socket.close()

    def _ensure(self) -> bool:
        """Start a server if there is none that can be used; return whether one was started."""
        inherited = _read_inherited()
        if self._process is not None:
            if self._process.poll() is None and inherited == self._inherited:
                return False
            self._retire()
        if inherited is None or self._n_deaths >= _MAX_DEATHS:
            return False
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        arguments = [str(theirs.fileno()), str(os.getpid()), str(self._idle_seconds)]
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, dump_path(), *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**_WHILE_IMPORTING, **os.environ},
            )
        self._socket, self._inherited = ours, inherited
        ours.send(IMPORT + json.dumps([*self._modules]).encode())
        return True

    def _retire(self) -> None:
        """Allow the server to end when the processes that it has forked have ended."""
        if self._socket is not None:
            with suppress(OSError):
                self._socket.send(RETIRE)
            self._socket.close()
        if self._process is not None:
            self._retired.append(self._process)
        self._retired = [process for process in self._retired if process.poll() is None]
        self._process = self._socket = None


def _read_inherited() -> object:
    """Return what a process inherits from this one and cannot be told after it has imported.

    None where there is no server: not on Linux, or in a sandbox that hides ``/proc``.
    """
    if sys.platform != "linux":
        return None
    import resource

    kinds = sorted(name for name in vars(resource) if name.startswith("RLIMIT_"))
    try:
        with open("/proc/self/status") as file:
            mask = [line for line in file if line.startswith("Umask")]
    except OSError:
        return None
    return (
        {
            name: value
            for name, value in os.environ.items()
            if name not in _HARMLESS and value != _SET_BY_IMPORTS.get(name)
        },
        [*sys.path],
        read_folder() if "" in sys.path else None,
        sys.executable,
        {name: resource.getrlimit(getattr(resource, name)) for name in kinds},
        os.sched_getaffinity(0),
        os.getpriority(os.PRIO_PROCESS, 0),
        (os.getresuid(), os.getresgid()),
        mask,
    )


def _read_number(descriptor: int) -> int | None:
    """Read a number that the server writes; None if it ended before."""
    content = os.read(descriptor, NUMBER.size)
    return NUMBER.unpack(content)[0] if len(content) == NUMBER.size else None


def _start_anew() -> None:
    """Replace the server of a forked process, whose lock another thread may hold."""
    global _server
    _server.forget()
    _server = ForkServer()


def _close_at_exit() -> None:
    _server.close()


_server = ForkServer()
atexit.register(_close_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def get_server() -> ForkServer:
    """Return the fork server of this Python process, which may not have been started yet."""
    return _server
