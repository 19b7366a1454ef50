"""Which file format is read by whom, and how an array in a file is named: ``file:key``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import DataError, TransferabilityError
from ._reader import Reader

__all__ = ["CONTAINERS", "SUFFIXES", "TABLES", "array_names", "open_array", "split_key", "text_of"]

#: The module that reads files of a suffix.
_READERS = {
    ".npy": "_npy",
    ".npz": "_npy",
    ".safetensors": "_safetensors",
    ".parquet": "_arrow",
    ".pq": "_arrow",
    ".arrow": "_arrow",
    ".feather": "_arrow",
    ".ipc": "_arrow",
    ".h5": "_hdf5",
    ".hdf5": "_hdf5",
    ".pt": "_torch",
    ".pth": "_torch",
}
SUFFIXES = tuple(_READERS)
TABLES = tuple(suffix for suffix, module in _READERS.items() if module == "_arrow")
#: Files that hold several arrays by name.
CONTAINERS = tuple(suffix for suffix in SUFFIXES if suffix != ".npy" and suffix not in TABLES)


def split_key(spec: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Read ``file`` or ``file:key``; a key follows only where a file can hold several arrays."""
    text = os.fspath(spec)
    for at in range(len(text) - 1, 0, -1):
        if text[at] == ":" and text[:at].lower().endswith((*CONTAINERS, *TABLES)):
            return Path(text[:at]), text[at + 1 :]
    return Path(text), None


def text_of(path: Path, key: str | None) -> str:
    """Write an array as the command line takes it."""
    return str(path) if key is None else f"{path}:{key}"


def open_array(
    path: Path, key: str | None = None, *, label_column: str | None = None, is_column: bool = False
) -> Reader:
    """Open one array of a file.

    Parameters
    ----------
    path : Path
        Its suffix says how to read it.
    key : str, optional
        Member, tensor, dataset or column; not needed where there is only one.
    label_column : str, optional
        A column of the same file that is no feature.
    is_column : bool
        Whether labels are meant: a single column of a table, or the array "labels".

    Raises
    ------
    DataError, DtypeError
        If the file is missing or damaged, names no such array, or holds a pickle.
    MissingDependencyError
        If the package that reads the format is not installed.
    """
    with named_errors(path):
        module = _module(path)
        if path.suffix.lower() in TABLES:
            if is_column:
                reader: Reader = module.open_column(path, key)
            else:
                reader = module.open_array(path, key, label_column)
            return reader
        if key is None and (is_column or label_column is not None):
            names = module.names(path)
            left = [name for name in names if name != label_column]
            if is_column:
                key = "labels" if "labels" in names else None
            elif len(left) == 1:
                key = left[0]
        reader = module.open_array(path, key)
        return reader


def array_names(path: Path) -> list[str]:
    """List the arrays of a file that holds them by name; none for other files."""
    with named_errors(path):
        names: list[str] = _module(path).names(path)
        return names


def _module(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix not in _READERS:
        raise DataError(
            f"{path} is neither an .npy file nor one of {', '.join(SUFFIXES[1:])}; the suffix says "
            f"how to read it"
        )
    return importlib.import_module(f".{_READERS[suffix]}", __package__)


@contextmanager
def named_errors(path: Path | str) -> Iterator[None]:
    """Turn every kind of damage into an error that names the file."""
    try:
        yield
    except (TransferabilityError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from error
