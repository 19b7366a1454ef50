"""A function in a process of its own, whose death is an answer and not the end.

Not ``multiprocessing``'s pools: those lose what a killed process was doing, and start every script
that has no ``if __name__ == "__main__"`` anew. Here the script is imported in the process only if
something that is handed over was defined in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from multiprocessing import Pipe, spawn
from multiprocessing.connection import Connection
from types import FunctionType
from typing import Any

from ..errors import DataError, TransferabilityError

__all__ = ["Died", "Failed", "isolated", "isolated_main", "refuse_inside"]

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from transferability._sweep.subprocess import isolated_main; "
    "isolated_main(int(sys.argv[2]), int(sys.argv[3]))"
)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_LOOK = 0.5  # seconds between looks at whether the process lives
_SHOWN = 300  # characters of what a process last wrote
#: Set while a process imports the script that started it.
_importing_script = False


class Failed(Exception):
    """The function raised: its message, in one line."""


class Died(Exception):
    """The process ended without a result: how, in one line."""


def isolated(function: Callable[..., Any], argument: Any, hear: Callable[..., object]) -> Any:
    """Call ``function(argument, hear)`` in a new process and give its result.

    The process ends with this one, however this one ends. What it writes is not shown, but for
    the last line on standard error of one that died.

    Raises
    ------
    Failed
        If the function raises.
    Died
        If the process dies: a crash, a signal, an exit.
    """
    script, task = _pickled((function, argument))
    ours, theirs = Pipe()
    arguments = [json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())]
    with ours, tempfile.TemporaryFile() as printed:
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-c", _START, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=printed,
            )
        try:
            kind, content = _converse(ours, process, (script, task), hear)
        except (EOFError, OSError):
            raise Died(_how(process.wait(), printed)) from None
        finally:
            process.kill()
            process.wait()
    if kind == "failed":
        raise Failed(content)
    return content


def _converse(
    ours: Connection, process: subprocess.Popen[bytes], task: Any, hear: Callable[..., object]
) -> tuple[str, Any]:
    script, content = task
    ours.send(script)
    ours.send_bytes(content)
    while True:
        while not ours.poll(_LOOK):  # what it started may hold its end of the pipe and outlive it
            if process.poll() is not None and not ours.poll():
                raise EOFError
        kind, content = ours.recv()
        if kind != "heard":
            return kind, content
        hear(*content)


def isolated_main(descriptor: int, parent: int) -> None:
    """Do what the parent sends, in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's, which ends this one
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)
    pipe: Connection[Any, Any] = Connection(descriptor)
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock:
            pipe.send(message)

    try:
        script = pipe.recv()
        task = pipe.recv_bytes()
        threading.Thread(target=_end_with, args=(pipe,), daemon=True).start()
        _import_script(script)
        function, argument = pickle.loads(task)
        result = function(argument, lambda *heard: send("heard", heard))
        send("done", result)
    except BaseException as error:
        send("failed", _reason(error))
    os._exit(0)  # whatever threads the model's library has left


def refuse_inside() -> None:
    """Refuse to start processes from a process that only imports the script."""
    if _importing_script:
        raise DataError(
            "the script calls rank_models when it is imported by the process of a model; put the "
            "call under: if __name__ == '__main__':"
        )


def _end_with(pipe: Connection) -> None:
    """End when the parent is gone, where the system does not see to it."""
    with contextlib.suppress(EOFError, OSError):
        pipe.recv_bytes()
    os._exit(1)


class _Pickler(pickle.Pickler):
    """Notices what was defined in the script, which the new process must then import."""

    of_script = False

    def reducer_override(self, value: Any) -> Any:
        named = isinstance(value, (type, FunctionType))
        self.of_script |= named and value.__module__ == "__main__"
        return NotImplemented


def _pickled(task: Any) -> tuple[str | None, bytes]:
    """Give the script that must be imported first, if it must, and the task."""
    buffer = io.BytesIO()
    try:
        pickler = _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
        pickler.dump(task)
    except Exception as error:
        raise Failed(
            f"it cannot be sent to a process of its own ({_line(error)}); define it in a module, "
            f"or pass isolate=False"
        ) from error
    if not pickler.of_script:
        return None, buffer.getvalue()
    script = getattr(sys.modules["__main__"], "__file__", None)
    if script is None or not os.path.exists(script):
        raise Failed(
            "it was defined at a prompt or in a notebook, which a process of its own cannot "
            "import; define it in a module, or pass isolate=False"
        )
    return script, buffer.getvalue()


def _import_script(path: str | None) -> None:
    global _importing_script
    if path is not None:
        _importing_script = True
        spawn.import_main_path(path)
        _importing_script = False


def _reason(error: BaseException) -> str:
    known = isinstance(error, TransferabilityError)
    return _line(error) if known else f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or "no message"


def _how(code: int, printed: Any) -> str:
    """Say how a process ended, with the last line that it wrote."""
    if code >= 0:
        how = f"its process ended with exit code {code} and no result"
    else:
        try:
            name = f" ({signal.Signals(-code).name})"
        except ValueError:
            name = ""
        how = f"killed by signal {-code}{name}"
        if -code == signal.SIGKILL:
            how += ": probably out of memory"
    printed.seek(0)
    lines = printed.read().decode("utf-8", "replace").strip().splitlines()
    return f"{how}; it last wrote: {lines[-1].strip()[-_SHOWN:]}" if lines else how
