"""Read the items of a batch, tokenise or decode them, and make the input of the model.

Threads do most of this while the model runs (``loader.py``). What a thread may not read, such as
the rows of a database that belongs to another thread, is left to the caller: a method then returns
None in place of its result.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .._data.data import Data, is_thread_safe, name_item
from .._data.pictures import to_rgb
from .._inputs.arrays import instance_of
from ..errors import TransferabilityError
from .batches import BatchLimit, RowBatch, cut_batches, sort_batch
from .in_flight import ItemMarks
from .job import ExtractionOptions
from .loader import stack_named

__all__ = ["ItemReader"]


class ItemReader:
    """Prepare the items of the data for one open model.

    `windows` are those of long texts and series, or None.
    """

    def __init__(
        self, model: Any, data: Data, options: ExtractionOptions, marks: ItemMarks | None = None
    ) -> None:
        self._model, self._data = model, data
        self._marks = ItemMarks() if marks is None else marks
        self.is_token = data.is_token
        self.is_thread_safe = is_thread_safe(data.items)
        self._reading: AbstractContextManager[Any] = (
            nullcontext() if self.is_thread_safe else threading.Lock()
        )
        self.windows: Any = None
        if options.window is not None and options.stride is not None:
            from ..models._windows import open_windows

            self.windows = open_windows(model, options.window, options.stride)
        device = getattr(model, "device", None)
        self._on_cuda = device is not None and device.type == "cuda"
        is_whole = self.windows is not None or self.is_token
        self._exceeds = None if is_whole else getattr(model.inputs, "exceeds", None)
        asked = options.max_length if data.kind == "text" else None
        is_asked = asked is not None and asked == getattr(model.inputs, "max_length", None)
        self._has_limit = not is_whole and not is_asked  # one that the user has not set
        self._cut = bytearray(len(data))  # 1 for an item that is longer than the model reads

    def name(self, row: int) -> str:
        """Return how errors name an item."""
        return f"data[{self._data.original_row(row)}]"

    def encode(self, rows: range) -> tuple[Any, ...] | None:
        """Tokenise rows; return them with their lengths, or None if the model cannot.

        Windows of rows are returned with the row of each.

        An item that cannot be read in a thread is None too: its batch is then prepared in order.
        """
        inputs = self._model.inputs
        try:
            raw = [self._read(row) for row in rows]
            with self._marks.mark(rows):
                if self.windows is not None:
                    return self._cut_items(raw, rows)
                encoded = inputs.encode(raw, lambda i: self.name(rows[i]))
        except TransferabilityError:
            raise
        except Exception:
            return None
        if encoded is None:
            return None
        self._note_cut(encoded, rows)
        return encoded, [*map(inputs.count_tokens, encoded)]

    def cut_windows(self, rows: Sequence[int], limit: BatchLimit) -> list[RowBatch]:
        """Cut rows to windows in the calling thread, and return batches of these."""
        raw = [self._read_named(row) for row in rows]
        with self._marks.mark(rows):
            inputs, lengths, of_row = self._cut_items(raw, rows)
        return [*cut_batches(sort_batch(inputs, lengths, of_row), limit)]

    def prepare(self, batch: RowBatch) -> Any:
        """Make the input of the model for a batch; an error names the row."""
        names = [*map(self.name, batch.rows)]
        if batch.encoded is not None:
            return self._pin(stack_named(self._pad, batch.encoded, names))
        items = [self._read_named(row) for row in batch.rows]
        with self._marks.mark(batch.rows):
            ready = stack_named(self._stack, items, names)
        self._note_raw_texts(items, batch.rows)
        return self._pin(ready)

    def read_ahead(self, batch: RowBatch) -> list[Any] | None:
        """Return the items of a batch; None if they cannot be read in this thread."""
        if batch.encoded is not None:
            return None
        try:
            return [self._take(row) for row in batch.rows]
        except Exception:  # raised again where the batch is prepared in its turn
            return None

    def prepare_ahead(self, batch: RowBatch, items: Sequence[Any] | None = None) -> Any:
        """Make the input of the model for a batch in another thread, which has its own modes."""
        import torch

        with torch.no_grad():
            if batch.encoded is not None:
                return self._pin(self._pad(batch.encoded))
            if self.windows is not None:  # the caller cuts these rows to windows
                return None
            if items is None:
                items = [self._take(row) for row in batch.rows]
            decoded = [self._decode(*pair) for pair in zip(items, batch.rows, strict=True)]
            with self._marks.mark(batch.rows):
                ready = self._stack(decoded)
            self._note_raw_texts(decoded, batch.rows)
            return self._pin(ready)

    def count_cut(self) -> dict[str, Any] | None:
        """Return how many items are longer than the model reads; None where it reads any length.

        Also None for words, which are counted where they lack tokens, and where the user has set
        the number of tokens.
        """
        inputs = self._model.inputs
        limit = getattr(inputs, "reads", None) or getattr(inputs, "max_length", None)
        if limit is None or not self._has_limit:
            return None
        return {"n": sum(self._cut), "of": len(self._data), "limit": limit}

    def _cut_items(self, raw: Sequence[Any], rows: Sequence[int]) -> tuple[Any, ...]:
        """Cut items to windows; return these with their lengths and the row of each."""
        cut = self.windows.cut(raw, lambda i: self.name(rows[i]))
        return cut.inputs, cut.lengths, [rows[i] for i in cut.items]

    def _note_cut(self, encoded: Sequence[Any], rows: Sequence[int]) -> None:
        for row, text in zip(rows, encoded, strict=True):
            if getattr(text, "is_cut", False):
                self._cut[row] = 1

    def _note_raw_texts(self, items: Sequence[Any], rows: Sequence[int]) -> None:
        """Note the texts that were truncated, of a batch that was not tokenised before."""
        if self._has_limit and hasattr(self._model.inputs, "encode"):
            encoded = self._model.inputs.encode(items)
            if encoded is not None:
                self._note_cut(encoded, rows)

    def _pad(self, encoded: Sequence[Any]) -> Any:
        """Make the input of the model of texts that are tokenised, or of windows."""
        pad = self._model.inputs.pad if self.windows is None else self.windows.collate
        return pad(encoded)

    def _stack(self, items: Sequence[Any]) -> Any:
        """Make the input of the model of items that are read."""
        stack = getattr(self._model.inputs, "stack", self._model.collate)
        return stack(items)

    def _pin(self, ready: Any) -> Any:
        """Copy a batch to pinned memory if the model is on a CUDA device."""
        from ..torch._run import pin_batch

        return pin_batch(ready) if self._on_cuda else ready

    def _read(self, row: int) -> Any:
        """Return an item as the model's preprocessing stacks it."""
        return self._decode(self._take(row), row)

    def _read_named(self, row: int) -> Any:
        """Return an item as :meth:`_read` does; an error names the row."""
        try:
            return self._read(row)
        except Exception as error:
            raise name_item(error, self.name(row)) from error

    def _take(self, row: int) -> Any:
        """Return an item of the data, a picture as RGB."""
        if self._model.kind == "saved":
            return self._data.original_row(row)
        with self._reading, self._marks.mark((row,)):
            item = self._data.items[row]
            if instance_of(item, "PIL.Image", "Image"):
                item = to_rgb(item, getattr(item, "filename", "") or self.name(row))
        return item

    def _decode(self, item: Any, row: int) -> Any:
        """Return an item as :meth:`_stack` takes it."""
        read = getattr(self._model.inputs, "read", None)
        if read is not None:
            with self._marks.mark((row,)):
                item = read(item, self.name(row))
        if self._exceeds is not None and self._exceeds(item):
            self._cut[row] = 1
        return item
