"""Several poolings from one pass, and bags, in extract and rank_models."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
from sweep_models import Counted
from torch import nn

import transferability as tx
from transferability._data.bags import BAG_POOLS
from transferability._util.cache import Cache
from transferability.cli._models import run_models
from transferability.errors import DataError, DtypeError
from transferability.torch import extract
from transferability.torch._names import OF_TOKENS, OF_WORDS

LAYERS = ["encoder.layer.0", "encoder.layer.2"]
HERE = Path(__file__).parent


def run(model: Any, texts: Any, batch: int = 32, bags: Any = None, **options: Any) -> Any:
    n = len(texts["labels"])
    with extract(model, **{"keep_features": "float64", **options}) as ex:
        for start in range(0, n, batch):
            part = slice(start, start + batch)
            inputs = {k: v[part] for k, v in texts.items() if k != "labels"}
            more = {} if bags is None else {"bags": bags[part]}
            ex.update(inputs, texts["labels"][part], **more)
    return ex


@pytest.mark.parametrize("masked", [True, False])
def test_several_poolings_are_those_of_single_passes(bert: Any, texts: Any, masked: bool) -> None:
    texts = texts if masked else {**texts, "attention_mask": torch.ones_like(texts["input_ids"])}
    several = run(bert, texts, layers=LAYERS, pool=list(OF_TOKENS))
    for pool in OF_TOKENS:
        single = run(bert, texts, layers=LAYERS, pool=pool)
        for layer in LAYERS:
            name = f"{layer}/{pool}"
            assert np.array_equal(several.features[name], single.features[layer])
            of_both = several.stats[name].moments(), single.stats[layer].moments()
            for key in ("sum", "scatter", "quartic", "class_sums"):
                assert np.array_equal(of_both[0][key], of_both[1][key])
    assert list(several.stats) == [f"{layer}/{pool}" for layer in LAYERS for pool in OF_TOKENS]
    assert list(several.parts.values()) == [(la, pool) for la in LAYERS for pool in OF_TOKENS]
    everything = run(bert, texts, layers=LAYERS, pool="all")
    assert list(everything.stats) == list(several.stats)
    scores = several.compute(["logme", "h_score"])
    assert all(
        scores[name] == each for name, each in everything.compute(["logme", "h_score"]).items()
    )


def test_the_names_of_one_pooling_are_those_of_the_layers(bert: Any, texts: Any) -> None:
    assert list(run(bert, texts, layers=LAYERS, pool="cls").stats) == LAYERS
    assert list(run(bert, texts, layers=LAYERS, pool=["cls"]).stats) == [f"{k}/cls" for k in LAYERS]


def test_poolings_by_layer_and_functions(bert: Any, texts: Any) -> None:
    def middle(x: Any, mask: Any) -> Any:
        return x[:, 1]

    pool = {LAYERS[0]: ["cls", middle], LAYERS[1]: "max"}
    found = run(bert, texts, layers=LAYERS, pool=pool)
    assert list(found.stats) == [f"{LAYERS[0]}/cls", f"{LAYERS[0]}/middle", LAYERS[1]]
    alone = run(bert, texts, layers=LAYERS[0], pool=middle)
    assert np.array_equal(found.features[f"{LAYERS[0]}/middle"], alone.features[LAYERS[0]])


def test_the_mean_of_layers_for_each_pooling(bert: Any, texts: Any) -> None:
    found = run(bert, texts, layers=LAYERS, pool=["cls", "max"], average=True)
    for pool in ("cls", "max"):
        alone = run(bert, texts, layers=LAYERS, pool=pool, average=True)
        assert np.array_equal(found.features[f"mean/{pool}"], alone.features["mean"])
    with pytest.raises(DataError, match="no pooling in common"):
        run(bert, texts, layers=LAYERS, pool={LAYERS[0]: ["cls"], LAYERS[1]: ["max"]}, average=True)


class Shapes(nn.Module):
    """Maps, tokens and rows."""

    def __init__(self) -> None:
        super().__init__()
        self.maps, self.tokens, self.rows = nn.Conv2d(3, 4, 1), nn.Identity(), nn.Identity()

    def forward(self, x: Any) -> Any:
        x = self.maps(x)
        tokens = self.tokens(x.flatten(2).transpose(1, 2))
        return self.rows(tokens.mean(1))


def test_all_are_the_poolings_that_fit_each_layer() -> None:
    x, labels = torch.randn(12, 3, 5, 4), np.arange(12) % 2
    with extract(Shapes().eval(), ["maps", "tokens", "rows"], "all", keep_features=True) as ex:
        ex.update(x[:8], labels[:8])
        ex.update(x[8:], labels[8:])
    assert list(ex.stats) == [
        *("maps/mean", "maps/max"),
        *(f"tokens/{pool}" for pool in OF_TOKENS),
        "rows",  # 2-D features are not pooled
    ]
    assert ex.unpooled == {"rows"}
    np.testing.assert_allclose(ex.features["maps/mean"], ex.features["rows"], atol=1e-6)
    swin = nn.Sequential(nn.Identity()).eval()
    with extract(swin, ["0"], "all") as ex:
        ex.update(torch.randn(4, 7, 7, 5), [0, 1, 0, 1])
    assert list(ex.stats) == ["0/nhwc_mean", "0/nhwc_max"]


def test_features_that_are_rows_have_one_result() -> None:
    with extract(nn.Identity().eval(), "", ["cls", "mean", "max"]) as ex:
        ex.update(torch.randn(6, 3), [0, 1] * 3)
    assert list(ex.stats) == [""]


def test_words_have_their_own_poolings(bert: Any) -> None:
    ids = torch.randint(5, 60, (3, 6))
    words = [[None, 0, 0, 1, 2, None]] * 3
    labels = [["a", "b", "a"]] * 3
    found = {}
    for pool in ("all", "first_subword", "last_subword", "mean"):
        with extract(bert, LAYERS[:1], pool, keep_features="float64") as ex:
            ex.update({"input_ids": ids}, labels, word_ids=words)
        found[pool] = ex.features
    names = [f"{LAYERS[0]}/{pool}" for pool in ("first_subword", "last_subword", "mean")]
    assert list(found["all"]) == names
    for name in names:
        own = found[name.rpartition("/")[2]][LAYERS[0]]
        assert np.array_equal(found["all"][name], own)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ([], "pool is empty"),
        (["cls", "cls"], "pool has 'cls' twice"),
        (["cls", "median"], "pool is 'median'; choose from"),
        (["cls", None], "2-D features are never pooled, so leave it out"),
        ({LAYERS[0]: ["median"]}, "pool is 'median'"),
    ],
)
def test_wrong_poolings_are_named(bert: Any, pool: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        extract(bert, LAYERS, pool)


def test_a_pooling_that_does_not_fit_names_its_layer() -> None:
    message = r"layer 'maps' gives .* which pool='cls' does not fit"
    with (
        extract(Shapes().eval(), ["maps"], ["mean", "cls"]) as ex,
        pytest.raises(DataError, match=message),
    ):
        ex.update(torch.randn(2, 3, 5, 4), [0, 1])


def test_shapes_that_change_between_batches_are_refused() -> None:
    with extract(nn.Identity().eval(), "", ["cls", "mean"]) as ex:
        ex.update(torch.randn(3, 4, 2), [0, 1, 0])
        with pytest.raises(DataError, match="as many axes each time"):
            ex.update(torch.randn(3, 2), [0, 1, 0])
        assert ex.n_rows == {"/cls": 3, "/mean": 3}


# --- bags -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def bags() -> list[str]:
    """Bags of the 120 texts by their label, not adjacent."""
    return [f"{i}" for i in np.random.default_rng(3).integers(0, 25, size=120)]


def with_bag_labels(texts: Any, bags: list[str]) -> Any:
    return {**texts, "labels": np.array([int(bag) % 3 for bag in bags])}


@pytest.mark.parametrize("bag_pool", BAG_POOLS)
@pytest.mark.parametrize("batch", [7, 120])
def test_bags_are_those_of_features_in_memory(
    bert: Any, texts: Any, bags: list[str], bag_pool: str, batch: int
) -> None:
    texts = with_bag_labels(texts, bags)
    found = run(bert, texts, batch, bags, layers=LAYERS, pool=["cls", "mean"], bag_pool=bag_pool)
    alone = run(bert, texts, 120, layers=LAYERS, pool=["cls", "mean"])
    for name, rows in alone.features.items():
        pooled, ids, labels = tx.pool_bags(rows, bags, bag_pool, labels=texts["labels"])
        np.testing.assert_allclose(found.features[name], pooled, rtol=1e-9, atol=1e-9)
        assert found.labels[name].tolist() == labels.tolist()
        assert found.stats[name].n_samples == len(ids)
        expected = tx.logme(pooled, labels)
        assert float(found.compute()[name]) == pytest.approx(float(expected), abs=1e-9)
    assert set(found.n_rows.values()) == {120}  # before pooling


def test_levels_of_bags(bert: Any, texts: Any) -> None:
    """Windows to texts, texts to documents."""
    inner, outer = np.arange(120) // 3, np.arange(120) // 12
    texts = {**texts, "labels": outer % 2}
    with extract(bert, LAYERS[:1], bag_pool=("mean", "max"), adjacent_bags=True,
                 keep_features="float64") as ex:  # fmt: skip
        for start in range(0, 120, 17):
            part = slice(start, start + 17)
            inputs = {k: v[part] for k, v in texts.items() if k != "labels"}
            ex.update(inputs, texts["labels"][part], bags=(inner[part], outer[part]))
    rows = run(bert, texts, layers=LAYERS[:1]).features[LAYERS[0]]
    expected = rows.reshape(10, 4, 3, -1).mean(axis=2).max(axis=1)
    np.testing.assert_allclose(ex.features[LAYERS[0]], expected, rtol=1e-9, atol=1e-9)


def test_outputs_of_bags_are_the_mean_of_logits() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3)).eval()
    x, bags = torch.randn(30, 4), np.arange(30) % 9
    labels = bags % 2
    with extract(model, ["0"], outputs=True, bag_pool="mean") as ex:
        for start in range(0, 30, 8):
            ex.update(x[start : start + 8], labels[start : start + 8], bags=bags[start : start + 8])
    logits = tx.pool_bags(model(x).detach().numpy(), bags).features
    np.testing.assert_allclose(ex.outputs, logits, rtol=1e-9, atol=1e-9)
    assert np.isfinite(float(ex.compute("leep")["0"]))


def test_what_bags_refuse(bert: Any, texts: Any) -> None:
    ids = texts["input_ids"][:4]
    with extract(bert, LAYERS[:1], bag_pool="mean") as ex:
        with pytest.raises(DataError, match="bags and bag_pool go together"):
            ex.update({"input_ids": ids}, [0, 1, 0, 1])
        with pytest.raises(DataError, match=r"bags has shape \(3,\) for 4 rows"):
            ex.update({"input_ids": ids}, [0, 1, 0, 1], bags=[0, 0, 1])
        with pytest.raises(DataError, match="bag 0 has the label 0 in row 0 and 1 in row 1"):
            ex.update({"input_ids": ids}, [0, 1, 0, 1], bags=[0, 0, 1, 1])
        with pytest.raises(DataError, match="give bags or groups"):
            ex.update({"input_ids": ids}, [0, 0, 1, 1], bags=[0, 0, 1, 1], groups=[0, 0, 1, 1])
        assert ex.n_rows == {LAYERS[0]: 0}  # no row of a batch that was refused
        ex.update({"input_ids": ids}, [0, 0, 1, 1], bags=[0, 0, 1, 1])
        assert ex.stats[LAYERS[0]].n_samples == 2
        with pytest.raises(DataError, match="bag 1 has a row after it was pooled"):
            ex.update({"input_ids": ids}, [1, 1, 1, 1], bags=[1, 1, 1, 1])
    with (
        extract(bert, LAYERS[:1], "none", bag_pool="mean") as ex,
        pytest.raises(DataError, match="makes several rows of a sample, and bags pool"),
    ):
        ex.update({"input_ids": ids}, bags=[0, 0, 1, 1])
    with extract(bert, LAYERS[:1], bag_pool=("mean", "mean")) as ex:
        with pytest.raises(DataError, match="give bags as a tuple of 2"):
            ex.update({"input_ids": ids}, [0, 0, 1, 1], bags=[0, 0, 1, 1])
        with pytest.raises(DataError, match="bag 0 is in the bags 5 and 6"):
            ex.update({"input_ids": ids}, [0, 0, 0, 0], bags=([0, 0, 1, 1], [5, 6, 6, 6]))
    with pytest.raises(DataError, match="bag_pool is 'median'"):
        extract(bert, LAYERS, bag_pool="median")


# --- sweeps ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: Any) -> str:
    return f"hf:{tiny_models.bert(tmp_path_factory.mktemp('bert'))}"


@pytest.fixture(scope="module")
def data() -> tuple[list[str], list[str]]:
    words = ["the", "cat", "sat", "on", "a", "mat", "dog", "unknown", "pieces", "of", "them"]
    rng = np.random.default_rng(7)
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 9))) for _ in range(60)]
    return texts, ["yes" if "cat" in text else "no" for text in texts]


def ranked(models: Any, data: Any, cache: Any, **options: Any) -> tx.Row:
    row = tx.rank_models(
        models, data, cache=cache, **{"isolate": False, "n_threads": 1, **options}
    )[0]
    assert row.error is None, row.error
    return row


def values(row: tx.Row) -> dict[str, float]:
    return {name: float(scores["logme"]) for name, scores in row.layers.items()}


class Passes:
    """Counts the forward passes of a model."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        self.path = path
        monkeypatch.setenv("COUNT_FILE", str(path))
        if str(HERE) not in sys.path:
            monkeypatch.syspath_prepend(str(HERE))

    def take(self) -> int:
        n = len(self.path.read_text().splitlines()) if self.path.exists() else 0
        self.path.unlink(missing_ok=True)
        return n


def test_a_sweep_scores_layers_and_poolings_in_one_pass(
    tiny: str, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pools = ["max", "cls", "mean"]
    row = ranked(tiny, data, tmp_path / "a", layers="all", pool=pools)
    singles = {pool: ranked(tiny, data, False, layers="all", pool=pool) for pool in pools}
    layers = list(singles["max"].layers)
    assert list(row.layers) == [f"{layer}/{pool}" for layer in layers for pool in pools]
    for pool in pools:
        for layer in layers:
            assert values(row)[f"{layer}/{pool}"] == values(singles[pool])[layer]
    # The first pooling is that of the row, and the others are named.
    assert row.layer == f"{layers[-1]}/max"
    assert float(row.logme) == float(singles["max"].logme)
    assert f"{layers[-1]}/max, the first of 3 poolings; others: {layers[-1]}/cls" in row.notes[0]
    best = ranked(tiny, data, tmp_path / "a", layers="all", pool=pools, aggregate="best")
    assert best.notes[0] == "from the cache"
    assert float(best.logme) == max(values(row).values())
    assert f"the best of {len(row.layers)}" in best.notes[1]
    assert "the more layers and poolings there are" in best.notes[1]
    everything = ranked(tiny, data, tmp_path / "a", layers="all", pool="all")
    assert set(everything.layers) == {f"{layer}/{pool}" for layer in layers for pool in OF_TOKENS}
    assert everything.layer == f"{layers[-1]}/mean"  # the model's own comes first
    assert values(everything).items() >= values(row).items()


def test_entries_serve_later_calls_with_other_poolings(
    tiny: str, data: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[Any] = []
    from transferability._sweep import worker

    original = worker.ExtractionRun

    def counted(model: Any, data: Any, options: Any, *rest: Any) -> Any:
        runs.append((options.layers, options.pool))
        return original(model, data, options, *rest)

    monkeypatch.setattr(worker, "ExtractionRun", counted)

    def again(**options: Any) -> Any:
        row = ranked(tiny, data, tmp_path, **options)
        seen, runs[:] = list(runs), []
        return row, seen

    first, seen = again(pool=["cls", "mean"])
    assert len(seen) == 1
    [layer] = seen[0][0]
    single, seen = again(pool="mean")
    assert not seen
    assert values(single) == {layer: values(first)[f"{layer}/mean"]}
    _, seen = again(pool="max")
    assert [pool for _, pool in seen] == ["max"]
    three, seen = again(pool=("max", "cls", "lasttoken"))  # only what is missing is extracted
    assert [pool for _, pool in seen] == [{layer: ("lasttoken",)}]
    assert list(three.layers) == [f"{layer}/{pool}" for pool in ("max", "cls", "lasttoken")]
    _, seen = again(pool="all")
    assert [pool for _, pool in seen] == [{layer: "all"}]
    everything, seen = again(pool="all")
    assert not seen
    assert len(everything.layers) == len(OF_TOKENS)
    _, seen = again(pool=list(OF_TOKENS))
    assert not seen
    _, seen = again(pool="all", resume=False)
    assert len(seen) == 1
    mean, seen = again(pool=["cls", "max"], layers="all", aggregate="mean")
    assert len(seen) == 1
    assert mean.layer == "mean/cls"
    assert "features averaged over 4 layers" in mean.notes
    again_mean, seen = again(pool=["max"], layers="all", aggregate="mean")
    assert not seen
    assert values(again_mean).items() <= values(mean).items()
    # An entry that goes missing is made again, alone.
    cache = Cache(tmp_path)
    gone = [e for e in cache.entries() if (e.meta["layer"], e.meta.get("pool")) == (layer, "cls")]
    for entry in gone:
        cache.remove(entry.key)
    repaired, seen = again(pool="all")
    assert [pool for _, pool in seen] == [{layer: ("cls",)}]
    assert values(repaired) == values(everything)


def test_rows_are_scored_and_stored_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(monkeypatch, tmp_path / "count")
    x = np.random.default_rng(5).normal(size=(40, 12)).astype(np.float32)
    data = (x, x[:, 0] > 0)
    for pool in (["cls", "mean"], "all"):
        cache = tmp_path / str(pool)
        row = ranked("sweep_models:good", data, cache, pool=pool, layers=["blocks.0", "blocks.1"])
        assert list(row.layers) == ["blocks.0", "blocks.1"]
        assert passes.take() == 2
        n_files = sum("stats" in entry.files for entry in Cache(cache).entries())
        assert n_files == 2
        for later in (["cls", "mean"], "all", "max", None):  # each is served
            row = ranked("sweep_models:good", data, cache, pool=later, layers=["blocks.0"])
            assert list(row.layers) == ["blocks.0"]
            assert passes.take() == 0
    averaged = ranked(
        "sweep_models:good", data, cache, pool="all", layers=["blocks.0", "blocks.1"],
        aggregate="mean",
    )  # fmt: skip
    assert averaged.layer == "mean"
    assert passes.take() == 2


@pytest.mark.parametrize(
    ("pool", "error", "message"),
    [
        ([], DataError, "pool is empty"),
        (["cls", "cls"], DataError, "pool names 'cls' twice"),
        (["cls", "all"], DataError, "give pool='all' alone"),
        (["cls", None], DtypeError, "give the name of a pooling, a list of names, or 'all'"),
        (3, DtypeError, "give the name of a pooling"),
    ],
)
def test_wrong_poolings_of_a_sweep(data: Any, pool: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tx.rank_models({"m": Counted()}, data, pool=pool)


def test_an_unknown_pooling_of_a_model_is_the_reason_of_its_row(tiny: str, data: Any) -> None:
    """That of the argument is an error at once."""
    for pool in ("median", ["cls", "median"]):
        with pytest.raises(DataError, match="pool is 'median'; choose from"):
            tx.rank_models(tiny, data, pool=pool, cache=False, isolate=False)
    row = tx.rank_models(f"{tiny}?pool=median", data, cache=False, isolate=False)[0]
    assert "pool is 'median'; choose from" in str(row.error)


@pytest.mark.parametrize("bag_pool", BAG_POOLS)
def test_a_sweep_over_bags(bag_pool: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(90, 12)).astype(np.float32)
    bags = [f"slide {i}" for i in rng.integers(0, 30, size=90)]
    labels = [len(bag) % 2 + int(bag[-1]) % 2 for bag in bags]
    model = Counted().eval()
    row = ranked(
        {"m": model}, (x, labels), False, layers=["blocks.0", "blocks.1"], bag=bags,
        bag_pool=bag_pool, batch_size=7, metrics=["logme", "knn"], task="classification",
    )  # fmt: skip
    with extract(model, ["blocks.0", "blocks.1"], keep_features="float64") as ex:
        ex.update(torch.as_tensor(x))
    for layer, features in ex.features.items():
        pooled, ids, of_bags = tx.pool_bags(features, bags, bag_pool, labels=labels)
        expected = tx.score(pooled, of_bags, "logme", task="classification")
        assert float(row.layers[layer]["logme"]) == pytest.approx(float(expected), abs=1e-6)
        assert row.n_samples == len(ids)


def test_bags_are_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes = Passes(monkeypatch, tmp_path / "count")
    x = np.random.default_rng(5).normal(size=(40, 12)).astype(np.float32)
    labels = np.repeat([0, 1], 20)
    table = {"bag": np.arange(40) // 2, "pool": "mean"}
    seen = []
    for bag, pool in (
        (table["bag"], "mean"), (table["bag"], "mean"), (table["bag"], "max"),
        (np.arange(40) // 4, "mean"), (None, "mean"),
    ):  # fmt: skip
        ranking = tx.rank_models("sweep_models:good", (x, labels), bag=bag, bag_pool=pool,
                                 cache=tmp_path / "cache", isolate=False,
                                 task="classification")  # fmt: skip
        assert ranking[0].error is None
        seen.append((passes.take(), ranking[0].n_samples))
    assert seen == [(2, 20), (0, 20), (2, 20), (2, 10), (2, 40)]
    drawn = tx.rank_models("sweep_models:good", (x, labels), bag=table["bag"], max_samples=11,
                           cache=False, isolate=False, task="classification")  # fmt: skip
    assert drawn[0].n_samples == 11
    assert "22 rows in 11 bags, pooled by 'mean'" in drawn.warnings
    assert "11 of 20 bags, drawn by seed 0" in drawn.warnings


@pytest.mark.filterwarnings("ignore:on a few exact resamples")
def test_stability_resamples_bags(tmp_path: Path) -> None:
    x = np.random.default_rng(5).normal(size=(80, 12)).astype(np.float32)
    bags = np.arange(80) % 40
    ranking = tx.rank_models(
        {"a": Counted(), "b": Counted(seed=1)}, (x, (bags % 2).tolist()), bag=bags,
        keep_features=True, cache=tmp_path, isolate=False, task="classification",
    )  # fmt: skip
    assert {row.n_samples for row in ranking} == {40}
    assert set(ranking.stability().names) == {"a", "b"}


def test_the_row_of_words_is_their_own_pooling(tiny: str) -> None:
    """Of "all" poolings, as where none is given: not the mean that the model has for texts."""
    words = [["the", "unknown", "cat"], ["dogs"], ["a", "mat", "sat", "on", "cats"]] * 4
    tags = [["x" if "t" in word else "y" for word in own] for own in words]
    plain = ranked(tiny, (words, tags), False)
    several = ranked(tiny, (words, tags), False, pool="all")
    assert several.layer == "last_hidden_state/first_subword"
    assert set(several.layers) == {f"last_hidden_state/{pool}" for pool in OF_WORDS}
    assert float(several.logme) == float(plain.logme)


def test_bag_pool_needs_bags(data: Any) -> None:
    with pytest.raises(DataError, match="bag_pool is 'max', and there are no bags; give bag"):
        tx.rank_models({"m": Counted()}, data, bag_pool="max")


def test_a_process_of_its_own(tiny: str, data: Any, tmp_path: Path) -> None:
    """Poolings, bags and windows at once, and again from the cache without the model."""
    options: dict[str, Any] = {"bag": [i // 2 for i in range(60)], "window": 6, "stride": 3}
    labels = ["yes" if i // 2 % 3 else "no" for i in range(60)]
    here = ranked(tiny, (data[0], labels), False, pool=["cls", "max"], **options)
    for is_cached in (False, True):
        row = ranked(
            tiny, (data[0], labels), tmp_path, pool=["cls", "max"], isolate=True, **options
        )
        assert values(row) == pytest.approx(values(here), abs=1e-9)
        assert row.from_cache == is_cached


def test_bags_of_saved_features(tmp_path: Path) -> None:
    """Rows move with their bags, and each row finds its saved features."""
    x = np.random.default_rng(9).normal(size=(60, 4))
    np.save(tmp_path / "m.npy", x)
    bags = np.arange(60) % 20
    labels = bags % 2
    row = ranked(f"features:{tmp_path / 'm.npy'}", (list(range(60)), labels), False, bag=bags)
    pooled = tx.pool_bags(x, bags, labels=labels)
    expected = tx.logme(pooled.features, pooled.labels)
    assert float(row.logme) == pytest.approx(float(expected), abs=1e-9)


def test_the_command_line(tiny: str, data: Any, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    from click.testing import CliRunner

    from transferability.cli import main

    table = pd.DataFrame({"text": data[0], "label": data[1]})
    table["doc"] = [f"{label}{i % 9}" for i, label in enumerate(table["label"])]
    table.to_csv(tmp_path / "d.csv", index=False)
    asked = ["rank", "--models", tiny, "--text", str(tmp_path / "d.csv"), "--json", "--no-isolate",
             "--cache", str(tmp_path / "c"), "--quiet"]  # fmt: skip
    found = CliRunner().invoke(
        main, [*asked, "--pool", "cls,max", "--bag", "doc", "--bag-pool", "max"]
    )
    assert found.exit_code == 0, found.output
    assert '"last_hidden_state/cls"' in found.output
    assert '"last_hidden_state/max"' in found.output
    spaced = CliRunner().invoke(main, [*asked, "--pool", "cls, max", "--bag", "doc"])
    assert spaced.exit_code == 0, spaced.output
    assert callable(run_models)
