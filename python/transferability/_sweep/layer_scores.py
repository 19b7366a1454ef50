"""The scores of a model's layers, and which of them its row has."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._inputs.inputs import Inputs, read_inputs, to_probabilities
from .._ranking.extra_columns import pool_rows
from .._ranking.rank_stats import build_stats_row
from .._ranking.row import Row
from .._stats.stats import Stats
from .._util.cache import Cache, Entry
from ..errors import DataError
from .extract import FEATURES, OUTPUTS, STATS
from .worker import MEAN, Job, Results, files_of

__all__ = ["AGGREGATES", "row_of_layers"]

AGGREGATES = ("last", "mean", "best")


def row_of_layers(
    job: Job,
    results: Results,
    shared: Inputs,
    requests: Mapping[str, dict[str, Any]],
    aggregate: str,
) -> Row:
    """Score every layer from the cache and choose or average."""
    cache = Cache(job.cache)
    rows = {}
    for layer, key in results.keys.items():
        entry = cache.get(key, files_of(job.settings))
        if entry is None:
            raise DataError(f"the cache lost what was just written to it; is {cache.root} full?")
        rows[layer] = _scored(job, entry, shared, requests)
    layer, notes = _chosen(rows, tuple(requests), aggregate)
    row = rows[layer]
    return row.replace(
        notes=(*results.notes, *notes, *row.notes),
        layer=layer,
        layers={name: each.scores for name, each in rows.items()},
    )


def _scored(job: Job, entry: Entry, shared: Inputs, requests: Mapping[str, dict[str, Any]]) -> Row:
    stats = Stats.from_bytes(entry.read(STATS))
    given = shared
    notes: tuple[str, ...] = ()
    if entry.meta["n_constant"] == entry.meta["n_features"]:
        notes = (f"layer {entry.meta['layer']} is dead: every feature is constant",)
    if job.n_rows is not None and stats.n_samples != job.n_rows:
        notes += (
            f"{stats.n_samples:,} of {job.n_rows:,} words: the others are beyond this model's "
            f"length limit, so its scores are not of the same rows as those of other models",
        )
    else:
        given = _kept(entry, shared)
    row = build_stats_row(job.name, stats, requests, given, job.n_threads)
    # The task was decided here, among all labels; the statistics were only told.
    scores = {name: s.replace(task_note=shared.target.note) for name, s in row.scores.items()}
    inputs = functools.partial(_again, job.cache, entry.key, shared)
    at_hand = given.features is not None and job.is_kept
    return row.replace(
        scores=scores, notes=(*notes, *row.notes), inputs=inputs if at_hand else None
    )


def _kept(entry: Entry, shared: Inputs) -> Inputs:
    """Add what an entry keeps of the rows to what all models share."""
    own: dict[str, Any] = {}
    outputs = entry.array(OUTPUTS) if OUTPUTS in entry.files else None
    if outputs is not None and outputs.ndim == 2 and outputs.shape[1] > 1:
        probs = to_probabilities(outputs)
        own = {"source_probs": probs, "source_labels": probs.argmax(axis=1)}
    if FEATURES not in entry.files and not own:
        return shared
    features = entry.array(FEATURES) if FEATURES in entry.files else None
    given = read_inputs(features, None, target=shared.target, **own)
    return replace(given, label_embeddings=shared.label_embeddings)


def _again(root: str, key: str, shared: Inputs) -> Inputs:
    """Read the features once more, for what is asked of a ranking later."""
    entry = Cache(root).get(key, (FEATURES,))
    if entry is None:
        raise DataError(f"the features are no longer in the cache, {root}; rank the models again")
    return _kept(entry, shared)


def _chosen(
    rows: Mapping[str, Row], metrics: Sequence[str], aggregate: str
) -> tuple[str, tuple[str, ...]]:
    """Say which layer's row it is, and what to note about that."""
    last = list(rows)[-1]
    if MEAN in rows:
        return MEAN, (f"features averaged over {len(rows) - 1} layers",)
    if len(rows) == 1 or aggregate == "last":
        return last, ()
    # Some metrics, such as a consensus, have values among several only: here among the layers.
    among = {layer: row.replace(name=layer) for layer, row in rows.items()}
    valued = {row.name: row for row in pool_rows(among.values(), metrics)}
    best = max(rows, key=lambda layer: _value(valued[layer], metrics[0]))
    return best, (
        f"layer {best}, the best of {len(rows)}: a maximum over layers is too high by chance, the "
        f"more so the more layers there are; see also aggregate='last'",
    )


def _value(row: Row, metric: str) -> float:
    value = row.value(metric)
    return -math.inf if row.error is not None or math.isnan(value) else value
