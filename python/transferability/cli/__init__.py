"""Command line: results on standard output, messages on standard error.

Commands import NumPy and the native module only when they run, so that ``--help`` is fast.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

import click

from .._util.terminal import find_width, wrap_text
from ..errors import DataError, DtypeError, TransferabilityError
from ._help import Commands
from ._shared import BAD_DATA, say, warnings_as_notes
from ._words import reword
from .cache import cache
from .eval import evaluate
from .forecast import forecast
from .health import health
from .layers import layers
from .metrics import metrics
from .rank import rank
from .score import score
from .serve import serve
from .stats import merge, stats

__all__ = ["main"]

_EXIT_CODES = (
    "Exit codes: 0 ok; 1 another error, such as a missing package or a full disk; 2 wrong usage; "
    "3 bad data; 4 some models failed."
)


class _WrappedError(click.UsageError):
    """A usage error that breaks between words on a terminal."""

    _START = "Error: "  # which click writes before the message

    def format_message(self) -> str:
        text = wrap_text(self._START + super().format_message(), find_width(sys.stderr))
        return text.removeprefix(self._START)


class _Group(Commands):
    """Command group that turns exceptions of this package and the system into exit codes."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        if sys.stdout is None:  # click would write nothing and exit with 0
            say("error: standard output is closed", "red")
            sys.exit(1)
        try:
            return super().main(*args, **kwargs)
        except OSError as error:  # click handles closed pipes
            say(f"error: {error.filename or 'standard output'}: {error.strerror or error}", "red")
            with suppress(OSError):  # writing the rest of the buffer would fail again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with warnings_as_notes():
                return super().invoke(ctx)
        except click.UsageError as error:
            if type(error).show is not click.UsageError.show:  # it shows help
                raise
            raise _WrappedError(reword(error.format_message()), error.ctx) from error
        except TransferabilityError as error:
            say(f"error: {error}", "red")
            ctx.exit(BAD_DATA if isinstance(error, (DataError, DtypeError)) else 1)


@click.group(
    cls=_Group,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
    epilog=_EXIT_CODES,
)
@click.version_option(package_name="transferability")
def main() -> None:
    """Rank pre-trained models by how well their features predict your labels."""


for _command in (
    rank,
    score,
    stats,
    merge,
    evaluate,
    forecast,
    metrics,
    health,
    layers,
    cache,
    serve,
):
    main.add_command(_command)
