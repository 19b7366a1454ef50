"""The names that arguments of extraction take: poolings and number formats.

torch is not imported here, so a sweep checks them before any process of a model starts.
"""

from __future__ import annotations

from .._inputs.arrays import check_choice
from ..errors import DataError

__all__ = [
    "ALL",
    "AMP_FORMATS",
    "OF_POSITIONS",
    "OF_TOKENS",
    "OF_WORDS",
    "POOLS",
    "WEIGHT_FORMATS",
    "check_amp",
    "check_dtype",
    "check_pool",
]

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
#: The poolings of tokens that differ from each other.
OF_TOKENS = ("cls", "mean", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean")
#: The poolings that make one row of the sub-words of each word.
OF_WORDS = ("first_subword", "last_subword", "mean")
#: The poolings that make a row of features for each token or position.
OF_POSITIONS = ("none", "nhwc_none")
#: All poolings that fit the shape of a layer.
ALL = "all"

#: Number formats of automatic mixed precision, and of weights.
AMP_FORMATS = ("bfloat16", "float16")
WEIGHT_FORMATS = ("float32", "float64", "float16", "bfloat16")


def check_pool(pool: object, also: str = "a function") -> None:
    """Raise DataError unless `pool` is None, a function or a name in POOLS.

    The message says what else may be given.
    """
    if pool is None or callable(pool) or (isinstance(pool, str) and pool in POOLS):
        return
    raise DataError(f"pool is {pool!r}; choose from {', '.join(POOLS)}, or give {also}")


def check_amp(amp: object) -> None:
    """Raise DataError unless `amp` is None or a format of automatic mixed precision."""
    if amp is not None:
        check_choice("amp", amp, AMP_FORMATS)


def check_dtype(dtype: object) -> None:
    """Raise DataError unless `dtype` is None or a format of weights."""
    if dtype is not None:
        check_choice("dtype", dtype, WEIGHT_FORMATS)
