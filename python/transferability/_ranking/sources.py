"""Find the arrays of models and labels in files and folders; ``io`` reads them.

Pickles are never loaded. Members named ``labels*`` or ``images*`` and arrays that are not 2-D
are never models; they are reported as skipped.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..io._formats import (
    CONTAINERS,
    SUFFIXES,
    TABLES,
    array_names,
    named_errors,
    open_array,
    split_key,
)
from ..io._open import open_features
from ..io._reader import Reader
from ..io._shards import read_array
from ..io._text import TEXT, label_lines

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
#: Files that a folder is searched for, one model a file. Files with several arrays must be named.
_OF_FOLDERS = (".npy", *TABLES)


@dataclass(frozen=True)
class Source:
    """One array in a file, read on request; `member` is its name within an .npz or the like."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        """Return the source as the command line takes it."""
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @property
    def name(self) -> str:
        """Name of the model in it."""
        return self.member or self.path.stem

    def load(self) -> NDArray[Any]:
        """Read the array; an .npy file is memory-mapped, so that its rows are read when used."""
        with named_errors(self.path), self._open() as reader:
            return reader.load()

    def header(self) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Read shape and dtype, without the data."""
        with self._open() as reader:
            return reader.shape, reader.dtype

    def _open(self) -> Reader:
        return open_array(self.path, self.member)


def parse_source(text: str | os.PathLike[str]) -> Source:
    """Parse the name of a file with one array, or ``file.npz:member``."""
    path, key = split_key(text)
    suffix = path.suffix.lower()
    if suffix == ".npz" and key is None:
        raise DataError(f"{path} holds several arrays; name one as {path}:member")
    if suffix not in SUFFIXES:
        raise DataError(
            f"{path} is neither an .npy file nor an .npz member (file.npz:member) nor one of "
            f"{', '.join(SUFFIXES[2:])}"
        )
    return Source(path, key)


def load_or_open(model: Any) -> Any:
    """Read the array of a file, or open the shards of a folder, a pattern or a list."""
    if isinstance(model, (str, os.PathLike)) and not os.path.isdir(model):
        path, _ = split_key(model)
        if path.exists() or not glob.has_magic(str(path)):
            return parse_source(model).load()
    return open_features(model)


def find_models(
    paths: Iterable[str | os.PathLike[str]], labels: Source | None = None
) -> tuple[dict[str, Source], list[str]]:
    """Find the feature arrays in files and folders.

    Parameters
    ----------
    paths : iterable of path
        .npy files, .npz files or members of them (``file.npz:member``), folders of .npy files.
    labels : Source, optional
        Labels among the files, which are not a model.

    Returns
    -------
    models : dict of str to Source
        By file or member name; equal names are prefixed by the folder or file.
    skipped : list of str
        One sentence with the reason for each file or array that was skipped.
    """
    found: list[tuple[str, Source]] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        candidates, explicit = _list_candidates(path)
        others = _list_other_files(path) if path.is_dir() else ""
        if not candidates:
            hint = f", only {others}; an .npz file is named itself" if others else ""
            raise DataError(f"{path} holds no .npy files{hint}")
        if others:
            skipped.append(f"{path}: only .npy files are read from a folder, not {others}")
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
        if name in models:
            raise DataError(f"two models are called {name!r}: {models[name]} and {source}")
        models[name] = source
    if not models:
        raise DataError(f"no feature arrays found; {'; '.join(skipped) or 'give .npy files'}")
    return models, skipped


def find_arrays(path: str | os.PathLike[str]) -> dict[str, Source]:
    """Find the arrays of any shape in a file or folder, by file or member name."""
    candidates, _ = _list_candidates(Path(path))
    if not candidates:
        raise DataError(f"{path} holds no .npy files")
    return {source.name: source for source in candidates}


def parse_label_source(spec: str | os.PathLike[str]) -> Source | None:
    """Parse the name of a file of labels: ``labels`` of an .npz by default; None for text."""
    path, key = split_key(spec)
    if path.suffix.lower() in TEXT:
        return None
    if path.suffix.lower() == ".npz" and key is None:
        return Source(path, "labels")
    return parse_source(spec)


def load_labels(spec: str | os.PathLike[str]) -> Any:
    """Read labels from an array in a file, or from lines of text."""
    source = parse_label_source(spec)
    if source is None:
        return label_lines(Path(spec))
    return read_array(source.path, source.member)


def _list_candidates(path: Path) -> tuple[list[Source], bool]:
    """Return the arrays under a path, and whether the path names a file."""
    if path.is_dir():
        files = (file for file in path.iterdir() if file.suffix.lower() in _OF_FOLDERS)
        return [Source(file) for file in sorted(files) if not file.name.startswith(".")], False
    if path.suffix.lower() in CONTAINERS and (names := array_names(path)):
        return [Source(path, name) for name in names], False
    return [parse_source(path)], True


def _list_other_files(folder: Path) -> str:
    """Return the names of a folder's visible files that are not files of one array."""
    names = sorted(
        file.name
        for file in folder.iterdir()
        if file.is_file()
        and file.suffix.lower() not in _OF_FOLDERS
        and not file.name.startswith(".")
    )
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _find_reason_to_skip(source: Source) -> str | None:
    """Return the reason why an array cannot be a model's features, None if it can."""
    try:
        shape, dtype = source.header()
    except DataError:
        return None  # a damaged file becomes a failed row with its reason
    if len(shape) != 2:
        return f"its shape {shape} is not 2-D"
    return None if dtype.kind in "fiub" else f"its dtype {dtype} is not numeric"


def _is_same(source: Source, other: Source) -> bool:
    same_file = source.path.exists() and other.path.exists() and source.path.samefile(other.path)
    return same_file and source.member == other.member
