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
    "A score says how well a model's features fit these labels, without training the model. All "
    "scores here are higher for better. They compare models on the same rows and labels only, are "
    "no forecast of an accuracy, and with models that are alike most orders are luck: look at the "
    "intervals."
)
_OTHERS = (
    "A score says how well what a model knows fits the labels, without training it. All scores "
    "here are higher for better, and are no forecast of an accuracy."
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
                "Ranks and the probability of being first are what more rows of the same kind "
                "would give: they count the noise of these rows, and that the model which looks "
                "best does so partly by luck. Whether a metric agrees with fine-tuning is another "
                "question."
            ),
        ]
    return section("What the numbers mean", *parts)


def _sentence(words: str) -> str:
    """Return text with a capital at the start and a full stop at the end."""
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."
