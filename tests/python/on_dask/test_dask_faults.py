"""What goes wrong on a cluster costs no more than it must, and says what it was."""

from __future__ import annotations

import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from dask_cluster import Cluster, fail_reading, gate_reading, n_tasks, wait_for
from dask_data import METRICS, N_SHARDS, ROWS, bits_of, saved
from numpy.typing import NDArray

import transferability as tx
from transferability import errors
from transferability._inputs.target import read_target
from transferability.dask import _tasks as _dask_tasks


def test_the_cluster_forgets_what_a_call_leaves(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> None:
    tx.dask.stats(cluster.client, models["first"], labels)
    tx.dask.rank(cluster.client, models, labels, progress=False)
    wait_for(lambda: not cluster.client.run_on_scheduler(n_tasks), 20)


def test_a_killed_worker_costs_its_shards_only(
    cluster: Cluster,
    models: dict[str, list[Path]],
    labels: NDArray[np.int64],
    bits: list[tuple[str, ...]],
    tmp_path: Path,
) -> None:
    """Reading stops at the twelfth shard until a worker that holds results is dead."""
    cluster.client.run(gate_reading, str(tmp_path), 12)
    outcome: list[tx.Ranking] = []

    def job() -> None:
        outcome.append(tx.dask.rank(cluster.client, models, labels, METRICS, progress=False))

    thread = threading.Thread(target=job)
    thread.start()
    wait_for(lambda: len(list(tmp_path.glob("waits-*"))) == 2)
    begun = [path.name.split("-")[1] for path in tmp_path.glob("begun-*")]
    victim = max(begun, key=begun.count)
    assert begun.count(victim) > 1, "it has finished shards, of which results are lost"
    cluster.kill_worker(int(victim))
    (tmp_path / "go").touch()
    thread.join(60)
    assert not thread.is_alive()
    assert bits_of(outcome[0]) == bits
    n_read = len(list(tmp_path.glob("begun-*")))
    assert 3 * N_SHARDS < n_read <= 3 * N_SHARDS + len(begun), "only what was begun is read again"

    alone = tx.dask.rank(cluster.client, models, labels, METRICS, progress=False)
    assert bits_of(alone) == bits, "one worker gives the bits of two"
    cluster.add_worker()
    cluster.client.wait_for_workers(2, timeout=60)


def test_a_bad_model_is_a_row_with_its_reason(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64], tmp_path: Path
) -> None:
    shards = [np.load(path) for path in models["first"]]
    shards[6][17, 3] = np.nan
    wrong = {
        "nan": saved(make(tmp_path / "nan"), shards),
        "short": models["first"][:-1],
        "wide": saved(make(tmp_path / "wide"), [np.load(models["first"][0])[:, :4], *shards[1:]]),
        "absent": [tmp_path / "none" / "x_0.npy"],
        "here": np.ones((3, 2)),
    }
    ranking = tx.dask.rank(
        cluster.client, {"good": models["second"], **wrong}, labels, progress=False
    )
    assert ranking.names[0] == "good"
    assert len(ranking.failed) == len(wrong)
    reasons = {row.name: str(row.error) for row in ranking.failed}
    assert "x_6.npy" in reasons["nan"]
    assert "17" in reasons["nan"]
    assert "nan" in reasons["nan"].lower()
    assert "480 entries" in reasons["short"]
    assert "420 rows" in reasons["short"]
    assert "x_1.npy has 12 features but" in reasons["wide"]
    assert "x_0.npy" in reasons["absent"]
    assert "transferability.rank" in reasons["here"]
    with pytest.raises(errors.DataError, match=r"x_6\.npy"):
        tx.dask.stats(cluster.client, wrong["nan"], labels)


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_what_concerns_all_models_is_raised(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64], tmp_path: Path
) -> None:
    client = cluster.client
    with pytest.raises(errors.DataError, match="missing"):
        tx.dask.rank(client, models, np.where(labels == 0, np.nan, labels), progress=False)
    with pytest.raises(errors.DataError, match="knn needs"):
        tx.dask.rank(client, models, labels, "knn", progress=False)
    with pytest.raises(errors.DataError, match=r"y\.npy"):
        tx.dask.rank(client, models, tmp_path / "y.npy", progress=False)
    with pytest.raises(errors.DtypeError, match="client"):
        tx.dask.stats("tcp://127.0.0.1:8786", models["first"], labels)
    with pytest.raises(errors.DataError, match="task is"):
        tx.dask.stats(client, models["first"], labels, task="none")
    text, number = tmp_path / "a.csv", tmp_path / "b.csv"
    text.write_text("cat\ndog\n")
    number.write_text("1\n2\n")
    with pytest.raises(errors.DtypeError, match=r"b\.csv holds int64 but .*a\.csv holds <U3"):
        tx.dask.stats(client, models["first"], [text, number])


def test_interrupting_stops_the_cluster(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> None:
    def interrupt(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    many = {f"{name}-{i}": paths for i in range(20) for name, paths in models.items()}
    with pytest.raises(KeyboardInterrupt):
        tx.dask.rank(cluster.client, many, labels, progress=interrupt)
    wait_for(lambda: not cluster.client.run_on_scheduler(n_tasks), 20)


@pytest.mark.parametrize("n_failures", [2, 99])
def test_file_systems_are_asked_again(
    cluster: Cluster,
    models: dict[str, list[Path]],
    labels: NDArray[np.int64],
    tmp_path: Path,
    n_failures: int,
) -> None:
    cluster.client.run(fail_reading, str(tmp_path), "x_3.npy", n_failures)
    try:
        found = {"m": models["first"]}
        ranking = tx.dask.rank(cluster.client, found, labels, progress=False, retries=2)
    finally:
        cluster.client.run(fail_reading, str(tmp_path), "x_3.npy", 0)
    assert len(list(tmp_path.iterdir())) == min(n_failures, 3)
    if n_failures == 99:
        assert ranking[0].error == "OSError: the server does not answer"
    else:
        assert ranking[0].error is None


def test_workers_keep_to_one_thread(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> None:
    """Also with statistics from another worker, which come without a number of threads."""
    asked: list[int | None] = []

    def resolve(n_threads: int | None) -> int:
        asked.append(n_threads)
        return 1

    monkeypatch.setattr("transferability._stats.stats.resolve_threads", resolve)
    target, options = read_target(labels), {"precision": "double", "class_scatters": True}
    shards = _dask_tasks.find_shards([str(path) for path in models["first"][:2]])
    first = _dask_tasks.read_shard(shards[0], target.take(slice(ROWS)), options)
    block = np.load(models["first"][1])
    second = _dask_tasks.read_block(block, target.take(slice(ROWS, 2 * ROWS)), "chunk 1", options)
    assert set(asked) == {1}
    there = [pickle.loads(pickle.dumps(state)) for state in (first, second)]
    asked.clear()
    merged = _dask_tasks.merge_stats(*there)
    assert set(asked) == {1}
    merged = pickle.loads(pickle.dumps(merged))
    asked.clear()
    row = _dask_tasks.score_model("m", merged, target.without_rows(), {"logme": {}, "gbc": {}})
    assert row.error is None
    assert row.n_samples == 2 * ROWS
    assert set(asked) == {1}


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_survive_the_way_back(name: str) -> None:
    cls = getattr(errors, name)
    error = pickle.loads(pickle.dumps(cls("x_6.npy, row 17")))
    assert type(error) is cls
    assert error.args == ("x_6.npy, row 17",)


def test_files_of_labels_go_with_their_shards(cluster: Cluster, tmp_path: Path) -> None:
    """Two files the wrong way round hold as many labels in all."""
    rng = np.random.default_rng(3)
    x = saved(tmp_path, [rng.normal(size=(rows, 3)) for rows in (20, 30, 20)])
    y = [tmp_path / f"y_{i}.npy" for i in range(3)]
    for path, rows in zip(y, (20, 30, 20), strict=True):
        np.save(path, np.arange(rows) % 2)
    assert tx.dask.stats(cluster.client, x, y).n_samples == 70
    with pytest.raises(errors.DataError, match=r"y_1\.npy has 30 .*x_0\.npy has 20 rows"):
        tx.dask.stats(cluster.client, x, [y[1], y[0], y[2]])
    with pytest.raises(errors.DataError, match=r"y_2\.npy would be the labels of x_0"):
        tx.dask.stats(cluster.client, x, [y[2], y[1], y[0]])
    both = tmp_path / "both.npy"
    np.save(both, np.arange(70) % 2)
    assert tx.dask.stats(cluster.client, x, both).n_samples == 70


def test_pairs_and_orders_as_without_dask(cluster: Cluster, tmp_path: Path) -> None:
    """The same decisions as of open_features; labels may be read by workers or be arrays."""
    rng = np.random.default_rng(3)
    y = np.arange(120) % 3
    x = rng.normal(size=(120, 3)) + y[:, None]
    own, other = saved(tmp_path, np.split(x, 12)), [tmp_path / f"{c}.npy" for c in "abcdefghijkl"]
    for path, part in zip(other, np.split(y, 12), strict=True):
        np.save(path, part)
    client, whole = cluster.client, tx.logme(x, y)
    pairs = list(zip(own, other, strict=True))
    arrays = list(zip(own, np.split(y, 12), strict=True))
    for features in (pairs, pairs[::-1], arrays, sorted(arrays, key=str)):
        found = tx.dask.stats(client, features)
        assert abs(found.logme() - whole) <= 1e-10 * max(1, abs(whole))
    ranking = tx.dask.rank(client, {"pairs": pairs, "arrays": arrays}, progress=False)
    assert [row.error for row in ranking] == [None, None]
    for names in ("f/a_emb f/a_f_emb f/b_emb", "l/a_y l/a_f_y l/b_y"):  # sorted differently
        for name, rows in zip(names.split(), np.split(x if names[0] == "f" else y, 3), strict=True):
            path = tmp_path / f"{name}.npy"
            path.parent.mkdir(exist_ok=True)
            np.save(path, rows)
    found = tx.dask.stats(client, tmp_path / "f", tmp_path / "l")
    assert abs(found.logme() - whole) <= 1e-10 * max(1, abs(whole))
    with pytest.raises(errors.DataError, match=r"a\.npy would be the labels of x_0\.npy"):
        tx.dask.stats(client, own, other)
    with pytest.raises(errors.DataError, match=r"x_11\.npy comes before x_2\.npy"):
        tx.dask.stats(client, sorted(own), y)
    with pytest.raises(errors.DataError, match="pairs, which have their labels"):
        tx.dask.stats(client, pairs, y)
    with pytest.raises(errors.DataError, match="the labels of 'turned' are not those of 'pairs'"):
        tx.dask.rank(client, {"pairs": pairs, "turned": pairs[::-1]})
    with pytest.raises(errors.DataError, match="labels is None"):
        tx.dask.rank(client, {"pairs": pairs, "none": own})
    with pytest.raises(errors.DataError, match=r"labels of .*x_0\.npy has 11 entries"):
        tx.dask.stats(client, [(own[0], y[:11]), (own[1], y[:9])])


def test_missing_labels_are_named(cluster: Cluster, models: dict[str, list[Path]]) -> None:
    with pytest.raises(errors.DataError, match="labels is None; give one label for each row"):
        tx.dask.stats(cluster.client, models["first"])


def test_folders_that_only_the_workers_see(
    cluster: Cluster, folder: Path, labels: NDArray[np.int64], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.path.isdir", lambda path: False)  # in this process alone
    found = tx.dask.stats(cluster.client, str(folder / "first"), labels)
    assert found.n_samples == len(labels)
    with pytest.raises(errors.DataError, match="nowhere"):
        tx.dask.stats(cluster.client, "nowhere", labels)
