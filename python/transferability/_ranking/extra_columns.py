"""Columns of a ranking that are no metrics: the consensus of several, and what was known before.

The consensus of a model is the share of the other models that it beats, a tie counting half, as the
mean over the member metrics: (M - mean rank) / (M - 1) for M models. It depends on ranks alone, so
metrics of any scale combine; and on the models that are compared, so it belongs to a ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .._metric.derived import CONSENSUS, PRIOR
from .._metric.score import Score
from ..errors import DataError, DtypeError

if TYPE_CHECKING:
    from .ranking import Row

__all__ = ["CONSENSUS", "PRIOR", "read_prior", "with_consensus", "with_prior"]


def with_consensus(rows: Iterable[Row], members: Sequence[str]) -> list[Row]:
    """Give every row the consensus of `members`; a member that failed for a model counts as last.

    A row keeps its error where no member could be computed for it, and only then.
    """
    rows = list(rows)
    shares = {member: _beaten([row.value(member) for row in rows]) for member in members}
    found: list[Row] = []
    for i, row in enumerate(rows):
        having = [member for member in members if member in row.scores]
        if not having:
            reason = row.error or f"none of {', '.join(members)} could be computed"
            found.append(replace(row, error=reason))
            continue
        own = {member: shares[member][i] for member in members}
        facts = row.scores[having[0]].__dict__ | {
            "metric": CONSENSUS,
            "targets": (),
            "per_target": np.empty(0),
            "warnings": (),
            "details": {"members": tuple(members), "shares": own},
        }
        score = Score(sum(own.values()) / len(own), **facts)
        notes = row.notes
        if row.error is not None:
            missing = next(member for member in members if member not in row.scores)
            notes = tuple(dict.fromkeys((*notes, f"{missing} failed: {row.error}")))
        scores = {CONSENSUS: score, **{k: v for k, v in row.scores.items() if k != CONSENSUS}}
        found.append(replace(row, scores=scores, notes=notes, error=None))
    return found


def with_prior(rows: Iterable[Row], prior: Mapping[str, float]) -> list[Row]:
    """Give rows what is known of their models already, as one more column."""
    found = []
    for row in rows:
        value = prior.get(row.name)
        if value is not None and row.scores:
            facts = next(iter(row.scores.values())).__dict__ | {
                "metric": PRIOR,
                "targets": (),
                "per_target": np.empty(0),
                "warnings": (),
                "details": {},
            }
            row = replace(row, scores={**row.scores, PRIOR: Score(value, **facts)})
        found.append(row)
    return found


def read_prior(prior: object, models: Iterable[str]) -> dict[str, float]:
    """Check a mapping of model names to finite numbers."""
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
            raise DtypeError(
                f"prior[{name!r}] is {value!r}; give a number, higher for better"
            ) from None
        if not abs(values[name]) < float("inf"):
            raise DataError(f"prior[{name!r}] is {value!r}; give a finite number or leave it out")
    if not values:
        raise DataError("prior is empty; give a number for at least one model")
    return values


def _beaten(values: Sequence[float]) -> list[float]:
    """Give for each value the share of the others below it; NaN is below all numbers."""
    numbers = [value if value == value else -float("inf") for value in values]
    if len(numbers) < 2:
        return [0.5] * len(numbers)

    def share(value: float) -> float:
        below = sum(other < value for other in numbers)
        ties = sum(other == value for other in numbers) - 1
        return (below + ties / 2) / (len(numbers) - 1)

    return [share(value) for value in numbers]
