"""Help of the commands: whole summaries, and lists of file formats and sources of models."""

from __future__ import annotations

import click

__all__ = ["Commands", "FormatsCommand"]


class Commands(click.Group):
    """A group whose help has the whole first sentence of each command."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the names and summaries of the commands, which click would cut to one line."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, command.get_short_help_str(limit=10_000))
                    for name, command in sorted(self.commands.items())
                ]
            )


class FormatsCommand(click.Command):
    """A command whose help has lists of suffixes or sources, such as ``{any}`` or ``{models}``.

    They are filled in when help is shown, because their tables import NumPy.
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
