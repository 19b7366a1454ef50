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
axes, are pooled over space. Half precision is summed in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import DataError, DtypeError

__all__ = ["POOLS", "Pool", "as_float", "check_pool", "check_real", "pool_rows"]

#: The poolings by name, with their descriptions.
POOLS = {
    "mean": "mean over the tokens where the attention mask is 1, or over space",
    "cls": "the first token",
    "max": "maximum over the tokens where the attention mask is 1, or over space",
    "lasttoken": "the last token",
    "mean_sqrt_len_tokens": "sum over the tokens, divided by the square root of their number",
    "mean_sqrt_len": "the same as mean_sqrt_len_tokens",
    "weightedmean": "mean over the tokens with weights 1, 2, 3, …",
    "first_subword": "a row for each word: its first sub-word; needs word_ids",
    "last_subword": "a row for each word: its last sub-word; needs word_ids",
    "flatten": "all features of a sample in one row",
    "none": "a row for each token, or each position of a map",
    "nhwc_mean": "mean over space of maps with the channels last, (N, H, W, C)",
    "nhwc_max": "maximum over space of maps with the channels last",
    "nhwc_none": "a row for each position of maps with the channels last",
    "nchw_mean": "mean over space, where the shape looks as if the channels came last",
}

Pool = str | Callable[[Tensor, Tensor | None], Tensor] | None


def check_pool(pool: object) -> None:
    """Raise DataError unless `pool` is None, a function or a name in POOLS."""
    if pool is not None and not callable(pool) and pool not in POOLS:
        raise DataError(f"pool is {pool!r}; choose from {', '.join(POOLS)}, or give a function")


def check_real(x: Tensor, layer: str) -> None:
    """Raise DtypeError for complex features, which no metric takes."""
    if x.is_complex():
        raise DtypeError(
            f"layer {layer!r} gives complex numbers; take their modulus with a function as pool"
        )


def as_float(x: Tensor) -> Tensor:
    """Return float64 features as they are, and any other dtype as float32."""
    return x if x.dtype is torch.float64 else x.float()


def pool_rows(x: Tensor, pool: str | None, mask: Tensor | None, layer: str) -> Tensor:
    """Pool features (N, T, D) or (N, C, H, W) to rows (N, D), in float32 or float64.

    Features (N, D) are not pooled. The mask (N, T) is 1 at tokens; None counts every token. The row
    of a sample without tokens is NaN, or -inf with "max". Raise DataError if the pooling does not
    fit the shape.
    """
    check_real(x, layer)
    if x.ndim <= 2:
        return as_float(x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1))
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
    return as_float(_OF_TOKENS[pool](x, _bool_mask(x, mask, layer)))


def _over_space(x: Tensor, pool: str, layer: str) -> Tensor:
    order, _, kind = pool.rpartition("_")
    if kind not in ("mean", "max") or order not in ("", "nhwc", "nchw"):
        raise _mismatch(
            layer, x, pool, "'mean', 'max', 'flatten', or 'nhwc_mean' if channels are last"
        )
    if not order and x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3]:
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


def _bool_mask(x: Tensor, mask: Tensor | None, layer: str) -> Tensor | None:
    """Return the mask (N, T) as booleans on the device of the features."""
    if mask is None:
        return None
    if mask.shape != x.shape[:2]:
        raise DataError(
            f"layer {layer!r} gives {tuple(x.shape[:2])} (samples, tokens), but attention_mask is "
            f"{tuple(mask.shape)}; give the mask of these tokens, "
            f"attention_mask={{{layer!r}: mask}}, or None instead of a mask if all count"
        )
    return mask.to(x.device) != 0


def _mean(x: Tensor, kept: Tensor | None) -> Tensor:
    return x.mean(1, dtype=_sum_dtype(x)) if kept is None else _sum(x, kept) / _count(x, kept)


def _mean_sqrt(x: Tensor, kept: Tensor | None) -> Tensor:
    return _sum(x, kept) / _count(x, kept).sqrt()


def _weighted_mean(x: Tensor, kept: Tensor | None) -> Tensor:
    dtype = _sum_dtype(x)
    place = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=dtype).expand(x.shape[:2])
    if kept is not None:
        place = (place - kept.int().argmax(1, keepdim=True)) * kept
    return _sum(x.to(dtype) * place[..., None], kept) / place.sum(1, keepdim=True)


def _sum(x: Tensor, kept: Tensor | None) -> Tensor:
    # Not a product with the mask: infinity in the padding times 0 would be NaN.
    return (x if kept is None else x.masked_fill(~kept[..., None], 0)).sum(1, dtype=_sum_dtype(x))


def _count(x: Tensor, kept: Tensor | None) -> Tensor:
    if kept is None:
        return torch.full((len(x), 1), x.shape[1], dtype=_sum_dtype(x), device=x.device)
    return kept.sum(1, keepdim=True, dtype=_sum_dtype(x))


def _max(x: Tensor, kept: Tensor | None) -> Tensor:
    return (x if kept is None else x.masked_fill(~kept[..., None], -torch.inf)).amax(1)


def _first(x: Tensor, kept: Tensor | None) -> Tensor:
    return x[:, 0] if kept is None else _gather(x, kept, kept.int().argmax(1))


def _last(x: Tensor, kept: Tensor | None) -> Tensor:
    if kept is None:
        return x[:, -1]
    return _gather(x, kept, x.shape[1] - 1 - kept.int().flip(1).argmax(1))


def _gather(x: Tensor, kept: Tensor, place: Tensor) -> Tensor:
    rows = x[torch.arange(len(x), device=x.device), place]
    return rows.masked_fill(~kept.any(1, keepdim=True), torch.nan)


_OF_TOKENS: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "mean_sqrt_len": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "max": _max,
    "cls": _first,
    "lasttoken": _last,
}
