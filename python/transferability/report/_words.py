"""Render the notes of a ranking, and the explanation of its numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._metric.registry import spec_of, title_of
from ._page import bullets, paragraph, section, text

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability

__all__ = ["render_meaning", "render_notes"]

_MODELS = (
    "A score measures how well the features of a model fit these labels, without training the "
    "model. Higher is better for all scores here. Scores compare models on the same rows and "
    "labels only, and do not predict an accuracy. The order of similar models is mostly chance: "
    "look at the intervals."
)
_OTHERS = (
    "A score measures how well the features or outputs of models fit the labels, without training. "
    "Higher is better for all scores here. Scores do not predict an accuracy."
)


def render_notes(ranking: Ranking, stability: Stability | None) -> str:
    """Render all warnings, notes of models and skipped metrics."""
    everywhere = [*ranking.warnings, *(() if stability is None else stability.warnings)]
    lines = list(dict.fromkeys(everywhere))
    lines += [f"{row.name}: {note}" for row in ranking.rows for note in row.notes]
    lines += [f"{title_of(name)} was skipped: it {why}" for name, why in ranking.skipped.items()]
    return section("Notes", bullets(lines)) if lines else ""


def render_meaning(ranking: Ranking, stability: Stability | None) -> str:
    """Render an explanation of each metric, and of ranks and probabilities."""
    parts = [paragraph(_MODELS if ranking.unit == "model" else _OTHERS)]
    for metric in ranking.metrics:
        parts.append(f"<h3>{text(title_of(metric))}</h3>")
        spec = spec_of(metric)
        if spec.summary:
            parts.append(paragraph(f"{_sentence(spec.summary)} {spec.when}"))
        row = next((row for row in ranking.rows if metric in row.scores), None)
        if row is not None:
            lines = row.scores[metric].explain().splitlines()
            parts.append(
                f"<details><summary>{text(row.name)} in words</summary>{bullets(lines)}</details>"
            )
    if stability is not None:
        parts += [
            "<h3>How sure the order is</h3>",
            paragraph(
                "Ranks and the probability of being first describe the order that more rows of the "
                "same kind would show. They are posterior probabilities: they account for the "
                "noise of these rows, and for the chance that made the best model look best. They "
                "do not show whether a metric agrees with fine-tuning."
            ),
        ]
    return section("What the numbers mean", *parts)


def _sentence(words: str) -> str:
    """Return text with a capital at the start and a full stop at the end."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."
