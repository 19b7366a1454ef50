"""Mergeable statistics of features and labels: update in blocks, merge, score, save, export.

Over 400 lines because this file is one public class, half of it the documentation of its methods.
"""

from __future__ import annotations

import functools
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._inputs.arrays import as_weights, check_choice, read_features
from .._inputs.columns import Names, check_leak, check_positions, join_names, match_columns
from .._inputs.inputs import Inputs
from .._inputs.rows import check_rows
from .._inputs.target import (
    TASKS,
    UNLABELLED,
    Target,
    has_labels,
    read_block,
    suggest_header,
    unlabelled,
)
from .._inputs.types import ArrayLike
from .._metric.cost import warn_of_pairs
from .._metric.plan import plan
from .._metric.prepared import PreparedRequests
from .._metric.registry import known_specs
from .._metric.score import Score, collect, make_scores, unpack_outcome
from .._metric.spec import Size
from .._util.atomic_file import write_bytes
from .._util.memory import no_memory
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError
from . import covariance as covariances
from .covariance import ClassCovariances, ClassScatter, CodingRateReduction
from .moments import export_moments, import_moments, read_names
from .open_task import (
    bring_to_one_task,
    check_mergeable,
    close_if_real,
    decide_stats,
    fit_block,
    settle_stats,
)
from .serialize import Facts, from_bytes, to_bytes, to_json

__all__ = ["PRECISIONS", "Stats", "map_left_out", "may_take_svd"]

PRECISIONS = ("double", "single")
_TASKS = ("auto", *TASKS, UNLABELLED)
T = TypeVar("T")
#: Limits of the SVD that method="auto" may add: multiplications (about a second), and entries of
#: the features (8 MB).
_QUICK_SVD, _SMALL_SVD = 2e9, 1e6
_MERGED = "one of the statistics", "another one"  # of which columns do not match


class Stats:
    """Mergeable sufficient statistics of features and labels, from which metrics are computed.

    They hold the rows while there are at most as many rows as columns, and the scatter matrix
    afterwards: at most ``min(n_samples, n_features) * n_features`` numbers. Every split into blocks
    and every order of merging gives the same scores, up to rounding, and the same task.

    Parameters
    ----------
    task : {"auto", "classification", "regression", "multilabel", "unlabelled"}, default="auto"
        "auto" decides by all rows, as :func:`transferability.logme` does, when a score is asked
        for. Until then integers, strings and whole real numbers keep the sums of each distinct
        value, which are enough for any task. For targets with many distinct integers, pass
        "regression", which keeps one sum. "unlabelled" takes features without labels, for
        :meth:`covariance`, :meth:`spectrum` and whatever else needs no labels.
    precision : {"double", "single"}, default="double"
        Precision of the products of float32 features.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads` at each call.
    class_scatters : bool, default=False
        Also keep separate statistics of every class, which some metrics need
        (``transferability metrics`` lists them): up to ``min(n_c, n_features) * n_features``
        numbers more for each class.
    stop : object, optional
        For internal use: interrupts calls from another thread.

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

    def __init__(
        self,
        task: str = "auto",
        precision: str = "double",
        n_threads: int | None = None,
        *,
        class_scatters: bool = False,
        stop: _core.Stop | None = None,
    ) -> None:
        check_choice("task", task, _TASKS)
        check_choice("precision", precision, PRECISIONS)
        resolve_threads(n_threads)
        self._inner = _core.Stats(precision, stop, class_scatters)
        self._asked = task
        self._n_threads = n_threads
        self._target: Target | None = None  # of all rows so far, without the rows
        self._columns: Names = None
        self._warnings: tuple[str, ...] = ()
        self._seconds = 0.0

    @property
    def task(self) -> str:
        """The task of the rows so far.

        With ``task="auto"`` more rows may change it; it is "auto" while the rows leave it open.
        """
        return self._asked if self._target is None else self._decision()[0]

    @property
    def task_note(self) -> str:
        """Reason for the task, or why it is open, in words; empty before the first block."""
        return "" if self._target is None else self._decision()[1]

    @property
    def described(self) -> Target | None:
        """The labels of the rows so far, without the rows; for internal use."""
        return self._target

    @property
    def seconds(self) -> float:
        """Seconds spent on the rows so far."""
        return self._seconds

    @property
    def n_samples(self) -> int:
        """Number of rows so far, counted with their weights."""
        return self._inner.n_samples

    @property
    def n_features(self) -> int:
        """Number of columns of the features; 0 before the first block."""
        return self._inner.n_features

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Names of the columns of the features, of frames and tables; None for arrays.

        Later blocks and merged statistics may have the same columns in any order. A frame without
        names has numbers, which match other columns by position as long as they are in order.
        """
        return self._columns

    @property
    def classes(self) -> tuple[int | str, ...] | None:
        """The classes that occurred, sorted; None for targets."""
        if self._target is None:
            return None
        found: tuple[int | str, ...] | None
        found = self._target.facts(self._inner.classes, None)["classes"]
        return found

    @property
    def class_counts(self) -> tuple[int, ...] | None:
        """Number of rows of each class, counted with their weights; None for targets."""
        counts = self._inner.class_counts
        return None if counts is None else tuple(counts)

    @property
    def precision(self) -> str:
        """Precision of the products of the features: "double" or "single"."""
        return self._inner.precision

    @property
    def class_scatters(self) -> bool:
        """Whether separate statistics of every class are kept, as some metrics need."""
        return self._inner.class_scatters

    @property
    def nbytes(self) -> int:
        """Memory that the statistics take, in bytes."""
        return self._inner.nbytes

    def __sizeof__(self) -> int:
        """Include the native part; schedulers decide by this size what to move or spill."""
        return super().__sizeof__() + self.nbytes

    def __repr__(self) -> str:
        return (
            f"Stats(task={self.task!r}, n_samples={self.n_samples}, n_features="
            f"{self.n_features}, holds={self._inner.holds!r}, nbytes={self.nbytes})"
        )

    def update(
        self,
        features: ArrayLike,
        labels: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Stats:
        """Add a block of rows, and return the same object.

        Parameters
        ----------
        features : array-like of shape (n_samples, n_features)
            As in :func:`transferability.logme`; one row is enough. Columns of frames match those
            of earlier blocks by name, in any order; columns of arrays match by position.
        labels : array-like of shape (n_samples,) or (n_samples, n_targets)
            Each block may have any of the classes, also new ones. One block does not decide the
            task, except that a number that is not whole makes all labels targets. Left out if the
            task is "unlabelled".
        sample_weight : array-like of shape (n_samples,), optional
            Integers; a weight of k is the same as repeating its row k times.

        Raises
        ------
        DataError, DtypeError
            As :func:`transferability.logme`, and for frames with other columns than earlier ones.
            The statistics are then unchanged.
        """
        check_rows((), features=features, labels=labels, sample_weight=sample_weight)
        array, notes, columns = read_features(features)
        weights = None if sample_weight is None else as_weights(sample_weight, len(array))
        counted = None if weights is None else weights > 0
        held = self._asked if self._target is None else self._target.task
        target = unlabelled(len(array))
        if has_labels(labels, held):
            target = read_block(labels, self._asked, self._target, counted)
        self.push(array, target, weights, notes, columns)
        return self

    def push(
        self,
        features: NDArray[Any],
        target: Target,
        weights: NDArray[np.int64] | None = None,
        notes: Sequence[str] = (),
        columns: Names = None,
    ) -> None:
        """Add a block of rows that has been validated; for internal use.

        Parameters
        ----------
        features : ndarray of shape (n_samples, n_features), float32 or float64
            Features without NaN and infinity.
        target : Target
            The labels of these rows.
        weights : ndarray of shape (n_samples,), int64, optional
            How often each row counts. Default: once.
        notes : sequence of str
            Warnings about the rows, which scores repeat.
        columns : tuple of str, optional
            Names of the features.
        """
        start = time.perf_counter()
        if target.n_samples != len(features):
            raise DataError(
                f"labels has {target.n_samples} entries but features has {len(features)} rows; "
                f"give one label for each row{suggest_header(target, len(features))}"
            )
        if weights is not None and not weights.any():
            return  # rows of weight 0 decide nothing
        if columns is not None and target.names is None:
            check_leak(features, columns, target.ids if target.values is None else target.values)
        inner, described = self._inner, target.without_rows()
        if self._target is not None:
            inner, target, described = fit_block(inner, self._target, target)
        held = columns if self._target is None else self._columns
        order = match_columns(columns, held, "features", "earlier blocks")
        features = features if order is None else features[:, order]
        n_threads = resolve_threads(self._n_threads)
        if target.ids is not None:
            inner.update_labels(features, target.ids, target.names, weights, n_threads)
        elif target.values is not None:
            inner.update_targets(features, target.values, weights, n_threads)
        else:
            inner.update(features, weights, n_threads)
        self._inner, self._target = close_if_real(inner, described)
        self._columns = join_names(self._columns, columns)
        self._note((*target.warnings, *notes))
        self._seconds += time.perf_counter() - start

    def reset(self) -> Stats:
        """Remove all rows, and return the same object; a task that they decided is open again."""
        inner = self._inner
        self.__init__(  # type: ignore[misc]
            self._asked, inner.precision, self._n_threads, class_scatters=inner.class_scatters
        )
        return self

    def copy(self) -> Stats:
        """Return an independent copy."""
        return self._with(self._inner.copy(), self._target)

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, object]) -> Stats:
        return self.copy()

    def merge(self, other: Stats) -> Stats:
        """Return the statistics of both sets of rows, as a new object; ``a + b`` is the same.

        Parameters
        ----------
        other : Stats
            Statistics of other rows.

        Raises
        ------
        DataError, DtypeError
            If `other` is not a Stats, or differs in task, number or names of features, kind of
            classes, columns of targets, precision or class scatters. Features with the same names
            in another order are reordered. A task that one of them was given, or has decided for
            good, holds for both.
        """
        if not isinstance(other, Stats):
            raise DtypeError(f"Stats merges with Stats only, not with {type(other).__name__}")
        asked = other._asked if self._asked == "auto" else self._asked
        if self._target is None or other._target is None:
            held, empty = (self, other) if other._target is None else (other, self)
            if empty._asked not in ("auto", asked):
                raise DataError(f"cannot merge statistics of {asked} and those of {empty._asked}")
            return held.copy() if asked == held._asked else held.replace(task=asked)
        ours, theirs = (self._inner, self._target), (other._inner, other._target)
        inner, added, target = bring_to_one_task(ours, theirs)
        order = match_columns(other._columns, self._columns, *_MERGED)
        added = added if order is None else added.reordered(order)
        inner = inner.merge(added, resolve_threads(self._n_threads))
        merged = self._with(*close_if_real(inner, target))
        merged._asked = asked
        merged._columns = join_names(self._columns, other._columns)
        merged._seconds += other._seconds
        merged._note(other._warnings)
        return merged

    __add__ = merge

    def __radd__(self, other: object) -> Stats:
        """Support ``sum(list_of_stats)``, which starts from 0."""
        return self.copy() if other == 0 else NotImplemented

    @classmethod
    def merge_all(cls, states: Iterable[Stats]) -> Stats:
        """Merge one or more statistics to a new object, which is bit-identical in any order.

        They are sorted by a digest of their content, and merged pairwise along a balanced tree.

        Parameters
        ----------
        states : iterable of Stats
            Statistics of different rows, in any order.

        Raises
        ------
        DataError, DtypeError
            If there are none, or as :meth:`merge`.
        """
        if isinstance(states, Stats):
            raise DtypeError("merge_all takes a list of Stats, not one Stats; call it with [stats]")
        parts = list(states)
        if not parts:
            raise DataError("there are no statistics to merge; give at least one")
        for part in parts:
            if not isinstance(part, Stats):
                raise DtypeError(f"Stats merges with Stats only, not with {type(part).__name__}")
            if part._target is not None and parts[0]._target is not None:
                check_mergeable(parts[0]._target, part._target)
        check_positions((part._columns for part in parts if part.n_features), "the statistics")
        merged = _merge_pairs(sorted(parts, key=lambda part: part._digest()))
        merged._seconds = math.fsum(part._seconds for part in parts)
        return merged

    def score(self, /, metrics: str | Sequence[str] = "logme", **options: Any) -> Any:
        """Compute one metric or several from one decomposition.

        Parameters
        ----------
        metrics, **options
            As in :func:`transferability.score`, and so is the result.

        Raises
        ------
        DataError, DtypeError
            Before the first block, for labels that leave the task open, and for unknown or
            inapplicable metrics and options.
        """
        decided = self.decide()
        provided = {"stats", "class_scatters"} if self.class_scatters else {"stats"}
        requests, skipped = plan(metrics, decided.task, options, provided)
        return collect(decided.outcomes(requests), metrics, skipped)

    def decide(self) -> Stats:
        """Return these statistics with the task that their rows so far decide.

        Scores do this by themselves. Use it to score parts, such as bootstrap samples, as the task
        of the whole. Use :meth:`replace` to choose a task.

        Raises
        ------
        DataError
            Before the first block, and for labels that leave the task open.
        """
        if self._target is None:
            raise DataError("these statistics hold no rows yet; call update first")
        if not self._target.is_open:
            return self
        decision = decide_stats(self._inner, self._target)
        return self._with(*settle_stats(self._inner, self._target, *decision))

    def __getattr__(self, name: str) -> Any:
        """Resolve metrics as methods: ``stats.logme()`` is ``stats.score("logme")``."""
        if not name.startswith("_") and name in known_specs():
            return functools.partial(self.score, name)
        raise AttributeError(f"Stats has no {name!r}")

    def __dir__(self) -> list[str]:
        served = {name for name, spec in known_specs().items() if spec.reads_statistics_only}
        return sorted({*super().__dir__(), *served})

    def outcomes(
        self,
        requests: Mapping[str, dict[str, Any]],
        method: str = "tridiagonal",
        inputs: Inputs | None = None,
    ) -> dict[str, Score | Exception]:
        """Compute metrics with the kernel options of ``plan``; for internal use.

        A metric that fails is returned as its exception.

        Parameters
        ----------
        requests : mapping of str to dict
            Options of the kernel by metric, from ``plan``.
        method : {"tridiagonal", "svd", "auto"}, default="tridiagonal"
            "svd" decomposes the features of `inputs`. "auto" does so for small features, if the
            statistics determine fewer than nine digits of a metric.
        inputs : Inputs, optional
            The same rows, for metrics that read more than statistics.
        """
        target = self._target
        assert target is not None, "callers have pushed rows"
        if target.is_open:
            return self.decide().outcomes(requests, method, inputs)
        start = time.perf_counter()
        prepared, inner = PreparedRequests.of(requests), self._inner
        n_threads = resolve_threads(self._n_threads)
        arrays = None if inputs is None else inputs.native()
        warn_of_pairs(
            prepared,
            lambda: Size(self.n_samples, self.n_features, len(self.classes or ())),
            n_threads,
        )
        results: dict[str, Any] = {
            spec.name: spec.run(self, prepared[spec.name], n_threads) for spec in prepared.in_python
        }
        if prepared.native and method != "svd":
            found = inner.compute(prepared.compiled, n_threads, arrays)
            results.update(zip(prepared.native, found, strict=True))
        n_samples, n_features, classes, counts = inner.summary()
        if inputs is not None and may_take_svd(method, n_samples, n_features):
            left = {name: prepared[name] for name in prepared.native if _is_open(results.get(name))}
            if left:
                compiled = PreparedRequests(left).compiled
                again = inner.compute(compiled, n_threads, arrays, svd=True)
                for name, outcome in zip(left, again, strict=True):
                    results[name] = _better(results.get(name), outcome)
        if self._columns is not None:
            for outcome in results.values():
                details = {} if isinstance(outcome, Exception) else unpack_outcome(outcome)[1]
                if "coef" in details:
                    details["feature_names"] = self._columns
        facts = {
            **target.facts(classes, counts),
            "n_samples": n_samples,
            "n_features": n_features,
            "seconds": self._seconds + time.perf_counter() - start,
        }
        return make_scores(prepared, results, facts, self._warnings)

    def mean(self) -> NDArray[np.float64]:
        """Return the mean of the features, (n_features,).

        Raises
        ------
        DataError
            Before the first block.

        Examples
        --------
        >>> import transferability as tx
        >>> tx.Stats("unlabelled").update([[1, 5], [2, 5]]).update([[6, 2]]).mean()
        array([3., 4.])
        """
        covariances.check_not_empty(self._inner)
        return self._inner.mean()

    def covariance(
        self, shrinkage: str | float | None = None, *, assume_centered: bool = False
    ) -> NDArray[np.float64]:
        """Return the covariance matrix of the features, divided by the number of samples.

        Parameters
        ----------
        shrinkage : {"ledoit-wolf", "oas"} or float from 0 to 1, optional
            How far to shrink it towards the multiple of the identity with the same trace: by the
            estimate of Ledoit and Wolf, by that of Chen et al., or by this much. None is not at
            all.
        assume_centered : bool, default=False
            Take the features as centred: second moments about 0 in place of the mean.

        Returns
        -------
        covariance : ndarray of shape (n_features, n_features)
            As :func:`transferability.covariance.empirical_covariance` of all rows, or its shrunk
            variants. Computed from the statistics, so that it streams and merges.

        Raises
        ------
        DataError, DtypeError
            Before the first block, for another shrinkage, and for features whose squares leave the
            range of float64.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> features = np.random.default_rng(0).normal(size=(100, 3))
        >>> stats = tx.Stats("unlabelled").update(features[:40]).update(features[40:])
        >>> bool(np.allclose(stats.covariance(), np.cov(features.T, bias=True)))
        True
        """
        return self.covariance_and_shrinkage(shrinkage, assume_centered=assume_centered)[0]

    def covariance_and_shrinkage(
        self, shrinkage: str | float | None = "ledoit-wolf", *, assume_centered: bool = False
    ) -> tuple[NDArray[np.float64], float]:
        """Return :meth:`covariance` and its shrinkage, from 0 to 1.

        As :func:`transferability.covariance.ledoit_wolf` and
        :func:`transferability.covariance.oas` of all rows.

        Parameters
        ----------
        shrinkage, assume_centered
            As in :meth:`covariance`, with Ledoit and Wolf's shrinkage by default.

        Raises
        ------
        DataError, DtypeError
            As :meth:`covariance`.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> features = np.random.default_rng(0).normal(size=(50, 20))
        >>> stats = tx.Stats("unlabelled").update(features[:10]).update(features[10:])
        >>> round(stats.covariance_and_shrinkage()[1], 3)
        0.847
        """
        n_threads = resolve_threads(self._n_threads)
        return covariances.covariance(self._inner, shrinkage, assume_centered, n_threads)

    def spectrum(self, *, assume_centered: bool = False) -> NDArray[np.float64]:
        """Return the eigenvalues of the covariance, largest first.

        The singular values of the centred features are the roots of `n_samples` times these.

        Parameters
        ----------
        assume_centered : bool, default=False
            As in :meth:`covariance`: the eigenvalues of FᵀF/n of the features F as they are.

        Returns
        -------
        eigenvalues : ndarray of shape (min(n_samples, n_features),)
            The others are 0. Those that are rounding are exactly 0: while rows are held, those of
            singular values below ``max(n_samples, n_features)`` roundings of the largest; from the
            scatter matrix, those below `n_features` roundings of the largest eigenvalue.

        Raises
        ------
        DataError
            Before the first block, and for features whose squares leave the range of float64.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> features = np.random.default_rng(0).normal(size=(100, 3))
        >>> stats = tx.Stats("unlabelled").update(features)
        >>> expected = np.linalg.svd(features - features.mean(0), compute_uv=False) ** 2 / 100
        >>> bool(np.allclose(stats.spectrum(), expected))
        True
        """
        n_threads = resolve_threads(self._n_threads)
        return covariances.spectrum(self._inner, assume_centered, n_threads)

    def class_covariances(self, *, per_class: bool = False) -> ClassCovariances:
        """Return the covariances within and between the classes.

        As :func:`transferability.covariance.class_covariances`. Statistics know `within` relative
        to the covariance only: a warning says if classes are so far apart that few digits of it are
        left.

        Parameters
        ----------
        per_class : bool, default=False
            Whether to return the covariance of each class too. It needs ``class_scatters=True``.

        Raises
        ------
        DataError
            Before the first block, without class labels, or without statistics of every class.
        """
        n_threads = resolve_threads(self._n_threads)
        inner, boolean = self._as_classes()
        return covariances.class_covariances(inner, per_class, boolean, n_threads)

    def feature_moments(self) -> dict[str, Any]:
        """Return :meth:`moments` without those of labels and classes; for internal use."""
        covariances.check_not_empty(self._inner)
        return _core.moments(self._inner, resolve_threads(self._n_threads), of_features=True)

    @property
    def holds_rows(self) -> bool:
        """Whether rows are held, not their scatter; for internal use."""
        return self._inner.holds == "rows"

    def class_scatter(self) -> ClassScatter:
        """Return class means and the covariance within classes; for internal use."""
        return covariances.class_scatter(self._inner, resolve_threads(self._n_threads))

    def coding_rate(self, eps: float | None = None, *, convention: str = "transrate") -> float:
        """Return the coding rate of the features.

        As :func:`transferability.covariance.coding_rate`.

        Parameters
        ----------
        eps, convention
            As in :func:`transferability.covariance.coding_rate`.

        Raises
        ------
        DataError, DtypeError
            Before the first block, and for another convention or distortion.
        """
        n_threads = resolve_threads(self._n_threads)
        return covariances.coding_rate(self._inner, eps, convention, n_threads)

    def coding_rate_reduction(
        self, eps: float | None = None, *, convention: str = "transrate"
    ) -> CodingRateReduction:
        """Return the coding rates of all rows and of each class; needs ``class_scatters=True``.

        As :func:`transferability.covariance.coding_rate_reduction`.

        Parameters
        ----------
        eps, convention
            As in :func:`transferability.covariance.coding_rate`.

        Raises
        ------
        DataError, DtypeError
            As :meth:`coding_rate`, and without class labels or statistics of every class.
        """
        n_threads = resolve_threads(self._n_threads)
        inner, boolean = self._as_classes()
        return covariances.coding_rate_reduction(inner, eps, convention, boolean, n_threads)

    def _as_classes(self) -> tuple[_core.Stats, bool]:
        """Return the sums with their task decided, and whether classes 0 and 1 are booleans."""
        if self._target is None:
            return self._inner, False
        decided = self.decide()
        return decided._inner, self._target.boolean

    def moments(self) -> dict[str, Any]:
        """Return the sufficient statistics as arrays.

        Returns
        -------
        moments : dict
            Always "task", "note", "precision" and "n_samples". While more rows may change the
            task, "open" is the kind of the labels, "bool", "int", "float" or "str", and "task"
            that of the sums, "classification" where they are class sums.
            Of features x with weights w, about the "shift" s (D,): "sum" Σ w (x − s) (D,),
            "scatter" Σ w (x − s)(x − s)ᵀ (D, D), "cubic" Σ w ‖x − s‖² (x − s) (D,), "quartic"
            Σ w ‖x − s‖⁴, and "largest", an upper bound of all ``|x − s|``.
            Of classes: "classes", sorted, "class_counts" (C,), "class_sums" Σ w (x − s) (C, D),
            "class_squares" Σ w ‖x − s‖² (C,), and with class scatters "by_class", the moments of
            each class.
            Of targets y, about the "target_shift" p (K,): "target_sum" Σ w (y − p) (K,),
            "target_square" Σ w (y − p)² (K,), "cross" Σ w (x − s)(y − p)ᵀ (D, K), "columns". Of
            both, with q = ‖x − s‖² and r = ‖y − p‖²: "joint_quartic" Σ w q r, "joint_features"
            Σ w r (x − s) (D,), "joint_targets" Σ w q (y − p) (K,). For K ≤ D also
            "target_products" Σ w (y − p)(y − p)ᵀ (K, K), "target_cubic" Σ w r (y − p) (K,),
            "target_quartic" Σ w r².
            Of features with names: "feature_names" (D,).

        Raises
        ------
        DataError
            Before the first block.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> moments = tx.Stats().update(np.eye(4), [3, 3, 5, 5]).moments()
        >>> moments["classes"], moments["class_counts"], moments["shift"]
        ((3, 5), array([2, 2]), array([0.25, 0.25, 0.25, 0.25]))
        """
        if self._target is None:
            raise DataError("these statistics hold no rows yet; call update first")
        moments = export_moments(self._inner, self._target, resolve_threads(self._n_threads))
        return moments if self._columns is None else {**moments, "feature_names": self._columns}

    @classmethod
    def from_moments(cls, moments: Mapping[str, Any]) -> Stats:
        """Convert moments that were accumulated elsewhere to statistics.

        Parameters
        ----------
        moments : mapping
            As :meth:`moments` returns them. "precision" ("double"), "note", "columns",
            "feature_names" and "by_class" are optional. So are "class_squares" and the sums from
            "joint_quartic" on, which only the unbiased estimator of CKA reads. Sums of float32
            products have "precision" "single". Classes without rows are dropped. The result holds
            the scatter matrix, even with fewer rows than features.

        Raises
        ------
        DataError, DtypeError
            If an entry is missing, of another shape or not finite, or if no rows can have such
            moments: an asymmetric scatter, counts that do not add up, or sums larger than their
            squares allow.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> stats = tx.Stats().update(np.arange(12.0).reshape(6, 2) % 5, [0, 1] * 3)
        >>> bool(np.isclose(tx.Stats.from_moments(stats.moments()).logme(), stats.logme()))
        True
        """
        inner, target = import_moments(moments)
        stats = cls(target.task)  # "auto" where it is open
        stats._inner, stats._target = inner, target
        stats._columns = read_names(moments.get("feature_names"), inner.n_features)
        return stats

    def to_bytes(self) -> bytes:
        """Serialize everything but the number of threads, with a checksum and without pickle.

        The length is about `nbytes`, or half of it if a scatter is held.
        """
        return to_bytes(self._inner, self._facts())

    @classmethod
    def from_bytes(cls, data: bytes) -> Stats:
        """Read the result of :meth:`to_bytes`, bit for bit.

        No code in the bytes is executed, and the memory used is proportional to their length.

        Parameters
        ----------
        data : bytes
            The result of :meth:`to_bytes`.

        Raises
        ------
        DataError
            If the bytes are cut short, altered, of a newer version, or of another format.
        DtypeError
            If `data` is not bytes.
        """
        return cls._of_serialized(*from_bytes(data))

    @classmethod
    def _of_serialized(cls, inner: _core.Stats, facts: Facts) -> Stats:
        stats = cls(facts.asked)
        stats._inner = inner
        stats._target, stats._warnings, stats._seconds, stats._columns = facts[1:]
        return stats

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the statistics to a file by an atomic write.

        After an error or a crash the path holds either the complete earlier file or the complete
        new file.

        Parameters
        ----------
        path : str or path-like
            The file. The command line expects the suffix ``.stats``.

        Raises
        ------
        OSError
            If the file cannot be written, with the reason.

        Examples
        --------
        >>> import numpy as np, pathlib, tempfile, transferability as tx
        >>> features = np.random.default_rng(0).normal(size=(30, 4))
        >>> stats = tx.Stats().update(features, [0, 1, 2] * 10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "part.stats")
        ...     stats.save(path)
        ...     tx.Stats.load(path).logme() == stats.logme()
        True
        """
        write_bytes(path, self.to_bytes())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Stats:
        """Read a file that :meth:`save` wrote, bit for bit.

        Parameters
        ----------
        path : str or path-like
            A file that :meth:`save` wrote.

        Raises
        ------
        DataError, OSError
            As :meth:`from_bytes`, or if the file cannot be read.
        """
        try:
            data = Path(path).read_bytes()
        except MemoryError as error:
            raise no_memory(f"the file {os.fspath(path)}", os.path.getsize(path)) from error
        try:
            return cls.from_bytes(data)
        except DataError as error:
            raise DataError(f"{os.fspath(path)}: {error}") from error

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._unpickle, (self.to_bytes(),)

    @classmethod
    def _unpickle(cls, data: bytes) -> Stats:
        """Read a pickle, with the trust that pickles have: whoever forges one can run code."""
        return cls._of_serialized(*from_bytes(data, trusted=True))

    def _facts(self) -> Facts:
        return Facts(self._asked, self._target, self._warnings, self._seconds, self._columns)

    def _digest(self) -> tuple[bytes, str]:
        """Return the key by which ``merge_all`` sorts; the facts break ties of equal sums."""
        return _core.digest(self._inner), repr(to_json(self._facts()))

    def replace(self, **changes: Any) -> Stats:
        """Return a copy with another description of the same rows.

        Parameters
        ----------
        **changes
            ``n_threads``; and ``task``, "classification", "regression" or "multilabel", for rows
            that were added as ``task="auto"``. Statistics of integers, Booleans and whole real
            numbers can become those of regression on the same numbers; statistics of targets cannot
            become those of classes.
            For internal use: ``target``, the validated labels, stored without their rows; and
            ``warnings``, which are added to those of the copy.

        Raises
        ------
        DataError, DtypeError
            If the rows cannot serve the task.
        TypeError
            For any other name.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> features, ages = rng.normal(size=(300, 4)), rng.integers(18, 90, 300)
        >>> stats = tx.Stats().update(features, ages)
        >>> stats.task  # 72 distinct numbers may be classes or measures
        'auto'
        >>> stats.replace(task="regression").logme().task
        'regression'
        """
        twin = self.copy()
        if "n_threads" in changes:
            twin._n_threads = changes.pop("n_threads")
            resolve_threads(twin._n_threads)
        if "task" in changes:
            twin._fix_task(changes.pop("task"))
        if "target" in changes:
            target = changes.pop("target").without_rows()
            if twin._target is not None and twin._target.is_open and not target.is_open:
                twin._fix_task(target.task)
            twin._target = target
        twin._note(changes.pop("warnings", ()))
        if changes:
            raise TypeError(f"Stats has no fact {min(changes)!r} to replace")
        return twin

    def _fix_task(self, task: str) -> None:
        """Change the task in place."""
        check_choice("task", task, TASKS)
        if self._target is not None:
            settled = settle_stats(self._inner, self._target, task, f"{task}, as asked")
            self._inner, self._target = settled
        self._asked = task

    def _with(self, inner: _core.Stats, target: Target | None) -> Stats:
        """Return statistics with the same settings, and other sums with their description."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__, _inner=inner, _target=target)
        return twin

    def _decision(self) -> tuple[str, str]:
        """Return the task of the rows so far with the reason; "auto" if they leave it open."""
        assert self._target is not None, "callers check that there are rows"
        if not self._target.is_open:
            return self._target.task, self._target.note
        try:
            return decide_stats(self._inner, self._target)
        except DataError as error:
            return "auto", f"open, because {error}"

    def _note(self, warnings: Sequence[str]) -> None:
        """Add warnings, each once."""
        if warnings:
            self._warnings = tuple(dict.fromkeys((*self._warnings, *warnings)))


def _merge_pairs(parts: Sequence[Stats]) -> Stats:
    """Merge along a balanced tree, which keeps about log2(len(parts)) results in memory."""
    if len(parts) == 1:
        return parts[0].copy()
    half = len(parts) // 2
    return _merge_pairs(parts[:half]).merge(_merge_pairs(parts[half:]))


def map_left_out(parts: Sequence[Stats], function: Callable[[int, Stats | None], T]) -> list[T]:
    """Call ``function(i, rest)`` for each part, with the sum of all other parts; None without any.

    Nothing is subtracted. The sums are formed in a tree: O(n log n) additions, and log2(n) sums in
    memory at a time.
    """

    def descend(start: int, end: int, outside: Stats | None) -> list[T]:
        """Return the results for the parts of start:end; `outside` is the sum of the others."""
        if end - start == 1:
            return [function(start, outside)]
        middle = (start + end) // 2
        left, right = (
            sum(parts[a + 1 : b], start=parts[a]) for a, b in ((start, middle), (middle, end))
        )
        return [
            *descend(start, middle, right if outside is None else outside + right),
            *descend(middle, end, left if outside is None else outside + left),
        ]

    return descend(0, len(parts), None)


def may_take_svd(method: str, n_samples: int, n_features: int) -> bool:
    """Return whether a metric of these features may be computed by an SVD of the samples."""
    size = n_samples * n_features
    is_small = size <= _SMALL_SVD and size * min(n_samples, n_features) <= _QUICK_SVD
    return method == "svd" or (method == "auto" and is_small)


def _better(first: Any, second: Any) -> Any:
    """Return the outcome with the smaller rounding error, and a value before an exception."""
    if first is None or (isinstance(first, Exception) and not isinstance(second, Exception)):
        return second
    if isinstance(second, Exception):
        return first
    both = (unpack_outcome(outcome)[1] for outcome in (first, second))
    errors = [np.max(details.get("rounding", 0.0)) for details in both]
    return first if errors[0] < errors[1] else second


def _is_open(outcome: Any) -> bool:
    """Return whether a metric is not computed yet, or has fewer than nine certain digits."""
    return outcome is None or (not isinstance(outcome, Exception) and not outcome.exact)
