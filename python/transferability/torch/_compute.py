"""Score one layer from its statistics, its kept rows and the outputs of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.inputs import to_probabilities
from .._metric.registry import metric_names, spec_of
from .._metric.score import SETS, Score, Scores, issue
from .._scoring.score_features import score
from .._stats.stats import Stats
from ..errors import DataError, DtypeError
from ._rows import LayerRows

__all__ = ["score_layer", "to_class_probabilities"]

_OF_STATS = {"stats", "class_scatters"}


def score_layer(
    rows: LayerRows,
    stats: Stats,
    outputs: NDArray[Any] | None,
    metrics: str | Sequence[str],
    options: Mapping[str, Any],
) -> Score | Scores:
    """Score a layer from its statistics; metrics that need more use kept rows and outputs."""
    names = metric_names(metrics)
    if unknown := sorted(set(options) - {o for name in names for o in spec_of(name).option_names}):
        raise DtypeError(f"unknown option {unknown[0]!r}; none of {', '.join(names)} takes it")
    by_stats = [name for name in names if {*spec_of(name).needs} <= _OF_STATS]
    others = [name for name in names if name not in by_stats]
    is_set = isinstance(metrics, str) and metrics in SETS
    scores: dict[str, Score] = {}
    skipped: dict[str, str] = {}
    if is_set or by_stats:
        found = stats.score(metrics if is_set else by_stats, **_select_options(options, by_stats))
        scores, skipped = dict(found), dict(found.skipped)
    if others and (rows.has_features or outputs is not None):
        arguments = _row_arguments(rows, stats, outputs, is_set)
        for name in others:
            try:
                chosen = _select_options(options, [name])
                scores[name] = score(metrics=name, **arguments, **chosen)
                skipped.pop(name, None)
            except (DataError, ImportError) as error:
                if not is_set:
                    raise
                skipped[name] = str(error)
    elif others and not is_set:
        stats.score(others[0])  # raises: statistics alone do not serve this metric
    scores = {name: scores[name] for name in names if name in scores}
    if rows.is_constant:
        text = f"layer {rows.layer!r} is dead: it gives the same features for every sample"
        issue([text])
        scores = {name: one.with_warning(text) for name, one in scores.items()}
    if isinstance(metrics, str) and not is_set:
        return scores[metrics]
    return Scores(scores, skipped)


def _row_arguments(
    rows: LayerRows, stats: Stats, outputs: NDArray[Any] | None, is_set: bool
) -> dict[str, Any]:
    """Return the kept features, labels and outputs as arguments of `score`."""
    features, labels = rows.features() if rows.has_features else None, rows.labels()
    if features is not None and features.dtype == np.float16:
        features = features.astype(np.float32)
    task = stats.task if labels is not None else "auto"
    arguments = {"features": features, "labels": labels, "task": task}
    if outputs is not None and (outputs.shape[1] > 1 or not is_set):
        probs = to_class_probabilities(outputs)
        arguments |= {"source_probs": probs, "source_labels": probs.argmax(axis=1)}
    return arguments


def _select_options(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    known = {option for name in names for option in spec_of(name).option_names}
    return {name: value for name, value in options.items() if name in known}


def to_class_probabilities(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Return outputs (n, K) as probabilities of classes; raise DataError if K < 2."""
    if outputs.shape[1] < 2:
        raise DataError(f"the model gives {outputs.shape[1]} output; classes need at least two")
    return to_probabilities(outputs)
