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
    everything = isinstance(metrics, str) and metrics in SETS
    found = Scores({}, {})
    if everything or by_stats:
        asked = metrics if everything else by_stats
        found = stats.score(asked, **_select_options(options, by_stats))
    if others and (rows.has_features or outputs is not None):
        found = _with_rows(found, rows, stats, outputs, others, everything, options)
    elif others and not everything:
        stats.score(others[0])  # raises: statistics alone do not serve this metric
    scores = {name: found[name] for name in names if name in found}
    if rows.is_constant:
        text = f"layer {rows.layer!r} is dead: it gives the same features for every sample"
        issue([text])
        scores = {name: one.with_warning(text) for name, one in scores.items()}
    if isinstance(metrics, str) and not everything:
        return scores[metrics]
    return Scores(scores, found.skipped)


def _with_rows(
    found: Scores,
    rows: LayerRows,
    stats: Stats,
    outputs: NDArray[Any] | None,
    names: Sequence[str],
    everything: bool,
    options: Mapping[str, Any],
) -> Scores:
    """Add the scores of metrics that need kept features or the outputs of the model."""
    features = rows.features() if rows.has_features else None
    if features is not None and features.dtype == np.float16:
        features = features.astype(np.float32)
    given: dict[str, Any] = {}
    if outputs is not None and (outputs.shape[1] > 1 or not everything):
        probs = to_class_probabilities(outputs)
        given = {"source_probs": probs, "source_labels": probs.argmax(axis=1)}
    labels = rows.labels()
    scores, skipped = dict(found), dict(found.skipped)
    for name in names:
        try:
            scores[name] = score(
                features, labels, name, task=stats.task if labels is not None else "auto",
                **given, **_select_options(options, [name]),
            )  # fmt: skip
            skipped.pop(name, None)
        except (DataError, ImportError) as error:
            if not everything:
                raise
            skipped[name] = str(error)
    return Scores(scores, skipped)


def _select_options(options: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    known = {option for name in names for option in spec_of(name).option_names}
    return {name: value for name, value in options.items() if name in known}


def to_class_probabilities(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Return outputs (n, K) as probabilities of classes; raise DataError if K < 2."""
    if outputs.shape[1] < 2:
        raise DataError(f"the model gives {outputs.shape[1]} output; classes need at least two")
    return to_probabilities(outputs)
