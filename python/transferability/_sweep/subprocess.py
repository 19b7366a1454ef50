"""Run a function in a subprocess; a crash or kill is raised as an exception.

The pools of ``multiprocessing`` are unsuitable here. They lose the task of a worker that is killed,
and they import the main script again, which runs it if it lacks ``if __name__ == "__main__"``.
This module imports the script in the subprocess only if the function or its argument was defined
there.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from types import FunctionType
from typing import Any, NoReturn, Protocol

from ..errors import DataError, TransferabilityError

__all__ = ["ProcessDied", "TaskFailed", "ask_for_signal_at_end_of_parent", "dump_path"]
__all__ += ["raise_if_importing_script", "read_folder", "run_isolated", "serve_task"]

#: Program of the subprocess.
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from transferability._sweep.subprocess import serve_task; "
    "serve_task(int(sys.argv[2]), int(sys.argv[3]))"
)
_PR_SET_PDEATHSIG = 1
_POLL_INTERVAL = 0.5  # seconds
_MAX_SHOWN = 300  # characters of the last line on standard error
#: True while a subprocess imports the script that started it.
_importing_script = False


class TaskFailed(Exception):
    """The function raised an exception, or cannot be sent; the message is one line."""


class ProcessDied(Exception):
    """The subprocess ended without a result; the message says how, in one line."""


class Process(Protocol):
    """A running process, as ``subprocess.Popen`` and the fork server return it."""

    def poll(self) -> int | None:
        """Return the exit code, or None while the process runs."""

    def wait(self) -> int:
        """Wait until the process ends; return its exit code."""

    def kill(self) -> None:
        """Kill the process, if it still runs."""


#: Starts a process for the descriptors of a task and of standard error; None if it cannot.
StartProcess = Callable[[int, int], Process | None]


def run_isolated(
    function: Callable[..., Any],
    argument: Any,
    report: Callable[..., object],
    start: StartProcess | None = None,
) -> Any:
    """Return ``function(argument, report)``, computed in a new process.

    `start` starts the process, such as the fork server's method. By default, or if it returns
    None, a fresh process is started.

    Function, argument and result are pickled; the function's calls of `report` are forwarded to
    this process. TaskFailed is raised if the function raises, ProcessDied if the process crashes,
    is killed or exits. The subprocess ends when this process ends, even if this process is killed.
    Its output is discarded; ProcessDied has the last line that it wrote on standard error.
    """
    script, task = _pickle_task((function, argument))
    ours, theirs = Pipe()
    with ours, tempfile.TemporaryFile() as stderr:
        with theirs:
            descriptors = theirs.fileno(), stderr.fileno()
            process = start(*descriptors) if start is not None else None
            is_forked = process is not None
            if process is None:
                process = _start_fresh(*descriptors)
        try:
            ours.send((script, _read_context() if is_forked else None))
            ours.send_bytes(task)
            kind, content = _wait_for_result(ours, process, report)
        except (EOFError, OSError):
            raise ProcessDied(_describe_exit(process.wait(), stderr)) from None
        finally:
            process.kill()
            process.wait()
    if kind == "failed":
        raise TaskFailed(content)
    return content


def _start_fresh(pipe: int, stderr: int) -> Process:
    """Start a new interpreter that serves one task."""
    return subprocess.Popen(
        [sys.executable, "-c", _START, dump_path(), str(pipe), str(os.getpid())],
        pass_fds=[pipe],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
    )


def dump_path() -> str:
    """Return ``sys.path`` as JSON for a new process; imports pass over what is not a string."""
    entries: list[object] = [*sys.path]
    return json.dumps([entry for entry in entries if isinstance(entry, str)])


def read_folder() -> str | None:
    """Return the working folder; None if it was removed."""
    with contextlib.suppress(OSError):
        return os.getcwd()
    return None


def _read_context() -> Mapping[str, Any]:
    """Return the state of this process that a forked process takes over; see ``_adopt``."""
    return {"environ": dict(os.environ), "folder": read_folder()}


def _adopt(context: Mapping[str, Any]) -> None:
    """Take over the state of the process that has asked for this fork, as if started by it."""
    os.environ.clear()
    os.environ.update(context["environ"])
    if context["folder"] is not None:
        with contextlib.suppress(OSError):
            os.chdir(context["folder"])
    importlib.invalidate_caches()
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else all forks draw the same numbers


def _wait_for_result(
    pipe: Connection, process: Process, report: Callable[..., object]
) -> tuple[str, Any]:
    """Forward reports until the message "done" or "failed" arrives, and return it."""
    while True:
        # A child of the subprocess may outlive it and hold the pipe open, so EOF is not enough.
        while not pipe.poll(_POLL_INTERVAL):
            if process.poll() is not None and not pipe.poll():
                raise EOFError
        kind, content = pipe.recv()
        if kind != "report":
            return kind, content
        report(*content)


def serve_task(descriptor: int, parent: int) -> NoReturn:
    """Receive a task, run it, send the result and exit: the main function of the subprocess."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    ask_for_signal_at_end_of_parent(signal.SIGKILL, parent)
    pipe: Connection[Any, Any] = Connection(descriptor)
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock:
            pipe.send(message)

    try:
        script, context = pipe.recv()
        task = pipe.recv_bytes()
        if context is not None:
            _adopt(context)
        threading.Thread(target=_exit_with_parent, args=(pipe,), daemon=True).start()
        _import_script(script)
        function, argument = pickle.loads(task)
        result = function(argument, lambda *reported: send("report", reported))
        send("done", result)
    except BaseException as error:
        send("failed", _describe_error(error))
    os._exit(0)  # does not wait for threads that libraries have left running


def ask_for_signal_at_end_of_parent(number: signal.Signals, parent: int) -> None:
    """Ask Linux for a signal when the parent, or the thread of it that started this, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before
            os._exit(1)


def raise_if_importing_script() -> None:
    """Raise DataError if a subprocess is importing the script, which would start another sweep."""
    if _importing_script:
        raise DataError(
            "the script calls rank_models when it is imported by the process of a model; put the "
            "call under: if __name__ == '__main__':"
        )


def _exit_with_parent(pipe: Connection) -> None:
    """Exit when the parent closes the pipe, on systems without PR_SET_PDEATHSIG."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv_bytes()
    os._exit(1)


class _Pickler(pickle.Pickler):
    """A pickler that records whether a pickled class or function was defined in the script."""

    uses_script = False

    def reducer_override(self, value: Any) -> Any:
        named = isinstance(value, (type, FunctionType))
        self.uses_script |= named and value.__module__ == "__main__"
        return NotImplemented


def _pickle_task(task: Any) -> tuple[str | None, bytes]:
    """Pickle a task; return the path of the script to import first, if any, and the bytes."""
    buffer = io.BytesIO()
    try:
        pickler = _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.dump(task)
    except Exception as error:
        raise TaskFailed(
            f"it cannot be sent to a process of its own ({_join_lines(error)}); define it in a "
            f"module, or pass isolate=False"
        ) from error
    if not pickler.uses_script:
        return None, buffer.getvalue()
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None or not os.path.exists(script):
        raise TaskFailed(
            "it was defined at a prompt or in a notebook, which a subprocess cannot import; define "
            "it in a module, or pass isolate=False"
        )
    return script, buffer.getvalue()


def _import_script(path: str | None) -> None:
    global _importing_script
    if path is not None:
        _importing_script = True
        spawn.import_main_path(path)
        _importing_script = False


def _describe_error(error: BaseException) -> str:
    is_ours = isinstance(error, TransferabilityError)
    return _join_lines(error) if is_ours else f"{type(error).__name__}: {_join_lines(error)}"


def _join_lines(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no message"


def _describe_exit(code: int, stderr: Any) -> str:
    """Describe the exit status of the subprocess, with its last line on standard error."""
    if code >= 0:
        status = f"its process ended with exit code {code} and no result"
    else:
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        status = f"killed by signal {-code}{name}"
        if -code == signal.SIGKILL:
            status += ": probably out of memory"
    stderr.seek(0)
    lines = stderr.read().decode("utf-8", "replace").strip().splitlines()
    return f"{status}; it last wrote: {lines[-1].strip()[-_MAX_SHOWN:]}" if lines else status
