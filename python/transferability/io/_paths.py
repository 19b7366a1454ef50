"""Expand paths (files, folders, patterns with ``*``, ``?``, ``[]``) to files in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ..errors import DataError, DtypeError
from ._formats import LABEL_SUFFIXES, SUFFIXES, split_key

__all__ = ["Paths", "expand_paths", "in_natural_order", "is_listed", "is_paths", "names_labels"]

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def _natural_key(path: str | os.PathLike[str]) -> list[tuple[int, int | str]]:
    """Return the key of natural sort order: x_2 before x_10."""
    parts = re.split(r"([0-9]+)", os.fspath(path))
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]


def in_natural_order(names: Iterable[str | os.PathLike[str]]) -> bool:
    """Return whether names are in natural order, in which a folder of files is read."""
    listed = [_natural_key(name) for name in names]
    return listed == sorted(listed)


def is_listed(paths: object) -> bool:
    """Return whether paths are a list, which is in the order of the caller; a pattern is not."""
    return isinstance(paths, (list, tuple)) and len(paths) > 1


def is_paths(value: object, suffixes: tuple[str, ...] = SUFFIXES) -> bool:
    """Return whether a value is a path, a folder, a pattern or a list of paths, and not labels."""
    if isinstance(value, (list, tuple)):
        return bool(value) and all(_is_file(entry, suffixes) for entry in value)
    return _is_file(value, suffixes) or (isinstance(value, str) and os.path.isdir(value))


def names_labels(labels: object) -> bool:
    """Return whether labels are given as a path or a list of paths."""
    return isinstance(labels, (str, os.PathLike)) or is_paths(labels, LABEL_SUFFIXES)


def _is_file(value: object, suffixes: tuple[str, ...]) -> bool:
    if isinstance(value, str):
        try:
            return split_key(value)[0].suffix.lower() in suffixes
        except SystemError:  # of a character beyond Unicode, which NumPy can make
            return False
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
