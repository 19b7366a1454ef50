"""What a user writes to name a model: ``scheme:name@revision?option=value&option=value``."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl, urlencode

from ..errors import DataError

__all__ = ["Spec", "closest", "parse_spec"]

_TRUE, _FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "none")


@dataclass(frozen=True)
class Spec:
    """A model's name, taken apart; ``str`` puts it together again."""

    scheme: str
    name: str
    revision: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        """Write it as users do."""
        revision = "" if self.revision is None else f"@{self.revision}"
        query = f"?{urlencode(self.options, safe='/:,')}" if self.options else ""
        prefix = f"{self.scheme}:" if self.scheme else ""
        return f"{prefix}{self.name}{revision}{query}"

    def named(self, name: str) -> Spec:
        """Give the same options to another name: one that a wildcard stands for."""
        return replace(self, name=name)

    def check(self, known: Iterable[str]) -> None:
        """Refuse options that this scheme does not have."""
        known = sorted(known)
        unknown = [option for option in self.options if option not in known]
        if unknown:
            raise DataError(
                f"{self} has the option {unknown[0]!r}, which {self.scheme or 'it'} does not know"
                f"{closest(unknown[0], known)}; it knows {', '.join(known)}"
            )

    def text(self, option: str, default: str | None = None) -> str | None:
        """Give an option as it is written."""
        return self.options.get(option, default)

    def flag(self, option: str, default: bool) -> bool:
        """Give an option that is true or false."""
        value = self.options.get(option)
        if value is None:
            return default
        if value.lower() not in (*_TRUE, *_FALSE):
            raise DataError(f"{self}: {option} is {value!r}; give true or false")
        return value.lower() in _TRUE

    def count(self, option: str, default: int | None = None) -> int | None:
        """Give an option that is a positive integer."""
        value = self.options.get(option)
        if value is None:
            return default
        if not value.isascii() or not value.isdigit() or int(value) < 1:
            raise DataError(f"{self}: {option} is {value!r}; give a positive integer")
        return int(value)


def parse_spec(text: str, schemes: Iterable[str]) -> Spec:
    """Take a name apart.

    Parameters
    ----------
    text : str
        ``scheme:name``, with ``@revision`` and ``?option=value&...`` after it if need be. An
        existing path is a path, whatever signs are in it.
    schemes : iterable of str
        The schemes there are; other text before a colon is part of the name.

    Returns
    -------
    spec : Spec
        ``scheme`` is "" where none is given.

    Raises
    ------
    DataError
        If nothing is named or an option has no value.
    """
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in schemes:
        scheme, rest = "", text
    name, revision, options = rest, None, {}
    if not os.path.exists(name):
        name, mark, query = rest.partition("?")
        if mark and not query.strip("*.npyz:/"):  # a wildcard of one character, and no option
            name, query = rest, ""
        if query:
            options = _options(text, query)
    if scheme in ("hf", "st") and not os.path.exists(name) and "@" in name:
        name, _, revision = name.rpartition("@")
    if not name or revision == "":
        raise DataError(f"{text!r} names no model; write for example 'timm:resnet18'")
    return Spec(scheme, name, revision, options)


def closest(word: str, known: Iterable[str], n: int = 3) -> str:
    """Name those that are written alike, as the end of a sentence; "" where none are."""
    near = difflib.get_close_matches(word, list(known), n=n, cutoff=0.5)
    return f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""


def _options(text: str, query: str) -> dict[str, str]:
    try:
        return dict(parse_qsl(query, keep_blank_values=True, strict_parsing=True))
    except ValueError as error:
        raise DataError(
            f"{text!r}: {query!r} is not option=value, with & between several"
        ) from error
