"""The registry of file formats, and access to arrays in files by name: ``file:key``."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._util.optional import need
from ..errors import DataError, TransferabilityError
from ._spec import FormatSpec, Reader, Selection

__all__ = [
    "FORMATS",
    "LABEL_SUFFIXES",
    "SUFFIXES",
    "TEXT_SUFFIXES",
    "array_names",
    "format_of",
    "list_suffixes",
    "name_array",
    "name_errors",
    "open_array",
    "split_key",
    "suffixes_of",
]

#: The modules of the formats, each with ``FORMATS``; a new format is a line here and its module.
_MODULES = ("_numpy", "_safetensors", "_arrow", "_hdf5", "_torch")
FORMATS: tuple[FormatSpec, ...] = tuple(
    spec for name in _MODULES for spec in importlib.import_module(f".{name}", __package__).FORMATS
)
_BY_SUFFIX = {suffix: spec for spec in FORMATS for suffix in spec.suffixes}
SUFFIXES = tuple(_BY_SUFFIX)
#: Suffixes of text with one label a line.
TEXT_SUFFIXES = (".csv", ".txt")
#: Suffixes of files that labels are read from.
LABEL_SUFFIXES = (*SUFFIXES, *TEXT_SUFFIXES)


def suffixes_of(*kinds: str) -> tuple[str, ...]:
    """Return the suffixes of the formats of some kinds."""
    return tuple(suffix for suffix, spec in _BY_SUFFIX.items() if spec.kind in kinds)


def list_suffixes() -> dict[str, str]:
    """Return lists of suffixes for help texts, by name.

    "array", "container", "table": the formats of a kind. "any": all formats. "by_extra": all
    formats, with the extra that each needs. "text": text files of labels.
    """
    lists = {kind: ", ".join(suffixes_of(kind)) for kind in ("array", "container", "table")}
    lists |= {"any": ", ".join(SUFFIXES), "text": ", ".join(TEXT_SUFFIXES)}
    groups: dict[str, list[str]] = {}
    for spec in FORMATS:
        needs = f" with ``pip install 'transferability[{spec.extra}]'``" if spec.extra else ""
        groups.setdefault(needs, []).extend(spec.suffixes)
    by_extra = (", ".join(suffixes) + needs for needs, suffixes in groups.items())
    return {**lists, "by_extra": "; ".join(by_extra)}


def format_of(path: Path, is_labels: bool = False) -> FormatSpec:
    """Return the format that the suffix of a file names; labels may be text too."""
    spec = _BY_SUFFIX.get(path.suffix.lower())
    if spec is None:
        known = LABEL_SUFFIXES if is_labels else SUFFIXES
        if not path.exists():
            raise DataError(f"there is no file or folder {path}")
        if path.is_dir():
            raise DataError(f"{path} is a folder; give one file of {', '.join(known)}")
        raise DataError(
            f"{path} is neither an .npy file nor one of {', '.join(known[1:])}; the suffix "
            f"decides how it is read"
        )
    return spec


def split_key(name: str | os.PathLike[str]) -> tuple[Path, str | None]:
    """Split ``file:key``; only a file that may hold several arrays can be followed by a key."""
    text, suffixes = os.fspath(name), suffixes_of("container", "table")
    longest, at = max(map(len, suffixes)), text.rfind(":", 1)
    while at > 0:  # a text that is no path may be long, and full of colons
        if text[max(0, at - longest) : at].lower().endswith(suffixes):
            return Path(text[:at]), text[at + 1 :]
        at = text.rfind(":", 1, at)
    return Path(text), None


def name_array(path: Path, key: str | None) -> str:
    """Return the name of an array in a file, as the command line and :func:`split_key` read it."""
    return str(path) if key is None else f"{path}:{key}"


def open_array(
    path: Path, key: str | None = None, *, label_column: str | None = None, is_labels: bool = False
) -> Reader:
    """Open one array of a file; errors name the file.

    `key` names a member, tensor, dataset or column, and is not needed if there is only one.
    `label_column` names the array or column of the same file that holds labels, not features. If
    labels are read, they are a single column of a table, or by default a container's "labels".
    """
    with name_errors(path):
        spec = _prepare(path, is_labels)
        if spec.kind == "array" and key is not None:
            raise DataError(f"{path} holds one array, nothing named {key!r}")
        if spec.kind == "array" and label_column is not None:
            raise DataError(f"{path} holds one array and no {label_column!r}; give labels=")
        if spec.names is not None and key is None and (is_labels or label_column is not None):
            names = spec.names(path)
            features = [name for name in names if name != label_column]
            if is_labels:
                key = "labels" if "labels" in names else None
            elif len(features) == 1:
                key = features[0]
        return spec.open(path, Selection(key, label_column, is_labels))


def array_names(path: Path) -> list[str]:
    """List the arrays of a container; files of other kinds have none."""
    with name_errors(path):
        spec = _prepare(path)
        return [] if spec.names is None else spec.names(path)


def _prepare(path: Path, is_labels: bool = False) -> FormatSpec:
    """Return the format of a file; raise if the file or the package that reads it is missing."""
    spec = format_of(path, is_labels)
    path.stat()
    if spec.package is not None and spec.extra is not None:
        need(spec.package, extra=spec.extra, what=f"reading {spec.title} files")
    return spec


@contextmanager
def name_errors(path: Path | str) -> Iterator[None]:
    """Convert errors of other packages and of the system to a ``DataError`` that names the file."""
    try:
        yield
    except (TransferabilityError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError(f"there is no file {path}") from None
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{path} cannot be read: {reason}") from error
