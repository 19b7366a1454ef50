"""Extraction when something is wrong: named errors, and the model as it was before."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from transferability.errors import DataError, TransferabilityWarning
from transferability.torch import extract


class Twice(nn.Module):
    """Uses one module twice, another never; a list holds layers."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.act, self.unused = nn.ReLU(), nn.Linear(4, 4)
        self.held = nn.ModuleList([nn.Identity()])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.second(self.held[0](self.act(self.first(x)))))


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_a_layer_that_runs_twice_is_to_be_numbered() -> None:
    model, x = Twice().eval(), torch.randn(8, 4)
    with (
        extract(model, "act") as ex,
        pytest.raises(DataError, match=r"'act' ran 2 times .* say which: 'act#0' to 'act#1'"),
    ):
        ex.update(x, [0, 1] * 4)
    with extract(model, ["act#0", "act#1"], keep_features=True) as ex:
        ex.update(x, [0, 1] * 4)
    np.testing.assert_array_equal(ex.features["act#0"], model.first(x).relu().detach())
    np.testing.assert_array_equal(ex.features["act#1"], model(x).detach())
    with (
        extract(model, "act#2") as ex,
        pytest.raises(DataError, match="'act#2' ran only 2 times"),
    ):
        ex.update(x, [0, 1] * 4)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("unused", r"'unused' \(Linear\) did not run in this forward pass"),
        ("held", r"'held' \(ModuleList\) did not run.*name one of them, 'held.0' to 'held.0'"),
    ],
)
def test_a_layer_that_does_not_run_is_named(layer: str, message: str) -> None:
    with extract(Twice().eval(), layer) as ex, pytest.raises(DataError, match=message):
        ex.update(torch.randn(8, 4), [0, 1] * 4)


class Fails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.fails = nn.Linear(4, 4), False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.inner(x)
        if self.fails:
            raise torch.OutOfMemoryError("no memory")
        return x


def test_everything_is_as_before_also_after_an_error() -> None:
    model = Fails()
    model.inner.eval()  # frozen, while the rest is in training mode
    hooks, modes = hooks_of(model), [m.training for m in model.modules()]
    model.fails = True

    def run() -> None:
        with extract(model, ["inner"], amp="bfloat16") as ex:
            assert not torch.is_grad_enabled()
            assert not model.training
            ex.update(torch.randn(2, 4), [0, 1])

    with (
        pytest.warns(TransferabilityWarning, match="training mode"),
        pytest.raises(torch.OutOfMemoryError),
    ):
        run()
    assert torch.is_grad_enabled()
    assert not torch.is_autocast_enabled("cpu")
    assert (hooks_of(model), [m.training for m in model.modules()]) == (hooks, modes)


def test_a_batch_that_fails_counts_nothing_and_may_be_tried_again() -> None:
    x = torch.randn(40, 4)
    labels = (x[:, 0] > 0).long()
    model = Fails().eval()
    with extract(model, ["inner", ""]) as ex:
        ex.update(x[:20], labels[:20])
        model.fails = True
        with pytest.raises(torch.OutOfMemoryError):
            ex.update(x[20:], labels[20:])
        model.fails = False
        ex.update(x[20:30], labels[20:30])
        ex.update(x[30:], labels[30:])
    with extract(model, ["inner", ""]) as whole:
        whole.update(x, labels)
    assert ex.n_samples == 40
    assert ex.compute()["inner"] == pytest.approx(whole.compute()["inner"], rel=1e-10)


class Sometimes(nn.Module):
    """Its second layer gives NaN for inputs above 9."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Identity(), nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.where(self.first(x) > 9, torch.nan, x))


def test_nan_is_named_by_layer_and_batch_and_nothing_of_it_counts() -> None:
    x = torch.zeros(8, 4)
    x[5, 2] = 10
    with extract(Sometimes().eval(), ["first", "second"]) as ex:
        ex.update(torch.randn(8, 4), [0, 1] * 4)
        with pytest.raises(
            DataError, match=r"'second' gives features.* NaN.* in batch 1 \(row 5, column 2: nan\)"
        ):
            ex.update(x, [0, 1] * 4)
        assert {stats.n_samples for stats in ex.stats.values()} == {8}


def test_dead_layers_are_scored_with_a_warning() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].bias.fill_(-1e6)
    with extract(model, ["0", "1"]) as ex:
        ex.update(torch.randn(64, 4), [0, 1] * 32)
    with pytest.warns(TransferabilityWarning, match="layer '1' is dead"):
        scores = ex.compute("logme")
    assert any("is dead" in text for text in scores["1"].warnings)
    assert not scores["0"].warnings


def test_what_is_overwritten_in_place_is_not_taken_for_the_layers_output() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True)).eval()
    x = torch.randn(30, 4)
    with extract(model, "0", keep_features=True) as ex:
        ex.update(x, [0, 1, 2] * 10)  # copied at once
        model(x)
        with pytest.raises(DataError, match="'0' gave was overwritten"):
            ex.collect([0, 1, 2] * 10)
    np.testing.assert_array_equal(ex.features["0"], model[0](x).detach())


def test_an_attention_mask_that_cannot_be_seen_is_asked_for(
    bert: nn.Module, texts: dict[str, Any]
) -> None:
    ids, mask = texts["input_ids"], texts["attention_mask"]
    with extract(bert, "encoder.layer.1", keep_features="float64") as ex:
        bert.forward(ids, mask)  # not bert(...), so that only inner layers are seen
        with pytest.raises(DataError, match="attention mask is not among what the model was given"):
            ex.collect(texts["labels"])
        bert.forward(ids, mask)
        ex.collect(texts["labels"], attention_mask=mask)
    with extract(bert, "encoder.layer.1", keep_features="float64") as again:
        again.update({"input_ids": ids, "attention_mask": mask}, texts["labels"])
    np.testing.assert_array_equal(ex.features["encoder.layer.1"], again.features["encoder.layer.1"])


def test_wrapped_and_compiled_models_have_their_layers_by_their_own_names() -> None:
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh()).eval()
    x = torch.randn(20, 4)
    compiled = torch.compile(model, backend="eager")
    for wrapped, names in (
        (nn.DataParallel(model), ["0", "module.1"]),
        (compiled, ["0", "_orig_mod.1"]),
        (nn.DataParallel(compiled), ["0", "module._orig_mod.1"]),
    ):
        wrapped(x)  # compiled before there are hooks
        with extract(wrapped, names, keep_features=True) as ex:
            ex.update(x, [0, 1] * 10)
        assert list(ex.features) == names
        np.testing.assert_array_equal(ex.features[names[1]], model(x).detach())


def test_nothing_is_held_on_to_afterwards() -> None:
    model = nn.Sequential(nn.Linear(4, 6)).eval()
    with extract(model, "0") as ex:
        output = ex.update(torch.randn(4, 4), [0, 1, 0, 1])
        gone = weakref.ref(output)
        del output
        gc.collect()
        assert gone() is None
