"""Atomic write: a file is written beside its target, synced to disk and renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from ..errors import DataError

__all__ = ["write_bytes"]


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: a reader, or a crash, finds the old content or the new one.

    The bytes are written to a hidden temporary file in the same folder and synced to disk. That
    file is renamed over `path`, and the folder is synced as well.

    Parameters
    ----------
    path : str or path-like
        A regular file, or a new name in an existing folder; the target of a link is replaced.
    data : bytes
        The whole content.

    Raises
    ------
    DataError
        If `path` exists and is not a regular file.
    OSError
        If the file cannot be written, with the reason. An existing file is unchanged.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    mode = _mode(target)
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError):
            reason = f"could not be written, and is as it was before: {error.strerror}"
            raise OSError(error.errno, reason, os.fspath(path)) from error
        raise
    _sync_folder(folder)


def _mode(target: str) -> int | None:
    """Return the permissions of an existing file; None if there is none."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        raise DataError(f"{target} is not a regular file; choose another name")
    return stat.S_IMODE(found)


def _sync_folder(folder: str) -> None:
    """Sync a folder, which makes a rename durable; file systems that cannot are ignored."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
