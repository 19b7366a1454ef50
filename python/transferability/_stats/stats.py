"""Mergeable statistics of features and labels: update block by block, merge, score."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features, as_weights
from .._inputs.target import UNLABELLED, Target, read_target
from .._metric.registry import metric_specs, plan, spec_of
from .._metric.score import Score, collect, make_scores
from .._util.threads import resolve_threads
from ..errors import DataError
from .serialize import PRECISIONS
from .sums import Sums

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs

__all__ = ["PRECISIONS", "Stats"]

#: Multiplications of an SVD that takes about a second, and numbers of features that take 8 MB.
_QUICK_SVD, _SMALL_SVD = 2e9, 1e6


class Stats(Sums):
    """Statistics of features and labels, from which metrics are computed.

    The rows are kept while there are at most as many as columns, their scatter matrix after
    that: never more than ``min(n_samples, n_features) * n_features`` numbers, however many
    rows go in. Any split into blocks and any order of merging gives the same scores, up to
    rounding.

    Parameters
    ----------
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        "auto" decides at the first block, as :func:`transferability.logme` does, and keeps it.
    precision : {"double", "single"}, default="double"
        Of the products of float32 features.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads` at each call.
    class_scatters : bool, default=False
        Also keep every class on its own, which some metrics need (``transferability metrics``
        lists them): up to ``min(n_c, n_features) * n_features`` numbers more for each class.
    stop : object, optional
        For the package's own use: ends calls from another thread.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> features, labels = rng.normal(size=(100, 5)), rng.integers(0, 3, 100)
    >>> first = tx.Stats().update(features[:60], labels[:60])
    >>> second = tx.Stats().update(features[60:], labels[60:])
    >>> bool(np.isclose((first + second).score("logme"), tx.logme(features, labels)))
    True
    >>> (first + second).h_score().metric  # each metric is a method too
    'h_score'
    """

    __module__ = "transferability"

    def update(self, features: object, labels: object, sample_weight: object = None) -> Stats:
        """Add a block of rows.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            As in :func:`transferability.logme`; one row is enough.
        labels : array-like of shape (n_samples,) or (n_samples, n_targets)
            Classes may appear in any block.
        sample_weight : array-like of shape (n_samples,), optional
            Integers; a weight of k is the same as repeating its row k times.

        Returns
        -------
        self : Stats

        Raises
        ------
        DataError, DtypeError
            As :func:`transferability.logme`; the statistics are then as before the call.
        """
        array, notes = as_features(features)
        target = read_target(labels, self.task)
        weights = None if sample_weight is None else as_weights(sample_weight, len(array))
        self.push(array, target, weights, notes)
        return self

    def push(
        self,
        features: NDArray[Any],
        target: Target,
        weights: NDArray[np.int64] | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Add a block that has been checked already (used by the one-shot functions)."""
        start = time.perf_counter()
        if target.n_samples != len(features):
            raise DataError(
                f"labels has {target.n_samples} entries but features has {len(features)} rows; "
                f"give one label for each row"
            )
        self._check_columns(target)
        n_threads = resolve_threads(self._n_threads)
        if target.task == UNLABELLED:
            self._inner.update(features, weights, n_threads)
        elif target.ids is not None:
            self._inner.update_labels(features, target.ids, target.names, weights, n_threads)
        else:
            self._inner.update_targets(features, target.data, weights, n_threads)
        if self._target is None:
            self._task, self._target = target.task, target.without_rows()
        self._note((*target.warnings, *notes))
        self._seconds += time.perf_counter() - start

    def score(self, metrics: str | Sequence[str] = "logme", **options: Any) -> Any:
        """Compute one metric or several; they share one decomposition.

        Parameters
        ----------
        metrics : str or sequence of str
            A name, several, or "all" for those that apply.
        **options
            Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

        Returns
        -------
        score : Score, or Scores for several metrics
        """
        if self._target is None:
            raise DataError("these statistics hold no rows yet; call update first")
        provided = {"stats", "class_scatters"} if self.class_scatters else {"stats"}
        planned = plan(metrics, self.task, options, provided)
        return collect(self.outcomes(planned[0]), metrics, planned[1])

    compute = score

    def __getattr__(self, name: str) -> Any:
        """Find metrics as methods: ``stats.logme()`` is ``stats.score("logme")``."""
        if not name.startswith("_") and name in metric_specs():
            return functools.partial(self.score, name)
        raise AttributeError(f"Stats has no {name!r}")

    def __dir__(self) -> list[str]:
        """List the metrics too."""
        served = {name for name, spec in metric_specs().items() if spec.reads_statistics_only}
        return sorted({*super().__dir__(), *served})

    def outcomes(
        self,
        requests: Mapping[str, dict[str, Any]],
        method: str = "tridiagonal",
        given: Inputs | None = None,
    ) -> dict[str, Score | Exception]:
        """Compute metrics with their options; one that fails gives its exception instead.

        With the samples at hand, "svd" decomposes them, and "auto" does so where statistics
        carry less than nine digits and it takes about a second and 32 MB at most.
        """
        target = self._target
        assert target is not None, "callers have pushed rows"
        start = time.perf_counter()
        n_threads = resolve_threads(self._n_threads)
        arrays = None if given is None else given.native()
        native = {name: options for name, options in requests.items() if spec_of(name).is_native}
        results: dict[str, Any] = {
            name: spec_of(name).run(self, requests[name], n_threads)
            for name in requests.keys() - native.keys()
        }
        if native and method != "svd":
            found = self._inner.compute(list(native.items()), n_threads, arrays)
            results |= _by_name(native, found)
        n, d = self.n_samples, self.n_features
        small = n * d <= _SMALL_SVD and n * d * min(n, d) <= _QUICK_SVD
        quick = method == "auto" and small
        if given is not None and (method == "svd" or quick):
            left = {name: native[name] for name in native if _is_open(results.get(name))}
            if left:
                again = self._inner.compute(list(left.items()), n_threads, arrays, svd=True)
                for name, outcome in _by_name(left, again).items():
                    results[name] = _better(results.get(name), outcome)
        seconds = self._seconds + time.perf_counter() - start
        facts = {
            **target.facts(self.classes, self.class_counts),
            "n_samples": self.n_samples,
            "n_features": self.n_features,
            "seconds": seconds,
        }
        return make_scores(requests, results, facts, self._warnings)


def _by_name(names: Iterable[str], outcomes: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(names, outcomes, strict=True))


def _better(first: Any, second: Any) -> Any:
    """Choose between two computations of one metric the one that is rounded less."""
    if first is None or isinstance(first, Exception) or isinstance(second, Exception):
        return second if first is None or not isinstance(second, Exception) else first
    errors = [np.max(outcome["details"].get("rounding", 0.0)) for outcome in (first, second)]
    return first if errors[0] < errors[1] else second


def _is_open(outcome: Any) -> bool:
    """Tell whether a metric is still to be computed, or lost digits on the way."""
    return outcome is None or (not isinstance(outcome, Exception) and not outcome["exact"])
