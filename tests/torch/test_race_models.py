"""rank_models(race=): rounds of forward passes, the cache, layers, sweeps that are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sweep_models import Counted
from torch import nn

import transferability as tx
from transferability._data.data import Data
from transferability._racing import rounds as running
from transferability._sweep.costs import add_up_costs
from transferability.errors import DataError

N = 400
#: With so few models nothing is dropped in the first round.
_SWEEP = """
import sys
import numpy as np
import transferability as tx

inputs = np.random.default_rng(5).normal(size=(400, 12)).astype(np.float32)

tx.rank_models(
    sys.argv[2].split(","), (inputs, inputs[:, :3].argmax(axis=1)), cache=sys.argv[1],
    race=tx.Race(first=100, max_samples=200, growth=2.0, level=1e-9),
)
"""


@pytest.fixture(scope="module")
def data() -> tuple[Any, Any]:
    inputs = np.random.default_rng(5).normal(size=(N, 12)).astype(np.float32)
    return inputs, inputs[:, :3].argmax(axis=1)


def rows_run(counts: Path, tag: str | None = None) -> int:
    lines = [line.split(" ") for line in counts.read_text().splitlines()]
    return sum(int(rows) for _, of, rows in lines if tag in (None, of))


def noisy(scale: float, seed: int) -> nn.Module:
    """Return a model of which `scale` says how little of the inputs is in its features."""
    model = Counted(tag=f"s{seed}", seed=seed, width=12)
    with torch.no_grad():
        model.stem.weight.copy_(torch.eye(12) / (1 + scale * torch.arange(12.0))[:, None].flip(0))
        model.stem.weight[:3] /= 1 + 20 * scale
        for block in model.blocks:
            block[0].weight.mul_(3 * scale)
    return model


@pytest.fixture(scope="module")
def models() -> dict[str, nn.Module]:
    return {f"m{k}": noisy(0.1 * k, k) for k in range(8)}


def raced(models: Any, data: Any, cache: Any, **options: Any) -> tx.Ranking:
    options = {"isolate": False, "race": True, **options}
    return tx.rank_models(models, data, cache=cache, **options)


@pytest.mark.parametrize("layers", ["last", "all"])
@pytest.mark.parametrize("first", [100, N])
def test_all_rows_give_the_scores_of_no_race(
    models: Any,
    data: Any,
    tmp_path: Path,
    counts: Path,
    monkeypatch: pytest.MonkeyPatch,
    layers: str,
    first: int,
) -> None:
    monkeypatch.setattr(running, "choose_drops", lambda *arguments: [])
    some = {name: models[name] for name in ("m0", "m1", "m2", "m3")}
    metrics = ["logme", "knn", "gbc", "nce"]
    options: dict[str, Any] = {"isolate": False, "metrics": metrics, "layers": layers}
    full = tx.rank_models(some, data, cache=tmp_path / "a", **options)
    ranking = raced(some, data, tmp_path / "b", race=tx.Race(first=first), **options)
    assert ranking.digest == full.digest
    assert ranking.names == full.names
    # In several rounds, rows share batches with others, which changes the rounding in float32.
    tolerance = 0.0 if first == N else 1e-5
    for row in ranking:
        assert row.n_samples == N
        assert row.layers.keys() == full[row.name].layers.keys()
        for layer, scores in full[row.name].layers.items():
            for metric, score in scores.items():
                value = float(row.layers[layer][metric])
                assert value == pytest.approx(float(score), abs=tolerance, rel=0)


def test_rows_that_do_not_depend_on_their_batch_give_the_scores_of_no_race(
    data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To 1e-12 in float64: the 1e-5 above is that of the forward passes in float32."""
    monkeypatch.setattr(running, "choose_drops", lambda *arguments: [])
    torch.manual_seed(0)
    parts = [(nn.Linear(12, 20), nn.Tanh(), nn.Linear(20, 3)) for _ in range(4)]
    models = {f"m{k}": nn.Sequential(*own).double() for k, own in enumerate(parts)}
    inputs = data[0].astype(np.float64)
    embeddings = np.random.default_rng(0).normal(size=(N, 5, 1))
    for labels, options in (
        (data[1], {"metrics": ["logme", "h_score", "knn", "leep"], "layers": "all"}),
        (data[1], {"metrics": "recommended", "pool": ["mean", "max"]}),
        (data[1], {"metrics": ["logme", "transrate"], "label_embeddings": embeddings}),
        (inputs[:, 0], {"metrics": ["logme"]}),
        ((inputs[:, :4] > 0) * 1, {"metrics": ["logme"], "task": "multilabel"}),
    ):
        given = (inputs, labels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tx.TransferabilityWarning)
            full = tx.rank_models(models, given, cache=tmp_path / "a", isolate=False, **options)
            several = raced(models, given, tmp_path / "b", **options)
            one = raced(models, given, tmp_path / "c", race=tx.Race(first=N), **options)
        assert several.race is not None
        assert len(several.race.rounds) > 2
        for ranking, tolerance in ((one, 0.0), (several, 1e-12)):
            assert ranking.names == full.names
            for row in ranking:
                assert row.layers.keys() == full[row.name].layers.keys()
                for layer, scores in full[row.name].layers.items():
                    for metric, score in scores.items():
                        value = float(row.layers[layer][metric])
                        assert value == pytest.approx(float(score), abs=tolerance, rel=tolerance)


def test_a_race_measures_costs(models: Any, data: Any, tmp_path: Path, counts: Path) -> None:
    ranking = raced(models, data, tmp_path / "b")
    full = tx.rank_models(models, data, cache=tmp_path / "a", isolate=False)
    assert ranking.race is not None
    for row in ranking:
        assert row.costs.keys() == full[row.name].costs.keys()
        assert row.costs["parameters"] == full[row.name].costs["parameters"]
        assert row.costs["rows_per_second"] > 0
    assert {*ranking.pareto().scores} == {*ranking.race.finalists}
    two = [(30, {"rows_per_second": 10.0, "memory": 5.0}), (10, {"rows_per_second": 5.0})]
    assert add_up_costs(two) == {"rows_per_second": 8.0, "memory": 5.0}
    assert add_up_costs([(30, {})]) == {}


def test_a_dead_layer_is_noted(data: Any, tmp_path: Path, counts: Path) -> None:
    dead = nn.Sequential(nn.Linear(12, 4), nn.Linear(4, 3))
    nn.init.zeros_(dead[0].weight)
    full = tx.rank_models({"dead": dead}, data, cache=tmp_path / "a", isolate=False)
    ranking = raced({"dead": dead}, data, tmp_path / "b", race=tx.Race(first=100))
    assert "is dead: every feature is constant" in " ".join(full[0].notes)
    assert ranking[0].notes == full[0].notes


def test_a_race_of_models_is_that_of_their_features(
    models: Any, data: Any, tmp_path: Path, counts: Path
) -> None:
    ranking = raced(models, data, tmp_path, layers=["blocks.1"])
    report = ranking.race
    assert report is not None
    assert rows_run(counts) == report.passes < report.passes_without == 8 * N
    features = {}
    for name, model in models.items():
        with tx.torch.extract(model.eval(), layers=["blocks.1"], keep_features=True) as ex:
            ex.update(torch.as_tensor(data[0]))
        features[name] = ex.features["blocks.1"]
    expected = tx.rank(features, data[1], race=True, progress=False)
    assert expected.race is not None
    assert report.rounds == expected.race.rounds
    assert ranking.names == expected.names
    for row in ranking:
        assert row.round == expected[row.name].round
        assert float(row.logme) == pytest.approx(float(expected[row.name].logme), rel=1e-6)
    before = rows_run(counts)
    again = raced(models, data, tmp_path, layers=["blocks.1"])
    assert rows_run(counts) == before  # all rounds are in the cache
    assert again.race == report
    assert [float(row.logme) for row in again] == [float(row.logme) for row in ranking]
    with warnings.catch_warnings():  # few rows per feature
        warnings.simplefilter("ignore", tx.TransferabilityWarning)
        assert {*ranking.stability(20).names} == {*report.finalists}


def test_layers_outputs_and_consensus(models: Any, data: Any, tmp_path: Path, counts: Path) -> None:
    for options in (
        {"layers": "all", "aggregate": "best"},
        {"layers": ["blocks.0", "blocks.1"], "aggregate": "mean"},
        {"metrics": "recommended"},
        {"metrics": ["leep", "logme"]},
    ):
        ranking = raced(models, data, tmp_path, **options)
        full = tx.rank_models(models, data, cache=tmp_path, isolate=False, **options)
        assert not ranking.failed
        assert ranking.race is not None
        assert full.names[0] in ranking.race.finalists
        assert ranking.metrics == full.metrics


def test_a_failing_model_leaves_the_race(
    models: Any, data: Any, tmp_path: Path, counts: Path
) -> None:
    ranking = raced({**models, "bad": "sweep_models:raises"}, data, tmp_path)
    assert [row.name for row in ranking.failed] == ["bad"]
    assert "this model is broken" in str(ranking["bad"].error)
    assert ranking.race is not None
    assert all("bad" not in one.models for one in ranking.race.rounds[1:])


def test_without_a_cache_and_with_a_sample(models: Any, data: Any, counts: Path) -> None:
    ranking = raced(models, data, False, max_samples=300, seed=4)
    assert ranking.race is not None
    assert ranking.race.n_samples == 300
    assert ranking.race.options.seed == 4
    with pytest.raises(DataError, match="does not know its features"):
        ranking.stability()


def test_kill_9_in_the_second_round_loses_one_round_of_a_model(
    tmp_path: Path, counts: Path
) -> None:
    names = [f"sweep_models:good?tag={tag}&seed={i}" for i, tag in enumerate("ab")]
    names += ["sweep_models:slow?tag=c&seed=2", "sweep_models:good?tag=d&seed=3"]
    script = tmp_path / "sweep.py"
    script.write_text(_SWEEP)
    command = [sys.executable, str(script), str(tmp_path / "cache"), ",".join(names)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 200
    while rows_run(counts, "c") <= 100:  # the third model runs its second round
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.5)
    lost = rows_run(counts, "c") - 100
    assert 0 < lost < 100
    done = rows_run(counts)
    again = subprocess.run(command, check=True, timeout=300)
    assert again.returncode == 0
    # Rounds that had ended are in the cache: the rest of the race, and the round that was lost.
    assert rows_run(counts, "c") == 200 + lost
    assert rows_run(counts) == 4 * 200 + lost
    assert done < rows_run(counts)


def test_words_and_pixels_do_not_race(counts: Path) -> None:
    words = [["a", "b"], ["c", "d"]] * 20
    with pytest.raises(DataError, match="leave out race"):
        tx.rank_models({"a": Counted()}, (words, [["x", "y"]] * 40), cache=False, race=True)


def test_rows_of_rows() -> None:
    items = [f"text {i}" for i in range(20)]
    data = Data("text", items, np.arange(20))
    some = data.sample(10, 0).select([2, 5])
    positions = [some.original_row(i) for i in range(2)]
    assert [some.items[i] for i in range(2)] == [f"text {row}" for row in positions]
    assert some.labels.tolist() == positions
    assert some.n_original == 20
    assert some.digest() == Data("text", [items[i] for i in positions], some.labels).digest()
