"""Run an encoder of time series, so that its layers give tokens of each series."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["SeriesModule"]


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
