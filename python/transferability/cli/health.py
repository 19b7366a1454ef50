"""``transferability health``: effective ranks, decay and dead units of features, without labels."""

from __future__ import annotations

import json
import warnings
from typing import Any

import click

from ..errors import DataError, TransferabilityWarning
from ._shared import (
    JSON,
    QUIET,
    THREADS,
    FormatsCommand,
    as_usage_errors,
    check_exists,
    load_statistics,
    say,
)

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
def health(
    features: tuple[str, ...],
    samples: str | None,
    threads: int | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Describe features without labels, beside random features of the same shape.

    FEATURES are files of one array ({array}) or table ({table}), folders of these, or files of
    several arrays ({container}); FILE:NAME selects one array. Each is a column. They are read in
    blocks. FEATURES may also be files written by 'transferability stats' (FILE.stats).
    """
    from ..health import check
    from ..health._health import to_text
    from ..io._sources import load_labels, parse_label_source

    with as_usage_errors():
        if samples is not None:
            if any(path.endswith(".stats") for path in features):
                raise DataError("--samples needs arrays: a FILE.stats holds no rows")
            parse_label_source(samples)
    named = None if samples is None else load_labels(samples)
    found = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", TransferabilityWarning)
        for name, source in _open(features, quiet).items():
            found[name] = check(source, named, n_threads=threads)
    for warning in () if quiet else caught:
        say(f"note: {warning.message}")
    if as_json:
        click.echo(json.dumps({name: one.to_dict() for name, one in found.items()}))
    else:
        click.echo(to_text(found))


def _open(paths: tuple[str, ...], quiet: bool) -> dict[str, Any]:
    """Open features and load statistics, by name, in the order of the arguments."""
    from ..io import open_features
    from ..io._sources import find_models

    stats = tuple(path for path in paths if path.endswith(".stats"))
    opened: dict[str, Any] = {}
    if arrays := [path for path in paths if path not in stats]:
        sources, skipped = find_models(arrays)
        for line in () if quiet else skipped:
            say(f"note: {line}")
        for name, source in sources.items():
            opened[name] = open_features(source.path, key=source.member)
    for name, own in load_statistics(stats).items():
        if name in opened:
            name += ".stats"
        opened[name] = own
    return opened
