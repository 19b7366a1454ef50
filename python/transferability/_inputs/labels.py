"""Read labels from any container into a NumPy array of one kind, and refuse missing values.

Also two conventions of token labels: the ignored label, and BIO prefixes.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError
from .arrays import as_array, instance_of, is_bfloat16
from .feature_frames import drop_index, is_arrow_table

__all__ = ["IGNORED", "read_labels", "strip_bio_prefix"]

#: The label of tokens and pixels that are left out, as in torch's losses and in Hugging Face.
IGNORED = -100
_BIO_PREFIX = re.compile(r"[BIESLU]-(.+)")


def read_labels(labels: Any, name: str = "labels") -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return labels as a bool, integer, finite float64 or str array, with notes of conversions.

    `labels` has shape (n_samples,) or (n_samples, n_targets), in a pandas or polars series or any
    container that :func:`as_array` accepts; `name` is for messages. Missing and infinite values
    raise a ``DataError``, other types than numbers and strings a ``DtypeError``.
    """
    array, notes = _to_array(labels, name)
    if array.ndim not in (1, 2):
        raise DataError(
            f"{name} must be 1-D or 2-D, got {array.ndim}-D of shape {array.shape}; give one "
            f"label, or one row of targets, for each row of features"
        )
    if array.size == 0:
        raise DataError(f"{name} is empty: shape {array.shape}")
    if array.dtype.kind in "OT":
        array = _from_objects(name, array.astype(object))
    if array.dtype.kind == "S":
        try:
            array = np.char.decode(array, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{name} hold bytes that are not UTF-8 ({error.object!r}); decode them first, for "
                f"example with np.char.decode(labels, 'latin-1')"
            ) from error
    elif is_bfloat16(array.dtype) or (array.dtype.kind == "f" and array.dtype.itemsize != 8):
        with np.errstate(over="ignore"):  # overflow gives infinity, which is refused below
            array = array.astype(np.float64)
    if array.dtype.kind not in "biufU":
        raise DtypeError(f"{name} must be numbers or strings, got dtype {array.dtype}")
    if array.dtype.kind == "f" and not bool(np.isfinite(array).all()):
        _refuse(name, np.isnan(array))
        _refuse(name, np.isinf(array), "infinite values")
    return array, notes


def strip_bio_prefix(tag: str) -> str:
    """Remove the chunk prefix of a tag, such as B- or I- of the BIO scheme: B-PER becomes PER."""
    matched = _BIO_PREFIX.fullmatch(tag)
    return matched[1] if matched else tag


def _to_array(labels: Any, name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Convert the container; refuse missing values of frames, which the conversion would hide."""
    if isinstance(labels, np.ndarray):
        return as_array(labels, name)
    if is_arrow_table(labels):
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
    array, notes = as_array(labels, name)
    if array.dtype.kind not in "USO":
        return array, notes
    # NumPy turns [1, "a"] and ["a", nan] into strings; an object array keeps their types.
    objects = np.empty(array.shape, dtype=object)
    objects[...] = labels
    return objects, notes


def _from_objects(name: str, array: NDArray[Any]) -> NDArray[Any]:
    """Convert an object array to the one dtype that holds all of its entries."""
    values = array.ravel().tolist()
    missing = [
        value is None
        or type(value).__name__ in ("NAType", "NaTType")  # pandas.NA, pandas.NaT
        or (isinstance(value, (float, np.floating)) and value != value)
        for value in values
    ]
    _refuse(name, np.reshape(missing, array.shape))
    kinds = {type(value) for value in values}
    for base, dtype in (
        (str, str),
        (bytes, np.bytes_),
        ((bool, np.bool_), np.bool_),
        ((bool, np.bool_, int, np.integer), np.int64),
        ((bool, np.bool_, int, float, np.integer, np.floating), np.float64),
    ):
        if all(issubclass(kind, base) for kind in kinds):
            try:
                return array.astype(dtype)
            except OverflowError as error:
                raise DataError(
                    f"{name} has class ids beyond 64-bit integers; use strings for them"
                ) from error
    raise DtypeError(
        f"{name} mix or hold types that are neither numbers nor strings: "
        f"{', '.join(sorted(kind.__name__ for kind in kinds))}; use one kind"
    )


def _refuse(name: str, bad: NDArray[Any], what: str = "missing values (None, NaN or NA)") -> None:
    where = np.argwhere(bad)
    if where.size:
        place = ", ".join(map(str, where[0]))
        raise DataError(
            f"{name} has {len(where)} {what}, the first at position {place}; drop those rows from "
            f"all arrays"
        )
