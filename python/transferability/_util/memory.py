"""Peak memory, out-of-memory errors and freeing of memory: host, and CUDA if torch is imported."""

from __future__ import annotations

import ctypes
import functools
import gc
import sys
from collections.abc import Callable, Sized
from typing import Any

from ..errors import OutOfMemoryError

__all__ = [
    "free_memory",
    "is_out_of_memory",
    "no_memory",
    "no_memory_for",
    "peak_memory",
    "peak_memory_with_device",
    "return_unused_memory",
]

#: Texts by which torch reports, as a RuntimeError, an allocation that failed.
_MESSAGES = ("out of memory", "not enough memory", "can't allocate memory", "ALLOC_FAILED")


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes; 0 where it is unknown."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def peak_memory_with_device() -> int:
    """Return the larger of the peak memory of this process and of its CUDA device, in bytes."""
    cuda = _cuda()
    used = cuda is not None and cuda.is_initialized()
    return max(peak_memory(), int(cuda.max_memory_allocated()) if used else 0)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the error reports a failed allocation, on the host or on a device."""
    if isinstance(error, MemoryError):
        return True
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _MESSAGES)


def no_memory(what: str, n_bytes: int) -> OutOfMemoryError:
    """Return the error for memory of this size that Python or NumPy could not allocate."""
    return OutOfMemoryError(
        f"{what} needs {n_bytes} bytes, which could not be reserved; use fewer rows or columns "
        f"at a time"
    )


def no_memory_for(value: object, name: str, error: MemoryError) -> OutOfMemoryError:
    """Return the error for an argument that could not be converted: `error`, if it has a name.

    Numbers and references to text take 8 bytes each.
    """
    if isinstance(error, OutOfMemoryError):
        return error
    size = getattr(value, "size", None)
    if not isinstance(size, int):  # a list; torch's size is a method
        size = len(value) if isinstance(value, Sized) else 1
    return no_memory(f"a copy of {name}", 8 * size)


def free_memory() -> None:
    """Collect garbage and return torch's cached device memory to the device."""
    gc.collect()
    if (cuda := _cuda()) is not None:
        cuda.empty_cache()


def return_unused_memory() -> None:
    """Return freed memory to the system, where the C library has ``malloc_trim``.

    Blocks of many sizes leave holes between the few that stay, and glibc keeps the holes.
    """
    trim = _find_trim()
    if trim is not None:
        trim(0)


@functools.cache
def _find_trim() -> Callable[[int], int] | None:
    return getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None


def _cuda() -> Any:
    """Return ``torch.cuda``; None if torch is not imported or has no device."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() else None
