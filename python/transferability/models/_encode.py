"""Encode a list of items by a model's default layer, for label embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ._model import Model

__all__ = ["encode"]


def encode(model: Model, raw: Sequence[Any], batch_size: int = 32) -> NDArray[Any]:
    """Return a row of features for each item, from the default layer by the default pooling.

    Texts are sorted by length before batching, which reduces padding.

    Returns
    -------
    rows : ndarray of shape (n_items, n_features), float32 or float64
    """
    order = np.arange(len(raw))
    if model.kind == "text":
        order = np.argsort([len(str(item)) for item in raw], kind="stable")
    parts = []
    for start in range(0, len(order), batch_size):
        batch = model.collate([raw[i] for i in order[start : start + batch_size]])
        parts.append(_encode_batch(model, batch))
    found = np.concatenate(parts)
    if found.ndim != 2 or len(found) != len(raw):
        raise DataError(
            f"{model.spec} gave rows of shape {found.shape} for {len(raw)} items; one row for each "
            f"is needed"
        )
    rows = np.empty_like(found)
    rows[order] = found
    return rows


def _encode_batch(model: Model, batch: Any) -> NDArray[Any]:
    layer, mask = model.default_layer, model.attention_mask(batch)
    if model.module is None:
        array = model.features(batch, [layer])[layer]
        if array.ndim == 2:
            return np.asarray(array)
        import torch

        output: Any = torch.as_tensor(array)
    else:
        output = _run_with_hook(model, layer, batch)
    from ..torch._pooling import pool_rows

    rows: NDArray[Any] = pool_rows(output, model.default_pool, mask, layer).cpu().numpy()
    return rows


def _run_with_hook(model: Model, layer: str, batch: Any) -> Any:
    import torch

    from ..torch._tensors import select_features

    seen: list[Any] = []

    def note(module: Any, args: Any, output: Any) -> None:
        seen.append(select_features(output, module))

    handle = model.module.get_submodule(layer).register_forward_hook(note)
    try:
        with torch.no_grad():
            model.run(batch)
    finally:
        handle.remove()
    if len(seen) != 1 or seen[0] is None:
        raise DataError(f"layer {layer!r} of {model.spec} ran {len(seen)} times; it must run once")
    return seen[0]
