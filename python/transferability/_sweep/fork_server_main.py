"""The fork server's program: import libraries, then fork a process for each task.

Fork is safe in a process that has one thread and has touched no device. So the server imports
libraries and does nothing else. A trial fork tests both conditions, and the server refuses to fork
if one does not hold. It also refuses if a file of an imported module has changed since.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from .fork_server import FORK, IMPORT, KILL, NUMBER, RETIRE, STALE, UNSAFE
from .subprocess import ask_for_signal_at_end_of_parent, serve_task

__all__ = ["serve"]

_MAX_MESSAGE = 1 << 16
_SITE_FOLDERS = ("site-packages", "dist-packages")


def serve(descriptor: int, parent: int, idle_seconds: float) -> None:
    """Serve the requests of the parent process until it ends, or sends none for some time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    # A thread of the parent that blocks signals has started this process with them blocked.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGCHLD, signal.SIGUSR1))
    server = _Server(socket.socket(fileno=descriptor), parent)
    try:
        server.run(idle_seconds)
    finally:
        server.kill_all()
        os._exit(0)


class _Server:
    """The state of the server: its processes by number, and the pipes to report their ends to."""

    def __init__(self, requests: socket.socket, parent: int) -> None:
        self._requests = requests
        requests.set_inheritable(False)
        self._status: dict[int, int] = {}
        self._is_safe = self._is_retired = False
        self._stamps: dict[str, object] = {}
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(writer, False)
        self._wakeup = (reader, writer)
        signal.set_wakeup_fd(writer)
        signal.signal(signal.SIGCHLD, lambda *ignored: None)
        self._selector = selectors.DefaultSelector()
        self._selector.register(requests, selectors.EVENT_READ)
        self._selector.register(reader, selectors.EVENT_READ)
        # The socket of a killed parent may be open in a fork of it, or libraries be imported now.
        signal.signal(signal.SIGUSR1, lambda *ignored: self._end_with(parent))
        ask_for_signal_at_end_of_parent(signal.SIGUSR1, parent)

    def run(self, idle_seconds: float) -> None:
        """Handle messages and ends of processes until the parent ends."""
        while not self._is_retired or self._status:
            events = self._selector.select(idle_seconds)
            ready = {key.fileobj for key, _ in events}
            if not (ready or self._status):
                return
            if self._wakeup[0] in ready:
                with suppress(BlockingIOError):
                    os.read(self._wakeup[0], 1 << 12)
                self._reap()
            if self._requests in ready and not self._handle():
                return

    def kill_all(self) -> None:
        """Kill the processes that still run."""
        for pid in self._status:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _end_with(self, parent: int) -> None:
        """End if the parent has ended; the signal is also sent at the end of one of its threads."""
        if os.getppid() != parent:
            self.kill_all()
            os._exit(1)

    def _handle(self) -> bool:
        """Handle one message; return False if the parent has closed its end."""
        message, descriptors, _, _ = socket.recv_fds(self._requests, _MAX_MESSAGE, 3)
        kind, content = message[:1], message[1:]
        if kind == IMPORT:
            self._import(json.loads(content))
        elif kind == FORK:
            self._fork(*descriptors)
        elif kind == KILL:
            (pid,) = NUMBER.unpack(content)
            if pid in self._status:  # not reaped, so the number is still that of the process
                os.kill(pid, signal.SIGKILL)
        elif kind == RETIRE:
            self._is_retired = True
        return bool(message)

    def _import(self, names: list[str]) -> None:
        for name in names:
            with suppress(Exception):  # the model's process raises the error that users see
                importlib.import_module(name)
        gc.collect()
        gc.freeze()  # a collection in a fork would copy the pages of all objects
        self._is_safe = _try_fork()
        self._stamps = {path: _stamp(path) for path in {*_files(), *self._stamps}}

    def _fork(self, pipe: int, stderr: int, status: int) -> None:
        """Fork a process that serves one task, and write its number to `status`."""
        answer = UNSAFE
        if not self._is_retired and any(_stamp(p) != old for p, old in self._stamps.items()):
            answer, self._is_retired = STALE, True
        elif self._is_safe and _count_threads() == 1:
            parent = os.getpid()
            answer = os.fork()
            if answer == 0:
                try:
                    self._become_child(stderr, status)
                    serve_task(pipe, parent)
                finally:
                    os._exit(1)
        with suppress(OSError):
            os.write(status, NUMBER.pack(answer))
        if answer > 0:
            self._status[answer] = status
        else:
            os.close(status)
        os.close(pipe)
        os.close(stderr)

    def _become_child(self, stderr: int, status: int) -> None:
        """Close the server's descriptors and undo its handling of signals, in a fork of it."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        self._selector.close()
        self._requests.close()
        for descriptor in (*self._wakeup, *self._status.values(), status):
            os.close(descriptor)
        os.dup2(stderr, 2)
        os.close(stderr)

    def _reap(self) -> None:
        """Write the exit codes of processes that have ended."""
        for pid, status in [*self._status.items()]:
            ended, code = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._status[pid]
                with suppress(OSError):
                    os.write(status, NUMBER.pack(os.waitstatus_to_exitcode(code)))
                os.close(status)


def _count_threads() -> int:
    """Return the number of threads of this process, those of native libraries included."""
    return len(os.listdir("/proc/self/task"))


def _try_fork() -> bool:
    """Fork a process that ends at once; return whether this process can be forked safely.

    OpenBLAS ends its threads before a fork, by a handler, so they are counted after one.
    """
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(_has_touched_device())
        finally:
            os._exit(1)
    n_threads = _count_threads()
    _, code = os.waitpid(pid, 0)
    return n_threads == 1 and code == 0


def _has_touched_device() -> bool:
    """Return whether torch has touched a device before the fork that this process comes from."""
    torch: Any = sys.modules.get("torch")
    kinds = [getattr(torch, kind, None) for kind in ("cuda", "xpu", "mtia")]
    checks = [getattr(kind, "_is_in_bad_fork", None) for kind in kinds]
    return any(check() for check in checks if check is not None)


def _files() -> set[str]:
    """Return the files of imported modules, and folders in which packages are installed."""
    files = (getattr(module, "__file__", None) for module in [*sys.modules.values()])
    folders = (path for path in sys.path if Path(path).name in _SITE_FOLDERS)
    return {path for path in files if isinstance(path, str)} | {*folders}


def _stamp(path: str) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino)
