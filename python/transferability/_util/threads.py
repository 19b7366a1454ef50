"""Number of threads: argument, ``set_num_threads``, environment variable, cores, in that order."""

from __future__ import annotations

import functools
import operator
import os
from pathlib import Path

from ..errors import DataError, DtypeError

__all__ = ["MOST", "get_num_threads", "resolve_threads", "set_num_threads"]

_VARIABLE = "TRANSFERABILITY_NUM_THREADS"
MOST = 128  # the number of threads for which OpenBLAS has buffers
_chosen: int | None = None


def set_num_threads(n_threads: int | None) -> None:
    """Set the number of threads for every later call in this process.

    Parameters
    ----------
    n_threads : int or None
        From 1 to 128. None restores the default: the environment variable
        TRANSFERABILITY_NUM_THREADS, else the number of cores that this process may use.

    Raises
    ------
    DataError, DtypeError
        If `n_threads` is not an integer from 1 to 128.

    Examples
    --------
    >>> import transferability as tx
    >>> tx.set_num_threads(2)
    >>> tx.get_num_threads()
    2
    >>> tx.set_num_threads(None)
    """
    global _chosen
    _chosen = None if n_threads is None else _check_number(n_threads, "n_threads")


def get_num_threads() -> int:
    """Return the number of threads of a call without `n_threads`.

    That is the number from :func:`set_num_threads`, else from TRANSFERABILITY_NUM_THREADS, else the
    number of cores that this process may use by CPU affinity and container limits.
    """
    if _chosen is not None:
        return _chosen
    text = os.environ.get(_VARIABLE, "").strip()
    if not text:
        return _count_cores()
    try:
        return _check_number(int(text), _VARIABLE)
    except ValueError as error:
        raise DataError(
            f"the environment variable {_VARIABLE} is {text!r}; set it to a whole number >= 1"
        ) from error


def resolve_threads(n_threads: int | None) -> int:
    """Return the number of threads for an `n_threads` argument; None is the default number."""
    return get_num_threads() if n_threads is None else _check_number(n_threads, "n_threads")


def _check_number(value: int, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError as error:
        raise DtypeError(f"{name} must be an integer or None, got {value!r}") from error
    if isinstance(value, bool) or not 1 <= number <= MOST:
        raise DataError(f"{name} must be between 1 and {MOST}, got {value!r}")
    return number


def _count_cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS and Windows
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota = _container_quota()
    return max(1, cores if quota is None else min(cores, quota))


@functools.cache  # the limit of a container does not change while it runs
def _container_quota() -> int | None:
    """Return the CPU limit of the control group, rounded up; None if there is none."""
    group = Path("/sys/fs/cgroup")
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text().split()[:2]
        else:
            quota = (group / "cpu/cpu.cfs_quota_us").read_text()
            period = (group / "cpu/cpu.cfs_period_us").read_text()
        return None if quota == "max" or int(quota) <= 0 else -(-int(quota) // int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return None
