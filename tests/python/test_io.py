"""Features in files: shards, labels, one pass that reads ahead."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_files import (
    moments,
    write_shards,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability.io import open_features, stats_of
from transferability.io._sources import find_arrays
from transferability.io._stream import prefetch_items


def test_large_features_are_streamed_where_statistics_are_enough(
    tmp_path: Path, x: Any, y: Any, monkeypatch: Any
) -> None:
    write_shards(tmp_path, x, y)
    source = open_features(f"{tmp_path}/x_*.npy")
    monkeypatch.setattr("transferability._scoring.evaluate._LOADED", 0)
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


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
def test_parts_add_up_where_a_label_does_not_vary_in_one(tmp_path: Path) -> None:
    """What is left out of one machine's rows would else be added to another label's sums."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(80, 4)), rng.integers(0, 2, (80, 3))
    y[:40, 1] = 0
    y[40:, 2] = 1
    parts = []
    for i, rows in enumerate((slice(0, 40), slice(40, 80))):
        np.save(tmp_path / f"x_{i}.npy", x[rows])
        np.save(tmp_path / f"y_{i}.npy", y[rows])
        parts.append(stats_of(tmp_path / f"x_{i}.npy", tmp_path / f"y_{i}.npy"))
    assert (parts[0] + parts[1]).logme() == pytest.approx(tx.logme(x, y), abs=1e-10)
    assert parts[0].logme() == pytest.approx(tx.logme(x[:40], y[:40]), abs=1e-10)


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


def test_the_next_block_is_read_while_one_is_worked_on() -> None:
    wanted = threading.Event()

    def items() -> Any:
        yield 1
        wanted.set()
        yield 2

    reading = prefetch_items(items())
    assert next(reading) == 1
    assert wanted.wait(30), "the second item is made without anyone asking for it"
    assert list(reading) == [2]


def test_reading_ahead_ends_with_its_reader() -> None:
    made, threads = [], threading.active_count()

    def items() -> Any:
        for i in range(100):
            made.append(i)
            yield i

    reading = prefetch_items(items())
    assert next(reading) == 0
    assert threading.active_count() == threads + 1
    reading.close()
    assert threading.active_count() == threads
    assert len(made) <= 3

    def broken() -> Any:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(prefetch_items(broken()))
    assert threading.active_count() == threads
    assert list(prefetch_items(iter_of([1, 2, 3]))) == [1, 2, 3]


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


def test_wide_integers_of_two_types_are_not_rounded_when_shards_are_joined(tmp_path: Path) -> None:
    wide = np.array([[2**53 + 1, 1], [2**53, 2]] * 5)
    np.save(tmp_path / "x_0.npy", wide)
    np.save(tmp_path / "x_1.npy", (wide % 7).astype(np.uint64))
    source = open_features(str(tmp_path / "x_*.npy"), np.arange(20) % 2)
    with pytest.raises(tx.DataError, match=r"features of .*x_0.npy hold integers up to"):
        source.load()
    assert "which float64 rounds" in str(tx.rank({"m": source}, np.arange(20) % 2)["m"].error)
    np.save(tmp_path / "x_0.npy", wide % 5)
    source = open_features(str(tmp_path / "x_*.npy"))
    assert source.load().tolist() == [*(wide % 5).tolist(), *(wide % 7).tolist()]


def test_arrays_of_one_name_in_a_folder_are_refused(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    np.save(tmp_path / "a.npy", np.eye(3))
    parquet.write_table(pyarrow.table({"u": [1.0, 2.0, 3.0]}), tmp_path / "a.parquet")
    with pytest.raises(tx.DataError, match=r"two arrays are called 'a': .*a.npy and .*a.parquet"):
        find_arrays(tmp_path)
