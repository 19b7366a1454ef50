"""``transferability score``: score one model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import click

from ..errors import DataError
from ._choice import find_own_labels
from ._help import FormatsCommand
from ._request import check_request, parse_metrics, read_no_labels
from ._shared import (
    as_usage_errors,
    check_exclusive,
    check_exists,
    drop_none,
    load_statistics,
    load_views,
    refuse_task,
    refuse_with_stats,
    shared_options,
    show,
    tell_skipped,
)

__all__ = ["score"]


@click.command(cls=FormatsCommand)
@click.argument("features", callback=check_exists)
@click.argument("labels", callback=check_exists, required=False)
@shared_options
@click.option("--explain", is_flag=True, help="Explain the scores in words.")
@click.option(
    "--reference",
    type=int,
    default=0,
    metavar="N",
    help="Add null baselines to --explain and --json: N permutations of the labels.",
)
def score(
    features: str,
    labels: str | None,
    metrics: str,
    intercept: bool | None,
    leave_out: str | None,
    options: dict[str, Any],
    threads: int | None,
    as_json: bool,
    as_csv: bool,
    quiet: bool,  # read by `note`
    explain: bool,
    **chosen: Any,
) -> None:
    """Score one model by its features and labels in files.

    FEATURES is an array or a table ({any}); FILE:NAME selects one of several arrays. LABELS is a
    file like FEATURES, or text with one label per line ({text}). Leave it out for metrics that read
    none, or if the file of FEATURES has an array 'labels' too. --source-probs takes a file like
    FEATURES, --source-labels and --groups take a file like LABELS.

    FEATURES may also be a file written by 'transferability stats' (FILE.stats); it contains the
    labels.
    """
    from .._scoring.null_scores import check_reference
    from .._scoring.score_features import score as score_features
    from .._util.delimited import format_csv
    from .._util.progress import show_stages

    check_exclusive(json=as_json, csv=as_csv, explain=explain)
    names = parse_metrics(metrics)
    if labels is None:
        labels = find_own_labels([features])
    options = drop_none(intercept=intercept, leave_out=leave_out) | options
    check_request(options)
    with as_usage_errors():
        check_reference(chosen["reference"])
    if features.endswith(".stats"):
        task = chosen.pop("task")
        refuse_with_stats(features, labels=labels, **chosen)
        loaded = load_statistics((features,))
        refuse_task(task, loaded)
        ((name, stats),) = loaded.items()
        decided = stats if task == "auto" else stats.replace(task=task)
        if threads is not None:
            decided = decided.replace(n_threads=threads)
        scores = decided.score(names, **options)
    elif labels is None and not read_no_labels(names):
        raise click.UsageError(
            "give LABELS: only a FILE.stats or a file with an array 'labels' has its own, and only "
            "some metrics, such as --metrics effective_rank, read none"
        )
    else:
        views = load_views(chosen.pop("label_embeddings"))
        name, arrays = _load_arrays(
            drop_none(features=features, source_probs=chosen.pop("source_probs")),
            drop_none(labels=labels, **{o: chosen.pop(o) for o in ("source_labels", "groups")}),
        )
        with show_stages():
            scores = score_features(
                **{"labels": None, **arrays},
                label_embeddings=views,
                metrics=names,
                n_threads=threads,
                **chosen,
                **options,
            )
    tell_skipped(scores.skipped)
    if as_json:
        click.echo(json.dumps({name: value.to_dict() for name, value in scores.items()}))
        return
    if as_csv:
        click.echo(format_csv(_tabulate(name, scores)), nl=False)
        return
    for name, value in scores.items():
        if explain:
            show(value.explain())
        else:
            click.echo(f"{name}\t{float(value)!r}")


def _load_arrays(
    arrays: Mapping[str, str], labels: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    """Load the arrays and labels of one model; return its name and the arguments of `score`."""
    from ..io._formats import split_key
    from ..io._row_index import check_stored_rows
    from ..io._sources import load_labels, parse_label_source, parse_source

    with as_usage_errors():
        sources = {
            name: _find_only_array(path) or parse_source(path) for name, path in arrays.items()
        }
        for path in labels.values():
            parse_label_source(path)
    features, *others = sources.values()
    beside = [(source.path, source.member) for source in others]
    for rows in (*beside, *map(split_key, labels.values())):
        check_stored_rows([(features.path, features.member)], [rows])
    loaded = {name: source.load() for name, source in sources.items()}
    loaded |= {name: load_labels(path) for name, path in labels.items()}
    return sources["features"].name, loaded


def _find_only_array(path: str) -> Any:
    """Return the only array of a file of several that may be features; None for others."""
    from ..io._formats import split_key, suffixes_of
    from ..io._sources import find_models

    file, key = split_key(path)
    if key is not None or not file.name.endswith(suffixes_of("container")) or not file.is_file():
        return None
    try:
        found, _ = find_models([path])
    except DataError:  # of which the reader says more
        return None
    return next(iter(found.values())) if len(found) == 1 else None


def _tabulate(name: str, scores: dict[str, Any]) -> dict[str, list[Any]]:
    """Return the scores of one model as columns, in the layout of a ranking's CSV."""
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
