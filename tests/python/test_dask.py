"""Dask on processes of its own: the same bits however the work is spread, and whoever dies."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import pytest
from click.testing import CliRunner
from dask_cluster import Cluster
from numpy.typing import NDArray

import transferability as tx
from transferability import _dask_tasks, errors
from transferability._target import read_target
from transferability.cli import main

N_SHARDS, ROWS, N_FEATURES = 8, 60, 12
MODELS = ("first", "second", "third")
METRICS = ["logme", "h_score", "transrate"]


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    rng = np.random.default_rng(1)
    return np.sort(rng.integers(0, 4, N_SHARDS * ROWS))  # sorted: no shard has every class


@pytest.fixture(scope="module")
def arrays(labels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(4, N_FEATURES))
    noise = {name: scale for name, scale in zip(MODELS, (0.5, 1.0, 4.0), strict=True)}
    return {
        name: centres[labels] + scale * rng.normal(size=(len(labels), N_FEATURES)) + 1e6
        for name, scale in noise.items()
    }


@pytest.fixture(scope="module")
def folder(
    tmp_path_factory: pytest.TempPathFactory,
    arrays: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for name, array in arrays.items():
        (folder / name).mkdir()
        for i, shard in enumerate(np.split(array, N_SHARDS)):
            np.save(folder / name / f"x_{i}.npy", shard)
    for i, part in enumerate(np.array_split(labels, 5)):
        np.save(folder / f"y_{i}.npy", part)
    np.save(folder / "labels.npy", labels)
    return folder


@pytest.fixture(scope="module")
def models(folder: Path) -> dict[str, list[Path]]:
    return {name: [folder / name / f"x_{i}.npy" for i in range(N_SHARDS)] for name in MODELS}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def expected(
    arrays: dict[str, NDArray[np.float64]], labels: NDArray[np.int64]
) -> dict[str, dict[str, float]]:
    """Scores of whole arrays in this process."""
    ranking = tx.rank(arrays, labels, METRICS, progress=False, method="tridiagonal")
    return {row.name: {metric: row.value(metric) for metric in METRICS} for row in ranking}


@pytest.fixture(scope="module")
def bits(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> list[tuple[str, ...]]:
    """Scores from the undisturbed cluster, as text that shows every bit."""
    return bits_of(tx.dask.rank(cluster.client, models, labels, METRICS, progress=False))


def bits_of(ranking: tx.Ranking) -> list[tuple[str, ...]]:
    assert not ranking.failed, [row.error for row in ranking.failed]
    return [(row.name, *(row.value(metric).hex() for metric in METRICS)) for row in ranking]


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
    assert 3 * N_SHARDS < n_read <= 3 * N_SHARDS + 12, "only what was begun is read again"

    alone = tx.dask.rank(cluster.client, models, labels, METRICS, progress=False)
    assert bits_of(alone) == bits, "one worker gives the bits of two"
    cluster.add_worker()
    cluster.client.wait_for_workers(2, timeout=60)


def gate_reading(folder: str, free: int) -> None:
    """On a worker: note every shard that is begun; after `free` of them wait for the file go."""
    read, gate = _dask_tasks.io.stats_of, Path(folder)

    def gated(path: Any, *args: Any, **options: Any) -> Any:
        n_begun = len(list(gate.glob("begun-*")))
        pid, now = os.getpid(), time.monotonic_ns()
        (gate / f"begun-{pid}-{now}").touch()
        if n_begun >= free and not (gate / "go").exists():
            (gate / f"waits-{pid}-{now}").touch()
            wait_for((gate / "go").exists)
        return read(path, *args, **options)

    _dask_tasks.io.stats_of = gated


def wait_for(ready: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


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


def saved(folder: Path, shards: list[NDArray[Any]]) -> list[Path]:
    paths = [folder / f"x_{i}.npy" for i in range(len(shards))]
    for path, shard in zip(paths, shards, strict=True):
        np.save(path, shard)
    return paths


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


def test_workers_keep_to_one_thread(
    monkeypatch: pytest.MonkeyPatch, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> None:
    """Also with statistics from another worker, which come without a number of threads."""
    asked: list[int | None] = []

    def resolve(n_threads: int | None) -> int:
        asked.append(n_threads)
        return 1

    monkeypatch.setattr("transferability._threads.resolve", resolve)
    target, options = read_target(labels), {"precision": "double", "class_scatters": True}
    shards = _dask_tasks.find_shards([str(path) for path in models["first"][:2]])
    first = _dask_tasks.read_shard(shards[0], target.part(0, ROWS), options)
    block = np.load(models["first"][1])
    second = _dask_tasks.read_block(block, target.part(ROWS, 2 * ROWS), "chunk 1", options)
    assert set(asked) == {1}
    there = [pickle.loads(pickle.dumps(state)) for state in (first, second)]
    asked.clear()
    merged = _dask_tasks.merge_states(*there)
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


def test_command_line(cluster: Cluster, folder: Path, bits: list[tuple[str, ...]]) -> None:
    command = [sys.executable, "-m", "transferability", "rank", "--dask", cluster.address]
    command += [f"{name}={folder / name}" for name in MODELS]
    command += ["--labels", str(folder / "labels.npy"), "--metrics", ",".join(METRICS), "--json"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stderr
    rows = json.loads(result.stdout)["rows"]
    found = [(r["name"], *(float(r["scores"][m]).hex() for m in METRICS)) for r in rows]
    assert found == bits


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["m=x.npy", "--source-probs", "."], 2, "leave out --source-probs"),
        (["m=x.npy", "--method", "svd"], 2, "leave out --method"),
        (["m=x.npy", "--threads", "2"], 2, "leave out --threads"),
        (["m=x.npy", "m=y.npy"], 2, "two models are called 'm'"),
        (["m="], 2, "'m=' is not NAME=PATH"),
        (["m=x.npy"], 1, "no Dask scheduler answers at tcp://127.0.0.1:1"),
    ],
)
def test_command_line_errors(
    monkeypatch: pytest.MonkeyPatch, options: list[str], code: int, text: str
) -> None:
    monkeypatch.setattr("transferability.cli._dask._PATIENCE", 0.5)
    command = ["rank", "--dask", "tcp://127.0.0.1:1", "--labels", "y.npy", *options]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == code, result.output
    assert text in result.output


def test_command_line_finds_files_here(
    cluster: Cluster, folder: Path, labels: NDArray[np.int64], tmp_path: Path
) -> None:
    """Without NAME= a file is a model, as without --dask; a failing model ends with 4."""
    shard = folder / "first" / "x_0.npy"
    np.savetxt(tmp_path / "y.csv", labels[::N_SHARDS], fmt="%d")
    command = [
        "rank",
        "--dask",
        cluster.address,
        str(shard),
        f"none={folder / 'none.npy'}",
        "--csv",
    ]
    result = CliRunner().invoke(main, [*command, "--labels", str(tmp_path / "y.csv")])
    assert result.exit_code == 4, result.output
    assert "none,nan" in result.output
    assert "1 of 2 models failed" in result.output


def test_interrupting_stops_the_cluster(
    cluster: Cluster, models: dict[str, list[Path]], labels: NDArray[np.int64]
) -> None:
    def interrupt(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    many = {f"{name}-{i}": paths for i in range(20) for name, paths in models.items()}
    with pytest.raises(KeyboardInterrupt):
        tx.dask.rank(cluster.client, many, labels, progress=interrupt)
    wait_for(lambda: not cluster.client.run_on_scheduler(n_tasks), 20)


def n_tasks(dask_scheduler: Any) -> int:
    return len(dask_scheduler.tasks)


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


def fail_reading(folder: str, name: str, n_failures: int) -> None:
    """On a worker: reading a file fails that often, counted by files as workers share them."""
    read = getattr(_dask_tasks.io.stats_of, "read", _dask_tasks.io.stats_of)

    def flaky(source: Any, *args: Any, **options: Any) -> Any:
        if source.shards[0].path.name == name and len(os.listdir(folder)) < n_failures:
            Path(folder, str(time.monotonic_ns())).touch()
            raise OSError("the server does not answer")
        return read(source, *args, **options)

    flaky.read = read  # type: ignore[attr-defined]
    _dask_tasks.io.stats_of = flaky


def test_the_recipe_for_other_engines(
    folder: Path,
    tmp_path: Path,
    arrays: dict[str, NDArray[np.float64]],
    labels: NDArray[np.int64],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The function of docs/distributed.md, whatever order its results arrive in."""
    text = (Path(__file__).parents[2] / "docs" / "distributed.md").read_text(encoding="utf-8")
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
