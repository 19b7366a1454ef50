"""Columns of a ranking that depend on the models compared: consensus, pooled metrics, priors.

Borda consensus: the vote of a metric for a model is the share of the other models that it beats; a
tie counts half. The consensus is the mean vote, (M - mean rank) / (M - 1) for M models. It depends
on ranks alone, so metrics of any scale combine.

Soft ties: one member decides every pair of models, but a pair that is closer than its standard
error is shared with the other members. A gap of g with a standard error of s counts g/s by the
member that decides, at most 1, and the rest by the others.

A member that is undefined for a model (NaN, or +inf where the evidence is unbounded) leaves that
model, and pairs with it, to the other members.

A pooled metric is defined among models only, such as NCTI: its values are computed from the parts
of all models. A prior is a number known for each model before any features are read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from .._inputs.by_name import as_mapping, select_models
from .._metric.derived import CONSENSUS, PRIOR
from .._metric.registry import is_diagnostic, known_specs, spec_of
from .._metric.score import Score
from .._scoring.groups import pool_groups
from ..errors import DataError, DtypeError
from .pareto import read_costs
from .row import Row

__all__ = [
    "add_consensus",
    "add_prior",
    "borda_shares",
    "check_columns",
    "choose_decider",
    "choose_members",
    "count_votes",
    "pool_rows",
    "read_prior",
    "standard_errors",
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
    derived = [row.scores[CONSENSUS].details for row in rows if CONSENSUS in row.scores]
    if not derived:
        return tuple(rows)
    return tuple(_add_round_consensus(rows, derived[0]["members"], derived[0].get("decider")))


def add_consensus(
    rows: Iterable[Row], members: Sequence[str], decider: str | None = None
) -> tuple[Row, ...]:
    """Add the consensus of `members` to every row, as its first score: Borda, or soft ties.

    A model for which a member failed counts as last by that member. A row keeps its error only
    where every member failed. In a race, the models of the same last round are compared.
    """
    return _by_round(list(rows), lambda own: _add_round_consensus(own, members, decider))


def _add_round_consensus(
    rows: Sequence[Row], members: Sequence[str], decider: str | None
) -> list[Row]:
    values = {
        member: np.array(
            [[row.value(member) if member in row.scores else -math.inf for row in rows]]
        )
        for member in members
    }
    shares = {member: borda_shares(scores)[0].tolist() for member, scores in values.items()}
    errors = None if decider is None else standard_errors(rows, decider)
    votes = count_votes(values, decider, errors)[0].tolist()
    found: list[Row] = []
    for i, row in enumerate(rows):
        computed = [member for member in members if member in row.scores]
        if not computed:
            reason = row.error or f"none of {', '.join(members)} could be computed"
            found.append(row.replace(error=reason))
            continue
        own = {m: shares[m][i] for m in members if not math.isnan(shares[m][i])}
        details: dict[str, object] = {"members": tuple(members), "shares": own}
        if errors is not None:
            details |= {"decider": decider, "standard_error": float(errors[i])}
        score = _derive(row.scores[computed[0]], CONSENSUS, votes[i], details)
        undefined = [f"{m} is {row.value(m)} here and has no vote" for m in members if m not in own]
        notes = tuple(dict.fromkeys((*row.notes, *undefined)))
        if row.error is not None:
            missing = next(member for member in members if member not in row.scores)
            notes = tuple(dict.fromkeys((*notes, f"{missing} failed: {row.error}")))
        scores = {CONSENSUS: score, **{k: v for k, v in row.scores.items() if k != CONSENSUS}}
        found.append(row.replace(scores=scores, notes=notes, error=None))
    return found


def choose_members(
    columns: Sequence[str], members: Sequence[str] | None, decider: str | None
) -> list[str]:
    """Validate the members of a consensus; by default all columns but priors and diagnostics."""
    voting = [name for name in columns if not is_diagnostic(name)]
    chosen = [name for name in voting if name != PRIOR] if members is None else list(members)
    for member in chosen:
        if member not in columns:
            raise DataError(f"members has {member!r}; this ranking has {', '.join(columns)}")
        if member not in voting:
            raise DataError(
                f"members has {member!r}, a diagnostic of features that has no vote on transfer; "
                f"choose from {', '.join(voting) or 'other metrics'}"
            )
    if not chosen:
        raise DataError("members is empty; name at least one metric of this ranking")
    if decider is not None and decider not in chosen:
        raise DataError(f"decider is {decider!r}; choose from the members {', '.join(chosen)}")
    return chosen


def choose_decider(members: Sequence[str]) -> str | None:
    """Return the member that decides the consensus of "recommended", which has standard errors."""
    deciders = [name for name in members if spec_of(name).standard_error is not None]
    return deciders[0] if deciders and len(members) > 1 else None


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
    """Validate a mapping of model names, or a pandas series, to finite numbers."""
    numbers = as_mapping("prior", prior)
    if numbers is None:
        raise DtypeError(f"prior must be a mapping of model names to numbers, got {type(prior)}")
    values: dict[str, float] = {}
    for name, value in select_models("prior", numbers, models).items():
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


def check_columns(
    models: Iterable[str],
    prior: Mapping[str, float] | None,
    costs: Mapping[str, Mapping[str, float]] | None,
) -> None:
    """Raise before any model is scored if its prior or its costs are wrong."""
    if prior is not None:
        read_prior(prior, models)
    if costs is not None:
        read_costs(costs, models)


def _derive(score: Score, metric: str, value: float, details: Mapping[str, object]) -> Score:
    """Return the score of a derived column; the facts about the data are those of `score`."""
    return score.replace(
        value=value, metric=metric, targets=(), per_target=np.empty(0), warnings=(), details=details
    )


def borda_shares(scores: Matrix) -> Matrix:
    """Return the share of the other models that each model beats, row by row of (n, M).

    An undefined score, NaN or +inf, has no share (NaN) and is no opponent.
    """
    defined = scores < np.inf  # False for NaN
    beaten, opponents = np.zeros(scores.shape), np.zeros(scores.shape)
    for other, valid in zip(scores.T[:, :, None], defined.T[:, :, None], strict=True):
        beaten += valid * ((scores > other) + 0.5 * (scores == other))
        opponents += valid
    beaten, opponents = beaten - 0.5, opponents - 1  # but for the model itself
    shares: Matrix = np.full(scores.shape, 0.5)
    np.divide(beaten, opponents, out=shares, where=opponents > 0)
    shares[~defined] = np.nan
    return shares


def count_votes(
    members: Mapping[str, Matrix], decider: str | None = None, errors: Matrix | None = None
) -> Matrix:
    """Return the consensus of the members' scores, row by row; each is (n, M).

    Borda, or, with a member that decides and its standard errors (M,), with soft ties. A model
    without any vote gets 0.
    """
    if decider is None or errors is None:
        shares = [borda_shares(scores) for scores in members.values()]
        return _mean_defined(shares)
    own = members[decider]
    others = [scores for member, scores in members.items() if member != decider]
    n_models = own.shape[1]
    if n_models == 1:
        return np.full(own.shape, 0.5)
    total, opponents = np.zeros(own.shape), np.zeros(own.shape)
    for j in range(n_models):
        shared = [_pair_votes(scores, scores[:, [j]]) for scores in others]
        rest = _mean_defined(shared, missing=np.nan) if shared else np.full(own.shape, np.nan)
        direct = _pair_votes(own, own[:, [j]])
        # Two failures are a tie; without a standard error any gap decides.
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.abs(own - own[:, [j]]) / np.hypot(errors, errors[j])
        weight = np.minimum(np.nan_to_num(weight, nan=0.0, posinf=1.0), 1.0)
        weight = np.where(np.isnan(direct), 0.0, np.where(np.isnan(rest), 1.0, weight))
        vote = weight * np.nan_to_num(direct) + (1 - weight) * np.nan_to_num(rest)
        valid = ~(np.isnan(direct) & np.isnan(rest))
        valid[:, j] = False
        total += np.where(valid, vote, 0.0)
        opponents += valid
    votes: Matrix = np.divide(total, opponents, out=np.zeros(own.shape), where=opponents > 0)
    return votes


def standard_errors(rows: Sequence[Row], member: str) -> Matrix:
    """Return the standard error of each row's score by a member, (M,); 0 where it failed."""
    standard_error = spec_of(member).standard_error
    if standard_error is None:
        raise DataError(
            f"decider is {member!r}, which has no standard error; choose "
            f"{', '.join(m for m, spec in known_specs().items() if spec.standard_error)}"
        )
    scores = [row.scores.get(member) for row in rows]
    return np.array([0.0 if score is None else standard_error(score) for score in scores])


def _pair_votes(scores: Matrix, other: Matrix) -> Matrix:
    """Return 1 where a model beats another one, 1/2 for a tie, NaN where one is undefined."""
    votes = (scores > other) + 0.5 * (scores == other)
    return np.where((scores < np.inf) & (other < np.inf), votes, np.nan)


def _mean_defined(parts: Sequence[Matrix], missing: float = 0.0) -> Matrix:
    """Return the mean over the parts that are not NaN; `missing` where all are."""
    stacked = np.stack(parts)
    counts = (~np.isnan(stacked)).sum(axis=0)
    total = np.nansum(stacked, axis=0)
    mean: Matrix = np.divide(total, counts, out=np.full(total.shape, missing), where=counts > 0)
    return mean
