"""Adapt every kind of model to a torch module with named layers, for ``extract``.

A model that is not a torch module returns an array for each layer. A module with an nn.Identity for
each layer wraps it, so that pooling, selection of words and statistics are the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Feed", "open_feed"]


@dataclass(frozen=True)
class Feed:
    """A torch module, the path of each layer in it by name, and the model that it adapts."""

    model: Any
    module: nn.Module
    name_of: Mapping[str, str]

    def moved(self, batch: Any) -> Any:
        """Return a batch on the device of the module, ready for its forward pass."""
        return self.model.moved(batch) if self.model.module is not None else (batch,)

    def has_head(self, batch: Any) -> bool:
        """Return whether the model outputs logits of source classes, one row for each sample."""
        # Without a classifier, timm and libraries like it set num_classes=0 and return features.
        if self.model.module is None or getattr(self.model.module, "num_classes", None) == 0:
            return False
        with torch.no_grad():
            output = self.model.run(batch)
        if isinstance(output, Mapping):  # the ModelOutput of transformers is one too
            return isinstance(output.get("logits"), Tensor)
        return isinstance(output, Tensor) and output.ndim == 2


class _PassThrough(nn.Module):
    """Pass the arrays of a model through one identity for each layer."""

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
def open_feed(model: Any, layers: Sequence[str]) -> Iterator[Feed]:
    """Adapt a model within a context: its own torch module, or a wrapper around its arrays."""
    if model.module is not None:
        yield Feed(model, model.module, {layer: layer for layer in layers})
    else:
        passing = _PassThrough(model, layers).eval()
        yield Feed(model, passing, {layer: f"layer.{i}" for i, layer in enumerate(layers)})
