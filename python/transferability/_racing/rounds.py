"""Run a race: score the models that are left on growing prefixes of the rows, and drop some.

All models of a round are scored on the same rows; scores of different rows are never compared. A
dropped model keeps the scores of its last round, and stands below all models of later rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._inputs.target import Target
from .._metric.registry import metric_names, spec_of
from .._metric.score import Score
from .._ranking.extra_columns import (
    add_consensus,
    choose_decider,
    count_votes,
    pool_rows,
    standard_errors,
)
from .._ranking.row import Row
from .decide import (
    Allowance,
    Odds,
    choose_drops,
    compute_odds,
    forecast_scores,
    share_savings,
)
from .order import count_rounds, draw_halves, order_rows, stratify
from .race_options import Race
from .report import RaceReport, RaceRound

__all__ = ["Measured", "Sample", "run_race"]

Outcome = Score | Exception
Rows = NDArray[np.intp]
Matrix = NDArray[np.float64]
_MIN_SHARE = 0.5  # of the halves must have a score for a model to be judged


@dataclass(frozen=True)
class Sample:
    """The rows of a round, sorted; pairs of complementary halves of them, as positions in `rows`.

    `added` are the rows that the last round had not. Without decisions to make there are no halves.
    """

    number: int
    rows: Rows
    added: Rows
    halves: Sequence[tuple[Rows, Rows]]
    is_whole: bool  # whether these are all rows of the data


@dataclass(frozen=True)
class Measured:
    """A model's row of a round, and its scores of each half by deciding metric."""

    row: Row
    halves: Mapping[str, Sequence[tuple[Outcome, Outcome]]] = field(default_factory=dict)


#: Scores some models on a sample; returns their rows in the same order.
ScoreRound = Callable[[Sequence[str], Sample], Sequence[Measured]]


class Deciders(NamedTuple):
    """The metrics by which models are dropped: the first one, or the members of a consensus."""

    metrics: tuple[str, ...]
    is_consensus: bool
    decider: str | None = None  # the member that decides, in a consensus with soft ties


@dataclass(frozen=True)
class Contest:
    """The subject of a race: labels, metrics, deciding metrics and options."""

    target: Target
    metrics: tuple[str, ...]
    deciders: Deciders
    race: Race


def choose_deciders(metrics: str | Sequence[str], requests: Mapping[str, Any]) -> Deciders:
    """Return the deciding metrics of a ranking by `metrics`, which computes `requests`."""
    if metrics == "recommended":
        members = tuple(name for name in metric_names(metrics) if name in requests)
        return Deciders(members, True, choose_decider(members))
    return Deciders((next(iter(requests)),), False)


def run_race(
    names: Sequence[str], score_round: ScoreRound, contest: Contest
) -> tuple[tuple[Row, ...], RaceReport, Rows]:
    """Race the models; return their rows, the report, and the rows of the last round.

    An exception of `score_round` ends the race.
    """
    runner = _Runner(names, score_round, contest)
    runner.run()
    return runner.finish()


class _Runner:
    """The state of a race."""

    def __init__(self, names: Sequence[str], score_round: ScoreRound, contest: Contest) -> None:
        target, race = contest.target, contest.race
        self._names, self._score_round, self._race = tuple(names), score_round, race
        self._metrics, self._n_all = contest.metrics, target.n_samples
        self._members, self._is_consensus, self._decider = contest.deciders
        self._strata = stratify(target)
        self._order = order_rows(self._strata, race.seed)
        self._sizes = count_rounds(target, race.first, race.growth, race.max_samples)
        if len(self._names) <= race.top:  # nothing to drop
            self._sizes = self._sizes[-1:]
        self._alive = list(self._names)
        self._rows: dict[str, Row] = {}
        self._rounds: list[RaceRound] = []
        self._allowance = Allowance(1 - race.confidence, race.level * race.top)
        self._passes, self._used = 0, np.empty(0, dtype=np.intp)
        self._odds: dict[str, float] = {}
        self._start, self._stopped = time.perf_counter(), ""

    def run(self) -> None:
        """Run rounds until the top is settled, or the rows or the time end."""
        for n_rows in self._sizes:
            if self._is_out_of_time(n_rows):
                self._stopped = "out of time"
                return
            self._run_round(n_rows)
            if not self._alive:
                self._stopped = "no model is left"
                return
            if len(self._alive) <= self._race.top < len(self._names):
                self._stopped = "the top is settled"
                return
        most = "all rows" if self._sizes[-1] == self._n_all else "max_samples"
        self._stopped = f"{most} read"

    def finish(self) -> tuple[tuple[Row, ...], RaceReport, Rows]:
        """Return the rows of all models, the report, and the rows of the last round."""
        report = RaceReport(
            options=self._race,
            rounds=tuple(self._rounds),
            finalists=tuple(self._alive),
            stopped=self._stopped,
            n_samples=self._n_all,
            passes=self._passes,
            passes_without=len(self._names) * self._sizes[-1],
            risk=self._allowance.spent_best,
            losses=self._allowance.spent_top / self._race.top,
            first=self._odds,
        )
        return tuple(self._rows[name] for name in self._names), report, self._used

    def _is_out_of_time(self, n_rows: int) -> bool:
        """Return whether a round up to `n_rows` would probably end after the time budget.

        The first round is always run.
        """
        if self._race.seconds is None or not self._rounds:
            return False
        spent = time.perf_counter() - self._start
        passes = len(self._alive) * (n_rows - len(self._used))
        return spent * (1 + passes / self._passes) > self._race.seconds

    def _run_round(self, n_rows: int) -> None:
        sample = self._sample(n_rows)
        measured = self._score_round(self._alive, sample)
        self._passes += len(self._alive) * len(sample.added)
        self._used = sample.rows
        rows = pool_rows([one.row for one in measured], self._metrics)
        if self._is_consensus:
            rows = add_consensus(rows, self._members, self._decider)
        for row in rows:
            earlier = self._rows.get(row.name)
            seconds = row.seconds + (0.0 if earlier is None else earlier.seconds)
            self._rows[row.name] = row.replace(round=sample.number, seconds=seconds)
        models = tuple(self._alive)
        scored = [i for i, row in enumerate(rows) if row.error is None]
        if scored or sample.is_whole:  # a metric may need more rows, for any model
            for i, row in enumerate(rows):
                if i not in scored:
                    self._alive.remove(row.name)
        dropped = self._drop([measured[i] for i in scored], [rows[i] for i in scored], sample)
        self._rounds.append(RaceRound(n_rows, models, dropped))

    def _sample(self, n_rows: int) -> Sample:
        rows = np.sort(self._order[:n_rows])
        added = np.sort(self._order[len(self._used) : n_rows])
        is_whole = n_rows == self._n_all
        decides = not is_whole and len(self._alive) > 1
        halves = draw_halves(self._strata[rows], self._race.seed) if decides else []
        return Sample(len(self._rounds) + 1, rows, added, halves, is_whole)

    def _drop(
        self, measured: Sequence[Measured], rows: Sequence[Row], sample: Sample
    ) -> dict[str, float]:
        """Drop models after a round; return their probabilities of being among the top."""
        self._odds = {}
        if not sample.halves or len(rows) < 2:
            return {}
        judged, odds = self._judge(measured, rows, len(sample.rows))
        if odds is None:
            return {}
        part, top = share_savings(self._sizes, sample.number), self._race.top
        found: dict[str, float] = {}
        for i in choose_drops(odds, self._allowance, part, top):
            row = rows[judged[i]]
            found[row.name] = float(odds.top[i])
            self._alive.remove(row.name)
            reason = (
                f"dropped in round {sample.number} on {len(sample.rows):,} rows: among the top "
                f"{top} with probability {_percent(found[row.name])}"
            )
            notes = (reason, *row.notes)
            own = self._rows[row.name]
            self._rows[row.name] = own.replace(dropped=reason, notes=notes, inputs=None)
        left = [i for i, j in enumerate(judged) if rows[j].name not in found]
        total = float(odds.best[left].sum())
        if total > 0:
            self._odds = {rows[judged[i]].name: float(odds.best[i]) / total for i in left}
        return found

    def _judge(
        self, measured: Sequence[Measured], rows: Sequence[Row], n_rows: int
    ) -> tuple[list[int], Odds | None]:
        """Return the models with scores of the rows and of most halves, and their odds.

        A model whose score is infinite, or undefined for most halves, is not judged: it stays.
        """
        scores = [np.array([row.value(member) for row in rows]) for member in self._members]
        halves = [_collect_halves(member, measured) for member in self._members]
        known = np.ones(len(rows), dtype=bool)
        for own, parts in zip(scores, halves, strict=True):
            defined = np.isfinite(parts).all(axis=2).mean(axis=1)
            known &= np.isfinite(own) & (defined >= _MIN_SHARE)
        judged = np.flatnonzero(known).tolist()
        if len(judged) < 2:
            return judged, None
        settings = (n_rows, self._n_all, self._race.top, self._race.seed)
        draws = [
            forecast_scores(own[judged], parts[judged], *settings)
            for own, parts in zip(scores, halves, strict=True)
        ]
        found = [own for own in draws if own is not None]
        if len(found) < len(draws):
            return judged, None
        if not self._is_consensus:
            return judged, compute_odds(found[0], self._race.top)
        errors = None
        if self._decider is not None:  # those of scores on all rows
            errors = standard_errors([rows[i] for i in judged], self._decider)
            errors *= (n_rows / self._n_all) ** 0.5
        values = dict(zip(self._members, found, strict=True))
        return judged, compute_odds(count_votes(values, self._decider, errors), self._race.top)


def _collect_halves(metric: str, measured: Sequence[Measured]) -> Matrix:
    """Return the scores of the halves, (M, n_pairs, 2), NaN where one is undefined."""
    pairs = [[score for pair in one.halves[metric] for score in pair] for one in measured]
    pool = spec_of(metric).pool
    if pool is None:
        values = [[_to_float(score) for score in own] for own in pairs]
    else:
        columns = []
        for column in zip(*pairs, strict=True):
            known = [score for score in column if isinstance(score, Score)]
            complete = len(known) == len(column)
            columns.append(pool(known) if complete else [np.nan] * len(column))
        values = [list(own) for own in zip(*columns, strict=True)]
    return np.array(values, dtype=np.float64).reshape(len(measured), -1, 2)


def _to_float(score: Outcome) -> float:
    return float(score) if isinstance(score, Score) else np.nan


def _percent(share: float) -> str:
    return "below 0.1%" if share < 0.001 else f"{share:.1%}"
