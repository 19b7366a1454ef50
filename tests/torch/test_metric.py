"""TransferabilityMetric: the scores of whole arrays, through everything torchmetrics does."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics import MetricCollection

import transferability as tx
from transferability.errors import DataError, DtypeError, TransferabilityWarning
from transferability.torch import TransferabilityMetric

N, D, C = 240, 7, 4


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture(scope="module")
def classes(features: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(N, C - 1, generator=torch.Generator().manual_seed(1))
    return (features[:, : C - 1] + noise).argmax(dim=1)  # class 3 never occurs


@pytest.fixture(scope="module")
def targets(features: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(N, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return features[:, :2] * 3 + noise + 10


def close(found: Any, expected: Any, tolerance: float = 1e-10) -> bool:
    """Compare as the statistics promise: relative to max(1, |value|)."""
    return abs(float(found) - float(expected)) <= tolerance * max(1, abs(float(expected)))


def filled(metric: Any, features: torch.Tensor, labels: torch.Tensor, size: int = 37) -> Any:
    for x, y in zip(features.split(size), labels.split(size), strict=True):
        metric.update(x, y)
    return metric


@pytest.mark.parametrize("size", [1, 37, N])
@pytest.mark.parametrize("name", ["logme", "h_score", "regularized_h_score", "lfc", "cka"])
def test_scores_of_classes(
    features: torch.Tensor, classes: torch.Tensor, name: str, size: int
) -> None:
    metric = filled(TransferabilityMetric(D, C, metrics=name), features, classes, size)
    expected = tx.score(features.numpy(), classes.numpy(), name, method="tridiagonal")
    assert close(metric.compute(), expected)
    assert metric.compute().dtype == torch.float64
    score = metric.stats.score(name)
    assert score.classes == (0, 1, 2)
    assert score.class_counts == tuple(torch.bincount(classes)[:3].tolist())


def test_a_column_of_classes_is_classes(features: torch.Tensor, classes: torch.Tensor) -> None:
    column = filled(TransferabilityMetric(D, C), features, classes[:, None]).compute()
    assert float(column) == float(filled(TransferabilityMetric(D, C), features, classes).compute())


@pytest.mark.parametrize("n_samples", [5, 12, 20])
@pytest.mark.parametrize("name", ["logme", "regularized_h_score"])
def test_fewer_samples_than_features(name: str, n_samples: int) -> None:
    """Statistics of few rows are held as rows elsewhere; sums have only their scatter."""
    x = torch.randn(n_samples, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    y = torch.arange(n_samples) % 2
    metric = filled(TransferabilityMetric(20, 2, metrics=name), x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferabilityWarning)
        expected = tx.score(x.numpy(), y.numpy(), name, task="classification", method="tridiagonal")
        assert close(metric.compute(), expected, 1e-9)


def test_a_limit_that_sums_resolve_to_few_digits() -> None:
    """Without noise as the best explanation, sums give what rows give to few digits, and say so."""
    x = torch.randn(2, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    metric = filled(TransferabilityMetric(20, 2), x, torch.arange(2))
    with pytest.warns(TransferabilityWarning, match="few digits"):
        found = metric.compute()
    with pytest.warns(TransferabilityWarning, match="limit of zero noise"):
        assert close(found, tx.logme(x, [0, 1], task="classification"), 1e-8)


def test_scores_of_targets(features: torch.Tensor, targets: torch.Tensor) -> None:
    for width in (1, 2):
        y = targets[:, :width]
        metric = filled(TransferabilityMetric(D, num_outputs=width), features, y)
        assert close(metric.compute(), tx.logme(features.numpy(), y.numpy(), task="regression"))
    flat = filled(TransferabilityMetric(D, num_outputs=1), features, targets[:, 0])
    assert close(flat.compute(), tx.logme(features.numpy(), targets[:, 0].numpy()))
    plain = filled(
        TransferabilityMetric(D, num_outputs=2, options={"intercept": False}), features, targets
    )
    assert close(plain.compute(), tx.logme(features.numpy(), targets.numpy(), intercept=False))


def test_scores_of_labels(features: torch.Tensor) -> None:
    labels = (features[:, :3] > 0.3).long()
    metric = filled(TransferabilityMetric(D, num_labels=3), features, labels)
    assert close(metric.compute(), tx.logme(features.numpy(), labels.numpy()))
    assert metric.stats.task == "multilabel"


def test_several_metrics_are_a_dict(features: torch.Tensor, classes: torch.Tensor) -> None:
    metric = filled(TransferabilityMetric(D, C, metrics=["h_score", "logme"]), features, classes)
    found = metric.compute()
    assert list(found) == ["h_score", "logme"]
    assert close(found["logme"], tx.logme(features.numpy(), classes.numpy()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_number_formats(features: torch.Tensor, classes: torch.Tensor, dtype: torch.dtype) -> None:
    x = features.to(dtype)
    metric = filled(TransferabilityMetric(D, C), x, classes.to(torch.int32))
    assert close(metric.compute(), tx.logme(x.double().numpy(), classes.numpy()))


def test_moments_about_a_shift(features: torch.Tensor, classes: torch.Tensor) -> None:
    """A shift saves the digits that an offset would cost; without one a warning says so."""
    far = features + 1e6
    expected = tx.logme(far.numpy(), classes.numpy())
    shift = TransferabilityMetric.shift_from(far[:20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        metric = filled(TransferabilityMetric(D, C, shift=shift), far, classes)
        assert close(metric.compute(), expected, 1e-9)
    plain = filled(TransferabilityMetric(D, C), far, classes)
    with pytest.warns(TransferabilityWarning, match=r"about 12 of 16 digits .*shift_from"):
        found = plain.compute()
    assert abs(found - expected) < 1e-2, "which is what 4 digits of the variances leave"
    little = filled(TransferabilityMetric(D, C), features + 100, classes)
    with pytest.warns(TransferabilityWarning, match="fourth moments"):
        assert close(little.compute(), tx.logme((features + 100).numpy(), classes.numpy()), 1e-9)


def test_targets_about_a_shift(features: torch.Tensor, targets: torch.Tensor) -> None:
    far = targets + 1e7
    expected = tx.logme(features.numpy(), far.numpy())
    shift = TransferabilityMetric.shift_from(far[:20])
    metric = filled(TransferabilityMetric(D, num_outputs=2, target_shift=shift), features, far)
    assert close(metric.compute(), expected, 1e-9)
    plain = filled(TransferabilityMetric(D, num_outputs=2), features, far)
    with pytest.warns(TransferabilityWarning, match=r"column [01] of the target .*target_shift="):
        plain.compute()


def test_constant_columns_are_exact(features: torch.Tensor, classes: torch.Tensor) -> None:
    """A constant far from zero leaves rounding in its scatter, which no sum tells from a signal."""
    x = features.clone()
    x[:, 2], x[:, 5] = 1e3 / 3, -7.7
    names = ["logme", "h_score", "cka"]
    metric = filled(TransferabilityMetric(D, C, metrics=names), x, classes)
    with pytest.warns(TransferabilityWarning, match="fourth moments"):
        moments = metric.stats.moments()
    assert not moments["scatter"][2].any()
    assert not moments["scatter"][:, 5].any()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TransferabilityWarning)
        found = metric.compute()
        for name, value in found.items():
            expected = tx.score(x.numpy(), classes.numpy(), name, method="tridiagonal")
            # Fourth moments lose the square of Σ of the constants' squares over the variances, 4e8.
            assert close(value, expected, 1e-7 if name == "cka" else 1e-10)


def test_fourth_moments_follow_constant_columns(features: torch.Tensor) -> None:
    x = features.clone()
    x[:, 1] = 3.0
    metric = filled(TransferabilityMetric(D, num_outputs=1), x, features[:, 0])
    moments, z = metric.stats.moments(), x.numpy() - metric.stats.moments()["shift"]
    square = (z**2).sum(axis=1)
    assert close(moments["quartic"], square @ square)
    assert np.allclose(moments["cubic"], square @ z, rtol=0, atol=1e-9 * N)
    y = x.numpy()[:, 0] - moments["target_shift"]
    assert close(moments["joint_quartic"], square @ y**2)
    assert np.allclose(moments["joint_features"], y**2 @ z, rtol=0, atol=1e-9 * N)
    assert np.allclose(moments["joint_targets"], square @ y, rtol=0, atol=1e-9 * N)


def test_forward_scores_the_batch_and_keeps_all(
    features: torch.Tensor, classes: torch.Tensor
) -> None:
    metric = TransferabilityMetric(D, C)
    for x, y in zip(features.split(80), classes.split(80), strict=True):
        assert close(metric(x, y), tx.logme(x.numpy(), y.numpy()))
    assert close(metric.compute(), tx.logme(features.numpy(), classes.numpy()))


def test_forward_of_a_batch_without_a_score(features: torch.Tensor, classes: torch.Tensor) -> None:
    metric = TransferabilityMetric(D, C, metrics=["logme", "h_score"])
    with pytest.warns(TransferabilityWarning, match="no score of its own"):
        value = metric(features[:1], classes[:1])
    assert set(value) == {"logme", "h_score"}
    assert all(torch.isnan(v) for v in value.values())
    metric.update(features[1:], classes[1:])
    assert close(metric.compute()["logme"], tx.logme(features.numpy(), classes.numpy()))
    single = filled(TransferabilityMetric(D, C), features[:1], classes[:1])
    with pytest.raises(DataError):
        single.compute()


def test_reset_clone_pickle_and_state(features: torch.Tensor, classes: torch.Tensor) -> None:
    shift = TransferabilityMetric.shift_from(features)
    metric = filled(TransferabilityMetric(D, C, shift=shift), features, classes)
    expected = metric.compute()
    for twin in (metric.clone(), copy.deepcopy(metric), pickle.loads(pickle.dumps(metric))):
        assert twin.compute() == expected
        filled(twin, features, classes)
        assert twin.stats.n_samples == 2 * N
        assert metric.stats.n_samples == N
    saved = TransferabilityMetric(D, C, shift=shift)
    saved.persistent(True)
    filled(saved, features, classes)
    other = TransferabilityMetric(D, C)
    other.persistent(True)
    other.load_state_dict(saved.state_dict())
    with pytest.warns(UserWarning, match="before"):  # torchmetrics counts its own updates only
        assert other.compute() == expected, "the shift travels with the sums about it"
    metric.reset()
    with pytest.raises(DataError, match="no rows"), pytest.warns(UserWarning, match="before"):
        metric.compute()
    assert filled(metric, features, classes).compute() == expected


def test_merge_state(features: torch.Tensor, classes: torch.Tensor) -> None:
    first = filled(TransferabilityMetric(D, C), features[:100], classes[:100])
    second = filled(TransferabilityMetric(D, C), features[100:], classes[100:])
    first.merge_state(second)
    assert close(first.compute(), tx.logme(features.numpy(), classes.numpy()))
    odd = filled(TransferabilityMetric(D, C, shift=torch.ones(D)), features, classes)
    odd.merge_state(second)
    with pytest.raises(DataError, match="shift differs"):
        odd.compute()


def test_in_a_collection(features: torch.Tensor, classes: torch.Tensor) -> None:
    """Metrics of equal state are updated once, as a compute group."""
    collection = MetricCollection(
        {name: TransferabilityMetric(D, C, metrics=name) for name in ("logme", "h_score")}
    )
    filled(collection, features, classes)
    assert len(collection.compute_groups) == 1
    found = collection.compute()
    for name, value in found.items():
        assert close(value, tx.score(features.numpy(), classes.numpy(), name))


def test_statistics_add_to_those_from_elsewhere(
    features: torch.Tensor, classes: torch.Tensor
) -> None:
    metric = filled(TransferabilityMetric(D, C), features[:100], classes[:100])
    other = tx.Stats().update(features[100:], classes[100:])
    total = metric.stats + other
    assert close(total.score("logme"), tx.logme(features.numpy(), classes.numpy()))


def test_a_bad_batch_changes_nothing(features: torch.Tensor, classes: torch.Tensor) -> None:
    metric = filled(TransferabilityMetric(D, C), features, classes)
    before = metric.compute()
    bad = features.clone()
    bad[41, 2] = torch.nan
    for x, y, error, text in (
        (bad, classes, DataError, "row 41"),
        (features[:, :3], classes, DataError, r"\(240, 3\), expected \(B, 7\)"),
        (features, classes[:-1], DataError, r"\(239,\), expected \(240,\)"),
        (features, classes + 2, DataError, "class 4; num_classes=4"),
        (features, classes - 1, DataError, "class -1"),
        (features, classes.double(), DtypeError, "integers"),
        (features.to(torch.complex64), classes, DtypeError, "real"),
        (features[:0], classes[:0], DataError, "at least one row"),
    ):
        with pytest.raises(error, match=text):
            metric.update(x, y)
    with pytest.raises(DtypeError, match="float64"):
        metric.set_dtype(torch.float32)
    assert metric.half().scatter.dtype == torch.float64, "as torchmetrics has it for all metrics"
    assert metric.stats.n_samples == N
    metric._computed = None
    assert metric.compute() == before
    regression = TransferabilityMetric(D, num_outputs=1)
    with pytest.raises(DataError, match="finite values only; row 3"):
        regression.update(features[:5], torch.tensor([1, 2, 3, torch.inf, 5]))
    multilabel = TransferabilityMetric(D, num_labels=2)
    with pytest.raises(DataError, match="0 and 1 only; row 1"):
        multilabel.update(features[:2], torch.tensor([[0, 1], [2, 0]]))


def test_what_is_asked_must_fit() -> None:
    for options in ({}, {"num_classes": 2, "num_outputs": 1}):
        with pytest.raises(DataError, match="one of num_classes"):
            TransferabilityMetric(D, **options)
    with pytest.raises(DataError, match="transrate needs"):
        TransferabilityMetric(D, 2, metrics="transrate")
    with pytest.raises(DataError, match="unknown metric"):
        TransferabilityMetric(D, 2, metrics="logm")
    with pytest.raises(DtypeError, match="unknown option"):
        TransferabilityMetric(D, 2, options={"k": 3})
    with pytest.raises(DataError, match="shift must be 7 finite values"):
        TransferabilityMetric(D, 2, shift=[0.0])
    with pytest.raises(DataError, match="at least 1"):
        TransferabilityMetric(0, 2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(features: torch.Tensor, classes: torch.Tensor) -> None:
    metric = TransferabilityMetric(D, C).to("cuda")
    filled(metric, features.cuda(), classes.cuda())
    assert metric.scatter.device.type == metric.compute().device.type == "cuda"
    assert close(metric.compute(), tx.logme(features.numpy(), classes.numpy()))
    again = filled(TransferabilityMetric(D, C).to("cuda"), features.cuda(), classes.cuda())
    assert again.compute() == metric.compute(), "the same bits from run to run"
    assert metric.to("cpu").compute().device.type == "cpu"


def test_arrays_are_named() -> None:
    metric = TransferabilityMetric(num_features=3, num_classes=2)
    with pytest.raises(DtypeError, match="features must be a tensor, not ndarray"):
        metric.update(torch.ones(4, 3).numpy(), torch.ones(4).long())
