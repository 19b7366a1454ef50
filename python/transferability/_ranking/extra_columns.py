"""Columns of a ranking that depend on the models compared: Borda consensus, pooled metrics, priors.

Borda consensus: the vote of a metric for a model is the share of the other models that it beats; a
tie counts half. The consensus is the mean vote, (M - mean rank) / (M - 1) for M models. It depends
on ranks alone, so metrics of any scale combine.

A pooled metric is defined among models only, such as NCTI: its values are computed from the parts
of all models. A prior is a number known for each model before any features are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .._metric.derived import CONSENSUS, PRIOR
from .._metric.registry import spec_of
from .._metric.score import Score
from .._scoring.groups import pool_groups
from ..errors import DataError, DtypeError
from .row import Row

__all__ = [
    "add_consensus",
    "add_prior",
    "borda_shares",
    "compute_ranks",
    "pool_rows",
    "read_prior",
]

Matrix = NDArray[np.float64]


def pool_rows(rows: Iterable[Row], metrics: Iterable[str]) -> tuple[Row, ...]:
    """Compute the values that depend on all rows: pooled metrics, and the consensus if present.

    In a race, they depend on the models of the same last round.
    """
    rows, metrics = list(rows), list(metrics)
    return _by_round(rows, lambda own: _pool_round(own, metrics))


def _by_round(rows: Sequence[Row], change: Callable[[list[Row]], Iterable[Row]]) -> tuple[Row, ...]:
    """Return the rows, with those of each round of a race changed together."""
    found: dict[int, Row] = {}
    for number in dict.fromkeys(row.round for row in rows):
        places = [i for i, row in enumerate(rows) if row.round == number]
        found |= zip(places, change([rows[i] for i in places]), strict=True)
    return tuple(found[i] for i in range(len(rows)))


def _pool_round(rows: list[Row], metrics: Sequence[str]) -> tuple[Row, ...]:
    for metric in metrics:
        pool = spec_of(metric).pool
        scored = [i for i, row in enumerate(rows) if metric in row.scores]
        if pool is None or not scored:
            continue
        scores = [rows[i].scores[metric] for i in scored]
        if "per_group" in scores[0].details:
            scores = pool_groups(pool, scores)
        else:
            values = zip(pool(scores), scores, strict=True)
            scores = [score.replace(value=value) for value, score in values]
        for i, score in zip(scored, scores, strict=True):
            rows[i] = rows[i].replace(scores={**rows[i].scores, metric: score})
    members = {row.scores[CONSENSUS].members for row in rows if CONSENSUS in row.scores}
    return tuple(_add_round_consensus(rows, min(members)) if members else rows)


def add_consensus(rows: Iterable[Row], members: Sequence[str]) -> tuple[Row, ...]:
    """Add the Borda consensus of `members` to every row, as its first score.

    A model for which a member failed counts as last by that member. A row keeps its error only
    where every member failed. In a race, the models of the same last round are compared.
    """
    return _by_round(list(rows), lambda own: _add_round_consensus(own, members))


def _add_round_consensus(rows: Sequence[Row], members: Sequence[str]) -> list[Row]:
    shares = {}
    for member in members:
        values = np.array([[row.value(member) for row in rows]])
        shares[member] = borda_shares(np.where(np.isnan(values), -np.inf, values))[0].tolist()
    found: list[Row] = []
    for i, row in enumerate(rows):
        computed = [member for member in members if member in row.scores]
        if not computed:
            reason = row.error or f"none of {', '.join(members)} could be computed"
            found.append(row.replace(error=reason))
            continue
        own = {member: shares[member][i] for member in members}
        details = {"members": tuple(members), "shares": own}
        mean = sum(own.values()) / len(own)
        score = _derive(row.scores[computed[0]], CONSENSUS, mean, details)
        notes = row.notes
        if row.error is not None:
            missing = next(member for member in members if member not in row.scores)
            notes = tuple(dict.fromkeys((*notes, f"{missing} failed: {row.error}")))
        scores = {CONSENSUS: score, **{k: v for k, v in row.scores.items() if k != CONSENSUS}}
        found.append(row.replace(scores=scores, notes=notes, error=None))
    return found


def add_prior(rows: Iterable[Row], prior: Mapping[str, float]) -> tuple[Row, ...]:
    """Add the prior to the rows of the models that have one, as the last score."""
    found = []
    for row in rows:
        value = prior.get(row.name)
        if value is not None and row.scores:
            score = _derive(next(iter(row.scores.values())), PRIOR, value, {})
            row = row.replace(scores={**row.scores, PRIOR: score})
        found.append(row)
    return tuple(found)


def read_prior(prior: object, models: Iterable[str]) -> dict[str, float]:
    """Validate a mapping of model names to finite numbers."""
    if not isinstance(prior, Mapping):
        raise DtypeError(f"prior must be a mapping of model names to numbers, got {type(prior)}")
    known = list(models)
    unknown = [name for name in prior if name not in known]
    if unknown:
        raise DataError(
            f"prior has {unknown[0]!r}, which is no model here; there are {', '.join(known[:10])}"
        )
    values: dict[str, float] = {}
    for name, value in prior.items():
        try:
            values[name] = float(value)
        except (TypeError, ValueError):
            advice = "give a number, higher for better"
            raise DtypeError(f"prior[{name!r}] is {value!r}; {advice}") from None
        if not math.isfinite(values[name]):
            raise DataError(f"prior[{name!r}] is {value!r}; give a finite number or leave it out")
    if not values:
        raise DataError("prior is empty; give a number for at least one model")
    return values


def _derive(score: Score, metric: str, value: float, details: Mapping[str, object]) -> Score:
    """Return the score of a derived column; the facts about the data are those of `score`."""
    return score.replace(
        value=value, metric=metric, targets=(), per_target=np.empty(0), warnings=(), details=details
    )


def compute_ranks(scores: Matrix) -> Matrix:
    """Return the rank of each model, row by row of (n, M); 1 is the best, ties share their mean."""
    ranks = np.full(scores.shape, 0.5)
    for other in scores.T[:, :, None]:
        ranks += (other > scores) + 0.5 * (other == scores)
    return ranks


def borda_shares(scores: Matrix) -> Matrix:
    """Return the share of the other models that each model beats, row by row of (n, M)."""
    n_models = scores.shape[1]
    if n_models == 1:
        return np.full(scores.shape, 0.5)
    shares: Matrix = (n_models - compute_ranks(scores)) / (n_models - 1)
    return shares
