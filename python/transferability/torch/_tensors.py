"""The one tensor that is meant by what a module returns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["main_tensor", "output_logits"]

#: Of a mapping's entries, the first of these that is there.
_FEATURES = ("last_hidden_state", "sentence_embedding", "token_embeddings", "logits")


def main_tensor(output: object, module: nn.Module | None = None) -> Tensor | None:
    """Give the tensor of features in what a module returned, with the batch first.

    A tensor is itself; of a tuple or list (recurrent layers, blocks of transformers) the first
    tensor of floating-point numbers; of a mapping (``ModelOutput``, sentence-transformers)
    ``last_hidden_state``, ``sentence_embedding``, ``token_embeddings`` or ``logits``, or else its
    first. Modules that say ``batch_first=False`` have it put first.
    """
    tensor = _first(output)
    if tensor is not None and tensor.ndim == 3 and getattr(module, "batch_first", True) is False:
        return tensor.transpose(0, 1)
    return tensor


def _first(output: object) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        for key in _FEATURES:
            if isinstance(output.get(key), Tensor):
                return output[key]
        output = list(output.values())
    for entry in output if isinstance(output, (tuple, list)) else ():
        if isinstance(entry, Tensor) and (entry.is_floating_point() or entry.is_complex()):
            return entry
    return None


def output_logits(output: Any) -> Tensor | None:
    """Give the logits in what a model returned: ``.logits``, ``["logits"]``, or its main tensor."""
    logits = output.get("logits") if isinstance(output, Mapping) else None
    if not isinstance(logits, torch.Tensor):
        logits = getattr(output, "logits", None)
    return logits if isinstance(logits, torch.Tensor) else main_tensor(output)
