"""Score the layers of a model from the cache, and select or average them for its row."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._inputs.inputs import Inputs, read_inputs, to_probabilities
from .._ranking.extra_columns import pool_rows
from .._ranking.row import Row, build_stats_row
from .._stats.stats import Stats
from .._util.cache import Cache, Entry
from ..errors import DataError
from .costs import read_costs_of
from .job import CUT, FEATURES, MEAN, OUTPUTS, STATS, Job, JobResult

__all__ = ["AGGREGATES", "LayerScoringPlan", "add_up_cuts", "note_layer", "score_layers"]
__all__ += ["select_layer"]

AGGREGATES = ("last", "mean", "best")


@dataclass(frozen=True)
class LayerScoringPlan:
    """Settings for scoring the layers of every model."""

    requests: Mapping[str, dict[str, Any]]  # native options by metric; the first metric sorts
    shared: Inputs  # labels and label embeddings, which all models share
    aggregate: str  # one of AGGREGATES: the layer whose scores a model's row has


def score_layers(job: Job, result: JobResult, plan: LayerScoringPlan) -> Row:
    """Score every layer of a model from the cache; return the row of the selected layer."""
    cache = Cache(job.cache)
    rows, parts = {}, {}
    for layer, key in result.keys.items():
        entry = cache.get(key, job.needed_files())
        if entry is None:
            raise DataError(f"the cache lost an entry that was just written; is {cache.root} full?")
        rows[layer] = _score_entry(job, entry, plan)
        parts[layer] = str(entry.meta["layer"])
    layer, notes = select_layer(rows, parts, tuple(plan.requests), plan.aggregate)
    row = rows[layer]
    return row.replace(
        notes=(*result.notes, *notes, *row.notes),
        layer=layer,
        layers={name: each.scores for name, each in rows.items()},
    )


def _score_entry(job: Job, entry: Entry, plan: LayerScoringPlan) -> Row:
    """Score the statistics of one layer."""
    stats, inputs = Stats.from_bytes(entry.read(STATS)), plan.shared
    is_dead = entry.meta["n_constant"] == entry.meta["n_features"]
    notes = note_layer(job, entry.meta, is_dead)
    if job.n_rows is not None and stats.n_samples != job.n_rows:
        notes += (
            f"{stats.n_samples:,} of {job.n_rows:,} words: the others are beyond this model's "
            f"length limit or make no token, so its scores are not of the same rows as those of "
            f"other models",
        )
    elif job.n_rows is not None:  # rows of positions are as many as the maps of a model have
        inputs = _read_stored_inputs(entry, plan.shared)
        stats = stats.replace(target=plan.shared.target)  # with its names; the sums stay
    row = build_stats_row(job.name, stats, plan.requests, inputs, job.options.n_threads)
    # Statistics store the task only; the note on how it was decided is that of all labels.
    note = plan.shared.target.note
    scores = {name: score.replace(task_note=note) for name, score in row.scores.items()}
    reload = None
    if inputs.features is not None and job.is_kept:
        reload = functools.partial(_reload_inputs, job.cache, entry.key, plan.shared)
    costs = read_costs_of(entry.meta)
    return row.replace(scores=scores, notes=(*notes, *row.notes), inputs=reload, costs=costs)


def note_layer(job: Job, facts: Mapping[str, Any], is_dead: bool) -> tuple[str, ...]:
    """Return what to note about a layer, from the facts of its entry in the cache."""
    notes: tuple[str, ...] = ()
    if is_dead:
        notes = (f"layer {facts['layer']} is dead: every feature is constant",)
    window = facts.get("window")
    if window is not None and job.options.window is not None and window < job.options.window:
        notes += (f"windows of {window}, as many as this model reads at once",)
    cut = facts.get(CUT)
    if cut is not None and cut["n"]:
        notes += (_describe_cut(job, cut),)
    return notes


def _describe_cut(job: Job, cut: Mapping[str, Any]) -> str:
    """Describe how many items a model has not read whole, and the remedy."""
    counted, limit = f"{cut['n']:,} of {cut['of']:,}", cut["limit"]
    if job.data.kind == "audio":
        return (
            f"{counted} sounds are longer than the {limit:.3g} s that this model reads of each; "
            f"cut them, and average the parts by bag="
        )
    if job.data.kind == "array":
        return (
            f"{counted} series are longer than the {limit:,} steps that this model reads, and only "
            f"their last {limit:,} count; window={limit} averages windows of all steps"
        )
    is_pair = isinstance(job.data.items[0], tuple)
    remedy = "shorten them" if is_pair else f"window={limit} averages windows of all tokens"
    return (
        f"{counted} texts are longer than the {limit:,} tokens that this model reads, and are cut "
        f"off there; {remedy}"
    )


def add_up_cuts(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the last facts of several runs of a model, with the counts of cut items of all."""
    facts, last = [part.get(CUT) for part in parts], dict(parts[-1])
    known = [cut for cut in facts if cut is not None]
    if known:
        n_cut, n_all = (sum(cut[name] for cut in known) for name in ("n", "of"))
        last[CUT] = {**known[-1], "n": n_cut, "of": n_all}
    return last


def _read_stored_inputs(entry: Entry, shared: Inputs) -> Inputs:
    """Add the features and outputs that an entry stores to the shared inputs."""
    own: dict[str, Any] = {}
    outputs = entry.array(OUTPUTS) if OUTPUTS in entry.files else None
    if outputs is not None and outputs.ndim == 2 and outputs.shape[1] > 1:
        probs = to_probabilities(outputs)
        own = {"source_probs": probs, "source_labels": probs.argmax(axis=1)}
    if FEATURES not in entry.files and not own:
        return shared
    features = entry.array(FEATURES) if FEATURES in entry.files else None
    inputs = read_inputs(features, None, target=shared.target, **own)
    return replace(inputs, label_embeddings=shared.label_embeddings, groups=shared.groups)


def _reload_inputs(root: str, key: str, shared: Inputs) -> Inputs:
    """Read stored features again, for later analyses of a ranking."""
    entry = Cache(root).get(key, (FEATURES,))
    if entry is None:
        raise DataError(f"the features are no longer in the cache, {root}; rank the models again")
    return _read_stored_inputs(entry, shared)


def select_layer(
    rows: Mapping[str, Row], layers: Mapping[str, str], metrics: Sequence[str], aggregate: str
) -> tuple[str, tuple[str, ...]]:
    """Return the name of the layer whose scores the row has, and notes on the selection.

    `layers` has the layer of each name, which may name a pooling as well. Unless the best is
    selected, the first pooling is that of the row.
    """
    last = list(layers.values())[-1]  # the mean of all layers, if there is one
    n_layers = len(set(layers.values()))
    of_last = [name for name, layer in layers.items() if layer == last]
    if len(rows) == 1 or aggregate in ("last", "mean"):
        notes: tuple[str, ...] = ()
        if aggregate == "mean" and last == MEAN:
            notes = (f"features averaged over {n_layers - 1} layers",)
        if len(of_last) > 1:
            others = ", ".join(of_last[1:])
            notes += (f"{of_last[0]}, the first of {len(of_last)} poolings; others: {others}",)
        return of_last[0], notes
    # Some metrics, such as NCTI, are defined among several candidates only: here, the layers.
    candidates = {layer: row.replace(name=layer) for layer, row in rows.items()}
    valued = {row.name: row for row in pool_rows(candidates.values(), metrics)}
    best = max(rows, key=lambda layer: _value_of(valued[layer], metrics[0]))
    return best, (
        f"layer {best}, the best of {len(rows)}: a maximum over layers is too high by chance, the "
        f"more so the more layers{' and poolings' if n_layers < len(rows) else ''} there are; see "
        f"also aggregate='last'",
    )


def _value_of(row: Row, metric: str) -> float:
    value = row.value(metric)
    return -math.inf if row.error is not None or math.isnan(value) else value
