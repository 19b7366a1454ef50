"""Shared parts of the commands: options, validation, messages, exit codes."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from .._util.table import Table
from .._util.terminal import find_width, wrap_text
from .._util.threads import MOST
from ..errors import DataError, DtypeError, TransferabilityWarning
from ._words import name_argument, reword

__all__ = [
    "ANY_TASK",
    "BAD_DATA",
    "JSON",
    "PRECISION",
    "QUIET",
    "SOME_FAILED",
    "TASK",
    "THREADS",
    "add_options",
    "as_usage_errors",
    "check_exclusive",
    "check_exists",
    "check_output",
    "check_paths",
    "drop_none",
    "drop_told",
    "load_prior",
    "load_statistics",
    "load_views",
    "note",
    "parse_options",
    "pick",
    "read_prior_file",
    "refuse_with_stats",
    "say",
    "shared_options",
    "show",
    "show_table",
    "tell",
    "tell_skipped",
    "warnings_as_notes",
]

BAD_DATA, SOME_FAILED = 3, 4
_TOLD = f"{__name__}.told"  # key in the meta of a command's context

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


def check_exists(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Validate that files exist, so that a mistyped path is a usage error."""
    check_paths(value if isinstance(value, tuple) else (value,))
    return value


def check_paths(specs: Iterable[str | None]) -> None:
    """Raise a usage error for a path, or a path with an array, that does not exist."""
    from ..io._formats import split_key

    for spec in specs:
        if spec is not None and not (path := split_key(spec)[0]).exists():
            file = spec.rpartition(":")[0]
            hint = f"; {file} has no parts with names" if file and Path(file).is_file() else ""
            raise click.BadParameter(f"there is no file or folder {path}{hint}")


def parse_options(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
    """Parse NAME=VALUE, where VALUE is true, false, none, JSON or otherwise a string."""
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


def add_options(options: Iterable[Callable[[F], F]]) -> Callable[[F], F]:
    """Return a decorator that adds options to a command, in this order."""

    def add(command: F) -> F:
        for option in reversed([*options]):
            command = option(command)
        return command

    return add


_TASKS = ("auto", "classification", "regression", "multilabel")
TASK = click.option("--task", default="auto", type=click.Choice(_TASKS), help="Type of the labels.")
ANY_TASK = click.option(
    "--task",
    default="auto",
    type=click.Choice([*_TASKS, "unlabelled"]),
    help="Type of the labels; unlabelled reads none.",
)
PRECISION = click.option(
    "--precision",
    default="double",
    type=click.Choice(["double", "single"]),
    help="Precision of the products of float32 features.",
)
THREADS = click.option(
    "--threads", type=click.IntRange(1, MOST), help="Number of threads. Default: all cores."
)
JSON = click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
QUIET = click.option("--quiet", "-q", is_flag=True, help="Hide messages and progress.")
#: The options of rank and score.
shared_options = add_options(
    (
        click.option(
            "--metrics",
            default="logme",
            help="Names separated by commas; 'all'; or 'recommended': pairs of models by "
            "ridge_probe, and those within its standard error shared with logme. rank sorts by the "
            "first.",
        ),
        TASK,
        click.option(
            "--intercept/--no-intercept",
            default=None,
            help="Fit a constant term. Default: only for regression.",
        ),
        PRECISION,
        click.option(
            "--method",
            default="auto",
            type=click.Choice(["auto", "tridiagonal", "svd"]),
            help="Compute from statistics (tridiagonal) or from the samples (svd).",
        ),
        click.option(
            "--option",
            "-o",
            "options",
            multiple=True,
            metavar="NAME=VALUE",
            callback=parse_options,
            help="Set an option of a metric, such as -o shrinkage=oas or -o k=10; repeatable.",
        ),
        click.option(
            "--source-probs",
            callback=check_exists,
            help="Class probabilities by the source model's head, for metrics that need them.",
        ),
        click.option(
            "--source-labels",
            callback=check_exists,
            help="Classes predicted by the source model's head, for metrics that need them.",
        ),
        click.option(
            "--label-embeddings",
            callback=check_exists,
            help="File or folder with an array for each view of the labels, a row for each "
            "sample; for emms.",
        ),
        click.option(
            "--groups", callback=check_exists, help="File with the group of each row, like labels."
        ),
        click.option(
            "--aggregate",
            default="pooled",
            metavar="HOW",
            help="With --groups: pooled, or the min, mean, median or quantile(q) of the groups' "
            "scores.",
        ),
        click.option(
            "--leave-out",
            type=click.Choice(["row", "group"]),
            help="With --groups: let ridge_probe and knn predict each row from the other rows (the "
            "default), or from those of other groups.",
        ),
        THREADS,
        JSON,
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV with full precision."),
        QUIET,
    )
)


@contextmanager
def as_usage_errors() -> Iterator[None]:
    """Raise data errors of the enclosed block as usage errors."""
    try:
        yield
    except (DataError, DtypeError) as error:
        raise click.UsageError(str(error)) from error


def check_exclusive(**formats: bool) -> None:
    """Raise a usage error if more than one of these flags is set."""
    if sum(formats.values()) > 1:
        *others, last = (f"--{name}" for name in formats)
        raise click.UsageError(f"choose one of {', '.join(others)} and {last}")


def drop_none(**options: object) -> dict[str, Any]:
    """Return the options that are not None; the others keep their defaults."""
    return {name: value for name, value in options.items() if value is not None}


def say(message: str, colour: str | None = None) -> None:
    """Write a message to standard error, in the words of the command that runs.

    It is coloured on a terminal unless NO_COLOR is set.
    """
    message = wrap_text(reword(message), find_width(sys.stderr))
    coloured = colour is not None and "NO_COLOR" not in os.environ and sys.stderr.isatty()
    click.echo(click.style(message, fg=colour) if coloured else message, err=True)


def show(text: str) -> None:
    """Write a text to standard output, in the words of the command, without notes it has told."""
    click.echo(wrap_text(drop_told(reword(text)), find_width(sys.stdout)))


def show_table(table: Table) -> None:
    """Write a table to standard output as :func:`show` does, to the width of the terminal."""
    fitted = table.reword(lambda line: drop_told(reword(line)))
    click.echo(fitted.to_text(find_width(sys.stdout)))


def tell(message: str) -> None:
    """Write a message to standard error, unless the command has --quiet."""
    if not _is_quiet():
        say(message)


def note(message: object, kind: str = "note") -> None:
    """Write a note to standard error, unless the command has --quiet or has written it before."""
    text, told = reword(message), _told()
    if text not in told:
        tell(f"{kind}: {text}")
        told.add(text)


def tell_skipped(skipped: Mapping[str, str]) -> None:
    """Write which metrics were skipped, those of one reason in one line."""
    reasons = {name: reword(reason) for name, reason in skipped.items()}
    for reason in dict.fromkeys(reasons.values()):
        names = [name for name, own in reasons.items() if own == reason]
        was = "was skipped: it" if len(names) == 1 else "were skipped: each"
        tell(f"{', '.join(names)} {was} {reason}")


def drop_told(text: str) -> str:
    """Return the text of a result without the notes that standard error has had."""
    known = () if _is_quiet() else {f"Note: {message}" for message in _told()}
    return "\n".join(line for line in text.split("\n") if line not in known).rstrip("\n")


def _is_quiet() -> bool:
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.params.get("quiet"))


def _told() -> set[str]:
    """Return the notes and warnings that this command has written."""
    context = click.get_current_context(silent=True)
    return set() if context is None else context.meta.setdefault(_TOLD, set())


@contextmanager
def warnings_as_notes() -> Iterator[None]:
    """Print warnings of this package once, in one line without the place in the code of click."""
    told: set[str] = set()
    with warnings.catch_warnings():
        warnings.simplefilter("always", TransferabilityWarning)
        show = warnings.showwarning

        def tell_once(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if not issubclass(category, TransferabilityWarning):
                show(message, category, *rest, **more)
            elif str(message) not in told:
                told.add(str(message))
                note(message, "warning")

        warnings.showwarning = tell_once
        yield


def refuse_with_stats(files: str, **arguments: object) -> None:
    """Raise a usage error for arguments that are part of saved statistics, or need samples."""
    for name, value in arguments.items():
        if value not in (None, False, 0, "auto", "double", "pooled"):
            raise click.UsageError(
                f"{name_argument(name)} cannot be given with {files}: statistics contain "
                f"their labels, task and precision, but no samples"
            )


def refuse_task(task: str, models: Mapping[str, Any]) -> None:
    """Raise a usage error for a task with saved statistics that have decided theirs."""
    if all(stats.task != "auto" for stats in models.values()):
        refuse_with_stats("FILE.stats", task=task)


def check_output(output: str) -> None:
    """Raise rather than overwrite a file other than FILE.stats, as after ``-o x_*.npy``."""
    if Path(output).exists() and not output.endswith(".stats"):
        raise click.UsageError(
            f"{output} exists and is no FILE.stats; give --output a name of its own"
        )


def load_statistics(files: tuple[str, ...]) -> dict[str, Any]:
    """Load files of statistics by model; models are named by file stem, or path if not unique."""
    from .._stats.stats import Stats

    stems = [Path(file).stem for file in files]
    names = stems if len(set(stems)) == len(stems) else list(files)
    return {name: Stats.load(file) for name, file in zip(names, files, strict=True)}


def read_prior_file(chosen: Mapping[str, Any]) -> dict[str, float]:
    """Read the known numbers of all models in the CSV file of --prior."""
    from ..agreement._csv import read_truth

    return read_truth(chosen["prior"], chosen["prior_column"], "prior", "--prior-column")


def load_prior(models: Iterable[str], chosen: Mapping[str, Any]) -> dict[str, float] | None:
    """Return the known numbers of these models in the CSV file of --prior."""
    path = chosen["prior"]
    if path is None:
        return None
    return pick(read_prior_file(chosen), models, path, "number", "knows none of these models")


def load_views(path: str | None) -> dict[str, Any] | None:
    """Load the views of label embeddings from the arrays of a file or folder."""
    from ..io._sources import find_arrays

    if path is None:
        return None
    return {name: array.load() for name, array in find_arrays(path).items()}


def pick(
    found: Mapping[str, T], models: Iterable[str], path: str, what: str, none: str
) -> dict[str, T]:
    """Return the entries of these models; print missing ones, and raise if all are missing."""
    names = [*models]
    missing = [name for name in names if name not in found]
    if len(missing) == len(names):
        known = ", ".join([*found][:5])
        raise DataError(f"{path} {none} ({', '.join(names[:5])}); it has {known}")
    if missing:
        note(f"{path} has no {what} for {', '.join(missing[:5])}")
    return {name: found[name] for name in names if name in found}
