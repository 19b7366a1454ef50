"""Functions in subprocesses: results, reports, crashes, and no orphans."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from transferability._sweep.fork_server import ForkServer
from transferability._sweep.subprocess import ProcessDied, TaskFailed, run_isolated

HERE = Path(__file__).parent
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the fork server runs on Linux only")


@pytest.fixture
def server() -> Iterator[ForkServer]:
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture(params=["fresh", pytest.param("forked", marks=on_linux)])
def start(request: pytest.FixtureRequest, server: ForkServer) -> Any:
    """How the process is started: the same holds for both ways."""
    return server.start if request.param == "forked" else None


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


def test_results_and_reports(capfd: pytest.CaptureFixture[str], start: Any) -> None:
    heard: list[tuple[Any, ...]] = []
    assert run_isolated(double, 21, lambda *what: heard.append(what), start) == 42
    assert heard == [("step", 0), ("step", 1), ("step", 2)]
    assert capfd.readouterr() == ("", "")


def test_failures_are_one_line(start: Any) -> None:
    with pytest.raises(TaskFailed, match=r"^KeyError: 'no\\nyou'$"):
        run_isolated(fail, "you", print, start)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (signal.SIGKILL, "killed by signal 9 (SIGKILL): probably out of memory"),
        (signal.SIGABRT, "killed by signal 6 (SIGABRT); it last wrote: the last words"),
        (0, "its process ended with exit code 0 and no result"),
    ],
)
def test_deaths_are_told(how: int, message: str, start: Any) -> None:
    heard: list[tuple[Any, ...]] = []
    with pytest.raises(ProcessDied) as caught:
        run_isolated(die, how, lambda *what: heard.append(what), start)
    assert str(caught.value) == message
    assert heard == [("dying", 0)]


def test_large_arguments_and_results(start: Any) -> None:
    assert len(run_isolated(large, 3_000_000, print, start)) == 3_000_000
    with pytest.raises(ProcessDied, match="exit code 0"):
        run_isolated(die, 0, lambda *what: None, start)
    assert run_isolated(double, 1, lambda *what: None, start) == 2  # the next one is not disturbed


def test_threads_that_are_left_do_not_hold_it_up(start: Any) -> None:
    began = time.monotonic()
    assert run_isolated(leave_a_thread, None, print, start) == "done"
    assert time.monotonic() - began < 30


def test_what_does_not_pickle() -> None:
    with pytest.raises(TaskFailed, match=r"cannot be sent to a process of its own .*isolate=False"):
        run_isolated(double, lambda: 3, print)


_PARENT = """
import sys
sys.path.insert(0, sys.argv[2])
from test_subprocess import wait
import os, time
from transferability._sweep.fork_server import get_server
from transferability._sweep.subprocess import run_isolated
start = None
if sys.argv[3] != "fresh":
    start = get_server().start
    get_server().prepare([])
    open(sys.argv[1] + ".server", "w").write(str(get_server().pid))
if sys.argv[3] == "forked, and a fork of the parent lives on" and os.fork() == 0:
    time.sleep(3)
    os._exit(0)
run_isolated(wait, sys.argv[1], print, start)
"""


@pytest.mark.parametrize("signal_number", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(
    "way",
    [
        "fresh",
        pytest.param("forked", marks=on_linux),
        pytest.param("forked, and a fork of the parent lives on", marks=on_linux),
    ],
)
def test_it_ends_with_its_parent(tmp_path: Path, signal_number: int, way: str) -> None:
    beats = tmp_path / "beats"
    beats.touch()
    command = [sys.executable, "-c", _PARENT, str(beats), str(HERE), way]
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
    if way != "fresh":
        assert not is_alive(int(beats.with_suffix(".server").read_text()))


_SCRIPT = """
import sys
from transferability._sweep.fork_server import get_server
from transferability._sweep.subprocess import run_isolated

class Mine:
    value = 4

def double(mine, hear):
    return 2 * mine.value

if __name__ == "__main__":
    start = get_server().start if sys.argv[1:] == ["forked"] else None
    print(run_isolated(double, Mine(), print, start))
"""


@pytest.mark.parametrize("way", ["fresh", pytest.param("forked", marks=on_linux)])
def test_what_a_script_defines(tmp_path: Path, way: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT)
    ran = subprocess.run(
        [sys.executable, str(script), way], capture_output=True, text=True, timeout=60, check=True
    )
    assert ran.stdout == "8\n"
    assert ran.stderr == ""
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


def test_a_process_that_left_a_child_is_not_waited_for(start: Any) -> None:
    began = time.monotonic()
    with pytest.raises(ProcessDied, match="killed by signal 9"):
        run_isolated(leave_a_child, 30.0, lambda *heard: None, start)
    assert time.monotonic() - began < 15


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def look(name: str, hear: Callable[..., object]) -> Any:
    """Tell what a process sees of the state that it has inherited."""
    import resource

    mask = os.umask(0)
    os.umask(mask)
    return {
        "parent": os.getppid(),
        "variable": os.environ.get("SOME_VARIABLE"),
        "variables": sorted({*os.environ} - {"COLUMNS", "LINES"}),  # readline sets these
        "folder": os.getcwd(),
        "path": [*sys.path],
        "limit": resource.getrlimit(resource.RLIMIT_NOFILE),
        "cores": os.sched_getaffinity(0),
        "mask": mask,
        "threads": len(os.listdir("/proc/self/task")),
        "module": getattr(sys.modules.get(name), "VALUE", None),
        "draw": __import__("numpy").random.random(),
        "descriptors": sorted(re.split("[:#]", os.readlink(f"/proc/self/fd/{d}"))[0]
                              for d in os.listdir("/proc/self/fd")
                              if os.path.exists(f"/proc/self/fd/{d}")),
    }  # fmt: skip


def looked(server: ForkServer, name: str = "") -> Any:
    return run_isolated(look, name, print, server.start)


@on_linux
def test_a_fork_sees_what_a_fresh_process_sees(
    server: ForkServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has changed in the parent since the server was started."""
    import resource

    server.prepare(["numpy"])
    draws = {looked(server)["draw"] for _ in range(3)}
    assert len(draws) == 3  # not the same numbers in every fork
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    own = ("draw", "parent", "threads", "module")
    try:
        for change in (
            lambda: monkeypatch.setenv("SOME_VARIABLE", "1"),
            lambda: monkeypatch.setenv("PYTEST_CURRENT_TEST", "another"),
            lambda: monkeypatch.delenv("SOME_VARIABLE"),
            lambda: monkeypatch.chdir(tmp_path),
            lambda: monkeypatch.syspath_prepend(str(tmp_path)),
            lambda: os.umask(0o077),
            lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard)),
        ):
            change()
            forked, fresh = looked(server), run_isolated(look, "", print)
            assert forked["parent"] == server.pid != fresh["parent"] == os.getpid()
            assert {**forked, **dict.fromkeys(own)} == {**fresh, **dict.fromkeys(own)}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.umask(0o022)


@on_linux
def test_one_server_for_many_models(server: ForkServer, tmp_path: Path) -> None:
    first = looked(server)["parent"]
    server.prepare(["fractions"])  # more libraries, in the same server
    assert looked(server)["parent"] == first == server.pid != os.getpid()
    with ThreadPoolExecutor(4) as pool:
        found = [
            *pool.map(lambda i: run_isolated(double, i, print_nothing, server.start), range(8))
        ]
    assert found == [2 * i for i in range(8)]
    assert server.pid == first


def test_signals_that_the_parent_blocks(server: ForkServer) -> None:
    """Threads that wait for signals block them, and a new process has them blocked too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD, signal.SIGUSR1])
    try:
        server.prepare([])
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(run_isolated, double, 2, print_nothing, server.start)
            assert waiting.result(timeout=60) == 4
            assert server.pid is not None
            with pytest.raises(ProcessDied, match="killed by signal 11"):
                run_isolated(die, signal.SIGSEGV, print_nothing, server.start)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_folders_of_imports_that_are_no_text(
    start: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [tmp_path, *sys.path, b"bytes"])
    assert run_isolated(double, 2, print_nothing, start) == 4


def test_without_proc_a_fresh_process_is_started(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_hidden(path: Any, *rest: Any, **more: Any) -> Any:
        if str(path).startswith("/proc/"):
            raise FileNotFoundError(path)
        return real(path, *rest, **more)

    real = open
    monkeypatch.setattr("builtins.open", is_hidden)
    server.prepare(["numpy"])
    assert server.pid is None
    assert looked(server)["parent"] == os.getpid()


def print_nothing(*what: object) -> None:
    pass


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module that a server imports."""
    folder = tmp_path / "libraries"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")

    def write(text: str) -> str:
        (folder / "served_library.py").write_text(text)
        return "served_library"

    return write


@on_linux
def test_a_library_that_changes_is_imported_again(
    server: ForkServer, library: Callable[[str], str]
) -> None:
    name = library("VALUE = 1")
    server.prepare([name])
    assert looked(server, name)["module"] == 1
    first = server.pid
    assert looked(server, name)["module"] == 1
    assert server.pid == first
    library("VALUE = 2222")
    assert looked(server, name)["module"] == 2222
    assert server.pid != first


@on_linux
@pytest.mark.parametrize(
    "text",
    [
        "import threading as t, time\nt.Thread(target=time.sleep, args=(60,), daemon=True).start()",
        "import os\nos._exit(3)",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
        "raise ValueError",
        "import nowhere_to_be_found",
    ],
    ids=["starts a thread", "exits", "crashes", "raises", "imports what is not there"],
)
def test_libraries_that_cannot_be_forked_cost_no_result(
    server: ForkServer, library: Callable[[str], str], text: str
) -> None:
    """Where fork is not safe or the server does not start, a fresh process is started."""
    server.prepare([library(text)])
    start = time.monotonic()
    for _ in range(2):
        seen = looked(server)
        if "Thread" in text or "exit" in text or "kill" in text:
            assert (seen["parent"], seen["threads"]) == (os.getpid(), seen["threads"])
        else:
            assert seen["parent"] == server.pid
    assert time.monotonic() - start < 30


@on_linux
def test_a_dead_server_costs_one_result_at_most(server: ForkServer, tmp_path: Path) -> None:
    server.prepare([])
    pids = set()
    for _ in range(4):  # between two models: no result is lost, however often
        assert server.pid is not None
        pids.add(server.pid)
        os.kill(server.pid, signal.SIGKILL)
        assert run_isolated(double, 4, print_nothing, server.start) == 8
    assert len(pids) == 4
    beats, dead = tmp_path / "beats", server.pid
    beats.touch()
    killer = threading.Timer(1.0, lambda: os.kill(dead, signal.SIGKILL))  # while a model runs
    killer.start()
    with pytest.raises(ProcessDied, match="killed by signal 9"):
        run_isolated(wait, str(beats), print_nothing, server.start)
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size  # no orphan
    assert run_isolated(double, 4, print_nothing, server.start) == 8
    assert server.pid != dead


@on_linux
def test_an_idle_server_ends_and_starts_again() -> None:
    server = ForkServer(idle_seconds=0.2)
    assert run_isolated(double, 4, print_nothing, server.start) == 8
    first = server.pid
    assert first is not None
    deadline = time.monotonic() + 20
    while is_alive(first):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run_isolated(double, 4, print_nothing, server.start) == 8
    assert server.pid != first
    last = server.pid
    server.close()
    assert last is not None
    assert not is_alive(last)


_IMPORTING = """
import sys, threading
sys.path.insert(0, sys.argv[1])
from transferability._sweep.fork_server import get_server
# The server outlives the thread that has started it, but not the process.
thread = threading.Thread(target=lambda: get_server().prepare(["imports_long"]))
thread.start()
thread.join()
print(get_server().pid, flush=True)
sys.stdin.read()
"""


@on_linux
def test_a_server_that_imports_ends_with_its_parent(tmp_path: Path) -> None:
    text = "import time\nfor _ in range(600):\n    time.sleep(0.05)\n"
    (tmp_path / "imports_long.py").write_text(text)
    command = [sys.executable, "-c", _IMPORTING, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as parent:  # type: ignore[call-overload]
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        time.sleep(0.5)
        assert is_alive(pid)
        parent.kill()
    deadline = time.monotonic() + 10
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


_FORKS = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_subprocess import double, print_nothing
from transferability._sweep.fork_server import get_server
from transferability._sweep.subprocess import run_isolated

def run():
    return run_isolated(double, 4, print_nothing, get_server().start), get_server().pid

before = run()
pid = os.fork()
if pid == 0:
    print(run()[0], get_server().pid != before[1], flush=True)
    sys.exit(0)
os.waitpid(pid, 0)
print(run() == before)
"""


@on_linux
def test_a_fork_of_the_parent_has_a_server_of_its_own() -> None:
    command = [sys.executable, "-W", "error", "-c", _FORKS, str(HERE)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.stdout, ran.stderr) == ("8 True\nTrue\n", "")


@on_linux
def test_variables_that_libraries_set_when_imported_start_no_new_server(
    server: ForkServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As scikit-learn, and sentence-transformers through it, do in the user's process."""
    names = ("CODECARBON_LOG_LEVEL", "KMP_DUPLICATE_LIB_OK", "KMP_INIT_AT_FORK")
    for name in names:
        monkeypatch.delenv(name, raising=False)
    first = looked(server)["parent"]
    for name, value in zip(names, ("error", "True", "FALSE"), strict=True):
        monkeypatch.setenv(name, value)
    found = looked(server)
    assert found["parent"] == first
    assert {*names} <= {*found["variables"]}, "the processes have them"
    monkeypatch.setenv("KMP_INIT_AT_FORK", "TRUE")  # by the user
    assert looked(server)["parent"] != first
