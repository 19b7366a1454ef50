"""``--html``: the report beside a table."""

from __future__ import annotations

import warnings
from typing import Any

import click

from ..errors import DataError, TransferabilityWarning
from ._shared import say

__all__ = ["html_option", "write_report"]

html_option = click.option(
    "--html",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Also write a report for people, with how sure the order is.",
)


def write_report(ranking: Any, path: str, stability: Any, quiet: bool) -> None:
    """Write the report; where the order cannot be resampled it does without, and that is said."""
    if stability is None:
        try:
            with warnings.catch_warnings():  # the report has them
                warnings.simplefilter("ignore", TransferabilityWarning)
                stability = ranking.stability()
        except DataError as error:
            if not quiet:
                say(f"note: the report has no intervals: {error}")
    ranking.to_html(path, stability=stability)
