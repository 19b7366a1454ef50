"""``transferability rank``: rank models by their features, or run models and rank them."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from .._util.table import table_of
from .._util.terminal import find_width
from ..errors import DataError, DtypeError, TransferabilityWarning
from ._choice import check_shortlist, choice_options, choose, find_own_labels, load_costs
from ._dask import rank_on_cluster, refuse_with_dask, split_shards
from ._help import FormatsCommand
from ._models import MODEL_OPTIONS, model_options, run_models
from ._request import check_request, parse_metrics, read_no_labels
from ._shared import (
    SOME_FAILED,
    as_usage_errors,
    check_exclusive,
    check_exists,
    check_paths,
    drop_none,
    load_prior,
    load_statistics,
    load_views,
    note,
    parse_options,
    pick,
    refuse_task,
    refuse_with_stats,
    say,
    shared_options,
    show_table,
    tell,
    tell_skipped,
)
from ._words import FOREIGN, reword_phrases, reword_ranking

__all__ = ["rank"]

_FEATURE_OPTIONS = (
    *("labels", "precision", "method", "source_probs", "source_labels", "baselines"),
    *("groups", "aggregate", "dask"),
)
_NOT_WITH_STATS = (
    *("labels", "precision", "method", "source_probs", "source_labels", "label_embeddings"),
    *("groups", "aggregate", "stability", "shortlist", "race", "baselines"),
)
_NOT_WITH_DASK = (
    *("source_probs", "source_labels", "threads", "method", "groups", "stability", "shortlist"),
    *("race", "label_embeddings"),
)


def _check_exists_here(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Validate that files exist, except with --dask, where the workers read them."""
    return value if ctx.params.get("dask") else check_exists(ctx, parameter, value)


@click.command(cls=FormatsCommand)
@click.argument("features", nargs=-1, callback=_check_exists_here)
@click.option(
    "--labels",
    callback=_check_exists_here,
    help="A file like FEATURES, or text with one label per line ({text}). Default: the array "
    "'labels' of a single file of several arrays; none for metrics that read none.",
)
@shared_options
@click.option("--baselines", is_flag=True, help="Add the baseline metrics that others should beat.")
@click.option(
    "--prior",
    callback=check_exists,
    help="Add a column with a known number for each model, from a .csv; higher is better.",
)
@click.option("--prior-column", help="Column of --prior. Default: its only column of numbers.")
@click.option(
    "--stability",
    is_flag=True,
    help="Print bootstrap standard errors, rank intervals and ties instead of the table.",
)
@choice_options
@click.option(
    "--html",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also write an HTML report; it includes stability if the features can be read.",
)
@click.option("--markdown", "as_markdown", is_flag=True, help="Print a Markdown table.")
@click.option(
    "--race",
    is_flag=True,
    help="Score all models on a few rows, and only those that may still be among the best on more.",
)
@click.option(
    "--race-option",
    "race_options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=parse_options,
    help="Set an option of --race: top, confidence, level, first, growth, max_samples, seconds or "
    "seed; repeatable.",
)
@click.option(
    "--dask",
    metavar="ADDRESS",
    is_eager=True,
    help="Rank on the workers of this Dask scheduler, such as tcp://host:8786. FEATURES may then "
    "be NAME=PATH.",
)
@model_options
@click.pass_context
def rank(
    ctx: click.Context,
    /,
    features: tuple[str, ...],
    models: tuple[str, ...],
    dask: str | None,
    intercept: bool | None,
    leave_out: str | None,
    options: dict[str, Any],
    as_json: bool,
    as_csv: bool,
    as_markdown: bool,
    stability: bool,
    race: bool,
    race_options: dict[str, Any],
    shortlist: bool,
    pareto: str | None,
    prior: str | None,
    prior_column: str | None,
    keep_features: bool,
    **_: Any,
) -> None:
    """Rank models by features in files, or run models and rank them.

    FEATURES are files of one array ({array}) or table ({table}), folders of these, or files of
    several arrays ({container}). Each 2-D array is a model; FILE:NAME selects one. --source-probs
    and --source-labels take files of the same kinds, with an array of the same name for each model.

    FEATURES may also be files written by 'transferability stats' (FILE.stats); they contain the
    labels.

    With --dask, NAME=PATH is a model in shards. PATH and --labels are each a file, a folder or a
    quoted pattern that the workers can read.

    With --models instead of FEATURES, models run on --images, --audio or --text. The options
    listed below --models apply only then.
    """
    check_exclusive(json=as_json, csv=as_csv, markdown=as_markdown)
    others = {"stability": stability, "shortlist": shortlist, "pareto": pareto is not None}
    check_exclusive(**others, csv=as_csv, markdown=as_markdown)
    check_shortlist(ctx)
    _check_kind(ctx, bool(features), bool(models))
    options = drop_none(intercept=intercept, leave_out=leave_out) | options
    check_request(options)
    if prior_column is not None and prior is None:
        raise click.UsageError("--prior-column needs --prior")
    if race_options and not race:
        raise click.UsageError("--race-option goes with --race")
    if race:
        options = {**options, "race": _read_race(race_options) if race_options else True}
    if models:
        if ctx.params["no_cache"] and (stability or shortlist):
            name = "--stability" if stability else "--shortlist"
            raise click.UsageError(
                f"{name} reads the features from the cache again: leave out --no-cache"
            )
        ranking = run_models(
            ctx.params, keep_features=keep_features or stability or shortlist, **options
        )
    elif dask is None and all(path.endswith(".stats") for path in features):
        ranking = _rank_statistics(ctx.params, options)
    else:
        ranking = _rank_features(ctx.params, options)
    _show(ctx, ranking)


def _read_race(options: Mapping[str, Any]) -> Any:
    """Return the options of a race; one that does not exist is a usage error."""
    from .._racing.race_options import Race

    names = [field.name for field in fields(Race)]
    with as_usage_errors():
        if unknown := [name for name in options if name not in names]:
            raise DataError(f"--race-option {unknown[0]} does not exist; set {', '.join(names)}")
        try:
            return Race(**options)
        except DtypeError as error:
            raise DtypeError(f"--race-option: {error}") from error


def _rank_statistics(chosen: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Rank files of statistics."""
    from .._ranking.rank import rank

    refuse_with_stats("FILE.stats", **{name: chosen[name] for name in _NOT_WITH_STATS})
    names = parse_metrics(chosen["metrics"])
    models = load_statistics(chosen["features"])
    refuse_task(chosen["task"], models)
    prior, costs = load_prior(models, chosen), load_costs(models, chosen)
    settings = {"task": chosen["task"], "n_threads": chosen["threads"]}
    return rank(models, None, names, **settings, prior=prior, costs=costs, **options)


def _rank_features(chosen: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
    """Rank arrays in files, in this process or with --dask on a cluster."""
    from .._ranking.rank import rank
    from ..io._formats import split_key, suffixes_of
    from ..io._row_index import check_stored_rows
    from ..io._sources import (
        find_models,
        load_labels,
        parse_label_source,
        parse_source,
    )

    features, labels, dask = chosen["features"], chosen["labels"], chosen["dask"]
    names = parse_metrics(chosen["metrics"])
    optional = dask is None and read_no_labels(names)
    if labels is None:
        labels = find_own_labels(features)
    if labels is None and not optional:
        raise click.UsageError(
            "give the labels with --labels; only some metrics, such as effective_rank, read none"
        )
    models: dict[str, Any] = {}
    if dask is not None:
        refuse_with_dask(**{name: chosen[name] or None for name in _NOT_WITH_DASK})
        models, features = split_shards(features)
        check_paths(features)  # the client reads these
    with as_usage_errors():
        source = None if labels is None or dask is not None else parse_label_source(labels)
        for path in features:
            if not path.endswith(suffixes_of("container")) and not Path(path).is_dir():
                parse_source(path)
    if features:
        found, skipped = find_models(features, source)
        for name in models.keys() & found.keys():
            raise click.UsageError(f"two models are called {name!r}")
        models |= found
        for line in skipped:
            tell(line)
    common = {
        **{name: chosen[name] for name in ("task", "precision", "baselines")},
        "progress": False if chosen["quiet"] else None,
        "prior": load_prior(models, chosen),
        "costs": load_costs(models, chosen),
        **options,
    }
    if dask is not None:
        where = {name: str(model) for name, model in models.items()}
        return rank_on_cluster(dask, where, labels, metrics=names, **common)
    predictions = {name: chosen[name] for name in ("source_probs", "source_labels")}
    for beside in (labels, chosen["groups"]):
        if beside is not None:
            for model in models.values():
                check_stored_rows([(model.path, model.member)], [split_key(beside)])
    return rank(
        models,
        None if labels is None else load_labels(labels),
        names,
        method=chosen["method"],
        n_threads=chosen["threads"],
        groups=None if chosen["groups"] is None else load_labels(chosen["groups"]),
        aggregate=chosen["aggregate"],
        label_embeddings=load_views(chosen["label_embeddings"]),
        **_load_predictions(models, **predictions),
        **common,
    )


def _show(ctx: click.Context, ranking: Any) -> None:
    """Print a ranking with its messages, write the report, and exit with 4 if a model failed."""
    chosen, ranking = ctx.params, reword_ranking(ranking)
    html = chosen["html"]
    tell_skipped(ranking.skipped)
    summary = None if ranking.race is None else ranking.race.summary
    for text in ranking.warnings:
        note(text, "note" if text == summary else "warning")
    n_cached = sum(row.from_cache for row in ranking)
    if n_cached:
        tell(f"{n_cached} of {len(ranking)} models came from the cache")
    if chosen["stability"] or chosen["shortlist"] or chosen["pareto"] is not None:
        for row in ranking.failed:  # only the table has their errors
            say(f"{row.name}: {row.error}", "red")
    stability = ranking.stability() if chosen["stability"] else None
    result = stability if stability is not None else choose(ranking, chosen)
    if result is not None:
        if chosen["as_json"]:
            click.echo(json.dumps(result.to_dict()))
        else:
            show_table(table_of(result))
    elif chosen["as_json"]:
        click.echo(ranking.to_json())
    elif chosen["as_csv"]:
        click.echo(ranking.to_csv(layers=True), nl=False)
    else:
        if chosen["as_markdown"]:
            click.echo(ranking.to_markdown())
        else:  # standard error has the warnings
            shown = ranking if chosen["quiet"] else ranking.replace(warnings=())
            click.echo(shown.to_text(find_width(sys.stdout)))
    if html is not None:  # after the table, which is printed even if the disk is full
        shortlist = result if chosen["shortlist"] else None
        _write_report(ranking, html, stability, shortlist)
    if ranking.failed:
        say(f"{len(ranking.failed)} of {len(ranking)} models failed", "red")
        ctx.exit(SOME_FAILED)


def _write_report(ranking: Any, path: str, stability: Any, shortlist: Any) -> None:
    """Write the HTML report; if stability cannot be computed, print a note and leave it out."""
    from .._util.atomic_file import write_bytes
    from ..report import html

    if stability is None:
        try:
            with warnings.catch_warnings():  # the report has them
                warnings.simplefilter("ignore", TransferabilityWarning)
                stability = ranking.stability()
        except DataError as error:
            note(f"the report has no intervals: {error}")
    page = html(ranking, None, stability, shortlist=shortlist)
    write_bytes(path, reword_phrases(page).encode())


def _check_kind(ctx: click.Context, features: bool, models: bool) -> None:
    """Raise a usage error if options for FEATURES and for --models are mixed."""
    if features and models:
        raise click.UsageError(
            "--models takes the place of FEATURES; give its data by --images, --audio or --text"
        )
    if not features and not models:
        raise click.UsageError("give FEATURES, or models to run with --models")
    foreign = _FEATURE_OPTIONS if models else MODEL_OPTIONS
    ctx.meta[FOREIGN] = foreign
    for name in foreign:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"{option} goes with {'FEATURES, not with --models' if models else '--models'}"
            )


def _load_predictions(models: Iterable[str], **paths: str | None) -> dict[str, Any]:
    """Load the predictions of the source models' heads from files or folders, by model name."""
    from ..io._sources import find_arrays

    found: dict[str, Any] = {}
    for option, path in paths.items():
        if path is not None:
            none = "has no array named as a model"
            arrays = pick(find_arrays(path), models, path, "array", none)
            found[option] = {name: array.load() for name, array in arrays.items()}
    return found
