"""``transferability score``: one model."""

from __future__ import annotations

import json
import warnings
from typing import Any

import click

from ..errors import TransferabilityWarning
from ._shared import existing_file, given, names_of, one_of, say, shared_options, usage

__all__ = ["score"]


@click.command()
@click.argument("features", callback=existing_file)
@click.argument("labels", callback=existing_file)
@shared_options
@click.option("--explain", is_flag=True, help="Say in words what the numbers mean.")
def score(
    features: str,
    labels: str,
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
) -> None:
    """Score one model: FEATURES.npy and LABELS (.npy, file.npz:member, .csv or .txt).

    --source-probs takes a file like FEATURES, --source-labels one like LABELS.
    """
    from .._evaluate import score as score_features
    from .._render import write_csv
    from .._sources import label_source, load_labels, parse_source

    one_of(json=as_json, csv=as_csv, explain=explain)
    with usage():
        names = names_of(metrics)
        source = parse_source(features)
        label_source(labels)
        probs = None if source_probs is None else parse_source(source_probs)
        if source_labels is not None:
            label_source(source_labels)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TransferabilityWarning)
        scores = score_features(
            source.load(),
            load_labels(labels),
            names,
            task=task,
            precision=precision,
            method=method,
            n_threads=threads,
            **given(
                source_probs=None if probs is None else probs.load(),
                source_labels=None if source_labels is None else load_labels(source_labels),
                intercept=intercept,
            ),
            **options,
        )
    for warning in () if quiet else caught:
        say(f"note: {warning.message}")
    if as_json:
        click.echo(json.dumps({name: value.to_dict() for name, value in scores.items()}))
        return
    if as_csv:
        click.echo(write_csv(_columns(source.name, scores)), nl=False)
        return
    for name, value in scores.items():
        click.echo(value.explain() if explain else f"{name}\t{float(value)!r}")


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
