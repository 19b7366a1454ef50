"""Features in files of every format: the same numbers, the same bits, nothing half-read."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from feature_files import (
    COLUMNS,
    ROWS,
    WRITERS,
    lists,
    moments,
    write_parquet,
    write_safetensors,
    write_shards,
)

import transferability as tx
from transferability.cli import main
from transferability.errors import DataError, DtypeError, MissingDependencyError
from transferability.io import open_features, stats_of


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


def test_columns_are_never_guessed(tmp_path: Path, x: Any, y: Any) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    path = tmp_path / "t.parquet"
    for columns, message in (
        ({"a": x[:, 0], "label": x[:, 1]}, "column 'label' looks like labels"),
        ({"a": x[:, 0], "id": y}, "2 columns of float .'a'., int64 .'id'."),
        (
            {"a": x[:, 0], "s": ["a"] * ROWS},
            "not numeric: 's' .string.; name those of the features",
        ),
        ({"a": list(x), "b": list(x)}, "columns of lists"),
        ({"a": [[1.0], [1.0, 2.0]]}, "row 1 has 2 numbers and row 0 has 1"),
        ({"a": [[1.0], None]}, "row 1 is null"),
        ({"a": [["x"], ["y"]]}, "not of numbers"),
    ):
        parquet.write_table(pa.table(columns), path)
        with pytest.raises((DataError, DtypeError), match=message):
            open_features(path).load()
    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1]}), path)
    np.testing.assert_array_equal(open_features(path).load(), x[:, :2])
    np.testing.assert_array_equal(open_features(path, key="b").load(), x[:, 1:2])
    parquet.write_table(pa.table({"[ab]": x[:, 2], "a": x[:, 0], "b": list(x)}), path)
    np.testing.assert_array_equal(open_features(path, key="[ab]").load(), x[:, 2:3])
    np.testing.assert_array_equal(open_features(path).load(), x)
    with pytest.raises(DataError, match=r"columns of lists \(b\)"):
        open_features(path, key="?")
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
    swapped = open_features(f"{tmp_path}/*.parquet").load()
    np.testing.assert_array_equal(swapped, np.concatenate([x[:, :2], x[:, :2]]))
    parquet.write_table(pa.table({"b": x[:, 1], "c": x[:, 0]}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet .*0\.parquet: without 'a', with the new 'c'"):
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


def test_every_list_of_suffixes_is_that_of_the_formats(tmp_path: Path) -> None:
    from transferability._data.tables import TABLES
    from transferability.io._formats import FORMATS, SUFFIXES

    assert len(SUFFIXES) == sum(len(spec.suffixes) for spec in FORMATS)
    for command in ("rank", "score", "stats"):
        shown = CliRunner().invoke(main, [command, "--help"]).stdout
        assert {suffix for suffix in SUFFIXES if suffix not in shown} == set()
        assert "{" not in shown
    assert {suffix for suffix in SUFFIXES if suffix not in (open_features.__doc__ or "")} == set()
    assert "{" not in (open_features.__doc__ or "").partition("Parameters")[0]
    assert {suffix for suffix in TABLES if suffix not in (tx.rank_models.__doc__ or "")} == set()
    (tmp_path / "x.unknown").touch()
    with pytest.raises(DataError, match=", ".join(SUFFIXES[1:]).replace(".", r"\.")):
        open_features(tmp_path / "x.unknown")
