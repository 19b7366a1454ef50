"""Statistics on the command line: stats, merge, score, rank; interrupted and resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import transferability as tx
from transferability.cli import main

SHARDS = 8


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(5).normal(size=(800, 6)).astype(np.float16)


@pytest.fixture
def y(x: Any) -> Any:
    return x[:, :3].argmax(axis=1)


@pytest.fixture
def folder(tmp_path: Path, x: Any, y: Any, monkeypatch: Any) -> Path:
    """Eight shards with their labels, the current folder."""
    for i, (part, labels) in enumerate(zip(np.split(x, SHARDS), np.split(y, SHARDS), strict=True)):
        np.save(tmp_path / f"x_{i}.npy", part)
        np.save(tmp_path / f"y_{i}.npy", labels)
    np.save(tmp_path / "y.npy", y)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(kind: str) -> list[str]:
    return [f"{kind}_{i}.npy" for i in range(SHARDS)]


def test_the_pattern_of_the_manual(folder: Path, x: Any, y: Any) -> None:
    """As a shell expands: stats X_*.npy --labels y_*.npy -o part.stats, merge, score."""
    first = run("stats", *files("x")[:5], "--labels", *files("y")[:5], "-o", "a.stats")
    assert (first.exit_code, first.stdout) == (0, "")
    assert "a.stats: 500 rows x 6 features of 5 files, classification" in first.stderr
    quoted = run("stats", "-q", "x_[5-7].npy", "-o", "b.stats", "--labels", "y_[5-7].npy")
    assert (quoted.exit_code, quoted.output) == (0, "")
    merged = run("merge", "a.stats", "b.stats", "-o", "all.stats")
    assert merged.exit_code == 0
    assert "all.stats: 800 rows" in merged.stderr
    scored = run("score", "all.stats", "--metrics", "logme,h_score", "--threads", "1")
    assert scored.exit_code == 0
    for line in scored.stdout.splitlines():
        name, value = line.split("\t")
        expected = tx.score(x, y, name)
        assert abs(float(value) - expected) <= 1e-10 * max(1, abs(expected))
    assert "Data: 800 rows" in run("score", "all.stats", "--explain").stdout
    assert run("score", "all.stats", "--csv").stdout.splitlines()[1].startswith("all,")
    assert sorted(path.name for path in folder.glob("*.stats*")) == [
        "a.stats",
        "all.stats",
        "b.stats",
    ]


def test_one_file_of_labels_is_for_all(folder: Path, x: Any, y: Any) -> None:
    assert run("stats", *files("x"), "--labels", "y.npy", "-o", "one.stats").exit_code == 0
    assert run("stats", *files("x"), "--labels", *files("y"), "-o", "own.stats").exit_code == 0
    one = without_time(Path("one.stats").read_bytes())
    assert one == without_time(Path("own.stats").read_bytes())
    os.rename("x_7.npy", "x_10.npy")
    by_shell = ["x_0.npy", "x_1.npy", "x_10.npy", *files("x")[2:7]]
    refused = run("stats", *by_shell, "--labels", "y.npy", "-o", "bad.stats")
    assert refused.exit_code == 3
    assert "natural order (2 before 10)" in refused.stderr
    assert run("stats", "x_*.npy", "--labels", "y.npy", "-o", "good.stats").exit_code == 0
    assert one == without_time(Path("good.stats").read_bytes())


def test_statistics_without_labels(folder: Path, x: Any) -> None:
    made = run("stats", *files("x"), "--task", "unlabelled", "-o", "all.stats")
    assert made.exit_code == 0
    assert f"{len(x)} rows x {x.shape[1]} features of {SHARDS} files, unlabelled" in made.output
    for part, paths in (("a", files("x")[:3]), ("b", files("x")[3:])):
        assert run("stats", *paths, "--task", "unlabelled", "-o", f"{part}.stats").exit_code == 0
    assert run("merge", "a.stats", "b.stats", "-o", "both.stats").exit_code == 0
    expected = tx.covariance.ledoit_wolf(x)[0]
    for name in ("all", "both"):
        found = tx.Stats.load(f"{name}.stats").covariance("ledoit-wolf")
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)
    assert run("health", "both.stats").exit_code == 0
    refused = run("score", "both.stats")
    assert refused.exit_code != 0
    assert "needs labels" in refused.output


def test_folders_of_shards_and_labels(folder: Path) -> None:
    for kind in "xy":
        Path(kind).mkdir()
        for file in files(kind):
            os.rename(file, Path(kind) / file)
    assert run("stats", "x", "--labels", "y", "-o", "part.stats").exit_code == 0
    assert tx.Stats.load("part.stats").n_samples == 800


def test_models_of_the_same_rows_rank_by_their_statistics(folder: Path, x: Any, y: Any) -> None:
    np.save("poor.npy", x[::-1])
    for name, paths in (("good", files("x")), ("poor", ["poor.npy"])):
        assert run("stats", *paths, "--labels", "y.npy", "-o", f"{name}.stats").exit_code == 0
    result = run("rank", "poor.stats", "good.stats", "--csv")
    assert result.exit_code == 0
    assert [line.split(",")[1] for line in result.stdout.splitlines()[1:]] == ["good", "poor"]
    assert run("rank", "poor.stats", "good.stats", "--csv", "--threads", "1").exit_code == 0
    refusals = (("--labels", "y.npy"), ("--task", "regression"), ("--method", "svd"))
    for beside in (*refusals, ("--baselines",)):
        refused = run("rank", "poor.stats", "good.stats", *beside)
        assert refused.exit_code == 2
        assert "cannot be given with FILE.stats" in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["stats", "x_0.npy"], 2, "Missing option '--output'"),
        (["stats", "x_0.npy", "-o", "a.stats"], 2, "give the labels with --labels"),
        (
            ["stats", "x_0.npy", "--labels", "y.npy", "--task", "unlabelled", "-o", "a.stats"],
            2,
            "--task unlabelled reads no labels",
        ),
        (["stats", "-o", "a.stats"], 2, "Missing argument 'FEATURES"),
        (["stats", "--labels", "y.npy", "x_0.npy", "-o", "a.stats"], 2, "Missing argument"),
        (
            ["stats", "gone.npy", "--labels", "y.npy", "-o", "a.stats"],
            2,
            "no file or folder gone.npy",
        ),
        (["stats", "x_0.npy", "--labels", "gone.npy", "-o", "a.stats"], 2, "gone.npy"),
        (
            ["stats", "gone_*.npy", "--labels", "y.npy", "-o", "a.stats"],
            3,
            "no file matches gone_*.npy",
        ),
        (["stats", "x_0.npy", "x_1.npy", "--labels", "y.npy", "-o", "a.stats"], 3, "800 entries"),
        (["stats", "x_0.npy", "--labels", "y_0.npy", "-o", "no/a.stats"], 2, "no folder no"),
        (["merge", "a.stats", "-o", "b.stats"], 2, "no file or folder a.stats"),
        (["merge", "ok.stats", "-o", "ok.stats"], 2, "both read and written"),
        (["merge", "ok.stats", "./ok.stats", "-o", "b.stats"], 2, "given twice"),
        (["merge", "y.npy", "-o", "b.stats"], 3, "y.npy: "),
        (["score", "ok.stats", "y.npy"], 2, "LABELS cannot be given with ok.stats"),
        (["score", "ok.stats", "--method", "svd"], 2, "method cannot be given"),
        (["score", "ok.stats", "--metrics", "parc"], 3, "parc"),
        (["score", "x_0.npy"], 2, "give LABELS"),
    ],
)
def test_exit_codes(arguments: list[str], code: int, message: str, folder: Path) -> None:
    assert run("stats", "x_0.npy", "--labels", "y_0.npy", "-o", "ok.stats").exit_code == 0
    result = run(*arguments)
    assert message in result.stderr
    assert result.exit_code == code
    assert "Traceback" not in result.output


def test_what_was_complete_is_kept_when_a_shard_is_bad(folder: Path, x: Any, y: Any) -> None:
    """A NaN in shard 7 of 8: six shards are done, and none of the seventh."""
    command = ("stats", *files("x"), "--labels", *files("y"), "-o", "part.stats")
    assert run(*command).exit_code == 0
    whole = Path("part.stats").read_bytes()
    Path("part.stats").unlink()
    good = np.load("x_6.npy")
    bad = good.copy()
    bad[11, 4] = np.nan
    np.save("x_6.npy", bad)
    result = run(*command)
    assert result.exit_code == 3
    assert "x_6.npy, row 11, column 4 is nan" in result.stderr
    assert not Path("part.stats").exists()
    refused = run(*command)
    assert refused.exit_code == 2
    assert "continue it with --resume, or delete" in refused.stderr
    np.save("x_6.npy", good)
    touched = []
    result = run_counting(touched, *command, "--resume")
    assert result.exit_code == 0
    assert touched == ["x_6.npy", "x_7.npy"]
    assert without_time(Path("part.stats").read_bytes()) == without_time(whole)
    assert not Path("part.stats.partial").exists()


def run_counting(touched: list[str], *arguments: object) -> Result:
    """Run a command and list the files whose rows it reads."""
    from transferability.io import Shard

    read = Shard.features

    def counting(self: Shard, *args: Any) -> Any:
        touched.append(str(self))
        return read(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shard, "features", counting)
        return run(*arguments)


def without_time(data: bytes) -> bytes:
    """Everything but the seconds that it took, and the checksum over them."""
    stats = tx.Stats.from_bytes(data)
    stats._seconds = 0.0
    return stats.to_bytes()


def test_features_are_never_written_over(folder: Path) -> None:
    """As a shell expands ``-o x_*.npy``: the first of the features would be the output."""
    before = Path("x_0.npy").read_bytes()
    refused = run("stats", "--labels", "y_1.npy", "-o", "x_0.npy", "x_1.npy")
    assert refused.exit_code == 2
    assert "x_0.npy exists and is no FILE.stats" in refused.stderr
    made = run("stats", "x_1.npy", "--labels", "y_1.npy", "-o", "a.stats")
    assert made.exit_code == 0
    assert run("merge", "a.stats", "-o", "x_0.npy").exit_code == 2
    assert Path("x_0.npy").read_bytes() == before
    again = run("stats", "x_2.npy", "--labels", "y_2.npy", "-o", "a.stats")
    assert again.exit_code == 0, "statistics may be replaced"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: np.save("x_1.npy", np.load("x_1.npy") * 2), "x_1.npy is not what part.stats.par"),
        (lambda: np.save("y_7.npy", np.load("y_7.npy")[::-1]), "labels changed since part.stats"),
        (lambda: os.utime("x_0.npy", (1, 1)), "its time of change was"),
        (lambda: Path("part.stats.partial").write_bytes(b"x" * 99), "no whole checkpoint"),
        (lambda: shorten("part.stats.partial"), "no whole checkpoint"),
    ],
)
def test_what_has_changed_is_not_resumed(change: Any, message: str, folder: Path) -> None:
    command = ("stats", *files("x"), "--labels", *files("y"), "-o", "part.stats")
    interrupted(*command)
    change()
    result = run(*command, "--resume")
    assert result.exit_code == 3
    assert message in result.stderr
    assert "delete" in result.stderr
    settings = run(*command, "--resume", "--class-scatters")
    assert settings.exit_code == 3


def shorten(path: str) -> None:
    Path(path).write_bytes(Path(path).read_bytes()[:-1])


def interrupted(*command: object) -> Result:
    """Run a command and press Ctrl-C in its fifth block."""
    push, calls = tx.Stats.push, []

    def pressing(self: Any, *args: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        push(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tx.Stats, "push", pressing)
        return run(*command)


def test_an_interrupted_pass_continues_after_its_last_shard(folder: Path) -> None:
    command = ("stats", *files("x"), "--labels", *files("y"), "-o", "part.stats")
    stopped = interrupted(*command)
    assert stopped.exit_code == 1
    assert not Path("part.stats").exists()
    touched: list[str] = []
    assert run_counting(touched, *command, "--resume").exit_code == 0
    assert touched == files("x")[4:]
    fresh = run(*command, "--resume")
    assert fresh.exit_code == 0
    assert "there is no part.stats.partial; starting with the first shard" in fresh.stderr


#: Ends itself without warning at a call of a function, the how-many-eth is its first argument:
#: while rows are added, or while a checkpoint, or at the end the result, is written.
KILLED = """
import os, signal, sys
from transferability import Stats
from transferability._util import atomic_file
from transferability.cli import main
from transferability.io import _checkpoint

left = int(sys.argv.pop(1))

def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call

_checkpoint.time.monotonic = lambda: 0.0  # every shard is written
if sys.argv.pop(1) == "push":
    Stats.push = deadly(Stats.push)
else:
    atomic_file.os.replace = deadly(os.replace)
main()
"""


@pytest.mark.parametrize(
    ("where", "when", "left"), [("push", 5, 4), ("replace", 3, 6), ("replace", SHARDS + 1, 0)]
)
def test_kill_9_costs_the_shard_under_way(where: str, when: int, left: int, folder: Path) -> None:
    command = ["stats", *files("x"), "--labels", *files("y"), "-o", "part.stats"]
    assert run(*command).exit_code == 0
    whole = Path("part.stats").read_bytes()
    Path("part.stats").unlink()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(when), where, *command], check=False, timeout=60
    )
    assert killed.returncode == -signal.SIGKILL
    assert not Path("part.stats").exists()
    touched: list[str] = []
    assert run_counting(touched, *command, "--resume").exit_code == 0
    assert touched == files("x")[SHARDS - left :]
    assert without_time(Path("part.stats").read_bytes()) == without_time(whole)


#: Has no room for more than a few bytes from the third checkpoint on.
FULL = """
import resource
from transferability.cli import main
from transferability.io import _checkpoint

keep = _checkpoint.Checkpoint.keep

def keep_little(self, stats, n_shards):
    if n_shards == 3:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    keep(self, stats, n_shards)

_checkpoint.time.monotonic = lambda: 0.0
_checkpoint.Checkpoint.keep = keep_little
main()
"""


def test_a_full_disk_leaves_the_last_checkpoint(folder: Path) -> None:
    command = ["stats", *files("x"), "--labels", *files("y"), "-o", "part.stats"]
    stopped = subprocess.run(
        [sys.executable, "-c", FULL, *command],
        check=False,
        timeout=60,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert stopped.returncode == 1
    assert stopped.stderr.startswith("error: part.stats.partial: ")
    assert len(stopped.stderr.splitlines()) == 1
    assert sorted(path.name for path in folder.glob("*part*")) == ["part.stats.partial"]
    touched: list[str] = []
    assert run_counting(touched, *command, "--resume").exit_code == 0
    assert touched == files("x")[2:]


#: Reads slowly, so that Ctrl-C comes while a block is read.
SLOW = """
import time
from transferability.cli import main
from transferability.io import _numpy

read = _numpy.NpyReader._read

def slowly(self, shape):
    time.sleep(0.3)
    return read(self, shape)

_numpy.NpyReader._read = slowly
main()
"""


def test_ctrl_c_ends_the_pass_and_its_threads(folder: Path) -> None:
    command = ["stats", *files("x"), "--labels", "y.npy", "-o", "part.stats"]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *command], stderr=subprocess.PIPE, text=True
    )
    try:
        for _ in range(600):
            if Path("part.stats.partial").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "Aborted!" in said
    assert "Traceback" not in said
    assert run(*command, "--resume").exit_code == 0
    assert tx.Stats.load("part.stats").n_samples == 800


def test_progress_without_tqdm(folder: Path, capsys: Any, monkeypatch: Any) -> None:
    from transferability._util import progress as _progress

    monkeypatch.setattr(_progress, "_EVERY", 0.0)
    lines = _progress.LineProgress()
    lines(100, 400, "x_0.npy")
    lines(200, 400, "x_1.npy")
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("100 of 400 rows, x_0.npy, ")
    assert " rows/s, " in second
    assert " s left, " in second
    assert second.endswith(" MB at most")
    assert _progress.peak_memory() > 10 << 20
    monkeypatch.setattr(_progress.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with _progress.row_progress(None, 400) as show:
        assert isinstance(show, _progress.LineProgress)
    with _progress.row_progress(False, 400) as show:
        show(400, 400, "x_3.npy")
    assert capsys.readouterr().err == ""


def test_statistics_of_small_files_leave_the_task_open(folder: Path, x: Any, y: Any) -> None:
    """Labels of a file may look like targets, or like nothing; those of all files decide."""
    for i in range(4):
        np.save(f"small_{i}.npy", x[8 * i : 8 * i + 8])
        np.save(f"few_{i}.npy", y[8 * i : 8 * i + 8].astype(float))
        np.save(f"age_{i}.npy", 20 + np.arange(8) * (i + 1))
        for kind in ("few", "age"):
            done = run(
                "stats", f"small_{i}.npy", "--labels", f"{kind}_{i}.npy", "-o", f"{kind}{i}.stats"
            )
            assert done.exit_code == 0
            expected = "8 distinct integers in 8 rows" if kind == "age" else "regression"
            assert expected in done.stderr
    for kind in ("few", "age"):
        assert (
            run("merge", *(f"{kind}{i}.stats" for i in range(4)), "-o", f"{kind}.stats").exit_code
            == 0
        )
    scored = run("score", "few.stats")
    assert float(scored.stdout.split("\t")[1]) == pytest.approx(float(tx.logme(x[:32], y[:32])))
    for command in ("score", "rank"):
        refused = run(command, "age.stats")
        assert refused.exit_code == 3
        assert "distinct integers in 32 rows" in refused.stderr
        given = run(command, "age.stats", "--task", "regression")
        assert given.exit_code == 0
    ages = np.concatenate([np.load(f"age_{i}.npy") for i in range(4)])
    wanted = tx.logme(x[:32], ages, task="regression")
    scored = run("score", "age.stats", "--task", "regression")
    assert float(scored.stdout.split("\t")[1]) == pytest.approx(float(wanted))
