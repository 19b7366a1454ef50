"""Who is first, how sure that is, and whether what is shown belongs together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from .._metric.derived import CONSENSUS
from .._metric.registry import title_of
from .._ranking.render import percent
from ..errors import DataError
from ._page import paragraph, section, text
from ._svg import Axis, axis_row, interval

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability
    from ..agreement._evaluation import Evaluation

__all__ = ["check", "heading", "lead", "order"]

_NAMED = 5  # models that a sentence names before it counts the others


def check(ranking: Ranking, evaluation: Evaluation | None, stability: Stability | None) -> None:
    """Refuse what was made of another ranking."""
    if stability is not None:
        _same(ranking, "stability", stability.metric, stability.names, stability.scores)
    if evaluation is not None:
        for metric, values in evaluation.scores.items():
            _same(ranking, "evaluation", metric, evaluation.models, values)


def _same(ranking: Ranking, what: str, metric: str, names: Any, values: Any) -> None:
    advice = f"{what} is of another ranking; make it from this one"
    if metric not in ranking.metrics:
        raise DataError(f"{advice}: it has {metric}, this one {', '.join(ranking.metrics)}")
    for name, value in zip(names, values, strict=True):
        if name not in ranking:
            raise DataError(f"{advice}: it has a model {name!r}, this one has not")
        own = ranking[name].value(metric)
        # A consensus depends on who is compared, and stability leaves out who lacks a member.
        if metric != CONSENSUS and own != value and not (math.isnan(own) and math.isnan(value)):
            raise DataError(f"{advice}: {metric} of {name!r} is {value} there and {own} here")


def heading(ranking: Ranking) -> str:
    """Say what was ranked by what."""
    count = f"1 {ranking.unit}" if len(ranking) == 1 else f"{len(ranking)} {ranking.unit}s"
    return f"{count} by {title_of(ranking.metrics[0])}"


def lead(ranking: Ranking, stability: Stability | None) -> str:
    """Say in sentences who is first, how sure that is, and on what data."""
    scored = [row for row in ranking.rows if row.error is None]
    if not scored:
        return paragraph("None of them could be scored; the reasons are below.", "lead")
    best = scored[0]
    words = f"{best.name} scores highest."
    if (
        stability is not None
        and stability.metric == ranking.metrics[0]
        and best.name in stability.first
    ):
        tie = next(tie for tie in stability.ties if best.name in tie)
        others = [name for name in tie if name != best.name]
        chance = percent(stability.first[best.name])
        if others:
            words += (
                f" It is not told apart from {_some(others)}: it is truly the first of these "
                f"{len(stability.names)} with a probability of {chance}."
            )
        else:
            words += f" It is truly the first with a probability of {chance}."
    if ranking.unit != "model":  # such as tasks, of rows of their own
        return paragraph(words, "lead")
    first = next(iter(best.scores.values()))
    facts = [f"{best.n_samples or first.n_samples:,} rows"]
    if first.n_classes is not None:
        facts.append(f"{first.n_classes} classes")
    note = ranking.task_note
    task = note if note.startswith(ranking.task) else f"{ranking.task}, {note}"
    return paragraph(words, "lead") + paragraph(f"{', '.join(facts)}; {task}.", "soft")


def order(ranking: Ranking, stability: Stability | None) -> str:
    """Draw the models in order, with intervals where stability is known."""
    metric = ranking.metrics[0]
    sure = {}
    tied, cut = set(), set()
    if stability is not None:
        metric = stability.metric
        sure = {name: i for i, name in enumerate(stability.names)}
        tied = {name for tie in stability.ties if len(tie) > 1 for name in tie}
        cut = {tie[0] for tie in stability.ties[1:]}
    rows = [row for row in ranking.rows if row.error is None and metric in row.scores]
    rows.sort(key=lambda row: sure.get(row.name, len(sure)))
    if not rows:
        return ""
    values = [row.value(metric) for row in rows]
    ends = [] if stability is None else stability.intervals.ravel().tolist()
    axis = Axis([*values, *ends])
    items = ""
    for place, (row, value) in enumerate(zip(rows, values, strict=True), start=1):
        i = sure.get(row.name)
        low, high = (
            (math.nan, math.nan) if stability is None or i is None else stability.intervals[i]
        )
        words = "" if stability is None else f"<span class=sure>{text(_sure(stability, i))}</span>"
        kinds = [name for name, have in (("tied", tied), ("cut", cut)) if row.name in have]
        items += (
            f'<li class="{" ".join(kinds or ["plain"] * (stability is None))}">'
            f"<span class=rank>{place}</span><span class=model>{text(row.name)}</span>"
            f"{interval(axis, value, low, high)}<span class=value>{value:.4f}</span>{words}</li>\n"
        )
    plain = "" if stability is not None else " plain"
    items += f'<li class="ticks{plain}" aria-hidden="true">{axis_row(axis, title_of(metric))}</li>'
    below = "To see how sure this order is, pass stability=ranking.stability()."
    if stability is not None:
        below = (
            f"Bars are {percent(stability.level)} intervals from {len(stability.replicates)} "
            f"resamples of {stability.n_units:,} {stability.unit}. Models are resampled alike, so "
            f"bars may overlap where the order is sure; a line at the left joins those not told "
            f"apart at {percent(stability.level)}."
        )
    return section("Order", f"<ol class=models>\n{items}</ol>", paragraph(below, "soft"))


def _sure(stability: Stability, i: int | None) -> str:
    if i is None:
        return ""
    low, high = stability.ranks[i]
    ranks = f"rank {low}" if low == high else f"rank {low}–{high}"
    return f"{ranks}, first {percent(stability.first[stability.names[i]])}"


def _some(names: Any) -> str:
    """Name some and count the others."""
    more = len(names) - _NAMED
    shown = ", ".join(names[:_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown
