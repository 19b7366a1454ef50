"""``transferability merge``: merge statistics of disjoint rows."""

from __future__ import annotations

from pathlib import Path

import click

from ..errors import DataError
from ._shared import QUIET, as_usage_errors, check_exists, check_output, say

__all__ = ["merge"]


@click.command()
@click.argument("files", nargs=-1, required=True, callback=check_exists)
@click.option(
    "--output", "-o", required=True, type=click.Path(dir_okay=False), help="FILE.stats to write."
)
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
    merged = Stats.merge_all([Stats.load(file) for file in files])
    merged.save(output)
    if not quiet:
        say(
            f"{output}: {merged.n_samples:,} rows x {merged.n_features} features of {len(files)} "
            f"files, {merged.task}"
        )
