"""Race models that are run: each round extracts the features of its new rows only.

A round of a model is a job on these rows, so the cache keeps it, and a race that is killed loses
the round of the model that is running. The features of all rounds of a model, in the order of the
data, are scored as in a race of features.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._data.data import Data
from .._inputs.inputs import Inputs, read_inputs, to_probabilities
from .._inputs.target import Target
from .._metric.registry import spec_of
from .._racing.features import score_halves
from .._racing.race_options import Race
from .._racing.report import RaceReport
from .._racing.rounds import Contest, Deciders, Measured, Outcome, Sample, run_race
from .._ranking.row import Row, ScoringPlan, build_stats_row
from .._stats.stats import Stats
from .._util.cache import Cache
from ..errors import DataError
from .costs import add_up_costs, read_costs_of
from .job import FEATURES, OUTPUTS, Job, JobResult
from .layer_scores import LayerScoringPlan, add_up_cuts, note_layer, select_layer
from .progress import Sweep

__all__ = ["ModelRacer", "check_race"]

Rows = NDArray[np.intp]
#: Runs a job, and scores its result with a function; any failure becomes the error of the row.
RunJob = Callable[[Job, Callable[[Job, JobResult], Row]], Row]
#: Rows that are accumulated together, as in an extraction of all rows.
_BLOCK = 512


def check_race(data: Data, n_rows: int | None) -> None:
    """Raise DataError unless every item is one row of features."""
    if n_rows != len(data) or data.is_token or data.bags is not None:
        raise DataError(
            "a race draws items with one label each; it cannot race on words, pixels or bags, "
            "so leave out race"
        )


@dataclass(eq=False)
class ModelRacer:
    """A race of models that are run on raw data; `jobs` are those for all rows, by model."""

    jobs: Mapping[str, Job]
    scoring: LayerScoringPlan
    plan: ScoringPlan
    deciders: Deciders
    run_job: RunJob
    sweep: Sweep
    _parts: dict[str, list[tuple[Rows, JobResult]]] = field(default_factory=dict)

    def run(self, race: Race) -> tuple[tuple[Row, ...], RaceReport, Target]:
        """Run the race; return the rows of all models, the report, and the finalists' labels."""
        target = self.plan.target
        contest = Contest(target, tuple(self.scoring.requests), self.deciders, race)
        rows, report, used = run_race([*self.jobs], self._score_round, contest)
        return rows, report, target.take(used)

    def _score_round(self, names: Sequence[str], sample: Sample) -> list[Measured]:
        self.sweep.start_round(len(names))
        data = next(iter(self.jobs.values())).data.select(sample.added.tolist())
        part: dict[str, Any] = {"data": data, "digest": data.digest(), "n_rows": len(data)}
        return [self._score_model(replace(self.jobs[name], **part), sample) for name in names]

    def _score_model(self, job: Job, sample: Sample) -> Measured:
        halves: dict[str, list[tuple[Outcome, Outcome]]] = {}

        def score(job: Job, result: JobResult) -> Row:
            self._parts.setdefault(job.name, []).append((sample.added, result))
            row, given = self._score_layers(job, sample.rows)
            if sample.halves:
                halves.update(score_halves(given, self.plan, self.deciders.metrics, sample))
            return row

        return Measured(self.run_job(job, score), halves)

    def _score_layers(self, job: Job, rows: Rows) -> tuple[Row, Inputs]:
        """Score every layer on all rows so far; return the row and inputs of the selected one."""
        parts = self._parts[job.name]
        shared = self._take_shared(rows)
        found, inputs, facts = {}, {}, {}
        for layer in parts[-1][1].keys:
            read = functools.partial(_read_layer, job.cache, [*parts], layer, shared)
            inputs[layer] = read()
            row = self._score_layer(job, inputs[layer])
            facts[layer] = _read_facts(job.cache, parts, layer)
            features = inputs[layer].features
            assert features is not None, "jobs of a race keep features"
            is_dead = bool((features == features[:1]).all())
            sizes = (len(rows) for rows, _ in parts)
            costs = add_up_costs(zip(sizes, map(read_costs_of, facts[layer]), strict=True))
            found[layer] = row.replace(
                notes=(*note_layer(job, add_up_cuts(facts[layer]), is_dead), *row.notes),
                inputs=read if job.is_kept else None,
                costs=costs,
            )
        layers = {name: str(own[-1]["layer"]) for name, own in facts.items()}
        metrics, aggregate = tuple(self.scoring.requests), self.scoring.aggregate
        layer, notes = select_layer(found, layers, metrics, aggregate)
        notes = (*(text for _, result in parts for text in result.notes), *notes)
        row = found[layer].replace(
            notes=tuple(dict.fromkeys((*notes, *found[layer].notes))),
            layer=layer,
            layers={name: each.scores for name, each in found.items()},
        )
        return row, inputs[layer]

    def _score_layer(self, job: Job, given: Inputs) -> Row:
        assert given.features is not None, "jobs of a race keep features"
        requests, options = self.scoring.requests, job.options
        scatters = any("class_scatters" in spec_of(name).needs for name in requests)
        target = given.target
        stats = Stats(target.task, "double", options.n_threads, class_scatters=scatters)
        for start in range(0, target.n_samples, _BLOCK):
            block = slice(start, start + _BLOCK)
            stats.push(given.features[block], target.take(block))
        row = build_stats_row(job.name, stats, requests, given, options.n_threads)
        note = self.plan.target.note
        scores = {name: score.replace(task_note=note) for name, score in row.scores.items()}
        return row.replace(scores=scores)

    def _take_shared(self, rows: Rows) -> Inputs:
        shared = self.scoring.shared
        return shared if len(rows) == shared.target.n_samples else shared.take(rows)


def _read_facts(
    root: str, parts: Sequence[tuple[Rows, JobResult]], layer: str
) -> list[Mapping[str, Any]]:
    """Return the facts that the cache has of one layer, by round."""
    entries = [Cache(root).get(result.keys[layer]) for _, result in parts]
    return [entry.meta for entry in entries if entry is not None]


def _read_layer(
    root: str, parts: Sequence[tuple[Rows, JobResult]], layer: str, shared: Inputs
) -> Inputs:
    """Read the features, and the outputs if there are any, of one layer in all rounds."""
    cache = Cache(root)
    entries = [cache.get(result.keys[layer], (FEATURES,)) for _, result in parts]
    order = np.argsort(np.concatenate([rows for rows, _ in parts]), kind="stable")
    arrays: dict[str, list[Any]] = {FEATURES: [], OUTPUTS: []}
    for entry in entries:
        if entry is None:
            raise DataError(f"the features are no longer in the cache, {root}; race again")
        for name, found in arrays.items():
            if name in entry.files:
                found.append(entry.array(name))
    own: dict[str, Any] = {}
    if len(arrays[OUTPUTS]) == len(parts) and arrays[OUTPUTS][0].shape[1] > 1:
        probs = to_probabilities(np.concatenate(arrays[OUTPUTS])[order])
        own = {"source_probs": probs, "source_labels": probs.argmax(axis=1)}
    features = np.concatenate(arrays[FEATURES])[order]
    inputs = read_inputs(features, None, target=shared.target, **own)
    return replace(inputs, label_embeddings=shared.label_embeddings)
