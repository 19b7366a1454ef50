"""Select the tensor of features, or of logits, in the output of a module."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["select_features", "select_logits"]

#: Keys of a mapping that may hold the features, in order of preference.
_FEATURES = ("last_hidden_state", "sentence_embedding", "token_embeddings", "logits")


def select_features(output: object, module: nn.Module | None = None) -> Tensor | None:
    """Return the tensor of features in the output of a module, batch first; None without one.

    A tensor is returned itself. Of a tuple or list (recurrent layers, transformer blocks), the
    first tensor of floating-point or complex numbers is returned. Of a mapping (``ModelOutput``,
    sentence-transformers), ``last_hidden_state``, ``sentence_embedding``, ``token_embeddings`` or
    ``logits`` is returned, or else its first such tensor. The batch axis of 3-D outputs of a module
    with ``batch_first=False`` is moved to the front.
    """
    tensor = _first(output)
    if tensor is not None and tensor.ndim == 3 and not _is_batch_first(module):
        return tensor.transpose(0, 1)
    return tensor


def _is_batch_first(module: Any) -> bool:
    """Return whether a module of torch takes the batch on the first axis; True if unknown."""
    if isinstance(module, (nn.TransformerEncoder, nn.TransformerDecoder)):
        module = next(iter(module.layers), None)
    if isinstance(module, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)):
        module = getattr(module, "self_attn", None)  # the layers do not keep the argument
    return getattr(module, "batch_first", True) is not False


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


def select_logits(output: Any) -> Tensor | None:
    """Return the logits in the output of a model: ``.logits``, ``["logits"]``, or its features."""
    logits = output.get("logits") if isinstance(output, Mapping) else None
    if not isinstance(logits, torch.Tensor):
        logits = getattr(output, "logits", None)
    return logits if isinstance(logits, torch.Tensor) else select_features(output)
