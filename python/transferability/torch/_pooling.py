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

__all__ = ["POOLS", "Pool", "check_pool", "pooled", "readable"]

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


def readable(tensor: Tensor, layer: str) -> Tensor:
    """Give features as float32 or float64, whatever the layer works in."""
    if tensor.is_complex():
        raise DtypeError(
            f"layer {layer!r} gives complex numbers; take their modulus with a function as pool"
        )
    return tensor if tensor.dtype is torch.float64 else tensor.float()


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
    x = readable(x, layer)
    if x.ndim <= 2:
        return x.reshape(len(x), -1) if x.ndim else x.reshape(1, 1)
    if pool is None:
        raise DataError(
            f"layer {layer!r} gives {x.ndim}-D features of shape {tuple(x.shape)}; pool first: "
            f"pool='mean'"
        )
    assert isinstance(pool, str), "callables are through"
    if pool == "flatten":
        return x.flatten(1)
    if x.ndim > 3:
        return _over_space(x, pool, layer)
    if pool not in _OF_TOKENS:
        raise _unfit(layer, x, pool, ", ".join(map(repr, [*_OF_TOKENS, "flatten"])))
    return _OF_TOKENS[pool](x, _weights(x, mask, layer))


def _over_space(x: Tensor, pool: str, layer: str) -> Tensor:
    order, _, kind = pool.rpartition("_")
    reduce = {"mean": torch.mean, "max": torch.amax}.get(kind)
    if reduce is None or order not in ("", "nhwc", "nchw"):
        raise _unfit(
            layer, x, pool, "'mean', 'max', 'flatten', or 'nhwc_mean' if channels are last"
        )
    if not order and x.ndim == 4 and x.shape[1] == x.shape[2] != x.shape[3]:
        raise DataError(
            f"layer {layer!r} gives {tuple(x.shape)}, which looks like (N, H, W, C); give "
            f"pool='nhwc_{kind}' if its channels come last, and 'nchw_mean' if they come first"
        )
    return reduce(x, dim=tuple(range(1, x.ndim - 1) if order == "nhwc" else range(2, x.ndim)))


def _unfit(layer: str, x: Tensor, pool: str, fit: str) -> DataError:
    return DataError(
        f"layer {layer!r} gives features of shape {tuple(x.shape)}, which pool={pool!r} does not "
        f"fit; give {fit}"
    )


def _weights(x: Tensor, mask: Tensor | None, layer: str) -> Tensor:
    """Give the mask as 0 and 1 in the features' own numbers, (N, T)."""
    if mask is None:
        return x.new_ones(x.shape[:2])
    if mask.shape != x.shape[:2]:
        raise DataError(
            f"layer {layer!r} gives {tuple(x.shape[:2])} (samples, tokens), but attention_mask is "
            f"{tuple(mask.shape)}; give the mask of these tokens, "
            f"attention_mask={{{layer!r}: mask}}, or None instead of a mask if all count"
        )
    return (mask.to(x.device) != 0).to(x.dtype)


def _mean(x: Tensor, m: Tensor) -> Tensor:
    return _sum(x, m) / m.sum(1, keepdim=True)


def _mean_sqrt(x: Tensor, m: Tensor) -> Tensor:
    return _sum(x, m) / m.sum(1, keepdim=True).sqrt()


def _weighted_mean(x: Tensor, m: Tensor) -> Tensor:
    start = m.argmax(1, keepdim=True)
    place = torch.arange(1, m.shape[1] + 1, device=m.device) - start
    return _mean(x, m * place)


def _sum(x: Tensor, m: Tensor) -> Tensor:
    # Not x * m, which would turn what overflowed in the padding into NaN.
    return torch.where(m[..., None] != 0, x * m[..., None], 0).sum(1)


def _max(x: Tensor, m: Tensor) -> Tensor:
    return x.masked_fill(m[..., None] == 0, -torch.inf).amax(1)


def _first(x: Tensor, m: Tensor) -> Tensor:
    return _at(x, m, m.argmax(1))


def _last(x: Tensor, m: Tensor) -> Tensor:
    return _at(x, m, m.shape[1] - 1 - m.flip(1).argmax(1))


def _at(x: Tensor, m: Tensor, place: Tensor) -> Tensor:
    rows = x[torch.arange(len(x), device=x.device), place]
    return rows.masked_fill((m == 0).all(1, keepdim=True), torch.nan)


_OF_TOKENS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "mean_sqrt_len_tokens": _mean_sqrt,
    "mean_sqrt_len": _mean_sqrt,
    "weightedmean": _weighted_mean,
    "max": _max,
    "cls": _first,
    "lasttoken": _last,
}
