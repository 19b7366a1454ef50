"""Render the sections of a report: order, scores, agreement with the truth, and explanations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from .._metric.options import leaves_groups_out
from .._metric.registry import is_diagnostic, spec_of, title_of
from .._metric.spec import DIAGNOSTIC
from .._ranking.render import percent, tabulate_groups
from ..health._null import null_of_metric
from ._choice import choose_metric, describe_rule
from ._page import bullets, chart_item, chart_list, paragraph, section, table, text
from ._svg import Axis, draw_axis, draw_interval, draw_scatter

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._uncertainty.stability import Stability
    from ..agreement._evaluation import Evaluation

__all__ = [
    "format_heading",
    "render_agreement",
    "render_failures",
    "render_groups",
    "render_health",
    "render_layers",
    "render_lead",
    "render_meaning",
    "render_notes",
    "render_order",
    "render_scores",
]

_NAMED = 5  # models listed by name in a sentence; further ones are counted
_DRAWN = ("interval", "leave_one_out")  # in the chart of agreement, not in its table
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


def format_heading(ranking: Ranking) -> str:
    """Return the default heading: the number of models, and the metric."""
    count = f"1 {ranking.unit}" if len(ranking) == 1 else f"{len(ranking)} {ranking.unit}s"
    return f"{count} by {title_of(ranking.metrics[0])}"


def render_lead(
    ranking: Ranking, stability: Stability | None, evaluation: Evaluation | None = None
) -> str:
    """Render the lead: who has the highest score, how surely, what that tells, and the data."""
    scored = [row for row in ranking.rows if row.error is None]
    if not scored:
        return paragraph("None of them could be scored; the reasons are below.", "lead")
    best, metric = scored[0], ranking.metrics[0]
    words = f"{best.name} has the highest {title_of(metric)}"
    count = len(ranking.compared) - len(ranking.failed if ranking.race is None else ())
    same = stability is not None and stability.metric == metric
    if stability is not None and same and best.name in stability.first:
        count = len(stability.names)
        words += f" with a probability of {percent(stability.first[best.name])}"
        pairs = zip(stability.names, stability.ranks[:, 0], strict=True)
        others = [name for name, rank in pairs if rank == 1 and name != best.name]
        if others:
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            words += f"; {', '.join(others[:_NAMED])}{more} may have it as well"
    words = f"Of {count} {ranking.unit}s, {words}."
    if count == 1:
        words = f"{best.name} has a {title_of(metric)} of {best.value(metric):.4f}."
    if ranking.unit != "model":  # such as tasks, which differ in rows
        return paragraph(words, "lead")
    first = next(iter(best.scores.values()))
    facts = [f"{best.n_samples or first.n_samples:,} rows"]
    if first.n_classes is not None:
        facts.append(f"{first.n_classes} classes")
    note = ranking.task_note
    task = note if note.startswith(ranking.task) else f"{ranking.task}, {note}"
    said = [paragraph(words, "lead"), _say_trust(metric, evaluation)]
    return "\n".join([*said, paragraph(f"{', '.join(facts)}; {task}.", "soft")])


def _say_trust(metric: str, evaluation: Evaluation | None) -> str:
    """Return what the order by a metric does not tell: whether fine-tuning agrees with it."""
    if is_diagnostic(metric):
        return paragraph(DIAGNOSTIC)
    where = "is shown below, under “Agreement with the truth”"
    if evaluation is None:
        where = (
            "is not shown here: that takes true accuracies of some models (ranking.evaluate, or "
            "transferability eval)"
        )
    title = title_of(metric)
    return paragraph(f"How far {title} itself can be trusted {where}.")


def render_order(ranking: Ranking, stability: Stability | None) -> str:
    """Render the models in order as a dot chart, with intervals if stability is given."""
    metric, known, tied, cut = ranking.metrics[0], {}, set(), set()
    if stability is not None:
        metric = stability.metric
        known = {name: i for i, name in enumerate(stability.names)}
        tied = {name for tie in stability.ties if len(tie) > 1 for name in tie}
        cut = {tie[0] for tie in stability.ties[1:]}
    rows = [row for row in ranking.compared if row.error is None and metric in row.scores]
    rows.sort(key=lambda row: known.get(row.name, len(known)))
    if not rows:
        return ""
    values = [row.value(metric) for row in rows]
    ends = [] if stability is None else stability.intervals.ravel().tolist()
    axis = Axis([*values, *ends])
    items = ""
    for place, (row, value) in enumerate(zip(rows, values, strict=True), start=1):
        i = known.get(row.name)
        interval, sure = (), None if stability is None else ""
        if stability is not None and i is not None:
            interval = stability.intervals[i]
            chance = percent(stability.first[row.name])
            sure = f"rank {stability.format_rank(row.name, '–')}, first {chance}"
        kinds = [name for name, models in (("tied", tied), ("cut", cut)) if row.name in models]
        items += chart_item(
            row.name,
            draw_interval(axis, value, *interval),
            f"{value:.4f}",
            rank=str(place),
            sure=sure,
            attributes=f' class="{" ".join(kinds or ["plain"] * (stability is None))}"',
        )
    plain = "" if stability is not None else " plain"
    attributes = f' class="ticks{plain}" aria-hidden="true"'
    chart = chart_list(items, draw_axis(axis, title_of(metric)), attributes)
    below = ""  # of a single model there is no order
    if len(rows) > 1:
        below = "To see how sure this order is, pass stability=ranking.stability()."
    if stability is not None:
        below = (
            f"Bars are {percent(stability.level)} intervals from {len(stability.replicates)} "
            f"resamples of {stability.n_units:,} {stability.unit}. All models share the resamples, "
            f"so bars may overlap although the order is certain. A line at the left joins ties: "
            f"models whose ranks, at {percent(stability.level)}, overlap in a chain."
        )
    return section("Order", chart, *([paragraph(below, "soft")] if below else []))


def render_scores(ranking: Ranking, stability: Stability | None) -> str:
    """Render the table of all scores but the diagnostics of features."""
    metrics = [name for name in ranking.metrics if not is_diagnostic(name)]
    if not metrics:
        return ""
    header = [ranking.unit, *map(title_of, metrics)]
    errors: dict[str, float] = {}
    if stability is not None and stability.metric in metrics:
        header.insert(2 + metrics.index(stability.metric), "± s.e.")
        errors = dict(zip(stability.names, stability.standard_errors, strict=True))
    header += [*([] if ranking.race is None else ["rows"]), "features", "seconds"]
    rows = []
    for row in ranking.rows:
        if row.error is not None:
            continue
        cells = [row.name]
        for metric in metrics:
            cells.append(f"{row.value(metric):.4f}")
            if stability is not None and metric == stability.metric:
                cells.append(f"{errors[row.name]:.4f}" if row.name in errors else "")
        cells += [] if ranking.race is None else [f"{row.n_samples:,}"]
        cells += ["" if row.n_features is None else f"{row.n_features:,}", f"{row.seconds:.2f}"]
        rows.append(cells)
    return section("All numbers", table("All numbers", header, rows)) if rows else ""


def render_health(ranking: Ranking) -> str:
    """Render the table of diagnostics of features, each beside its value for random features."""
    metrics = [name for name in ranking.metrics if is_diagnostic(name)]
    rows = []
    for row in ranking.compared:
        if not any(metric in row.scores for metric in metrics):
            continue
        cells = [row.name]
        for metric in metrics:
            score = row.scores.get(metric)
            null = None if score is None else null_of_metric(score)
            cells += ["" if score is None else f"{float(score):.4f}"]
            cells += ["" if null is None else f"{null:.4f}"]
        rows.append(cells)
    if not rows:
        return ""
    header = [ranking.unit]
    for metric in metrics:
        header += [title_of(metric), "random"]
    return section(
        "Diagnostics of features",
        paragraph(f"Beside each number, that of random features of the same shape. {DIAGNOSTIC}"),
        table("Diagnostics of features", header, rows),
    )


def render_failures(ranking: Ranking) -> str:
    """Render the list of models without a score, with the reasons."""
    lines = [f"{row.name}: {row.error}" for row in ranking.failed]
    return section("Not scored", f'<div class="failed">{bullets(lines)}</div>') if lines else ""


def render_groups(ranking: Ranking) -> str:
    """Render the scores of all groups of rows, by one metric that has them, as a shaded table."""
    grouped = [m for m in ranking.metrics if any(row.per_group.get(m) for row in ranking.rows)]
    metric = choose_metric(ranking, grouped)
    if metric is None:
        return ""
    names, values = tabulate_groups(ranking.rows, metric)
    finite = [v for row in values.values() for v in row if math.isfinite(v)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    values = {name: row for name, row in values.items() if not all(map(math.isnan, row))}
    shades = [
        [(v - low) / ((high - low) or 1) if math.isfinite(v) else None for v in row]
        for row in values.values()
    ]
    rows = [
        [name, *("" if math.isnan(v) else f"{v:.3f}" for v in row)] for name, row in values.items()
    ]
    details = next(row.scores[metric].details for row in ranking.rows if row.per_group.get(metric))
    how = details.get("aggregate", "pooled")
    made = "the score is of all rows" if how == "pooled" else f"the score is their {how}"
    what = f"{title_of(metric)} within each group"
    if leaves_groups_out(details):
        what = f"{title_of(metric)} of each group, predicted from the other groups"
    return section(
        "Groups of rows",
        paragraph(f"{what}; {made}.", "soft"),
        table("Groups of rows", [ranking.unit, *map(str, names)], rows, shades),
    )


def render_layers(ranking: Ranking) -> str:
    """Render the scores of all layers by one metric, for models with several layers."""
    layered = [s for row in ranking.rows if len(row.layers) > 1 for s in row.layers.values()]
    metric = choose_metric(ranking, [m for m in ranking.metrics if any(m in s for s in layered)])
    if metric is None:
        return ""
    parts = []
    for row in ranking.rows:
        values = {name: float(s[metric]) for name, s in row.layers.items() if metric in s}
        if len(values) < 2:
            continue
        axis = Axis(values.values())
        items = "".join(
            chart_item(layer, draw_interval(axis, value), f"{value:.4f}", attributes=" class=plain")
            for layer, value in values.items()
        )
        chart = chart_list(items, draw_axis(axis, title_of(metric)), ' class="ticks plain"')
        best = max(values, key=values.__getitem__)
        title = f"{row.name}: {len(values)} layers, highest in {best}"
        parts.append(f"<details><summary>{text(title)}</summary>{chart}</details>")
    return section("Layers", *parts) if parts else ""


def render_agreement(evaluation: Evaluation) -> str:
    """Render the weighted tau of each metric with intervals, a scatter plot, and all measures."""
    facts = evaluation.to_dict()
    axis = Axis([-1.0, 1.0])
    items = ""
    for metric, found in facts["metrics"].items():
        low, high = (math.nan if end is None else end for end in found["interval"])
        value = found["weighted_tau"]
        shown = "nan" if value is None else f"{value:.3f}"
        chart = draw_interval(axis, math.nan if value is None else value, low, high)
        without = [v for v in found["leave_one_out"].values() if v is not None]
        span = f"{min(without):.2f} to {max(without):.2f} without one" if without else ""
        items += chart_item(title_of(metric), chart, shown, sure=span)
    ticks = draw_axis(axis, "weighted tau with the truth")
    measures = [key for key in next(iter(facts["metrics"].values())) if key not in _DRAWN]
    rows = [
        [title_of(metric), *("" if found[m] is None else f"{found[m]:.3f}" for m in measures)]
        for metric, found in facts["metrics"].items()
    ]
    header = ["metric", *(name.replace("_", " ") for name in measures)]
    first = evaluation.metrics[0]
    scores, truth = evaluation.scores[first].tolist(), evaluation.truth.tolist()
    ranked = [i for i, score in enumerate(scores) if math.isfinite(score)]
    best = {truth.index(max(truth)), *sorted(ranked, key=lambda i: -scores[i])[:1]}
    names = [evaluation.models[i] for i in best]
    below = (
        f"Weighted tau is 1 for the same order and -1 for the opposite order; the best models have "
        f"the largest weights. Bars are {percent(facts['level'])} bootstrap intervals from "
        f"resamples of the {len(evaluation.models)} models; the numbers at the right are the range "
        f"of tau over leaving out one model."
    )
    return section(
        "Agreement with the truth",
        chart_list(items, ticks, ' class="ticks"'),
        paragraph(below, "soft"),
        bullets(comparison["text"] for comparison in facts["comparisons"]),
        draw_scatter(evaluation.models, scores, truth, title_of(first), "truth", names),
        table("Measures of agreement", header, rows),
        bullets(evaluation.notes),
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
    words = _MODELS if ranking.unit == "model" else _OTHERS
    diagnostics = [metric for metric in ranking.metrics if is_diagnostic(metric)]
    if len(diagnostics) == len(ranking.metrics):
        words = DIAGNOSTIC
    elif diagnostics:
        words += f" Diagnostics of features are no scores of this kind. {DIAGNOSTIC}"
    parts = [paragraph(words)]
    for metric in ranking.metrics:
        parts.append(f"<h3>{text(title_of(metric))}</h3>")
        spec = spec_of(metric)
        row = next((row for row in ranking.rows if metric in row.scores), None)
        rule = "" if row is None else describe_rule(row.scores[metric])
        if rule:
            parts.append(paragraph(rule))
        elif spec.summary:
            summary = f"{spec.summary[:1].upper()}{spec.summary[1:].rstrip('.')}."
            parts.append(paragraph(f"{summary} {spec.when}"))
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
