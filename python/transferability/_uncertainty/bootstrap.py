"""How scores of ranked models vary over the rows: one set of resamples for all of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._metric.registry import spec_of
from .._metric.score import Score
from .._scoring.groups import read_groups, summary
from ..errors import DataError
from .resample import Units, blocks, exact, jackknife, row_influences

if TYPE_CHECKING:
    from .._ranking.ranking import Planned, Row

__all__ = ["METHODS", "Noise", "from_left_out", "of_models", "raised", "values_of"]

Matrix = NDArray[np.float64]
METHODS = ("first-order", "exact", "jackknife")
_CHECKS = 4  # exact resamples of the two best models that first-order ones are compared with
_FAR = 0.5  # how far these may be off, relative to their spread
_MANY = 20  # rows for each feature from which on first order needs no check
_AT_ONCE = 8  # as in rank
_ROUGH = (
    "on a few exact resamples the gap of the two best models came out unlike that to first order, "
    "as with few rows for the features: take probabilities and errors as rough"
)


@dataclass(frozen=True, eq=False)
class Noise:
    """Scores (M,), resampled ones (n_boot, M) less their mean, their covariance (M, M), and how."""

    scores: Matrix
    noise: Matrix
    covariance: Matrix
    bias: Matrix
    method: str
    units: Units
    notes: tuple[str, ...] = ()


def of_models(
    planned: Planned | None,
    rows: Sequence[Row],
    metric: str,
    n_boot: int,
    groups: object,
    method: str,
    seed: int,
) -> Noise:
    """Resample one metric of the models in `rows`, whose ranking was `planned`."""
    if planned is None or any(row.inputs is None for row in rows):
        raise DataError(
            "this ranking does not know its features (it was unpickled, or made of Stats, or by "
            "rank_models without keep_features=True and a cache); rank features in this process, "
            "or use Stability.from_shards"
        )
    n_samples = planned.target.n_samples
    if planned.groups is not None and planned.groups.aggregate != "pooled":
        if groups is not None:
            raise DataError(
                "groups: these scores are aggregates over groups already, and those are resampled"
            )
        return _of_groups(rows, metric, planned.groups.aggregate, n_boot, seed)
    given_groups = read_groups(groups, n_samples) or planned.groups
    units = Units(np.arange(n_samples), n_samples, "rows")
    if given_groups is not None:
        units = Units(given_groups.codes, len(given_groups.names), "groups")
    _check_units(units)
    common = {**planned.common, "stop": _core.Stop()}
    options = planned.requests[metric]
    scores = np.array([row.value(metric) for row in rows])

    def each(job: Callable[[Row, Any], Any], chosen: Sequence[Row] = rows) -> list[Any]:
        return _side_by_side(job, chosen, common)

    def first_order(row: Row, given: Any) -> Matrix | None:
        value = row.value(metric)
        if not math.isfinite(value):
            return np.zeros(n_samples)
        return row_influences(given, metric, options, common, value)

    if method == "first-order" and spec_of(metric).pool is None:
        found = each(first_order)
        if all(one is not None for one in found):
            influences = np.stack([units.sums(one) for one in found], axis=1)
            noise = _linear(scores, influences, units, n_boot, seed)
            notes: tuple[str, ...] = ()
            widest = max(row.n_features or 1 for row in rows[:2])
            checked = "samples" not in spec_of(metric).needs
            if checked and n_samples < _MANY * widest:
                again = each(
                    lambda row, given: exact(
                        given, metric, options, common, units, _CHECKS, seed + 1
                    ),
                    rows[:2],
                )
                checks = np.stack([*units.draws(_CHECKS, seed + 1)]) - 1
                notes = _compared(again, checks @ influences[:, :2], noise.covariance)
            return Noise(**{**noise.__dict__, "notes": notes})
    if method != "exact":
        if units.kind == "rows":
            units = blocks(planned.target, seed)
        left = each(lambda row, given: jackknife(given, metric, options, common, units))
        values = values_of(
            metric,
            [[raised(s, row.name) for s in own] for own, row in zip(left, rows, strict=True)],
        )
        return from_left_out(scores, values, units, n_boot, seed)
    again = each(lambda row, given: exact(given, metric, options, common, units, n_boot, seed))
    return _from_scores(scores, metric, again, units)


def _side_by_side(
    job: Callable[[Row, Any], Any], rows: Sequence[Row], common: Mapping[str, Any]
) -> list[Any]:
    """Call `job` on each row and its features, as ``rank`` does; Ctrl-C ends those under way."""

    def one(row: Row) -> Any:
        assert row.inputs is not None, "callers have checked"
        return job(row, row.inputs())

    workers = min(int(common["n_threads"]), len(rows), _AT_ONCE)
    if workers == 1:
        return [one(row) for row in rows]
    pool = ThreadPoolExecutor(workers, "transferability")
    try:
        return list(pool.map(one, rows))
    except BaseException:
        common["stop"].set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _linear(scores: Matrix, influences: Matrix, units: Units, n_boot: int, seed: int) -> Noise:
    """Resample scores that are sums of the influences (n_units, M) of what they are of."""
    n = units.n_units
    # Units drawn from n vary by (n - 1)/n of what units drawn from all there are do.
    scale = math.sqrt(n / (n - 1))
    noise = np.empty((n_boot, len(scores)))
    for b, count in enumerate(units.draws(n_boot, seed)):
        noise[b] = scale * ((count - 1) @ influences)
    noise -= noise.mean(axis=0)
    centred = scale * (influences - influences.mean(axis=0))
    bias = np.zeros(len(scores))
    return Noise(scores, noise, centred.T @ centred, bias, "first-order", units)


def from_left_out(scores: Matrix, values: Matrix, units: Units, n_boot: int, seed: int) -> Noise:
    """Resample from the scores (M, n_units) without each unit: the jackknife's covariance."""
    n = units.n_units
    finite = np.where(np.isfinite(values), values, 0.0)
    influences = (n - 1) / n * (finite.mean(axis=1, keepdims=True) - finite).T
    noise = _linear(scores, influences, units, n_boot, seed)
    return Noise(**{**noise.__dict__, "method": "jackknife"})


def _from_scores(
    scores: Matrix, metric: str, again: Sequence[Sequence[Score | Exception]], units: Units
) -> Noise:
    """Take the scores of every model on every resample."""
    n_boot = len(again[0])
    failed = {
        b: str(own[b]) if isinstance(own[b], Exception) else f"the score is {float(own[b])}"  # type: ignore[arg-type]
        for own, score in zip(again, scores, strict=True)
        for b in range(n_boot)
        if isinstance(own[b], Exception) or (math.isfinite(score) and math.isinf(own[b]))  # type: ignore[arg-type]
    }
    usable = [b for b in range(n_boot) if b not in failed]
    if len(usable) < n_boot / 2:
        raise DataError(
            f"{len(failed)} of {n_boot} exact resamples have no finite score (such as: "
            f'{next(iter(failed.values()))}); use method="first-order"'
        )
    notes: tuple[str, ...] = ()
    if len(usable) < n_boot:
        notes = (f"{n_boot - len(usable)} of {n_boot} resamples have no score and were left out",)
    kept: list[list[Any]] = [[own[b] for b in usable] for own in again]
    return _centred(scores, values_of(metric, kept).T, units, "exact", notes)


def _centred(
    scores: Matrix, values: Matrix, units: Units, method: str, notes: tuple[str, ...] = ()
) -> Noise:
    """Take resampled scores (n_boot, M) about their mean; what that is off by is the bias."""
    values = np.where(np.isfinite(scores), values, 0.0)
    mean = values.mean(axis=0)
    noise = math.sqrt(units.n_units / (units.n_units - 1)) * (values - mean)
    bias = np.where(np.isfinite(scores), mean - scores, 0.0)
    return Noise(scores, noise, np.atleast_2d(np.cov(noise.T)), bias, method, units, notes)


def _of_groups(rows: Sequence[Row], metric: str, aggregate: str, n_boot: int, seed: int) -> Noise:
    """Resample the groups that scores are aggregates of: their scores are known."""
    each = [row.scores[metric].per_group for row in rows]
    names = [name for name in each[0] if all(name in own for own in each)]
    units = Units(np.arange(len(names)), len(names), "groups")
    _check_units(units)
    values = np.array([[float(own[name]) for name in names] for own in each])
    total = summary(aggregate)
    drawn = [np.repeat(np.arange(len(names)), count) for count in units.draws(n_boot, seed)]
    again = np.array([[total(own[chosen].tolist()) for own in values] for chosen in drawn])
    most = max(len(own) for own in each)
    notes: tuple[str, ...] = ()
    if len(names) < most:
        notes = (f"{most - len(names)} of {most} groups have no {metric} for every model",)
    scores = np.array([row.value(metric) for row in rows])
    return _centred(scores, again, units, "groups", notes)


def _compared(
    again: Sequence[Sequence[Score | Exception]], linear: Matrix, covariance: Matrix
) -> tuple[str, ...]:
    """Compare the gap of the two best models on a few exact resamples with that to first order."""
    if not all(isinstance(score, Score) for own in again for score in own):
        return ("some exact resamples that were tried as a check have no score",)
    if not all(math.isfinite(score) for own in again for score in own):  # type: ignore[arg-type]
        return (_ROUGH,)
    gaps = np.diff(np.array([[float(s) for s in own] for own in again]), axis=0)[0]  # type: ignore[arg-type]
    off = gaps - np.diff(linear.T, axis=0)[0]
    spread = math.sqrt(max(float(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]), 0.0))
    return () if off.std(ddof=1) <= _FAR * spread else (_ROUGH,)


def values_of(metric: str, scores: Sequence[Sequence[Score]]) -> Matrix:
    """Give the values of models' scores, (M, n); those that are defined among models, so."""
    pool = spec_of(metric).pool
    if pool is None:
        return np.array([[float(score) for score in own] for own in scores])
    return np.array([pool(of_all) for of_all in zip(*scores, strict=True)]).T


def raised(score: Score | Exception, name: str) -> Score:
    """Give the score; an exception says whose it is."""
    if isinstance(score, Exception):
        raise DataError(f"{name!r} without some of its rows: {score}") from score
    return score


def _check_units(units: Units) -> None:
    if units.n_units < 3:
        raise DataError(f"there are {units.n_units} {units.kind} to resample; give at least 3")
