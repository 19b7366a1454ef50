"""Extraction: the numbers of saved features, whatever the loop, the model and the batches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import transferability as tx
from transferability import Stats, logme
from transferability.errors import DataError
from transferability.torch import extract

LAYERS = ["embeddings", "encoder.layer.0", "encoder.layer.2", "pooler"]


def batches(texts: dict[str, Any], size: int) -> Any:
    for start in range(0, len(texts["labels"]), size):
        part = slice(start, start + size)
        inputs = {key: texts[key][part] for key in ("input_ids", "attention_mask")}
        yield inputs, texts["labels"][part]


def saved(bert: nn.Module, texts: dict[str, Any]) -> dict[str, Any]:
    """Give the features as one would save them: all hidden states at once, averaged by hand."""
    with torch.no_grad():
        out = bert(texts["input_ids"], texts["attention_mask"], output_hidden_states=True)
    weights = texts["attention_mask"][..., None].double()
    mean = [((h * weights).sum(1) / weights.sum(1)).numpy() for h in out.hidden_states]
    return dict(zip(LAYERS, (mean[0], mean[1], mean[3], out.pooler_output.numpy()), strict=True))


def passed(bert: nn.Module, texts: dict[str, Any], size: int = 16, **options: Any) -> Any:
    with extract(bert, LAYERS, **options) as ex:
        for inputs, labels in batches(texts, size):
            ex.update(inputs, labels)
    return ex


@pytest.mark.parametrize("accumulate", ["host", "device"])
@pytest.mark.parametrize("size", [1, 16, 120])
def test_scores_are_those_of_saved_features(
    bert: nn.Module, texts: dict[str, Any], size: int, accumulate: str
) -> None:
    ex = passed(bert, texts, size, accumulate=accumulate, dtype="float64")
    metrics = ["logme", "h_score", "regularized_h_score"]
    scores = ex.compute(metrics)
    for layer, features in saved(bert, texts).items():
        expected = tx.score(features, texts["labels"], metrics)
        for metric in metrics:
            assert scores[layer][metric] == pytest.approx(expected[metric], rel=1e-10, abs=1e-10)
    assert ex.n_samples == 120
    assert {stats.n_samples for stats in ex.stats.values()} == {120}


def test_scores_do_not_depend_on_the_batch_size_to_the_bit() -> None:
    inputs = torch.randn(700, 5)
    labels = (inputs[:, 0] > 0).long()
    layer = nn.ReLU().eval()  # elementwise, so its own numbers do not depend on the batch either
    found = set()
    for size in (7, 64, 700):
        with extract(layer) as ex:
            for start in range(0, 700, size):
                ex.update(inputs[start : start + size], labels[start : start + size])
        found.add(float(ex.compute("logme")[""]))
    assert len(found) == 1


def test_the_own_loop_gives_the_same(bert: nn.Module, texts: dict[str, Any]) -> None:
    expected = passed(bert, texts).compute()
    with extract(bert, LAYERS) as ex:
        for inputs, labels in batches(texts, 16):
            bert(**inputs)
            ex.collect(labels)
    assert ex.compute() == expected
    with extract(bert, LAYERS) as ex:  # the mask said explicitly, and a wrong one found before
        for inputs, labels in batches(texts, 16):
            mask = inputs["attention_mask"]
            bert(**inputs)
            ex.collect(labels, attention_mask={layer: mask for layer in LAYERS})
    assert ex.compute() == expected


def test_the_mask_matters_and_is_found(bert: nn.Module, texts: dict[str, Any]) -> None:
    with extract(bert, ["encoder.layer.2"], keep_features="float64") as ex:
        for inputs, labels in batches(texts, 16):
            ex.update(inputs, labels)
    masked = ex.features["encoder.layer.2"]
    np.testing.assert_allclose(masked, saved(bert, texts)["encoder.layer.2"], rtol=1e-12)
    with extract(bert, ["encoder.layer.2"], keep_features="float64") as ex:
        for inputs, labels in batches(texts, 16):
            ex.update(inputs, labels, attention_mask={"encoder.layer.2": None})
    assert not np.allclose(ex.features["encoder.layer.2"], masked)


def test_kept_features_have_the_type_asked_for(bert: nn.Module, texts: dict[str, Any]) -> None:
    expected = saved(bert, texts)
    for kind in ("float16", "float32", "float64"):
        ex = passed(bert, texts, keep_features=kind)
        for layer in LAYERS:
            assert ex.features[layer].dtype == kind
            rtol = {"float16": 2e-3, "float32": 1e-6, "float64": 1e-12}[kind]
            np.testing.assert_allclose(ex.features[layer], expected[layer], rtol=rtol, atol=rtol)
    for x in (torch.randn(20, 3), torch.randn(20, 3).double(), torch.randn(20, 3).half()):
        with extract(nn.Identity().eval(), keep_features=True) as kept:
            kept.update(x)
        assert kept.features[""].dtype == ("float64" if x.dtype is torch.float64 else "float32")
        np.testing.assert_array_equal(kept.features[""], x.numpy())
    np.testing.assert_array_equal(ex.labels["pooler"], texts["labels"])
    metrics = ["logme", "knn"]  # one of statistics, one of samples
    scores = ex.compute(metrics)["pooler"]
    assert list(scores) == metrics
    assert scores["knn"] == pytest.approx(tx.knn(expected["pooler"], texts["labels"]))


def test_features_that_were_not_kept_are_said_to_be_missing(
    bert: nn.Module, texts: dict[str, Any]
) -> None:
    ex = passed(bert, texts)
    with pytest.raises(DataError, match="keep_features=True"):
        _ = ex.features
    with pytest.raises(DataError, match="knn needs the samples"):
        ex.compute("knn")
    assert "knn" in ex.compute("all")["pooler"].skipped
    assert ex.outputs is None


def test_other_tasks() -> None:
    model, x = nn.Linear(4, 6).eval(), torch.randn(200, 4)
    y = x[:, :2] * 3 + 0.1 * torch.randn(200, 2)
    features = model(x).detach().numpy()
    for labels, task in (
        (y, "regression"),
        (y[:, 0], "regression"),
        ((y > 0).int(), "multilabel"),
        (y > 0, "multilabel"),
        (np.array(["no", "yes"])[(y[:, 0] > 0).int().numpy()], "classification"),
    ):
        for accumulate in ("host", "device"):
            with extract(model, task=task, accumulate=accumulate, dtype="float64") as ex:
                for start in range(0, 200, 64):
                    ex.update(x[start : start + 64], labels[start : start + 64])
            expected = tx.logme(features, labels, task=task)
            score = ex.compute()[""]
            assert score == pytest.approx(expected, rel=1e-9)
            assert (score.classes, score.targets) == (expected.classes, expected.targets)


def test_statistics_of_classes_are_kept_where_asked_for() -> None:
    x = torch.randn(200, 4)
    labels = (x[:, 0] > 0).long()
    with extract(nn.Identity().eval(), class_scatters=True, accumulate="device") as ex:
        ex.update(x, labels)
    assert ex.compute("transrate")[""] == pytest.approx(tx.transrate(x, labels), rel=1e-9)


def test_statistics_given_out_do_not_change_with_what_follows() -> None:
    x = torch.randn(300, 4)
    labels = (x[:, 0] > 0).long()
    with extract(nn.Identity().eval()) as ex:
        ex.update(x[:100], labels[:100])
        early = ex.stats[""]
        ex.update(x[100:], labels[100:])
        assert early.n_samples == 100
    assert ex.stats[""].n_samples == 300
    assert (early + Stats().update(x[100:], labels[100:])).logme() == pytest.approx(
        ex.stats[""].logme(), rel=1e-10
    )


def test_a_function_may_pool() -> None:
    x = torch.randn(20, 5, 4)
    with extract(
        nn.Identity().eval(), pool=lambda x, mask: x[:, 1:].amax(1), keep_features=True
    ) as ex:
        ex.update(x, [0, 1] * 10)
    np.testing.assert_array_equal(ex.features[""], x[:, 1:].amax(1))
    with (
        extract(nn.Identity().eval(), pool=lambda x, mask: x) as ex,
        pytest.raises(DataError, match="pool first"),
    ):
        ex.update(x, [0, 1] * 10)


def test_the_mean_of_layers_is_a_layer(bert: nn.Module, texts: dict[str, Any]) -> None:
    ex = passed(bert, texts, average=True, keep_features="float64")
    expected = np.mean(list(saved(bert, texts).values()), axis=0)
    np.testing.assert_allclose(ex.features["mean"], expected, rtol=1e-12, atol=1e-14)
    assert ex.n_rows == dict.fromkeys([*LAYERS, "mean"], 120)
    model = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5)).eval()
    with (
        extract(model, ["0", "1"], average=True) as ex,
        pytest.raises(DataError, match=r"'0' and '1' give rows of shape .* which have no mean"),
    ):
        ex.update(torch.randn(4, 4), [0, 1, 0, 1])


def test_an_extractor_may_be_opened_again() -> None:
    x = torch.randn(300, 4)
    labels = (x[:, 0] > 0).long()
    ex = extract(nn.Identity().eval())
    with ex:
        ex.update(x[:100], labels[:100])
    first = ex.stats[""]
    with ex:
        ex.update(x[100:], labels[100:])
    assert ex.stats[""].n_samples == 300
    assert first.n_samples == 100


def test_the_task_is_not_decided_on_a_small_batch() -> None:
    x = torch.randn(120, 4)
    labels = np.arange(120) % 7  # 7 integers in 8 rows may be classes or counts
    with extract(nn.Identity().eval()) as ex:
        for start in range(0, 120, 8):
            ex.update(x[start : start + 8], labels[start : start + 8])
    assert ex.stats[""].task == "classification"


@pytest.mark.parametrize("accumulate", ["host", "device"])
def test_float_labels_of_small_batches_are_classes(accumulate: str) -> None:
    x = torch.randn(1100, 4, dtype=torch.float64)
    labels = torch.arange(1100) % 3
    found = []
    for given in (labels, labels.double()):
        with extract(nn.Identity().eval(), accumulate=accumulate, dtype="float64") as ex:
            for start in range(0, 1100, 8):
                ex.update(x[start : start + 8], given[start : start + 8])
        found.append(ex.stats[""].logme())
    assert found[0].task == found[1].task == "classification"
    assert found[0] == pytest.approx(found[1], rel=1e-12)
    assert found[0] == pytest.approx(logme(x.numpy(), labels.numpy()), rel=1e-9)


def test_a_late_fraction_makes_targets() -> None:
    """The first 512 rows do not decide."""
    x = torch.randn(700, 4, dtype=torch.float64)
    labels = (torch.arange(700) % 3).double()
    labels[650] = 0.5
    with extract(nn.Identity().eval()) as ex:
        for start in range(0, 700, 50):
            ex.update(x[start : start + 50], labels[start : start + 50])
    found = ex.stats[""].logme()
    assert found.task == "regression"
    assert found == pytest.approx(logme(x.numpy(), labels.numpy()), rel=1e-9)


@pytest.mark.parametrize("kind", ["array", "tensor", "targets"])
def test_a_loop_may_fill_its_arrays_again(kind: str) -> None:
    """Rows wait for a full block; what a loop writes to its arrays meanwhile changes none."""
    rng = np.random.default_rng(0)
    x = torch.tensor(rng.normal(size=(96, 6)), dtype=torch.float32)
    labels = rng.normal(size=(96, 2)) if kind == "targets" else np.arange(96) % 3
    groups = np.arange(96) // 8
    model = nn.Sequential(nn.Identity(), nn.Linear(6, 2)).eval()
    held: list[Any] = [torch.empty(32, 6), np.empty_like(labels[:32]), np.empty_like(groups[:32])]
    if kind == "tensor":
        held[1] = torch.from_numpy(held[1])
    with extract(model, layers=["0"], keep_features=True) as ex:
        for start in range(0, 96, 32):
            for array, source in zip(held, (x, labels, groups), strict=True):
                array[:] = torch.as_tensor(source[start : start + 32])
            ex.update(held[0], labels=held[1], groups=held[2])
    np.testing.assert_array_equal(ex.features["0"], x)
    np.testing.assert_array_equal(ex.labels["0"], labels)
    np.testing.assert_array_equal(ex.groups["0"], groups)
    assert float(ex.stats["0"].logme()) == pytest.approx(float(logme(x.numpy(), labels)), rel=1e-12)


def test_a_batch_without_samples_adds_nothing() -> None:
    model, x = nn.Sequential(nn.Linear(4, 5), nn.Tanh()).eval(), torch.randn(30, 4)
    with extract(model, ["0", "1"], keep_features=True) as ex:
        for part in (slice(0), slice(30), slice(0)):
            ex.update(x[part])
        with pytest.raises(DataError, match="labels is empty"):
            ex.update(x[:0], x[:0, 0].long())
    assert ex.n_samples == ex.stats["1"].n_samples == 30
    np.testing.assert_array_equal(ex.features["0"], model[0](x).detach())
