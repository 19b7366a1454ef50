"""Dask on processes of its own: the same bits however the work is spread."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from dask_cluster import Cluster
from dask_data import METRICS, MODELS, N_FEATURES, N_SHARDS, ROWS, bits_of, saved
from numpy.typing import NDArray

import transferability as tx
from transferability import errors


@pytest.fixture(scope="module")
def expected(
    arrays: dict[str, NDArray[np.float64]], labels: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Scores of whole arrays in this process."""
    ranking = tx.rank(arrays, labels, METRICS, progress=False, method="tridiagonal")
    return {row.name: {metric: row.value(metric) for metric in METRICS} for row in ranking}


def test_same_scores_as_of_whole_arrays(
    cluster: Cluster,
    models: dict[str, list[Path]],
    labels: NDArray[np.int64],
    expected: dict[str, dict[str, float]],
) -> None:
    ranking = tx.dask.rank(cluster.client, models, labels, METRICS, progress=False)
    assert not ranking.failed, [row.error for row in ranking.failed]
    assert ranking.names == MODELS
    for row in ranking:
        assert (row.n_samples, row.n_features) == (N_SHARDS * ROWS, N_FEATURES)
        for metric in METRICS:
            value = expected[row.name][metric]
            assert abs(row.value(metric) - value) <= 1e-10 * max(1, abs(value))


def test_features_without_labels(
    cluster: Cluster, models: dict[str, list[Path]], arrays: dict[str, NDArray[np.float64]]
) -> None:
    x = arrays["first"]
    expected, _ = tx.covariance.ledoit_wolf(x)
    opened = tx.io.open_features(models["first"])
    chunks = dask.array.from_array(x, chunks=(ROWS, N_FEATURES))
    for given in (models["first"], opened, chunks):
        stats = tx.dask.stats(cluster.client, given, task="unlabelled")
        assert (stats.task, stats.n_samples) == ("unlabelled", len(x))
        found = stats.covariance("ledoit-wolf")
        assert np.abs(found - expected).max() < 1e-10 * np.abs(expected).max()
    with pytest.raises(errors.DataError, match="labels were given, but task is 'unlabelled'"):
        tx.dask.stats(cluster.client, opened, np.arange(len(x)) % 2, task="unlabelled")


def test_adds_to_a_ranking_made_elsewhere(
    cluster: Cluster,
    models: dict[str, list[Path]],
    arrays: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
) -> None:
    there = tx.dask.rank(cluster.client, {"there": models["first"]}, labels, progress=False)
    here = tx.rank({"here": arrays["third"]}, labels, progress=False)
    assert (there + here).names == ("there", "here")
    assert there.task_note == here.task_note


def test_one_state_reaches_the_client(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> None:
    state = tx.dask.stats(cluster.client, models["first"], labels)
    tree = [tx.Stats().update(np.load(p), y) for p, y in pairs(models["first"], labels)]
    while len(tree) > 1:
        tree = [a + b for a, b in zip(tree[::2], tree[1::2], strict=True)]
    assert state.score("logme").hex() == tree[0].score("logme").hex()
    assert state.task_note == tx.Stats().update(np.load(models["first"][0]), labels[:60]).task_note
    assert state.classes == (0, 1, 2, 3)
    assert state.score("logme").classes == (0, 1, 2, 3)


def pairs(paths: list[Path], labels: NDArray[np.int64]) -> Iterator[tuple[Path, NDArray[np.int64]]]:
    return zip(paths, np.split(labels, len(paths)), strict=True)


def test_the_task_is_decided_once(cluster: Cluster, tmp_path: Path) -> None:
    """Alone, the first shard's labels look like classes and the second's like targets."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(60, 4))
    labels = np.concatenate([rng.integers(0, 2, 30).astype(float), rng.normal(size=30)])
    tasks = [
        tx.Stats().update(x, y).task
        for x, y in zip(np.split(features, 2), np.split(labels, 2), strict=True)
    ]
    assert tasks == ["classification", "regression"]
    paths = saved(tmp_path, np.split(features, 2))
    state = tx.dask.stats(cluster.client, paths, labels)
    assert state.task == "regression"
    value = tx.logme(features, labels)
    assert abs(state.score("logme") - value) <= 1e-10 * max(1, abs(value))


def test_calls_that_are_merged_decide_together(cluster: Cluster, tmp_path: Path) -> None:
    """The labels of each call have too few rows to be classes; those of all are classes."""
    rng = np.random.default_rng(3)
    features, labels = rng.normal(size=(48, 4)), np.tile(np.arange(6.0), 8)
    states = []
    for rows in np.split(np.arange(48), 2):
        paths = saved(tmp_path, np.split(features[rows], 2))
        states.append(tx.dask.stats(cluster.client, paths, labels[rows]))
    assert [state.task for state in states] == ["regression", "regression"]
    merged = states[0] + states[1]
    value = tx.logme(features, labels)
    assert merged.task == value.task == "classification"
    assert abs(merged.logme() - value) <= 1e-10 * max(1, abs(value))


@pytest.mark.parametrize("kind", ["text", "bool", "few floats", "multilabel", "two targets"])
def test_kinds_of_labels(cluster: Cluster, tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(4)
    features = rng.normal(size=(90, 5))
    order = np.argsort(features[:, 0])  # the classes of one shard are not those of another
    features = features[order]
    labels = {
        "text": np.array(["ant", "bee", "cat"])[np.arange(90) // 30],
        "bool": np.arange(90) < 50,
        "few floats": (np.arange(90) // 30).astype(float),
        "multilabel": (features[:, :3] > -1.5).astype(int) * [1, 1, 0],
        "two targets": features[:, :2] + rng.normal(size=(90, 2)),
    }[kind]
    paths = {"m": saved(tmp_path, np.split(features, 6))}
    found = tx.dask.rank(cluster.client, paths, labels, progress=False)
    here = tx.rank({"m": features}, labels, progress=False)
    assert found[0].error is None
    assert abs(found[0].logme - here[0].logme) <= 1e-10 * max(1, abs(here[0].logme))
    for fact in ("task", "task_note", "classes", "class_counts", "targets", "warnings"):
        assert getattr(found[0].logme, fact) == getattr(here[0].logme, fact)
    assert (found.digest, found.warnings) == (here.digest, here.warnings)


def test_labels_from_files_and_dask(
    cluster: Cluster,
    folder: Path,
    models: dict[str, list[Path]],
    labels: NDArray[np.int64],
    bits: list[tuple[str, ...]],
) -> None:
    sources = [
        [str(path) for path in sorted(folder.glob("y_*.npy"))],  # cut in other places
        folder / "labels.npy",
        dask.array.from_array(labels, chunks=77),
    ]
    for source in sources:
        ranking = tx.dask.rank(cluster.client, models, source, METRICS, progress=False)
        assert bits_of(ranking) == bits


def test_sources_opened_here(
    cluster: Cluster, folder: Path, labels: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the labels they were opened with; workers run in other folders."""
    monkeypatch.chdir(folder)
    source = tx.io.open_features("first/x_*.npy", "labels.npy")
    state = tx.dask.stats(cluster.client, source)
    assert state.score("logme") == tx.dask.stats(cluster.client, "first", labels).score("logme")
    ranking = tx.dask.rank(cluster.client, {"m": source}, "labels.npy", progress=False)
    assert ranking[0].logme == state.score("logme")


def test_dask_arrays(
    cluster: Cluster,
    arrays: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    bits: list[tuple[str, ...]],
) -> None:
    by_rows = dask.array.from_array(arrays["first"], chunks=(ROWS, N_FEATURES))
    tiles = dask.array.from_array(arrays["first"], chunks=(ROWS, 5))
    for array in (by_rows, tiles):
        state = tx.dask.stats(cluster.client, array, labels, class_scatters=True)
        assert state.score("logme").hex() == bits[0][1], "the bits of the same rows in files"
    some = by_rows[by_rows[:, 0] > 1e6]
    with pytest.raises(errors.DataError, match="compute_chunk_sizes"):
        tx.dask.stats(cluster.client, some, labels)
    kept = arrays["first"][:, 0] > 1e6
    state = tx.dask.stats(cluster.client, some.compute_chunk_sizes(), labels[kept])
    assert state.n_samples == kept.sum()


def test_the_recipe_for_other_engines(
    folder: Path,
    tmp_path: Path,
    arrays: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The function of docs/distributed.md, whatever order its results arrive in."""
    text = (Path(__file__).parents[3] / "docs" / "distributed.md").read_text(encoding="utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "def state" in b]
    names: dict[str, Any] = {"tx": tx}
    exec(compile(code, "docs/distributed.md", "exec"), names)
    (tmp_path / "feats").mkdir()
    for i, part in enumerate(np.split(labels, N_SHARDS)):
        np.save(tmp_path / "feats" / f"y_{i}.npy", part)
        np.save(tmp_path / "feats" / f"x_{i}.npy", np.load(folder / "first" / f"x_{i}.npy"))
    monkeypatch.chdir(tmp_path)
    states = [names["state"](pair) for pair in names["pairs"]]
    score = tx.Stats.merge_all(states).score("logme")
    assert score == tx.Stats.merge_all(states[::-1]).score("logme")
    expected = tx.logme(arrays["first"], labels)
    assert abs(score - expected) <= 1e-10 * max(1, abs(expected))


def test_read_only_arrays_and_merging_never_mutates(
    arrays: dict[str, NDArray[np.float64]], labels: NDArray[np.int64]
) -> None:
    """As Ray hands arrays to tasks, and as engines share states between tasks."""
    parts = []
    for x, y in zip(np.split(arrays["first"], 3), np.split(labels, 3), strict=True):
        x.setflags(write=False)
        y.setflags(write=False)
        parts.append(tx.Stats(task="classification").update(x, y))
    assert all(sys.getsizeof(part) > part.nbytes for part in parts), "Dask plans by their size"
    before = [part.to_bytes() for part in parts]
    total = tx.Stats.merge_all(parts)
    assert (parts[0] + parts[1] + parts[2]).n_samples == total.n_samples == len(labels)
    assert [part.to_bytes() for part in parts] == before


def test_the_first_example_of_the_documentation(
    cluster: Cluster,
    folder: Path,
    tmp_path: Path,
    labels: NDArray[np.int64],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The script of docs/distributed.md, on the cluster of these tests and shards of its names."""
    text = (Path(__file__).parents[3] / "docs" / "distributed.md").read_text(encoding="utf-8")
    (code,) = [b for b in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Client(" in b]
    np.save(tmp_path / "labels.npy", labels)
    for name in ("resnet50", "vit_b16"):
        (tmp_path / "feats" / name).mkdir(parents=True)
        for i in range(N_SHARDS):
            shard = np.load(folder / "first" / f"x_{i}.npy")
            np.save(tmp_path / "feats" / name / f"x_{i}.npy", shard)
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__", "client_of_tests": contextlib.nullcontext(cluster.client)}
    code = re.sub(r"distributed\.Client\(.*?\)", "client_of_tests", code)
    code = code.replace('f"feats/', f'f"{tmp_path}/feats/')  # the workers are elsewhere
    exec(compile(code, "docs/distributed.md", "exec"), names)
    shown = capsys.readouterr().out
    assert "2 models by LogME" in shown
    assert "H-score" in shown


def test_models_of_other_rows_are_not_compared_without_labels(cluster: Cluster) -> None:
    x = np.random.default_rng(0).normal(size=(60, 5))
    models = {"whole": x, "part": x[:40], "again": x[:, :3]}
    chunks = {name: dask.array.from_array(own, chunks=(20, 5)) for name, own in models.items()}
    metric = "effective_rank"
    options: dict[str, Any] = {"task": "unlabelled", "progress": False}
    ranking = tx.dask.rank(cluster.client, chunks, None, metric, **options)
    assert [row.name for row in ranking.failed] == ["part"]
    assert "have 40 rows, and the models before 60" in str(ranking["part"].error)
    here = tx.rank({"whole": x, "again": x[:, :3]}, None, metric)
    assert ranking.digest == here.digest


def test_an_index_in_the_files_that_contradicts_their_order(
    cluster: Cluster, tmp_path: Path
) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    x, names = np.random.default_rng(0).normal(size=(30, 4)), [f"id{i}" for i in range(30)]
    paths = [str(tmp_path / f"{name}.parquet") for name in ("features", "labels")]
    pandas.DataFrame(x, columns=list("abcd"), index=names).to_parquet(paths[0])
    moved = pandas.DataFrame({"label": (x[:, 0] > 0).astype(int)}, index=names).iloc[::-1]
    moved.to_parquet(paths[1])
    for features, labels in ((paths[0], paths[1]), ([(paths[0], paths[1])], None)):
        with pytest.raises(errors.DataError, match=r"features\.parquet in another order"):
            tx.dask.stats(cluster.client, features, labels)
