"""What the labels of items, words or pixels say, decided once for all models and batches."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from .._inputs.tags import IGNORED, without_mark
from .._inputs.target import Target, read_target
from .._scoring.groups import Groups, read_groups
from ..errors import DataError
from .data import Data

__all__ = ["SEGMENTATION", "flat_labels", "labelled", "word_labels"]

SEGMENTATION = "segmentation"


class Labelled(NamedTuple):
    """Data whose labels have been read.

    Attributes
    ----------
    data : Data
        With labels that no batch can read otherwise.
    target : Target
        Of all rows; of the classes alone where the rows depend on the model.
    n_rows : int or None
        Rows that every model gives: items or words; None for positions of maps.
    groups : Groups or None
        The text of each word: words of one text are alike, and are resampled together.
    """

    data: Data
    target: Target
    n_rows: int | None
    groups: Groups | None = None


def labelled(data: Data, task: str, bio: str, ignore: Collection[int]) -> Labelled:
    """Read all labels and give each item its own as they were read."""
    if task == SEGMENTATION:
        return Labelled(data, _pixel_target(data, ignore), None)
    if task == "token" or (task == "auto" and data.is_token):
        words = [data.items[row] for row in range(len(data))]
        tags = word_labels(words, data.labels, bio)
        flat = flat_labels(tags)
        decided = "regression" if isinstance(flat[0], float) else "classification"
        note = f"{decided} of words, by the labels of {len(flat):,} words"
        target = replace(read_target(flat, decided), note=note)
        counts = [sum(tag is not None for tag in of_text) for of_text in tags]
        texts = read_groups(np.repeat(np.arange(len(tags)), counts), len(flat))
        return Labelled(replace(data, labels=tags), target, len(flat), texts)
    given = data.labels
    if getattr(given, "ndim", 1) > 2:  # keypoints, boxes: all their coordinates are targets
        given = given.reshape(len(given), -1)
    target = read_target(given, task).without_constant()
    labels: Any = target.values
    if target.ids is not None:
        labels = target.ids if target.names is None else [target.names[i] for i in target.ids]
    return Labelled(replace(data, labels=labels), target, target.n_samples)


def _pixel_target(data: Data, ignore: Collection[int]) -> Target:
    """Describe labels of pixels by the values that occur."""
    values: set[Any] = set()
    for row, labels in enumerate(data.labels):
        array = np.asarray(labels)
        if array.ndim != 2:
            raise DataError(
                f"labels[{row}] has shape {array.shape}; task='segmentation' needs (H, W), a label "
                f"for each pixel"
            )
        if array.dtype.kind == "f":
            found = read_target(np.array([0.5, 1.5]), "regression")
            return replace(found, note="regression of positions, as their labels are real numbers")
        values.update(np.unique(array).tolist())
    values -= {IGNORED, *ignore}
    if not values:
        raise DataError("no pixel has a label: all are -100 or ignored")
    found = read_target(sorted(values), "classification")
    return replace(found, note=f"classification of positions into {len(values)} classes")


def word_labels(
    words: Sequence[Sequence[str]], labels: Sequence[Any], bio: str = "strip"
) -> list[list[Any]]:
    """Give a label for each word, None where it has none (None, or −100)."""
    listed = []
    for row, tags in enumerate(labels):
        if isinstance(tags, (str, bytes)) or not hasattr(tags, "__len__"):
            raise DataError(
                f"labels[{row}] is {tags!r}; labels of words must be lists, one for each word"
            )
        if len(tags) != len(words[row]):
            raise DataError(
                f"labels[{row}] has {len(tags)} entries for {len(words[row])} words; give one for "
                f"each word, None where there is none"
            )
        tags = tags.tolist() if hasattr(tags, "tolist") else tags
        listed.append([None if _is_ignored(tag) else _stripped(tag, bio) for tag in tags])
    return listed


def flat_labels(labels: Iterable[Iterable[Any]]) -> list[Any]:
    """Give the labels of all words that have one."""
    flat = [tag for tags in labels for tag in tags if tag is not None]
    if not flat:
        raise DataError("no word has a label: all are None or -100")
    return flat


def _stripped(tag: Any, bio: str) -> Any:
    return without_mark(tag) if bio == "strip" and isinstance(tag, str) else tag


def _is_ignored(tag: Any) -> bool:
    return tag is None or (not isinstance(tag, str) and bool(tag == IGNORED))
