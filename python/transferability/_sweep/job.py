"""The job of one model in a sweep and its result, which are pickled between processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._data.data import Data
from .extraction_options import ExtractionOptions

__all__ = ["FEATURES", "MEAN", "OUTPUTS", "STATS", "Job", "JobResult", "Report"]

#: Files of a cache entry.
STATS, FEATURES, OUTPUTS = "stats", "features.npy", "outputs.npy"
#: Name of the layer whose rows are the mean of those of all requested layers.
MEAN = "mean"
#: Progress callback: (stage, rows done, rows in all, rows per second, peak memory in bytes).
Report = Callable[[str, int, int, float, int], object]


@dataclass(frozen=True)
class Job:
    """One model to extract features from. Every attribute can be pickled."""

    name: str  # in the ranking
    model: Any  # as ``transferability.models.open_model`` takes it
    data: Data  # items with converted labels
    digest: str  # hash of the data
    options: ExtractionOptions
    cache: str  # folder of the cache
    is_kept: bool = True  # whether the cache persists after the sweep
    resume: bool = True  # whether entries of the cache are used
    n_rows: int | None = None  # expected rows of features; None if it depends on the model

    def needed_files(self) -> tuple[str, ...]:
        """Return the names of the files that a cache entry must have."""
        features = (FEATURES,) if self.options.keep_features else ()
        return (STATS, *features, *((OUTPUTS,) if self.options.outputs else ()))


@dataclass(frozen=True)
class JobResult:
    """Cache keys of the statistics of each layer, from the first layer to the last."""

    keys: Mapping[str, str]
    notes: tuple[str, ...] = ()
