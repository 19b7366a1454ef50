"""Compute the learning curves of metrics at nested sample sizes, in one pass over the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features
from .._inputs.rows import check_rows
from .._inputs.target import read_target
from .._inputs.types import ArrayLike
from .._metric.plan import plan
from .._metric.registry import metric_names, spec_of, title_of
from .._metric.score import SETS, issue
from .._metric.spec import OF_STATISTICS
from .._stats.stats import Stats
from .._util.caught import collect_warnings
from .._util.notebook import to_html
from ..errors import DataError, TransferabilityError
from ._fit import fit
from ._forecast import Forecast

__all__ = ["Curve", "curve"]

Array = NDArray[np.float64]
_SIZES = 8  # default number of sizes; each is half of the next


@dataclass(frozen=True, eq=False)
class Curve:
    """Learning curves of metrics.

    Attributes
    ----------
    sizes : ndarray of shape (n_sizes,)
        Numbers of samples, increasing.
    values : dict of str to ndarray of shape (n_sizes,)
        Each metric at the sizes.
    warnings : tuple of str
        Warnings of the metrics, with the size.
    """

    sizes: Array
    values: dict[str, Array]
    warnings: tuple[str, ...] = ()

    def fit(self, /, metric: str, form: str = "auto", **options: Any) -> Forecast:
        """Fit one metric's curve as :func:`transferability.forecast.fit` does.

        ``limit`` defaults to None, because a metric with values in [0, 1] need not be an accuracy.
        Forecasts then have no bounds unless ``limit`` or ``bounds`` is given.

        Parameters
        ----------
        metric : str
            A metric of the curve.
        form, **options
            As in :func:`transferability.forecast.fit`, but for ``limit``.
        """
        if metric not in self.values:
            raise DataError(f"there is no {metric!r}; this curve has {', '.join(self.values)}")
        return fit(self.sizes, self.values[metric], form, **{"limit": None, **options})

    def _repr_html_(self) -> str:
        """Return the metrics by size as a table for notebooks."""
        columns = [[f"{value:.4f}" for value in values] for values in self.values.values()]
        body = [[f"{n:g}", *cells] for n, *cells in zip(self.sizes, *columns, strict=True)]
        header = ["samples", *map(title_of, self.values)]
        title = f"Learning curve at {len(self.sizes)} sizes"
        return to_html(title, header, body, [f"Note: {text}" for text in self.warnings])


def curve(
    features: ArrayLike,
    labels: ArrayLike,
    metrics: str | Sequence[str] = "logme",
    sizes: ArrayLike | None = None,
    *,
    task: str = "auto",
    seed: int = 0,
    n_threads: int | None = None,
    **options: Any,
) -> Curve:
    """Compute metrics of the first n of the shuffled rows, for several n.

    One :class:`transferability.Stats` accumulates the rows and is scored at each size, so every row
    is read once. The samples are nested, which makes smoother curves than independent samples.

    Parameters
    ----------
    features, labels
        As in :func:`transferability.logme`; the task is decided on all rows.
    metrics : str or sequence of str, default="logme"
        Metrics that need sufficient statistics only, such as "logme", "h_score" or "transrate".
    sizes : array-like of int, optional
        Increasing, at most n_samples. Default: n_samples and up to seven halvings of it, all of at
        least ten.
    task, n_threads, **options
        As in :func:`transferability.score`.
    seed : int, default=0
        Seed of the permutation of the rows.

    Raises
    ------
    DataError
        For sizes that do not increase or exceed the rows, for metrics that need all samples at
        once, and for metrics that are undefined at a size.

    Examples
    --------
    >>> import numpy as np, transferability.forecast as tf
    >>> features = np.random.default_rng(0).normal(size=(400, 4))
    >>> learned = tf.curve(features, features[:, 0] > 0, "h_score", [50, 100, 200, 400])
    >>> learned.sizes.tolist(), len(learned.values["h_score"])
    ([50.0, 100.0, 200.0, 400.0], 4)
    """
    check_rows((), features=features, labels=labels)
    array, _ = as_features(features)
    target = read_target(labels, task)
    if target.n_samples != len(array):
        raise DataError(f"labels has {target.n_samples} entries but features has {len(array)} rows")
    if isinstance(metrics, str) and metrics in SETS:
        raise DataError(
            f"metrics is {metrics!r}; name the metrics of a curve, such as ['logme', 'h_score']"
        )
    names = metric_names(metrics if not isinstance(metrics, str) else [metrics])
    needs = {need for name in names for need in spec_of(name).needs}
    if more := [name for name in names if not spec_of(name).reads_statistics_only]:
        raise DataError(
            f"{more[0]} needs {' and '.join(n for n in spec_of(more[0]).needs if n != 'stats')}, "
            f"and a curve is computed from statistics of the features; call "
            f"score(features[:n], labels[:n], {more[0]!r}) for several n, with the rows shuffled, "
            f"and give these sizes and values to forecast.fit"
        )
    plan(names, target.task, options, OF_STATISTICS)  # raises if a metric or an option is wrong
    steps = _check_sizes(sizes, len(array))
    order = np.random.default_rng(seed).permutation(len(array))
    stats = Stats(target.task, n_threads=n_threads, class_scatters="class_scatters" in needs)
    values: dict[str, list[float]] = {name: [] for name in names}
    notes: dict[str, None] = {}
    for start, size in pairwise([0, *steps]):
        block = order[start:size]
        with collect_warnings() as caught:
            try:
                stats.push(array[block], target.take(block))
                scores = stats.score(names, **options)
            except TransferabilityError as error:
                if size == len(array):
                    raise
                rest = order[size:]
                stats.push(array[rest], target.take(rest))
                stats.score(names, **options)  # raises where no size would do, and names none
                raise DataError(f"at {size} samples: {error}; begin with more") from error
        notes |= {f"at {size} samples: {warning}": None for warning in caught}
        for name in names:
            values[name].append(float(scores[name]))
    issue(notes)
    arrays = {name: np.array(column) for name, column in values.items()}
    return Curve(np.array(steps, dtype=np.float64), arrays, tuple(notes))


def _check_sizes(sizes: object, n_samples: int) -> list[int]:
    """Validate sizes, or return the default sizes."""
    if sizes is None:
        halves = [n_samples >> k for k in range(_SIZES)]
        return sorted(size for size in halves if size >= 10) or [n_samples]
    array = np.asarray(sizes)
    if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
        raise DataError("sizes must be whole numbers of rows, such as [100, 200, 400]")
    if array[0] < 1 or (np.diff(array) <= 0).any() or array[-1] > n_samples:
        raise DataError(f"sizes must increase from at least 1 to at most {n_samples}, the rows")
    return [int(size) for size in array]
