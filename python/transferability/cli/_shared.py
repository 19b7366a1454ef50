"""What commands have in common: options, checks, messages, exit codes."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

from .._util.threads import MOST
from ..errors import DataError, DtypeError

__all__ = [
    "BAD_DATA",
    "SOME_FAILED",
    "FormatsCommand",
    "check_output",
    "existing_file",
    "given",
    "names_of",
    "one_of",
    "prior_of",
    "refuse_beside",
    "say",
    "shared_options",
    "statistics_of",
    "usage",
]

BAD_DATA, SOME_FAILED = 3, 4

F = TypeVar("F", bound=Callable[..., Any])


class FormatsCommand(click.Command):
    """A command whose help lists suffixes of files, as ``{any}``, or sources, as ``{models}``.

    They are filled in from their tables when help is shown, since these tables need NumPy.
    """

    def get_help(self, ctx: click.Context) -> str:
        from .._data.tables import TABLES
        from ..io._formats import list_suffixes
        from ..models import SOURCES

        lists = {**list_suffixes(), "texts": ", ".join(TABLES)}
        lists["models"] = ", ".join(source.usage for source in SOURCES)
        self.help = (self.help or "").format(**lists)
        for option in self.params:
            if isinstance(option, click.Option):
                option.help = (option.help or "").format(**lists)
        return super().get_help(ctx)


def existing_file(ctx: click.Context, parameter: click.Parameter, value: Any) -> Any:
    """Check that files exist, so that a typing error is a usage error."""
    from ..io._formats import split_key

    for spec in value if isinstance(value, tuple) else (value,):
        if spec is None:
            continue
        path, _ = split_key(spec)
        if not path.exists():
            raise click.BadParameter(f"there is no file or folder {path}")
    return value


def options_given(
    ctx: click.Context, param: click.Parameter, given: tuple[str, ...]
) -> dict[str, Any]:
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


def shared_options(command: F) -> F:
    """Add the options that rank and score have in common."""
    for option in reversed(
        [
            click.option(
                "--metrics",
                default="logme",
                show_default=True,
                help="Names, comma-separated, 'all' or 'recommended'; the first one sorts.",
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
                callback=options_given,
                help="An option of the metrics, such as -o shrinkage=oas or -o k=10.",
            ),
            click.option(
                "--source-probs",
                callback=existing_file,
                help="Class probabilities of the source model, for metrics that need them.",
            ),
            click.option(
                "--source-labels",
                callback=existing_file,
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


def names_of(metrics: str) -> str | list[str]:
    """Read a comma-separated list; one name is a list too, so that scores come by name."""
    from .._metric.registry import metric_names

    if metrics in ("all", "recommended"):
        return metrics
    return metric_names([name.strip() for name in metrics.split(",") if name.strip()])


@contextmanager
def usage() -> Iterator[None]:
    """Report what is wrong with the arguments themselves, not with the data, as wrong usage."""
    try:
        yield
    except (DataError, DtypeError) as error:
        raise click.UsageError(str(error)) from error


def one_of(**formats: bool) -> None:
    if sum(formats.values()) > 1:
        *others, last = (f"--{name}" for name in formats)
        raise click.UsageError(f"choose one of {', '.join(others)} and {last}")


def given(**options: object) -> dict[str, Any]:
    """Keep the options that were given: the others have their metric's default."""
    return {name: value for name, value in options.items() if value is not None}


def say(message: str, colour: str | None = None) -> None:
    """Write a message to standard error, coloured on a terminal unless NO_COLOR is set."""
    coloured = colour is not None and "NO_COLOR" not in os.environ and sys.stderr.isatty()
    click.echo(click.style(message, fg=colour) if coloured else message, err=True)


def refuse_beside(files: str, **arguments: object) -> None:
    """Refuse what statistics have decided already, or cannot use."""
    for name, value in arguments.items():
        if value not in (None, False, 0, "auto", "double", "pooled"):
            raise click.UsageError(
                f"{name.replace('_', '-')} cannot be given with {files}: statistics have their "
                f"labels, task and precision, and no samples"
            )


def check_output(output: str) -> None:
    """Refuse to write over what is no FILE.stats, such as features after ``-o x_*.npy``."""
    if Path(output).exists() and not output.endswith(".stats"):
        raise click.UsageError(
            f"{output} exists and is no FILE.stats; give --output a name of its own"
        )


def statistics_of(files: tuple[str, ...]) -> dict[str, Any]:
    """Load files of statistics by their names, or paths where names are equal."""
    from .._stats.stats import Stats

    stems = [Path(file).stem for file in files]
    names = stems if len(set(stems)) == len(stems) else list(files)
    return {name: Stats.load(file) for name, file in zip(names, files, strict=True)}


def prior_of(models: Iterable[str], path: str | None) -> dict[str, float] | None:
    """Read what is known of these models; the file may know others."""
    if path is None:
        return None
    from ..agreement._csv import read_truth

    known, names = read_truth(path), [*models]
    found = {name: known[name] for name in names if name in known}
    if not found:
        raise DataError(
            f"{path} knows none of these models ({', '.join(names[:5])}); it has "
            f"{', '.join([*known][:5])}"
        )
    if missing := [name for name in names if name not in known]:
        say(f"note: {path} has no number for {', '.join(missing[:5])}")
    return found
