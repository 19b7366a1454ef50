"""``transferability rank --dask``: rank on the workers of a Dask cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from ..errors import TransferabilityError
from ._shared import note

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking

__all__ = ["rank_on_cluster", "refuse_with_dask", "split_shards"]


def split_shards(features: Sequence[str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Split entries into models NAME=PATH, read by the workers, and files, read by the client."""
    named: dict[str, Any] = {}
    others: list[str] = []
    for entry in features:
        name, equals, path = entry.partition("=")
        if not equals or "/" in name:  # a path may contain an equals sign
            others.append(entry)
        elif not name or not path:
            raise click.UsageError(f"{entry!r} is not NAME=PATH")
        elif name in named:
            raise click.UsageError(f"two models are called {name!r}: {named[name]} and {path}")
        else:
            named[name] = path
    return named, tuple(others)


def refuse_with_dask(**given: object) -> None:
    """Raise a usage error for options that a ranking from statistics on workers cannot use."""
    for name, value in given.items():
        if value not in (None, "auto"):
            raise click.UsageError(
                f"--dask computes from statistics alone, with one thread a worker; leave out "
                f"--{name.replace('_', '-')}"
            )


def rank_on_cluster(address: str, models: dict[str, Any], labels: str, **options: Any) -> Ranking:
    """Rank on the cluster of the Dask scheduler at an address."""
    from .._util.optional import need
    from ..dask import rank

    distributed = need("distributed", extra="dask", what="--dask")
    try:
        client = distributed.Client(address, set_as_default=False)
    except (OSError, ValueError) as error:  # no answer; unknown kind of address
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise TransferabilityError(f"no Dask scheduler answers at {address}: {reason}") from error
    with client:
        if not client.nthreads():
            note(f"the cluster at {address} has no workers yet; waiting for one")
        return rank(client, models, labels, **options)
