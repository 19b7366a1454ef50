"""Read the arrays of a body that was received into a file, under the limits of the service.

Sizes that a body declares are checked before memory is taken for them. npy, npz and safetensors are
read by the readers of ``transferability.io``, Arrow by those of frames. Nothing is unpickled.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from .._inputs.arrow import list_size, read_cells, stack_chunks
from .._scoring.limits import Limits
from .._util.optional import need
from ..errors import DataError, DtypeError, LimitError, MissingDependencyError, TransferabilityError
from ..io._arrow import IpcTable
from ..io._formats import array_names, open_array
from ..io._numpy import NpyReader
from ._problems import BodyError
from ._settings import Settings

__all__ = ["ArrayLimits", "read_arrays"]

#: The arrays of a body in npy format, one after the other.
_IN_ORDER = ("features", "labels")
#: Separates the name of a view from that of the argument: ``label_embeddings/bert``.
_VIEWS = "label_embeddings/"
_MOST_ARRAYS = 100
_END_RECORD, _MOST_DIRECTORY = 22, 1 << 20  # bytes


class ArrayLimits:
    """The most rows, columns, numbers and bytes of the arrays of one body."""

    def __init__(self, settings: Settings) -> None:
        self.bytes = settings.max_body
        self._numbers = settings.max_numbers
        self._shapes = Limits(None, settings.max_samples, settings.max_features, None)

    def check_shape(self, name: str, array: Any) -> None:
        """Raise LimitError if the shape of an array, or of its reader, exceeds a limit."""
        self._shapes.check_arguments({name: array})
        size = math.prod(array.shape)
        if size > self._numbers:
            shape = " x ".join(f"{length:,}" for length in array.shape)
            raise LimitError(
                f"{name} has {shape} = {size:,} numbers, and max_numbers is {self._numbers:,}; "
                f"give fewer rows or columns"
            )

    def check_bytes(self, n_bytes: int) -> None:
        """Raise LimitError if the arrays take more bytes than a body may have."""
        if n_bytes > self.bytes:
            raise LimitError(
                f"the arrays of the body take {n_bytes:,} bytes when unpacked, and max_body is "
                f"{self.bytes:,}; send them in several parts, to a session"
            )


def read_arrays(path: Path, known: tuple[str, ...], limits: ArrayLimits) -> dict[str, Any]:
    """Return the arrays of a body as arguments by name; the suffix of the file is its format.

    Raises
    ------
    BodyError
        If the body is truncated, damaged or of another format.
    LimitError
        If an array, or all together, exceed a limit.
    DataError, DtypeError
        For names of arrays that are not `known`, and for types that hold no numbers.
    """
    try:
        with _as_body_errors(path):
            arrays = _READERS[path.suffix](path, known, limits)
    except MemoryError:
        raise LimitError(
            "the body takes more memory when unpacked than a worker may use; send it in parts"
        ) from None
    if not arrays:
        raise DataError(f"the body has no arrays; give {known[0]}")
    return _gather_views(arrays)


@contextmanager
def _as_body_errors(path: Path) -> Iterator[None]:
    """Raise what the readers say of a damaged file as BodyError, with "body" as its name."""
    try:
        yield
    except (LimitError, _UnusableError, MissingDependencyError, MemoryError):
        raise
    except TransferabilityError as error:
        text = str(error).replace(str(path), "body")
        raise (BodyError if isinstance(error, DataError) else type(error))(text) from error
    except Exception as error:  # the parsers of other packages may raise anything
        reason = (str(error) or type(error).__name__).splitlines()[0].replace(str(path), "body")
        raise BodyError(f"body cannot be read: {reason}") from error


class _UnusableError(DataError):
    """A body is as its media type says, and has an array with a name or shape that has no use."""


def _check_names(names: list[str], known: tuple[str, ...]) -> None:
    if len(names) > _MOST_ARRAYS:
        raise LimitError(f"the body has {len(names):,} arrays, and may have {_MOST_ARRAYS}")
    for name in names:
        if name not in known and not (name.startswith(_VIEWS) and "label_embeddings" in known):
            raise _UnusableError(
                f"unknown array {name[:100]!r} in the body; the arrays of this request are "
                f"{', '.join(known)}"
            )
    if len(set(names)) != len(names):
        raise BodyError("body has two arrays of the same name")


def _gather_views(arrays: dict[str, Any]) -> dict[str, Any]:
    """Collect views of label embeddings to one mapping."""
    views = {n.removeprefix(_VIEWS): arrays.pop(n) for n in [*arrays] if n.startswith(_VIEWS)}
    if views and "label_embeddings" in arrays:
        raise DataError(f"label_embeddings and {_VIEWS}… were both given; give one of them")
    return {**arrays, "label_embeddings": views} if views else arrays


def _read_npy(path: Path, known: tuple[str, ...], limits: ArrayLimits) -> dict[str, Any]:
    """Map arrays that stand one after the other: features, then labels if there are any."""
    total, start = path.stat().st_size, 0
    arrays: dict[str, Any] = {}
    while start < total:
        if len(arrays) == len(_IN_ORDER):
            raise BodyError(f"body has {total - start} bytes after its {len(arrays)} arrays")
        name = _IN_ORDER[len(arrays)]
        file = path.open("rb")
        file.seek(start)
        with NpyReader(path, file, total) as reader:
            limits.check_shape(name, reader)
            if not reader.dtype.itemsize:
                raise BodyError(f"{name} in the body has the type {reader.dtype}, without data")
            start = file.tell() + math.prod(reader.shape) * reader.dtype.itemsize
            arrays[name] = reader.load()
    return arrays


def _read_npz(path: Path, known: tuple[str, ...], limits: ArrayLimits) -> dict[str, Any]:
    """Inflate the members of an archive, after a check of its directory.

    No member yields more bytes than it declares, so the sum of these bounds what is inflated.
    """
    _check_directory(path)
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    limits.check_bytes(sum(member.file_size for member in members))
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BodyError("body has a member that is neither stored nor deflated")
        if not member.filename.endswith(".npy"):
            raise BodyError(f"body has a member {member.filename[:100]!r}, which is no .npy file")
    return _read_container(path, known, limits)


def _check_directory(path: Path) -> None:
    """Raise unless the archive ends in a small directory, whose entries are held in memory."""
    with path.open("rb") as file:
        size = path.stat().st_size
        file.seek(max(0, size - _END_RECORD - 20))
        tail = file.read()
    record, locator = tail[-_END_RECORD:], tail[:-_END_RECORD]
    if len(record) < _END_RECORD or record[:4] != b"PK\5\6" or record[-2:] != b"\0\0":
        raise BodyError("body does not end as an npz archive does: truncated or damaged")
    if locator[:4] == b"PK\6\7" or int.from_bytes(record[12:16], "little") > _MOST_DIRECTORY:
        raise LimitError("the npz archive has a directory of more than 1 MB; give fewer members")


def _read_container(path: Path, known: tuple[str, ...], limits: ArrayLimits) -> dict[str, Any]:
    """Read the arrays of an npz archive or a safetensors file; all shapes are checked first."""
    names = array_names(path)
    _check_names(names, known)
    for name in names:
        with open_array(path, name) as reader:
            if not reader.shape:
                raise _UnusableError(f"{name} in the body is a single number; give an array")
            limits.check_shape(name, reader)
    arrays = {}
    for name in names:
        with open_array(path, name) as reader:
            arrays[name] = reader.load()
    return arrays


def _read_arrow(path: Path, known: tuple[str, ...], limits: ArrayLimits) -> dict[str, Any]:
    """Read a table: lists in the column "features", or all columns that have no other name."""
    pyarrow: Any = need("pyarrow", extra="io", what="reading Arrow bodies")
    with closing(IpcTable(path)) as opened:
        names = opened.schema.names
        if len({*names}) != len(names):
            raise BodyError("body has two columns of the same name")
        named = [name for name in names if name in known or name.startswith(_VIEWS)]
        _check_names(names if "features" in named else named, known)
        batches, n_bytes = [], 0
        for batch in opened.batches(names):
            n_bytes += batch.nbytes
            limits.check_bytes(n_bytes)
            batches.append(batch)
        table = pyarrow.Table.from_batches(batches, opened.schema)
    arrays = {name: _read_column(table.column(name), name) for name in named}
    if "features" not in named and len(named) < len(names):
        arrays["features"] = table.drop_columns(named)
    for name, array in arrays.items():
        limits.check_shape(name, array)
    return arrays


def _read_column(column: Any, name: str) -> Any:
    where = f"column {name!r} of the body"
    try:
        if list_size(column.type) is None:
            return read_cells(column)
        return stack_chunks(column, where)
    except DataError as error:  # null, or of different lengths
        raise _UnusableError(str(error)) from error
    except NotImplementedError:
        raise DtypeError(f"{where} holds {column.type}; give numbers or strings") from None


_READERS: Mapping[str, Callable[[Path, tuple[str, ...], ArrayLimits], dict[str, Any]]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".safetensors": _read_container,
    ".arrow": _read_arrow,
}
