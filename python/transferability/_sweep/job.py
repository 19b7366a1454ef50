"""The work on one model of a sweep, and its result, as they are sent between processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .._data.data import Data
from .options import ExtractionOptions

__all__ = ["FEATURES", "MEAN", "OUTPUTS", "STATS", "Job", "JobResult", "Report"]

#: Files of a cache entry.
STATS, FEATURES, OUTPUTS = "stats", "features.npy", "outputs.npy"
#: Name of the layer whose rows are the mean of those of all requested layers.
MEAN = "mean"
#: Progress callback: (stage, rows done, rows in all, rows per second, peak memory in bytes).
Report = Callable[[str, int, int, float, int], object]


@dataclass(frozen=True)
class Job:
    """One model to extract features from. Every attribute can be pickled.

    Attributes
    ----------
    name : str
        Name in the ranking.
    model : str or object
        As ``transferability.models.open_model`` takes it.
    data : Data
        Items with converted labels.
    digest : str
        Hash of the data.
    options : ExtractionOptions
        How features are computed.
    cache : str
        Folder of the cache.
    is_kept : bool
        Whether the cache persists after the sweep.
    resume : bool
        Whether entries of the cache are used.
    n_rows : int or None
        Expected number of rows; None if it depends on the model.
    """

    name: str
    model: Any
    data: Data
    digest: str
    options: ExtractionOptions
    cache: str
    is_kept: bool = True
    resume: bool = True
    n_rows: int | None = None

    def needed_files(self) -> tuple[str, ...]:
        """Return the names of the files that a cache entry must have."""
        options = self.options
        features = (FEATURES,) if options.keep_features else ()
        return (STATS, *features, *((OUTPUTS,) if options.outputs else ()))


@dataclass(frozen=True)
class JobResult:
    """Cache keys of the statistics of each layer, from the first layer to the last."""

    keys: Mapping[str, str]
    notes: tuple[str, ...] = ()
