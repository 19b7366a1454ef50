"""rank_models end to end on tiny models: numbers, layers, faults, tasks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from sweep_models import Counted, Hungry, Raises
from torch import nn

import transferability as tx
from transferability._util.cache import Cache
from transferability.errors import DataError, DtypeError
from transferability.torch import extract

N = 300
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def inputs() -> NDArray[np.float32]:
    return np.random.default_rng(5).normal(size=(N, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def labels(inputs: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(inputs[:, :3].argmax(axis=1))


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if str(HERE) not in sys.path:
        monkeypatch.syspath_prepend(str(HERE))


def ranked(models: Any, data: Any, tmp_path: Path, **options: Any) -> tx.Ranking:
    return tx.rank_models(models, data, cache=tmp_path, **{"isolate": False, **options})


def features_of(model: torch.nn.Module, inputs: Any, layers: list[str]) -> dict[str, Any]:
    with extract(model.eval(), layers=layers, keep_features="float64") as ex:
        ex.update(torch.as_tensor(inputs))
    return ex.features


def test_numbers_are_those_of_saved_features(tmp_path: Path, inputs: Any, labels: Any) -> None:
    names = [f"sweep_models:good?seed={seed}" for seed in range(3)]
    ranking = ranked(
        names, (inputs, labels), tmp_path, layers="all", metrics=["logme", "h_score", "gbc", "knn"]
    )
    assert set(ranking.names) == set(names)
    for seed, name in enumerate(names):
        saved = features_of(Counted(seed=seed), inputs, ["blocks.0", "blocks.1"])
        for layer, features in saved.items():
            for metric, score in ranking[name].layers[layer].items():
                expected = tx.score(features.astype(np.float32), labels, metric)
                assert float(score) == pytest.approx(float(expected), rel=1e-10), (layer, metric)
    best = max(ranking, key=lambda row: row.value("logme"))
    assert ranking.best is best
    assert best.layer == "blocks.1"
    assert best.n_samples == N


def test_rankings_add_up_with_those_of_saved_features(
    tmp_path: Path, inputs: Any, labels: Any
) -> None:
    ours = ranked("sweep_models:good", (inputs, labels), tmp_path)
    both = ours + tx.rank({"saved": inputs}, labels)
    assert set(both.names) == {"saved", "sweep_models:good"}
    with pytest.raises(DataError, match="not of the same rows and labels"):
        ours + tx.rank({"saved": inputs}, labels[::-1])


def test_layer_choice(tmp_path: Path, inputs: Any, labels: Any) -> None:
    data = (inputs, labels)
    rows = {
        choice: ranked("sweep_models:good", data, tmp_path, layers="all", aggregate=choice)[0]
        for choice in ("last", "best", "mean")
    }
    of_layers = {layer: float(s["logme"]) for layer, s in rows["last"].layers.items()}
    assert list(of_layers) == ["blocks.0.0.input", "blocks.0", "blocks.1"]
    assert float(rows["last"].logme) == of_layers["blocks.1"]
    assert float(rows["best"].logme) == max(of_layers.values())
    assert "best of 3: a maximum over layers is too high by chance" in rows["best"].notes[1]
    assert rows["mean"].layer == "mean"
    saved = features_of(Counted(), inputs, ["stem", "blocks.0", "blocks.1"])
    mean = np.mean(list(saved.values()), axis=0)
    # The rows are averaged in float32: 6e-8 of a feature, and the score moves by no more.
    assert float(rows["mean"].logme) == pytest.approx(float(tx.logme(mean, labels)), rel=1e-6)
    assert rows["mean"].notes[0] == "features averaged over 3 layers"


def test_best_layer_by_a_metric_that_compares(tmp_path: Path, inputs: Any, labels: Any) -> None:
    """NCTI has values among several only, here among the layers."""
    names = ["blocks.1", "blocks.0", "stem"]
    options = {"metrics": "ncti", "layers": names, "isolate": False}
    best = ranked("sweep_models:good", (inputs, labels), tmp_path, aggregate="best", **options)
    saved = features_of(Counted(), inputs, names)
    kept = {name: rows.astype(np.float32) for name, rows in saved.items()}
    assert best[0].layer == tx.rank(kept, labels, "ncti").best.name != names[0]


def test_layers_of_unlike_width_have_no_mean(tmp_path: Path, inputs: Any, labels: Any) -> None:
    ranking = ranked(
        "sweep_models:good", (inputs, labels), tmp_path, layers=["stem", "head"], aggregate="mean"
    )
    assert "have no mean; choose layers of one width" in str(ranking[0].error)


def test_what_the_head_says(tmp_path: Path, inputs: Any, labels: Any) -> None:
    metrics = ["logme", "leep", "nce"]
    row = ranked("sweep_models:good", (inputs, labels), tmp_path, metrics=metrics)[0]
    logits = Counted()(torch.as_tensor(inputs)).detach()
    probs = torch.softmax(logits.double(), dim=1).numpy()
    expected = tx.score(None, labels, ["leep", "nce"], source_probs=probs,
                        source_labels=probs.argmax(axis=1))  # fmt: skip
    assert float(row.leep) == pytest.approx(float(expected["leep"]), rel=1e-6)  # float32 logits
    assert float(row.nce) == pytest.approx(float(expected["nce"]), rel=1e-12)


def test_without_a_head_leep_says_so(tmp_path: Path, inputs: Any, labels: Any) -> None:
    ranking = ranked("sweep_models:plain", (inputs, labels), tmp_path, metrics=["logme", "leep"])
    assert ranking[0].error is None
    assert any("leep failed" in note for note in ranking[0].notes)


FAULTS = {
    "raises": "ValueError: this model is broken in two lines",
    "killed": "killed by signal 9 (SIGKILL): probably out of memory, while extracting, after 0",
    "crashes": "killed by signal 11 (SIGSEGV)",
    "exits": "its process ended with exit code 7 and no result",
    "starving": "MemoryError: for one row even",
    "broken": "OSError: the weights are not there",
    "nothere": "sweep_models has no function 'nothere'",
    "nan": "gives features that are NaN or infinite in batch 0",
}


@pytest.mark.parametrize("isolate", [True, False])
def test_a_fault_is_a_row_with_its_reason(
    tmp_path: Path, inputs: Any, labels: Any, isolate: bool
) -> None:
    faults = [fault for fault in FAULTS if (fault in ("killed", "crashes", "exits")) == isolate]
    names = [f"sweep_models:{fault}" for fault in faults]
    names.insert(2, "sweep_models:good")
    ranking = ranked(names, (inputs, labels), tmp_path, isolate=isolate)
    assert ranking.names[0] == "sweep_models:good"
    assert len(ranking.failed) == len(faults)
    for fault in faults:
        reason = FAULTS[fault]
        error = str(ranking[f"sweep_models:{fault}"].error)
        assert reason in error
        assert "\n" not in error


def test_batches_halve_until_they_fit(tmp_path: Path, inputs: Any, labels: Any) -> None:
    hungry = ranked("sweep_models:hungry", (inputs, labels), tmp_path)[0]
    assert hungry.notes[0].startswith("batches of 4 rows, for lack of memory (DefaultCPUAllocator")
    assert hungry.n_samples == N  # no row is lost, none counts twice
    plenty = ranked("sweep_models:good", (inputs, labels), tmp_path)[0]
    assert float(hungry.logme) == pytest.approx(float(plenty.logme), rel=1e-12)


class HungryOnce(Hungry):
    """Runs out of memory in the middle of the data, once, within a layer that comes late."""

    calls = 0

    def before(self, x: torch.Tensor) -> None:
        type(self).calls += 1

    def after(self, x: torch.Tensor) -> torch.Tensor:
        if type(self).calls == 5:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return x


def test_a_batch_that_fails_late_counts_once(tmp_path: Path, inputs: Any, labels: Any) -> None:
    HungryOnce.calls = 0
    late = ranked({"m": HungryOnce()}, (inputs, labels), tmp_path, layers="all", batch_size=20)[0]
    assert late.notes[0].startswith("batches of 10 rows")
    plenty = ranked("sweep_models:good", (inputs, labels), tmp_path, layers="all")[0]
    for layer, scores in plenty.layers.items():
        assert float(late.layers[layer]["logme"]) == pytest.approx(
            float(scores["logme"]), rel=1e-12
        )


def test_wrong_layers_offer_names(tmp_path: Path, inputs: Any, labels: Any) -> None:
    ranking = ranked("sweep_models:good", (inputs, labels), tmp_path, layers=["blocks.2"])
    assert "did you mean 'blocks.0'" in str(ranking[0].error) or "blocks.1" in str(ranking[0].error)


def test_a_dead_layer_is_warned_about(tmp_path: Path, inputs: Any, labels: Any) -> None:
    ranking = ranked("sweep_models:dead", (inputs, labels), tmp_path, layers=["blocks.1.0"])
    assert ranking[0].notes[0] == "layer blocks.1.0 is dead: every feature is constant"


def test_modules_of_your_own(tmp_path: Path, inputs: Any, labels: Any) -> None:
    model = Counted()
    ranking = ranked({"mine": model}, (inputs, labels), tmp_path, isolate=True)
    named = ranked("sweep_models:good", (inputs, labels), tmp_path)
    assert ranking[0].error is None
    assert float(ranking[0].logme) == float(named[0].logme)
    assert [name for name, _ in model.named_children()] == ["stem", "blocks", "head"]


def test_what_does_not_pickle_says_so(tmp_path: Path, inputs: Any, labels: Any) -> None:
    model = Counted()
    model.hook = lambda x: x  # type: ignore[assignment]
    ranking = ranked({"mine": model}, (inputs, labels), tmp_path, isolate=True)
    assert "cannot be sent to a process of its own" in str(ranking[0].error)
    assert "isolate=False" in str(ranking[0].error)


def test_an_error_in_a_process_of_its_own_is_one_line(
    tmp_path: Path, inputs: Any, labels: Any
) -> None:
    ranking = ranked({"mine": Raises()}, (inputs, labels), tmp_path, isolate=True)
    assert ranking[0].error == FAULTS["raises"]


@pytest.mark.parametrize("task", ["regression", "multi-output", "multilabel"])
def test_tasks(tmp_path: Path, inputs: Any, task: str) -> None:
    targets = inputs[:, :2].astype(np.float64) @ np.array([[1.0, 0.5], [0.3, -2]])
    labels = {
        "regression": targets[:, 0],
        "multi-output": targets,
        "multilabel": np.column_stack([targets > 0, np.ones(N)]).astype(int),
    }[task]
    ranking = ranked("sweep_models:good", (inputs, labels), tmp_path, layers=["blocks.1"])
    assert ranking.task == ("multilabel" if task == "multilabel" else "regression")
    saved = features_of(Counted(), inputs, ["blocks.1"])
    expected = tx.rank({"m": saved["blocks.1"].astype(np.float32)}, labels)
    assert float(ranking[0].logme) == pytest.approx(float(expected[0].logme), rel=1e-10)
    assert ranking.warnings == expected.warnings
    assert (task == "multilabel") == any("all 0 or all 1" in text for text in ranking.warnings)


def test_string_labels_in_small_batches(tmp_path: Path, inputs: Any, labels: Any) -> None:
    names = np.array(["no", "yes", "perhaps"])[labels]
    small = ranked("sweep_models:good", (inputs, names), tmp_path, batch_size=7)
    large = ranked("sweep_models:good", (inputs, labels), tmp_path)
    assert small[0].logme.classes == ("no", "perhaps", "yes")
    assert float(small[0].logme) == pytest.approx(float(large[0].logme), rel=1e-12)


def test_drawn_rows_are_said(tmp_path: Path, inputs: Any, labels: Any) -> None:
    ranking = ranked("sweep_models:good", (inputs, labels), tmp_path, max_samples=100, seed=3)
    assert ranking[0].n_samples == 100
    assert ranking.warnings == ("100 of 300 rows, drawn by seed 3",)


def test_rows_go_by_place_whatever_their_index(tmp_path: Path, inputs: Any, labels: Any) -> None:
    """A frame that was shuffled or filtered has labels whose index is not their place."""
    order = np.random.default_rng(2).permutation(N)
    mixed = inputs[order]
    series = pd.Series(labels)[order]
    targets = pd.DataFrame(inputs[:, :2] + 0.5, columns=["a", "b"]).loc[order]
    for given, plain in ((series, labels[order]), (targets, targets.to_numpy())):
        options = {"max_samples": 100, "layers": ["stem"]}
        found = ranked("sweep_models:good", (mixed, given), tmp_path / "a", **options)
        expected = ranked("sweep_models:good", (mixed, plain), tmp_path / "b", **options)
        assert float(found[0].logme) == float(expected[0].logme)
    frame = pd.DataFrame(mixed, index=order)
    found = ranked("sweep_models:good", (frame, series), tmp_path / "a")
    expected = ranked("sweep_models:good", (mixed, labels[order]), tmp_path / "b")
    assert float(found[0].logme) == float(expected[0].logme)


def test_a_module_that_is_one_layer(inputs: Any, labels: Any) -> None:
    """What goes into it are the features."""
    ranking = tx.rank_models({"m": nn.Linear(12, 2)}, (inputs, labels), cache=False, isolate=False)
    assert ranking[0].error is None
    assert float(ranking[0].logme) == pytest.approx(float(tx.logme(inputs, labels)), rel=1e-10)


def test_layers_are_in_the_json(tmp_path: Path, inputs: Any, labels: Any) -> None:
    ranking = ranked("sweep_models:good", (inputs, labels), tmp_path, layers="all", n_threads=1)
    (row,) = ranking.to_dict()["rows"]
    assert row["layer"] == "blocks.1"
    assert list(row["layers"]) == list(ranking[0].layers)
    assert row["layers"]["blocks.1"]["logme"] == row["scores"]["logme"] == float(ranking[0].logme)
    assert ranking[0].logme.task_note == ranking.task_note != "classification, as asked"


def test_how_sure_the_order_is(tmp_path: Path, inputs: Any, labels: Any) -> None:
    names = [f"sweep_models:good?seed={seed}" for seed in range(2)]
    kept = ranked(names, (inputs, labels), tmp_path, keep_features=True)
    saved = {
        f"sweep_models:good?seed={seed}": features_of(Counted(seed=seed), inputs, ["blocks.1"])
        for seed in range(2)
    }
    plain = tx.rank({n: f["blocks.1"].astype(np.float32) for n, f in saved.items()}, labels)
    again = ranked(names, (inputs, labels), tmp_path, keep_features=True, layers=["blocks.1"])
    np.testing.assert_allclose(
        again.stability().standard_errors, plain.stability().standard_errors, rtol=1e-8
    )
    Cache(tmp_path).clear()
    with pytest.raises(DataError, match="no longer in the cache"):
        kept.stability()
    without = ranked(names, (inputs, labels), tmp_path)
    with pytest.raises(DataError, match="keep_features=True"):
        without.stability()


@pytest.mark.parametrize("cached", [False, True])
def test_scores_describe_the_labels_as_those_of_saved_features(
    tmp_path: Path, inputs: Any, labels: Any, cached: bool
) -> None:
    """Statistics of the cache know positions of columns and 0/1; the labels have their names."""
    booleans = np.stack([labels == c for c in range(3)] + [labels < 0], axis=1)  # one is constant
    columns = pd.DataFrame(booleans[:, :3].astype(int), columns=["cat", "dog", "owl"])
    cases: list[tuple[Any, dict[str, Any]]] = [
        (labels, {}),
        (labels == 1, {}),
        (np.array(["a", "bc", "d"])[labels], {}),
        (booleans, {"task": "multilabel"}),
        (columns, {}),
        (inputs[:, :2].astype(float), {}),
        (pd.DataFrame(inputs[:, :2], columns=["x", "y"]), {}),
    ]
    name = "sweep_models:good"
    saved = features_of(Counted(), inputs, ["blocks.1"])["blocks.1"].astype(np.float32)
    for own, options in cases:
        row = ranked(name, (inputs, own), tmp_path, layers=["blocks.1"], **options)[name]
        if cached:
            row = ranked(name, (inputs, own), tmp_path, layers=["blocks.1"], **options)[name]
            assert row.from_cache
        expected = tx.rank({name: saved}, own, **options)[name].logme
        assert float(row.logme) == pytest.approx(float(expected), rel=1e-10)
        for fact in ("task", "n_classes", "classes", "class_counts", "targets"):
            assert repr(getattr(row.logme, fact)) == repr(getattr(expected, fact)), fact


def test_recommended(tmp_path: Path, inputs: Any, labels: Any) -> None:
    names = ["sweep_models:good", "sweep_models:good?seed=1"]
    ranking = ranked(names, (inputs, labels), tmp_path, metrics="recommended")
    assert not ranking.failed


def test_progress_says_where_it_is(tmp_path: Path, inputs: Any, labels: Any) -> None:
    seen: list[Any] = []
    names = ["sweep_models:good", "sweep_models:good?seed=1"]
    ranked(names, (inputs, labels), tmp_path, progress=seen.append, isolate=True)
    stages = [state.stage for state in seen if state.index == 2]
    assert list(dict.fromkeys(stages)) == ["loading", "extracting", "saving", "scoring", "done"]
    last = [state for state in seen if state.stage == "extracting"][-1]
    assert (last.index, last.n_models, last.done, last.total) == (2, 2, N, N)
    assert last.rows_per_second > 0
    assert last.peak_bytes > 10 * 2**20
    assert last.seconds_left is not None
    assert str(last).startswith("model 2 of 2, sweep_models:good?seed=1: extracting, 300 of 300")
    assert seen[-1].seconds_left == 0


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"models": []}, DataError, "models is empty"),
        ({"models": 3}, DtypeError, "models must be names"),
        ({"batch_size": 0}, DataError, "batch_size must be at least 1, got 0"),
        ({"max_samples": 2.5}, DtypeError, "max_samples must be a whole number"),
        ({"seed": -1}, DataError, "seed must be at least 0"),
        ({"seed": 0.5}, DtypeError, "seed must be a whole number"),
        ({"layers": 5}, DtypeError, "give 'default', 'last', 'all', or a list"),
        ({"layers": []}, DataError, "layers is empty"),
        ({"aggregate": "max"}, DataError, "choose from 'last', 'mean', 'best'"),
        ({"metrics": "logmi"}, DataError, "did you mean 'logme'"),
        ({"depth": 3}, DtypeError, "unknown option 'depth'"),
        ({"task": "clustering"}, DataError, "task is 'clustering'"),
    ],
)
def test_what_concerns_all_models_is_an_error(
    tmp_path: Path, inputs: Any, labels: Any, options: Any, kind: type[Exception], message: str
) -> None:
    models = options.pop("models", "sweep_models:good")
    with pytest.raises(kind, match=message):
        ranked(models, (inputs, labels), tmp_path, **options)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device(tmp_path: Path, inputs: Any, labels: Any) -> None:
    there = ranked("sweep_models:good", (inputs, labels), tmp_path / "cuda", device="cuda")[0]
    here = ranked("sweep_models:good", (inputs, labels), tmp_path / "cpu", device="cpu")[0]
    assert float(there.logme) == pytest.approx(float(here.logme), rel=1e-4)  # float32 products


def test_costs_are_measured_and_kept_in_the_cache(tmp_path: Path, inputs: Any, labels: Any) -> None:
    names = [f"sweep_models:good?seed={seed}" for seed in range(2)]
    ranking = ranked(names, (inputs, labels), tmp_path)
    n_weights = sum(weights.numel() for weights in Counted(seed=0).parameters())
    for row in ranking:
        assert set(row.costs) == {"parameters", "rows_per_second", "memory"}
        assert row.costs["parameters"] == n_weights
        assert row.costs["rows_per_second"] > 0
        assert row.costs["memory"] > 1e6
    assert set(ranking.pareto("parameters").names) == {ranking.names[0]}
    again = ranked(names, (inputs, labels), tmp_path)
    assert [row.costs for row in again] == [row.costs for row in ranking]


def test_a_prior_and_costs_are_columns_and_serve_shortlists(
    tmp_path: Path, inputs: Any, labels: Any
) -> None:
    names = [f"sweep_models:good?seed={seed}" for seed in range(3)]
    prior = dict(zip(names, [60.0, 70, 80], strict=True))
    costs = {"price": {names[0]: 1.0, names[1]: 2.0}, "parameters": {names[0]: 7.0}}
    ranking = ranked(
        names, (inputs, labels), tmp_path, keep_features=True, prior=prior, costs=costs
    )
    assert ranking.metrics == ("logme", "prior")
    assert {row.name: row.value("prior") for row in ranking} == prior
    measured = ranking[names[1]].costs["parameters"]
    assert ranking[names[0]].costs["parameters"] == 7.0  # the number given is preferred
    assert measured > 7.0
    assert ranking.pareto("price").left_out == (names[2],)
    found = ranking.shortlist()
    assert found.prior is not None
    plain = ranked(names, (inputs, labels), tmp_path, keep_features=True)
    assert found.models == plain.shortlist(prior=prior).models
    assert ranking.shortlist(method="hybrid").names[-1] == names[2]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"prior": {"other": 1.0}}, DataError, "prior has 'other', which is no model here"),
        ({"prior": [1.0]}, DtypeError, "prior must be a mapping"),
        ({"costs": {"price": {"other": 1.0}}}, DataError, "'other', which is no model here"),
        ({"costs": {"price": 3}}, DtypeError, r"costs\['price'\] must map models"),
    ],
)
def test_a_wrong_prior_or_cost_is_named_before_any_model_runs(
    tmp_path: Path, inputs: Any, labels: Any, given: Any, error: type[Exception], message: str
) -> None:
    def report(state: Any) -> None:
        raise AssertionError("no model should run")

    with pytest.raises(error, match=message):
        ranked("sweep_models:good", (inputs, labels), tmp_path, progress=report, **given)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("metrics", ["logme", "no such layer"])
def test_a_module_of_this_process_is_left_as_it_was(
    tmp_path: Path, inputs: Any, labels: Any, dtype: str | None, metrics: str
) -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    module[1].eval()  # frozen
    module.train()
    module[1].training = False
    before = {name: value.clone() for name, value in module.state_dict().items()}
    layers = "default" if metrics == "logme" else metrics
    ranking = tx.rank_models(
        {"own": module}, (inputs[:, :4], labels), cache=tmp_path, isolate=False, dtype=dtype,
        layers=layers,
    )  # fmt: skip
    assert len(ranking.failed) == (metrics != "logme")
    assert [part.training for part in module] == [True, False, True, True]
    assert module.training
    after = module.state_dict()
    assert after.keys() == before.keys()
    for name, value in before.items():
        assert after[name].dtype == value.dtype
        assert torch.equal(after[name], value), name


def test_a_module_that_drops_a_buffer_is_scored_in_another_format(
    tmp_path: Path, inputs: Any, labels: Any
) -> None:
    class Forgets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(4, 6)
            self.register_buffer("cached", torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.cached = None
            return self.linear(x)

    ranking = tx.rank_models(
        {"own": Forgets()}, (inputs[:, :4], labels), cache=tmp_path, isolate=False, dtype="float64"
    )
    assert not ranking.failed


def test_the_head_of_a_model_in_training_mode_changes_nothing(
    tmp_path: Path, inputs: Any, labels: Any
) -> None:
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    model = tx.models.open_model(module, device="cpu")
    module.train()
    before = module[1].running_mean.clone()
    ranking = tx.rank_models(
        {"own": model}, (inputs[:, :4], labels), cache=tmp_path, isolate=False, outputs=True
    )
    assert not ranking.failed
    assert torch.equal(module[1].running_mean, before)
    assert module.training
