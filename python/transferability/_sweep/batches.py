"""Divide the rows of the data into batches; sort texts by length within windows of rows.

Texts of one batch are padded to the longest of them, so texts of similar length belong together.
They are tokenised and sorted within windows, so that memory does not grow with the data. The rows
of features are put back into the order of the data at the end of a window (see
:meth:`transferability.torch.Extractor.add_held`).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["WINDOW", "BatchLimit", "RowBatch", "cut_batches", "plan_batches", "sort_batch"]

#: Maximum number of rows of features in a window, which are held until its end.
WINDOW = 2048
#: Maximum number of tokens in a window.
WINDOW_TOKENS = 1 << 20
#: Maximum number of rows in a batch whose tokens are limited: those of one block of statistics.
MOST_ROWS = 512
#: Number of texts that are tokenised in one call.
_CHUNK = 256


@dataclass
class BatchLimit:
    """The largest batch: a number of rows, or of tokens with the padding.

    A limit on `tokens` replaces that on `rows` where the lengths of rows are known. One row always
    fits. The limit is lowered while batches are made, when memory runs out.
    """

    rows: int
    tokens: int | None = None

    def count_rows(self, longest: int) -> int:
        """Return the maximum number of rows of up to `longest` tokens; 0 is an unknown length."""
        if self.tokens is None or not longest:
            return self.rows
        return max(1, min(MOST_ROWS, self.tokens // longest))

    def lower(self, batch: RowBatch) -> str:
        """Lower the limit to half of a batch of at least two rows, and return it in words."""
        if self.tokens is None or not batch.longest:
            self.rows = max(1, len(batch.rows) // 2)
            return f"{self.rows} rows"
        self.tokens = len(batch.rows) * batch.longest // 2
        return f"at most {self.tokens:,} tokens"


@dataclass(frozen=True, eq=False)
class RowBatch:
    """The rows of one batch, by their positions in the data.

    `encoded` has the tokens of each row without padding, and `lengths` their numbers; both are None
    if the model's own preprocessing makes the batch from raw items. `ends_window` is true if the
    rows of features that are held can be added after this batch.
    """

    rows: Sequence[int]
    encoded: Sequence[Any] | None = field(default=None, repr=False)
    lengths: Sequence[int] | None = field(default=None, repr=False)
    ends_window: bool = False

    @property
    def longest(self) -> int:
        """The number of tokens of the longest row; 0 if it is unknown."""
        return max(self.lengths) if self.lengths else 0

    def fits(self, limit: BatchLimit) -> bool:
        """Return whether the batch is within a limit."""
        return len(self.rows) <= limit.count_rows(self.longest)


def cut_batches(batch: RowBatch, limit: BatchLimit) -> Iterator[RowBatch]:
    """Cut rows into batches within a limit, in their order; read the limit before each batch."""
    start, total = 0, len(batch.rows)
    while start < total:
        # Sorted rows begin with the longest; others are cut by number only.
        stop = min(start + limit.count_rows(batch.lengths[start] if batch.lengths else 0), total)
        yield RowBatch(
            batch.rows[start:stop],
            batch.encoded and batch.encoded[start:stop],
            batch.lengths and batch.lengths[start:stop],
            batch.ends_window and stop == total,
        )
        start = stop


def plan_batches(
    n_rows: int,
    limit: BatchLimit,
    encode: Callable[[range], tuple[Any, ...] | None] | None = None,
    count_features: Callable[[int], int] | None = None,
    has_token_rows: bool = False,
) -> Generator[RowBatch, None, None]:
    """Iterate over the batches of rows 0 to `n_rows` - 1.

    ``encode(rows)`` tokenises rows and returns them with their lengths, or None if it cannot; the
    order of rows is then that of the data, as without `encode`. A third sequence has the row of
    each input, if a row makes several. ``count_features(row)`` is the number of rows of features
    that a row makes, by default one; with `has_token_rows`, each token makes one. A limit on rows
    alone is met exactly: only the last batch of all is smaller, as a window is a multiple of it.
    """
    start, most_tokens = 0, WINDOW if has_token_rows else WINDOW_TOKENS
    unit = limit.rows if limit.tokens is None else 1
    chunk = max(1, _CHUNK // unit) * unit
    while start < n_rows:
        stop = _end_window(start, n_rows, unit, count_features)
        encoded: list[Any] = []
        lengths: list[int] = []
        rows: list[int] = []
        done = start
        while done < stop and encode is not None and sum(lengths) < most_tokens:
            piece = range(done, min(done + chunk, stop))
            if (found := encode(piece)) is None:
                encode = None
                break
            encoded += found[0]
            lengths += found[1]
            rows += found[2] if len(found) > 2 else piece
            done = piece.stop
        yield from cut_batches(sort_batch(encoded, lengths, rows), limit)
        start = done
        if encode is None:
            yield from cut_batches(RowBatch(range(start, n_rows)), limit)
            return


def sort_batch(encoded: Sequence[Any], lengths: Sequence[int], rows: Sequence[int]) -> RowBatch:
    """Return the inputs of a window, the longest first, to be cut into batches."""
    order = np.argsort(-np.array(lengths), kind="stable").tolist()
    return RowBatch(
        [rows[i] for i in order],
        [encoded[i] for i in order],
        [lengths[i] for i in order],
        ends_window=True,
    )


def _end_window(
    start: int, n_rows: int, unit: int, count_features: Callable[[int], int] | None
) -> int:
    """Return the end of a window: after `WINDOW` rows of features, and at a multiple of `unit`."""
    stop, held = start, 0
    while stop < n_rows and held < WINDOW:
        piece = range(stop, min(stop + unit, n_rows))
        held += len(piece) if count_features is None else sum(map(count_features, piece))
        stop = piece.stop
    return stop
