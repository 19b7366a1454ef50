"""What layers a model has: names, types, shapes, and how often each runs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from transferability.torch import Layer, list_layers


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.act, self.off = nn.Linear(3, 5), nn.ReLU(), nn.Linear(2, 2)
        self.same = self.a

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.act(self.act(self.a(x)))


def test_layers_have_name_type_shape_and_calls() -> None:
    layers = list_layers(Shared(), torch.zeros(2, 3))
    assert list(layers) == [
        Layer("", "Shared", (2, 5), 1),
        Layer("a", "Linear", (2, 5), 1),
        Layer("act", "ReLU", (2, 5), 2),
        Layer("off", "Linear", None, 0),
    ]
    assert str(layers).splitlines() == [
        "name            type    output shape",
        "'' (the model)  Shared  (2, 5)",
        "a               Linear  (2, 5)",
        "act             ReLU    (2, 5)  #0 to #1",
        "off             Linear  does not run",
    ]


def test_the_model_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout())
    list_layers(model, torch.randn(4, 3))
    assert model.training
    assert int(model[0].num_batches_tracked) == 0
    assert not any(m._forward_hooks for m in model.modules())
    with pytest.raises(RuntimeError):
        list_layers(model, torch.randn(4, 7))
    assert model.training
    assert not any(m._forward_hooks for m in model.modules())


def test_mappings_and_tuples_are_arguments(bert: nn.Module, texts: dict[str, Any]) -> None:
    ids, mask = texts["input_ids"], texts["attention_mask"]
    by_name = list_layers(bert, {"input_ids": ids, "attention_mask": mask})
    assert by_name == list_layers(bert, (ids, mask))
    shapes = {layer.name: layer.shape for layer in by_name}
    assert shapes["encoder.layer.1"] == (120, 12, 16)
    assert shapes[""] == (120, 12, 16)
    assert shapes["pooler"] == (120, 16)


def test_vision_models(request: pytest.FixtureRequest) -> None:
    timm = pytest.importorskip("timm")
    model = timm.create_model("resnet18", pretrained=False)
    shapes = {layer.name: layer.shape for layer in list_layers(model, torch.zeros(2, 3, 64, 64))}
    assert shapes["layer4"] == (2, 512, 2, 2)
    assert shapes["global_pool"] == (2, 512)
    assert shapes["fc"] == (2, 1000)
