"""``transferability cache``: list, remove and verify cached statistics."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from ..errors import DataError
from ._help import Commands
from ._shared import BAD_DATA, say

__all__ = ["cache"]

_FOLDER = click.option(
    "--cache",
    "folder",
    type=click.Path(file_okay=False),
    help="Folder of the cache. Default: $TRANSFERABILITY_CACHE, else ~/.cache/transferability.",
)


@click.group(cls=Commands)
def cache() -> None:
    """List, remove and verify statistics cached by rank --models."""


@cache.command("ls")
@_FOLDER
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON per entry.")
def list_entries(folder: str | None, as_json: bool) -> None:
    """List entries: key, model, layer, rows x features, size, date."""
    from .._util.cache import Cache

    found = Cache(folder)
    total, size = 0, 0
    for entry in sorted(found.entries(), key=lambda entry: float(entry.meta["created"])):
        total, size = total + 1, size + entry.nbytes
        if as_json:
            click.echo(json.dumps({**entry.meta, "nbytes": entry.nbytes}, sort_keys=True))
        else:
            click.echo(_format_entry(entry))
    say(f"{total} entries, {_format_size(size)}, in {found.root}")


@cache.command("rm")
@_FOLDER
@click.argument("keys", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Remove every entry.")
@click.option("--model", help="Remove the entries of this model, as named in the ranking.")
def remove(folder: str | None, keys: tuple[str, ...], everything: bool, model: str | None) -> None:
    """Remove entries by key, by model, or all.

    KEYS are keys or unique prefixes of keys.
    """
    from .._util.cache import Cache

    if bool(keys) + everything + (model is not None) != 1:
        raise click.UsageError("give keys, or --model NAME, or --all")
    found = Cache(folder)
    there = found.keys()
    chosen = list(there) if everything else []
    if model is not None:
        chosen = [entry.key for entry in found.entries() if entry.meta.get("name") == model]
    for start in keys:
        matching = [key for key in there if key.startswith(start)]
        if len(matching) != 1:
            raise DataError(f"{len(matching)} entries have a key that begins with {start!r}")
        chosen += matching
    removed = sum(found.remove(key) for key in dict.fromkeys(chosen))
    say(f"{removed} entries removed from {found.root}")


@cache.command()
@_FOLDER
@click.pass_context
def verify(ctx: click.Context, folder: str | None) -> None:
    """Verify the checksums of all entries.

    Damaged entries are listed, and the exit code is 3.
    """
    from .._util.cache import Cache

    found = Cache(folder)
    damaged = found.verify()
    for key, damage in damaged.items():
        click.echo(f"{key}\t{damage}")
    say(f"{len(damaged)} of {len(found.keys())} entries are damaged, in {found.root}")
    if damaged:
        ctx.exit(BAD_DATA)


def _format_entry(entry: Any) -> str:
    meta = {"name": "?", "layer": "?", "n_samples": "?", "n_features": "?", **entry.meta}
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(float(meta["created"])))
    size, rows = _format_size(entry.nbytes), f"{meta['n_samples']} x {meta['n_features']}"
    return "\t".join((entry.key[:12], str(meta["name"]), str(meta["layer"]), rows, size, made))


def _format_size(nbytes: int) -> str:
    return f"{nbytes / 1e6:.1f} MB" if nbytes >= 1e5 else f"{nbytes / 1e3:.1f} kB"
