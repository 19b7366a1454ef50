"""Raw items with labels, which models read with their own preprocessing.

A ``Data`` is pickled for the subprocess of every model; an image folder is pickled as paths. Its
digest is a hash of the content. It stays the same when files are moved, copied or touched, and
changes with one pixel, one letter or the order of the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .._inputs.arrays import instance_of
from .hashing import update_hash

__all__ = ["Data", "Subset", "detect_kind"]


@dataclass(frozen=True, eq=False)
class Data:
    """Items that a model can read, and their labels.

    An item of kind "text" is a str, a pair of str or a list of words; of kind "image" a picture; of
    kind "array" anything else. `items` is a sequence; if it has a method ``content(i)``, that
    returns the value to hash in place of item i. `labels` has an entry for each item: one label, a
    row of targets, a list with a tag for each word, or an array with a label for each pixel.
    """

    kind: str
    items: Any
    labels: Any
    is_table: bool = False  # whether inputs and labels were selected among named columns

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.items)

    @property
    def is_token(self) -> bool:
        """Whether the first item is a list of words."""
        return self.kind == "text" and isinstance(self.items[0], list)

    @property
    def n_original(self) -> int:
        """Number of items before a subset was drawn."""
        return len(self.items.items) if isinstance(self.items, Subset) else len(self)

    def original_row(self, row: int) -> int:
        """Return the position that a row had before a subset was drawn."""
        return self.items.rows[row] if isinstance(self.items, Subset) else row

    def sample(self, max_samples: int | None, seed: int) -> Data:
        """Draw a random subset of at most `max_samples` rows, without replacement, in order."""
        if max_samples is None or max_samples >= len(self):
            return self
        drawn = np.random.default_rng(seed).permutation(len(self))[:max_samples]
        rows = [int(row) for row in np.sort(drawn)]
        labels = self.labels
        if hasattr(labels, "iloc"):
            labels = labels.iloc[rows]
        elif hasattr(labels, "dtype"):
            labels = labels[rows]
        else:
            labels = [labels[row] for row in rows]
        return replace(self, items=Subset(self.items, rows), labels=labels)

    def digest(self) -> str:
        """Hash every item and every label, in their order."""
        state = hashlib.blake2b(f"{self.kind}|{len(self)}|".encode(), digest_size=20)
        content = getattr(self.items, "content", self.items.__getitem__)
        for row in range(len(self)):
            update_hash(state, content(row))
        labels = self.labels
        update_hash(state, labels if hasattr(labels, "dtype") else list(labels))
        return state.hexdigest()


class Subset:
    """Some of the items of a sequence, by position."""

    def __init__(self, items: Any, rows: Sequence[int]) -> None:
        self.items, self.rows = items, rows

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def __getitem__(self, i: int) -> Any:
        """Return an item by its position in the subset."""
        return self.items[self.rows[i]]

    def content(self, i: int) -> Any:
        """Return the value that identifies an item."""
        return getattr(self.items, "content", self.items.__getitem__)(self.rows[i])


def detect_kind(inputs: Any) -> str:
    """Return the kind of the first input: "text", "image" or "array"."""
    first = inputs[0] if len(inputs) else None
    words = isinstance(first, (list, tuple)) and first and isinstance(first[0], str)
    if isinstance(first, str) or words:
        return "text"
    return "image" if instance_of(first, "PIL.Image", "Image") else "array"
