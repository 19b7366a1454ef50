"""Convert the layer outputs of one batch to rows with labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.labels import read_labels
from ..errors import DataError
from ._bags import Levels, read_levels
from ._dense import flatten_maps, select_positions
from ._layers import LayerRequest
from ._pooling import (
    LayerPooling,
    Pool,
    PoolChoice,
    as_float,
    check_real,
    fitting_pools,
)
from ._tokens import Selection, gather_rows, name_tags, select_tokens, select_words

__all__ = ["AVERAGE", "Batch", "LayerBatch", "Pooled", "RowOptions", "average_layers"]

#: The rows of a layer by the label of the pooling.
Pooled = dict[str | None, "LayerBatch"]
#: Name of the mean over all layers.
AVERAGE = "mean"
#: Returns the attention mask that the model received for a layer.
FindMask = Callable[[LayerRequest], Tensor | None]


@dataclass(frozen=True)
class RowOptions:
    """Options of the conversion of features to rows, the same for all batches."""

    pools: Mapping[str, PoolChoice]
    bio: str
    tag_names: Sequence[str] | None
    positions: int | None
    ignore: tuple[float, ...]
    seed: int
    bag_pools: tuple[str, ...] = ()  # of each level of bags, the inner first
    adjacent_bags: bool = False


@dataclass(frozen=True, eq=False)
class LayerBatch:
    """Rows of a layer with labels and groups; a `selection` where rows are tokens or positions."""

    rows: Tensor
    labels: NDArray[Any] | None
    groups: NDArray[Any] | None
    selection: Selection | None = None


class Batch:
    """The labels, masks and groups of a batch, and the conversion of its features to rows.

    Labels, mask, words, groups and samples are those of :meth:`Extractor.update`; `first` samples
    came before this batch.
    """

    def __init__(
        self,
        options: RowOptions,
        first: int,
        labels: Any,
        attention_mask: Any,
        word_ids: Sequence[Sequence[int | None]] | None,
        groups: Any,
        samples: Sequence[int] | None = None,
        bags: Any = None,
    ) -> None:
        self._options = options
        self._bags = bags
        self._labels = labels
        self._mask = attention_mask
        self._word_ids = word_ids
        # Copies, because rows wait for a full block while a loop may fill its arrays again.
        self._groups = None if groups is None else read_labels(groups, "groups")[0].copy()
        self._first = first
        self._samples = None if samples is None else np.array(samples, np.int64)
        self._selections: dict[tuple[Any, ...], Selection] = {}
        self._masks: list[Tensor | None] = []
        self._levels: Levels | None = None
        self.n_samples = 0
        self.flat: set[str] = set()  # layers with features (N, D)
        self.all_flat = True

    def take(self, layer: LayerRequest, x: Tensor, find_mask: FindMask) -> Pooled:
        """Convert the output `x` of a layer to rows by the label of each of its poolings.

        `find_mask` returns the model's own mask. Features (N, D) are not pooled, and have the label
        None only.
        """
        if x.is_nested or not x.ndim:
            raise DataError(
                f"layer {layer.name!r} gives {'a nested tensor' if x.is_nested else 'one number'}, "
                f"not a row for each sample (TransformerEncoder: enable_nested_tensor=False)"
            )
        with torch.autocast(x.device.type, enabled=False):
            self.n_samples = len(x)
            self.flat |= {layer.name} if x.ndim <= 2 else set()
            self.all_flat &= x.ndim <= 2
            pools: Mapping[str | None, Pool] = self._options.pools[layer.name].pools
            if self._options.pools[layer.name].is_all:
                pools = {pool: pool for pool in fitting_pools(x, self._word_ids is not None)}
                pools = pools or {None: "mean"}
            elif x.ndim <= 2 and None not in pools:  # one row, whatever the names of poolings
                functions = {label: pool for label, pool in pools.items() if callable(pool)}
                named: dict[str | None, Pool] = (
                    {None: "mean"} if len(functions) < len(pools) else {}
                )
                pools = {**named, **functions}
            mask = None
            if (
                x.ndim == 3
                and self._word_ids is None
                and any(p != "flatten" for p in pools.values())
            ):
                mask = self._choose_mask(layer, find_mask)
            pooling = LayerPooling(x, mask, layer.name)
            return {label: self._convert(pooling, pool, mask) for label, pool in pools.items()}

    def _convert(self, pooling: LayerPooling, pool: Pool, mask: Tensor | None) -> LayerBatch:
        x, layer = pooling.x, pooling.layer
        if callable(pool):
            x = pool(x, mask)
            pool = "none" if isinstance(x, Tensor) and x.ndim == 4 else None
            if not isinstance(x, Tensor):
                raise DataError(f"layer {layer!r}: pool must give a tensor, gave {type(x)}")
            pooling = LayerPooling(x, mask, layer)
        check_real(x, layer)
        if self._word_ids is not None and x.ndim == 3:
            words = partial(select_words, self._labels, self._word_ids, x.shape[1], str(pool))
            selection = self._select(("words", x.shape[1], pool), words)
            return self._gather(x.flatten(0, 1), selection)
        if pool in ("first_subword", "last_subword") or self._word_ids is not None:
            raise DataError(
                f"layer {layer!r} gives {tuple(x.shape)}; rows of words need word_ids, and "
                f"features of tokens, (N, T, D)"
            )
        if x.ndim < 3 and self._options.positions is not None:
            self._refuse_pixels(x, layer, "choose others, or layers='all'")
        if x.ndim > 2 and pool in ("none", "nhwc_none"):
            if x.ndim == 3:
                advice = "choose layers with maps, or reshape the tokens in a loop of your own"
                self._refuse_pixels(x, layer, advice)
                tokens = partial(select_tokens, self._labels, mask, tuple(x.shape[:2]))
                self._masks.append(mask)  # alive, so that the identity of each is its own
                selection = self._select(("tokens", x.shape[1], id(mask)), tokens)
                return self._gather(x.flatten(0, 1), selection)
            if x.ndim == 4:
                maps = x.permute(0, 3, 1, 2) if pool == "nhwc_none" else x
                return self._gather(flatten_maps(maps), self._select_positions(maps))
        rows = pooling.rows(pool)
        if rows.untyped_storage().data_ptr() == x.untyped_storage().data_ptr():
            rows = rows.clone()  # a later layer may overwrite x, and a view keeps all of x alive
        return LayerBatch(rows, self._sample_labels, self._groups)

    def _refuse_pixels(self, x: Tensor, layer: str, advice: str) -> None:
        """Raise DataError if labels are of pixels; the features `x` are no maps of positions."""
        if self._labels is not None and len(self._labels) and np.ndim(self._labels[0]) == 2:
            raise DataError(
                f"layer {layer!r} gives {tuple(x.shape)}, and labels of pixels need maps "
                f"(N, C, h, w); {advice}"
            )

    def levels(self, name: str, batch: LayerBatch, n_levels: int) -> Levels:
        """Return the ids of the bags of rows of a layer; raise DataError if there are none."""
        if batch.selection is not None:
            raise DataError(
                f"layer {name!r} makes several rows of a sample, and bags pool samples; choose a "
                f"pool that makes one row of each, such as 'mean'"
            )
        if self._groups is not None:
            raise DataError("give bags or groups; the rows of a bag become one row")
        if self._levels is None:
            self._levels = read_levels(self._bags, n_levels, self.n_samples)
        return self._levels

    @property
    def _numbers(self) -> NDArray[np.int64]:
        """The position of each sample in the data, (N,)."""
        if self._samples is None:
            return np.arange(self._first, self._first + self.n_samples)
        if len(self._samples) != self.n_samples:
            raise DataError(
                f"samples has {len(self._samples)} entries but the batch has {self.n_samples} "
                f"samples; give the position of each"
            )
        return self._samples

    def positions_of(self, layer: LayerBatch) -> NDArray[np.int64]:
        """Return the position in the data of the sample of each row."""
        numbers = self._numbers
        return numbers if layer.selection is None else numbers[layer.selection.samples]

    def order_of(self, layer: LayerBatch) -> NDArray[np.int64] | None:
        """Return the positions if samples were given, so that rows are held; None without."""
        return None if self._samples is None else self.positions_of(layer)

    def outputs(self, logits: Tensor | None, like: LayerBatch) -> NDArray[Any]:
        """Convert the logits of the model to an array with the same rows as `like`."""
        if logits is None:
            raise DataError("outputs=True, but the model gave no tensor, or was not called itself")
        logits = as_float(logits)
        if like.selection is not None and logits.ndim == 3:
            logits = gather_rows(logits.flatten(0, 1), like.selection)
        elif logits.ndim == 1:
            logits = logits[:, None]
        if logits.ndim != 2 or len(logits) != len(like.rows):
            raise DataError(
                f"outputs=True, but the model gives {tuple(logits.shape)} for {len(like.rows)} "
                f"rows; it must give one row of logits for each"
            )
        return np.array(logits.cpu().numpy())

    def _choose_mask(self, layer: LayerRequest, find_mask: FindMask) -> Tensor | None:
        mask = self._mask
        if isinstance(mask, Mapping) and layer.name in mask:
            mask = mask[layer.name]
        elif mask is None or isinstance(mask, Mapping):
            mask = find_mask(layer)
        return None if mask is None else torch.as_tensor(mask)

    @cached_property
    def _sample_labels(self) -> NDArray[Any] | None:
        return None if self._labels is None else read_labels(self._labels)[0].copy()

    def _select(self, key: tuple[Any, ...], select: Callable[[], Selection]) -> Selection:
        """Select rows once for all layers with the same key."""
        if key not in self._selections:
            self._selections[key] = select()
        return self._selections[key]

    def _select_positions(self, maps: Tensor) -> Selection:
        labels, options = self._labels, self._options
        shape = (len(maps), *maps.shape[2:])
        draw = (self._numbers, options.positions, options.seed, options.ignore)
        return self._select(("positions", shape), partial(select_positions, labels, shape, *draw))

    def _gather(self, x: Tensor, selection: Selection) -> LayerBatch:
        labels = selection.labels
        if labels is not None and self._options.bio == "strip" and labels.size:
            labels = name_tags(labels, self._options.tag_names)
        groups = self._numbers[selection.samples]
        if self._groups is not None:
            groups = self._groups[selection.samples]
        return LayerBatch(gather_rows(x, selection), labels, groups, selection)


def average_layers(taken: Mapping[str, Pooled]) -> Pooled:
    """Average the rows of all layers, pooling by pooling; raise DataError if their shapes differ.

    Rows that were not pooled count for every pooling. A pooling that a layer lacks has no mean.
    """
    layers = list(taken.values())
    labels = dict.fromkeys(label for pooled in layers for label in pooled if label is not None)
    shared = [label for label in labels if all(label in own or None in own for own in layers)]
    chosen: list[str | None] = [*shared] or [None]
    if not shared and any(None not in own for own in layers):
        raise DataError("the layers have no pooling in common, so they have no mean; give one pool")
    return {
        label: _average({n: p[label] if label in p else p[None] for n, p in taken.items()})
        for label in chosen
    }


def _average(taken: Mapping[str, LayerBatch]) -> LayerBatch:
    first, batch = next(iter(taken.items()))
    for name, other in taken.items():
        if other.rows.shape != batch.rows.shape:
            raise DataError(
                f"layers {first!r} and {name!r} give rows of shape {tuple(batch.rows.shape)} and "
                f"{tuple(other.rows.shape)}, which have no mean; choose layers of one width"
            )
    rows = torch.stack([each.rows.to(batch.rows.device) for each in taken.values()])
    return replace(batch, rows=rows.mean(0))
