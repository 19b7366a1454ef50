"""Functions in subprocesses: results, reports, crashes, and no orphans."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transferability._sweep.subprocess import ProcessDied, TaskFailed, run_isolated

HERE = Path(__file__).parent


def double(value: int, hear: Callable[..., object]) -> int:
    for i in range(3):
        hear("step", i)
    return 2 * value


def fail(value: Any, hear: Callable[..., object]) -> None:
    raise KeyError(f"no\n{value}")


def die(how: Any, hear: Callable[..., object]) -> None:
    hear("dying", 0)
    print("on standard output")
    sys.stderr.write("a line\nthe last words\n" if how == signal.SIGABRT else "")
    sys.stderr.flush()
    if how == 0:
        os._exit(0)
    os.kill(os.getpid(), how)
    time.sleep(60)


def leave_a_thread(value: Any, hear: Callable[..., object]) -> str:
    import threading

    threading.Thread(target=time.sleep, args=(60,)).start()
    return "done"


def large(size: int, hear: Callable[..., object]) -> bytes:
    return b"x" * size


def wait(path: str, hear: Callable[..., object]) -> None:
    for _ in range(600):
        with open(path, "a") as file:
            file.write(".")
        time.sleep(0.05)


def test_results_and_reports(capfd: pytest.CaptureFixture[str]) -> None:
    heard: list[tuple[Any, ...]] = []
    assert run_isolated(double, 21, lambda *what: heard.append(what)) == 42
    assert heard == [("step", 0), ("step", 1), ("step", 2)]
    assert capfd.readouterr() == ("", "")


def test_failures_are_one_line() -> None:
    with pytest.raises(TaskFailed, match=r"^KeyError: 'no\\nyou'$"):
        run_isolated(fail, "you", print)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (signal.SIGKILL, "killed by signal 9 (SIGKILL): probably out of memory"),
        (signal.SIGABRT, "killed by signal 6 (SIGABRT); it last wrote: the last words"),
        (0, "its process ended with exit code 0 and no result"),
    ],
)
def test_deaths_are_told(how: int, message: str) -> None:
    heard: list[tuple[Any, ...]] = []
    with pytest.raises(ProcessDied) as caught:
        run_isolated(die, how, lambda *what: heard.append(what))
    assert str(caught.value) == message
    assert heard == [("dying", 0)]


def test_large_arguments_and_results() -> None:
    assert len(run_isolated(large, 3_000_000, print)) == 3_000_000
    with pytest.raises(ProcessDied, match="exit code 0"):
        run_isolated(die, 0, lambda *what: None)
    assert run_isolated(double, 1, lambda *what: None) == 2  # the next one is not disturbed


def test_threads_that_are_left_do_not_hold_it_up() -> None:
    start = time.monotonic()
    assert run_isolated(leave_a_thread, None, print) == "done"
    assert time.monotonic() - start < 30


def test_what_does_not_pickle() -> None:
    with pytest.raises(TaskFailed, match=r"cannot be sent to a process of its own .*isolate=False"):
        run_isolated(double, lambda: 3, print)


_PARENT = """
import sys
sys.path.insert(0, sys.argv[2])
from test_subprocess import wait
from transferability._sweep.subprocess import run_isolated
run_isolated(wait, sys.argv[1], print)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
def test_it_ends_with_its_parent(tmp_path: Path, signal_number: int) -> None:
    beats = tmp_path / "beats"
    beats.touch()
    command = [sys.executable, "-c", _PARENT, str(beats), str(HERE)]
    parent = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while beats.stat().st_size < 3:
            assert time.monotonic() < deadline
            assert parent.poll() is None
            time.sleep(0.02)
    finally:
        parent.send_signal(signal_number)
        parent.wait(timeout=30)
    time.sleep(0.3)
    size = beats.stat().st_size
    time.sleep(0.5)
    assert beats.stat().st_size == size


_SCRIPT = """
from transferability._sweep.subprocess import run_isolated

class Mine:
    value = 4

def double(mine, hear):
    return 2 * mine.value

if __name__ == "__main__":
    print(run_isolated(double, Mine(), print))
"""


def test_what_a_script_defines(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    ran = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "8\n"
    prompt = subprocess.run(  # what was typed at a prompt has no file
        [sys.executable], input=_SCRIPT, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert "defined at a prompt or in a notebook" in prompt.stderr


def leave_a_child(seconds: float, hear: Callable[..., object]) -> None:
    if os.fork() == 0:
        time.sleep(seconds)
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_left_a_child_is_not_waited_for() -> None:
    start = time.monotonic()
    with pytest.raises(ProcessDied, match="killed by signal 9"):
        run_isolated(leave_a_child, 30.0, lambda *heard: None)
    assert time.monotonic() - start < 15
