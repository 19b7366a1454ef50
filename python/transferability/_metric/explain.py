"""Interpretation of a score in sentences: the metric, groups, null baselines, data, caveats.

The table of scores for notebooks is here too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._util.notebook import to_html
from .registry import spec_of, title_of
from .spec import DIAGNOSTIC

if TYPE_CHECKING:
    from .score import Score

__all__ = ["explain", "tabulate_scores"]

#: With fewer rows per feature, a linear fit to the labels is optimistic.
_ENOUGH_ROWS = 10


def explain(score: Score) -> list[str]:
    """Return the lines of :meth:`Score.explain`."""
    spec = spec_of(score.metric)
    needs = spec.needs
    of_features = bool({"stats", "class_scatters", "samples"} & {*needs})
    by_group = score.details.get("aggregate", "pooled") != "pooled"
    if spec.diagnostic:
        return [
            f"{title_of(score.metric)} {float(score):.4f}.",
            *([] if by_group else spec.explain(score)),
            *_groups(score),
            _data(score, of_features),
            DIAGNOSTIC,
            *(f"Note: {text}" for text in score.warnings),
        ]
    return [
        f"{title_of(score.metric)} {float(score):.4f}; higher is better.",
        *([] if by_group else spec.explain(score)),
        *_groups(score),
        *_reference(score),
        _data(score, of_features),
        *_watch(score, of_features),
        f"Compare it only with scores of other {'features' if of_features else 'models'} on "
        "the same rows and labels.",
        *(f"Note: {text}" for text in score.warnings),
    ]


def tabulate_scores(scores: Mapping[str, Score], skipped: Mapping[str, str]) -> str:
    """Return scores as a table in HTML: a line a metric, then warnings, then skipped metrics."""
    header = ["metric", "score", "task", "rows", "features", "classes"]
    body = []
    for name, score in scores.items():
        known = (score.n_samples, score.n_features, score.n_classes)
        sizes = [f"{size:,}" if size else "" for size in known]
        body.append([title_of(name), f"{float(score):.4f}", score.task, *sizes])
    found = [(title_of(name), text) for name, score in scores.items() for text in score.warnings]
    below = []
    for text in dict.fromkeys(text for _, text in found):
        named = [name for name, own in found if own == text]
        of = "" if len(named) == len(scores) else f"{', '.join(dict.fromkeys(named))}: "
        below.append(f"Note: {of}{text}")
    below += [f"{title_of(name)} was skipped: it {reason}" for name, reason in skipped.items()]
    title = f"{len(scores)} scores" if len(scores) != 1 else f"{body[0][0]} {body[0][1]}"
    if not any(spec_of(name).diagnostic for name in scores):
        title += "; higher is better"
    return to_html(title, header, body, below, {0, 2})


def _groups(score: Score) -> list[str]:
    """Return a sentence with the lowest and the highest score of a group of rows."""
    per_group = score.details.get("per_group")
    if not per_group:
        return []
    low, high = min(per_group, key=per_group.get), max(per_group, key=per_group.get)
    what = f"Of {len(per_group)} groups it is"
    if score.aggregate != "pooled":
        what = f"It is the {score.aggregate} of the scores of {len(per_group)} groups:"
    return [
        f"{what} lowest for group {low!r} ({float(per_group[low]):.4f}) and highest for "
        f"{high!r} ({float(per_group[high]):.4f})."
    ]


def _reference(score: Score) -> list[str]:
    """Compare the score with its null baselines: permuted labels and constant features."""
    found = score.details.get("references")
    if found is None:
        return []
    lines = []
    mean, spread = found["shuffled"], found["shuffled_sd"]
    if math.isfinite(mean):
        side = "above" if float(score) >= mean else "below"
        gap = abs(float(score) - mean)
        times = f", {gap / spread:.1f} standard deviations" if spread > 0 else ""
        lines.append(
            f"With the labels in random order the same data get {mean:.4f} ± {spread:.4f} "
            f"({found['shuffles']} orders): this is {gap:.4f} {side}{times}."
        )
    if math.isfinite(found["constant"]):
        lines.append(f"A model that says the same of every row gets {found['constant']:.4f}.")
    return lines


def _data(score: Score, of_features: bool) -> str:
    """Return a sentence with the size of the data and the task."""
    labels = ""
    if score.n_classes is not None:
        labels = f", {score.n_classes} classes"
    elif score.targets:  # of metrics with a value for each
        labels = f", {len(score.targets)} targets"
    columns = ""
    if of_features:
        share = score.n_samples / score.n_features
        columns = f" x {score.n_features} features ({share:.3g} rows for each)"
    return f"Data: {score.n_samples} rows{columns}{labels}; {score.task_note}."


def _watch(score: Score, of_features: bool) -> list[str]:
    """Return caveats: few rows, constant features, an unbounded fit."""
    lines = []
    n_samples, n_features = score.n_samples, score.n_features
    if of_features and n_features >= n_samples - 1:
        lines.append(
            "There are no more rows than features, which can then fit any labels: measures of fit "
            "alone, such as the H-score without shrinkage, are saturated."
        )
    elif of_features and n_samples < _ENOUGH_ROWS * n_features:
        lines.append(
            f"With fewer than {_ENOUGH_ROWS} rows for each feature, part of the fit may be chance: "
            "compare with permuted labels (reference=5)."
        )
    dead = score.details.get("references", {}).get("dead_columns", 0)
    if dead:
        lines.append(f"{dead} of {n_features} features are the same in every row.")
    converged: Any = score.details.get("converged")
    if converged is not None and not np.all(converged):
        lines.append(
            f"For {int(np.size(converged) - np.sum(converged))} of {np.size(converged)} targets "
            f"there is no maximum at a finite noise."
        )
    return lines
