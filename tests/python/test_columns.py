"""Columns with names match by name wherever blocks meet: blocks, merged states, shards, files.

The kinds: frames of every package in one ``Stats``; states that are merged, saved, pickled or
exported as moments; shards of files; Dask's tasks; numbered columns; arrays, which have no names.
Then the index of a pandas frame in a file, which is no feature.

Sums over reordered blocks differ from those of one block by rounding alone, which the condition of
60 rows of 5 normal columns leaves near 1e-15: 1e-12 relative.
"""

from __future__ import annotations

import itertools
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError, DtypeError, Stats, io
from transferability._inputs.columns import index_columns, join_names, match_columns
from transferability._inputs.target import read_target

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], 20)
X = RNG.normal(size=(60, 5))
X[:, 0] += Y
NAMES = list("abcde")
FRAME = pd.DataFrame(X, columns=NAMES)
LOGME = float(tx.logme(X, Y))
ALMOST = pytest.approx(LOGME, rel=1e-12)

CONTAINERS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "Arrow table": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "Arrow batch": lambda frame: pa.RecordBatch.from_pandas(frame, preserve_index=True),
    "nullable": lambda frame: frame.astype("Float64"),
    "with an index": lambda frame: pa.Table.from_pandas(
        frame.set_axis([f"r{i}" for i in range(len(frame))])
    ),
}


def test_the_number_of_the_issue() -> None:
    assert pytest.approx(-0.73114, abs=5e-6) == LOGME
    stats = Stats().update(FRAME[:30], Y[:30]).update(FRAME[list("edcba")][30:], Y[30:])
    assert stats.logme() == ALMOST
    assert stats.feature_names == tuple(NAMES)


@pytest.mark.parametrize("second", CONTAINERS)
@pytest.mark.parametrize("first", CONTAINERS)
def test_blocks_of_any_two_containers(first: str, second: str) -> None:
    stats = Stats().update(CONTAINERS[first](FRAME[:30]), Y[:30])
    stats.update(CONTAINERS[second](FRAME[list("ecabd")][30:]), Y[30:])
    assert stats.logme() == ALMOST


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
@settings(deadline=None, max_examples=40)
@given(
    cuts=st.lists(st.integers(1, 59), min_size=1, max_size=4, unique=True).map(sorted),
    seed=st.integers(0, 10**6),
    task=st.sampled_from(["classification", "regression"]),
    wide=st.booleans(),
)
def test_any_order_in_any_block_and_tree(cuts: list[int], seed: int, task: str, wide: bool) -> None:
    """States hold rows where there are more columns than rows, and the scatter elsewhere."""
    rng = np.random.default_rng(seed)
    x = np.random.default_rng(1).normal(size=(60, 70)) if wide else X
    labels = Y if task == "classification" else X[:, 0] + Y
    frame = pd.DataFrame(x).add_prefix("f")
    parts = []
    for rows in np.split(np.arange(60), cuts):
        block = frame.iloc[rows, rng.permutation(x.shape[1])]
        state = Stats(task, class_scatters=True).update(block, labels[rows])
        parts.append(pickle.loads(pickle.dumps(state)) if rng.random() < 0.5 else state)
    whole = Stats(task, class_scatters=True).update(x, labels)
    merged = parts[0]
    for part in parts[1:]:
        merged = merged + part if rng.random() < 0.5 else part + merged
    for stats in (merged, Stats.merge_all(parts)):
        assert stats.score("logme") == pytest.approx(float(whole.score("logme")), abs=1e-9)
        names = list(stats.feature_names or ())
        order = [names.index(f"f{i}") for i in range(x.shape[1])]
        mean = stats.moments()["shift"] + stats.moments()["sum"] / 60
        np.testing.assert_allclose(mean[order], x.mean(axis=0), atol=1e-12)
        if task == "classification":
            sizes = {c: m["n_samples"] for c, m in stats.moments()["by_class"].items()}
            assert sizes == {0: 20, 1: 20, 2: 20}
            value = float(whole.score("regularized_h_score"))
            assert stats.score("regularized_h_score") == pytest.approx(value, rel=1e-9)
    assert Stats.merge_all(parts).to_bytes() == Stats.merge_all(parts[::-1]).to_bytes()


def test_states_keep_their_names_everywhere(tmp_path: Path) -> None:
    first = Stats().update(FRAME[:30], Y[:30])
    first.save(tmp_path / "a.stats")
    for state in (
        Stats.load(tmp_path / "a.stats"),
        pickle.loads(pickle.dumps(first)),
        first.copy(),
        first.replace(n_threads=1),
        first + Stats(),
        Stats() + first,
        sum([first, Stats()]),
        Stats.from_moments(first.moments()),
        Stats.merge_all([Stats(), first]),
    ):
        assert state.feature_names == tuple(NAMES)
        assert state.update(FRAME[list("bcdea")][30:], Y[30:]).logme() == pytest.approx(
            LOGME,
            rel=1e-10,  # moments lose the rows, and some digits with them
        )
    assert first.reset().feature_names is None
    assert Stats().update(X, Y).feature_names is None
    assert "feature_names" not in Stats().update(X, Y).moments()


def test_other_columns_are_refused_by_name() -> None:
    first = Stats().update(FRAME[:30], Y[:30])
    before = first.to_bytes()
    for frame, message in (
        (FRAME.rename(columns={"a": "z"}), r"earlier blocks: without 'a', with the new 'z'"),
        (FRAME[list("abcd")], r"earlier blocks: without 'e'; give the same columns, in any order"),
        (FRAME.assign(f=1.0), r"with the new 'f'"),
        (FRAME.rename(columns={"a": "b"}), "without 'a', with the new 'b'"),
        (pl.from_pandas(FRAME.rename(columns=str.upper)), "without 'a', 'b', 'c', 'd', 'e'"),
    ):
        with pytest.raises(DataError, match=message):
            first.update(frame[30:], Y[30:])
        other = Stats().update(frame[30:], Y[30:])
        for merge in (first.merge, lambda last: Stats.merge_all([first, last])):
            with pytest.raises(DataError, match="one of the statistics has other columns"):
                merge(other)
    assert first.to_bytes() == before
    wide = pd.DataFrame(np.ones((30, 12))).add_prefix("w")
    with pytest.raises(DataError, match=r"'w0', 'w1', 'w2', 'w3', 'w4' and 7 more"):
        first.update(wide, Y[:30])


def test_arrays_match_by_position() -> None:
    """An array has no names; those of a later frame count from then on."""
    for blocks in (
        (X[:20], FRAME[20:40], FRAME[list("edcba")][40:]),
        (FRAME[:20], X[20:40], FRAME[list("edcba")][40:]),
        (FRAME[list("edcba")][:20], X[20:40, ::-1], FRAME[40:]),
        (X[:20].tolist(), pd.Series(list(X[20:40])), FRAME[40:]),
    ):
        parts = [Stats().update(b, y) for b, y in zip(blocks, np.split(Y, 3), strict=True)]
        stats = Stats()
        for block, labels in zip(blocks, np.split(Y, 3), strict=True):
            stats.update(block, labels)
        assert stats.logme() == ALMOST
        assert (parts[0] + parts[1] + parts[2]).logme() == ALMOST


def test_positions_without_an_order_are_refused() -> None:
    """Merging in no order leaves open which frame an array is matched with."""
    parts = [
        Stats().update(block, labels)
        for block, labels in zip(
            (X[:20], FRAME[20:40], FRAME[list("edcba")][40:]), np.split(Y, 3), strict=True
        )
    ]
    assert (parts[0] + parts[1] + parts[2]).logme() == ALMOST
    for order in itertools.permutations(parts):
        with pytest.raises(DataError, match="columns come in different orders, such as 'a', 'b'"):
            Stats.merge_all(order)
    assert Stats.merge_all(parts[:2]).update(FRAME[40:], Y[40:]).logme() == ALMOST
    assert Stats.merge_all(parts[1:]).update(FRAME[:20], Y[:20]).logme() == ALMOST
    numbered = Stats().update(pd.DataFrame(X[:20]), Y[:20])
    with pytest.raises(DataError, match="such as 'a', 'b'"):
        Stats.merge_all([numbered, *parts[1:]])
    renamed = Stats().update(FRAME.rename(columns={"a": "z"})[40:], Y[40:])
    with pytest.raises(DataError, match="has other columns"):
        Stats.merge_all([*parts[:2], renamed])


def test_numbered_columns() -> None:
    """Numbers 0 to D - 1 in order are positions; in another order they say where they came from."""
    plain = pd.DataFrame(X)
    numbered = [
        plain,
        plain[[4, 2, 0, 1, 3]],
        pl.DataFrame(X),
        pl.DataFrame(X)[["column_3", "column_0", "column_2", "column_1", "column_4"]],
        plain[[1, 0, 2, 3, 4]].rename(columns=str),
    ]
    for first in numbered:
        for second in numbered:
            stats = Stats().update(first[:30], Y[:30]).update(second[30:], Y[30:])
            assert stats.logme() == ALMOST
    for first in (plain, pl.DataFrame(X)):  # positions, and a frame with names
        assert Stats().update(first[:30], Y[:30]).update(FRAME[30:], Y[30:]).logme() == ALMOST
        stats = Stats().update(FRAME[:30], Y[:30]).update(first[30:], Y[30:])
        assert stats.logme() == ALMOST
        assert stats.feature_names == tuple(NAMES)
    shuffled = plain[[4, 2, 0, 1, 3]][30:]
    with pytest.raises(DataError, match=r"numbered 4, 2, 0, 1, 3, and the other is an array"):
        Stats().update(X[:30], Y[:30]).update(shuffled, Y[30:])
    with pytest.raises(DataError, match="other columns than earlier blocks"):
        Stats().update(FRAME[:30], Y[:30]).update(shuffled, Y[30:])
    selected = plain.rename(columns={4: 9})  # 9 is no position of five columns
    stats = Stats().update(selected[:30], Y[:30]).update(selected[[9, 0, 1, 3, 2]][30:], Y[30:])
    assert stats.logme() == ALMOST


def test_names_of_other_kinds() -> None:
    for names in (
        pd.MultiIndex.from_tuples([("a", i) for i in range(5)]),
        [0.5, 1.5, 2.5, 3.5, 4.5],
        pd.date_range("2020", periods=5),
        ["00", "01", "02", "03", "04"],
    ):
        frame = pd.DataFrame(X, columns=names)
        stats = Stats().update(frame[:30], Y[:30]).update(frame.iloc[30:, ::-1], Y[30:])
        assert stats.logme() == ALMOST


def test_a_name_twice_matters_only_where_columns_move() -> None:
    frame = FRAME.set_axis(list("aabcd"), axis=1)
    assert tx.logme(frame, Y) == LOGME
    stats = Stats().update(frame[:30], Y[:30])
    assert stats.copy().update(frame[30:], Y[30:]).logme() == ALMOST
    with pytest.raises(DataError, match="the name 'a' more than once"):
        stats.update(frame.iloc[30:, [0, 2, 1, 3, 4]], Y[30:])


class _OtherFrame:
    """A frame of another package, with columns and ``__array__``."""

    def __init__(self, frame: Any) -> None:
        self.columns, self._array = list(frame.columns), frame.to_numpy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._array


def test_frames_of_other_packages() -> None:
    stats = Stats().update(_OtherFrame(FRAME[:30]), Y[:30])
    stats.update(_OtherFrame(FRAME[list("edcba")][30:]), Y[30:])
    assert stats.logme() == ALMOST


def test_moments_with_names_that_cannot_be() -> None:
    moments = Stats().update(FRAME, Y).moments()
    assert moments["feature_names"] == tuple(NAMES)
    for names in (NAMES[:4], "abcde", [1, 2, 3, 4, 5], 7):
        with pytest.raises(DataError, match="feature_names must be 5 strings"):
            Stats.from_moments({**moments, "feature_names": names})


def test_heads_match_columns_by_name(tmp_path: Path) -> None:
    """Coefficients are fitted to columns in one order, and applied to a frame in any."""
    shuffled = FRAME[list("edcba")]
    ranking = tx.rank({"m": FRAME}, Y, keep_coef=True)
    assert ranking.best.scores["logme"].feature_names == tuple(NAMES)
    _write(FRAME, tmp_path / "x", "parquet")
    of_file = tx.rank({"m": str(tmp_path / "x.parquet")}, Y, keep_coef=True)
    estimator = tx.sklearn.LogMEClassifier().fit(FRAME, Y)
    teachers = [
        ranking.teachers(1),
        of_file.teachers(1),
        tx.tuning.TeacherEnsemble.from_estimators({"m": estimator}, 1),
    ]
    teachers[0].save(tmp_path / "t.npz")
    teachers.append(tx.tuning.TeacherEnsemble.load(tmp_path / "t.npz"))
    for ensemble in teachers:
        expected = ensemble.predictive({"m": X})
        for frame in (FRAME, shuffled, pl.from_pandas(shuffled)):
            np.testing.assert_allclose(ensemble.predictive({"m": frame}), expected, rtol=1e-12)
        with pytest.raises(DataError, match=r"features\['m'\] has other columns than those that"):
            ensemble.predictive({"m": FRAME.rename(columns={"a": "z"})})
    head = teachers[0].heads["m"]
    with pytest.raises(DataError, match="names 1 columns of 5"):
        tx.tuning.TeacherEnsemble({"m": replace(head, columns=("a",))}, ["m"])
    assert "feature_names" not in tx.logme(X, Y, keep_coef=True).details


def test_the_rules_of_matching() -> None:
    assert match_columns(("b", "a"), ("a", "b"), "x", "y") == [1, 0]
    assert match_columns(("a", "b"), ("a", "b"), "x", "y") is None
    assert match_columns(("0", "1"), ("column_1", "column_0"), "x", "y") == [1, 0]
    assert match_columns(("1", "0"), ("column_1", "column_0"), "x", "y") is None
    assert match_columns(None, ("0", "1", "2"), "x", "y") is None
    with pytest.raises(DataError, match="x and y cannot be matched"):
        match_columns(None, ("1", "0", "2"), "x", "y")
    assert join_names(None, ("a",)) == ("a",)
    assert join_names(("0", "1"), ("a", "b")) == ("a", "b")
    assert join_names(("a", "b"), ("0", "1")) == ("a", "b")
    assert join_names(("1", "0"), ("0", "1")) == ("1", "0")


# --- shards --------------------------------------------------------------------------------------


def _write(frame: Any, path: Path, suffix: str) -> None:
    if suffix == "parquet":
        frame.to_parquet(path.with_suffix(".parquet"))
        return
    table = pa.Table.from_pandas(frame)
    opened = pa.ipc.new_stream if suffix == "arrow" else pa.ipc.new_file
    target = path.with_suffix(f".{suffix}")
    with pa.OSFile(str(target), "wb") as out, opened(out, table.schema) as writer:
        writer.write_table(table)


def _write_shards(folder: Path, suffix: str, orders: list[str]) -> str:
    for i, order in enumerate(orders):
        _write(FRAME[list(order)][20 * i : 20 * i + 20], folder / f"{suffix}_{i}", suffix)
    return f"{folder}/{suffix}_*.{suffix}"


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_shards_with_columns_in_another_order(tmp_path: Path, suffix: str) -> None:
    shuffled = _write_shards(tmp_path, suffix, ["abcde", "edcba", "cabed"])
    source = io.open_features(shuffled, Y)
    assert source.shards[1].columns == tuple(NAMES)
    np.testing.assert_array_equal(source.load(), X)
    np.testing.assert_array_equal(np.concatenate([block.features for block in source]), X)
    np.testing.assert_array_equal(io.FeatureSource(source.shards[1:2]).load(), X[20:40])
    stats = io.stats_of(source)
    assert stats.feature_names == tuple(NAMES)
    assert stats.logme() == ALMOST == tx.rank({"m": shuffled}, Y).best.logme
    assert tx.score(source, None) == ALMOST
    other = io.stats_of(_write_shards(tmp_path, suffix, ["edcba", "cabed", "abcde"]), Y)
    assert other.feature_names == tuple("edcba")
    assert (stats + other).n_samples == 120


def test_shards_of_files_and_frames_are_merged(tmp_path: Path) -> None:
    _write(FRAME[list("edcba")][:30], tmp_path / "x", "parquet")
    stats = io.stats_of(tmp_path / "x.parquet", Y[:30])
    assert stats.update(FRAME[30:], Y[30:]).logme() == ALMOST


@pytest.mark.parametrize("first", ["array", "numbers"])
def test_shards_without_names_before_those_with_names(tmp_path: Path, first: str) -> None:
    """All later shards have the order of the first that has names."""
    _write_shards(tmp_path, "parquet", ["abcde", "abcde", "edcba"])
    files = [f"{tmp_path}/parquet_{i}.parquet" for i in range(3)]
    if first == "array":
        files[0] = f"{tmp_path}/x.npy"
        np.save(files[0], X[:20])
    else:
        _write(FRAME[:20].set_axis([*"01234"], axis=1), tmp_path / "parquet_0", "parquet")
    source = io.open_features(files, Y)
    assert source.columns == tuple(NAMES)
    np.testing.assert_array_equal(source.load(), X)
    assert io.stats_of(source).logme() == ALMOST == tx.logme(source, None)
    assert tx.rank({"m": files}, Y).best.logme == ALMOST
    _write(FRAME[40:].rename(columns={"a": "z"}), tmp_path / "parquet_2", "parquet")
    with pytest.raises(DataError, match=r"parquet_2.*has other columns than .*parquet_1"):
        io.open_features(files)


def test_a_pass_resumes_with_columns_in_another_order(tmp_path: Path) -> None:
    shuffled = _write_shards(tmp_path, "parquet", ["abcde", "edcba", "cabed"])
    whole = io.stats_of(shuffled, Y)
    broken = FRAME.copy()
    broken.iloc[45, 2] = np.nan
    good = (tmp_path / "parquet_2.parquet").read_bytes()
    _write(broken[list("cabed")][40:], tmp_path / "parquet_2", "parquet")
    with pytest.raises(DataError, match=r"parquet_2.parquet, row 5, column 2 is nan"):
        io.stats_of(shuffled, Y, checkpoint=tmp_path / "c")
    (tmp_path / "parquet_2.parquet").write_bytes(good)
    resumed = io.stats_of(shuffled, Y, checkpoint=tmp_path / "c")
    assert resumed.feature_names == tuple(NAMES)
    assert float(resumed.logme()) == float(whole.logme())


def test_shards_with_other_columns_are_refused(tmp_path: Path) -> None:
    pattern = _write_shards(tmp_path, "parquet", ["abcde", "abcde"])
    for change, message in (
        ({"a": "z"}, r"parquet_1.parquet has other columns than .*without 'a', with the new 'z'"),
        ({"a": "0"}, "without 'a', with the new '0'"),
    ):
        _write(FRAME[20:40].rename(columns=change), tmp_path / "parquet_1", "parquet")
        with pytest.raises(DataError, match=message):
            io.open_features(pattern)
    _write(FRAME[20:40][list("abcd")], tmp_path / "parquet_1", "parquet")
    with pytest.raises(DataError, match="without 'e'"):
        io.open_features(pattern)
    np.save(tmp_path / "x.npy", X[20:40])  # an array: by position
    files = [tmp_path / "parquet_0.parquet", tmp_path / "x.npy"]
    np.testing.assert_array_equal(io.open_features(files).load(), X[:40])


def test_the_tasks_of_dask(tmp_path: Path) -> None:
    tasks = pytest.importorskip("transferability.dask._tasks")
    pattern = _write_shards(tmp_path, "parquet", ["abcde", "edcba", "cabed"])
    target = read_target(Y)
    parts = []
    for i, shard in enumerate(tasks.find_shards([pattern])):
        labels = target.take(slice(20 * i, 20 * i + 20))
        parts.append(tasks.read_shard(shard, labels, {}))
    assert tasks.merge_stats(tasks.merge_stats(*parts[:2]), parts[2]).logme() == ALMOST
    blocks = [FRAME[:30], FRAME[list("edcba")][30:]]  # chunks that are frames
    labels = [target.take(slice(30)), target.take(slice(30, 60))]
    read = [tasks.read_block(b, y, "here", {}) for b, y in zip(blocks, labels, strict=True)]
    assert tasks.merge_stats(*read).logme() == ALMOST
    other = tasks.read_block(FRAME.rename(columns={"a": "z"})[:30], labels[0], "here", {})
    assert "without 'a'" in str(tasks.merge_stats(read[1], other).error)


# --- the index of a pandas frame -----------------------------------------------------------------

INDEXES = {
    "default": None,
    "named range": pd.RangeIndex(60, name="row"),
    "stepped": pd.RangeIndex(0, 120, 2),
    "integers": pd.Index(RNG.permutation(60)),
    "named integers": pd.Index(RNG.permutation(60), name="id"),
    "floats": pd.Index(RNG.normal(size=60)),
    "named floats": pd.Index(RNG.normal(size=60), name="time"),
    "words": pd.Index([f"r{i}" for i in range(60)]),
    "dates": pd.date_range("2020", periods=60),
    "levels": pd.MultiIndex.from_product([range(6), list("abcdefghij")]),
    "named levels": pd.MultiIndex.from_product([range(6), range(10)], names=["k", "l"]),
    "labels": pd.Index(Y, name="label"),
}


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_is_no_feature(tmp_path: Path, kind: str, suffix: str) -> None:
    frame = pd.DataFrame(X, columns=NAMES, index=INDEXES[kind])
    _write(frame, tmp_path / "x", suffix)
    path = f"{tmp_path}/x.{suffix}"
    source = io.open_features(path, Y)
    assert (source.n_features, source.shards[0].columns) == (5, tuple(NAMES))
    assert tx.rank({"m": path}, Y).best.logme == LOGME
    assert io.open_features(path, key="*").n_features == 5
    table = pa.Table.from_pandas(frame)
    assert tx.logme(table, Y) == LOGME == tx.logme(table.to_batches()[0], Y)
    words = pd.DataFrame({"y": [f"c{i}" for i in Y]}, index=INDEXES[kind])
    assert tx.logme(X, pa.Table.from_pandas(words)) == LOGME


def test_an_unnamed_index_without_the_metadata_of_pandas(tmp_path: Path) -> None:
    """As polars and other writers store it."""
    FRAME.set_axis([f"r{i}" for i in range(60)]).to_parquet(tmp_path / "x.parquet")
    again = pl.read_parquet(tmp_path / "x.parquet")
    assert "__index_level_0__" in again.columns
    assert tx.logme(again, Y) == LOGME == tx.logme(again.to_pandas(), Y)
    again.write_parquet(tmp_path / "y.parquet")
    assert io.open_features(tmp_path / "y.parquet").n_features == 5
    assert index_columns(["a", "__index_level_0__", 3, "__index_level_x__"]) == [
        "__index_level_0__"
    ]
    for odd in (
        *(b"{", b"[]", b"null", b"3", b'{"index_columns": null}', b'{"index_columns": "a"}'),
        b'{"index_columns": [{"kind": "range"}, 3]}',
    ):
        assert index_columns(["a"], {b"pandas": odd}) == []


def test_an_unnamed_index_of_labels(tmp_path: Path) -> None:
    """Labels that are read without the metadata of pandas have a column more, also of numbers."""
    index = RNG.permutation(60)
    real = X[:, 0] + 0.5 * Y
    for labels in (Y, real, np.array([f"c{i}" for i in Y])):
        pd.DataFrame({"y": labels}, index=index).to_parquet(tmp_path / "y.parquet")
        read = pl.read_parquet(tmp_path / "y.parquet")
        assert read.width == 2
        for frame in (read, read.to_pandas(), read.to_arrow()):
            assert tx.logme(X[:, 1:], frame) == tx.logme(X[:, 1:], labels)
    two = pd.DataFrame({"u": real, "v": X[:, 1] + 0.5 * Y}, index=index)
    for table in (pa.Table.from_pandas(two), pl.from_arrow(pa.Table.from_pandas(two))):
        assert tx.logme(X[:, 2:], table).targets == ("u", "v")


def test_an_index_is_found_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for name, column in (("kind", "kind"), (None, "__index_level_0__")):
        FRAME.set_axis(pd.Index(Y, name=name)).to_parquet(path)
        source = io.open_features(path, label_column=column)
        assert source.n_features == 5
        assert io.stats_of(source).logme() == LOGME
        assert io.open_features(path, key=column).n_features == 1
        assert tx.rank({"m": path}, io.open_features(path, label_column=column).labels()).best
    pd.DataFrame({"y": Y}, index=[f"r{i}" for i in range(60)]).to_parquet(tmp_path / "y.parquet")
    assert io.stats_of(path, tmp_path / "y.parquet").logme() == LOGME


def test_the_index_on_the_command_line(tmp_path: Path) -> None:
    from click.testing import CliRunner

    from transferability.cli import main

    FRAME.set_axis([f"r{i}" for i in range(60)]).to_parquet(tmp_path / "x.parquet")
    np.save(tmp_path / "y.npy", Y)
    result = CliRunner().invoke(main, ["score", f"{tmp_path}/x.parquet", f"{tmp_path}/y.npy"])
    assert result.exit_code == 0, result.output
    assert f"{LOGME:.4f}"[:7] in result.output


def test_tables_of_texts_leave_out_an_unnamed_index(tmp_path: Path) -> None:
    from transferability._data.read import read_data

    frame = pd.DataFrame({"review": ["good", "bad"] * 3, "label": [1, 0] * 3})
    frame.set_axis(list("uvwxyz")).to_parquet(tmp_path / "t.parquet")
    found = read_data(tmp_path / "t.parquet", "label", "review")
    assert list(found.items) == ["good", "bad"] * 3


def test_a_column_that_is_no_number_is_named_with_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    for extra, kind in (("word", "string"), (pd.Timestamp("2020"), "timestamp")):
        FRAME.assign(odd=extra).to_parquet(path)
        with pytest.raises(DataError, match=rf"x\.parquet has columns .*'odd' \(.*{kind}.*key="):
            io.open_features(path)
        with pytest.raises(DtypeError, match=rf"x\.parquet, column 'odd' holds .*{kind}"):
            io.open_features(path, key="*")
    coded = pa.table({name: pa.array(X[:, i]) for i, name in enumerate("abcd")})
    coded = coded.append_column("e", pa.array(X[:, 4]).dictionary_encode())
    assert tx.logme(coded, Y) == LOGME
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(coded, path)
    assert io.stats_of(io.open_features(path, Y, key="*")).logme() == LOGME
    FRAME.assign(n=1).to_parquet(path)
    with pytest.raises(DataError, match=r"6 columns of double \('a'\), int64 \('n'\)"):
        io.open_features(path)


@pytest.mark.parametrize("name", ["label", "Target", "class", "y"])
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_labels_among_the_features_are_refused(name: str, container: str) -> None:
    """A frame with its column of labels scored -0.641, the features alone -0.731."""
    frame = CONTAINERS[container](FRAME.assign(**{name: Y}))
    for labels in (Y, Y.astype(float), Y[:, None]):
        with pytest.raises(DataError, match=f"column '{name}', which holds the labels themselves"):
            tx.logme(frame, labels)
    with pytest.raises(DataError, match="labels themselves"):
        Stats().update(frame, Y)
    assert "labels themselves" in str(tx.rank({"model": frame}, Y)[0].error)


def test_labels_among_the_features_in_a_file(tmp_path: Path) -> None:
    FRAME.assign(label=Y).to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="labels themselves"):
        io.stats_of(tmp_path / "x.parquet", Y, key="*")
    stats = io.stats_of(tmp_path / "x.parquet", label_column="label")
    assert stats.logme() == ALMOST


def test_columns_with_a_name_of_labels_are_features_if_they_hold_something_else() -> None:
    coordinates = pd.DataFrame(X[:, :3], columns=["x", "y", "z"])
    assert tx.logme(coordinates, Y) == tx.logme(X[:, :3], Y)
    passengers = FRAME.assign(**{"class": 1 + Y % 2})
    assert tx.logme(passengers, Y) == tx.logme(np.column_stack([X, 1 + Y % 2]), Y)
    # Few rows, and constant ones, are equal by chance.
    stats = Stats()
    for block in np.array_split(np.arange(60), 3):
        stats.update(passengers.assign(**{"class": 1}).iloc[block], np.ones(20, int))
        stats.update(FRAME.assign(**{"class": Y}).iloc[block[:5]], Y[block[:5]])
    assert stats.n_samples == 75
    unlabelled = Stats("unlabelled").update(FRAME.assign(y=Y))
    assert unlabelled.n_features == 6
