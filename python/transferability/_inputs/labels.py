"""Read labels from any container into a NumPy array of one kind, and refuse missing values.

Text is an array of dtype str if the caller passed one, and otherwise an object array of str.
NumPy's own str arrays give every entry the width of the longest, so one long entry would cost
gigabytes, and they cut members of ``class Animal(str, Enum)`` to the length of their value.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.memory import no_memory_for
from ..errors import DataError, DtypeError
from .arrays import as_array, check_room, instance_of, is_bfloat16
from .feature_frames import drop_index, name_errors
from .lists import check_text

__all__ = [
    "IGNORED",
    "as_whole_ids",
    "encode_labels",
    "is_text",
    "name_columns",
    "plain_text",
    "read_labels",
]

#: The label of tokens and pixels that are left out, as in torch's losses and in Hugging Face.
IGNORED = -100


def read_labels(labels: Any, name: str = "labels") -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels as a bool, integer, finite float64 or text array, with notes of conversions.

    `labels` has shape (n_samples,) or (n_samples, n_targets), in a pandas or polars series or any
    container that :func:`as_array` accepts; `name` is for messages. One column, (n_samples, 1), is
    returned as (n_samples,). Structured targets, such as keypoints (n_samples, 17, 2) or boxes, are
    returned as one row each: every coordinate is a target. Subclasses of str and int become the
    text or number that they hold, members of another Enum their names. Missing and infinite values
    raise a ``DataError``, other types than numbers and strings a ``DtypeError``.
    """
    try:
        return _read(labels, name)
    except MemoryError as error:
        raise no_memory_for(labels, name, error) from error


def _read(labels: Any, name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    array, notes = _to_array(labels, name)
    check_room(array, name)
    check_text(array, name)
    if array.dtype.kind in "OTS" and array.ndim:
        array = _from_objects(name, array.astype(object))
    if array.ndim == 0 and array.dtype == object:
        raise DataError(
            f"{name} is of type {type(labels).__name__}; give one label for each row, in a list or "
            f"an array"
        )
    if array.ndim == 0:
        raise DataError(
            f"{name} must be at least 1-D, got 0-D of dtype {array.dtype}; give one label, or one "
            f"row of targets, for each row of features"
        )
    if array.size == 0:
        raise DataError(f"{name} is empty: shape {array.shape}")
    if array.ndim > 2:
        array = array.reshape(len(array), -1)
    if is_bfloat16(array.dtype) or (array.dtype.kind == "f" and array.dtype.itemsize != 8):
        with np.errstate(over="ignore"):  # overflow gives infinity, which is refused below
            array = array.astype(np.float64)
    if array.dtype.kind not in "biuf" and not is_text(array):
        raise DtypeError(f"{name} must be numbers or strings, got dtype {array.dtype}")
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        _refuse(name, np.isnan(array))
        _refuse(name, np.isinf(array), "infinite values")
    return (array[:, 0] if array.shape[1:] == (1,) else array), notes


def is_text(array: NDArray[Any]) -> bool:
    """Return whether an array from :func:`read_labels` holds text."""
    return array.dtype.kind in "OU"


def encode_labels(array: NDArray[Any]) -> tuple[list[Any], NDArray[np.intp]]:
    """Return the distinct labels, sorted, and the index of each entry's label, 1-D.

    As :func:`numpy.unique`, for an array from :func:`read_labels`; the memory for text follows the
    total length of the text.
    """
    if not is_text(array):
        distinct, codes = np.unique(array, return_inverse=True)
        return distinct.tolist(), codes.reshape(-1)
    values = array.ravel().tolist()
    names = sorted(set(values))
    places = {text: place for place, text in enumerate(names)}
    return names, np.fromiter(map(places.__getitem__, values), np.intp, len(values))


def as_whole_ids(array: NDArray[Any], name: str, what: str) -> NDArray[Any]:
    """Return ids from :func:`read_labels`, real numbers as integers; raise unless they are whole.

    `what` says in messages what the ids are.
    """
    if array.dtype.kind != "f":
        return array
    within = (np.abs(array) < 2.0**63) & (array == np.floor(array))
    if not within.all():
        row = int(within.argmin())
        raise DataError(
            f"{name}[{row}] is {array[row]:g}; {what} must be 64-bit integers or strings"
        )
    return array.astype(np.int64)


def name_columns(labels: object, n_columns: int) -> tuple[int | str, ...] | None:
    """Return the names of the columns of a data frame; None if there are none."""
    if type(labels) is np.ndarray:
        return None
    labels = drop_index(labels)
    named = getattr(labels, "column_names", getattr(labels, "columns", ()))  # Arrow's; others'
    columns = tuple(str(plain_text(column)) for column in named)
    return columns if len(columns) == n_columns else None


def plain_text(value: Any) -> Any:
    """Return the text that an instance of a str subclass holds, or the name of an Enum's member.

    Other values are returned as they are, also members that hold a number. ``str(value)`` is not
    always the text: it is "Animal.CAT" for ``class Animal(str, Enum)``.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Enum) and not isinstance(value, (int, float, bytes)):
        return value.name or repr(value)  # before Python 3.11 a combination of flags has no name
    return value


def _to_array(labels: Any, name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Convert the container; refuse missing values of frames, which the conversion would hide."""
    if type(labels) is np.ndarray:
        return labels, ()
    if isinstance(labels, np.ndarray):  # of a subclass
        return as_array(labels, name)
    with name_errors(labels, name):
        labels = drop_index(labels)
        if any(instance_of(labels, "pandas", kind) for kind in ("Series", "DataFrame", "Index")):
            _refuse(name, np.asarray(labels.isna()))
            return labels.to_numpy(), ()
        if instance_of(labels, "polars", "Series"):
            _refuse(name, labels.is_null().to_numpy())
            return labels.to_numpy(), ()
        if instance_of(labels, "polars", "DataFrame"):
            _refuse(name, np.column_stack([column.is_null().to_numpy() for column in labels]))
            return labels.to_numpy(), ()
    if isinstance(labels, (list, tuple)):
        return _from_list(labels, name)
    array, notes = as_array(labels, name)
    if array.dtype.kind not in "USO":
        return array, notes
    # NumPy turns [1, "a"] and ["a", nan] into strings; an object array keeps their types.
    objects = np.empty(array.shape, dtype=object)
    objects[...] = labels
    return objects, notes


def _from_list(labels: Sequence[Any], name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Convert a list, or a list of rows of one length; objects unless all entries are numbers."""
    rows: Sequence[Any] = labels
    shape: tuple[int, ...] = (len(labels),)
    nested = (list, tuple, np.ndarray)
    if labels and all(isinstance(row, nested) and getattr(row, "ndim", 1) for row in labels):
        lengths = [len(row) for row in labels]
        if len(set(lengths)) > 1:
            odd = next(i for i, length in enumerate(lengths) if length != lengths[0])
            raise DataError(
                f"{name}[0] has {lengths[0]} entries and {name}[{odd}] has {lengths[odd]}; give "
                f"one label, or rows of targets of one length; tags of words need lists of words "
                f"as inputs"
            )
        rows, shape = list(itertools.chain.from_iterable(labels)), (len(labels), lengths[0])
    if not any(issubclass(kind, (str, bytes, Enum, type(None))) for kind in set(map(type, rows))):
        return as_array(labels, name)
    return np.fromiter(rows, dtype=object, count=len(rows)).reshape(shape), ()


def _from_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Convert an object array to the one kind that holds all of its entries."""
    values = array.ravel().tolist()
    kinds = set(map(type, values))
    if any(map(_may_be_missing, kinds)):
        missing = [
            value is None
            or type(value).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT
            or (isinstance(value, (float, np.floating)) and value != value)
            for value in values
        ]
        _refuse(name, np.reshape(missing, array.shape))
    in_cells = array.shape[1:] in ((), (1,))  # of one column
    if in_cells and all(issubclass(kind, (list, tuple, np.ndarray)) for kind in kinds):
        rows, _ = _from_list([row if isinstance(row, list) else list(row) for row in values], name)
        return _from_objects(name, rows) if rows.dtype.kind in "OTS" else rows
    for base, convert in _CONVERSIONS:
        if all(issubclass(kind, base) for kind in kinds):
            converted: NDArray[Any] = convert(name, values)
            return converted.reshape(array.shape)
    raise DtypeError(
        f"{name} mix or hold types that are neither numbers nor strings: "
        f"{', '.join(sorted(kind.__name__ for kind in kinds))}; use one kind"
    )


def _may_be_missing(kind: type) -> bool:
    return kind.__name__ in ("NoneType", "NAType", "NaTType") or issubclass(
        kind, (float, np.floating)
    )


def _to_texts(name: str, values: Iterable[str]) -> NDArray[Any]:
    texts = [str.__str__(value) for value in values]
    return np.fromiter(texts, dtype=object, count=len(texts))


def _decode(name: str, values: Iterable[bytes]) -> NDArray[Any]:
    try:
        return _to_texts(name, [bytes.decode(value, "utf-8") for value in values])
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} hold bytes that are not UTF-8 ({error.object!r}); decode them first, for "
            f"example with np.char.decode(labels, 'latin-1')"
        ) from error


def _to_numbers(dtype: type) -> Callable[[str, Sequence[Any]], NDArray[Any]]:
    def convert(name: str, values: Sequence[Any]) -> NDArray[Any]:
        try:
            return np.array(values, dtype=dtype)
        except OverflowError as error:
            raise DataError(
                f"{name} has class ids beyond 64-bit integers; use strings for them"
            ) from error

    return convert


def _name_members(name: str, values: Sequence[Enum]) -> NDArray[Any]:
    """Return the names of the members of one Enum without a text or number of its own."""
    kinds = sorted({type(value).__qualname__ for value in values})
    if len({type(value) for value in values}) > 1:
        raise DtypeError(
            f"{name} hold members of {', '.join(kinds)}; give members of one Enum, or their "
            f"names: [label.name for label in {name}]"
        )
    return _to_texts(name, map(plain_text, values))


#: Conversions of entries whose types are all among those on the left; the first that fits is taken.
_CONVERSIONS: tuple[tuple[Any, Any], ...] = (
    (str, _to_texts),
    (bytes, _decode),
    ((bool, np.bool_), _to_numbers(np.bool_)),
    ((bool, np.bool_, int, np.integer), _to_numbers(np.int64)),
    ((bool, np.bool_, int, float, np.integer, np.floating), _to_numbers(np.float64)),
    (Enum, _name_members),
)


def _refuse(name: str, bad: NDArray[Any], what: str = "missing values (None, NaN or NA)") -> None:
    where = np.argwhere(bad)
    if where.size:
        place = ", ".join(map(str, where[0]))
        raise DataError(
            f"{name} has {len(where)} {what}, the first at position {place}; drop those rows from "
            f"all arrays"
        )
