"""Bootstrap of the scores of ranked models over their shared rows.

All models share the resamples. There are three methods: to first order, by the influence function
of the score at every row; exactly, with a new score for every resample; and by the jackknife, for
metrics without influence functions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._inputs.inputs import Inputs
from .._inputs.rows import check_rows, has_row_index
from .._metric.registry import spec_of
from .._metric.score import Score
from .._ranking.row import Row, ScoringPlan
from .._scoring.evaluate import Settings, evaluate
from .._scoring.groups import read_groups, summary
from .._util.parallel import map_in_threads
from ..errors import DataError
from .influence import (
    collect_values,
    compute_jackknife_influences,
    compute_weight_derivatives,
    score_left_out_units,
)
from .units import ResamplingUnits, make_blocks

__all__ = ["METHODS", "BootstrapResult", "GapCheck", "resample_linearly", "resample_scores"]

Matrix = NDArray[np.float64]
METHODS = ("first-order", "exact", "jackknife")
_N_CHECKS = 4  # exact resamples of the two best models, to check the first-order ones
_FAR = 0.5  # tolerated error of the first-order gaps on these, in standard errors of the gap
_MANY = 20  # rows per feature from which the first order needs no check


@dataclass(frozen=True)
class GapCheck:
    """The first-order gap between the two best models, checked on a few exact resamples."""

    names: tuple[str, str]
    gap: float  # difference of the scores, at least 0
    error: float  # its standard error to first order
    off: float  # standard deviation of exact minus first-order gaps; inf if a score is not finite

    def judge(self, level: float) -> str | None:
        """Return a warning if the two models are told apart at `level` to first order alone.

        That is where the deviation of the exact resamples would make them a tie. Where they are a
        tie anyway, or far apart, it changes nothing that anybody reads from the ranking.
        """
        if self.off <= _FAR * self.error:
            return None
        needed = NormalDist().inv_cdf(level)
        first, exact = (
            _divide(self.gap, e) for e in (self.error, math.hypot(self.error, self.off))
        )
        if not exact < needed <= first:
            return None
        best, second = self.names
        with_exact = f"and {exact:.1f} with the deviation of a few exact resamples from it"
        if math.isinf(self.off):
            with_exact = "but some exact resamples, tried as a check, have no finite score"
        return (
            f"the gap between {best} and {second} is {first:.1f} standard errors to first order, "
            f"{with_exact}, as it happens with few rows per feature: take the two as tied"
        )


@dataclass(frozen=True, eq=False)
class BootstrapResult:
    """Resampled scores of M models."""

    scores: Matrix  # on all rows, (M,)
    noise: Matrix  # resampled scores minus their mean, (n_boot, M)
    covariance: Matrix  # of the scores, (M, M)
    bias: Matrix  # mean of the resampled scores minus the scores, (M,); 0 to first order
    method: str  # one of METHODS, or "groups" for scores aggregated over groups
    units: ResamplingUnits
    notes: tuple[str, ...] = ()  # warnings, in whole sentences
    checks: tuple[GapCheck, ...] = ()  # of the first order; one for each member of a consensus

    @property
    def n_units(self) -> int:
        """Units that tell the covariance: fewer than there are, if resamples tell it."""
        if self.method in ("exact", "groups"):
            return round(1 / (1 / self.units.n_units + 1 / len(self.noise)))
        return self.units.n_units


def resample_scores(
    plan: ScoringPlan | None,
    rows: Sequence[Row],
    metric: str,
    n_boot: int,
    groups: object,
    method: str,
    seed: int,
) -> BootstrapResult:
    """Resample one metric of ranked models, which were scored as in `plan`.

    "first-order" falls back to the jackknife for metrics without influence functions.
    """
    if plan is None or any(row.inputs is None for row in rows):
        raise DataError(
            "this ranking does not know its features (it was unpickled, or made of Stats, or of "
            "ensembles by their members, or by rank_models without keep_features=True and a "
            "cache); rank features in this process, or use Stability.from_shards"
        )
    n_samples = plan.target.n_samples
    if plan.groups is not None and plan.groups.aggregate != "pooled":
        if groups is not None:
            reason = "these scores are aggregates over groups already, and those are resampled"
            raise DataError(f"groups: {reason}")
        return _resample_groups(rows, metric, plan.groups.aggregate, n_boot, seed)
    if has_row_index(groups) and rows[0].inputs is not None:
        check_rows(rows[0].inputs().index, groups=groups)
    chosen = read_groups(groups, n_samples) or plan.groups
    if chosen is None:
        units = ResamplingUnits(np.arange(n_samples), n_samples, "rows")
    else:
        units = ResamplingUnits(chosen.codes, len(chosen.names), "groups")
    _check_units(units)
    resampler = _Resampler(plan, rows, metric, units, n_boot, seed)
    if method == "exact":
        return resampler.resample_exactly()
    linear = method == "first-order" and spec_of(metric).pool is None
    found = resampler.resample_to_first_order() if linear else None
    return resampler.resample_by_jackknife() if found is None else found


def resample_linearly(
    scores: Matrix,
    influences: Matrix,
    units: ResamplingUnits,
    n_boot: int,
    seed: int,
    method: str = "first-order",
) -> BootstrapResult:
    """Resample scores (M,) to first order, from the influences (n_units, M) of the units."""
    scale = _inflation(units)
    noise = np.array(
        [scale * ((count - 1) @ influences) for count in units.draw_counts(n_boot, seed)]
    )
    noise -= noise.mean(axis=0)
    centred = scale * (influences - influences.mean(axis=0))
    bias = np.zeros(len(scores))
    return BootstrapResult(scores, noise, centred.T @ centred, bias, method, units)


@dataclass(frozen=True, eq=False)
class _Resampler:
    """One metric of ranked models, to be computed on resamples of their rows."""

    plan: ScoringPlan
    rows: Sequence[Row]
    metric: str
    units: ResamplingUnits
    n_boot: int
    seed: int
    stop: _core.Stop = field(default_factory=_core.Stop)

    @property
    def scores(self) -> Matrix:
        """Scores of the models on all rows, (M,)."""
        return np.array([row.value(self.metric) for row in self.rows])

    @property
    def request(self) -> tuple[str, Mapping[str, Any], Settings]:
        """The metric, its kernel options, and the settings of the ranking with `stop`."""
        settings = replace(self.plan.settings, stop=self.stop)
        return self.metric, self.plan.requests[self.metric], settings

    def resample_to_first_order(self) -> BootstrapResult | None:
        """Resample by influence functions; None if the score of a model has none.

        With few rows per feature the result is checked against a few exact resamples.
        """
        n_samples = self.plan.target.n_samples

        def influence(row: Row, given: Inputs) -> Matrix | None:
            value = row.value(self.metric)
            if not math.isfinite(value):
                return np.zeros(n_samples)
            return compute_weight_derivatives(given, *self.request, value)

        found = self._map(influence, self.rows)
        if any(one is None for one in found):
            return None
        influences = np.stack([self.units.sum_rows(one) for one in found], axis=1)
        result = resample_linearly(self.scores, influences, self.units, self.n_boot, self.seed)
        widest = max(row.n_features or 1 for row in self.rows[:2])
        if "samples" in spec_of(self.metric).needs or n_samples >= _MANY * widest:
            return result
        request = (_N_CHECKS, self.seed + 1)
        exact = self._map(lambda row, given: self._rescore(given, *request), self.rows[:2])
        counts = np.stack([*self.units.draw_counts(*request)])
        check = self._check_gap(exact, (counts - 1) @ influences[:, :2], result.covariance)
        return replace(result, checks=(check,))

    def resample_by_jackknife(self) -> BootstrapResult:
        """Resample by influences from the jackknife; single rows are merged into blocks."""
        units = self.units
        if units.kind == "rows":
            units = make_blocks(self.plan.target, self.seed)
        request = (*self.request, units)
        left = self._map(lambda row, given: score_left_out_units(given, *request), self.rows)
        values = collect_values(self.metric, [row.name for row in self.rows], left)
        parts = (self.scores, compute_jackknife_influences(values), units)
        return resample_linearly(*parts, self.n_boot, self.seed, "jackknife")

    def resample_exactly(self) -> BootstrapResult:
        """Compute the scores of every resample; resamples without a score are left out."""
        n_boot, scores = self.n_boot, self.scores
        again = self._map(lambda row, given: self._rescore(given, n_boot, self.seed), self.rows)
        failed: dict[int, str] = {}
        for own, whole in zip(again, scores, strict=True):
            for b, score in enumerate(own):
                if isinstance(score, Exception):
                    failed[b] = str(score)
                elif math.isfinite(whole) and math.isinf(score):
                    failed[b] = f"the score is {float(score)}"
        usable = [b for b in range(n_boot) if b not in failed]
        if len(usable) < n_boot / 2:
            raise DataError(
                f"{len(failed)} of {n_boot} exact resamples have no finite score (such as: "
                f'{next(iter(failed.values()))}); use method="first-order"'
            )
        note = f"{len(failed)} of {n_boot} resamples have no score and were left out"
        names = [row.name for row in self.rows]
        values = collect_values(self.metric, names, [[own[b] for b in usable] for own in again])
        return _centre(scores, values.T, self.units, "exact", (note,) if failed else ())

    def _map(self, function: Callable[[Row, Inputs], Any], rows: Sequence[Row]) -> list[Any]:
        """Return the results of `function` for each row and its inputs, in parallel."""

        def call(row: Row) -> Any:
            assert row.inputs is not None, "resample_scores has checked"
            return function(row, row.inputs())

        return map_in_threads(call, rows, self.plan.settings.threads, self.stop)

    def _check_gap(
        self, exact: Sequence[Sequence[Score | Exception]], linear: Matrix, covariance: Matrix
    ) -> GapCheck:
        """Compare the gap of the two best models between exact and first-order resamples.

        `linear` (n_resamples, 2) are the first-order changes of their scores.
        """
        best, second = self.rows[:2]
        variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
        gap, off = float(self.scores[0] - self.scores[1]), math.inf
        values = [[float(s) if isinstance(s, Score) else math.nan for s in own] for own in exact]
        if np.isfinite(values).all():
            off = float((np.diff(values, axis=0)[0] - np.diff(linear.T, axis=0)[0]).std(ddof=1))
        return GapCheck((best.name, second.name), gap, math.sqrt(max(float(variance), 0.0)), off)

    def _rescore(self, given: Inputs, n_boot: int, seed: int) -> list[Score | Exception]:
        """Return the score on each resample, with its rows repeated."""
        metric, options, settings = self.request
        halves = "samples" in spec_of(metric).needs
        positions = np.arange(given.target.n_samples)
        found = []
        for count in self.units.draw_counts(n_boot, seed, halves):
            repeats = np.minimum(count, 1) if halves else count
            part = given.take(np.repeat(positions, repeats[self.units.codes]))
            found.append(evaluate(part, {metric: {**options}}, settings)[metric])
        return found


def _resample_groups(
    rows: Sequence[Row], metric: str, aggregate: str, n_boot: int, seed: int
) -> BootstrapResult:
    """Resample the groups whose scores were aggregated, without new scores."""
    each = [row.scores[metric].per_group for row in rows]
    names = [name for name in each[0] if all(name in own for own in each)]
    units = ResamplingUnits(np.arange(len(names)), len(names), "groups")
    _check_units(units)
    values = np.array([[float(own[name]) for name in names] for own in each])
    total = summary(aggregate)
    drawn = [np.repeat(np.arange(len(names)), count) for count in units.draw_counts(n_boot, seed)]
    again = np.array([[total(own[chosen].tolist()) for own in values] for chosen in drawn])
    most = max(len(own) for own in each)
    note = f"{most - len(names)} of {most} groups have no {metric} for every model"
    scores = np.array([row.value(metric) for row in rows])
    return _centre(scores, again, units, "groups", (note,) if len(names) < most else ())


def _centre(
    scores: Matrix, values: Matrix, units: ResamplingUnits, method: str, notes: tuple[str, ...]
) -> BootstrapResult:
    """Return resampled scores (n_boot, M) as noise about their mean, and their bias."""
    values = np.where(np.isfinite(scores), values, 0.0)
    mean = values.mean(axis=0)
    noise = _inflation(units) * (values - mean)
    bias = np.where(np.isfinite(scores), mean - scores, 0.0)
    covariance = np.atleast_2d(np.cov(noise.T))
    return BootstrapResult(scores, noise, covariance, bias, method, units, notes)


def _divide(gap: float, error: float) -> float:
    """Return a gap in units of its error; without an error it is infinite, or 0 without a gap."""
    return gap / error if error > 0 else math.inf if gap > 0 else 0.0


def _inflation(units: ResamplingUnits) -> float:
    """Return the factor that makes bootstrap variances, (n - 1)/n of the true ones, unbiased."""
    return math.sqrt(units.n_units / (units.n_units - 1))


def _check_units(units: ResamplingUnits) -> None:
    if units.n_units < 3:
        raise DataError(f"there are {units.n_units} {units.kind} to resample; give at least 3")
