"""How sure an order is: draw what the true scores may be from resamples, and count."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from .._metric.derived import CONSENSUS, PRIOR
from .._metric.registry import plan
from .._metric.score import issue
from ..errors import DataError, DtypeError
from .bootstrap import METHODS, Noise, from_left_out, of_models, raised, values_of
from .posterior import chances, posterior, ranks_of
from .resample import Units, leave_one_out
from .stability import Stability

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._stats.stats import Stats

__all__ = ["of_ranking", "of_shards"]

Matrix = NDArray[np.float64]
_DRAWS = 4000  # orders that probabilities are counted over: 0.8 % of standard error at most


def of_ranking(
    ranking: Ranking,
    n_boot: int,
    groups: object,
    method: str,
    metric: str | None,
    level: float,
    seed: int,
) -> Stability:
    """Do what :meth:`Ranking.stability` says."""
    _check(n_boot, level, seed)
    check_choice("method", method, METHODS)
    metric = ranking.metrics[0] if metric is None else metric
    check_choice("metric", metric, ranking.metrics)
    if metric == PRIOR:
        raise DataError("a prior is not computed from rows, so there is nothing to resample")
    having = [row for row in ranking.rows if metric in row.scores]
    members: tuple[str, ...] = (metric,)
    if metric == CONSENSUS and having:
        members = having[0].scores[CONSENSUS].members
        having = [row for row in having if {*members} <= {*row.scores}]
    rows = sorted(having, key=lambda row: (-row.value(metric), row.name))
    if len(rows) < 2:
        raise DataError(f"{len(rows)} models have a {metric}; an order needs at least 2")
    names = [row.name for row in rows]
    every = [of_models(ranking.plan, rows, m, n_boot, groups, method, seed) for m in members]
    if metric != CONSENSUS:
        return _judged(names, metric, every[0], level, seed)
    # Each member's scores are drawn and resampled for itself, on the same rows, and votes then.
    drawn = np.mean([_beaten(_draws(noise, seed)) for noise in every], axis=0)
    votes = np.mean([_beaten(noise.scores + noise.noise) for noise in every], axis=0)
    scores = np.mean([_beaten(noise.scores[None])[0] for noise in every], axis=0)
    notes = tuple(dict.fromkeys(text for noise in every for text in noise.notes))
    if len(rows) < len(ranking.rows):
        notes += (f"{len(ranking.rows) - len(rows)} models lack a member and were left out",)
    together = Noise(
        scores,
        votes - votes.mean(axis=0),
        np.cov(votes.T),
        votes.mean(axis=0) - scores,
        ", ".join(dict.fromkeys(noise.method for noise in every)),
        every[0].units,
        notes,
    )
    return _judged(names, metric, together, level, seed, drawn)


def of_shards(
    shards: Mapping[str, Sequence[Stats]],
    metric: str,
    n_boot: int,
    level: float,
    seed: int,
    options: Mapping[str, Any],
) -> Stability:
    """Do what :meth:`Stability.from_shards` says."""
    counts = {len(states) for states in shards.values()}
    if len(shards) < 2 or len(counts) != 1 or min(counts) < 3:
        raise DataError(
            f"shards must hold at least 2 models with at least 3 shards each, the same for "
            f"all; got {len(shards)} models with {sorted(counts)} shards"
        )
    first = next(iter(shards.values()))
    for name, states in shards.items():
        for i, (ours, theirs) in enumerate(zip(first, states, strict=True)):
            if (ours.task, ours.n_samples) != (theirs.task, theirs.n_samples):
                raise DataError(f"shard {i} of {name!r} is not of the same rows as the first's")
    _check(n_boot, level, seed)
    scatters = all(stats.class_scatters for states in shards.values() for stats in states)
    provided = {"stats", "class_scatters"} if scatters else {"stats"}
    request = plan([metric], first[0].task, options, provided)[0]
    by_model = {}
    for name, states in shards.items():
        whole = sum(states[1:], start=states[0]).outcomes(request)[metric]
        left = leave_one_out(states, lambda stats: stats.outcomes(request)[metric])
        by_model[name] = [raised(score, name) for score in (whole, *left)]
    values = values_of(metric, list(by_model.values()))
    names = sorted(by_model, key=lambda name: (-values[[*by_model].index(name), 0], name))
    values = values[[[*by_model].index(name) for name in names]]
    units = Units(np.arange(min(counts)), min(counts), "groups")
    noise = from_left_out(values[:, 0], values[:, 1:], units, n_boot, seed)
    return _judged(names, metric, noise, level, seed)


def _judged(
    names: Sequence[str],
    metric: str,
    noise: Noise,
    level: float,
    seed: int,
    drawn: Matrix | None = None,
) -> Stability:
    """Draw what the true scores may be, and count."""
    draws = _draws(noise, seed) if drawn is None else drawn
    first, pairwise = chances(draws)
    low, high = (1 - level) / 2, (1 + level) / 2
    places = np.quantile(ranks_of(draws), (low, high), axis=0, method="inverted_cdf")
    ties: list[list[int]] = []
    for i in range(len(names)):
        if ties and pairwise[ties[-1][0], i] < level:
            ties[-1].append(i)
        else:
            ties.append([i])
    notes = list(noise.notes)
    if noise.units.n_units < 10:
        notes.append(
            f"{noise.units.n_units} {noise.units.kind} are few to tell how much scores vary from "
            f"one to the next"
        )
    issue(notes)
    return Stability(
        names=tuple(names),
        metric=metric,
        scores=noise.scores,
        standard_errors=np.sqrt(np.diag(noise.covariance)),
        intervals=noise.scores[:, None] + np.quantile(noise.noise, (low, high), axis=0).T,
        ranks=np.stack([np.floor(places[0]), np.ceil(places[1])], axis=1).astype(np.int64),
        first=dict(zip(names, first.tolist(), strict=True)),
        pairwise=pairwise,
        ties=tuple(tuple(names[i] for i in tie) for tie in ties),
        replicates=noise.scores + noise.noise,
        bias=noise.bias,
        method=noise.method,
        unit=noise.units.kind,
        n_units=noise.units.n_units,
        level=level,
        warnings=tuple(notes),
    )


def _draws(noise: Noise, seed: int) -> Matrix:
    """Draw true scores, (n_draws, M); unbounded ones stay so."""
    draws = np.tile(noise.scores, (max(_DRAWS, len(noise.noise)), 1))
    finite = np.flatnonzero(np.isfinite(noise.scores))
    if len(finite) > 1:
        draws[:, finite] = posterior(
            noise.scores[finite],
            noise.noise[:, finite],
            noise.covariance[np.ix_(finite, finite)],
            noise.units.n_units,
            len(draws),
            seed,
        )
    return draws


def _beaten(values: Matrix) -> Matrix:
    """Give the share of the other models that each one beats, in every row."""
    shares: Matrix = (values.shape[1] - ranks_of(values)) / (values.shape[1] - 1)
    return shares


def _check(n_boot: object, level: object, seed: object) -> None:
    for name, value, least in (("n_boot", n_boot, 20), ("seed", seed, 0)):
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise DtypeError(f"{name} is {value!r}; give a whole number") from None
        if number < least:
            raise DataError(f"{name} is {number}; give at least {least}")
    if not isinstance(level, (int, float)) or not 0.5 <= level < 1 or math.isnan(level):
        raise DataError(f"level is {level!r}; give a number from 0.5 to below 1, such as 0.9")
