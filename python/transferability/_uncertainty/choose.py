"""Choose the shortlist of a ranking from draws of the true scores of its models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from ..errors import DataError, DtypeError
from .mixture import CORRELATIONS, Posterior, Predictor
from .outlook import FACTORS, cover_best, expect_sizes, find_pair, find_rows_for_one
from .posterior import combine_members, count_wins, draw_members
from .predictor import learn_agreement, learn_prior_weights, read_numbers, standardise
from .shortlist import Shortlist

if TYPE_CHECKING:
    from .stability import Stability

__all__ = ["METHODS", "draw_truths", "make_shortlist", "read_agreement"]

Matrix = NDArray[np.float64]
METHODS = ("posterior", "hybrid")
_WORST = 0.99  # the worst-case regret is this quantile
_RELEVANT = 1e-3  # probability of being the best from which a model counts in forecasts of sizes


def make_shortlist(
    stability: Stability,
    confidence: float,
    method: str,
    prior: Mapping[str, float] | bool | None,
    past: object,
    agreement: object,
    seed: int,
) -> Shortlist:
    """Make the shortlist of some ranked models; see :meth:`Stability.shortlist`."""
    _check_confidence(confidence)
    check_choice("method", method, METHODS)
    names, notes = stability.names, list(stability.warnings)
    numbers = _read_prior(stability, prior)
    predictor = None
    if numbers is not None:
        values = standardise(numbers, names)
        if values is None:
            notes.append("the prior is the same for all models and orders nothing")
        else:
            predictor = Predictor(values, learn_prior_weights(past, numbers))
    elif past is not None:
        raise DataError("past teaches the weight of prior, which is missing; give prior too")
    members = stability.members
    posteriors = draw_members(members, stability.n_units, seed, predictor)
    draws = combine_members([posterior.draws for posterior in posteriors], stability.voting)
    metric_draws, rng = draws, np.random.default_rng([seed, 3])
    told = None if agreement is None else read_agreement(agreement, stability.metric)
    if told is not None:
        draws = draw_truths(draws, told, rng)
    first = count_wins(draws)[0]
    if method == "hybrid":
        chosen, probability = _choose_hybrid(names, numbers, draws)
    else:
        chosen, probability = cover_best(_break_infinite_ties(draws, rng), confidence)
    (regret, worst), set_regret = (_measure_regret(draws, own) for own in (chosen[:1], chosen))
    found = Shortlist(
        names=tuple(names[i] for i in chosen),
        metric=stability.metric,
        method=method,
        confidence=float(confidence),
        probability=probability,
        models=dict(zip(names, first.tolist(), strict=True)),
        scores=dict(zip(names, stability.scores.tolist(), strict=True)),
        regret=regret,
        worst_regret=worst,
        set_regret=set_regret[0],
        worst_set_regret=set_regret[1],
        n_units=stability.n_units,
        unit=stability.unit,
        prior=None if predictor is None else _correlate(metric_draws, predictor.values),
        agreement=None if told is None else float(np.dot(*told)),
        warnings=tuple(dict.fromkeys(notes)),
    )
    if len(chosen) == 1 or not np.isfinite(draws).all():
        return found
    forecast = told is None and method == "posterior"
    return _add_outlook(found, stability, posteriors, draws, first, forecast, seed)


def _check_confidence(confidence: object) -> None:
    if isinstance(confidence, bool) or not isinstance(confidence, (int, float, np.number)):
        raise DtypeError(f"confidence is {confidence!r}; give a number between 0 and 1")
    if not 0 < float(confidence) < 1:
        raise DataError(
            f"confidence is {confidence}; give a number between 0 and 1, both excluded, such as 0.9"
        )


def _read_prior(
    stability: Stability, prior: Mapping[str, float] | bool | None
) -> dict[str, float] | None:
    """Return the numbers of the prior: those given, else those of the ranking; False for none."""
    if prior is False:
        return None
    if prior is None or prior is True:
        if prior is None and not stability.prior:
            return None
        prior = stability.prior
    return read_numbers("prior", prior, stability.names)


def read_agreement(agreement: object, metric: str) -> tuple[Matrix, Matrix]:
    """Return correlations and their weights: one number, or several learnt from evaluations."""
    if isinstance(agreement, bool) or not isinstance(agreement, (int, float, np.number)):
        return CORRELATIONS, learn_agreement(agreement, metric)
    if not 0 < float(agreement) <= 1:
        raise DataError(
            f"agreement is {agreement}; give a correlation above 0 and up to 1, or evaluations"
        )
    return np.array([float(agreement)]), np.ones(1)


def draw_truths(
    draws: Matrix, agreement: tuple[Matrix, Matrix], rng: np.random.Generator
) -> Matrix:
    """Draw truths that correlate with the true scores, in the unit and spread of these.

    `agreement` has correlations and their weights.
    """
    correlations, weights = agreement
    rho = rng.choice(correlations, size=(len(draws), 1), p=weights)
    finite = np.isfinite(draws[0])
    own = draws[:, finite]
    middle, spread = own.mean(axis=1, keepdims=True), own.std(axis=1, keepdims=True)
    noise = np.sqrt(1 - rho**2) * spread * rng.standard_normal(own.shape)
    truths = draws.copy()
    truths[:, finite] = middle + rho * (own - middle) + noise
    return truths


def _choose_hybrid(
    names: Sequence[str], numbers: Mapping[str, float] | None, draws: Matrix
) -> tuple[list[int], float]:
    """Return the first by metric and the first by prior, and their probability."""
    if numbers is None:
        raise DataError("method='hybrid' takes the first by prior too; give prior")
    by_prior = max(range(len(names)), key=lambda i: (numbers[names[i]], -i))
    chosen = list(dict.fromkeys([0, by_prior]))
    holds = draws[:, chosen].max(axis=1) == draws.max(axis=1)
    return chosen, float(holds.mean())


def _break_infinite_ties(draws: Matrix, rng: np.random.Generator) -> Matrix:
    """Return draws in which one infinite score, at random, is the best: their order is unknown."""
    infinite = np.flatnonzero(np.isposinf(draws[0]))
    if len(infinite) < 2:
        return draws
    broken = draws.copy()
    broken[:, infinite] = np.finfo(np.float64).max / 2
    broken[np.arange(len(draws)), rng.choice(infinite, size=len(draws))] = np.inf
    return broken


def _measure_regret(draws: Matrix, chosen: Sequence[int]) -> tuple[float, float]:
    """Return the mean and the worst regret of the best of `chosen`; NaN with infinite scores."""
    best = draws.max(axis=1)
    if np.isinf(best).any():
        return math.nan, math.nan
    regret = best - draws[:, list(chosen)].max(axis=1)
    return float(regret.mean()), float(np.quantile(regret, _WORST))


def _correlate(draws: Matrix, values: Matrix) -> tuple[float, float, float]:
    """Return mean, 5 % and 95 % quantile of the correlation of standardised values with draws."""
    seen = np.isfinite(draws[0])
    own, values = draws[:, seen], values[seen] - values[seen].mean()
    off = own - own.mean(axis=1, keepdims=True)
    size = np.sqrt((off**2).sum(axis=1) * (values**2).sum())
    correlations = np.divide(off @ values, size, out=np.zeros(len(draws)), where=size > 0)
    correlations = np.clip(correlations, -1.0, 1.0)
    low, high = np.quantile(correlations, [0.05, 0.95])
    return float(correlations.mean()), float(low), float(high)


def _add_outlook(
    found: Shortlist,
    stability: Stability,
    posteriors: Sequence[Posterior],
    draws: Matrix,
    first: Matrix,
    forecast: bool,
    seed: int,
) -> Shortlist:
    """Add what would shrink a shortlist: fine-tuning two models, and more rows with `forecast`."""
    pair = find_pair(draws, stability.names, first)
    if pair is not None:
        found = replace(found, pair=pair.names, pair_regret=pair.regret, pair_bits=pair.bits)
    if not forecast:  # rows change neither the hybrid set nor how the truth differs from the metric
        return found
    own = np.flatnonzero(first >= _RELEVANT)
    parts = [
        replace(p, truths=p.truths[:, own], means=p.means[:, own], widths=p.widths[:, own])
        for p in posteriors
    ]
    voting = dict(stability.voting)
    if voting.get("errors") is not None:
        voting["errors"] = np.asarray(voting["errors"])[own]
    expected = expect_sizes(
        parts,
        [p.covariance[np.ix_(own, own)] for p in posteriors],
        [member["scores"][own] for member in stability.members],
        lambda members: combine_members(members, voting),
        found.confidence,
        seed,
    )
    totals = [math.ceil(stability.n_units * factor) for factor in FACTORS]
    return replace(
        found,
        sizes=dict(zip(totals, [size for size, _ in expected], strict=True)),
        units_needed=find_rows_for_one(stability.n_units, [chance for _, chance in expected]),
    )
