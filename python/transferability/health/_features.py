"""Read the features of a call as statistics: an array, features in files, or Stats."""

from __future__ import annotations

import numpy as np

from .._inputs import rows
from .._inputs.arrays import as_features
from .._inputs.inputs import RowSource
from .._inputs.labels import read_labels
from .._inputs.target import Target, read_target
from .._stats.covariance import check_shape
from .._stats.stats import Stats
from ..errors import DataError
from ..io._shards import FeatureSource
from ..io._stream import stats_of

__all__ = ["check_rows", "read_sampled", "read_stats"]


def read_stats(features: object, n_threads: int | None = None) -> Stats:
    """Return the statistics of features alone; Stats are returned as they are."""
    if isinstance(features, Stats):
        return features
    if isinstance(features, FeatureSource):
        return stats_of(features, task="unlabelled", n_threads=n_threads)
    loaded = features.load() if isinstance(features, RowSource) else features
    check_shape(loaded, of_spectrum=True)
    return Stats("unlabelled", n_threads=n_threads).update(loaded)


def read_sampled(features: object, samples: object, n_threads: int | None = None) -> Stats:
    """Return statistics whose classes are the samples of which the rows are views.

    Stats have their own classes, which are taken for the samples.
    """
    if isinstance(features, Stats):
        if samples is not None:
            raise DataError("samples were given with Stats, whose classes are the samples already")
        if features.n_samples and features.classes is None:
            raise DataError(
                "these statistics hold no classes; update them with the sample of each row as "
                "label, and task='classification'"
            )
        return features
    if samples is None:
        raise DataError("samples is None; name the sample of which each row is a view")
    target = _read_samples(samples)
    if isinstance(features, FeatureSource):
        features.check_order("samples")
        _check_length(target, features.n_samples)
        return stats_of(features, target, n_threads=n_threads)
    rows.check_rows((), features=features, samples=samples)
    array, notes = as_features(features.load() if isinstance(features, RowSource) else features)
    check_shape(array, of_spectrum=True)
    _check_length(target, len(array))
    stats = Stats("classification", n_threads=n_threads)
    stats.push(array, target, notes=notes)
    return stats


def _read_samples(samples: object) -> Target:
    """Read the name of the sample of each row, which numbers of any kind may be."""
    if isinstance(samples, Target):
        return samples
    names, _ = read_labels(samples, "samples")
    if names.ndim != 1:
        raise DataError(f"samples must be 1-D, one name for each row, got shape {names.shape}")
    return read_target(np.unique(names, return_inverse=True)[1], "classification")


def _check_length(samples: Target, n_rows: int) -> None:
    if samples.n_samples != n_rows:
        raise DataError(
            f"samples has {samples.n_samples} entries but features has {n_rows} rows; give the "
            f"sample of each row"
        )


def check_rows(stats: Stats, what: str) -> None:
    """Raise DataError unless there are two rows, without which nothing varies about the mean."""
    if stats.n_samples == 1:
        raise DataError(f"features has 1 row, and {what} needs at least 2")
