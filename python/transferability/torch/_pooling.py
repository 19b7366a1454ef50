"""Pool the features of a layer to one row for each sample.

For tokens x (N, T, D) with the attention mask m (N, T), 1 at tokens and 0 at padding:

| pool | row |
|---|---|
| mean | Σ_t m x / Σ_t m |
| mean_sqrt_len_tokens (mean_sqrt_len) | Σ_t m x / √(Σ_t m) |
| weightedmean | Σ_t m p x / Σ_t m p, p = 1, 2, … from the first token |
| max | the largest, over tokens |
| cls, lasttoken | x at the first, the last token, with padding on either side |

Names and results are those of sentence-transformers. Maps (N, C, H, W), with any number of spatial
axes, are pooled over space. Half precision is summed in float32. Several poolings of one layer
share its mask, its numbers of tokens and its sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..errors import DataError, DtypeError
from ._names import ALL, OF_TOKENS, OF_WORDS, check_pool

__all__ = [
    "LayerPooling",
    "Pool",
    "PoolChoice",
    "Pools",
    "as_float",
    "check_real",
    "fitting_pools",
    "join_name",
    "looks_channels_last",
    "pool_rows",
    "read_pools",
]

Pool = str | Callable[[Tensor, Tensor | None], Tensor] | None
#: One pooling, several, or "all" that fit.
Pools = Pool | Sequence[Pool]


class PoolChoice(NamedTuple):
    """The poolings of a layer by label; one alone has the label None."""

    pools: Mapping[str | None, Pool]
    is_all: bool = False  # all poolings that fit the shape

    def labels(self) -> tuple[str | None, ...]:
        """Return the labels that are known before the first batch."""
        return tuple(self.pools)


def read_pools(pool: object) -> PoolChoice:
    """Validate the argument `pool` of a layer: one pooling, a sequence of several, or "all"."""
    if pool == ALL:
        return PoolChoice({}, is_all=True)
    if not isinstance(pool, (list, tuple)):
        check_pool(pool)
        return PoolChoice({None: pool})  # type: ignore[dict-item]
    if not pool:
        raise DataError("pool is empty; give at least one pooling, or 'all'")
    found: dict[str | None, Pool] = {}
    for one in pool:
        check_pool(one)
        label = one if isinstance(one, str) else getattr(one, "__name__", type(one).__name__)
        if one is None or label in found:
            raise DataError(
                f"pool has {label!r} among several; 2-D features are never pooled, so leave it out"
                if one is None
                else f"pool has {label!r} twice; give each pooling once, functions with own names"
            )
        found[label] = one
    return PoolChoice(found)


def join_name(layer: str, label: str | None) -> str:
    """Return the name of one pooling of a layer: "layer", or with a label "layer/label"."""
    return layer if label is None else f"{layer}/{label}"


def check_real(x: Tensor, layer: str) -> None:
    """Raise DtypeError for complex features, which no metric takes."""
    if x.is_complex():
        raise DtypeError(
            f"layer {layer!r} gives complex numbers; take their modulus with a function as pool"
        )


def as_float(x: Tensor) -> Tensor:
    """Return float64 features as they are, and any other dtype as float32."""
    return x if x.dtype is torch.float64 else x.float()


def fitting_pools(x: Tensor, has_words: bool) -> tuple[str, ...]:
    """Return all poolings that make one row of each sample, or of each word, of a layer's output.

    Features (N, D) are not pooled. Of maps (N, H, W, C) with their channels last, those are meant.
    """
    if x.ndim == 3:
        return OF_WORDS if has_words else OF_TOKENS
    order = "nhwc_" if looks_channels_last(x) else ""
    return (f"{order}mean", f"{order}max") if x.ndim > 3 else ()


def looks_channels_last(x: Tensor) -> bool:
    """Return whether maps have square positions on the axes 1 and 2, and channels on the last."""
    return x.ndim == 4 and bool(x.shape[1] == x.shape[2] != x.shape[3])


def pool_rows(x: Tensor, pool: str | None, mask: Tensor | None, layer: str) -> Tensor:
    """Pool features (N, T, D) or (N, C, H, W) to rows (N, D), in float32 or float64.

    Features (N, D) are not pooled. The mask (N, T) is 1 at tokens; None counts every token. The row
    of a sample without tokens is NaN, or -inf with "max". Raise DataError if the pooling does not
    fit the shape.
    """
    return LayerPooling(x, mask, layer).rows(pool)


class LayerPooling:
    """The output of a layer, with all that its poolings share: mask, counts, sums over tokens."""

    def __init__(self, x: Tensor, mask: Tensor | None, layer: str) -> None:
        check_real(x, layer)
        self.x, self.layer = x, layer
        self._mask = mask

    def rows(self, pool: str | None) -> Tensor:
        """Return the rows (N, D) of one pooling, as :func:`pool_rows`."""
        x, layer = self.x, self.layer
        if x.ndim <= 2:
            return as_float(x if x.ndim == 2 else x.reshape(-1, 1))
        if pool is None:
            raise DataError(
                f"layer {layer!r} gives {x.ndim}-D features of shape {tuple(x.shape)}; pool first: "
                f"pool='mean'"
            )
        if pool == "flatten":
            return as_float(x.flatten(1))
        if x.ndim > 3:
            return _over_space(x, pool, layer)
        if pool not in _OF_TOKENS:
            raise _mismatch(layer, x, pool, ", ".join(map(repr, [*_OF_TOKENS, "flatten"])))
        return as_float(_OF_TOKENS[pool](self))

    @cached_property
    def kept(self) -> Tensor | None:
        """The mask (N, T) as booleans on the device of the features; None if all tokens count."""
        if self._mask is None:
            return None
        if self._mask.shape != self.x.shape[:2]:
            raise DataError(
                f"layer {self.layer!r} gives {tuple(self.x.shape[:2])} (samples, tokens), but "
                f"attention_mask is {tuple(self._mask.shape)}; give the mask of these tokens, "
                f"attention_mask={{{self.layer!r}: mask}}, or None instead of a mask if all count"
            )
        kept = self._mask.to(self.x.device) != 0
        # The same sums without copies. On a device the answer would have to be waited for.
        return None if kept.device.type == "cpu" and bool(kept.all()) else kept

    @cached_property
    def zeroed(self) -> Tensor:
        """The features, 0 at padding."""
        # Not a product with the mask: infinity in the padding times 0 would be NaN.
        return self.x if self.kept is None else self.x.masked_fill(~self.kept[..., None], 0)

    @cached_property
    def total(self) -> Tensor:
        """The sum over tokens, (N, D)."""
        return self.zeroed.sum(1, dtype=_sum_dtype(self.x))

    @cached_property
    def count(self) -> Tensor:
        """The number of tokens, (N, 1)."""
        x, dtype = self.x, _sum_dtype(self.x)
        if self.kept is None:
            return torch.full((len(x), 1), x.shape[1], dtype=dtype, device=x.device)
        return self.kept.sum(1, keepdim=True, dtype=dtype)


def _over_space(x: Tensor, pool: str, layer: str) -> Tensor:
    order, _, kind = pool.rpartition("_")
    if kind not in ("mean", "max") or order not in ("", "nhwc", "nchw"):
        raise _mismatch(
            layer, x, pool, "'mean', 'max', 'flatten', or 'nhwc_mean' if channels are last"
        )
    if not order and looks_channels_last(x):
        raise DataError(
            f"layer {layer!r} gives {tuple(x.shape)}, which looks like (N, H, W, C); give "
            f"pool='nhwc_{kind}' if its channels come last, and 'nchw_mean' if they come first"
        )
    space = tuple(range(1, x.ndim - 1) if order == "nhwc" else range(2, x.ndim))
    return as_float(x.amax(space)) if kind == "max" else x.mean(space, dtype=_sum_dtype(x))


def _mismatch(layer: str, x: Tensor, pool: str, fit: str) -> DataError:
    return DataError(
        f"layer {layer!r} gives features of shape {tuple(x.shape)}, which pool={pool!r} does not "
        f"fit; give {fit}"
    )


def _sum_dtype(x: Tensor) -> torch.dtype:
    """Return the dtype in which `x` is summed; torch converts within the sum, without a copy."""
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def _mean(of: LayerPooling) -> Tensor:
    return of.total / of.count


def _mean_sqrt(of: LayerPooling) -> Tensor:
    return of.total / of.count.sqrt()


def _weighted_mean(of: LayerPooling) -> Tensor:
    x, kept, dtype = of.x, of.kept, _sum_dtype(of.x)
    place = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=dtype).expand(x.shape[:2])
    if kept is not None:
        place = (place - kept.int().argmax(1, keepdim=True)) * kept
    return (of.zeroed.to(dtype) * place[..., None]).sum(1) / place.sum(1, keepdim=True)


def _max(of: LayerPooling) -> Tensor:
    kept = of.kept
    return (of.x if kept is None else of.x.masked_fill(~kept[..., None], -torch.inf)).amax(1)


def _first(of: LayerPooling) -> Tensor:
    if of.kept is None:
        return of.x[:, 0]
    return _gather(of.x, of.kept, of.kept.int().argmax(1))


def _last(of: LayerPooling) -> Tensor:
    if of.kept is None:
        return of.x[:, -1]
    return _gather(of.x, of.kept, of.x.shape[1] - 1 - of.kept.int().flip(1).argmax(1))


def _gather(x: Tensor, kept: Tensor, place: Tensor) -> Tensor:
    rows = x[torch.arange(len(x), device=x.device), place]
    return rows.masked_fill(~kept.any(1, keepdim=True), torch.nan)


_OF_TOKENS: dict[str, Callable[[LayerPooling], Tensor]] = {
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "mean_sqrt_len": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "max": _max,
    "cls": _first,
    "lasttoken": _last,
}
