"""One batch: its labels, and how each layer's tensor becomes rows that go with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.arrays import as_array
from .._inputs.labels import read_labels
from ..errors import DataError
from ._dense import select_positions, spread
from ._layers import Wanted
from ._pooling import Pool, pooled, readable, refuse_complex
from ._tokens import Selection, select_tokens, select_words, strip_bio, taken

__all__ = ["AVERAGE", "Batch", "Plan", "Taken", "averaged"]

#: What the mean of all layers is called.
AVERAGE = "mean"


@dataclass(frozen=True)
class Plan:
    """What was asked of all batches."""

    pools: Mapping[str, Pool]
    bio: str
    tag_names: Sequence[str] | None
    positions: int | None
    ignore: tuple[int, ...]
    seed: int


@dataclass(frozen=True, eq=False)
class Taken:
    """The rows of a layer with their labels; `selection` where a sample makes several."""

    rows: Tensor
    labels: NDArray[Any] | None
    groups: NDArray[Any] | None
    selection: Selection | None = None

    @property
    def n_lost(self) -> int:
        """Labelled words that were cut off."""
        return 0 if self.selection is None else self.selection.n_lost


class Batch:
    """A batch on its way."""

    def __init__(
        self,
        plan: Plan,
        labels: Any,
        attention_mask: Any,
        word_ids: Sequence[Sequence[int | None]] | None,
        groups: Any,
        first: int,
    ) -> None:
        self._plan = plan
        self._labels = labels
        self._mask = attention_mask
        self._word_ids = word_ids
        self._groups = None if groups is None else as_array(groups, "groups")[0]
        self._first = first
        self._of_samples: NDArray[Any] | None = None
        self._selections: dict[tuple[Any, ...], Selection] = {}
        self.n_samples = 0

    def take(self, layer: Wanted, x: Tensor, find: Callable[[Wanted], Tensor | None]) -> Taken:
        """Make rows of what a layer gave; `find` finds the mask that the model was given."""
        if x.is_nested or not x.ndim:
            raise DataError(
                f"layer {layer.name!r} gives {'a nested tensor' if x.is_nested else 'one number'}, "
                f"not a row for each sample (TransformerEncoder: enable_nested_tensor=False)"
            )
        with torch.autocast(x.device.type, enabled=False):
            self.n_samples = len(x)
            mask = None
            if x.ndim == 3 and self._word_ids is None and self._plan.pools[layer.name] != "flatten":
                mask = self._mask_of(layer, find)
            return self._take(layer.name, x, mask)

    def _take(self, layer: str, x: Tensor, mask: Tensor | None) -> Taken:
        pool = self._plan.pools[layer]
        if callable(pool):
            x = pool(x, mask)
            pool = "none" if isinstance(x, Tensor) and x.ndim == 4 else None
            if not isinstance(x, Tensor):
                raise DataError(f"layer {layer!r}: pool must give a tensor, gave {type(x)}")
        refuse_complex(x, layer)
        if self._word_ids is not None and x.ndim == 3:
            selection = self._words(x.shape[1], str(pool))
            return self._selected(x.flatten(0, 1), selection)
        if pool in ("first_subword", "last_subword") or self._word_ids is not None:
            raise DataError(
                f"layer {layer!r} gives {tuple(x.shape)}; rows of words need word_ids, and "
                f"features of tokens, (N, T, D)"
            )
        if x.ndim > 2 and pool in ("none", "nhwc_none"):
            if x.ndim == 3:
                return self._selected(x.flatten(0, 1), self._tokens(x, mask))
            if x.ndim == 4:
                maps = x.permute(0, 3, 1, 2) if pool == "nhwc_none" else x
                return self._selected(spread(maps), self._positions(maps))
        rows = pooled(x, pool, mask, layer)
        if rows.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            rows = rows.clone()  # later layers may work in place, or x be far larger
        return Taken(rows, self._labels_of_samples(), self._groups)

    def outputs(self, logits: Tensor | None, like: Taken) -> NDArray[Any]:
        """Give what the model itself said of the same rows."""
        if logits is None:
            raise DataError("outputs=True, but the model gave no tensor, or was not called itself")
        logits = readable(logits)
        if like.selection is not None and logits.ndim == 3:
            logits = taken(logits.flatten(0, 1), like.selection)
        elif logits.ndim == 1:
            logits = logits[:, None]
        if logits.ndim != 2 or len(logits) != len(like.rows):
            raise DataError(
                f"outputs=True, but the model gives {tuple(logits.shape)} for {len(like.rows)} "
                f"rows; it must give one row of logits for each"
            )
        return np.array(logits.cpu().numpy())

    def _mask_of(self, layer: Wanted, find: Callable[[Wanted], Tensor | None]) -> Tensor | None:
        given = self._mask
        if isinstance(given, Mapping):
            given = given[layer.name] if layer.name in given else find(layer)
        elif given is None:
            return find(layer)
        return given if given is None or isinstance(given, Tensor) else torch.as_tensor(given)

    def _labels_of_samples(self) -> NDArray[Any] | None:
        if self._labels is not None and self._of_samples is None:
            labels = self._labels
            if getattr(labels, "ndim", 1) > 2:  # keypoints (N, K, 2): targets in one row
                labels = as_array(labels, "labels")[0]
                labels = labels.reshape(len(labels), -1)
            self._of_samples = read_labels(labels)[0]
        return self._of_samples

    def _words(self, n_tokens: int, pool: str) -> Selection:
        key = ("words", n_tokens, pool)
        if key not in self._selections:
            assert self._word_ids is not None, "callers look"
            self._selections[key] = select_words(self._labels, self._word_ids, n_tokens, pool)
        return self._selections[key]

    def _tokens(self, x: Tensor, mask: Tensor | None) -> Selection:
        key = ("tokens", x.shape[1])
        if key not in self._selections:
            left = np.ones(tuple(x.shape[:2]), bool) if mask is None else mask.cpu().numpy() != 0
            if left.shape != tuple(x.shape[:2]):
                raise DataError(f"attention_mask is {left.shape} for {tuple(x.shape[:2])} tokens")
            self._selections[key] = select_tokens(self._labels, left)
        return self._selections[key]

    def _positions(self, maps: Tensor) -> Selection:
        shape = (maps.shape[0], maps.shape[2], maps.shape[3])
        key = ("positions", *shape)
        if key not in self._selections:
            plan = self._plan
            self._selections[key] = select_positions(
                None if self._labels is None else as_array(self._labels, "labels")[0],
                shape,
                first=self._first,
                n_positions=plan.positions,
                seed=plan.seed,
                ignore=plan.ignore,
            )
        return self._selections[key]

    def _selected(self, x: Tensor, selection: Selection) -> Taken:
        labels = selection.labels
        if labels is not None and self._plan.bio == "strip" and labels.size:
            labels = strip_bio(labels, self._plan.tag_names)
        groups = selection.samples + self._first
        if self._groups is not None:
            groups = self._groups[selection.samples]
        return Taken(taken(x, selection), labels, groups, selection)


def averaged(taken: Mapping[str, Taken]) -> Taken:
    """Give the mean of the rows of all layers."""
    first = next(iter(taken))
    for name, other in taken.items():
        if other.rows.shape != taken[first].rows.shape:
            shapes = f"{tuple(taken[first].rows.shape)} and {tuple(other.rows.shape)}"
            raise DataError(
                f"layers {first!r} and {name!r} give rows of shape {shapes}, which have no mean; "
                f"choose layers of one width"
            )
    rows = torch.stack([each.rows.to(taken[first].rows.device) for each in taken.values()]).mean(0)
    return replace(taken[first], rows=rows)
