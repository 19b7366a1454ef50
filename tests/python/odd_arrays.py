"""Kinds of odd and bad arrays, each made of a clean one."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np


class Subclass(np.ndarray):  # type: ignore[type-arg]
    """A subclass that adds nothing."""


class LyingSubclass(np.ndarray):  # type: ignore[type-arg]
    """A subclass whose ``__array__`` returns numbers other than its own."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.zeros((3, 3))


class LyingShape:
    """An object whose attributes do not belong to what ``__array__`` returns."""

    shape, ndim, dtype, size = (7, 7), 2, np.dtype(np.int8), 49

    def __init__(self, array: Any) -> None:
        self.array = array

    def __len__(self) -> int:
        return 5

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array


class NoArray:
    """An object whose ``__array__`` returns no array."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.array.tolist()


class Raising:
    """An object whose ``__array__`` raises an exception of its own."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise KeyError("not today")


class Interface:
    """An object that only knows ``__array_interface__``."""

    def __init__(self, array: Any) -> None:
        self.array = array
        self.__array_interface__ = array.__array_interface__


class BadInterface:
    """An object whose ``__array_interface__`` has a type that is none."""

    def __init__(self, array: Any) -> None:
        interface = dict(array.__array_interface__)
        self.__array_interface__ = {**interface, "typestr": "<q9", "data": (0, False)}


class OneCapsule:
    """An object that hands out the same DLPack capsule every time; it may be used once."""

    def __init__(self, array: Any) -> None:
        self.array, self.capsule = array, array.__dlpack__()

    def __dlpack__(self, **options: Any) -> Any:
        return self.capsule

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()


def used_capsule(array: Any) -> Any:
    """Return an object whose capsule was used already."""
    holder = OneCapsule(array)
    np.from_dlpack(holder)
    return holder


def unaligned(array: Any) -> Any:
    buffer = np.zeros(array.nbytes + 1, np.uint8)
    out = buffer[1:].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


def read_only(array: Any) -> Any:
    out = array.copy()
    out.flags.writeable = False
    return out


def beyond_unicode(array: Any) -> Any:
    """Return text of characters that Unicode does not have, as NumPy makes of any 32 bits."""
    codes = 0x110000 + np.arange(2 * array.size, dtype=np.uint32) // 2 % 3
    return codes.view("U2").reshape(array.shape)


def holds_itself(array: Any) -> Any:
    rows: list[Any] = array.tolist()
    rows[-1] = rows
    return rows


class RaisingInt(int):
    """An integer that does not convert to one of C."""

    def __index__(self) -> int:
        raise KeyError("not today")

    __int__ = __index__


def strided(array: Any) -> Any:
    for axis in range(array.ndim):
        array = np.repeat(array, axis + 2, axis=axis)
    return array[tuple(slice(None, None, axis + 2) for axis in range(array.ndim))]


def reversed_memory(array: Any) -> Any:
    every = tuple(slice(None, None, -1) for _ in range(array.ndim))
    return array[every].copy()[every]


def structured(array: Any) -> Any:
    columns = array.reshape(len(array), -1)
    out = np.zeros(len(array), [(f"f{i}", array.dtype) for i in range(columns.shape[1])])
    for i in range(columns.shape[1]):
        out[f"f{i}"] = columns[:, i]
    return out


def with_value(value: Any) -> Callable[[Any], Any]:
    def make(array: Any) -> Any:
        out = array.astype(np.float64)
        out.flat[out.size // 2] = value
        return out

    return make


def scaled(factor: float) -> Callable[[Any], Any]:
    return lambda array: array.astype(np.float64) * factor


#: The same numbers in other memory: the value of the clean array, or a named error.
SAME: dict[str, Callable[[Any], Any]] = {
    "negative strides": reversed_memory,
    "non-contiguous": strided,
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "foreign byte order": lambda a: a.astype(a.dtype.newbyteorder("S")),
    "unaligned": unaligned,
    "unaligned foreign": lambda a: unaligned(a.astype(a.dtype.newbyteorder("S"))),
    "long double": lambda a: a.astype(np.longdouble),
    "object": lambda a: a.astype(object),
    "structured": structured,
    "masked": lambda a: np.ma.masked_equal(a, a.flat[0]),
    "complex": lambda a: a.astype(complex),
    "subclass": lambda a: a.view(Subclass),
    "matrix": lambda a: a.view(np.matrix) if a.ndim == 2 else a,
    "lying subclass": lambda a: a.view(LyingSubclass),
    "lying attributes": LyingShape,
    "no array": NoArray,
    "raising": Raising,
    "array interface": Interface,
    "bad array interface": BadInterface,
    "DLPack": OneCapsule,
    "DLPack used twice": used_capsule,
    "memoryview": lambda a: memoryview(a.copy()),
    "nested lists": lambda a: a.tolist(),
    "iterator": lambda a: iter(a.tolist()),
}

#: Other numbers: a result, or a named error.
OTHER: dict[str, Callable[[Any], Any]] = {
    "no rows": lambda a: a[:0],
    "no columns": lambda a: a[:, :0] if a.ndim > 1 else a[:0],
    "0-D": lambda a: np.array(1.0),
    "1-D": lambda a: a.ravel(),
    "3-D": lambda a: a[..., None, None],
    "one row": lambda a: a[:1],
    "bool": lambda a: a > 0,
    "dates": lambda a: a.astype(np.int64).astype("M8[s]"),
    "strings": lambda a: a.astype(str),
    "bytes": lambda a: a.astype(str).astype("S"),
    "void": lambda a: a.astype(np.float64).view("V8"),
    "NaN": with_value(np.nan),
    "infinite": with_value(np.inf),
    "minus infinite": with_value(-np.inf),
    "subnormal": scaled(5e-320),
    "1e300": scaled(1e300),
    "1e-300": scaled(1e-300),
    "one at 1e300": with_value(1e300),
    "all zero": lambda a: a * 0,
    "all equal": lambda a: a * 0 + 3,
    "negative": lambda a: -a,
    "offset 1e200": lambda a: a + 1e200,
    "largest integers": lambda a: np.full(a.shape, 2**63 - 1),
    "unsigned": lambda a: np.full(a.shape, 2**64 - 1, np.uint64),
    "none": lambda a: [None] * len(a),
    "beyond Unicode": beyond_unicode,
    "beyond Unicode, one character": lambda a: np.full(a.shape, 0x110000, np.uint32).view("U1"),
    "beyond Unicode, foreign": lambda a: beyond_unicode(a).astype(">U2"),
    "beyond Unicode, in a list": lambda a: [*beyond_unicode(a)],
    "lone surrogates": lambda a: np.array(["\ud800", "\udfff"])[np.arange(a.size) % 2].reshape(
        a.shape
    ),
    "a list that holds itself": holds_itself,
    "lists in lists": lambda a: [functools.reduce(lambda v, _: [v], range(100), 1.0)] * len(a),
    "lists in text": lambda a: np.full(a.shape, "[" * 10_000 + "]" * 10_000, object),
    "integers of 5,000 digits": lambda a: [10**5000] * len(a),
    "integers that raise": lambda a: [RaisingInt(1)] * len(a),
}
