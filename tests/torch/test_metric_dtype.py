"""TransferabilityMetric keeps its states exact, however a module that contains it is converted."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection
from torchmetrics.wrappers import Running

import transferability as tx
from transferability.errors import DataError, DtypeError
from transferability.torch import TransferabilityMetric

N, D, C = 700, 5, 3  # bfloat16 counts to 256 only
DTYPES = [torch.bfloat16, torch.float16, torch.float32, torch.float64]


@pytest.fixture(scope="module")
def features() -> torch.Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0)) + 1 / 3


@pytest.fixture(scope="module")
def classes(features: torch.Tensor) -> torch.Tensor:
    noise = torch.randn(N, C, generator=torch.Generator().manual_seed(1))
    return (features[:, :C] + noise).argmax(dim=1)


class Parent(nn.Module):
    """A model that holds a metric, as a LightningModule does."""

    def __init__(self, metric: nn.Module) -> None:
        super().__init__()
        self.layer, self.metric = nn.Linear(D, D), metric


def made(metrics: Any = "logme") -> TransferabilityMetric:
    return TransferabilityMetric(D, C, metrics=metrics, shift=[1 / 3] * D)


def fed(metric: Any, features: torch.Tensor, classes: torch.Tensor) -> Any:
    for x, y in zip(features.split(50), classes.split(50), strict=True):
        metric.update(x, y)
    return metric


def halves(
    convert: Callable[[nn.Module], Any], features: torch.Tensor, classes: torch.Tensor
) -> Parent:
    """Convert the parent of a metric in the middle of an epoch."""
    parent = Parent(made())
    fed(parent.metric, features[:350], classes[:350])
    convert(parent)
    fed(parent.metric, features[350:], classes[350:])
    return parent


def check_exact(metric: Any, features: torch.Tensor, classes: torch.Tensor) -> None:
    """Check for the very bits of a metric that was never converted."""
    expected = fed(made(), features, classes)
    assert metric.compute() == expected.compute()
    assert metric.compute().dtype == torch.float64
    assert metric.stats.n_samples == N
    for name in metric._defaults:
        assert torch.equal(getattr(metric, name), getattr(expected, name)), name
        assert getattr(metric, name).dtype == metric._defaults[name].dtype == torch.float64
    metric.reset()
    for name in metric._defaults:
        assert torch.equal(getattr(metric, name), expected._defaults[name]), name


CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    **{f"to {dtype}": lambda m, dtype=dtype: m.to(dtype) for dtype in DTYPES},
    **{f"type {dtype}": lambda m, dtype=dtype: m.type(dtype) for dtype in DTYPES},
    "to device and dtype": lambda m: m.to("cpu", torch.bfloat16),
    "to dtype=": lambda m: m.to(dtype=torch.bfloat16, non_blocking=True),
    "to another tensor": lambda m: m.to(torch.zeros(1, dtype=torch.float16)),
    "type by name": lambda m: m.type("torch.HalfTensor"),
    "half": lambda m: m.half(),
    "bfloat16": lambda m: m.bfloat16(),
    "float": lambda m: m.float(),
    "double": lambda m: m.double(),
    "down and up": lambda m: m.to(torch.bfloat16).to(torch.float64),
    "apply": lambda m: m.apply(lambda part: nn.Module.to(part, torch.bfloat16)),
    "a function of its own": lambda m: m._apply(lambda t: t.to(torch.bfloat16)),
    "memory format": lambda m: m.to(memory_format=torch.channels_last),
    "meta and back": lambda m: m.to("meta").to_empty(device="cpu"),
    "empty": lambda m: m.to_empty(device="cpu"),
    "shared memory": lambda m: m.share_memory(),
}


@pytest.mark.parametrize("how", CONVERSIONS)
def test_a_converted_module_keeps_exact_sums(
    how: str, features: torch.Tensor, classes: torch.Tensor
) -> None:
    parent = halves(CONVERSIONS[how], features, classes)
    check_exact(parent.metric, features, classes)
    direct = fed(made(), features[:350], classes[:350])
    CONVERSIONS[how](direct)
    check_exact(fed(direct, features[350:], classes[350:]), features, classes)


def test_the_module_itself_is_converted(features: torch.Tensor, classes: torch.Tensor) -> None:
    parent = halves(lambda m: m.to(torch.bfloat16), features, classes)
    assert parent.layer.weight.dtype == torch.bfloat16
    shared = Parent(made()).share_memory()
    assert shared.metric.sum.is_shared()
    deep = nn.Sequential(Parent(made())).to(torch.bfloat16)
    check_exact(fed(deep[0].metric, features, classes), features, classes)
    check_exact(copy.deepcopy(parent).metric, features, classes)
    check_exact(pickle.loads(pickle.dumps(parent)).metric, features, classes)


def test_scores_already_computed_stay_exact(features: torch.Tensor, classes: torch.Tensor) -> None:
    metric = fed(made(["logme", "h_score"]), features, classes)
    before = metric.compute()
    Parent(metric).to(torch.bfloat16)
    assert metric.compute() == before
    value = metric(features[:80], classes[:80])
    Parent(metric).to(torch.float16)
    assert metric._forward_cache == value


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_and_features_of_a_converted_module(
    dtype: torch.dtype, features: torch.Tensor, classes: torch.Tensor
) -> None:
    with torch.autocast("cpu", dtype):
        metric = fed(made(), features, classes)
        found = metric.compute()
    assert found == fed(made(), features, classes).compute()
    x = features.to(dtype)
    parent = Parent(made()).to(dtype)
    scored = fed(parent.metric, x, classes).compute()
    assert float(scored) == pytest.approx(tx.logme(x.double().numpy(), classes.numpy()), rel=1e-10)


def test_inference_mode_and_out_of_it(features: torch.Tensor, classes: torch.Tensor) -> None:
    with torch.inference_mode():
        metric = fed(made(), features, classes)
        metric.reset()
        fed(metric, features[:350], classes[:350])
    check_exact(fed(metric, features[350:], classes[350:]), features, classes)


def test_default_dtype_and_device(features: torch.Tensor, classes: torch.Tensor) -> None:
    torch.set_default_dtype(torch.float16)
    try:
        check_exact(fed(made(), features, classes), features, classes)
        large = TransferabilityMetric(D, C, shift=[1e6] * D)  # inf in float16
    finally:
        torch.set_default_dtype(torch.float32)
    assert large.shift.tolist() == [1e6] * D
    with torch.device("meta"):
        parent = Parent(made())
    assert parent.layer.weight.is_meta
    parent.to_empty(device="cpu")
    check_exact(fed(parent.metric, features, classes), features, classes)
    with pytest.raises(DataError, match="'meta', which has no values"):
        parent.metric.update(features.to("meta"), classes)


def test_collections_and_wrappers(features: torch.Tensor, classes: torch.Tensor) -> None:
    both = MetricCollection({"logme": made(), "h_score": made("h_score")})
    fed(both, features[:350], classes[:350])
    Parent(both).to(torch.bfloat16)
    fed(both, features[350:], classes[350:])
    check_exact(both["logme"], features, classes)
    running = Running(made(), window=14)
    Parent(running).to(torch.bfloat16)
    fed(running, features, classes)
    # The sums of batches are added in another order: rounding.
    assert float(running.compute()) == pytest.approx(
        float(fed(made(), features, classes).compute()), rel=1e-10
    )
    fed(running, features, classes)
    running.to(torch.bfloat16)  # copies of the wrapper's own, with rows
    with pytest.raises(DtypeError, match=r"float64, got torch\.bfloat16"):
        running.compute()


def test_checkpoints(features: torch.Tensor, classes: torch.Tensor) -> None:
    parent = Parent(made())
    parent.metric.persistent(True)
    fed(parent.metric, features[:350], classes[:350])
    parent.to(torch.bfloat16)
    file = io.BytesIO()
    torch.save(parent.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    assert saved["metric.scatter"].dtype == torch.float64
    for assign in (False, True):
        other = Parent(made())
        other.metric.persistent(True)
        other.load_state_dict(saved, assign=assign)
        fed(other.metric, features[350:], classes[350:])
        check_exact(other.metric, features, classes)
        assert saved["metric.count"] == 350, "the checkpoint does not change"

    rounded = {name: value.bfloat16() for name, value in saved.items()}
    other = Parent(made())
    other.metric.persistent(True)
    fed(other.metric, features, classes)
    with pytest.raises(DtypeError, match=r"float64, got torch\.bfloat16"):
        other.load_state_dict(rounded)
    wide = Parent(TransferabilityMetric(D + 1, C))
    wide.metric.persistent(True)
    with pytest.raises(DataError, match=r"state sum .* shape \(6,\), got \(5,\)"):
        wide.load_state_dict(saved, strict=False)
    check_exact(other.metric, features, classes)


def test_states_assigned_or_merged_in_another_dtype(
    features: torch.Tensor, classes: torch.Tensor
) -> None:
    metric = fed(made(), features, classes)
    with pytest.raises(DtypeError, match=r"state scatter .* float64, got torch\.float32"):
        metric.scatter = metric.scatter.float()
    with pytest.raises(DtypeError, match=r"state count .* float64, got int"):
        metric.count = 3
    half = {name: value.half() for name, value in metric.metric_state.items()}
    with pytest.raises(DtypeError, match=r"got torch\.float16"):
        metric.merge_state(half)
    with pytest.raises(DataError, match=r"shape \(3, 5\), got \(4, 5\)|shape \(3,\), got \(4,\)"):
        metric.merge_state(fed(TransferabilityMetric(D, C + 1), features, classes))
    metric.merge_state(made())  # no rows
    with pytest.raises(DtypeError, match=r"stays so, not torch\.bfloat16"):
        metric.set_dtype(torch.bfloat16)
    assert metric.set_dtype(torch.float64) is metric
    check_exact(metric, features, classes)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(features: torch.Tensor, classes: torch.Tensor) -> None:
    parent = halves(lambda m: m.to("cuda", torch.bfloat16), features, classes)
    metric = parent.metric
    assert {getattr(metric, name).device.type for name in metric._defaults} == {"cuda"}
    assert metric.device.type == "cuda"
    expected = fed(made(), features, classes).compute()
    assert float(metric.compute()) == pytest.approx(float(expected), rel=1e-10)
    with torch.autocast("cuda", torch.bfloat16):
        fed(metric, features.cuda(), classes.cuda())
    parent.to("cpu", torch.float16)
    assert metric.count.item() == 2 * N
    with torch.device("cuda"):
        made_there = made()
    assert made_there.shift.device.type == made_there.sum.device.type == "cuda"
    fed(made_there, features.cuda(), classes.cuda()).compute()
    made_there.persistent(True)
    on_cpu = made()
    on_cpu.persistent(True)
    on_cpu.load_state_dict(made_there.state_dict())
    assert on_cpu.sum.device.type == "cpu"
