"""Every kind of model as a torch module with named layers, for ``extract``.

Models that are no torch modules give arrays by layer. A module with one identity for each layer
passes these on, so that pooling, words and statistics are the same code for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Feed", "opened"]


@dataclass(frozen=True)
class Feed:
    """A module, what its layers are called in it, and the model that prepares its batches."""

    model: Any
    module: nn.Module
    name_of: Mapping[str, str]

    def collate(self, raw: Sequence[Any]) -> Any:
        """Preprocess raw items."""
        return self.model.collate(raw)

    def moved(self, batch: Any) -> Any:
        """Give a batch where the module takes it."""
        return self.model.moved(batch) if self.model.module is not None else (batch,)

    def has_head(self, batch: Any) -> bool:
        """Tell whether the model says something of classes of its own: logits, one row each."""
        # Without a classifier, timm's models and others of its manners give their features instead.
        if self.model.module is None or getattr(self.model.module, "num_classes", None) == 0:
            return False
        with torch.no_grad():
            output = self.model.run(batch)
        if isinstance(output, Mapping):  # also what transformers return
            return isinstance(output.get("logits"), Tensor)
        return isinstance(output, Tensor) and output.ndim == 2

    def attention_mask(self, batch: Any) -> Any:
        """Tell tokens from padding, where there are tokens."""
        return self.model.attention_mask(batch)

    def word_ids(self, batch: Any) -> Any:
        """Tell which word each token is of."""
        return self.model.word_ids(batch)


class _Passing(nn.Module):
    """Arrays of a model by layer, through one identity each."""

    def __init__(self, model: Any, layers: Sequence[str]) -> None:
        super().__init__()
        self.model, self.layers = model, tuple(layers)
        self.layer = nn.ModuleList(nn.Identity() for _ in layers)

    def forward(self, batch: Any) -> Tensor:
        found = self.model.features(batch, self.layers)
        tensors = [torch.from_numpy(np.array(found[layer])) for layer in self.layers]
        for identity, tensor in zip(self.layer, tensors, strict=True):
            identity(tensor)
        return tensors[-1]


@contextmanager
def opened(model: Any, layers: Sequence[str]) -> Iterator[Feed]:
    """Give a model's module, or one that stands for it."""
    if model.module is not None:
        yield Feed(model, model.module, {layer: layer for layer in layers})
    else:
        passing = _Passing(model, layers).eval()
        yield Feed(model, passing, {layer: f"layer.{i}" for i, layer in enumerate(layers)})
