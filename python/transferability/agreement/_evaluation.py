"""Rankings against what models are really worth: agreement, its uncertainty, what it hinges on."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import agreement
from .._metric.score import json_ready
from ..errors import DataError, TransferabilityWarning

__all__ = ["MEASURES", "Comparison", "Evaluation"]

Array = NDArray[np.float64]

#: What an evaluation measures by name; each takes scores and truth.
MEASURES: dict[str, Callable[..., float]] = {
    "weighted_tau": agreement.weighted_tau,
    "kendall_tau": agreement.kendall_tau,
    "spearman": agreement.spearman,
    "pearson": agreement.pearson,
    "rel_at_1": agreement.rel_at_k,
    "regret": agreement.regret,
    "rel_acc": agreement.rel_acc,
}


@dataclass(frozen=True)
class Comparison:
    """Two metrics by one measure: `difference` of first minus second, with its interval.

    `supported` is True where the interval leaves out 0; else the difference may be chance.
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
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        """Say it in a sentence."""
        first, second = self.first, self.second
        interval = f"{self.level:.0%} {self.low:.2f} to {self.high:.2f}"
        numbers = f"{self.measure} differs by {self.difference:+.3f}, {interval}"
        if math.isnan(self.difference) or math.isnan(self.low):
            return f"{first} and {second} cannot be compared: {self.measure} is not defined"
        verdict = "agree with the truth differently" if self.supported else "are not told apart"
        return f"{first} and {second} {verdict}: {numbers}"


@dataclass(frozen=True, repr=False, eq=False)
class Evaluation:
    """How well the metrics of a ranking agree with the truth.

    Every measure is an attribute for the first metric, as in ``evaluation.weighted_tau``;
    ``evaluation["knn"]`` is the same for another one.

    Attributes
    ----------
    models : tuple of str
        Models with a truth, in the order of the ranking.
    metrics : tuple of str
        The first one is what the attributes are of.
    scores : dict of str to ndarray of shape (n_models,)
        By metric; NaN where it failed, which counts as last and for Pearson is left out.
    truth : ndarray of shape (n_models,)
        Higher is better.
    unmatched : tuple of str
        Models of the ranking or the truth that the other does not have.
    notes : tuple of str
        What deserves a second look, in whole sentences.

    Notes
    -----
    Intervals are percentiles of bootstrap resamples of the models, the same ones for all metrics.
    Models are few, so intervals are wide; and percentiles need no jackknife, whose acceleration
    a single model can send anywhere. Resamples without an order (one model drawn alone) are left
    out. SciPy's ``bootstrap`` draws for one statistic at a time; differences between metrics need
    the same draws.
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
    _drawn: dict[tuple[str, str], Array] = field(default_factory=dict)

    def __getitem__(self, metric: str) -> Evaluation:
        """Give the evaluation with another metric first."""
        self._check(metric, "measure")
        others = tuple(name for name in self.metrics if name != metric)
        return Evaluation(**{**self.__dict__, "metrics": (metric, *others)})

    def __getattr__(self, name: str) -> float:
        """Measure the first metric, as in ``evaluation.spearman``."""
        if name in MEASURES:
            return self._measured(name, self.metrics[0], slice(None))
        raise AttributeError(f"Evaluation has no {name!r}; it measures {', '.join(MEASURES)}")

    def rel_at(self, k: int) -> float:
        """Give the best truth among the first `k` models relative to the best of all."""
        return agreement.rel_at_k(self.scores[self.metrics[0]], self.truth, k, nan="last")

    def recall_at(self, k: int) -> float:
        """Give the share of the truly best `k` models among the first `k`."""
        return agreement.recall_at_k(self.scores[self.metrics[0]], self.truth, k, nan="last")

    def ci(self, name: str = "weighted_tau", level: float = 0.95) -> tuple[float, float]:
        """Give the bootstrap confidence interval of a measure.

        Parameters
        ----------
        name : str, default="weighted_tau"
            Of the measure, such as "spearman" or "regret".
        level : float, default=0.95
            In (0, 1).

        Returns
        -------
        low, high : float
            NaN where the measure is defined for fewer than half of the resamples.
        """
        return _percentiles(self._draws(name, self.metrics[0]), level)

    def leave_one_out(self, name: str = "weighted_tau") -> dict[str, float]:
        """Give a measure without each model in turn, to see on whom it hinges."""
        self._check(self.metrics[0], name)
        everyone = np.arange(len(self.models))
        return {
            model: self._measured(name, self.metrics[0], everyone[everyone != i])
            for i, model in enumerate(self.models)
        }

    def compare(
        self, first: str, second: str, name: str = "weighted_tau", level: float = 0.95
    ) -> Comparison:
        """Tell whether two metrics differ by a measure, from the same resamples of the models."""
        draws = self._draws(name, first) - self._draws(name, second)
        low, high = _percentiles(draws, level)
        values = [self._measured(name, metric, slice(None)) for metric in (first, second)]
        return Comparison(name, first, second, values[0] - values[1], low, high, level)

    def to_dict(self, level: float = 0.95) -> dict[str, Any]:
        """Give everything as plain Python, ready for JSON: NaN is None.

        Intervals and leave-one-out values are those of weighted tau.
        """
        by_metric = {}
        for metric in self.metrics:
            one = self[metric]
            by_metric[metric] = {name: getattr(one, name) for name in self._defined} | {
                "interval": one.ci(level=level),
                "leave_one_out": one.leave_one_out(),
            }
        comparisons = [
            {**c.__dict__, "supported": c.supported, "text": str(c)} for c in self._rivals(level)
        ]
        facts = {
            "models": self.models,
            "truth": self.truth,
            "rank": self.rank,
            "n_boot": self.n_boot,
            "seed": self.seed,
            "level": level,
            "metrics": by_metric,
            "comparisons": comparisons,
            "unmatched": self.unmatched,
            "notes": self.notes,
        }
        ready: dict[str, Any] = json_ready(facts)
        return ready

    def __repr__(self) -> str:
        """Show a table of metrics, and what can be told apart."""
        shown = ("kendall_tau", "pearson", "rel_at_1", "regret")
        names = [name for name in shown if name in self._defined]
        header = ["metric", "weighted tau", "95 %", "without one model", *names]
        rows = [header]
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
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if i else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        below = [*map(str, self._rivals(0.95)), *(f"Note: {text}" for text in self.notes)]
        title = f"Agreement with the truth of {len(self.models)} models, higher is better"
        return "\n".join([title, "", *lines, *([""] if below else []), *below])

    def _rivals(self, level: float) -> list[Comparison]:
        """Compare the first metric with each other one."""
        first, *others = self.metrics
        return [self.compare(first, other, level=level) for other in others]

    @property
    def _defined(self) -> list[str]:
        """Name the measures that this truth allows: Rel@k needs a positive best."""
        return [name for name in MEASURES if name != "rel_at_1" or self.truth.max() > 0]

    def _check(self, metric: str, name: str) -> None:
        if metric not in self.scores:
            raise DataError(f"there is no metric {metric!r}; there are {', '.join(self.metrics)}")
        if name not in MEASURES and name != "measure":
            raise DataError(f"there is no measure {name!r}; there are {', '.join(MEASURES)}")

    def _measured(self, name: str, metric: str, rows: Any) -> float:
        measure = MEASURES[name]
        if name == "weighted_tau":
            measure = partial(measure, rank=self.rank)
        x, y = self.scores[metric][rows], self.truth[rows]
        nan = "omit" if name == "pearson" else "last"
        if nan == "omit" and np.count_nonzero(~np.isnan(x)) < 2:
            return math.nan
        with warnings.catch_warnings():  # constant scores are said once, in the notes
            warnings.simplefilter("ignore", TransferabilityWarning)
            return measure(x, y, nan=nan)

    def _draws(self, name: str, metric: str) -> Array:
        """Measure resamples of the models, drawn alike for all metrics and measures."""
        self._check(metric, name)
        if (name, metric) not in self._drawn:
            n = len(self.models)
            draws = np.random.default_rng(self.seed).integers(0, n, size=(self.n_boot, n))
            # A regret or Rel@1 of one model drawn alone is defined, and says nothing.
            values = [
                self._measured(name, metric, rows) if np.ptp(rows) else math.nan for rows in draws
            ]
            self._drawn[name, metric] = np.array(values)
        return self._drawn[name, metric]


def _percentiles(draws: Array, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise DataError(f"level is {level}; it must lie between 0 and 1, such as 0.95")
    defined = draws[~np.isnan(draws)]
    if len(defined) < len(draws) / 2:
        return math.nan, math.nan
    low, high = np.quantile(defined, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
