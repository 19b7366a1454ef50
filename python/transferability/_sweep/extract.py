"""Extract features of all data with one model; halve the batch size when memory runs out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._data.data import Data
from .._data.pictures import to_rgb
from .._inputs.arrays import instance_of
from .._util.memory import free_memory, is_out_of_memory, peak_memory_with_device
from ..errors import OutOfMemoryError
from .job import FEATURES, OUTPUTS, STATS, ExtractionOptions, Report

__all__ = ["ExtractedLayer", "ExtractionRun"]

#: Minimum time between two reports of progress, in seconds.
_REPORT_INTERVAL = 0.1


class ExtractedLayer(NamedTuple):
    """The cache entry of one layer."""

    files: dict[str, Any]  # statistics as bytes; features and outputs as arrays if they are kept
    facts: dict[str, Any]  # shape, task, number of constant columns, whether it was pooled


class ExtractionRun:
    """One pass of the data through an open model, with a batch size that fits into memory.

    The options name the layers and the pooling. If the batch size is reduced, a note is appended
    to `notes`.
    """

    def __init__(
        self, model: Any, data: Data, options: ExtractionOptions, report: Report, notes: list[str]
    ) -> None:
        self._model, self._data, self._options = model, data, options
        self._report, self._notes = report, notes
        self._batch_size = options.batch_size

    def run(self) -> dict[tuple[str, str | None], ExtractedLayer]:
        """Extract all layers; return the content of their cache entries by layer and pooling."""
        while (found := self._try_pass()) is None:
            pass
        return found

    def _try_pass(self) -> dict[tuple[str, str | None], ExtractedLayer] | None:
        """Extract all layers; return None if a failed batch was already counted in some layers."""
        from ..torch import extract
        from ..torch._feeding import open_feed

        total, done = len(self._data), 0
        start = last = time.perf_counter()
        with open_feed(self._model, self._options.layers) as feed:
            layer_of = {feed.name_of[layer]: layer for layer in self._options.layers}
            arguments = self._options.extraction_arguments()
            if isinstance(self._options.pool, Mapping):
                arguments["pool"] = {feed.name_of[k]: v for k, v in self._options.pool.items()}
            if self._options.outputs:
                arguments["outputs"] = feed.has_head(self._collate([0]))
            with extract(feed.module, layers=list(layer_of), **arguments) as extractor:
                self._report("extracting", 0, total, 0.0, peak_memory_with_device())
                while done < total:
                    rows = range(done, min(done + self._batch_size, total))
                    before = extractor.n_rows
                    if self._try_batch(extractor, feed, rows):
                        done, now = rows.stop, time.perf_counter()
                        if done == total or now - last > _REPORT_INTERVAL:
                            last, rate = now, done / (now - start)
                            self._report("extracting", done, total, rate, peak_memory_with_device())
                    elif extractor.n_rows != before:
                        return None
            parts = {
                name: (layer_of.get(layer, layer), pool)
                for name, (layer, pool) in extractor.parts.items()
            }
            return {
                parts[name]: self._make_entry(extractor, name, stats)
                for name, stats in extractor.stats.items()
            }

    def _try_batch(self, extractor: Any, feed: Any, rows: range) -> bool:
        """Process a batch; if memory runs out, halve the batch size and return False."""
        try:
            batch = self._collate(rows)
            extractor.update(
                feed.moved(batch),
                self._data.labels[rows.start : rows.stop],
                attention_mask=self._model.attention_mask(batch),
                word_ids=self._model.word_ids(batch) if self._data.is_token else None,
                bags=None if self._data.bags is None else self._data.bags[rows.start : rows.stop],
            )
        except Exception as error:
            if not is_out_of_memory(error) or self._batch_size == 1:
                raise
            if isinstance(error, OutOfMemoryError):  # the statistics do not fit at any batch size
                raise
            reason = " ".join(str(error).split())[:100] or "out of memory"
        else:
            return True
        # After the except clause, so that no traceback keeps the tensors of the batch alive.
        self._batch_size = max(1, self._batch_size // 2)
        self._notes[:] = [note for note in self._notes if not note.startswith("batches of ")]
        self._notes.append(f"batches of {self._batch_size} rows, for lack of memory ({reason})")
        free_memory()
        return False

    def _collate(self, rows: Iterable[int]) -> Any:
        return self._model.collate([self._read_item(row) for row in rows])

    def _read_item(self, row: int) -> Any:
        if self._model.kind == "saved":
            return self._data.original_row(row)
        item = self._data.items[row]
        if instance_of(item, "PIL.Image", "Image"):
            name = getattr(item, "filename", "") or f"data[{self._data.original_row(row)}]"
            return to_rgb(item, name)
        return item

    def _make_entry(self, extractor: Any, name: str, stats: Any) -> ExtractedLayer:
        files: dict[str, Any] = {STATS: stats.to_bytes()}
        if self._options.keep_features:
            files[FEATURES] = np.asarray(extractor.features[name])
        if self._options.outputs:  # zero columns if the model has no head
            outputs = extractor.outputs
            outputs = np.empty((stats.n_samples, 0)) if outputs is None else outputs
            files[OUTPUTS] = np.asarray(outputs, dtype=np.float32)
        variances = np.diagonal(stats.moments()["scatter"])  # exactly 0 for a constant column
        facts = {
            "n_samples": stats.n_samples,
            "n_features": stats.n_features,
            "n_constant": int((variances == 0).sum()),
            "task": stats.task,
            "is_pooled": name not in extractor.unpooled,
        }
        return ExtractedLayer(files, facts)
