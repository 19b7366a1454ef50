"""Numbers by name, such as those of models: mappings, and pandas series and frames.

The index of a series holds the names. A frame is a mapping of its columns, each by the index. A
missing value (NaN, None, NA) of a series is left out, as an empty cell of a .csv file is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import DataError
from .arrays import instance_of

__all__ = ["as_mapping", "select_models"]


def as_mapping(argument: str, given: object) -> Mapping[Any, Any] | None:
    """Return a mapping, or a pandas series or frame as one; None for anything else.

    `argument` names it in messages. Raise DataError for names that occur twice.
    """
    if isinstance(given, Mapping):
        return given
    value: Any = given
    if instance_of(given, "pandas", "Series"):
        _check_unique(argument, "index", value.index.tolist())
        return {name: number for name, number in value.items() if not _is_missing(number)}
    if instance_of(given, "pandas", "DataFrame"):
        _check_unique(argument, "columns", value.columns.tolist())
        return {name: as_mapping(f"{argument}[{name!r}]", value[name]) for name in value.columns}
    return None


def select_models(argument: str, given: Mapping[Any, Any], models: Iterable[str]) -> dict[str, Any]:
    """Return the entries of these models; further names are those of a larger table.

    Raise DataError for a name that is no model if a model has no entry: it may be misspelt.
    """
    known = list(models)
    unknown = [name for name in given if name not in known]
    missing = [name for name in known if name not in given]
    if unknown and missing:
        raise DataError(
            f"{argument} has {unknown[0]!r}, which is no model here, and nothing for "
            f"{missing[0]!r}; there are {', '.join(known[:10])}"
        )
    return {name: given[name] for name in given if name in known}


def _check_unique(argument: str, what: str, names: list[Any]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(
            f"the {what} of {argument} has {twice[0]!r} {names.count(twice[0])} times; give one "
            f"number for each name"
        )


def _is_missing(value: Any) -> bool:
    """Return whether a value is None, NaN, NaT, or NA, of which a comparison is NA too."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)
