"""Expand paths (files, folders, patterns with ``*``, ``?``, ``[]``) to files in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..errors import DataError, DtypeError
from ._formats import SUFFIXES, split_key

__all__ = ["Paths", "check_pairs", "expand_paths", "in_natural_order", "is_paths"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def _natural_key(path: str | os.PathLike[str]) -> list[tuple[int, int | str]]:
    """Return the key of natural sort order: x_2 before x_10."""
    parts = re.split(r"([0-9]+)", os.fspath(path))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def in_natural_order(paths: Iterable[Path]) -> bool:
    """Return whether files are in natural order, in which a folder of them is read."""
    listed = [_natural_key(path) for path in paths]
    return listed == sorted(listed)


def check_pairs(features: Sequence[Path], labels: Sequence[Path]) -> None:
    """Raise if the numbers in the names of files of labels and of features do not match.

    Files are paired by their order. The numbers of a pair differ if a file is missing, or if a
    shell sorted x_10 before x_2, which a pattern in quotes avoids. A constant offset is allowed,
    because one side may count from 0 and the other from 1. Names without numbers pass.
    """
    ours, theirs = _varying_numbers(features), _varying_numbers(labels)
    if ours is None or theirs is None:
        return
    for i, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        if other - own != theirs[0] - ours[0]:
            raise DataError(
                f"{labels[i].name} would be the labels of {features[i].name}, and "
                f"{labels[0].name} those of {features[0].name}; files are paired in their order: "
                f"give both as patterns in quotes, and see that none is missing"
            )


def _varying_numbers(paths: Sequence[Path]) -> list[int] | None:
    """Return the number in each name; None unless names differ in exactly one number."""
    parts = [re.split(r"([0-9]+)", path.name) for path in paths]
    if len({tuple(part[::2]) for part in parts}) != 1:
        return None
    numbers = zip(*(part[1::2] for part in parts), strict=True)
    columns = [[int(number) for number in column] for column in numbers]
    varying = [column for column in columns if len(set(column)) > 1]
    return varying[0] if len(varying) == 1 else None


def is_paths(value: object, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Return whether a value is a path, a folder, a pattern or a list of paths, and not labels."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_file(entry, suffixes) for entry in value)
    return _is_file(value, suffixes) or (isinstance(value, str) and os.path.isdir(value))


def _is_file(value: object, suffixes: tuple[str, ...]) -> bool:
    if isinstance(value, str):
        return split_key(value)[0].suffix.lower() in suffixes
    return isinstance(value, os.PathLike)


def expand_paths(
    paths: Paths, name: str = "paths", suffixes: tuple[str, ...] = SUFFIXES
) -> list[tuple[Path, str | None]]:
    """Return the files that paths name, each with its key; of a folder those with a suffix.

    A list keeps its order; a folder and a pattern are in the natural order of their names. `name`
    is the argument, for messages.
    """
    single = isinstance(paths, (str, os.PathLike))
    if not single and not isinstance(paths, Iterable):
        raise DtypeError(f"{name} is {paths!r}; give a path or a list of paths")
    entries = [paths] if single else list(paths)  # type: ignore[arg-type]
    found: list[tuple[Path, str | None]] = []
    for entry in entries:
        if not isinstance(entry, (str, os.PathLike)):
            raise DtypeError(f"{name} holds {entry!r}, which is no path")
        found += _expand_one(entry, name, suffixes)
    if not found:
        raise DataError(f"{name} is empty; give at least one file")
    return found


def _expand_one(
    entry: str | os.PathLike[str], name: str, suffixes: tuple[str, ...]
) -> list[tuple[Path, str | None]]:
    path, key = split_key(entry)
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in suffixes]
        files = [file for file in files if not file.name.startswith(".")]
        kinds = sorted({file.suffix.lower() for file in files})
        if not files:
            raise DataError(f"{path} holds no files of {', '.join(suffixes)}")
        if len(kinds) > 1:
            raise DataError(
                f"{path} holds files of several formats ({', '.join(kinds)}); choose one by a "
                f"pattern, such as {path / ('*' + kinds[0])}"
            )
    elif not path.exists() and glob.has_magic(str(path)):
        files = [Path(file) for file in glob.glob(str(path), recursive=True)]
        if not files:
            raise DataError(f"{name}: no file matches {path}")
    else:
        return [(path, key)]
    return [(file, key) for file in sorted(files, key=_natural_key)]
