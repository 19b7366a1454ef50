"""``transferability health``: effective ranks, decay and dead units of features, without labels."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import click

from ..errors import DataError, DtypeError
from ._help import FormatsCommand
from ._shared import (
    BAD_DATA,
    JSON,
    QUIET,
    SOME_FAILED,
    THREADS,
    as_usage_errors,
    check_exists,
    load_statistics,
    note,
    say,
    show_table,
)
from ._words import reword

__all__ = ["health"]


@click.command(cls=FormatsCommand)
@click.argument("features", nargs=-1, required=True, callback=check_exists)
@click.option(
    "--samples",
    callback=check_exists,
    help="Name of the sample of which each row is an augmented view, in a file like labels; adds "
    "LiDAR.",
)
@THREADS
@JSON
@QUIET
@click.pass_context
def health(
    ctx: click.Context,
    /,
    features: tuple[str, ...],
    samples: str | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,  # read by `note`
) -> None:
    """Describe features without labels, beside random features of the same shape.

    FEATURES are files of one array ({array}) or table ({table}), folders of these, or files of
    several arrays ({container}); FILE:NAME selects one array. Each is a column. They are read in
    blocks. FEATURES may also be files written by 'transferability stats' (FILE.stats).
    """
    from ..health import check
    from ..health._health import tabulate
    from ..io._sources import load_labels, parse_label_source

    with as_usage_errors():
        if samples is not None:
            if any(path.endswith(".stats") for path in features):
                raise DataError("--samples needs arrays: a FILE.stats holds no rows")
            parse_label_source(samples)
    named = None if samples is None else load_labels(samples)
    found, failed = {}, []
    opened = _open(features)
    for name, open_one in opened.items():
        try:
            found[name] = check(open_one(), named, n_threads=threads)
        except (DataError, DtypeError) as error:
            if len(opened) == 1:
                raise
            failed.append(f"{name}: {reword(error)}")
    if as_json:
        click.echo(json.dumps({name: one.to_dict() for name, one in found.items()}))
    elif found:
        show_table(tabulate(found))
    for line in failed:
        say(f"error: {line}", "red")
    if failed:
        ctx.exit(SOME_FAILED if found else BAD_DATA)


def _open(paths: tuple[str, ...]) -> dict[str, Callable[[], Any]]:
    """Return functions that open features, or return loaded statistics, by name."""
    from ..io import open_features
    from ..io._sources import find_models

    stats = tuple(path for path in paths if path.endswith(".stats"))
    opened: dict[str, Callable[[], Any]] = {}
    if arrays := [path for path in paths if path not in stats]:
        sources, skipped = find_models(arrays)
        for line in skipped:
            note(line)
        for name, source in sources.items():
            opened[name] = functools.partial(open_features, source.path, key=source.member)
    for name, own in load_statistics(stats).items():
        if name in opened:
            name += ".stats"
        opened[name] = functools.partial(lambda stats: stats, own)
    return opened
