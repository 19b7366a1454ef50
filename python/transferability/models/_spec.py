"""Parse the names of models: ``scheme:name@revision?option=value&option=value``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import parse_qsl, urlencode

from ..errors import DataError

__all__ = ["ModelSpec", "parse_spec", "suggest"]

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "none")


class _Source(Protocol):
    @property
    def has_revisions(self) -> bool:
        """Whether names may end in ``@revision``."""


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

    def with_name(self, name: str) -> ModelSpec:
        """Return the same scheme and options with another name, as a wildcard expands to."""
        return replace(self, name=name)

    def check_options(self, known: Iterable[str]) -> None:
        """Raise DataError if an option is not among the known ones."""
        known = sorted(known)
        unknown = [option for option in self.options if option not in known]
        if unknown:
            raise DataError(
                f"{self} has the option {unknown[0]!r}, which {self.scheme or 'it'} does not know"
                f"{suggest(unknown[0], known)}; it knows {', '.join(known)}"
            )

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

    def count(self, option: str, default: int | None = None) -> int | None:
        """Return an option that is a positive integer."""
        value = self.options.get(option)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise DataError(f"{self}: {option} is {value!r}; give a positive integer")
        return int(value)


def parse_spec(text: str, schemes: Mapping[str, _Source]) -> ModelSpec:
    """Parse the name of a model.

    Parameters
    ----------
    text : str
        ``scheme:name``, optionally followed by ``@revision`` and ``?option=value&...``. The
        name of an existing file or folder is taken as it is, with "?" and "@" in it.
    schemes : mapping of str to SourceSpec
        The sources by scheme; any other text before a colon is part of the name.

    Returns
    -------
    spec : ModelSpec
        ``scheme`` is "" if none is given.

    Raises
    ------
    DataError
        If the name is empty or an option has no value.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in schemes:
        scheme, rest = "", text
    name, revision, options = rest, None, {}
    if not os.path.exists(name):
        name, mark, query = rest.partition("?")
        if mark and not query.strip("*.npyz:/"):  # "?" is a wildcard here, as in x_?.npy
            name, query = rest, ""
        if query:
            options = _parse_options(text, query)
    if scheme and schemes[scheme].has_revisions and "@" in name and not os.path.exists(name):
        name, _, revision = name.rpartition("@")
    if not name or revision == "":
        raise DataError(f"{text!r} names no model; write for example 'timm:resnet18'")
    return ModelSpec(scheme, name, revision, options)


def suggest(word: str, known: Iterable[str], n: int = 3) -> str:
    """Return " (did you mean …?)" with the most similar known words; "" if none is similar."""
    near = difflib.get_close_matches(word, list(known), n=n, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _parse_options(text: str, query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    except ValueError as error:
        raise DataError(
            f"{text!r}: {query!r} is not option=value, with & between several"
        ) from error
