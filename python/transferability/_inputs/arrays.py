"""Convert array-likes to NumPy arrays, without a copy where the memory layout allows it.

The native module accepts any strides and read-only memory. Foreign byte orders, unaligned data and
long doubles are copied here. NaN and infinity are found by the native pass over the rows.

Frames and tables are read in ``feature_frames.py``, and columns of lists in ``lists.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._util.memory import no_memory, no_memory_for
from ..errors import DataError, DtypeError
from .arguments import suggest
from .columns import Names
from .feature_frames import instance_of, is_arrow_table, read_frame, read_list_column
from .integers import check_exact
from .lists import refuse_kind, refuse_uneven_rows, stack_cells

__all__ = [
    "Features",
    "as_array",
    "as_contiguous",
    "as_features",
    "as_floats",
    "as_weights",
    "check_choice",
    "check_room",
    "finite_floats",
    "instance_of",
    "is_bfloat16",
    "is_one_of",
    "read_features",
]

_MANY = 2**24  # numbers whose copy takes 128 MB
_ADDRESSABLE = 2**60  # float64 numbers whose bytes a signed 64-bit integer counts, and one more


class Features(NamedTuple):
    """A feature matrix, (n_samples, n_features), notes of conversions, and its column names."""

    array: NDArray[Any]
    notes: tuple[str, ...]
    columns: Names = None


def as_features(features: object, name: str = "features") -> tuple[NDArray[Any], tuple[str, ...]]:
    """Validate and convert a feature matrix; return the first two of :func:`read_features`."""
    return read_features(features, name)[:2]


def read_features(features: object, name: str = "features") -> Features:
    """Validate and convert a feature matrix, (n_samples, n_features); `name` is for messages.

    A column of lists, tuples or arrays is one too: as a series, as the only column of a frame, or
    as a column of Arrow. The array is aligned and in native byte order, of any strides and dtype
    float16/32/64, (u)int8..64 or bool. The notes are those of :func:`as_array`.
    """
    columns: Names = None
    notes: tuple[str, ...] = ()
    array: NDArray[Any]
    if type(features) is np.ndarray and features.dtype != object:
        array = features
    elif (frame := read_frame(features, name)) is not None:
        array, columns = frame
    elif (stacked := read_list_column(features, name)) is not None:
        array = stacked
    else:
        array, notes = as_array(features, name)
        if array.dtype == object:
            array = stack_cells(array, name)
        columns = _other_names(features, array)
    array = _to_native_dtype(array, name)
    if array.ndim != 2:
        pool = {
            3: "pool first, for example features.mean(axis=1)",
            4: "pool first, for example features.mean(axis=(2, 3))",
        }
        fix = pool.get(array.ndim, "give one row per sample")
        if array.ndim == 1:
            fix = f"one column is {name}.reshape(-1, 1), one sample {name}.reshape(1, -1)"
        raise DataError(
            f"{name} must be 2-D (n_samples, n_features), got {array.ndim}-D of shape "
            f"{array.shape}; {fix}"
        )
    if 0 in array.shape:
        raise DataError(f"{name} is empty: shape {array.shape}; it needs rows and columns")
    return Features(array, notes, columns)


def as_weights(sample_weight: object, n_samples: int) -> NDArray[np.int64]:
    """Validate integer sample weights, (n_samples,); a weight of k counts its row k times."""
    array, _ = as_array(sample_weight, "sample_weight")
    if array.dtype.kind not in "iub":
        raise DtypeError(
            f"sample_weight must hold integers (how often each row counts), got dtype "
            f"{array.dtype}; scale and round the weights first"
        )
    if array.shape != (n_samples,):
        raise DataError(
            f"sample_weight has shape {array.shape} but features has {n_samples} rows; give one "
            f"weight per row"
        )
    for row in (array.argmin(), array.argmax()) if n_samples else ():
        if not 0 <= int(array[row]) < 2**63:
            raise DataError(
                f"sample_weight[{row}] is {array[row]}; weights must be at least 0 and below 2**63"
            )
    return as_contiguous(array, np.int64)


def as_contiguous(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """Return an array of this dtype that the native module can borrow as a whole."""
    try:
        array = np.ascontiguousarray(array, dtype=dtype)
        return array if array.flags.aligned else array.copy()
    except MemoryError as error:
        raise no_memory("a copy of an array", array.size * np.dtype(dtype).itemsize) from error


def finite_floats(features: NDArray[Any], name: str = "features") -> NDArray[Any]:
    """Return float32 features as they are, others as float64; raise if one is NaN or infinite.

    For metrics in Python; the native module checks values by itself. `name` is for messages.
    """
    array = _converted(features, None if features.dtype == np.float32 else np.float64, name)
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        value = "NaN" if np.isnan(array[row, column]) else array[row, column]
        raise DataError(
            f"{name}[{row}, {column}] is {value}; every value must be finite: drop or impute "
            f"such rows"
        )
    return array


def as_array(value: Any, name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return an array-like as a NumPy array of any shape and dtype, as a view if possible.

    `value` is a NumPy array, a nested list, a pandas or polars frame, a torch tensor, or anything
    with the buffer protocol, ``__array__`` or ``__dlpack__``; `name` is for messages. A note is
    returned if the data was copied from another device.
    """
    if type(value) is np.ndarray:
        return value, ()
    if isinstance(value, np.ma.MaskedArray):
        raise DtypeError(
            f"{name} is a masked array, and a mask cannot be honoured here; drop the masked rows, "
            f"or fill them with {name}.filled(value)"
        )
    if instance_of(value, "torch", "Tensor"):
        return _from_torch(value, name)
    # A table of Arrow may hold labels of any type, which convert below.
    if not is_arrow_table(value) and (frame := read_frame(value, name)) is not None:
        return frame.array, ()
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise DtypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    if isinstance(value, (str, os.PathLike)):
        path = os.fspath(value)
        example = f", for example with np.load({path!r})" if path.lower().endswith(".npy") else ""
        paths = {
            "features": "; rank takes paths, or open it with io.open_features",
            "labels": "; rank and io.stats_of take paths of labels",
        }
        raise DtypeError(
            f"{name} is the path {path!r}; load it first{example}{paths.get(name, '')}"
        )
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):  # CuPy
        return np.asarray(value.get()), (f"{name} was on a GPU and was copied to the CPU",)
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value), ()
        return np.asarray(value), ()
    except MemoryError as error:
        raise no_memory_for(value, name, error) from error
    except Exception as error:  # of any class: ``__array__`` and ``__dlpack__`` are foreign code
        if isinstance(value, (list, tuple)):
            refuse_uneven_rows(value, name)
        fix = "pass a NumPy array or rows of equal length"
        if isinstance(value, (list, tuple)) and instance_of(value[0], "torch", "Tensor"):
            fix = f"pass torch.stack({name})"  # NumPy takes no bfloat16, and none with gradients
        raise DataError(
            f"{name} of type {type(value).__name__} does not convert to an array: {error}; {fix}"
        ) from error


def as_floats(value: Any, name: str) -> NDArray[np.float64]:
    """Return an array-like of real numbers as float64, of any shape; it may hold NaN.

    It reads scores, accuracies and moments; features and labels have readers of their own.
    """
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "cmM":
            with np.errstate(over="ignore"):  # of long doubles, to infinity
                return array.astype(np.float64, copy=False)
        reason = f"they are {array.dtype}"
    except MemoryError as error:
        raise no_memory_for(value, name, error) from error
    except Exception as error:  # of any class: ``__array__`` is foreign code
        reason = str(error) or type(error).__name__
    raise DtypeError(f"{name} must be numbers: {reason}") from None


def check_room(array: NDArray[Any], name: str) -> None:
    """Raise unless a broadcast array, which takes no memory, can be copied with 8 bytes a number.

    Reading one takes years before memory is first asked for, if at all.
    """
    if array.size > _MANY and 0 in array.strides:
        _check_addressable(array, name)
        try:
            np.empty(array.size)  # no page of it is written
        except MemoryError as error:
            raise no_memory_for(array, name, error) from error


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless the value is one of the choices."""
    if not is_one_of(value, choices):
        near = suggest(value, choices) if isinstance(value, str) else ""
        raise DataError(f"{name} is {value!r}{near}; choose from {', '.join(map(repr, choices))}")


def is_one_of(value: object, choices: Iterable[str]) -> bool:
    """Return whether a value is one of these texts; an array or a list is none."""
    return isinstance(value, str) and value in choices


def _to_native_dtype(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse dtypes that are not real numbers; copy those that the native module cannot read."""
    dtype = array.dtype
    _check_addressable(array, name)
    if is_bfloat16(dtype):
        return _converted(array, np.float32, name)  # exact
    if dtype.kind not in "fiub":
        if dtype.kind in "USTO":
            refuse_kind(array, name)
        fix = {
            "c": "take the real part or the modulus",
            "V": f"pass numpy.lib.recfunctions.structured_to_unstructured({name})",
        }.get(dtype.kind, "encode it as numbers")
        raise DtypeError(f"{name} must hold real numbers, got dtype {dtype}; {fix}")
    check_exact(array, name)
    if dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # overflow gives infinity, which the native pass reports
            return _converted(array, np.float64, name)
    if not dtype.isnative or not array.flags.aligned:
        return _converted(array, dtype.newbyteorder("="), name, copy=True)
    return array


def _check_addressable(array: NDArray[Any], name: str) -> None:
    if array.size >= _ADDRESSABLE:  # a broadcast array, which takes no memory and years to read
        raise DataError(
            f"{name} of shape {array.shape} holds more numbers than can be addressed; use fewer "
            f"rows or columns at a time"
        )


def _converted(array: NDArray[Any], dtype: Any, name: str, copy: bool = False) -> NDArray[Any]:
    """Convert an array; raise an error with the size if memory does not suffice."""
    try:
        return array.astype(array.dtype if dtype is None else dtype, copy=copy)
    except MemoryError as error:
        size = (array.dtype if dtype is None else np.dtype(dtype)).itemsize
        raise no_memory(f"a copy of {name}", array.size * size) from error


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Return whether this is the bfloat16 of ml_dtypes, which JAX arrays have."""
    return dtype.isbuiltin != 1 and dtype.name == "bfloat16"  # building the name takes long


def _other_names(features: object, array: NDArray[Any]) -> Names:
    """Return the names of a frame of another package than those of ``feature_frames.py``."""
    names = getattr(features, "columns", None)
    if names is None or isinstance(names, str) or not isinstance(names, Iterable):
        return None
    columns = tuple(map(str, names))
    return columns if array.ndim == 2 and len(columns) == array.shape[1] else None


def _from_torch(tensor: Any, name: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    torch = sys.modules["torch"]
    for is_odd, kind, fix in (
        (tensor.is_nested, "nested", "pass a list of its rows, padded or pooled to one length"),
        (tensor.is_quantized, "quantized", f"pass {name}.dequantize()"),
        (tensor.device.type == "meta", "meta", "it has no data; compute it on a real device"),
        (tensor.layout is not torch.strided, "sparse", f"pass {name}.to_dense()"),
    ):
        if is_odd:
            raise DtypeError(f"{name} is a {kind} tensor; {fix}")
    tensor = tensor.detach()
    notes: tuple[str, ...] = ()
    if tensor.device.type != "cpu":
        notes = (f"{name} was on {tensor.device} and was copied to the CPU",)
        tensor = tensor.cpu()
    if tensor.dtype is torch.bfloat16:  # NumPy has no bfloat16; float32 holds it exactly
        tensor = tensor.float()
    try:
        return tensor.resolve_conj().resolve_neg().numpy(), notes
    except (TypeError, RuntimeError) as error:  # float8 and other dtypes that only torch has
        raise DtypeError(
            f"{name} has dtype {tensor.dtype}, which NumPy lacks; pass {name}.float()"
        ) from error
