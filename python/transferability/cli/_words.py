"""Messages in the words of the command line: options in place of arguments and calls of Python.

The package advises in Python, as in ``task='regression'``, "leave_out" or "call rank". Arguments
become options of the command that runs, so this table cannot lag behind the options. ``PHRASES``
has advice that is no argument. ``tests/python/test_words.py`` reads every message of the package
and fails for Python advice that nothing here translates, and for a phrase that no message has.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable
from typing import Any

import click

from .._util.words import ARGUMENT, CONSTANT, OF_ARRAYS, Phrases, read_literal

__all__ = ["FOREIGN", "PHRASES", "Words", "name_argument", "reword"]
__all__ += ["reword_phrases", "reword_ranking"]

#: Key of ``ctx.meta`` with the options that do not go with the given arguments.
FOREIGN = "transferability.foreign"

#: Options by the argument that Python calls otherwise; the first that the command has is taken.
_OTHERWISE = {
    "aggregate": ("aggregate", "layer_choice"),
    "cost": ("pareto",),
    "label": ("label_column",),
    "n_threads": ("threads",),
    "samples": ("samples",),
    "target": ("target_value",),
    "text": ("text_column",),
}
_NAME = re.compile(r"(?<![\w'\"/.\-:=\[{&?@])([a-z]+(?:_[a-z]+)+)(?![\w'\"/(\[=\-]|[.:]\w)")
_GIVEN = re.compile(r"\b(?:pass|give) ([a-z_]+)(?=[,;.)]|$| or )")
_UNKNOWN = re.compile(r"(?<=unknown option )'([a-z_]+)'")
_TAKEN = re.compile(r"\b(takes?) ((?:[a-z_]+, )*[a-z_]+)(?=;|$)")
_IS = re.compile(r"(?<![\w'\".\-=])([a-z_]+)(?= is (?:['\"\d-]|None|True|False))")

#: What messages say in Python, as regular expressions, and what the command line says.
PHRASES: tuple[tuple[str, str], ...] = (
    *OF_ARRAYS,
    (r"among models only; call rank\b", "among models only; use 'transferability rank'"),
    (
        r"make them with Stats\(class_scatters=True\)",
        "compute them by 'transferability stats --class-scatters'",
    ),
    (
        r"; statistics take it as Stats\(task=\.\.\.\), or later by stats\.replace\(task=\.\.\.\)",
        "",
    ),
    (r"make them with Stats\('(\w+)'\)", r"compute them by 'transferability stats --task \1'"),
    (
        r"this ranking does not know its features \(it was unpickled, or made of Stats, or of "
        r"ensembles by their members, or by rank_models without keep_features=True and a cache\); "
        r"rank features in this process, or use Stability\.from_shards",
        "the features cannot be read again: these are statistics, or models that ran without "
        "--keep-features or without a cache",
    ),
    (
        r"for a class of each pixel pass \(images, masks\) with task='segmentation', otherwise",
        "the command line reads no class of each pixel; give",
    ),
    (r"(give one subfolder for each class), or pass \(paths, labels\)", r"\1"),
    (
        r"pass the pairs themselves in place of both: \[\(x, y\), \.\.\.\]",
        "give --pair X Y for each to 'transferability stats'",
    ),
    (r"pass the pattern or the folder itself", "give the pattern itself, in quotes, or the folder"),
    (r"give both as patterns(?! in)", "give both as patterns in quotes"),
    (
        r"extract the features, and rank them by rank\(\.\.\., groups=\.\.\.\)",
        "extract the features, and rank their files with --groups",
    ),
    (
        r"give others by rank\(\.\.\., costs=\.\.\.\), or cost as numbers by model",
        "give others by --costs",
    ),
    (
        r"pass attention_mask=, or attention_mask=\{[^}]*\} if all tokens count",
        "a model of your own takes it as an argument of its forward",
    ),
    (
        r"compare with permuted labels \(reference=(\d+)\)",
        r"compare with permuted labels (score --reference \1)",
    ),
    (
        r"is NaN here, with its parts as attributes: it is defined among models, by rank",
        "is NaN here: it is defined among models only; use 'transferability rank'",
    ),
    (
        r"call lidar\(stats\) if they are",
        "'transferability score --metrics lidar' takes them for samples",
    ),
    (r"list_layers\(model, example\) shows all", "'transferability layers --all' shows all"),
    (
        r"To see how sure this order is, pass stability=ranking\.stability\(\)\.",
        "How sure this order is takes features that can be read again.",
    ),
)
_PHRASES = Phrases(PHRASES)


class Words:
    """Translate messages to the options of one command.

    `params` are the command's; those in `foreign` do not go with the given arguments.
    """

    def __init__(self, params: Iterable[click.Parameter], foreign: Collection[str] = ()) -> None:
        self._params = {p.name: p for p in params if p.name and p.name not in foreign}

    def __call__(self, text: str) -> str:
        """Return a message in the words of the command."""
        text = ARGUMENT.sub(self._write_argument, reword_phrases(text))
        text = _GIVEN.sub(self._write_given, text)
        text = _UNKNOWN.sub(lambda found: self._call_option(found[1]), text)
        text = _TAKEN.sub(lambda found: f"{found[1]} {self._call_options(found[2])}", text)
        text = _NAME.sub(self._write_name, _IS.sub(self._write_name, text))
        return CONSTANT.sub(lambda found: found[0].lower(), text)

    def _find(self, name: str) -> click.Parameter | None:
        known = (self._params.get(own) for own in _OTHERWISE.get(name, (name,)))
        return next((param for param in known if param is not None), None)

    def _write_argument(self, found: re.Match[str]) -> str:
        name, value = found[1], found[2]
        param = self._find(name)
        if value == "False" and f"no_{name}" in self._params:
            return f"--no-{name.replace('_', '-')}"
        if isinstance(param, click.Argument):
            return _call(param)
        if isinstance(param, click.Option):
            return _write_option(param, value)
        shown = _read(value)
        if name == "key":  # arrays and columns are named beside their file
            return f"FILE:{shown or 'NAME'}"
        if name == "method":  # of a command that has only statistics
            return "an SVD"
        if name == "class_scatters":  # of the command that computes statistics
            return "stats --class-scatters"
        if name == "label_column":
            return f"{self.name('labels')} FILE:{shown or 'NAME'}"
        if "options" in self._params and name in _metric_options():
            return f"-o {name}={shown}"
        return found[0]

    def _write_given(self, found: re.Match[str]) -> str:
        param = self._find(found[1])
        return found[0] if param is None else f"give {_call(param)}"

    def _write_name(self, found: re.Match[str]) -> str:
        param = self._find(found[1])
        return found[0] if param is None else _call(param)

    def name(self, argument: str) -> str:
        """Return how the command calls an argument of Python; as it is if it has no such option."""
        param = self._find(argument)
        return argument if param is None else _call(param)

    def _call_option(self, name: str) -> str:
        """Return how an option of a metric is set: by an option of its own, or by ``-o``."""
        return self.name(name) if self._find(name) is not None else f"-o {name}"

    def _call_options(self, names: str) -> str:
        """Return a list of options of metrics as they are set; any other list as it is."""
        known = _metric_options()
        listed = names.split(", ")
        return ", ".join(map(self._call_option, listed)) if known.issuperset(listed) else names


def _call(param: click.Parameter) -> str:
    """Return how the command's help calls a parameter."""
    return param.opts[0] if isinstance(param, click.Option) else str(param.name).upper()


def _write_option(option: click.Option, value: str) -> str:
    """Return an option with a value that is written in Python."""
    if value == "False" and option.secondary_opts:
        return option.secondary_opts[0]
    if value == "False":
        return f"no {_call(option)}"
    if option.is_flag:
        return _call(option)
    return f"{_call(option)} {_read(value)}".rstrip()


def _read(value: str) -> str:
    """Return a value in Python as a word of a command: no quotes unless a shell needs them."""
    read = read_literal(value)
    if read in ("", value):  # it is not given, or no literal
        return str(read)
    if isinstance(read, list):
        return shlex.quote(",".join(map(str, read)))
    if read is None or isinstance(read, bool):
        return str(read).lower()
    return shlex.quote(str(read))


def _metric_options() -> frozenset[str]:
    """Return the names of the options of all metrics, which ``-o`` sets."""
    from .._metric.registry import known_specs

    return frozenset(name for spec in known_specs().values() for name in spec.option_names)


def _words() -> Words | None:
    """Return the words of the command that runs; None outside of commands."""
    context = click.get_current_context(silent=True)
    if context is None:
        return None
    command = context.command
    if isinstance(command, click.Group) and context.invoked_subcommand is not None:
        command = command.get_command(context, context.invoked_subcommand) or command
    return Words(command.params, context.meta.get(FOREIGN, ()))


def name_argument(name: str) -> str:
    """Return how the command that runs calls an argument of Python."""
    words = _words()
    return words.name(name) if words is not None else name


def reword(text: object) -> str:
    """Return a message in the words of the command that runs; a message in them stays as it is."""
    words = _words()
    return str(text) if words is None else words(str(text))


def reword_phrases(page: str) -> str:
    """Return a document with the phrases of the command line, and arguments as they are."""
    return _PHRASES(page)


def reword_ranking(ranking: Any) -> Any:
    """Return a ranking whose notes, errors and warnings are in the words of the command."""
    rows = tuple(
        row.replace(
            notes=tuple(map(reword, row.notes)),
            error=None if row.error is None else reword(row.error),
            dropped=None if row.dropped is None else reword(row.dropped),
        )
        for row in ranking.rows
    )
    return ranking.replace(
        rows=rows,
        warnings=tuple(map(reword, ranking.warnings)),
        skipped={name: reword(why) for name, why in ranking.skipped.items()},
        task_note=reword(ranking.task_note),
    )
