"""Rows of files in which pandas stored an index: a pairing that it contradicts is refused.

Kinds: one file and one, shards and one file of labels, a file each, pairs; parquet and Arrow files;
words, numbers, dates and several levels; an index in one order, of other rows, of a counter, in one
of two files; the entry points in Python and on the command line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import transferability as tx
from transferability.cli import main
from transferability.io import open_features, stats_of

pandas = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

N = 30
X = np.random.default_rng(0).normal(size=(N, 4))
Y = (X[:, 0] > 0).astype(int)
MOVED = np.random.default_rng(1).permutation(N)
INDEXES: dict[str, Any] = {
    "words": [f"id{i}" for i in range(N)],
    "numbers": np.arange(N) * 7,
    "dates": pandas.date_range("2026-01-01", periods=N),
    "levels": pandas.MultiIndex.from_product([np.arange(6), np.arange(5)], names=["a", "b"]),
}
MESSAGE = r"l\.\w+ has the index of .*f\.\w+ in another order: .*; write both in one order"


def write(folder: Path, index: Any, suffix: str, order: Any = MOVED) -> tuple[str, str]:
    features = pandas.DataFrame(X, columns=list("uvwx"), index=index)
    labels = pandas.DataFrame({"label": Y}, index=index).iloc[order]
    paths = str(folder / f"f{suffix}"), str(folder / f"l{suffix}")
    for frame, path in zip((features, labels), paths, strict=True):
        if suffix == ".parquet":
            frame.to_parquet(path)
        else:
            import pyarrow
            from pyarrow import feather

            feather.write_feather(pyarrow.Table.from_pandas(frame), path)
    return paths


@pytest.mark.parametrize("suffix", [".parquet", ".feather"])
@pytest.mark.parametrize("kind", INDEXES)
def test_the_same_index_in_another_order_is_refused(tmp_path: Path, kind: str, suffix: str) -> None:
    features, labels = write(tmp_path, INDEXES[kind], suffix)
    with pytest.raises(tx.DataError, match=MESSAGE):
        stats_of(features, labels)
    with pytest.raises(tx.DataError, match=MESSAGE):
        stats_of([(features, labels)])
    assert "in another order" in str(tx.rank({"m": features}, labels)["m"].error)


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_in_one_order_says_nothing(tmp_path: Path, kind: str) -> None:
    features, labels = write(tmp_path, INDEXES[kind], ".parquet", np.arange(N))
    assert stats_of(features, labels).logme() == tx.logme(X, Y)
    assert float(tx.rank({"m": features}, labels)["m"].logme) == tx.logme(X, Y)


def test_an_index_of_other_rows_or_in_one_file_only_says_nothing(tmp_path: Path) -> None:
    features, _ = write(tmp_path, INDEXES["words"], ".parquet")
    for name, frame in {
        "other": pandas.DataFrame({"label": Y}, index=np.arange(N)[::-1] + 100),
        "counted": pandas.DataFrame({"label": Y}),
        "none": pandas.DataFrame({"label": Y}, index=INDEXES["dates"]),
    }.items():
        path = tmp_path / f"{name}.parquet"
        frame.to_parquet(path, index=None if name != "none" else False)
        assert stats_of(features, path).logme() == tx.logme(X, Y)
    np.save(tmp_path / "y.npy", Y)
    assert stats_of(features, tmp_path / "y.npy").logme() == tx.logme(X, Y)


def test_shards_and_labels_of_all_rows(tmp_path: Path) -> None:
    _, labels = write(tmp_path, INDEXES["words"], ".parquet")
    frame = pandas.DataFrame(X, columns=list("uvwx"), index=INDEXES["words"])
    for i in range(2):
        frame.iloc[15 * i : 15 * (i + 1)].to_parquet(tmp_path / f"x_{i}.parquet")
    pattern = str(tmp_path / "x_*.parquet")
    with pytest.raises(tx.DataError, match=r"x_0.parquet … .*x_1.parquet in another order"):
        open_features(pattern, labels)
    pandas.DataFrame({"label": Y}, index=INDEXES["words"]).to_parquet(labels)
    assert open_features(pattern, labels).n_samples == N


@pytest.mark.parametrize("kind", INDEXES)
def test_labels_in_memory_beside_features_in_files(tmp_path: Path, kind: str) -> None:
    features, _ = write(tmp_path, INDEXES[kind], ".parquet")
    straight = pandas.Series(Y, index=INDEXES[kind])
    moved, other = straight.iloc[MOVED], pandas.Series(Y, index=np.arange(N)[::-1] + 1000)
    message = r"labels has the index of .*f.parquet in another order.*labels.to_numpy\(\)"
    with pytest.raises(tx.DataError, match=message):
        open_features(features, moved)
    with pytest.raises(tx.DataError, match=message):
        tx.score(open_features(features), moved)
    assert "in another order" in str(tx.rank({"m": features}, moved)["m"].error)
    for labels in (straight, other, moved.to_numpy()):
        found = tx.score(open_features(features), labels, "logme")
        assert float(found) == tx.logme(X, np.asarray(labels))


def test_on_the_command_line(tmp_path: Path) -> None:
    features, labels = write(tmp_path, INDEXES["words"], ".parquet")
    groups = tmp_path / "g.parquet"
    pandas.DataFrame({"g": np.arange(N) % 3}, index=INDEXES["words"][::-1]).to_parquet(groups)
    np.save(tmp_path / "y.npy", Y)
    for command in (
        ["score", features, labels],
        ["rank", features, "--labels", labels],
        ["stats", features, "--labels", labels, "-o", str(tmp_path / "f.stats")],
        ["score", features, str(tmp_path / "y.npy"), "--groups", str(groups)],
        ["rank", features, "--labels", str(tmp_path / "y.npy"), "--groups", str(groups)],
    ):
        result = CliRunner().invoke(main, command)
        assert result.exit_code == 3
        assert "in another order" in " ".join(result.stderr.split())
