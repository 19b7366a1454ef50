"""``transferability stats`` and ``merge``: compute and merge files of statistics."""

from __future__ import annotations

import os
from collections.abc import Mapping
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DataError, DtypeError
from ._help import FormatsCommand
from ._shared import (
    ANY_TASK,
    PRECISION,
    QUIET,
    THREADS,
    as_usage_errors,
    check_exists,
    check_output,
    say,
)

if TYPE_CHECKING:
    from .._stats.stats import Stats

__all__ = ["merge", "stats"]


_OUTPUT = click.option(
    "--output", "-o", required=True, type=click.Path(dir_okay=False), help="FILE.stats to write."
)


class _ManyLabels(FormatsCommand):
    """A command with several files after ``--labels``: a shell expands ``--labels y_*.npy``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        spread: list[str] = []
        taking = False
        for arg in args:
            if arg == "--labels":
                taking = True
                continue
            if arg.startswith("-") and arg != "-":
                taking = False
            spread += ["--labels", arg] if taking else [arg]
        return super().parse_args(ctx, spread)


@click.command(cls=_ManyLabels)
@click.argument("features", nargs=-1)
@click.option(
    "--labels",
    multiple=True,
    metavar="FILE...",
    help="Files of labels, up to the next option: one per file of FEATURES, paired by name, or one "
    "for all.",
)
@click.option(
    "--pair",
    "pairs",
    nargs=2,
    multiple=True,
    metavar="X Y",
    help="A file of features and its file of labels, whatever their names; repeatable, in place of "
    "FEATURES and --labels.",
)
@click.option("--label-column", help="Column or array of FEATURES with the labels.")
@click.option("--key", help="Array or columns to read, if FEATURES hold several.")
@_OUTPUT
@ANY_TASK
@click.option(
    "--class-scatters",
    is_flag=True,
    help="Also compute the scatter matrix of every class, which some metrics need.",
)
@PRECISION
@click.option("--resume", is_flag=True, help="Resume after the last complete shard.")
@THREADS
@QUIET
def stats(
    features: tuple[str, ...],
    labels: tuple[str, ...],
    pairs: tuple[tuple[str, str], ...],
    label_column: str | None,
    key: str | None,
    output: str,
    task: str,
    class_scatters: bool,
    precision: str,
    resume: bool,
    threads: int | None,
    quiet: bool,
) -> None:
    """Compute the statistics of features in files in one pass.

    FEATURES are the shards of one model: files ({any}), folders of them, or quoted patterns such as
    'X_*.npy', whose files are read in natural order. Until the pass ends, FILE.stats.partial keeps
    the statistics of the complete shards for --resume.
    """
    from ..io import open_features, stats_of

    if pairs and (features or labels or label_column is not None):
        raise click.UsageError("--pair takes the place of FEATURES, --labels and --label-column")
    if not pairs and not features:
        raise click.UsageError("Missing argument 'FEATURES...', or --pair X Y for each file.")
    is_labelled = bool(pairs or labels or label_column is not None)
    if not is_labelled and task != "unlabelled":
        raise click.UsageError(
            "give the labels with --labels or --label-column, or --task unlabelled for none"
        )
    if is_labelled and task == "unlabelled":
        raise click.UsageError("--task unlabelled reads no labels; leave them out")
    check_output(output)
    partial = Path(f"{output}.partial")
    with as_usage_errors():
        _check([*features, *labels, *(path for pair in pairs for path in pair)], partial, resume)
    if pairs:
        source = open_features(pairs, key=key)
    else:
        beside = [Path(spec) for spec in labels] or None
        source = open_features(list(features), beside, key=key, label_column=label_column)
    if resume and not quiet and not partial.exists():
        say(f"there is no {partial}; starting with the first shard")
    made = stats_of(
        source,
        task=task,
        class_scatters=class_scatters,
        precision=precision,
        n_threads=threads,
        progress=False if quiet else None,
        checkpoint=partial,
    )
    made.save(output)
    partial.unlink(missing_ok=True)
    if not quiet:
        _report(output, made, len(source.shards))


@click.command()
@click.argument("files", nargs=-1, required=True, callback=check_exists)
@_OUTPUT
@QUIET
def merge(files: tuple[str, ...], output: str, quiet: bool) -> None:
    """Merge statistics of different rows of the same features.

    FILES are written by 'transferability stats'. Their order does not change the result.
    """
    from .._stats.stats import Stats

    check_output(output)
    paths = [Path(file).resolve() for file in files]
    with as_usage_errors():
        if Path(output).resolve() in paths:
            raise DataError(f"{output} is both read and written; it may hold the others already")
        for file, path in zip(files, paths, strict=True):
            if paths.count(path) > 1:
                raise DataError(f"{file} is given twice; its rows would count twice")
    states = [Stats.load(file) for file in files]
    merged = _merge(dict(zip(files, states, strict=True)))
    merged.save(output)
    if not quiet:
        _report(output, merged, len(files))


def _merge(states: Mapping[str, Stats]) -> Stats:
    """Merge statistics by file; an error names the first file that does not go with the first."""
    from .._stats.stats import Stats

    try:
        return Stats.merge_all(states.values())
    except (DataError, DtypeError):
        (first, held), *others = states.items()
        for file, stats in others:
            try:
                held.merge(stats)
            except (DataError, DtypeError) as error:
                raise type(error)(f"{file} does not go with {first}: {error}") from error
        raise


def _report(output: str, stats: Any, n_files: int) -> None:
    """Print the name, shape and task of a written file."""
    rows = f"{stats.n_samples:,} rows x {stats.n_features} features"
    files = "1 file" if n_files == 1 else f"{n_files} files"
    task = f"task {stats.task_note}" if stats.task == "auto" else stats.task
    say(f"{output}: {rows} of {files}, {task}")


def _check(files: list[str], partial: Path, resume: bool) -> None:
    """Validate the arguments before any file is opened."""
    from ..io._formats import split_key

    for spec in files:
        path, _ = split_key(spec)
        if not path.exists() and not has_magic(str(path)):
            raise DataError(f"there is no file or folder {path}")
    if not os.access(partial.parent, os.W_OK):
        raise DataError(f"there is no folder {partial.parent} that can be written to")
    if partial.exists() and not resume:
        raise DataError(
            f"{partial} holds the complete shards of an interrupted pass; continue it with "
            f"--resume, or delete that file to start again"
        )
