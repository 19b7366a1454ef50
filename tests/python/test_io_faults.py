"""What is wrong with features in files is named: which file, which row."""

from __future__ import annotations

import gc
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import (
    write_npy,
    write_npz,
    write_parquet,
    write_shards,
)

from transferability.errors import DataError, DtypeError
from transferability.io import open_features, stats_of


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: nan(f / "x_7.npy", 3, 2), DataError, r"x_7\.npy, row 3, column 2 is nan"),
        (lambda f: nan(f / "x_0.npy", 0, 0, np.inf), DataError, "row 0, column 0 is infinite"),
        (
            lambda f: np.save(f / "x_3.npy", np.ones((25, 6), np.float32)),
            DataError,
            r"x_3\.npy has 6 features but .*x_0\.npy has 7",
        ),
        (
            lambda f: np.save(f / "x_3.npy", np.ones((25, 7), np.int8)),
            DtypeError,
            r"x_3\.npy holds int8 but .*x_0\.npy holds float32",
        ),
        (
            lambda f: np.save(f / "x_3.npy", np.full((25, 7), "a")),
            DtypeError,
            r"x_3\.npy must hold real numbers, got dtype <U1",
        ),
        (
            lambda f: np.save(f / "x_3.npy", np.ones((0, 7), np.float32)),
            DataError,
            r"x_3\.npy is empty: shape \(0, 7\); leave it out",
        ),
        (
            lambda f: np.save(f / "x_3.npy", np.ones(7, np.float32)),
            DataError,
            r"x_3\.npy must be 2-D",
        ),
        (lambda f: cut(f / "x_6.npy", 100), DataError, r"x_6\.npy declares 700 bytes.* 600: dama"),
        (
            lambda f: np.save(f / "y_5.npy", np.load(f / "y_5.npy")[:-1]),
            DataError,
            r"y_5\.npy has 24 entries but .*x_5\.npy has 25 rows",
        ),
        (
            lambda f: np.save(f / "y_5.npy", np.full(25, np.nan)),
            DataError,
            r"y_5\.npy has 25 missing values",
        ),
        (lambda f: (f / "y_5.npy").unlink(), DataError, "11 files of labels for 12 shards"),
        (lambda f: (f / "x_5.npy").write_bytes(b"?"), DataError, r"x_5\.npy cannot be read"),
        (
            lambda f: (f / "x_5.npy").write_bytes(b"\x93NUMPY\2\0\xff\xff\xff\xff{"),
            DataError,
            r"x_5\.npy declares a header of 4294967295 bytes but holds 1: damaged",
        ),
        (
            lambda f: np.save(f / "x_5.npy", np.array([[{}]]), allow_pickle=True),
            DtypeError,
            "pickle",
        ),
        (
            lambda f: np.save(f / "y_5.npy", np.array(["a", "b"] * 13)[:25]),
            DtypeError,
            r"y_5\.npy holds <U1 but .*y_0\.npy",
        ),
    ],
)
def test_what_is_wrong_is_named(
    change: Any, error: Any, message: str, tmp_path: Path, x: Any, y: Any
) -> None:
    write_shards(tmp_path, x, y)
    change(tmp_path)
    with pytest.raises(error, match=message):
        stats_of(f"{tmp_path}/x_*.npy", f"{tmp_path}/y_*.npy")
    assert not [t for t in threading.enumerate() if t.name.startswith("transferability-read")]


def nan(path: Path, row: int, column: int, value: float = np.nan) -> None:
    x = np.load(path)
    x[row, column] = value
    np.save(path, x)


def cut(path: Path, n_bytes: int) -> None:
    path.write_bytes(path.read_bytes()[:-n_bytes])


def test_rows_are_named_within_the_file_not_the_block(
    tmp_path: Path, x: Any, y: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("transferability.io._shards._MOST_ROWS", 64)
    bad = x.copy()
    bad[211, 3] = -np.inf
    for written in (write_npy(tmp_path / "a", bad, y), write_parquet(tmp_path / "b", bad, y)):
        with pytest.raises(DataError, match=r"row 211, column 3 is -infinite"):
            stats_of(written.pop("paths"), **written)
        gc.collect()  # nothing is left open


def test_wrong_arguments(tmp_path: Path, x: Any, y: Any) -> None:
    write_shards(tmp_path, x, y)
    write_npz(tmp_path / "a", x, y)
    paths = f"{tmp_path}/x_*.npy"
    for call, message in (
        (lambda: stats_of(paths, y[:-1]), "labels has 299 entries but the 12 shards have 300"),
        (lambda: stats_of(tmp_path / "x_0.npy", y), r"x_0\.npy has 25 rows"),
        (lambda: open_features(f"{tmp_path}/z_*.npy"), "no file matches"),
        (lambda: open_features([]), "paths is empty"),
        (lambda: open_features(tmp_path / "gone.npy"), "there is no file"),
        (lambda: open_features(tmp_path / "gone.bin"), "there is no file or folder"),
        (lambda: open_features(tmp_path / "a.npz"), r"3 members .*name one as .*a\.npz:x"),
        (lambda: open_features(tmp_path / "a.npz", key="z"), "no member 'z'; it has x, other, y"),
        (lambda: open_features(f"{tmp_path}/a.npz:x", key="y"), "names an array, and key='y'"),
        (lambda: open_features(tmp_path / "x_0.npy", key="z"), "holds one array"),
        (lambda: open_features(tmp_path / "x_0.npy", label_column="z"), "holds one array"),
        (lambda: open_features(tmp_path), "files of several formats"),
        (lambda: open_features(paths, y, label_column="y"), "give one of them"),
        (lambda: stats_of(open_features(paths), y), "go to open_features"),
    ):
        with pytest.raises(DataError, match=message):
            call()
    with pytest.raises(DtypeError, match="no path"):
        open_features([1])  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("numbers", "partners"),
    [
        ([0, 1, 2, 10], [0, 1, 10, 2]),  # a pattern in quotes, and what a shell made of another
        ([0, 1, 3, 4], [0, 1, 2, 4]),  # one of each is missing
    ],
)
def test_labels_of_other_shards_are_refused(
    numbers: list[int], partners: list[int], tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for i in {*numbers, *partners}:
        np.save(tmp_path / f"x_768_{i}.npy", rng.normal(size=(20, 3)))
        np.save(tmp_path / f"y_{i}.npy", np.arange(20) % 2)
    x = [tmp_path / f"x_768_{i}.npy" for i in numbers]
    y = [tmp_path / f"y_{i}.npy" for i in partners]
    with pytest.raises(DataError, match=r"y_\d+\.npy would be the labels of x_768_\d+\.npy"):
        open_features(x, y)
    own = [tmp_path / f"y_{i}.npy" for i in numbers]
    assert open_features(x[::-1], own[::-1]).n_samples == 80
    assert open_features(x[:1], y[3:]).n_samples == 20
    for i, path in enumerate(own):  # counted from 1, or named
        path.rename(tmp_path / f"z_{numbers[i] + 1}.npy")
    assert open_features(x, [tmp_path / f"z_{i + 1}.npy" for i in numbers]).n_samples == 80


def test_a_shard_given_twice_is_refused(tmp_path: Path) -> None:
    for i in range(2):
        np.save(tmp_path / f"x_{i}.npy", np.eye(4) + i)
    np.savez(tmp_path / "x.npz", a=np.eye(4), b=np.eye(4))
    with pytest.raises(DataError, match=r"x_1\.npy is given twice; its rows would count twice"):
        open_features([f"{tmp_path}/x_*.npy", tmp_path / "x_1.npy"])
    assert open_features([f"{tmp_path}/x.npz:a", f"{tmp_path}/x.npz:b"]).n_samples == 8


@pytest.mark.parametrize("paths", [None, 3, [None]])
def test_what_is_no_path_is_named(paths: Any) -> None:
    with pytest.raises(DtypeError, match="path"):
        open_features(paths)


def test_a_flipped_bit_shows_where_the_file_has_checksums(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    rng = np.random.default_rng(0)
    table = pyarrow.table({f"f{i}": rng.normal(size=500) for i in range(4)})
    path = tmp_path / "x.parquet"
    parquet.write_table(table, path, write_page_checksum=True, compression="none")
    labels = np.arange(500) % 2
    assert stats_of(path, labels).n_samples == 500
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"x\.parquet cannot be read: .*(checksum|CRC)"):
        stats_of(path, labels)
