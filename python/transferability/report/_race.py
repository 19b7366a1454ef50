"""Render the section of a report on a race: its rounds, and the models that it dropped."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._metric.registry import title_of
from .._ranking.render import percent
from ._page import paragraph, section, table

if TYPE_CHECKING:
    from .._racing.report import RaceReport
    from .._ranking.ranking import Ranking

__all__ = ["render_race"]


def render_race(ranking: Ranking) -> str:
    """Render what a race did, and the models that it dropped, with the rows of their last score."""
    race = ranking.race
    if race is None:
        return ""
    summary = race.summary[:1].upper() + race.summary[1:]
    parts = [paragraph(f"{summary}."), table("Rounds of the race", *_rounds(race))]
    if race.first:
        ordered = sorted(race.first.items(), key=lambda item: -item[1])
        listed = ", ".join(f"{name} {percent(chance)}" for name, chance in ordered)
        parts.append(
            paragraph(f"Probability to be the best of the finalists on all rows: {listed}.")
        )
    rows = [
        [
            row.name,
            f"{row.round}",
            f"{row.n_samples:,}",
            f"{row.value(ranking.metrics[0]):.4f}",
            _chance(race.rounds[row.round - 1].dropped.get(row.name)),
        ]
        for row in ranking.rows
        if row.dropped is not None
    ]
    if rows:
        top = f"in the top {race.options.top}"
        header = [ranking.unit, "round", "rows", title_of(ranking.metrics[0]), top]
        below = (
            "Scores of different rows do not compare. The last column is the probability, when a "
            "model was dropped, that it is among the best on all rows; the reasons are among the "
            "notes."
        )
        parts += [table("Dropped in the race", header, rows), paragraph(below, "soft")]
    return section("Race", *parts)


def _rounds(race: RaceReport) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of the table of rounds."""
    rows = [
        [f"round {i}", f"{one.n_samples:,}", f"{len(one.models)}", f"{len(one.dropped)}"]
        for i, one in enumerate(race.rounds, start=1)
    ]
    return ["", "rows", "models", "dropped"], rows


def _chance(probability: float | None) -> str:
    known = probability is not None and not math.isnan(probability)
    return percent(probability) if known and probability is not None else ""
