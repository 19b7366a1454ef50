"""Race models by their features: read the rows of a round, and score them and their halves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features
from .._inputs.inputs import Inputs
from .._inputs.target import Target
from .._metric.score import Score
from .._ranking.row import Row, RowBuilder, ScoringPlan, evaluate_available
from .._scoring.evaluate import evaluate
from .._util.parallel import map_in_threads
from .._util.progress import Progress, progress_bar
from ..errors import DataError, TransferabilityError
from ..io._shards import FeatureSource, iterate_blocks
from .race_options import Race
from .report import RaceReport
from .rounds import Contest, Deciders, Measured, Sample, choose_deciders, run_race

__all__ = ["FeatureRacer", "score_halves", "take_rows"]

Rows = NDArray[np.intp]
Outcome = Score | Exception


@dataclass(frozen=True, eq=False)
class FeatureRacer:
    """A race of models whose features are at hand.

    `read` returns the inputs of a model for all rows; `metrics` are those that the caller chose.
    """

    read: Callable[[str], Inputs]
    plan: ScoringPlan
    metrics: str | Sequence[str]
    progress: Progress

    @property
    def deciders(self) -> Deciders:
        """The metrics by which models are dropped."""
        return choose_deciders(self.metrics, self.plan.requests)

    def run(self, names: Sequence[str], race: Race) -> tuple[tuple[Row, ...], RaceReport, Target]:
        """Run the race; return the rows of all models, the report, and the finalists' labels."""
        target = self.plan.target
        contest = Contest(target, tuple(self.plan.requests), self.deciders, race)
        rows, report, used = run_race(names, self._score_round, contest)
        return rows, report, target if len(used) == target.n_samples else target.take(used)

    def _score_round(self, names: Sequence[str], sample: Sample) -> list[Measured]:
        stop = self.plan.settings.stop
        assert stop is not None, "rank sets it"
        score = functools.partial(self._score_model, sample=sample)
        with progress_bar(self.progress, len(names)) as advance:

            def report(n_done: int, name: str) -> None:
                advance(n_done, len(names), name)

            return map_in_threads(score, names, self.plan.settings.threads, stop, report)

    def _score_model(self, name: str, sample: Sample) -> Measured:
        plan, members = self.plan, self.deciders.metrics
        halves: dict[str, list[tuple[Outcome, Outcome]]] = {}
        with RowBuilder(name, plan.requests, plan.target.warnings) as builder:
            given = self._take(name, sample)
            builder.shape, builder.notes = given.shape, given.notes
            run = functools.partial(evaluate, settings=plan.settings)
            builder.outcomes = evaluate_available(given, plan.requests, run)
            if sample.halves:
                halves = score_halves(given, plan, members, sample)
        if not halves:  # it failed before
            failed = DataError(f"{name!r} could not be scored")
            halves = {member: [(failed, failed)] * len(sample.halves) for member in members}
        reload = functools.partial(self._take_in_memory, name, sample)
        return Measured(builder.build().replace(inputs=reload), halves)

    def _take(self, name: str, sample: Sample) -> Inputs:
        given = self.read(name)
        return given if sample.is_whole else take_rows(given, sample.rows)

    def _take_in_memory(self, name: str, sample: Sample) -> Inputs:
        return self._take(name, sample).in_memory()


def score_halves(
    given: Inputs, plan: ScoringPlan, members: Sequence[str], sample: Sample
) -> dict[str, list[tuple[Outcome, Outcome]]]:
    """Score both halves of every pair by the deciding metrics; failures are exceptions."""
    requests = {member: plan.requests[member] for member in members}
    given = given.in_memory()

    def score(half: Rows) -> Mapping[str, Outcome]:
        try:
            part = _drop_constant(given.take(half))
            return evaluate_available(
                part, requests, functools.partial(evaluate, settings=plan.settings)
            )
        except TransferabilityError as error:
            return dict.fromkeys(requests, error)

    found = [(score(one), score(other)) for one, other in sample.halves]
    return {member: [(one[member], other[member]) for one, other in found] for member in requests}


def take_rows(given: Inputs, rows: Rows) -> Inputs:
    """Return some rows of all inputs; of features in files, only these rows are kept in memory."""
    if given.files is not None:
        assert isinstance(given.files, FeatureSource), "the only source of rows"
        array, notes = as_features(_read_rows(given.files, rows))
        columns = given.files.columns
        given = replace(given, files=None, notes=given.notes + notes, columns=columns)
        return _drop_constant(replace(given.take(rows), features=array))
    return _drop_constant(given.take(rows))


def _drop_constant(given: Inputs) -> Inputs:
    """Remove the columns of several labels that are constant in these rows."""
    return replace(given, target=given.target.without_constant())


def _read_rows(source: FeatureSource, rows: Rows) -> NDArray[np.generic]:
    """Read rows, given in order, block by block."""
    parts, done = [], 0
    for features, _ in iterate_blocks(source.shards):
        first, last = np.searchsorted(rows, [done, done + len(features)])
        parts.append(features[rows[first:last] - done])
        done += len(features)
    return np.concatenate(parts)
