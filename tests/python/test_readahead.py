"""Many models: the threads of each, and the files that are read ahead."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability._util.parallel import threads_of_each
from transferability.io import _readahead
from transferability.io._readahead import list_files, read_ahead
from transferability.io._sources import Source


@pytest.mark.parametrize(
    ("n_items", "n_threads", "expected"),
    [(1, 2, 2), (31, 2, 2), (32, 2, 1), (100, 2, 1), (5, 1, 1), (128, 8, 1), (1000, 9, 9)],
)
def test_many_calls_get_a_thread_each(n_items: int, n_threads: int, expected: int) -> None:
    assert threads_of_each(n_items, n_threads) == expected


def write(folder: Path, n_models: int) -> tuple[dict[str, Path], np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 400)
    models = {}
    for i in range(n_models):
        features = rng.standard_normal((400, 12), dtype=np.float32)
        features[:, 0] += np.float32(0.1 * i) * labels
        models[f"m{i:02d}"] = folder / f"m{i:02d}.npy"
        np.save(models[f"m{i:02d}"], features)
    return models, labels


def test_a_ranking_of_many_files_has_the_bits_of_single_scores(tmp_path: Path) -> None:
    models, labels = write(tmp_path, 34)
    alone = {name: float(tx.logme(np.load(path), labels)) for name, path in models.items()}
    for n_threads in (1, 2, 3):
        ranking = tx.rank(models, labels, n_threads=n_threads)
        assert {row.name: float(row.logme) for row in ranking} == alone
    assert all(thread.name != "transferability-readahead" for thread in threading.enumerate())


def test_a_missing_file_is_a_row_and_stops_nothing(tmp_path: Path) -> None:
    models, labels = write(tmp_path, 3)
    models["m01"].unlink()
    os.mkfifo(tmp_path / "pipe.npy")  # opened for reading, it would wait for ever
    models["pipe"] = tmp_path / "pipe.npy"
    with read_ahead({**models, "folder": tmp_path, "array": np.eye(3)}, 9):
        pass
    del models["pipe"]
    ranking = tx.rank(models, labels, n_threads=2)
    assert [row.name for row in ranking if row.error] == ["m01"]


def wait_for(read: list[Any], n_files: int) -> None:
    end = time.monotonic() + 10
    while len(read) < n_files and time.monotonic() < end:
        time.sleep(0.001)


@pytest.mark.parametrize("name", ["a" * 5000 + ".npy", "b" * 300 + "/x.npy", "a\0b.npy", ""])
def test_a_name_that_the_system_refuses_stops_no_readahead(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, labels = write(tmp_path, 3)
    read: list[Path] = []
    monkeypatch.setattr(_readahead, "_is_cached", lambda descriptor, size: read.append(size) or 1)
    with read_ahead({"odd": name, **models}, 4):  # a thread that dies warns
        wait_for(read, 3)
    assert len(read) == 3
    ranking = tx.rank({"odd": name, **models}, labels, n_threads=2)
    assert [row.name for row in ranking if row.error] == ["odd"]


def test_files_are_read_in_order_and_not_too_far_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, _ = write(tmp_path, 6)
    read: list[str] = []
    monkeypatch.setattr(_readahead, "_warm", lambda paths, stopped: read.append(paths[0].stem))
    with read_ahead(models, 2) as announced:
        wait_for(read, 2)
        time.sleep(0.02)
        assert read == ["m00", "m01"]
        assert announced(str.upper)("m00") == "M00"
        wait_for(read, 3)
        assert read == ["m00", "m01", "m02"]
    assert read == ["m00", "m01", "m02"]


def test_the_start_of_large_files_alone_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_readahead, "_MOST", 3 << 20)
    monkeypatch.setattr(_readahead, "_is_cached", lambda descriptor, size: sizes.append(size))
    sizes: list[int] = []
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(bytes(2 << 20))
    _readahead._warm([tmp_path / "a", tmp_path / "b", tmp_path / "c"], lambda: False)
    assert sizes == [2 << 20, 1 << 20]


def test_the_files_of_a_model_are_those_that_it_names(tmp_path: Path) -> None:
    models, labels = write(tmp_path, 2)
    paths = list(models.values())
    assert list_files(str(paths[0])) == list_files(Source(paths[0])) == [paths[0]]
    assert list_files(f"{tmp_path / 'x.npz'}:member") == [tmp_path / "x.npz"]
    assert list_files(tx.io.open_features(paths)) == paths
    assert list_files([paths[1], str(paths[0])]) == [paths[1], paths[0]]
    assert list_files(np.eye(2)) == list_files([(np.eye(2), labels[:2])]) == []
