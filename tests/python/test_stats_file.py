"""A file of statistics is whole or refused, whatever happens to it or to who writes it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import multiprocessing
import os
import pickle
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from forged_states import fields

import transferability as tx
from transferability import DataError, DtypeError, Stats
from transferability._stats.serialize import to_json
from transferability._sweep import worker

pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

N = 40
KINDS = ["ids", "names", "booleans", "regression", "multilabel", "columns", "weights"]


def block(kind: str, shape: tuple[int, int] = (N, 3), seed: int = 0) -> tuple[Any, ...]:
    rng = np.random.default_rng(seed)
    n = shape[0]
    ids = rng.permutation(np.arange(n) % 3)
    features = rng.normal(size=shape) + ids[:, None] / 2 + 1e6
    values = rng.normal(size=(n, 2)) + ids[:, None]
    labels = {
        "ids": ids - 1,
        "weights": ids,
        "names": np.array(["bée", "ant", "猫"])[ids],
        "booleans": ids == 1,
        "regression": values,
        "multilabel": (values > 0).astype(int),
    }
    if kind == "columns":
        pandas = pytest.importorskip("pandas")
        return features, pandas.DataFrame(values, columns=["price", "age"])
    if kind == "weights":
        return features, labels[kind], np.arange(n) % 3
    return features, labels[kind]


def facts(stats: Stats) -> tuple[Any, ...]:
    """Everything that a user can see, scores to the bit."""
    metrics = stats.score("all")
    seen = {
        name: (float(score).hex(), *(getattr(score, name) for name in FIELDS))
        for name, score in metrics.items()
    }
    return stats.task, stats.n_samples, stats.classes, stats.nbytes, repr(stats), seen


FIELDS = ("task", "task_note", "targets", "classes", "class_counts", "n_features", "warnings")


@pytest.mark.parametrize("class_scatters", [False, True])
@pytest.mark.parametrize("precision", ["double", "single"])
@pytest.mark.parametrize("shape", [(N, 3), (N, 60)])
@pytest.mark.parametrize("kind", KINDS)
def test_a_file_gives_the_same_statistics(
    tmp_path: Path, kind: str, shape: tuple[int, int], precision: str, class_scatters: bool
) -> None:
    task = "classification" if kind == "names" else "auto"
    stats = Stats(task, precision, class_scatters=class_scatters).update(*block(kind, shape))
    path = tmp_path / "a.stats"
    stats.save(path)
    loaded = Stats.load(path)
    assert loaded.to_bytes() == stats.to_bytes() == path.read_bytes()
    assert facts(loaded) == facts(stats)
    # What it does not show is there as well: both go on alike.
    more = block(kind, shape, seed=1)
    assert facts(loaded.update(*more)) == facts(stats.update(*more))
    assert facts(loaded.reset().update(*more)) == facts(stats.reset().update(*more))
    assert os.listdir(tmp_path) == ["a.stats"]


@pytest.mark.parametrize("task", ["auto", "regression", "unlabelled"])
def test_an_empty_one_keeps_its_kind(task: str) -> None:
    again = Stats.from_bytes(Stats(task, "single", class_scatters=True).to_bytes())
    assert (again.task, again.n_samples, again.n_features, again.classes) == (task, 0, 0, None)
    assert again._inner.precision == "single"
    assert again._inner.class_scatters
    with pytest.raises(DataError, match="no rows yet"):
        again.score()


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = Stats().update(*block("names", (6, 2))).to_bytes()
    path = tmp_path / "cut.stats"
    for length in range(len(data)):
        with pytest.raises(DataError, match=r"cut short|empty"):
            Stats.from_bytes(data[:length])
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=rf"cut\.stats: .* of {len(data)} bytes are there"):
        Stats.load(path)
    with pytest.raises(DataError, match="altered"):
        Stats.from_bytes(data + b"\0")
    with pytest.raises(FileNotFoundError):
        Stats.load(tmp_path / "none.stats")


def test_every_flipped_byte_is_refused() -> None:
    data = Stats().update(*block("regression", (6, 2))).to_bytes()
    for place in range(len(data)):
        altered = bytearray(data)
        altered[place] ^= 1 << place % 8
        with pytest.raises(DataError, match="no usable file of statistics"):
            Stats.from_bytes(bytes(altered))


def sealed(head: bytes) -> bytes:
    return head + hashlib.sha256(head).digest()


def test_files_of_other_kinds_are_named() -> None:
    data = Stats().update(*block("ids")).to_bytes()
    with pytest.raises(DataError, match="version 3, and this release reads version 2"):
        Stats.from_bytes(sealed(data[:8] + b"\3\0\0\0" + data[12:-32]))
    with pytest.raises(DataError, match="does not begin as those"):
        Stats.from_bytes(pickle.dumps({"a": 1}))


def test_notes_that_do_not_fit_are_refused() -> None:
    stats = Stats().update(*block("ids"))
    notes = to_json(stats._facts())

    def with_notes(**changes: Any) -> bytes:
        from transferability import _core

        return _core.to_bytes(stats._inner, json.dumps({**notes, **changes}))

    assert facts(Stats.from_bytes(with_notes())) == facts(stats)
    of_target = notes["target"]
    for changes in (
        {"asked": "guess"},
        {"target": None},
        {"target": {**of_target, "task": "regression"}},
        {"target": {**of_target, "extra": 1}},
        {"warnings": 3},
        {"seconds": 10**400},
        {"feature_names": ["a"]},
        {"feature_names": "abc"},
        {"more": 1},
    ):
        with pytest.raises(DataError, match="notes do not fit"):
            Stats.from_bytes(with_notes(**changes))
    assert b"pickle" not in stats.to_bytes()
    del notes["feature_names"]  # as before names were kept
    assert facts(Stats.from_bytes(with_notes())) == facts(stats)


def scored(stats: Stats) -> tuple[Stats, float]:
    return stats, float(stats.logme())


@pytest.mark.parametrize("shape", [(N, 3), (N, 60)])
def test_other_processes_get_the_same(shape: tuple[int, int]) -> None:
    stats = Stats(class_scatters=True, n_threads=3).update(*block("booleans", shape))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        there, score = pool.submit(scored, stats).result(timeout=100)
    assert there.to_bytes() == stats.to_bytes()
    assert score == stats.logme()
    assert there._n_threads is None  # another machine has other cores


WRITER = """
import sys, numpy as np
from transferability import Stats
one, two = (Stats().update(np.random.default_rng(i).normal(size=(400, 200)),
                           np.arange(400) % 3) for i in (1, 2))
one.save(sys.argv[1])
print("ready", flush=True)
while True:
    two.save(sys.argv[1])
    one.save(sys.argv[1])
"""


def test_a_kill_in_the_middle_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.stats"
    chance = random.Random(0)
    whole = set()
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(path)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        for _ in range(20):  # and readers meanwhile
            whole.add(Stats.load(path).to_bytes()[-32:])
            time.sleep(chance.random() / 500)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        whole.add(Stats.load(path).to_bytes()[-32:])
    assert 1 <= len(whole) <= 2 * 7  # seconds differ from run to run, and nothing else
    left = {name for name in os.listdir(tmp_path) if name != "a.stats"}
    assert all(name.startswith(".a.stats.") and name.endswith(".tmp") for name in left)
    before = Stats.load(path).to_bytes()
    Stats.load(path).save(path)  # what a kill left behind is in nobody's way
    assert path.read_bytes() == before


@contextlib.contextmanager
def file_size_limit(size: int) -> Any:
    """A disk that is full after this many bytes, as far as this process can tell."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("there", [False, True])
def test_a_full_disk_changes_nothing(tmp_path: Path, there: bool) -> None:
    path = tmp_path / "a.stats"
    small, large = Stats().update(*block("ids")), Stats().update(*block("ids", (300, 200)))
    if there:
        small.save(path)
    with file_size_limit(4096), pytest.raises(OSError, match="is as it was before") as error:
        large.save(path)
    assert error.value.errno == errno.EFBIG
    assert error.value.filename == str(path)
    assert os.listdir(tmp_path) == (["a.stats"] if there else [])
    if there:
        assert Stats.load(path).to_bytes() == small.to_bytes()


def test_a_full_file_system_changes_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("mounting is not allowed here")
    try:
        small, large = Stats().update(*block("ids")), Stats().update(*block("ids", (300, 200)))
        small.save(folder / "a.stats")
        with pytest.raises(OSError, match="is as it was before") as error:
            large.save(folder / "a.stats")
        assert error.value.errno == errno.ENOSPC
        assert os.listdir(folder) == ["a.stats"]
        assert Stats.load(folder / "a.stats").to_bytes() == small.to_bytes()
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    stats = Stats().update(*block("ids"))
    with pytest.raises(FileNotFoundError, match="is as it was before"):
        stats.save(tmp_path / "no such folder" / "a.stats")
    with pytest.raises(DataError, match="not a regular file"):
        stats.save(tmp_path)
    with pytest.raises(DataError, match="not a regular file"):
        stats.save("/dev/null")
    assert not Path("/dev/null").is_file()
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o555)
    if os.getuid() == 0:  # whom only a file system can stop
        folder = Path("/sys")
    with pytest.raises(PermissionError, match="is as it was before"):
        stats.save(folder / "a.stats")


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    stats = Stats().update(*block("ids"))
    real, link = tmp_path / "real.stats", tmp_path / "link.stats"
    mask = os.umask(0o027)
    try:
        stats.save(real)
        assert real.stat().st_mode & 0o777 == 0o640
        real.chmod(0o600)
        link.symlink_to(real)
        stats.update(*block("ids", seed=3)).save(link)
    finally:
        os.umask(mask)
    assert real.stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()
    assert Stats.load(real).n_samples == 2 * N


def test_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a name without a folder
    Stats().update(*block("ids")).save("a.stats")
    assert isinstance(tx.Stats.load("a.stats").logme(), float)


@pytest.mark.parametrize("data", ["text", 100, None, [1, 2]])
def test_what_is_no_bytes_is_named(data: Any) -> None:
    with pytest.raises(DtypeError, match="data must be bytes, not"):
        Stats.from_bytes(data)


def test_entries_of_the_cache_have_the_version_of_state_files() -> None:
    """An entry that this release cannot read must be a miss, so the versions move together."""
    assert (int.from_bytes(tx.Stats().to_bytes()[8:12], "little"), worker._FORMAT) == (2, 2)


def test_pickles_skip_the_check_against_forgery_alone() -> None:
    """Whoever forges a pickle can run code, so that there it would protect from nothing."""
    stats = Stats().update(*block("ids"))
    honest = stats.to_bytes()
    forged = bytearray(honest)
    (place,) = [field.place for field in fields(honest) if field.name == "sum"][:1]
    forged[place : place + 8] = struct.pack("<d", 1e9)
    with pytest.raises(DataError, match=r"sum\[0\] is 1e9, too much"):
        Stats.from_bytes(sealed(bytes(forged[:-32])))
    twin = pickle.loads(pickle.dumps(stats))
    assert twin.to_bytes() == honest
    assert twin.logme() == stats.logme()
    read, (data,) = stats.__reduce__()
    assert data == honest
    assert read(sealed(bytes(forged[:-32]))).n_samples == stats.n_samples
    for altered in (bytes(forged), honest[:-1], honest[:100]):  # by accident
        with pytest.raises(DataError, match=r"altered|cut short"):
            read(altered)
