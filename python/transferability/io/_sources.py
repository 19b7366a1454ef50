"""Find the models of a ranking, and its labels, among the arrays of files and folders.

Members named ``labels*`` or ``images*`` and arrays that are not 2-D are skipped, with a reason.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..errors import DataError
from ._formats import (
    TEXT_SUFFIXES,
    array_names,
    format_of,
    name_array,
    name_errors,
    open_array,
    split_key,
    suffixes_of,
)
from ._labels import read_label_array
from ._open import open_features

__all__ = [
    "Source",
    "find_arrays",
    "find_models",
    "load_labels",
    "load_or_open",
    "parse_label_source",
    "parse_source",
]

_NOT_MODELS = ("labels", "images")
#: Files of a folder that hold one model each; containers are given by their own name.
_IN_FOLDERS = suffixes_of("array", "table")


@dataclass(frozen=True)
class Source:
    """One array in a file, loaded on demand; `member` is its name in a container or table."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        """Return the name that the command line takes."""
        return name_array(self.path, self.member)

    @property
    def name(self) -> str:
        """The name of the model."""
        return self.member or self.path.stem

    def load(self) -> NDArray[Any]:
        """Read the array; an .npy file is mapped, and its rows are read when they are used."""
        with name_errors(self.path), open_array(self.path, self.member) as reader:
            return reader.load()


def parse_source(text: str | os.PathLike[str]) -> Source:
    """Parse ``file`` or ``file:key``; the file need not exist."""
    path, key = split_key(text)
    if path.suffix.lower() == ".npz" and key is None:
        raise DataError(f"{path} holds several arrays; name one as {path}:member")
    format_of(path)
    return Source(path, key)


def load_or_open(model: Any) -> Any:
    """Load the array of one file; open tables, and shards of a folder, pattern, list or pairs."""
    if isinstance(model, (str, os.PathLike)) and not os.path.isdir(model):
        path, _ = split_key(model)
        if path.exists() or not glob.has_magic(str(path)):
            source = parse_source(model)
            if format_of(path).kind != "table":  # whose columns have names
                return source.load()
    return open_features(model)


def find_models(
    paths: Iterable[str | os.PathLike[str]], labels: Source | None = None
) -> tuple[dict[str, Source], list[str]]:
    """Find the feature arrays of files and folders, one a model; `labels` are never a model.

    A path is a file of one array, a table, a folder of these, a container, or a single array of one
    (``file:key``). Each 2-D array of a container is a model. Models are named after their file or
    member; equal names get the folder or the file as prefix. The second value lists the skipped
    arrays with their reasons.
    """
    found: list[tuple[str, Source]] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        candidates, explicit = _list_candidates(path)
        others = _list_other_files(path) if path.is_dir() else ""
        if not candidates:
            hint = f", only {others}; name a file of several arrays itself" if others else ""
            raise DataError(f"{path} holds no files of {', '.join(_IN_FOLDERS)}{hint}")
        if others:
            skipped.append(
                f"{path}: only files of {', '.join(_IN_FOLDERS)} are read from a folder, not "
                f"{others}"
            )
        for source in candidates:
            name = source.name
            if labels is not None and _is_same(source, labels):
                skipped.append(f"{source} was skipped: it holds the labels")
            elif name.startswith(_NOT_MODELS) and not (explicit and source.member):
                skipped.append(f"{source} was skipped: by its name it is not a model")
            elif not explicit and (reason := _find_reason_to_skip(source)):
                skipped.append(f"{source} was skipped: {reason}")
            else:
                found.append((name, source))
    names = [name for name, _ in found]
    models: dict[str, Source] = {}
    for name, source in found:
        if names.count(name) > 1:
            owner = source.path.stem if source.member else source.path.parent.name
            name = f"{owner}/{name}"
        if models.get(name) == source:
            raise DataError(f"{source} is given twice; give each model once")
        if name in models:
            raise DataError(f"two models are called {name!r}: {models[name]} and {source}")
        models[name] = source
    if not models:
        raise DataError(
            f"no feature arrays found; {'; '.join(skipped) or 'give files of features'}"
        )
    return models, skipped


def find_arrays(path: str | os.PathLike[str]) -> dict[str, Source]:
    """Return the arrays of a file or folder, of any shape, by file or member name."""
    candidates, _ = _list_candidates(Path(path))
    if not candidates:
        raise DataError(f"{path} holds no files of {', '.join(_IN_FOLDERS)}")
    found: dict[str, Source] = {}
    for source in candidates:
        if source.name in found:
            raise DataError(
                f"two arrays are called {source.name!r}: {found[source.name]} and {source}"
            )
        found[source.name] = source
    return found


def parse_label_source(spec: str | os.PathLike[str]) -> Source | None:
    """Parse a file of labels, with "labels" as default key of an .npz; return None for text."""
    path, key = split_key(spec)
    if path.suffix.lower() in TEXT_SUFFIXES:
        return None
    if path.suffix.lower() == ".npz" and key is None:
        return Source(path, "labels")
    format_of(path, is_labels=True)
    return Source(path, key)


def load_labels(spec: str | os.PathLike[str]) -> Any:
    """Read labels from an array in a file, or from lines of text."""
    source = parse_label_source(spec) or Source(Path(spec))
    return read_label_array(source.path, source.member)


def _list_candidates(path: Path) -> tuple[list[Source], bool]:
    """List the arrays under a path, and whether the path names a single array."""
    if path.is_dir():
        files = (file for file in path.iterdir() if file.suffix.lower() in _IN_FOLDERS)
        return [Source(file) for file in sorted(files) if not file.name.startswith(".")], False
    if path.suffix.lower() in suffixes_of("container") and (names := array_names(path)):
        return [Source(path, name) for name in names], False
    return [parse_source(path)], True


def _list_other_files(folder: Path) -> str:
    """List the files of a folder that are not read; hidden files and folders are not listed."""
    files = (file for file in folder.iterdir() if file.is_file() and file.name[0] != ".")
    names = sorted(file.name for file in files if file.suffix.lower() not in _IN_FOLDERS)
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _find_reason_to_skip(source: Source) -> str | None:
    """Return the reason why an array cannot hold features."""
    try:
        with open_array(source.path, source.member) as reader:
            shape, dtype = reader.shape, reader.dtype
    except DataError:
        return None  # a damaged file is not skipped: it is a model that fails with its reason
    if len(shape) != 2:
        return f"its shape {shape} is not 2-D"
    return None if dtype.kind in "fiub" else f"its dtype {dtype} is not numeric"


def _is_same(source: Source, other: Source) -> bool:
    same_file = source.path.exists() and other.path.exists() and source.path.samefile(other.path)
    return same_file and source.member == other.member
