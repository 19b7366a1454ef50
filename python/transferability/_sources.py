"""Feature files and label files: .npy (memory-mapped), members of .npz, folders of .npy.

Pickles are never loaded. Members named ``labels*`` or ``images*`` and arrays that are not 2-D
are never models; what was skipped is said.
"""

from __future__ import annotations

import csv
import math
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError

__all__ = [
    "Source",
    "arrays_by_name",
    "find_models",
    "label_source",
    "load_labels",
    "parse_source",
]

_NOT_MODELS = ("labels", "images")
_MISSING = {"", "NA", "N/A", "n/a", "NaN", "nan", "None", "null", "NULL", "<NA>", "?"}
#: int() and float() read more than this, such as 1_0, which is a name.
_INTEGER = re.compile(r"[+-]?\d{1,400}", re.ASCII)
_REAL = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One array in a file, loaded when asked for; `member` names it within an .npz."""

    path: Path
    member: str | None = None

    def __str__(self) -> str:
        """Write it as the command line takes it."""
        return str(self.path) if self.member is None else f"{self.path}:{self.member}"

    @property
    def name(self) -> str:
        """What a model in it is called."""
        return self.member or self.path.stem

    def load(self) -> NDArray[Any]:
        """Read the array; an .npy file is memory-mapped, its rows are read when used."""
        shape, dtype, stored = self.header()
        if dtype.hasobject:
            raise DataError(f"{self} holds Python objects (a pickle), which are never loaded")
        declared = math.prod(shape) * dtype.itemsize
        if declared > stored:  # refused before memory is taken for it
            raise DataError(f"{self} declares {declared} bytes but holds {stored}: damaged")
        with self._named_errors():
            if self.member is None:
                array: NDArray[Any] = np.load(self.path, mmap_mode="r", allow_pickle=False)
                return array
            with np.load(self.path, allow_pickle=False) as members:
                array = members[self.member]
                return array

    def header(self) -> tuple[tuple[int, ...], np.dtype[Any], int]:
        """Read shape, dtype and the bytes that are there, without the data."""
        with self._named_errors():
            if self.member is None:
                with self.path.open("rb") as file:
                    return *_read_header(file), self.path.stat().st_size
            entry = f"{self.member}.npy"
            with zipfile.ZipFile(self.path) as archive:
                if entry not in archive.namelist():
                    names = ", ".join(_members(self.path)[:20])
                    raise DataError(f"{self.path} has no member {self.member!r}; it has {names}")
                with archive.open(entry) as file:
                    return *_read_header(file), archive.getinfo(entry).file_size

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Turn every kind of damage into an error that names the file."""
        try:
            yield
        except (DataError, MemoryError):
            raise
        except FileNotFoundError:
            raise DataError(f"there is no file {self.path}") from None
        except Exception as error:
            raise DataError(f"{self} cannot be read: {_first_line(error)}") from error


def parse_source(text: str | os.PathLike[str]) -> Source:
    """Read ``file.npy`` or ``file.npz:member``."""
    spec = os.fspath(text)
    stem, colon, member = spec.rpartition(":")
    if colon and stem.endswith(".npz"):
        return Source(Path(stem), member)
    path = Path(spec)
    if path.suffix == ".npz":
        raise DataError(f"{spec} holds several arrays; name one as {spec}:member")
    if path.suffix != ".npy":
        raise DataError(f"{spec} is neither an .npy file nor an .npz member (file.npz:member)")
    return Source(path)


def find_models(
    paths: Iterable[str | os.PathLike[str]], labels: Source | None = None
) -> tuple[dict[str, Source], list[str]]:
    """Collect the feature arrays of files and folders.

    Parameters
    ----------
    paths : iterable of path
        .npy files, .npz files or members of them (``file.npz:member``), folders of .npy files.
    labels : Source, optional
        The labels, which are not a model.

    Returns
    -------
    models : dict of str to Source
        By file or member name; where two are equal, by folder or file and name.
    skipped : list of str
        What was left out and why, in sentences.
    """
    found: list[tuple[str, Source]] = []
    skipped: list[str] = []
    for path in map(Path, paths):
        candidates, explicit = _candidates(path)
        others = _other_files(path) if path.is_dir() else ""
        if not candidates:
            hint = f", only {others}; an .npz file is named itself" if others else ""
            raise DataError(f"{path} holds no .npy files{hint}")
        if others:
            skipped.append(f"{path}: only .npy files are read from a folder, not {others}")
        for source in candidates:
            name = source.name
            if labels is not None and _same(source, labels):
                skipped.append(f"{source} was skipped: it holds the labels")
            elif name.startswith(_NOT_MODELS) and not (explicit and source.member):
                skipped.append(f"{source} was skipped: by its name it is not a model")
            elif not explicit and (reason := _why_no_model(source)):
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


def arrays_by_name(path: str | os.PathLike[str]) -> dict[str, Source]:
    """Give every array of a file or folder by its file or member name, whatever its shape."""
    candidates, _ = _candidates(Path(path))
    if not candidates:
        raise DataError(f"{path} holds no .npy files")
    return {source.name: source for source in candidates}


def label_source(spec: str | os.PathLike[str]) -> Source | None:
    """Read .npy, ``file.npz:member`` or an .npz, whose ``labels`` are meant; None for text."""
    text = os.fspath(spec)
    if text.endswith((".csv", ".txt")):
        return None
    return parse_source(f"{text}:labels" if text.endswith(".npz") else text)


def load_labels(spec: str | os.PathLike[str]) -> Any:
    """Read labels from what :func:`label_source` knows, or from lines of text."""
    source = label_source(spec)
    return _label_lines(Path(spec)) if source is None else source.load()


def _candidates(path: Path) -> tuple[list[Source], bool]:
    """Give the arrays under a path, and whether it named a single one."""
    if path.is_dir():
        return [Source(file) for file in sorted(path.glob("*.npy"))], False
    if path.suffix == ".npz":
        return [Source(path, member) for member in _members(path)], False
    return [parse_source(path)], True


def _other_files(folder: Path) -> str:
    """Name what is in a folder besides .npy files, hidden files and folders apart."""
    names = sorted(
        file.name
        for file in folder.iterdir()
        if file.is_file() and file.suffix != ".npy" and not file.name.startswith(".")
    )
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _why_no_model(source: Source) -> str | None:
    try:
        shape, dtype, _ = source.header()
    except DataError:
        return None  # damaged: a model that fails with its reason, not one that is passed over
    if len(shape) != 2:
        return f"its shape {shape} is not 2-D"
    return None if dtype.kind in "fiub" else f"its dtype {dtype} is not numeric"


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as error:
        raise DataError(f"{path} cannot be read: {_first_line(error)}") from error
    return [name.removesuffix(".npy") for name in names if name.endswith(".npy")]


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise DataError(f"npy format {version} holds structured data, not numbers")
    shape, _, dtype = read(file)
    return shape, dtype


def _label_lines(path: Path) -> list[Any]:
    """Read one label a line: all integers, all numbers, or all text."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row or [""]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {_first_line(error)}") from error
    for line, row in rows:
        if len(row) != 1:
            raise DataError(f"{path}, line {line}: {len(row)} values; give one label a line")
    values = [(line, row[0].strip()) for line, row in rows]
    missing = [line for line, value in values if value in _MISSING]
    if missing:
        raise DataError(
            f"{path} has {len(missing)} lines without a label (empty, NA or the like), the first "
            f"is line {missing[0]}; drop those rows from labels and features"
        )
    numbers = [entry for entry in values if _REAL.fullmatch(entry[1])]
    words = [entry for entry in values if not _REAL.fullmatch(entry[1])]
    if numbers and words:
        line, odd = min(words, numbers, key=len)[0]
        raise DataError(
            f"{path}, line {line}: {odd!r} is unlike other lines, of which {len(numbers)} hold "
            f"numbers and {len(words)} text; remove a header, and write labels in one way"
        )
    if words:
        return [value for _, value in words]
    whole = all(_INTEGER.fullmatch(value) for _, value in numbers)
    return [int(value) if whole else float(value) for _, value in numbers]


def _same(source: Source, other: Source) -> bool:
    same_file = source.path.exists() and other.path.exists() and source.path.samefile(other.path)
    return same_file and source.member == other.member


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
