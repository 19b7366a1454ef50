"""Names of models, ``scheme:name@revision?option=value``, and the contract of their sources."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from .._inputs.arguments import suggest
from ..errors import DataError

if TYPE_CHECKING:
    from ._model import Model

__all__ = ["COMMON_OPTIONS", "ModelSpec", "SourceSpec", "parse_spec"]

#: Options that :func:`transferability.models.open_model` itself applies, for every source.
COMMON_OPTIONS = ("layer", "pool")
_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "none")


@dataclass(frozen=True)
class ModelSpec:
    """The parsed name of a model; ``str`` formats it again."""

    scheme: str
    name: str
    revision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Format the name as users write it."""
        revision = "" if self.revision is None else f"@{self.revision}"
        query = f"?{urlencode(self.options, safe='/:,')}" if self.options else ""
        prefix = f"{self.scheme}:" if self.scheme else ""
        return f"{prefix}{self.name}{revision}{query}"

    def text(self, option: str, default: str | None = None) -> str | None:
        """Return an option as text."""
        return self.options.get(option, default)

    def flag(self, option: str, default: bool) -> bool:
        """Return an option that is true or false."""
        value = self.options.get(option)
        if value is None:
            return default
        if value.lower() not in (*_TRUE, *_FALSE):
            raise DataError(f"{self}: {option} is {value!r}; give true or false")
        return value.lower() in _TRUE

    def count(self, option: str) -> int | None:
        """Return an option that is a positive integer; None if it is not given."""
        value = self.options.get(option)
        if value is None:
            return None
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise DataError(f"{self}: {option} is {value!r}; give a positive integer")
        return int(value)


@dataclass(frozen=True)
class SourceSpec:
    """A library, file format or convention that models are opened from.

    A source is a module in ``models/`` with one instance, ``SOURCE``, and the module's name in
    ``models/_sources.py``. Documentation, help texts and error messages are derived from it.

    Attributes
    ----------
    open : callable
        ``open(spec, device, dtype)`` loads the model that a :class:`ModelSpec` names. `device` is
        as users give it, or None; `dtype` is the name of a number format, or None. It returns a
        :class:`TorchModel`, in evaluation mode, if features are outputs of modules; else a
        subclass of :class:`Model` that implements ``features`` and ``hash_content``. Both get a
        ``Preprocessing`` of raw items, and as ``facts`` the versions of libraries and other
        settings that change features. Optional libraries are imported inside the function by
        ``need``; weights are loaded inside ``with loading(spec):``.
    list_names : callable
        ``list_names(spec)`` returns the names that the wildcard ``spec.name`` matches; an empty
        list if the source cannot list its models.
    options : tuple of str or None
        Options that ``?option=value`` may set, in addition to ``COMMON_OPTIONS``. ``open`` reads
        them by ``spec.text``, ``spec.flag`` and ``spec.count``. With "max_length" among them,
        the argument `max_length` of ``open_model`` sets it. None: any option.
    libraries : tuple of str
        Modules that ``open`` imports and that take long. The fork server of a sweep imports them
        before it forks, so they start no thread and touch no device when they are imported.
    """

    scheme: str  # prefix of names, ``scheme:name``; "" for none
    example: str  # a name without the scheme, for the documentation
    metavar: str  # the name in ``--help``, in capitals: NAME or FILE
    summary: str  # a phrase without a full stop
    open: Callable[[ModelSpec, Any, str | None], Model]
    list_names: Callable[[ModelSpec], list[str]]
    options: tuple[str, ...] | None = ()
    hint: str = ""  # end of the message if a wildcard matches nothing: "; " and the advice
    has_revisions: bool = False  # whether ``@revision`` may follow the name
    suffixes: tuple[str, ...] = ()  # of files that need no scheme
    libraries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a scheme that model names cannot have, and options that are taken."""
        if self.scheme and not self.scheme.isidentifier():
            raise DataError(f"scheme is {self.scheme!r}; give letters, digits and underscores")
        if taken := [option for option in self.options or () if option in COMMON_OPTIONS]:
            raise DataError(f"source {self.scheme!r} has the option {taken[0]!r}, which all have")

    @property
    def title(self) -> str:
        """The example with its scheme, as inline code of reStructuredText."""
        return f"``{self.scheme}:{self.example}``" if self.scheme else f"``{self.example}``"

    @property
    def usage(self) -> str:
        """The form of a name, as help texts show it."""
        return f"{self.scheme}:{self.metavar}" if self.scheme else self.metavar

    def check_options(self, spec: ModelSpec) -> None:
        """Raise DataError if the model's name sets an option that this source does not have."""
        known = sorted({*COMMON_OPTIONS, *(spec.options if self.options is None else self.options)})
        if unknown := [option for option in spec.options if option not in known]:
            raise DataError(
                f"{spec} has the option {unknown[0]!r}, which {spec.scheme} does not know"
                f"{suggest(unknown[0], known)}; it knows {', '.join(known)}"
            )


def parse_spec(text: str, schemes: Mapping[str, SourceSpec]) -> ModelSpec:
    """Parse ``scheme:name``, optionally followed by ``@revision`` and ``?option=value&...``.

    The name of an existing file or folder is taken as it is, with "?" and "@" in it. Text before a
    colon that is not among the schemes is part of the name; the scheme is then "". An empty name
    and an option without a value are a DataError.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in schemes:
        scheme, rest = "", text
    name, revision, options = rest, None, {}
    if not os.path.exists(name):
        name, mark, query = rest.partition("?")
        if mark and "=" not in query and not query[:1].isalpha():  # a wildcard, as in x_?.npy
            name, query = rest, ""
        try:
            options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        except ValueError as error:
            raise DataError(
                f"{text!r}: {query!r} is not option=value, with & between several"
            ) from error
    if scheme and schemes[scheme].has_revisions and "@" in name and not os.path.exists(name):
        name, _, revision = name.rpartition("@")
    if not name or revision == "":
        raise DataError(f"{text!r} names no model; write for example 'timm:resnet18'")
    return ModelSpec(scheme, name, revision, options)
