"""All batches of the data through one model, once; a batch that does not fit is halved."""

from __future__ import annotations

import gc
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._data.data import Data
from ..errors import OutOfMemoryError

if TYPE_CHECKING:
    from .worker import Job

__all__ = ["FEATURES", "OUTPUTS", "STATS", "Pass", "Report", "is_out_of_memory", "peak"]

#: Called with (stage, rows done, rows in all, rows a second, peak memory in bytes).
Report = Callable[[str, int, int, float, int], object]

#: Files of an entry of the cache.
STATS, FEATURES, OUTPUTS = "stats", "features.npy", "outputs.npy"
#: Seconds between two reports of progress, at least.
_OFTEN = 0.1
#: How torch says, by a RuntimeError, that the memory of the CPU or a device does not suffice.
_NO_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")


class Pass:
    """A model, the data, and the batch size that fits."""

    def __init__(
        self,
        model: Any,
        data: Data,
        layers: Sequence[str],
        pool: str,
        average: bool,
        job: Job,
        report: Report,
        notes: list[str],
    ) -> None:
        self._model, self._data, self._layers, self._pool = model, data, layers, pool
        self._average, self._settings = average, {**job.settings, "n_threads": job.n_threads}
        self._report, self._notes, self._size = report, notes, job.batch_size

    def run(self) -> dict[str, dict[str, Any]]:
        """Give the files of each layer's entry, and what to say about it."""
        while True:
            found = self._once()
            if found is not None:
                return found

    def _once(self) -> dict[str, dict[str, Any]] | None:
        """Go through the data; None if some layers have rows that others lack: begin again."""
        from ..torch import extract
        from ..torch._feeding import open_feed

        total, at = len(self._data), 0
        start = told = time.perf_counter()
        with open_feed(self._model, self._layers) as feed:
            names = {feed.name_of[layer]: layer for layer in self._layers}
            heads = bool(self._settings.get("outputs")) and feed.has_head(self._batch(feed, [0]))
            settings = {**self._settings, "outputs": heads, "average": self._average}
            with extract(feed.module, layers=list(names), pool=self._pool, **settings) as ex:
                self._report("extracting", 0, total, 0.0, peak())
                while at < total:
                    rows = range(at, min(at + self._size, total))
                    before = ex.n_rows
                    if self._fits(ex, feed, rows):
                        at, now = rows.stop, time.perf_counter()
                        if at == total or now - told > _OFTEN:
                            told = now
                            self._report("extracting", at, total, at / (now - start), peak())
                    elif ex.n_rows != before:
                        return None
            return {
                names.get(name, name): self._files(ex, name, stats)
                for name, stats in ex.stats.items()
            }

    def _fits(self, ex: Any, feed: Any, rows: range) -> bool:
        """Take a batch; without the memory for it, halve the batches from now on and say so."""
        try:
            batch = self._batch(feed, rows)
            ex.update(
                feed.moved(batch),
                self._data.labels[rows.start : rows.stop],
                attention_mask=feed.attention_mask(batch),
                word_ids=feed.word_ids(batch) if self._data.is_token else None,
            )
        except Exception as error:
            if not is_out_of_memory(error) or self._size == 1:
                raise
            if isinstance(error, OutOfMemoryError):  # of the statistics, which no batch size alters
                raise
            reason = " ".join(str(error).split())[:100] or "out of memory"
        else:
            return True
        self._size = max(1, self._size // 2)  # not within except: the error holds on to tensors
        self._notes[:] = [note for note in self._notes if not note.startswith("batches of ")]
        self._notes.append(f"batches of {self._size} rows, for lack of memory ({reason})")
        _free()
        return False

    def _batch(self, feed: Any, rows: Iterable[int]) -> Any:
        return feed.collate([self._item(row) for row in rows])

    def _item(self, row: int) -> Any:
        if self._model.kind == "saved":
            return self._data.given_row(row)
        item = self._data.items[row]
        if self._data.kind == "image" and getattr(item, "mode", "RGB") != "RGB":
            return item.convert("RGB")
        return item

    def _files(self, ex: Any, name: str, stats: Any) -> dict[str, Any]:
        files: dict[str, Any] = {STATS: stats.to_bytes()}
        if self._settings.get("keep_features"):
            files[FEATURES] = np.asarray(ex.features[name])
        if self._settings.get("outputs"):  # without columns where the model has no head
            outputs = np.empty((stats.n_samples, 0)) if ex.outputs is None else ex.outputs
            files[OUTPUTS] = np.asarray(outputs, dtype=np.float32)
        spread = np.diagonal(stats.moments()["scatter"])  # exactly 0 where a column is constant
        facts = {
            "n_samples": stats.n_samples,
            "n_features": stats.n_features,
            "n_constant": int((spread == 0).sum()),
            "task": stats.task,
        }
        return {**files, "about": facts}


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether less memory would have helped."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)


def peak() -> int:
    """Give this process's largest memory so far, or that of its device if larger, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        largest = max(largest, torch.cuda.max_memory_allocated())
    return int(largest)


def _free() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
