"""Readahead: bring the files of the next models into the system's page cache during scoring.

Files are read, and the data dropped: the cache belongs to the system, which frees it when memory is
short. A thread waits for the disk, so that those that compute do not.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Semaphore, Thread
from typing import TypeVar

from ._formats import split_key
from ._paths import is_paths
from ._shards import FeatureSource
from ._sources import Source

__all__ = ["read_ahead"]

R = TypeVar("R")
Call = Callable[[str], R]

_PIECE = 1 << 20
#: Bytes of a model that are read ahead. Larger files are read in blocks, with prefetch.
_MOST = 64 << 20


@contextmanager
def read_ahead(
    models: Mapping[str, object], depth: int
) -> Generator[Callable[[Call[R]], Call[R]], None, None]:
    """Read the files of models ahead in order, those of `depth` models before they start.

    The function that is yielded makes a call for a model announce its start. Files that cannot be
    read are skipped: their models fail with the reason when they are read.
    """
    files = [list_files(model) for model in models.values()]
    started, ended = Semaphore(depth), False

    def read() -> None:
        for paths in files:
            started.acquire()
            if ended:
                return
            _warm(paths, lambda: ended)

    def announced(function: Call[R]) -> Call[R]:
        def call(name: str) -> R:
            started.release()
            return function(name)

        return call

    thread = Thread(target=read, name="transferability-readahead", daemon=True)
    if any(files):
        thread.start()
    try:
        yield announced
    finally:
        ended = True
        started.release()
        if any(files):
            thread.join()


def list_files(model: object) -> list[Path]:
    """Return the files of a model that are known without a search."""
    if isinstance(model, Source):
        return [model.path]
    if isinstance(model, FeatureSource):
        return [*dict.fromkeys(shard.path for shard in model.shards)]
    if isinstance(model, (str, os.PathLike)):
        return [split_key(model)[0]]
    if isinstance(model, (list, tuple)) and is_paths(model):
        return [*dict.fromkeys(split_key(entry)[0] for entry in model)]
    return []


def _warm(paths: Iterable[Path], stopped: Callable[[], bool]) -> None:
    """Read the start of the files, unless the system holds it already."""
    left = _MOST
    for path in paths:
        with suppress(OSError, ValueError):  # also names too long, and with a null byte
            left -= _read_start(path, left, stopped)


def _read_start(path: Path, most: int, stopped: Callable[[], bool]) -> int:
    """Read at most so many bytes of a file, and return how many they are; 0 if it is none."""
    if not path.is_file():
        return 0
    with path.open("rb", buffering=0) as file:
        size = min(os.fstat(file.fileno()).st_size, most)
        piece = bytearray(_PIECE)
        if not _is_cached(file.fileno(), size):
            for _ in range(0, size, _PIECE):
                if stopped() or not file.readinto(piece):
                    break
    return size


def _is_cached(descriptor: int, size: int) -> bool:
    """Return whether a sample of the pages of a file can be read without waiting for the disk."""
    now = getattr(os, "RWF_NOWAIT", None)
    if now is None or not hasattr(os, "preadv"):
        return False
    byte = bytearray(1)
    try:
        return all(os.preadv(descriptor, [byte], at, now) for at in range(0, size, _PIECE))
    except OSError:  # a page is not there, or the file system cannot tell
        return False
