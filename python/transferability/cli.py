"""The command line: data on standard output, messages on standard error.

NumPy and the native module are imported inside the commands, so that ``--help`` is quick.
Exit codes: 0 ok, 2 wrong usage, 3 bad data, 4 some models failed.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import click

from ._threads import MOST
from .errors import DataError, DtypeError, TransferabilityError, TransferabilityWarning

__all__ = ["main"]

BAD_DATA, SOME_FAILED = 3, 4

#: What metrics need, in words.
_NEEDS = {
    "stats": "statistics of the features (one pass, shared)",
    "class_scatters": "statistics of every class (the same pass)",
    "source_stats": "statistics of source_probs",
    "samples": "the features once more",
    "source_probs": "source_probs: the source model's class probabilities",
    "source_labels": "source_labels: the source model's predicted classes",
    "label_embeddings": "label_embeddings: views of the labels by other models",
}

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    """Turns this package's errors and those of the system into one line and an exit code."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if sys.stdout is None:  # where click would write nothing and exit with 0
            _say("error: standard output is closed", "red")
            sys.exit(1)
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # click deals with closed pipes
            _say(f"error: {error.filename or 'standard output'}: {error.strerror or error}", "red")
            with suppress(OSError):  # what is left in the buffer would fail again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TransferabilityError as error:
            _say(f"error: {error}", "red")
            ctx.exit(BAD_DATA if isinstance(error, (DataError, DtypeError)) else 1)


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 ok, 2 wrong usage, 3 bad data, 4 some models failed.",
)
@click.version_option(package_name="transferability")
def main() -> None:
    """Rank pre-trained models by how well they will do on your data."""


def _file(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Check that files exist, so that a typing error is a usage error."""
    for spec in value if isinstance(value, tuple) else (value,):
        if spec is None:
            continue
        stem, colon, _ = spec.rpartition(":")
        path = stem if colon and stem.endswith(".npz") else spec
        if not Path(path).exists():
            raise click.BadParameter(f"there is no file or folder {path}")
    return value


def _options(ctx: click.Context, param: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    """Read NAME=VALUE, where a value is true, false, none, a number or else a string."""
    words = {"true": True, "false": False, "none": None}
    options: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", ctx, param)
        try:
            options[name] = words[value.lower()] if value.lower() in words else json.loads(value)
        except ValueError:
            options[name] = value
    return options


def _shared_options(command: F) -> F:
    """Add the options that rank and score have in common."""
    for option in reversed(
        [
            click.option(
                "--metrics",
                default="logme",
                show_default=True,
                help="Names, comma-separated, or 'all'; the first one sorts.",
            ),
            click.option(
                "--task",
                default="auto",
                show_default=True,
                type=click.Choice(["auto", "classification", "regression", "multilabel"]),
                help="What the labels are.",
            ),
            click.option(
                "--intercept/--no-intercept",
                default=None,
                help="A constant term in the model. Default: for regression only.",
            ),
            click.option(
                "--precision",
                default="double",
                show_default=True,
                type=click.Choice(["double", "single"]),
                help="Of the products of float32 features.",
            ),
            click.option(
                "--method",
                default="auto",
                show_default=True,
                type=click.Choice(["auto", "tridiagonal", "svd"]),
                help="From statistics, from the samples, or as digits demand.",
            ),
            click.option(
                "--option",
                "-o",
                "options",
                multiple=True,
                metavar="NAME=VALUE",
                callback=_options,
                help="An option of the metrics, such as -o shrinkage=oas or -o k=10.",
            ),
            click.option(
                "--source-probs",
                callback=_file,
                help="Class probabilities of the source model, for metrics that need them.",
            ),
            click.option(
                "--source-labels",
                callback=_file,
                help="Its predicted classes, for metrics that need them.",
            ),
            click.option("--threads", type=click.IntRange(1, MOST), help="Default: all cores."),
            click.option("--json", "as_json", is_flag=True, help="One line of JSON."),
            click.option(
                "--csv", "as_csv", is_flag=True, help="Comma-separated values, full precision."
            ),
            click.option("--quiet", "-q", is_flag=True, help="No messages, no progress."),
        ]
    ):
        command = option(command)
    return command


@main.command()
@click.argument("features", nargs=-1, required=True, callback=_file)
@click.option(
    "--labels",
    callback=_file,
    help="A .npy, file.npz:member, .csv or .txt (one a line). Default: 'labels' of a single .npz.",
)
@_shared_options
@click.option("--markdown", "as_markdown", is_flag=True, help="A Markdown table.")
@click.pass_context
def rank(
    ctx: click.Context,
    features: tuple[str, ...],
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
    as_markdown: bool,
) -> None:
    """Rank models, best first, by FEATURES of the same rows.

    FEATURES are .npy files, .npz files (every 2-D member is a model), members (file.npz:member)
    and folders of .npy files. --source-probs and --source-labels take the same, with one array a
    model, of its name.
    """
    from ._rank import rank as rank_models
    from ._sources import find_models, label_source, load_labels, parse_source

    _one_of(json=as_json, csv=as_csv, markdown=as_markdown)
    if labels is None:
        if len(features) != 1 or not features[0].endswith(".npz"):
            raise click.UsageError("give the labels with --labels")
        labels = f"{features[0]}:labels"
    with _usage():
        names = _names(metrics)
        source = label_source(labels)
        for path in features:
            if not path.endswith(".npz") and not Path(path).is_dir():
                parse_source(path)
    models, skipped = find_models(features, source)
    for line in () if quiet else skipped:
        _say(line)
    own = _of_models(models, source_probs=source_probs, source_labels=source_labels)
    ranking = rank_models(
        models,
        load_labels(labels),
        names,
        task=task,
        precision=precision,
        method=method,
        progress=False if quiet else None,
        n_threads=threads,
        **own,
        **_given(intercept=intercept),
        **options,
    )
    for name, reason in () if quiet else ranking.skipped.items():
        _say(f"{name} was skipped: it {reason}")
    for text in () if quiet else ranking.warnings:
        _say(f"note: {text}")
    if as_json:
        click.echo(ranking.to_json())
    elif as_csv:
        click.echo(ranking.to_csv(), nl=False)
    else:
        click.echo(ranking.to_markdown() if as_markdown else repr(ranking))
    if ranking.failed:
        _say(f"{len(ranking.failed)} of {len(ranking)} models failed", "red")
        ctx.exit(SOME_FAILED)


@main.command()
@click.argument("features", callback=_file)
@click.argument("labels", callback=_file)
@_shared_options
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
    from ._evaluate import score as score_features
    from ._render import write_csv
    from ._sources import label_source, load_labels, parse_source

    _one_of(json=as_json, csv=as_csv, explain=explain)
    with _usage():
        names = _names(metrics)
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
            **_given(
                source_probs=None if probs is None else probs.load(),
                source_labels=None if source_labels is None else load_labels(source_labels),
                intercept=intercept,
            ),
            **options,
        )
    for warning in () if quiet else caught:
        _say(f"note: {warning.message}")
    if as_json:
        click.echo(json.dumps({name: value.to_dict() for name, value in scores.items()}))
        return
    if as_csv:
        click.echo(write_csv(_columns(source.name, scores)), nl=False)
        return
    for name, value in scores.items():
        click.echo(value.explain() if explain else f"{name}\t{float(value)!r}")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="One line of JSON.")
def metrics(as_json: bool) -> None:
    """List the metrics: what each is for and measures, then what it needs, costs and comes from."""
    from ._registry import metric_rows

    rows = metric_rows()
    if as_json:
        click.echo(json.dumps(rows))
        return
    for name, row in rows.items():
        click.echo(f"{name}\t{', '.join(row['tasks'])}\t{row['summary']}")
        needs = "; ".join(_NEEDS.get(need, need) for need in row["needs"])
        facts = {"needs": needs, "cost": row["cost"], "source": row["source"], "use": row["when"]}
        for fact, text in facts.items():
            if text:
                click.echo(f"  {fact:<7} {text}")


def _names(metrics: str) -> str | list[str]:
    """Read a comma-separated list; one name is a list too, so that scores come by name."""
    from ._registry import metric_names

    if metrics == "all":
        return metrics
    return metric_names([name.strip() for name in metrics.split(",") if name.strip()])


def _of_models(models: Iterable[str], **paths: str | None) -> dict[str, Any]:
    """Find each model's array by its name in the folder or .npz of what its own head says."""
    from ._sources import arrays_by_name

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
                _say(f"note: {path} has no array for {name}")
    return found


@contextmanager
def _usage() -> Iterator[None]:
    """Report what is wrong with the arguments themselves, not with the data, as wrong usage."""
    try:
        yield
    except (DataError, DtypeError) as error:
        raise click.UsageError(str(error)) from error


def _one_of(**formats: bool) -> None:
    if sum(formats.values()) > 1:
        *others, last = (f"--{name}" for name in formats)
        raise click.UsageError(f"choose one of {', '.join(others)} and {last}")


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


def _given(**options: object) -> dict[str, Any]:
    """Keep the options that were given: the others have their metric's default."""
    return {name: value for name, value in options.items() if value is not None}


def _say(message: str, colour: str | None = None) -> None:
    """Write a message to standard error, coloured on a terminal unless NO_COLOR is set."""
    coloured = colour is not None and "NO_COLOR" not in os.environ and sys.stderr.isatty()
    click.echo(click.style(message, fg=colour) if coloured else message, err=True)


if __name__ == "__main__":
    main()
