"""RaceReport: what happened in a race, round by round."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from dataclasses import dataclass
from typing import Any, cast

from .._metric.score import json_ready
from .._util.notebook import to_html
from .race_options import Race

__all__ = ["RaceReport", "RaceRound"]


@dataclass(frozen=True)
class RaceRound:
    """One round of a race, in which all models are scored on the same rows.

    Attributes
    ----------
    n_samples : int
        Number of these rows.
    models : tuple of str
        The models that were scored.
    dropped : dict of str to float
        The models that left after the round, with the probability that they are among the top.
    """

    __module__ = "transferability"

    n_samples: int
    models: tuple[str, ...]
    dropped: Mapping[str, float]


@dataclass(frozen=True, repr=False)
class RaceReport:
    """The record of a race, as ``ranking.race``.

    Attributes
    ----------
    options : Race
        The options of the race.
    rounds : tuple of RaceRound
        The rounds, with the rows that were read, the models, and those dropped.
    finalists : tuple of str
        The models that were not dropped.
    stopped : str
        Reason for the end of the race.
    n_samples : int
        Rows of the data.
    passes, passes_without : int
        Rows that went through models (forward passes), and those of all models without a race.
    risk : float
        Posterior probability that the best model was dropped, added up over the race and doubled:
        of many close models the best is lost twice as often as the posterior says.
    losses : float
        Expected share of the true top that was dropped, added up over the race.
    first : dict of str to float
        Posterior probability of each finalist to be the best of the finalists on all rows; empty if
        all rows were read, or nothing could be estimated.
    """

    __module__ = "transferability"

    options: Race
    rounds: tuple[RaceRound, ...]
    finalists: tuple[str, ...]
    stopped: str
    n_samples: int
    passes: int
    passes_without: int
    risk: float
    losses: float
    first: Mapping[str, float]

    @property
    def passes_saved(self) -> int:
        """Forward passes that the race saved."""
        return self.passes_without - self.passes

    @property
    def summary(self) -> str:
        """The race in one sentence."""
        share = self.passes / self.passes_without
        return (
            f"race of {_count(self.rounds, 'round')}, {self.stopped}: "
            f"{_count(self.finalists, 'finalist')} on {self.rounds[-1].n_samples:,} of "
            f"{self.n_samples:,} rows; {self.passes:,} of {self.passes_without:,} forward passes "
            f"({share:.0%}); the best was dropped with an estimated probability of {self.risk:.1%}"
        )

    def __repr__(self) -> str:
        """Return the rounds as text."""
        lines = [self.summary]
        for i, one in enumerate(self.rounds, start=1):
            gone = ", ".join(one.dropped) or "none"
            models = _count(one.models, "model")
            lines.append(f"round {i}: {one.n_samples:,} rows, {models}; dropped: {gone}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the rounds as a table for notebooks."""
        body = [
            [f"{i}", f"{one.n_samples:,}", f"{len(one.models)}", ", ".join(one.dropped) or "none"]
            for i, one in enumerate(self.rounds, start=1)
        ]
        return to_html(self.summary, ["round", "rows", "models", "dropped"], body, left={3})

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain Python, ready for JSON."""
        facts = {
            **self.__dict__,
            "options": self.options.__dict__,
            "rounds": [one.__dict__ for one in self.rounds],
            "passes_saved": self.passes_saved,
        }
        return cast("dict[str, Any]", json_ready(facts))


def _count(found: Sized, noun: str) -> str:
    return f"{len(found)} {noun}{'' if len(found) == 1 else 's'}"
