"""Convert array-likes to NumPy arrays, without a copy where the memory layout allows it.

The native module accepts any strides and read-only memory. Foreign byte orders, unaligned data and
long doubles are copied here. NaN and infinity are found by the native pass over the rows.

Torch, pandas and polars are looked up in ``sys.modules`` and never imported: if such an object
exists, its package has been imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, DtypeError

__all__ = [
    "as_array",
    "as_features",
    "as_weights",
    "check_choice",
    "finite_floats",
    "instance_of",
    "is_bfloat16",
]

_EXACT = 2**53  # float64 holds every integer up to here


def as_features(features: object, name: str = "features") -> tuple[NDArray[Any], tuple[str, ...]]:
    """Validate and convert a feature matrix, (n_samples, n_features); `name` is for messages.

    Returns an aligned array in native byte order, of any strides and dtype float16/32/64,
    (u)int8..64 or bool, and the notes of :func:`as_array`.
    """
    array, notes = as_array(features, name)
    array = _to_native_dtype(array, name)
    if array.ndim != 2:
        pool = {3: "features.mean(axis=1)", 4: "features.mean(axis=(2, 3))"}.get(array.ndim)
        fix = f"pool first, for example {pool}" if pool else "give one row per sample"
        if array.ndim == 1:
            fix = f"one column is {name}.reshape(-1, 1), one sample {name}.reshape(1, -1)"
        raise DataError(
            f"{name} must be 2-D (n_samples, n_features), got {array.ndim}-D of shape "
            f"{array.shape}; {fix}"
        )
    if 0 in array.shape:
        raise DataError(f"{name} is empty: shape {array.shape}; it needs rows and columns")
    return array, notes


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
    return np.ascontiguousarray(array, dtype=np.int64)


def finite_floats(features: NDArray[Any], name: str = "features") -> NDArray[Any]:
    """Return float32 features as they are, others as float64; raise if one is NaN or infinite.

    For metrics in Python; the native module checks values by itself. `name` is for messages.
    """
    array = np.asarray(features, dtype=None if features.dtype == np.float32 else np.float64)
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
    if instance_of(value, "pandas", "DataFrame"):
        return _from_pandas(value, name), ()
    if instance_of(value, "polars", "DataFrame"):
        return _from_polars(value, name), ()
    if hasattr(value, "toarray") and hasattr(value, "nnz"):
        raise DtypeError(f"{name} is a sparse matrix; pass {name}.toarray()")
    if isinstance(value, (str, os.PathLike)):
        paths = "; rank takes paths, or open it with io.open_features" if name == "features" else ""
        raise DtypeError(
            f"{name} is the path {os.fspath(value)!r}; load it first, for example with "
            f"np.load({os.fspath(value)!r}){paths}"
        )
    if hasattr(value, "__cuda_array_interface__") and hasattr(value, "get"):  # CuPy
        return np.asarray(value.get()), (f"{name} was on a GPU and was copied to the CPU",)
    try:
        if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
            return np.from_dlpack(value), ()
        return np.asarray(value), ()
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise DataError(
            f"{name} of type {type(value).__name__} does not convert to an array: {error}; "
            f"pass a NumPy array or rows of equal length"
        ) from error


def check_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless the value is one of the choices."""
    if not isinstance(value, str) or value not in choices:
        raise DataError(f"{name} is {value!r}; choose from {', '.join(map(repr, choices))}")


def instance_of(value: object, module: str, name: str) -> bool:
    """Return whether `value` is a ``module.name``, without importing the module."""
    loaded = sys.modules.get(module)
    cls = getattr(loaded, name, None)
    return isinstance(cls, type) and isinstance(value, cls)


def _to_native_dtype(array: NDArray[Any], name: str) -> NDArray[Any]:
    """Refuse dtypes that are not real numbers; copy those that the native module cannot read."""
    dtype = array.dtype
    if is_bfloat16(dtype):
        return array.astype(np.float32)  # exact
    if dtype.kind not in "fiub":
        fix = {
            "c": "take the real part or the modulus",
            "O": f"convert it with {name}.astype(np.float64) and look at what fails",
        }.get(dtype.kind, "encode it as numbers")
        raise DtypeError(f"{name} must hold real numbers, got dtype {dtype}; {fix}")
    if dtype.kind in "iu" and dtype.itemsize == 8 and array.size:
        largest = max(int(array.max()), -int(array.min()))
        if largest > _EXACT:
            raise DataError(
                f"{name} hold integers up to {largest}, beyond 2**53 = {_EXACT}, which float64 "
                f"rounds; subtract a common offset first, for example {name} - {name}.min(axis=0)"
            )
    if dtype.itemsize > 8:
        with np.errstate(over="ignore"):  # overflow gives infinity, which the native pass reports
            return array.astype(np.float64)
    if not dtype.isnative or not array.flags.aligned:
        return array.astype(dtype.newbyteorder("="), copy=True)
    return array


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Return whether this is the bfloat16 of ml_dtypes, which JAX arrays have."""
    return dtype.isbuiltin != 1 and dtype.name == "bfloat16"  # building the name takes long


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


def _from_pandas(frame: Any, name: str) -> NDArray[Any]:
    is_numeric = sys.modules["pandas"].api.types.is_numeric_dtype
    _refuse_columns(name, [c for c, t in frame.dtypes.items() if not is_numeric(t)])
    plain = all(isinstance(dtype, np.dtype) for dtype in frame.dtypes)
    # Nullable columns: NA becomes NaN, which is then reported with its row and column.
    array = frame.to_numpy() if plain else frame.to_numpy(dtype=np.float64, na_value=np.nan)
    return array.astype(np.float64) if array.dtype == object else np.asarray(array)


def _from_polars(frame: Any, name: str) -> NDArray[Any]:
    polars = sys.modules["polars"]
    boolean = [column for column, kind in frame.schema.items() if kind == polars.Boolean]
    if boolean:
        frame = frame.with_columns(polars.col(boolean).cast(polars.UInt8))
    _refuse_columns(name, [c for c, kind in frame.schema.items() if not kind.is_numeric()])
    return np.asarray(frame.to_numpy())


def _refuse_columns(name: str, columns: list[object]) -> None:
    if columns:
        shown = ", ".join(repr(column) for column in columns[:5])
        more = f" and {len(columns) - 5} more" if len(columns) > 5 else ""
        raise DtypeError(f"{name} has columns that are not numeric: {shown}{more}; drop them")
