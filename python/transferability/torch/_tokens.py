"""Token classification: words and tokens of (N, T, D) features as rows, with their labels.

Labels belong to words, a list for each sentence. `word_ids` maps each sub-word to its word, as fast
tokenisers return it. Without `word_ids`, labels belong to tokens. Words and tokens with the label
None or -100 make no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.arrays import as_array
from .._inputs.labels import IGNORED, read_labels, strip_bio_prefix
from ..errors import DataError
from ._pooling import as_float

__all__ = ["Selection", "gather_rows", "select_tokens", "select_words", "strip_bio"]

WORD_POOLS = ("first_subword", "last_subword", "mean")
_Row = tuple[list[int], Any, int]  # positions, label, sample


@dataclass(frozen=True, eq=False)
class Selection:
    """The positions of a batch that make each of R rows; a row is the mean over its positions."""

    places: NDArray[np.int64]  # (R, S), indices into features (N·T, D)
    counted: NDArray[np.bool_]  # (R, S), False where `places` is padding
    labels: NDArray[Any] | None  # (R,)
    samples: NDArray[np.int64]  # (R,), the sample of each row
    n_lost: int = 0  # labelled words without tokens, because the text was truncated


def gather_rows(x: Tensor, selection: Selection) -> Tensor:
    """Return the rows (R, D) of a selection, from features (positions, D)."""
    places = torch.from_numpy(selection.places).to(x.device)
    if selection.places.shape[1] == 1:
        return as_float(x[places[:, 0]])
    counted = torch.from_numpy(selection.counted).to(x.device)[..., None]
    return torch.where(counted, as_float(x[places]), 0).sum(1) / counted.sum(1)


def select_words(
    labels: Sequence[Any] | None, word_ids: Sequence[Sequence[int | None]], n_tokens: int, pool: str
) -> Selection:
    """Select the sub-words of each labelled word: the first, the last, or with "mean" all.

    `labels` has a label for each word of each sentence; without labels, every word makes a row.
    `word_ids` has the index of the word at each of the T positions; None for special tokens.
    """
    if pool not in WORD_POOLS:
        raise DataError(
            f"pool={pool!r} does not make one row for each word; choose from "
            f"{', '.join(map(repr, WORD_POOLS))}"
        )
    if labels is not None:
        _check_lengths(labels, len(word_ids), "word_ids")
    rows: list[_Row] = []
    n_lost = 0
    for sample, ids in enumerate(word_ids):
        if len(ids) != n_tokens:
            raise DataError(
                f"word_ids[{sample}] has {len(ids)} entries but there are {n_tokens} tokens"
            )
        of_word: dict[int, list[int]] = {}
        for token, word in enumerate(ids):
            if word is not None:
                of_word.setdefault(int(word), []).append(sample * n_tokens + token)
        tags = None if labels is None else _to_list(labels[sample])
        if tags is not None and of_word and max(of_word) >= len(tags):
            raise DataError(
                f"labels[{sample}] has {len(tags)} entries but word_ids[{sample}] knows word "
                f"{max(of_word)}; give one label for each word"
            )
        words: Iterable[int] = of_word
        if tags is not None:
            words = [word for word, tag in enumerate(tags) if not _is_ignored(tag)]
        for word in words:
            if word not in of_word:
                n_lost += 1
                continue
            here = of_word[word]
            here = {"first_subword": here[:1], "last_subword": here[-1:]}.get(pool, here)
            rows.append((here, None if tags is None else tags[word], sample))
    return _pad_selection(rows, labels is not None, n_lost)


def select_tokens(
    labels: Sequence[Any] | None, mask: Tensor | None, shape: tuple[int, ...]
) -> Selection:
    """Select the tokens where the mask (N, T) is not 0; with labels, only labelled tokens."""
    n_samples, n_tokens = shape
    is_token = np.ones(shape, bool) if mask is None else mask.cpu().numpy() != 0
    if is_token.shape != shape:
        raise DataError(f"attention_mask is {is_token.shape} for {shape} tokens")
    rows: list[_Row] = []
    if labels is not None:
        _check_lengths(labels, n_samples, "features")
    for sample in range(n_samples):
        tags = [0] * n_tokens if labels is None else _to_list(labels[sample])
        if len(tags) != n_tokens:
            raise DataError(
                f"labels[{sample}] has {len(tags)} entries but there are {n_tokens} tokens; give "
                f"one for each token, -100 where it does not count, or word_ids and one for each "
                f"word"
            )
        for token in np.flatnonzero(is_token[sample]).tolist():
            if not _is_ignored(tags[token]):
                rows.append(([sample * n_tokens + token], tags[token], sample))
    return _pad_selection(rows, labels is not None)


def strip_bio(labels: NDArray[Any], tag_names: Sequence[str] | None) -> NDArray[Any]:
    """Remove BIO prefixes from tags: B-PER, I-PER, E-PER and S-PER become PER."""
    if tag_names is not None:
        if labels.dtype.kind not in "iu":
            raise DataError("tag_names is for labels that are integers, and these are not")
        if labels.size and not 0 <= labels.min() <= labels.max() < len(tag_names):
            raise DataError(
                f"labels go from {labels.min()} to {labels.max()}, but there are "
                f"{len(tag_names)} tag_names"
            )
        labels = np.asarray(tag_names, dtype=str)[labels]
    if labels.dtype.kind != "U":
        raise DataError(
            "bio='strip' needs tags as strings, or tag_names, a list with the name of each integer"
        )
    return np.array([strip_bio_prefix(tag) for tag in labels.tolist()], str)


def _pad_selection(rows: list[_Row], is_labelled: bool, n_lost: int = 0) -> Selection:
    width = max((len(here) for here, _, _ in rows), default=1)
    counted = np.array([len(here) for here, _, _ in rows])[:, None] > np.arange(width)
    padded = np.array([here + here[:1] * (width - len(here)) for here, _, _ in rows], np.int64)
    samples = np.array([sample for _, _, sample in rows], np.int64)
    labels = np.empty(0, np.int64) if is_labelled else None
    if is_labelled and rows:
        labels = read_labels([tag for _, tag, _ in rows])[0]
    shape = (len(rows), width)
    return Selection(padded.reshape(shape), counted.reshape(shape), labels, samples, n_lost)


def _check_lengths(labels: Sequence[Any], n_samples: int, of: str) -> None:
    if len(labels) != n_samples:
        raise DataError(f"labels has {len(labels)} entries but {of} has {n_samples}")


def _to_list(labels: Any) -> list[Any]:
    if isinstance(labels, (list, tuple)):
        return list(labels)
    listed: list[Any] = as_array(labels, "labels")[0].tolist()
    return listed


def _is_ignored(tag: Any) -> bool:
    return tag is None or (not isinstance(tag, (str, list, tuple)) and bool(tag == IGNORED))
