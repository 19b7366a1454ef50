"""Features in files: formats, shards, labels, errors that name file and row."""

from __future__ import annotations

import gc
import json
import pickle
import struct
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability.cli import main
from transferability.errors import DataError, DtypeError, MissingDependencyError
from transferability.io import open_features, stats_of
from transferability.io._stream import ahead

ROWS, COLUMNS = 300, 7


@pytest.fixture(scope="module")
def x() -> Any:
    return np.random.default_rng(3).normal(size=(ROWS, COLUMNS)).astype(np.float32)


@pytest.fixture(scope="module")
def y(x: Any) -> Any:
    return (x[:, 0] + x[:, 1] > 0).astype(np.int64)


def write_npy(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.save(path.with_suffix(".npy"), x)
    return {"paths": path.with_suffix(".npy"), "labels": y}


def write_fortran(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.save(path.with_suffix(".npy"), np.asfortranarray(x))
    return {"paths": path.with_suffix(".npy"), "labels": y}


def write_big_endian(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.save(path.with_suffix(".npy"), x.astype(">f4"))
    return {"paths": path.with_suffix(".npy"), "labels": y}


def write_npz(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.savez(path.with_suffix(".npz"), x=x, other=x[:3], y=y)
    return {"paths": path.with_suffix(".npz"), "key": "x", "label_column": "y"}


def write_compressed(path: Path, x: Any, y: Any) -> dict[str, Any]:
    np.savez_compressed(path.with_suffix(".npz"), x=np.asfortranarray(x), y=y)
    return {"paths": f"{path.with_suffix('.npz')}:x", "labels": f"{path.with_suffix('.npz')}:y"}


def write_safetensors(path: Path, x: Any, y: Any) -> dict[str, Any]:
    from safetensors.numpy import save_file

    save_file({"x": x, "y": y}, path.with_suffix(".safetensors"))
    return {"paths": path.with_suffix(".safetensors"), "label_column": "y"}


def write_hdf5(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import h5py

    with h5py.File(path.with_suffix(".h5"), "w") as file:
        file.create_dataset("layer/x", data=x, chunks=(11, COLUMNS), compression="gzip")
        file["y"] = y
    return {"paths": f"{path.with_suffix('.h5')}:layer/x", "label_column": "y"}


def lists(x: Any, y: Any, fixed: bool = True) -> Any:
    import pyarrow as pa

    values = pa.array(x.reshape(-1))
    rows = pa.FixedSizeListArray.from_arrays(values, COLUMNS)
    if not fixed:
        rows = rows.cast(pa.list_(pa.float32()))
    return pa.table({"id": [str(i) for i in range(ROWS)], "x": rows, "y": y})


def write_parquet(path: Path, x: Any, y: Any) -> dict[str, Any]:
    from pyarrow import parquet

    parquet.write_table(lists(x, y), path.with_suffix(".parquet"), row_group_size=77)
    return {"paths": path.with_suffix(".parquet"), "label_column": "y"}


def write_wide(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import pyarrow as pa
    from pyarrow import parquet

    columns = {f"f{i}": x[:, i] for i in range(COLUMNS)}
    parquet.write_table(pa.table({**columns, "y": y}), path.with_suffix(".parquet"))
    return {"paths": path.with_suffix(".parquet"), "key": "f*", "label_column": "y"}


def write_arrow(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import pyarrow as pa

    table = lists(x, y, fixed=False)
    with (
        pa.OSFile(str(path.with_suffix(".arrow")), "wb") as out,
        pa.ipc.new_file(out, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=41)
    return {"paths": path.with_suffix(".arrow"), "label_column": "y"}


def write_stream(path: Path, x: Any, y: Any) -> dict[str, Any]:
    import pyarrow as pa

    table = lists(x, y)
    with (
        pa.OSFile(str(path.with_suffix(".arrow")), "wb") as out,
        pa.ipc.new_stream(out, table.schema) as writer,
    ):
        writer.write_table(table, max_chunksize=41)
    return {"paths": path.with_suffix(".arrow"), "labels": y, "key": "x"}


WRITERS: list[Callable[[Path, Any, Any], dict[str, Any]]] = [
    write_npy,
    write_fortran,
    write_big_endian,
    write_npz,
    write_compressed,
    write_safetensors,
    write_hdf5,
    write_parquet,
    write_wide,
    write_arrow,
    write_stream,
]


def moments(stats: tx.Stats) -> list[float]:
    """Numbers that differ if any bit of the statistics does."""
    return [float(stats.score(m)) for m in ("logme", "h_score", "regularized_h_score")]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__[6:])
def test_every_format_gives_the_same_bits(
    write: Any, tmp_path: Path, x: Any, y: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr("transferability.io._shards._MOST_ROWS", 64)
    given = write(tmp_path / "features", x, y)
    source = open_features(**given)
    assert (source.n_samples, source.n_features, len(source.shards)) == (ROWS, COLUMNS, 1)
    blocks = list(source)
    assert [len(block.features) for block in blocks] == [64, 64, 64, 64, 44]
    assert str(blocks[1].where) == f"{source.shards[0]}, rows 64 to 127"
    np.testing.assert_array_equal(np.concatenate([b.features for b in blocks]), x)
    np.testing.assert_array_equal(np.concatenate([b.labels for b in blocks]), y)
    np.testing.assert_array_equal(source.load(), x)
    expected = tx.Stats()
    for start in range(0, ROWS, 64):
        expected.update(x[start : start + 64], y[start : start + 64])
    assert moments(stats_of(source)) == moments(expected)
    again = pickle.loads(pickle.dumps(source))
    assert moments(stats_of(again, prefetch=False, n_threads=2)) == moments(expected)


def test_rank_and_score_take_every_format(tmp_path: Path, x: Any, y: Any) -> None:
    np.save(tmp_path / "a.npy", x)
    write_parquet(tmp_path / "b", x, y)
    write_safetensors(tmp_path / "c", x, y)
    write_shards(tmp_path, x, y)
    models = {
        "npy": tmp_path / "a.npy",
        "lists": f"{tmp_path / 'b.parquet'}:x",
        "tensor": f"{tmp_path / 'c.safetensors'}:x",
        "pattern": f"{tmp_path}/x_*.npy",
        "list": [tmp_path / f"x_{i}.npy" for i in range(12)],
        "source": open_features(tmp_path / "a.npy"),
    }
    ranking = tx.rank(models, y)
    assert not ranking.failed
    assert {row.scores["logme"] for row in ranking} == {tx.logme(x, y)}
    source = open_features(f"{tmp_path}/x_*.npy", f"{tmp_path}/y_*.npy")
    assert tx.score(source, None, "logme") == tx.logme(x, y)


def test_the_command_line_takes_every_format(tmp_path: Path, x: Any, y: Any) -> None:
    from safetensors.numpy import save_file

    folder = tmp_path / "models"
    folder.mkdir()
    save_file({"good": x, "poor": x[::-1].copy(), "labels": y}, tmp_path / "all.safetensors")
    write_parquet(folder / "lists", x, y)
    np.save(folder / "plain.npy", x[::-1])
    tensors, table = str(tmp_path / "all.safetensors"), f"{folder / 'lists.parquet'}"
    expected = float(tx.logme(x, y))
    for arguments, names in (
        ([tensors, "--labels", f"{tensors}:labels"], ["good", "poor"]),
        ([str(folder), "--labels", f"{table}:y"], ["lists", "plain"]),
        ([f"{table}:x", "--labels", f"{table}:y"], ["x"]),
    ):
        result = CliRunner().invoke(main, ["rank", *arguments, "--json"])
        rows = json.loads(result.stdout)["rows"]
        assert [row["name"] for row in rows] == names
        assert rows[0]["scores"]["logme"] == expected
    result = CliRunner().invoke(main, ["score", f"{tensors}:good", f"{table}:y"])
    assert result.stdout == f"logme\t{expected!r}\n"
    result = CliRunner().invoke(main, ["score", f"{tensors}:gone", f"{table}:y"])
    assert (result.exit_code, "no tensor 'gone'" in result.stderr) == (3, True)


def test_large_features_are_streamed_where_statistics_are_enough(
    tmp_path: Path, x: Any, y: Any, monkeypatch: Any
) -> None:
    write_shards(tmp_path, x, y)
    source = open_features(f"{tmp_path}/x_*.npy")
    monkeypatch.setattr("transferability._evaluate._LOADED", 0)
    loaded = []
    monkeypatch.setattr(type(source), "load", lambda self: loaded.append(self) or x)
    ranking = tx.rank({"m": source}, y, ["logme", "gbc"])
    assert not loaded
    assert ranking["m"].logme == pytest.approx(tx.logme(x, y), rel=1e-10)
    assert (ranking["m"].n_samples, ranking["m"].n_features) == x.shape
    for once_more in ("parc", "lda", "ridge_probe"):
        loaded.clear()
        ranking = tx.rank({"m": source}, y, ["logme", once_more])
        assert loaded
        assert ranking["m"].scores[once_more] == tx.score(x, y, once_more)
    loaded.clear()
    tx.rank({"m": source}, y, method="svd")
    assert loaded


def write_shards(folder: Path, x: Any, y: Any, count: int = 12) -> None:
    for i, rows in enumerate(np.array_split(np.arange(len(x)), count)):
        np.save(folder / f"x_{i}.npy", x[rows])
        np.save(folder / f"y_{i}.npy", y[rows])


def test_shards_come_in_natural_order(tmp_path: Path, x: Any, y: Any) -> None:
    (tmp_path / "x").mkdir()
    for i in (0, 1, 2, 9, 10, 11):
        np.save(tmp_path / "x" / f"x_{i}.npy", np.full((1, 2), i, np.float32))
    (tmp_path / "x" / "notes.md").touch()
    for paths in (tmp_path / "x", f"{tmp_path}/x/x_*.npy"):
        assert open_features(paths).load()[:, 0].tolist() == [0, 1, 2, 9, 10, 11]
    backwards = [tmp_path / "x" / f"x_{i}.npy" for i in (10, 2)]
    assert open_features(backwards).load()[:, 0].tolist() == [10, 2]


def test_labels_from_anywhere(tmp_path: Path, x: Any, y: Any) -> None:
    write_shards(tmp_path, x, y)
    paths = f"{tmp_path}/x_*.npy"
    (tmp_path / "y.csv").write_text("\n".join("ab"[i] for i in y))
    np.savez(tmp_path / "y.npz", labels=y, other=x)
    files = [tmp_path / f"y_{i}.npy" for i in range(12)]
    parts = [f"{tmp_path}/y_{i}.txt" for i in range(12)]
    for path, file in zip(parts, files, strict=True):
        Path(path).write_text("\n".join(map(str, np.load(file))))
    expected = stats_of(paths, y).logme()
    for labels in (y.tolist(), f"{tmp_path}/y_*.npy", files, parts, tmp_path / "y.npz"):
        assert stats_of(paths, labels).logme() == expected
    named = stats_of(paths, tmp_path / "y.csv")
    assert named.classes == ("a", "b")
    assert named.logme() == expected
    assert stats_of(paths, ["ab"[i] for i in y]).classes == ("a", "b")


def test_the_task_is_decided_by_all_labels(tmp_path: Path) -> None:
    """Every shard by itself would be too small to call its whole numbers classes."""
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 4
    write_shards(tmp_path, x, y.astype(float), 20)
    stats = stats_of(f"{tmp_path}/x_*.npy", f"{tmp_path}/y_*.npy")
    assert stats.task == "classification"
    assert stats.logme() == pytest.approx(tx.logme(x, y), rel=1e-10)
    assert stats.logme().task_note == tx.logme(x, y.astype(float)).task_note
    write_shards(tmp_path, x, y.astype(float) + np.eye(40)[39] / 2, 20)
    assert stats_of(f"{tmp_path}/x_*.npy", f"{tmp_path}/y_*.npy").task == "regression"


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_split_gives_the_score_of_the_whole(data: Any, tmp_path_factory: Any) -> None:
    """Tolerance of the issue: 1e-10 relative to max(1, |value|)."""
    n = data.draw(st.integers(20, 90))
    seed = data.draw(st.integers(0, 99))
    kind = data.draw(st.sampled_from([np.float64, np.float32, np.float16, np.int8]))
    cuts = sorted(data.draw(st.sets(st.integers(1, n - 1), max_size=6)))
    rng = np.random.default_rng(seed)
    x, y = (10 * rng.normal(size=(n, 5))).astype(kind), rng.integers(0, 3, n)
    folder = tmp_path_factory.mktemp("split")
    for i, part in enumerate(np.split(x, cuts)):
        np.save(folder / f"{i}.npy", part)
    whole = tx.Stats("classification").update(x, y)
    stats = stats_of(folder, y, task="classification")
    for ours, theirs in zip(moments(stats), moments(whole), strict=True):
        assert abs(ours - theirs) <= 1e-10 * max(1, abs(theirs))


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
        (lambda: open_features(tmp_path / "gone.bin"), "neither an .npy file"),
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


def test_columns_are_never_guessed(tmp_path: Path, x: Any, y: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    for columns, message in (
        ({"a": x[:, 0], "label": x[:, 1]}, "column 'label' looks like labels"),
        ({"a": x[:, 0], "id": y}, "2 columns of float, int64"),
        ({"a": x[:, 0], "s": ["a"] * ROWS}, "2 columns of float, string"),
        ({"a": list(x), "b": list(x)}, "several list columns"),
        ({"a": [[1.0], [1.0, 2.0]]}, "row 1 has 2 numbers and others 1"),
        ({"a": [[1.0], None]}, "row 1 is null"),
        ({"a": [["x"], ["y"]]}, "not of numbers"),
    ):
        parquet.write_table(pa.table(columns), path)
        with pytest.raises((DataError, DtypeError), match=message):
            open_features(path).load()
    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1]}), path)
    np.testing.assert_array_equal(open_features(path).load(), x[:, :2])
    np.testing.assert_array_equal(open_features(path, key="b").load(), x[:, 1:2])
    parquet.write_table(pa.table({"a": pa.array([1.0, None])}), path)
    with pytest.raises(DataError, match="row 1, column 0 is nan"):
        stats_of(path, [0, 1], task="classification")


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__[6:])
def test_a_file_cut_short_is_refused_wherever_it_is_cut(
    write: Any, tmp_path: Path, x: Any, y: Any
) -> None:
    given = write(tmp_path / "features", x, y)
    path = next(file for file in tmp_path.iterdir())
    data = path.read_bytes()
    cuts = np.random.default_rng(0).integers(0, len(data), 25).tolist()
    for length in [0, 1, 8, *cuts, len(data) - 8, len(data) - 1]:
        path.write_bytes(data[:length])
        with pytest.raises((DataError, DtypeError), match="features"):
            stats_of(open_features(**given))


def test_a_stream_cut_between_batches_is_refused(tmp_path: Path, x: Any, y: Any) -> None:
    import pyarrow as pa

    table, path = lists(x, y), tmp_path / "x.arrow"
    with pa.OSFile(str(path), "wb") as out:
        writer = pa.ipc.new_stream(out, table.schema)
        writer.write_table(table, max_chunksize=100)
    with pytest.raises(DataError, match="does not end as an Arrow stream does"):
        open_features(path, y)


def test_compressed_arrow_files(tmp_path: Path, x: Any, y: Any) -> None:
    from pyarrow import feather

    feather.write_feather(lists(x, y), tmp_path / "x.feather", "zstd", chunksize=50)
    source = open_features(tmp_path / "x.feather", label_column="y")
    np.testing.assert_array_equal(source.load(), x)
    np.testing.assert_array_equal(source.labels(), y)


def test_columns_of_shards_are_the_same(tmp_path: Path, x: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1]}), tmp_path / "0.parquet")
    parquet.write_table(pa.table({"b": x[:, 1], "a": x[:, 0]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet has a column 'b' where .*0\.parquet has 'a'"):
        open_features(tmp_path)


def test_text_labels_of_tables(tmp_path: Path, x: Any) -> None:
    import h5py
    import pyarrow as pa
    from pyarrow import parquet

    words = ["cat", "dog", "cat"] * 100
    parquet.write_table(pa.table({"x": list(x), "y": words}), tmp_path / "t.parquet")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["x"], file["y"] = x, words
    for name in ("t.parquet", "t.h5"):
        assert stats_of(tmp_path / name, label_column="y").classes == ("cat", "dog")
    parquet.write_table(pa.table({"x": list(x), "y": [None, *words[1:]]}), tmp_path / "t.parquet")
    with pytest.raises(DataError, match=r"t\.parquet:y has 1 missing values"):
        stats_of(tmp_path / "t.parquet", label_column="y")


def test_bfloat16_of_safetensors(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.float32).reshape(4, 3) - 5
    halves = (values.view(np.uint32) >> 16).astype("<u2")
    entry = {"dtype": "BF16", "shape": [4, 3], "data_offsets": [0, 24]}
    header = json.dumps({"x": entry}).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + halves.tobytes())
    np.testing.assert_array_equal(open_features(path).load(), values)


def test_a_damaged_archive_is_no_array(tmp_path: Path, x: Any, y: Any) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=x)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.npz cannot be read: Bad CRC"):
        stats_of(path, y)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", data[:10])
    with pytest.raises(DataError, match=r"a\.npz cannot be read"):
        stats_of(path, y)


def test_a_missing_reader_is_one_line_of_advice(tmp_path: Path, monkeypatch: Any) -> None:
    for name, package in (
        ("x.parquet", "pyarrow"),
        ("x.h5", "h5py"),
        ("x.safetensors", "safetensors"),
    ):
        (tmp_path / name).touch()
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(MissingDependencyError, match=r"pip install 'transferability\[io\]'$"):
            open_features(tmp_path / name)


def test_the_next_block_is_read_while_one_is_worked_on() -> None:
    wanted = threading.Event()

    def items() -> Any:
        yield 1
        wanted.set()
        yield 2

    reading = ahead(items())
    assert next(reading) == 1
    assert wanted.wait(30), "the second item is made without anyone asking for it"
    assert list(reading) == [2]


def test_reading_ahead_ends_with_its_reader() -> None:
    made, threads = [], threading.active_count()

    def items() -> Any:
        for i in range(100):
            made.append(i)
            yield i

    reading = ahead(items())
    assert next(reading) == 0
    assert threading.active_count() == threads + 1
    reading.close()
    assert threading.active_count() == threads
    assert len(made) <= 3

    def broken() -> Any:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(ahead(broken()))
    assert threading.active_count() == threads
    assert list(ahead(iter_of([1, 2, 3]))) == [1, 2, 3]


def iter_of(values: list[int]) -> Any:
    yield from values


def test_the_manual_runs(tmp_path: Path, monkeypatch: Any) -> None:
    text = (Path(__file__).parents[2] / "docs" / "files.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)
    assert names["ranking"]["mine"].logme == pytest.approx(names["scores"]["logme"], rel=1e-10)


def test_progress_is_told(tmp_path: Path, x: Any, y: Any) -> None:
    write_shards(tmp_path, x, y, 3)
    seen: list[tuple[int, int, str]] = []
    stats_of(f"{tmp_path}/x_*.npy", y, progress=lambda *now: seen.append(now))
    assert [(done, total) for done, total, _ in seen] == [(100, 300), (200, 300), (300, 300)]
    assert seen[1][2].endswith("x_1.npy")
