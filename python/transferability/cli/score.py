"""``transferability score``: one model."""

from __future__ import annotations

import json
import warnings
from typing import Any

import click

from ..errors import TransferabilityWarning
from ._shared import (
    FormatsCommand,
    existing_file,
    given,
    names_of,
    one_of,
    refuse_beside,
    say,
    shared_options,
    statistics_of,
    usage,
)

__all__ = ["score"]


@click.command(cls=FormatsCommand)
@click.argument("features", callback=existing_file)
@click.argument("labels", callback=existing_file, required=False)
@shared_options
@click.option("--explain", is_flag=True, help="Say in words what the numbers mean.")
@click.option(
    "--reference",
    type=int,
    default=0,
    metavar="N",
    help="Also score N random orders of the labels, for --explain and --json.",
)
@click.option("--groups", callback=existing_file, help="The group of each row; a file as LABELS.")
@click.option(
    "--aggregate",
    default="pooled",
    show_default=True,
    metavar="HOW",
    help="With --groups: pooled, min, mean, median or quantile(q) of the groups' scores.",
)
def score(
    features: str,
    labels: str | None,
    metrics: str,
    task: str,
    intercept: bool | None,
    precision: str,
    method: str,
    options: dict[str, Any],
    source_probs: str | None,
    source_labels: str | None,
    threads: int | None,
    as_json: bool,
    as_csv: bool,
    quiet: bool,
    explain: bool,
    reference: int,
    groups: str | None,
    aggregate: str,
) -> None:
    """Score one model by the files FEATURES and LABELS.

    Both are files of one array or table ({any}), LABELS also text with one label a line ({text}).
    Where a file holds several arrays name one as FILE:NAME. Or FEATURES is a FILE.stats, written by
    the stats command, which has its labels. --source-probs takes a file like FEATURES,
    --source-labels one like LABELS.
    """
    from .._scoring.evaluate import score as score_features
    from .._util.delimited import format_csv
    from ..io._sources import load_labels

    one_of(json=as_json, csv=as_csv, explain=explain)
    with usage():
        names = names_of(metrics)
    chosen: dict[str, Any] = {"task": task, "precision": precision, "method": method}
    files = {"source_probs": source_probs, "source_labels": source_labels}
    parts = {"groups": groups, "aggregate": aggregate, "reference": reference}
    options |= given(intercept=intercept)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TransferabilityWarning)
        if features.endswith(".stats"):
            refuse_beside(features, labels=labels, **files, **chosen, **parts)
            ((name, stats),) = statistics_of((features,)).items()
            scores = stats.score(names, **options)
        elif labels is None:
            raise click.UsageError("give LABELS: only a FILE.stats has its own")
        else:
            name, arrays = _read(features, labels, **files)
            chosen |= {**parts, "groups": None if groups is None else load_labels(groups)}
            scores = score_features(**arrays, metrics=names, n_threads=threads, **chosen, **options)
    for warning in () if quiet else caught:
        say(f"note: {warning.message}")
    if as_json:
        click.echo(json.dumps({name: value.to_dict() for name, value in scores.items()}))
        return
    if as_csv:
        click.echo(format_csv(_columns(name, scores)), nl=False)
        return
    for name, value in scores.items():
        click.echo(value.explain() if explain else f"{name}\t{float(value)!r}")


def _read(
    features: str, labels: str, source_probs: str | None, source_labels: str | None
) -> tuple[str, dict[str, Any]]:
    """Load the arrays of one model, by the names of score's arguments, and give its name."""
    from ..io._sources import label_source, load_labels, parse_source

    with usage():
        source = parse_source(features)
        label_source(labels)
        probs = None if source_probs is None else parse_source(source_probs)
        if source_labels is not None:
            label_source(source_labels)
    return source.name, given(
        features=source.load(),
        labels=load_labels(labels),
        source_probs=None if probs is None else probs.load(),
        source_labels=None if source_labels is None else load_labels(source_labels),
    )


def _columns(name: str, scores: dict[str, Any]) -> dict[str, list[Any]]:
    """Give the scores of one model as a ranking's CSV has them."""
    first = next(iter(scores.values()))
    notes = dict.fromkeys(text for score in scores.values() for text in score.warnings)
    return {
        "model": [name],
        **{metric: [float(score)] for metric, score in scores.items()},
        "n_features": [first.n_features],
        "n_samples": [first.n_samples],
        "seconds": [first.seconds],
        "notes": [" ".join(notes)],
    }
