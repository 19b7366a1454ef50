"""Extract features of all data with one model; halve the batch size when memory runs out."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, NamedTuple

import numpy as np

from .._data.data import Data
from .._util.memory import (
    free_memory,
    is_out_of_memory,
    peak_memory_with_device,
    return_unused_memory,
)
from ..errors import OutOfMemoryError, TransferabilityError
from ..torch._names import OF_POSITIONS
from .batches import BatchLimit, RowBatch, cut_batches, plan_batches
from .compiled import compile_blocks
from .in_flight import RUNNING, ItemMarks
from .items import ItemReader
from .job import CUT, FEATURES, OUTPUTS, STATS, ExtractionOptions, Report
from .loader import count_workers, prepare, seeded

__all__ = ["ExtractedLayer", "ExtractionRun"]

#: Minimum time between two reports of progress, in seconds.
_REPORT_INTERVAL = 0.1
#: Seconds between two returns of freed memory to the system: batches of texts of many lengths leave
#: holes between the features that are held, so memory would grow with the data.
_TRIM_INTERVAL = 5.0
#: Default limits of a batch: rows, and tokens of texts on a CPU and on other devices. On a CPU the
#: values of a small batch stay in its caches between layers.
_ROWS, _TOKENS, _TOKENS_ON_DEVICE = 32, 2048, 16384


class ExtractedLayer(NamedTuple):
    """The cache entry of one layer."""

    files: dict[str, Any]  # statistics as bytes; features and outputs as arrays if they are kept
    facts: dict[str, Any]  # shape, task, number of constant columns, whether it was pooled


class ExtractionRun:
    """One pass of the data through an open model, with batches that fit into memory.

    The options name the layers and the pooling. If batches are made smaller, a note is appended to
    `notes`.
    """

    def __init__(
        self,
        model: Any,
        data: Data,
        options: ExtractionOptions,
        report: Report,
        notes: list[str],
        marks: ItemMarks | None = None,
    ) -> None:
        self._model, self._data, self._options = model, data, options
        self._report, self._notes = report, notes
        self._marks = ItemMarks() if marks is None else marks
        self._items = ItemReader(model, data, options, self._marks)
        self._windows = self._items.windows
        is_concurrent = getattr(model.inputs, "is_concurrent", False)
        self._n_workers = count_workers(is_concurrent, options.n_threads)
        self._reads_in_order = not self._items.is_thread_safe and self._n_workers is not None
        self._bag_numbers: list[int] = [] if data.bags is None else data.number_bags()
        self._seen: set[int] = set()  # rows of which a window has run, since rows were last added
        device = getattr(model, "device", None)
        self._undo_compile: Callable[[], None] | None = None
        self._in_inference_mode = not getattr(model, "is_shared", True)
        given = options.batch_size or model.batch_size
        if given is None:
            is_cpu = device is None or device.type == "cpu"
            self._limit = BatchLimit(_ROWS, _TOKENS if is_cpu else _TOKENS_ON_DEVICE)
        else:
            self._limit = BatchLimit(given)

    def run(self) -> dict[tuple[str, str | None], ExtractedLayer]:
        """Extract all layers; return the content of their cache entries by layer and pooling."""
        if self._options.compile:
            self._undo_compile = self._compile()
        try:
            while (found := self._try_pass()) is None:
                pass
            return found
        finally:
            if self._undo_compile is not None:
                self._undo_compile()

    def _try_pass(self) -> dict[tuple[str, str | None], ExtractedLayer] | None:
        """Extract all layers; return None if a failed batch was already counted in some layers."""
        from ..torch import extract
        from ..torch._feeding import open_feed

        total, done = len(self._data), 0
        self._seen.clear()
        start = last = trimmed = time.perf_counter()
        with open_feed(self._model, self._options.layers) as feed:
            layer_of = {feed.name_of[layer]: layer for layer in self._options.layers}
            arguments = self._options.extraction_arguments()
            if isinstance(self._options.pool, Mapping):
                arguments["pool"] = {feed.name_of[k]: v for k, v in self._options.pool.items()}
            if self._options.outputs:
                with seeded(0):
                    arguments["outputs"] = feed.has_head(self._items.prepare(self._first_batch()))
            with (
                extract(feed.module, layers=list(layer_of), **arguments) as extractor,
                seeded(0),  # the option is no part of the keys of the cache
                closing(self._start_threads()) as prepared,
            ):
                extractor.name_sample = self._items.name
                self._report("extracting", 0, total, 0.0, peak_memory_with_device())
                for batch, ready in prepared:
                    if not self._run_batch(extractor, feed, batch, ready):
                        return None
                    done, now = done + self._count_done(batch), time.perf_counter()
                    if done == total or now - last > _REPORT_INTERVAL:
                        last, rate = now, done / (now - start)
                        self._report("extracting", done, total, rate, peak_memory_with_device())
                    if now - trimmed > _TRIM_INTERVAL:
                        trimmed = now
                        return_unused_memory()
            parts = {
                name: (layer_of.get(layer, layer), pool)
                for name, (layer, pool) in extractor.parts.items()
            }
            return {
                parts[name]: self._make_entry(extractor, name, stats)
                for name, stats in extractor.stats.items()
            }

    def _start_threads(self) -> Generator[tuple[RowBatch, Any], None, None]:
        """Iterate over the batches, with the input that threads have prepared for each."""
        read = self._items.read_ahead if self._reads_in_order else None
        return prepare(self._plan(), self._items.prepare_ahead, self._n_workers, read)

    def _first_batch(self) -> RowBatch:
        """Return a batch of one input."""
        if self._windows is None or (found := self._items.encode(range(1))) is None:
            return RowBatch([0])
        return RowBatch([0], found[0][:1], found[1][:1])

    def _compile(self) -> Callable[[], None] | None:
        """Compile the blocks of the model; return a function that undoes it, None without any."""
        from ..models._taps import find_blocks, find_stages

        module, undo = self._model.module, None
        if module is not None:
            blocks = find_blocks(module) or find_stages(module)
            undo = compile_blocks(module, blocks, self._options.layers)
        if undo is None:
            self._notes.append("compile has no effect: the model has no blocks between its layers")
        return undo

    def _plan(self) -> Generator[RowBatch, None, None]:
        """Iterate over the batches, without their content."""
        inputs = getattr(self._model, "inputs", None)
        pools = self._options.pool_names()
        is_sorted = hasattr(inputs, "encode") and "flatten" not in pools
        is_sorted |= self._windows is not None
        labels = self._data.labels
        return plan_batches(
            len(self._data),
            self._limit,
            self._items.encode if is_sorted else None,
            (lambda row: len(labels[row])) if self._items.is_token else None,
            has_token_rows=any(pool in OF_POSITIONS for pool in pools),
        )

    def _count_done(self, batch: RowBatch) -> int:
        """Return the number of rows that come with this batch for the first time."""
        if self._windows is None or batch.encoded is None:
            return len(batch.rows)
        before = len(self._seen)
        self._seen.update(batch.rows)
        n_new = len(self._seen) - before
        if batch.ends_window:
            self._seen.clear()
        return n_new

    def _run_batch(self, extractor: Any, feed: Any, batch: RowBatch, ready: Any) -> bool:
        """Run a batch, in parts if memory runs out; return False if a part was counted in part.

        That is also so if it was held, and memory ran out when its window was added.
        """
        before, waiting = (extractor.n_samples, extractor.n_rows), [(batch, ready)]
        if self._windows is not None and batch.encoded is None:
            parts = self._items.cut_windows(batch.rows, self._limit)
            waiting = [(part, None) for part in reversed(parts)]
        while waiting:
            part, ready = waiting.pop()
            if not part.fits(self._limit):
                waiting += [(small, None) for small in cut_batches(part, self._limit)][::-1]
            elif self._try_batch(extractor, feed, part, ready):
                before = (extractor.n_samples, extractor.n_rows)
            elif (extractor.n_samples, extractor.n_rows) != before:
                return False
            else:
                waiting.append((part, None))
        return True

    def _try_batch(self, extractor: Any, feed: Any, batch: RowBatch, ready: Any) -> bool:
        """Process a batch; if memory runs out, halve the limit and return False."""
        import torch

        try:
            ready = self._items.prepare(batch) if ready is None else ready
            # Not inference_mode(False), which switches gradients on.
            mode = torch.inference_mode() if self._in_inference_mode else torch.no_grad()
            with mode, self._marks.mark(batch.rows, RUNNING):
                moved = feed.moved(ready)
                extractor.update(
                    moved,
                    take_labels(self._data.labels, batch.rows),
                    attention_mask=self._find_mask(ready, moved),
                    word_ids=self._model.word_ids(ready) if self._items.is_token else None,
                    samples=None if batch.encoded is None else batch.rows,
                    bags=self._bags_of(batch.rows),
                )
                if batch.ends_window:
                    extractor.add_held()
        except Exception as error:
            if self._in_inference_mode and _needs_gradients(error):
                self._in_inference_mode = False
                return False
            is_own = isinstance(error, TransferabilityError) or is_out_of_memory(error)
            if self._undo_compile is not None and not is_own:
                self._undo_compile()
                self._undo_compile = None
                reason = " ".join(str(error).split())[:100] or type(error).__name__
                self._notes.append(f"torch.compile failed, and the model ran without it: {reason}")
                return False
            if not is_out_of_memory(error) or len(batch.rows) == 1:
                raise
            if isinstance(error, OutOfMemoryError):  # the statistics do not fit at any batch size
                raise
            reason = " ".join(str(error).split())[:100] or "out of memory"
        else:
            return True
        # After the except clause, so that no traceback keeps the tensors of the batch alive.
        self._notes[:] = [note for note in self._notes if not note.startswith("batches of ")]
        limit = self._limit.lower(batch)
        self._notes.append(f"batches of {limit}, for lack of memory ({reason})")
        free_memory()
        return False

    def _bags_of(self, rows: Sequence[int]) -> Any:
        """Return the ids of the bags of rows: of windows their item, then the bag of the item."""
        levels = [] if self._windows is None else [list(rows)]
        if self._data.bags is not None:
            levels.append([self._bag_numbers[row] for row in rows])
        return tuple(levels) if len(levels) > 1 else levels[0] if levels else None

    def _find_mask(self, ready: Any, moved: Any) -> Any:
        """Return the attention mask of a batch on the device of the model, if it has one."""
        if not isinstance(ready, Mapping):
            return self._model.attention_mask(ready)
        return self._model.attention_mask(moved[0] if isinstance(moved, tuple) else moved)

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
            "window": None if self._windows is None else self._windows.window,
            CUT: self._items.count_cut(),
        }
        return ExtractedLayer(files, facts)


def _needs_gradients(error: Exception) -> bool:
    """Return whether a forward pass fails because it computes gradients, in inference mode."""
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "nference tensor" in text or "does not require grad" in text
    )


def take_labels(labels: Any, rows: Iterable[int]) -> Any:
    """Return the labels of some rows, from an array or a sequence."""
    if isinstance(labels, np.ndarray):
        return labels[list(rows)]
    return [labels[row] for row in rows]
