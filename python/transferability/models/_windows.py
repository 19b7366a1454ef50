"""Cut texts and series that are longer than the context of a model into windows.

Windows have `window` tokens, the special tokens among them, or time steps. They begin at 0,
`stride`, 2·`stride`, …, and the last one is moved back so that it ends with the item and is as long
as the others: a short rest would have the same weight as a whole window. An item of at most one
window is itself. A window has at most as many tokens as the model reads, and windows leave no gap.

Each window runs as an item of its own; its rows are averaged, each window with the same weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from ._inputs import Encoded, Texts, text_shape

__all__ = ["Cut", "Windows", "cut_windows", "open_windows"]


class Cut(NamedTuple):
    """The windows of several items: for each its input, its length and the place of its item."""

    inputs: list[Any]
    lengths: list[int]
    items: list[int]


def cut_windows(length: int, window: int, stride: int) -> list[slice]:
    """Return the windows of an item of `length` tokens or steps."""
    if length <= window:
        return [slice(0, length)]
    starts = [*range(0, length - window, stride), length - window]
    return [slice(start, start + window) for start in starts]


class Windows:
    """The windows of the items of a model: `window` and `stride` as they apply to it."""

    def __init__(self, window: int, stride: int) -> None:
        self.window, self.stride = window, stride

    def cut(self, raw: Sequence[Any], name: Callable[[int], str]) -> Cut:
        """Cut items to windows; ``name(i)`` names item i in errors."""
        raise NotImplementedError

    def collate(self, inputs: Sequence[Any]) -> Any:
        """Return the batch of windows."""
        raise NotImplementedError


class _TextWindows(Windows):
    """Windows of the tokens of texts, each with the special tokens of a text."""

    def __init__(self, inputs: Any, texts: Texts, window: int, stride: int) -> None:
        self._inputs, self._texts = inputs, texts
        self._n_special = texts.tokenizer.num_special_tokens_to_add(pair=False)
        window = min(window, texts.max_length or window)
        if window <= self._n_special:
            raise DataError(
                f"window is {window}, and {self._n_special} tokens of each text are special; give "
                f"a larger window"
            )
        super().__init__(window, min(stride, window - self._n_special))

    def cut(self, raw: Sequence[Any], name: Callable[[int], str]) -> Cut:
        """Tokenise without truncation, and cut between the special tokens."""
        if text_shape(raw, name) != "text":
            raise DataError(
                f"{name(0)} is {type(raw[0]).__name__}, and window cuts single texts; join pairs "
                f"of texts to one, or leave window out"
            )
        found = self._texts.tokenizer(
            [str(text) for text in raw],
            padding=False,
            truncation=False,
            return_attention_mask=True,
            return_special_tokens_mask=True,
            verbose=False,  # that a text is longer than the model reads
        )
        special = found.pop("special_tokens_mask")
        cut = Cut([], [], [])
        for i in range(len(raw)):
            columns = {key: np.array(column[i], np.int32) for key, column in found.items()}
            marks = np.array(special[i], bool)
            if not len(marks):
                raise DataError(f"{name(i)}, {raw[i]!r}, has no tokens for this model; drop it")
            n_content = len(marks) - self._n_special
            n_before = int(np.argmin(marks[: self._n_special + 1])) if n_content else len(marks)
            end = n_before + n_content
            for part in cut_windows(n_content, self.window - self._n_special, self.stride):
                kept = np.r_[
                    0:n_before, n_before + part.start : n_before + part.stop, end : len(marks)
                ]
                tokens = {key: column[kept] for key, column in columns.items()}
                cut.inputs.append(Encoded(tokens))
                cut.lengths.append(len(kept))
                cut.items.append(i)
        return cut

    def collate(self, inputs: Sequence[Any]) -> Any:
        """Pad windows to the longest of them."""
        return self._inputs.pad(inputs)


class _SeriesWindows(Windows):
    """Windows of the first axis of arrays."""

    def __init__(self, model: Any, window: int, stride: int) -> None:
        self._model = model
        window = min(window, getattr(model.inputs, "context", window))
        super().__init__(window, min(stride, window))
        # An encoder that hides missing values has nothing to read in a gap.
        self._has_values = getattr(model.inputs, "has_values", lambda part: True)

    def cut(self, raw: Sequence[Any], name: Callable[[int], str]) -> Cut:
        """Cut arrays to windows; those without a value are left out, unless all are."""
        cut = Cut([], [], [])
        for i, item in enumerate(raw):
            array = item if hasattr(item, "shape") else np.asarray(item)
            if array.ndim == 0:
                raise DataError(
                    f"{name(i)} is a number, which has no time to cut; leave window out"
                )
            parts = [array[part] for part in cut_windows(len(array), self.window, self.stride)]
            parts = [part for part in parts if self._has_values(part)] or parts[:1]
            cut.inputs.extend(parts)
            cut.lengths.extend(map(len, parts))
            cut.items.extend([i] * len(parts))
        return cut

    def collate(self, inputs: Sequence[Any]) -> Any:
        """Preprocess windows as the model does."""
        return self._model.collate(inputs)


def open_windows(model: Any, window: int, stride: int) -> Windows:
    """Return the windows of a model's items; raise DataError if it reads no texts or series."""
    inputs = model.inputs
    if model.kind == "array":
        return _SeriesWindows(model, window, stride)
    plain = inputs if isinstance(inputs, Texts) else None
    if plain is None and hasattr(inputs, "plain_texts"):
        plain = inputs.plain_texts()
    if model.kind != "text" or plain is None:
        what = "has no tokeniser here" if model.kind == "text" else f"reads items of {model.kind!r}"
        raise DataError(f"window cuts texts and series, and {model.spec} {what}; leave window out")
    return _TextWindows(inputs, plain, window, stride)
