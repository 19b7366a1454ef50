"""Adapt every kind of model to a torch module with named layers, for ``extract``.

A model that is not a torch module returns an array for each layer. A module with an nn.Identity for
each layer wraps it, so that pooling, selection of words and statistics are the same code. The
encoder of a time series is wrapped too, so that its layers give tokens of each series.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._run import evaluation_mode

__all__ = ["Feed", "SeriesModule", "open_feed"]


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
        with evaluation_mode(self.model.module, warn=False):
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


class SeriesModule(nn.Module):
    """Run an encoder on values and booleans (N, T, C), and return tokens (N, C·P, D)."""

    def __init__(self, encoder: Any) -> None:
        super().__init__()
        self.model = encoder.module
        self._run = encoder.run
        self._n_series = 0

    def forward(self, values: Tensor, observed: Tensor) -> Tensor:
        """Return the last hidden state of the encoder as tokens."""
        self._n_series = len(values)
        return self.to_tokens(self._run(values, observed))

    def to_tokens(self, output: Any) -> Tensor:
        """Return the output of a part of the encoder as tokens of each series."""
        x: Tensor = output if isinstance(output, Tensor) else output[0]
        # (N, C, P, D), or (N·C, P, D) where channels are series of their own.
        return x.reshape(self._n_series, -1, x.shape[-1])
