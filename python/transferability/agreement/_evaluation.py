"""Evaluate rankings against the true performance of models.

Measures of agreement have bootstrap intervals and leave-one-out values over the models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import agreement
from .._inputs.by_name import as_mapping
from .._metric.score import issue, json_ready
from .._util.caught import drop_warnings
from .._util.notebook import text_to_html
from .._util.table import Table, Tabular
from ..errors import DataError, TransferabilityWarning

__all__ = ["MEASURES", "Comparison", "Evaluation", "evaluate_scores"]

Array = NDArray[np.float64]

#: Measures of agreement by name; each is a function of scores and truth.
MEASURES: dict[str, Callable[..., float]] = {
    "weighted_tau": agreement.weighted_tau,
    "kendall_tau": agreement.kendall_tau,
    "spearman": agreement.spearman,
    "pearson": agreement.pearson,
    "rel_at_1": agreement.rel_at_k,
    "regret": agreement.regret,
    "rel_acc": agreement.rel_acc,
}
#: Fewest models for an evaluation.
_FEWEST = 3
#: With fewer models, intervals are too narrow. For Kendall's tau of normal pairs correlated at 0.8,
#: 95 % intervals cover 71 % with 4 models, 95 % with 6 and 97 % with 12.
_FEW = 6


@dataclass(frozen=True)
class Comparison:
    """Difference of a measure between two metrics, with its bootstrap interval.

    Attributes
    ----------
    measure : str
        Such as "weighted_tau".
    first, second : str
        Names of the metrics.
    difference : float
        Measure of the first metric minus measure of the second.
    low, high, level : float
        Bootstrap percentile interval of the difference, and its level in (0, 1); NaN where the
        measure is not defined.
    """

    __module__ = "transferability"

    measure: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    level: float

    @property
    def supported(self) -> bool:
        """Whether the interval excludes 0; otherwise the difference may be due to chance."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Return the comparison as a sentence."""
        first, second = self.first, self.second
        interval = f"{self.level:.0%} {self.low:.2f} to {self.high:.2f}"
        numbers = f"{self.measure} differs by {self.difference:+.3f}, {interval}"
        if math.isnan(self.difference) or math.isnan(self.low):
            return f"{first} and {second} cannot be compared: {self.measure} is not defined"
        verdict = "agree with the truth differently" if self.supported else "are not told apart"
        return f"{first} and {second} {verdict}: {numbers}"

    def _repr_html_(self) -> str:
        """Return the sentence for notebooks."""
        return text_to_html(str(self))


@dataclass(frozen=True, repr=False, eq=False)
class Evaluation(Tabular):
    """Agreement of the metrics of a ranking with the true performance of its models.

    Every measure is an attribute, computed for the first metric: ``evaluation.weighted_tau``.
    ``evaluation["knn"]`` is the evaluation with another metric first.

    Attributes
    ----------
    models : tuple of str
        Models with a truth, in the order of the ranking.
    metrics : tuple of str
        Names of the metrics; the attributes are computed for the first.
    scores : dict of str to ndarray of shape (n_models,)
        By metric; NaN where the metric failed. Such a model counts as last, and Pearson leaves it
        out. Pearson is NaN if a score is infinite.
    truth : ndarray of shape (n_models,)
        Higher is better.
    rank : {True, "truth"}
        Convention of :func:`transferability.agreement.weighted_tau`.
    n_boot, seed : int
        Number of bootstrap resamples of the models, and their seed.
    unmatched : tuple of str
        Models of the ranking without a truth, or of the truth without a score.
    notes : tuple of str
        Warnings, in whole sentences.

    Notes
    -----
    Intervals are percentile intervals from bootstrap resamples of the models. All metrics share the
    resamples, so that differences between metrics have intervals too; SciPy's ``bootstrap``
    resamples for one statistic at a time. Models are few, so intervals are wide. Bias-corrected
    intervals (BCa) are not used: their acceleration comes from a jackknife, in which a single model
    can dominate. Resamples that contain a single model have no order and are left out.
    """

    __module__ = "transferability"

    models: tuple[str, ...]
    metrics: tuple[str, ...]
    scores: Mapping[str, Array]
    truth: Array
    rank: bool | str = True
    n_boot: int = 1000
    seed: int = 0
    unmatched: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    # By measure and metric; not of a copy with other fields.
    _drawn: dict[tuple[str, str], Array] = field(default_factory=dict, init=False)

    def __getitem__(self, metric: str) -> Evaluation:
        """Return the evaluation with another metric first."""
        if metric not in self.scores:
            raise DataError(f"there is no metric {metric!r}; there are {', '.join(self.metrics)}")
        others = tuple(name for name in self.metrics if name != metric)
        found = replace(self, metrics=(metric, *others))
        object.__setattr__(found, "_drawn", self._drawn)
        return found

    def __getattr__(self, name: str) -> float:
        """Compute a measure of the first metric, as in ``evaluation.spearman``."""
        if name in MEASURES:
            return self._compute_measure(name, slice(None))
        raise AttributeError(f"Evaluation has no {name!r}; it measures {', '.join(MEASURES)}")

    def rel_at(self, k: int) -> float:
        """Return Rel@k: the best truth among the first `k` models relative to the best of all.

        Parameters
        ----------
        k : int
            From 1 to the number of models.
        """
        return agreement.rel_at_k(self._first_scores, self.truth, k, nan="last")

    def recall_at(self, k: int) -> float:
        """Return recall@k: the share of the first `k` models that are among the truly best `k`.

        Parameters
        ----------
        k : int
            From 1 to the number of models.
        """
        return agreement.recall_at_k(self._first_scores, self.truth, k, nan="last")

    def ci(self, name: str = "weighted_tau", level: float = 0.95) -> tuple[float, float]:
        """Return the bootstrap percentile interval of a measure, such as "spearman" or "regret".

        It is (NaN, NaN) where the measure is defined for fewer than half of the resamples.

        Parameters
        ----------
        name, level : str, float
            A measure, such as "spearman" or "regret", and the coverage, in (0, 1).
        """
        return _compute_interval(self._resample(name), level)

    def leave_one_out(self, name: str = "weighted_tau") -> dict[str, float]:
        """Return a measure with each model left out in turn, which shows influential models.

        Parameters
        ----------
        name : str, default="weighted_tau"
            As in :meth:`ci`.
        """
        return {
            model: self._compute_measure(name, np.arange(len(self.models)) != i)
            for i, model in enumerate(self.models)
        }

    def compare(
        self, first: str, second: str, name: str = "weighted_tau", level: float = 0.95
    ) -> Comparison:
        """Compare two metrics by a measure, on the same bootstrap resamples of the models.

        Parameters
        ----------
        first, second : str
            Two metrics of the evaluation.
        name, level : str, float
            As in :meth:`ci`.
        """
        one, other = self[first], self[second]
        low, high = _compute_interval(one._resample(name) - other._resample(name), level)
        difference: float = getattr(one, name) - getattr(other, name)
        return Comparison(name, first, second, difference, low, high, level)

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """Return the evaluation as plain Python, ready for JSON: NaN is None.

        Intervals and leave-one-out values are of weighted tau.

        Parameters
        ----------
        level : float, default=0.95
            Coverage of the intervals, in (0, 1).
        """
        by_metric = {}
        for metric in self.metrics:
            one = self[metric]
            by_metric[metric] = {name: getattr(one, name) for name in self._defined} | {
                "interval": one.ci(level=level),
                "leave_one_out": one.leave_one_out(),
            }
        comparisons = [
            {**asdict(comparison), "supported": comparison.supported, "text": str(comparison)}
            for comparison in self._compare_first(level)
        ]
        fields = ("models", "truth", "rank", "n_boot", "seed", "unmatched", "notes")
        ready: dict[str, Any] = json_ready(
            {name: getattr(self, name) for name in fields}
            | {"level": level, "metrics": by_metric, "comparisons": comparisons}
        )
        return ready

    def _table(self) -> Table:
        """Return a table of the metrics, with comparisons and notes below."""
        shown = ("kendall_tau", "pearson", "rel_at_1", "regret")
        names = [name for name in shown if name in self._defined]
        rows = []
        for metric in self.metrics:
            one = self[metric]
            low, high = one.ci()
            without = list(one.leave_one_out().values())
            rows.append(
                [
                    metric,
                    f"{one.weighted_tau:.3f}",
                    f"{low:.2f} to {high:.2f}",
                    f"{min(without):.2f} to {max(without):.2f}",
                    *(f"{getattr(one, name):.3f}" for name in names),
                ]
            )
        return Table(
            title=f"Agreement with the truth of {len(self.models)} models, higher is better",
            header=["metric", "weighted tau", "95 %", "without one model", *names],
            body=rows,
            below=[
                *map(str, self._compare_first(0.95)),
                *(f"Note: {text}" for text in self.notes),
            ],
        )

    def _compare_first(self, level: float) -> list[Comparison]:
        """Compare the first metric with each of the others."""
        first, *others = self.metrics
        return [self.compare(first, other, level=level) for other in others]

    @property
    def _defined(self) -> list[str]:
        """Names of the measures defined for this truth; Rel@k needs a positive best truth."""
        return [name for name in MEASURES if name != "rel_at_1" or self.truth.max() > 0]

    @property
    def _first_scores(self) -> Array:
        return self.scores[self.metrics[0]]

    def _compute_measure(self, name: str, models: Any) -> float:
        """Compute a measure of the first metric on selected models."""
        if name not in MEASURES:
            raise DataError(f"there is no measure {name!r}; there are {', '.join(MEASURES)}")
        x, y = self._first_scores[models], self.truth[models]
        nan = "omit" if name == "pearson" else "last"
        if nan == "omit" and (np.count_nonzero(~np.isnan(x)) < 2 or np.isinf(x).any()):
            return math.nan  # an infinite score has an order but no distance
        options = {"rank": self.rank} if name == "weighted_tau" else {}
        with drop_warnings(TransferabilityWarning):  # the notes mention constant scores once
            return MEASURES[name](x, y, nan=nan, **options)

    def _resample(self, name: str) -> Array:
        """Compute a measure of the first metric on the bootstrap resamples of all metrics."""
        key = name, self.metrics[0]
        if key not in self._drawn:
            n, rng = len(self.models), np.random.default_rng(self.seed)
            draws = rng.integers(0, n, size=(self.n_boot, n))
            # Regret and Rel@1 of a resample of one model only are defined but meaningless.
            values = [
                self._compute_measure(name, models) if np.ptp(models) else math.nan
                for models in draws
            ]
            self._drawn[key] = np.array(values)
        return self._drawn[key]


def _compute_interval(draws: Array, level: float) -> tuple[float, float]:
    """Return the percentile interval; NaN if fewer than half of the draws are defined."""
    if not 0 < level < 1:
        raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.95")
    defined = draws[~np.isnan(draws)]
    if len(defined) < len(draws) / 2:
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def evaluate_scores(
    scores: Mapping[str, Mapping[str, float]],
    truth: Mapping[str, float],
    *,
    rank: bool | str = True,
    n_boot: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Evaluate scores by metric and model against the truth; see :meth:`Ranking.evaluate`."""
    known = as_mapping("truth", truth)
    if known is None:
        raise DataError("truth must map names of models to numbers, such as {'resnet50': 0.87}")
    if rank not in (True, "truth"):
        raise DataError(f"rank is {rank!r}; choose True or 'truth'")
    if n_boot < 100:
        raise DataError(f"n_boot is {n_boot}; an interval needs 100 resamples at least")
    ranked = list(dict.fromkeys(model for column in scores.values() for model in column))
    models = [model for model in ranked if model in known]
    unmatched = [m for m in ranked if m not in known] + [m for m in known if m not in set(ranked)]
    if len(models) < _FEWEST:
        raise DataError(
            f"{len(models)} models have both scores and truth, agreement needs {_FEWEST}; without "
            f"the other: {', '.join(map(str, unmatched[:5])) or 'none'}"
        )
    values = {
        name: np.array([float(column.get(model, math.nan)) for model in models])
        for name, column in scores.items()
    }
    y = np.array([_read_truth(known[model], model) for model in models])
    notes = list(_find_problems(values, y, models, unmatched))
    issue(notes)
    if len(models) < _FEW:  # a note, not a warning
        notes.append(
            f"{len(models)} models are few: intervals are too narrow, down to a single value where "
            f"the order of all models agrees"
        )
    left_out = tuple(map(str, unmatched))
    return Evaluation(
        tuple(models), tuple(values), values, y, rank, n_boot, seed, left_out, tuple(notes)
    )


def _find_problems(
    values: Mapping[str, Array], truth: Array, models: Sequence[str], unmatched: Sequence[str]
) -> Iterable[str]:
    """Iterate over warnings about unmatched models, failed metrics and constant values."""
    if unmatched:
        more = f" and {len(unmatched) - 10} more" if len(unmatched) > 10 else ""
        names = ", ".join(map(str, unmatched[:10]))
        yield f"left out, in scores or truth only: {names}{more}"
    for name, column in values.items():
        failed = [m for m, value in zip(models, column, strict=True) if math.isnan(value)]
        if failed:
            yield f"{name} has no score for {', '.join(failed)}, which count as last"
        if len(set(column[~np.isnan(column)])) < 2:
            yield f"{name} is the same for all models and orders nothing"
    if np.ptp(truth) == 0:
        yield "the truth is the same for all models: there is no order to agree with"


def _read_truth(value: object, model: str) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"truth of {model!r} is {value!r}; leave out what is not known")
    return number
