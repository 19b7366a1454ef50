"""``transferability rank``: models, best first."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from ..errors import DataError
from ._dask import named_shards, rank_on_cluster, refuse_with_dask
from ._html import html_option, write_report
from ._models import MODEL_OPTIONS, model_options, ranked_models
from ._shared import (
    SOME_FAILED,
    FormatsCommand,
    existing_file,
    given,
    names_of,
    one_of,
    prior_of,
    refuse_beside,
    say,
    shared_options,
    statistics_of,
    usage,
)

__all__ = ["rank"]

_FEATURE_OPTIONS = (
    *("labels", "precision", "method", "source_probs", "source_labels", "baselines"),
    *("groups", "aggregate", "dask", "prior"),
)


def _file_here(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Check that files exist, unless it is the workers of a cluster that will read them."""
    return value if ctx.params.get("dask") else existing_file(ctx, parameter, value)


@click.command(cls=FormatsCommand)
@click.argument("features", nargs=-1, callback=_file_here)
@click.option(
    "--labels",
    callback=_file_here,
    help="A file like FEATURES, or text with one label a line ({text}). Default: 'labels' of a "
    "single .npz.",
)
@model_options
@click.option(
    "--dask",
    metavar="ADDRESS",
    is_eager=True,
    help="Rank on the workers of this Dask scheduler, such as tcp://host:8786; FEATURES may then "
    "be NAME=PATH.",
)
@shared_options
@click.option("--baselines", is_flag=True, help="Also the metrics that others should beat.")
@click.option(
    "--prior",
    callback=existing_file,
    help="A .csv of models and what is known of them, higher is better: one more column.",
)
@click.option("--groups", callback=existing_file, help="The group of each row; a file as --labels.")
@click.option(
    "--aggregate",
    default="pooled",
    show_default=True,
    metavar="HOW",
    help="With --groups: pooled, min, mean, median or quantile(q) of the groups' scores.",
)
@click.option("--stability", is_flag=True, help="How sure the order is, in place of the table.")
@html_option
@click.option("--markdown", "as_markdown", is_flag=True, help="A Markdown table.")
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
    """Rank models, best first, by FEATURES of the same rows, or by running --models on data.

    FEATURES are arrays ({array}), tables ({table}), folders of these, files of several arrays, each
    2-D one of which is a model ({container}), and single arrays of those (file.npz:member).
    --source-probs and --source-labels take the same, with one array a model, of
    its name. Or FEATURES are FILE.stats of all models, which have their labels.

    With --dask, NAME=PATH is a model in shards, which the workers must find at PATH: a file, a
    folder or a quoted pattern; --labels takes these too.
    """
    from .._ranking.rank import rank as rank_models
    from ..io._formats import suffixes_of
    from ..io._sources import find_models, label_source, load_labels, parse_source

    one_of(json=as_json, csv=as_csv, markdown=as_markdown)
    one_of(stability=stability, csv=as_csv, markdown=as_markdown)
    _check_kind(ctx, bool(features), bool(chosen["models"]))
    if chosen["models"]:
        wanted = {**given(intercept=intercept, n_threads=threads), **options}
        ranking = ranked_models(chosen, metrics, task, quiet, keep_features=stability, **wanted)
        _show(ctx, ranking, quiet, as_json, as_csv, as_markdown, stability, html)
        return
    if all(path.endswith(".stats") for path in features) and dask is None:
        beside: dict[str, object] = {
            "source_probs": source_probs,
            "source_labels": source_labels,
            "task": task,
        }
        beside |= {"groups": groups, "aggregate": aggregate, "stability": stability}
        refuse_beside("FILE.stats", labels=labels, precision=precision, method=method, **beside)
        with usage():
            names = names_of(metrics)
        states = statistics_of(features)
        known = prior_of(states, prior)
        ranking = rank_models(
            states, None, names, prior=known, **given(intercept=intercept), **options
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
        models, features = named_shards(features)
    with usage():
        names = names_of(metrics)
        source = label_source(labels) if dask is None else None
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
    common |= {"progress": False if quiet else None, **given(intercept=intercept), **options}
    common["prior"] = prior_of(models, prior)
    if dask is not None:
        where = {name: str(model) for name, model in models.items()}
        ranking = rank_on_cluster(dask, where, labels, metrics=names, **common)
    else:
        own = _of_models(models, source_probs=source_probs, source_labels=source_labels)
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
    """Write a ranking and what goes with it; end with 4 if a model failed."""
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
    if html is not None:  # after the table, which a full disk does not take away
        write_report(ranking, html, sure, quiet)
    if ranking.failed:
        say(f"{len(ranking.failed)} of {len(ranking)} models failed", "red")
        ctx.exit(SOME_FAILED)


def _check_kind(ctx: click.Context, features: bool, models: bool) -> None:
    """Refuse options of ranking features together with those of running models."""
    if features == models:
        raise click.UsageError("give FEATURES, or models to run with --models")
    foreign = _FEATURE_OPTIONS if models else MODEL_OPTIONS
    for name in foreign:
        if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            option = f"--{name.replace('_', '-')}"
            raise click.UsageError(
                f"{option} goes with {'FEATURES, not with --models' if models else '--models'}"
            )


def _of_models(models: Iterable[str], **paths: str | None) -> dict[str, Any]:
    """Find each model's array by its name in the folder or .npz of what its own head says."""
    from ..io._sources import arrays_by_name

    names = list(models)
    found: dict[str, Any] = {}
    for option, path in paths.items():
        if path is not None:
            arrays = arrays_by_name(path)
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
