"""``transferability rank``: rank models by their features, or run models and rank them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ..errors import DataError, TransferabilityWarning
from ._dask import rank_on_cluster, refuse_with_dask, split_shards
from ._models import MODEL_OPTIONS, model_options, run_and_rank
from ._shared import (
    SOME_FAILED,
    FormatsCommand,
    as_usage_errors,
    check_exclusive,
    check_exists,
    drop_none,
    load_prior,
    load_statistics,
    parse_metrics,
    refuse_with_stats,
    say,
    shared_options,
)

__all__ = ["rank"]

_FEATURE_OPTIONS = (
    *("labels", "precision", "method", "source_probs", "source_labels", "baselines"),
    *("groups", "aggregate", "dask", "prior"),
)


def _check_exists_here(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Validate that files exist, except with --dask, where the workers read them."""
    return value if ctx.params.get("dask") else check_exists(ctx, parameter, value)


@click.command(cls=FormatsCommand)
@click.argument("features", nargs=-1, callback=_check_exists_here)
@click.option(
    "--labels",
    callback=_check_exists_here,
    help="A file like FEATURES, or text with one label a line ({text}). Default: 'labels' of a "
    "single .npz.",
)
@model_options
@click.option(
    "--dask",
    metavar="ADDRESS",
    is_eager=True,
    help="Rank on the workers of this Dask scheduler, such as tcp://host:8786. FEATURES may then "
    "be NAME=PATH.",
)
@shared_options
@click.option("--baselines", is_flag=True, help="Add the baseline metrics that others should beat.")
@click.option(
    "--prior",
    callback=check_exists,
    help="Add a column with a known number for each model, from a .csv; higher is better.",
)
@click.option(
    "--groups",
    callback=check_exists,
    help="File of groups, one per row, like --labels.",
)
@click.option(
    "--aggregate",
    default="pooled",
    show_default=True,
    metavar="HOW",
    help="With --groups: pooled, or the min, mean, median or quantile(q) of the groups' scores.",
)
@click.option(
    "--stability",
    is_flag=True,
    help="Print standard errors, rank intervals and ties instead of the table.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also write an HTML report; it includes stability if the features can be read.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.pass_context
def rank(
    ctx: click.Context,
    /,
    features: tuple[str, ...],
    labels: str | None,
    dask: str | None,
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
    as_markdown: bool,
    baselines: bool,
    prior: str | None,
    groups: str | None,
    aggregate: str,
    stability: bool,
    html: str | None,
    **chosen: Any,
) -> None:
    """Rank models by their FEATURES, or run --models on data.

    FEATURES are arrays ({array}), tables ({table}), folders of these, files of several arrays, each
    2-D one of which is a model ({container}), and single arrays of those (file.npz:member).
    --source-probs and --source-labels take the same, with one array a model, of
    its name. Or FEATURES are FILE.stats of all models, which have their labels.

    With --dask, NAME=PATH is a model in shards. PATH, and --labels, are a file, a folder or a
    quoted pattern that the workers can read.
    """
    from .._ranking.rank import rank as rank_models
    from ..io._formats import suffixes_of
    from ..io._sources import find_models, load_labels, parse_label_source, parse_source

    check_exclusive(json=as_json, csv=as_csv, markdown=as_markdown)
    check_exclusive(stability=stability, csv=as_csv, markdown=as_markdown)
    _check_kind(ctx, bool(features), bool(chosen["models"]))
    if chosen["models"]:
        wanted = {**drop_none(intercept=intercept, n_threads=threads), **options}
        ranking = run_and_rank(chosen, metrics, task, quiet, keep_features=stability, **wanted)
        _show(ctx, ranking, quiet, as_json, as_csv, as_markdown, stability, html)
        return
    if all(path.endswith(".stats") for path in features) and dask is None:
        beside: dict[str, object] = {
            "source_probs": source_probs,
            "source_labels": source_labels,
            "task": task,
        }
        beside |= {"groups": groups, "aggregate": aggregate, "stability": stability}
        refuse_with_stats("FILE.stats", labels=labels, precision=precision, method=method, **beside)
        with as_usage_errors():
            names = parse_metrics(metrics)
        states = load_statistics(features)
        known = load_prior(states, prior)
        ranking = rank_models(
            states, None, names, prior=known, **drop_none(intercept=intercept), **options
        )
        _show(ctx, ranking, quiet, as_json, as_csv, as_markdown, html=html)
        return
    if labels is None:
        if len(features) != 1 or not features[0].endswith(".npz"):
            raise click.UsageError("give the labels with --labels")
        labels = f"{features[0]}:labels"
    models: dict[str, Any] = {}
    if dask is not None:
        refuse_with_dask(
            source_probs=source_probs,
            source_labels=source_labels,
            threads=threads,
            method=method,
            groups=groups,
            stability=stability or None,
        )
        models, features = split_shards(features)
    with as_usage_errors():
        names = parse_metrics(metrics)
        source = parse_label_source(labels) if dask is None else None
        for path in features:
            if not path.endswith(suffixes_of("container")) and not Path(path).is_dir():
                parse_source(path)
    if features:
        found, skipped = find_models(features, source)
        for name in models.keys() & found.keys():
            raise click.UsageError(f"two models are called {name!r}")
        models |= found
        for line in () if quiet else skipped:
            say(line)
    common: dict[str, Any] = {"task": task, "precision": precision, "baselines": baselines}
    common |= {"progress": False if quiet else None, **drop_none(intercept=intercept), **options}
    common["prior"] = load_prior(models, prior)
    if dask is not None:
        where = {name: str(model) for name, model in models.items()}
        ranking = rank_on_cluster(dask, where, labels, metrics=names, **common)
    else:
        own = _load_predictions(models, source_probs=source_probs, source_labels=source_labels)
        ranking = rank_models(
            models,
            load_labels(labels),
            names,
            method=method,
            n_threads=threads,
            groups=None if groups is None else load_labels(groups),
            aggregate=aggregate,
            **own,
            **common,
        )
    _show(ctx, ranking, quiet, as_json, as_csv, as_markdown, stability, html)


def _show(
    ctx: click.Context,
    ranking: Any,
    quiet: bool,
    as_json: bool,
    as_csv: bool,
    as_markdown: bool,
    stability: bool = False,
    html: str | None = None,
) -> None:
    """Print a ranking with its messages, write the report, and exit with 4 if a model failed."""
    for name, reason in () if quiet else ranking.skipped.items():
        say(f"{name} was skipped: it {reason}")
    for text in () if quiet else ranking.warnings:
        say(f"note: {text}")
    sure = ranking.stability() if stability else None
    if sure is not None:
        click.echo(json.dumps(sure.to_dict()) if as_json else repr(sure))
    elif as_json:
        click.echo(ranking.to_json())
    elif as_csv:
        click.echo(ranking.to_csv(), nl=False)
    else:
        click.echo(ranking.to_markdown() if as_markdown else repr(ranking))
    if html is not None:  # after the table, which is printed even if the disk is full
        _write_report(ranking, html, sure, quiet)
    if ranking.failed:
        say(f"{len(ranking.failed)} of {len(ranking)} models failed", "red")
        ctx.exit(SOME_FAILED)


def _write_report(ranking: Any, path: str, stability: Any, quiet: bool) -> None:
    """Write the HTML report; without stability if it cannot be computed, with a note."""
    if stability is None:
        try:
            with warnings.catch_warnings():  # the report has them
                warnings.simplefilter("ignore", TransferabilityWarning)
                stability = ranking.stability()
        except DataError as error:
            if not quiet:
                say(f"note: the report has no intervals: {error}")
    ranking.to_html(path, stability=stability)


def _check_kind(ctx: click.Context, features: bool, models: bool) -> None:
    """Raise a usage error if options for FEATURES and for --models are mixed."""
    if features == models:
        raise click.UsageError("give FEATURES, or models to run with --models")
    foreign = _FEATURE_OPTIONS if models else MODEL_OPTIONS
    for name in foreign:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"{option} goes with {'FEATURES, not with --models' if models else '--models'}"
            )


def _load_predictions(models: Iterable[str], **paths: str | None) -> dict[str, Any]:
    """Load the predictions of each model's own head from folders or .npz files, by model name."""
    from ..io._sources import find_arrays

    names = list(models)
    found: dict[str, Any] = {}
    for option, path in paths.items():
        if path is not None:
            arrays = find_arrays(path)
            found[option] = {name: arrays[name].load() for name in names if name in arrays}
            missing = [name for name in names if name not in arrays]
            if len(missing) == len(names):
                raise DataError(
                    f"{path} has no array named as a model ({', '.join(names[:5])}); it has "
                    f"{', '.join(list(arrays)[:5])}"
                )
            for name in missing:
                say(f"note: {path} has no array for {name}")
    return found
