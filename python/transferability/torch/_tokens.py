"""Token classification: words and tokens of (N, T, D) features as rows, with their labels.

Labels belong to words, a list for each sentence. `word_ids` maps each sub-word to its word, as fast
tokenisers return it. Without `word_ids`, labels belong to tokens. Words and tokens with the label
None or -100 make no row.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.arrays import as_array
from .._inputs.chunks import ChunkScheme, explain_kept, find_scheme, is_outside
from .._inputs.labels import IGNORED, is_text, plain_text, read_labels
from .._inputs.texts import shorten
from ..errors import DataError
from ._accumulate import send
from ._names import OF_WORDS
from ._pooling import as_float

__all__ = ["ChunkTags", "Selection", "gather_rows", "name_tags", "select_tokens", "select_words"]

_Row = tuple[list[int], Any, int]  # positions, label, sample


@dataclass(frozen=True, eq=False)
class Selection:
    """The positions of a batch that make each of R rows; a row is the mean over its positions."""

    places: NDArray[np.int64]  # (R, S), indices into features (N·T, D)
    counted: NDArray[np.bool_]  # (R, S), False where `places` is padding
    labels: NDArray[Any] | None  # (R,)
    samples: NDArray[np.int64]  # (R,), the sample of each row
    n_lost: int = 0  # labelled words without tokens, because the text was truncated
    n_empty: int = 0  # labelled words of which the tokeniser makes no token


def gather_rows(x: Tensor, selection: Selection) -> Tensor:
    """Return the rows (R, D) of a selection, from features (positions, D)."""
    places = send(selection.places, x.device)
    if selection.places.shape[1] == 1:
        return as_float(x[places[:, 0]])
    counted = send(selection.counted, x.device)[..., None]
    return torch.where(counted, as_float(x[places]), 0).sum(1) / counted.sum(1)


def select_words(
    labels: Sequence[Any] | None, word_ids: Sequence[Sequence[int | None]], n_tokens: int, pool: str
) -> Selection:
    """Select the sub-words of each labelled word: the first, the last, or with "mean" all.

    `labels` has a label for each word of each sentence; without labels, every word makes a row.
    `word_ids` has the index of the word at each of the T positions; None for special tokens.
    """
    if pool not in OF_WORDS:
        raise DataError(
            f"pool={pool!r} does not make one row for each word; choose from "
            f"{', '.join(map(repr, OF_WORDS))}"
        )
    if labels is not None:
        _check_lengths(labels, len(word_ids), "word_ids")
    rows: list[_Row] = []
    n_lost = n_empty = 0
    # Models of this package say whether they truncated a text. Else it was not if others of the
    # batch have more tokens of words.
    fewest_special = min((sum(word is None for word in ids) for ids in word_ids), default=0)
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
                n_special = sum(place is None for place in ids)
                is_full = getattr(ids, "is_cut", n_special == fewest_special)
                if is_full and word > max(of_word, default=-1):
                    n_lost += 1
                else:
                    n_empty += 1
                continue
            here = of_word[word]
            here = {"first_subword": here[:1], "last_subword": here[-1:]}.get(pool, here)
            rows.append((here, None if tags is None else tags[word], sample))
    return _pad_selection(rows, labels is not None, n_lost, n_empty)


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


class ChunkTags:
    """Remove the marks of a chunk scheme from tags that come in blocks.

    The scheme is decided on the names of all tags if they are known, otherwise on the first block
    with a tag other than O. Later tags that contradict the decision are refused.
    """

    def __init__(self, names: Sequence[str] | None) -> None:
        self._seen = {*map(plain_text, names or ())}
        self._scheme: ChunkScheme | None = None
        self._is_decided = False

    def read(self, tags: NDArray[Any]) -> tuple[NDArray[Any], str]:
        """Return the entities of a block of tags, and a note of the scheme."""
        seen = self._seen | set(tags.tolist())
        scheme, held = find_scheme(seen), self._scheme
        if self._is_decided and _form(scheme) != _form(held):
            new = sorted(seen - self._seen)[0]
            raise DataError(
                f"bio='strip': the tag {shorten(new)} contradicts the earlier ones, which are "
                f"{'no chunk scheme' if held is None else 'a chunk scheme'}; give all tags as "
                f"tag_names, or bio='keep'"
            )
        self._seen, self._scheme = seen, scheme
        self._is_decided = not all(map(is_outside, seen))
        note = explain_kept(seen) if scheme is None else f"; {scheme.note}"
        return _strip(tags, scheme), note

    def preview(self, tags: NDArray[Any]) -> NDArray[Any]:
        """Return the entities of all tags so far, also of those that are in no block yet."""
        if self._is_decided:
            return _strip(tags, self._scheme)
        return _strip(tags, find_scheme(self._seen | set(tags.tolist())))


def _form(scheme: ChunkScheme | None) -> object:
    """Return what is the same for all blocks of tags; the marks that occur are not."""
    return None if scheme is None else replace(scheme, marks="")


def _strip(tags: NDArray[Any], scheme: ChunkScheme | None) -> NDArray[Any]:
    if scheme is None:
        return tags
    entities = [scheme.strip(tag) for tag in tags.tolist()]
    return np.fromiter(entities, dtype=object, count=len(entities))


def name_tags(labels: NDArray[Any], tag_names: Sequence[str] | None) -> NDArray[Any]:
    """Return tags as text: integers are indices into `tag_names`."""
    if is_text(labels):
        return labels
    if tag_names is None or labels.dtype.kind not in "iu":
        raise DataError(
            "bio='strip' needs tags as strings, or tag_names, a list with the name of each integer"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < len(tag_names):
        raise DataError(
            f"labels go from {labels.min()} to {labels.max()}, but there are "
            f"{len(tag_names)} tag_names"
        )
    names: NDArray[Any] = read_labels(tag_names, "tag_names")[0].astype(object)[labels]
    return names


def _pad_selection(
    rows: list[_Row], is_labelled: bool, n_lost: int = 0, n_empty: int = 0
) -> Selection:
    width = max((len(here) for here, _, _ in rows), default=1)
    counted = np.array([len(here) for here, _, _ in rows])[:, None] > np.arange(width)
    padded = np.array([here + here[:1] * (width - len(here)) for here, _, _ in rows], np.int64)
    samples = np.array([sample for _, _, sample in rows], np.int64)
    labels = np.empty(0, np.int64) if is_labelled else None
    if is_labelled and rows:
        labels = read_labels([tag for _, tag, _ in rows])[0]
    shape = (len(rows), width)
    places, counted = padded.reshape(shape), counted.reshape(shape)
    return Selection(places, counted, labels, samples, n_lost, n_empty)


def _check_lengths(labels: Sequence[Any], n_samples: int, of: str) -> None:
    if len(labels) != n_samples:
        raise DataError(f"labels has {len(labels)} entries but {of} has {n_samples}")


def _to_list(labels: Any) -> list[Any]:
    if isinstance(labels, (list, tuple)):
        return list(labels)
    if np.ndim(labels) == 0:  # one label for all tokens
        raise DataError(
            f"a sample has the label {shorten(str(labels))}, and each of its tokens makes a row; "
            f"give a list of labels for each sample, or a pool that makes one row of it"
        )
    listed: list[Any] = as_array(labels, "labels")[0].tolist()
    return listed


def _is_ignored(tag: Any) -> bool:
    return tag is None or (not isinstance(tag, (str, list, tuple)) and bool(tag == IGNORED))
