"""From what a layer gives to one row for each sample.

With x (N, T, D) tokens, m (N, T) the attention mask, 1 at tokens and 0 at padding:

| pool | a row |
|---|---|
| mean | Σ_t m x / Σ_t m |
| mean_sqrt_len_tokens (mean_sqrt_len) | Σ_t m x / √(Σ_t m) |
| weightedmean | Σ_t m p x / Σ_t m p, p = 1, 2, … from the first token |
| max | the largest, over tokens |
| cls, lasttoken | x at the first, the last token, on whichever side the padding is |

The names and numbers are those of sentence-transformers. (N, C, H, W) maps of any number of
spatial axes: `mean` and `max` over space. Half precision is summed in float32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..errors import DataError, DtypeError

__all__ = ["POOLS", "Pool", "check_pool", "pooled", "readable", "refuse_complex"]

#: What `pool` may be, and what it does.
POOLS = {
    "mean": "mean over the tokens that the attention mask leaves, or over space",
    "cls": "the first token",
    "max": "maximum over the tokens that the attention mask leaves, or over space",
    "lasttoken": "the last token",
    "mean_sqrt_len_tokens": "sum over the tokens, divided by the square root of their number",
    "mean_sqrt_len": "the same as mean_sqrt_len_tokens",
    "weightedmean": "mean over the tokens with weights 1, 2, 3, …",
    "first_subword": "a row for each word: its first sub-word; needs word_ids",
    "last_subword": "a row for each word: its last sub-word; needs word_ids",
    "flatten": "everything of a sample in one row",
    "none": "a row for each token, or each position of a map",
    "nhwc_mean": "mean over space of maps with the channels last, (N, H, W, C)",
    "nhwc_max": "maximum over space of maps with the channels last",
    "nhwc_none": "a row for each position of maps with the channels last",
    "nchw_mean": "mean over space, where the shape looks as if the channels came last",
}

Pool = str | Callable[[Tensor, Tensor | None], Tensor] | None


def check_pool(pool: object) -> None:
    """Refuse what is no pooling."""
    if pool is not None and not callable(pool) and pool not in POOLS:
        raise DataError(f"pool is {pool!r}; choose from {', '.join(POOLS)}, or give a function")


def refuse_complex(x: Tensor, layer: str) -> None:
    """Refuse what has no order and no mean that is a feature."""
    if x.is_complex():
        raise DtypeError(
            f"layer {layer!r} gives complex numbers; take their modulus with a function as pool"
        )


def readable(x: Tensor) -> Tensor:
    """Give features as float32 or float64, whatever the layer works in."""
    return x if x.dtype is torch.float64 else x.float()


def pooled(x: Tensor, pool: Pool, mask: Tensor | None, layer: str) -> Tensor:
    """Give one row for each sample.

    Parameters
    ----------
    x : Tensor of shape (N, D), (N, T, D) or (N, C, H, W)
        Rows are left as they are.
    pool : str, callable or None
        A name of POOLS; or a function of `x` and the mask.
    mask : Tensor of shape (N, T) or None
        None: every token counts.
    layer : str
        For messages.

    Returns
    -------
    rows : Tensor of shape (N, D), float32 or float64
        A sample without any token gives NaN.

    Raises
    ------
    DataError
        If the pooling does not fit the shape.
    """
    if callable(pool):
        x, pool = pool(x, mask), None
    refuse_complex(x, layer)
    if x.ndim <= 2:
        return readable(x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1))
    if pool is None:
        raise DataError(
            f"layer {layer!r} gives {x.ndim}-D features of shape {tuple(x.shape)}; pool first: "
            f"pool='mean'"
        )
    assert isinstance(pool, str), "callables are through"
    if pool == "flatten":
        return readable(x.flatten(1))
    if x.ndim > 3:
        return _over_space(x, pool, layer)
    if pool not in _OF_TOKENS:
        raise _unfit(layer, x, pool, ", ".join(map(repr, [*_OF_TOKENS, "flatten"])))
    return readable(_OF_TOKENS[pool](x, _kept(x, mask, layer)))


def _over_space(x: Tensor, pool: str, layer: str) -> Tensor:
    order, _, kind = pool.rpartition("_")
    if kind not in ("mean", "max") or order not in ("", "nhwc", "nchw"):
        raise _unfit(
            layer, x, pool, "'mean', 'max', 'flatten', or 'nhwc_mean' if channels are last"
        )
    if not order and x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3]:
        raise DataError(
            f"layer {layer!r} gives {tuple(x.shape)}, which looks like (N, H, W, C); give "
            f"pool='nhwc_{kind}' if its channels come last, and 'nchw_mean' if they come first"
        )
    space = tuple(range(1, x.ndim - 1) if order == "nhwc" else range(2, x.ndim))
    return readable(x.amax(space)) if kind == "max" else x.mean(space, dtype=_wide(x))


def _unfit(layer: str, x: Tensor, pool: str, fit: str) -> DataError:
    return DataError(
        f"layer {layer!r} gives features of shape {tuple(x.shape)}, which pool={pool!r} does not "
        f"fit; give {fit}"
    )


def _wide(x: Tensor) -> torch.dtype:
    """Give what sums are made in; the conversion is part of the sum, not a copy before it."""
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def _kept(x: Tensor, mask: Tensor | None, layer: str) -> Tensor | None:
    """Give the mask as booleans on the features' device, (N, T)."""
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
    return x.mean(1, dtype=_wide(x)) if kept is None else _sum(x, kept) / _count(x, kept)


def _mean_sqrt(x: Tensor, kept: Tensor | None) -> Tensor:
    return _sum(x, kept) / _count(x, kept).sqrt()


def _weighted_mean(x: Tensor, kept: Tensor | None) -> Tensor:
    place = torch.arange(1, x.shape[1] + 1, device=x.device, dtype=_wide(x)).expand(x.shape[:2])
    if kept is not None:
        place = (place - kept.int().argmax(1, keepdim=True)) * kept
    return _sum(x.to(_wide(x)) * place[..., None], kept) / place.sum(1, keepdim=True)


def _sum(x: Tensor, kept: Tensor | None) -> Tensor:
    # Not a product with the mask, which would turn what overflowed in the padding into NaN.
    return (x if kept is None else x.masked_fill(~kept[..., None], 0)).sum(1, dtype=_wide(x))


def _count(x: Tensor, kept: Tensor | None) -> Tensor:
    if kept is None:
        return torch.full((len(x), 1), x.shape[1], dtype=_wide(x), device=x.device)
    return kept.sum(1, keepdim=True, dtype=_wide(x))


def _max(x: Tensor, kept: Tensor | None) -> Tensor:
    return (x if kept is None else x.masked_fill(~kept[..., None], -torch.inf)).amax(1)


def _first(x: Tensor, kept: Tensor | None) -> Tensor:
    return x[:, 0] if kept is None else _at(x, kept, kept.int().argmax(1))


def _last(x: Tensor, kept: Tensor | None) -> Tensor:
    return x[:, -1] if kept is None else _at(x, kept, x.shape[1] - 1 - kept.int().flip(1).argmax(1))


def _at(x: Tensor, kept: Tensor, place: Tensor) -> Tensor:
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
