"""Files that are whole or not there: written beside, made durable, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from ..errors import DataError

__all__ = ["read_bytes", "write_bytes"]


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one and no other.

    The bytes go to a hidden name in the same folder, which nothing reads, and reach the disk
    before that is renamed over `path`; the folder's entry is made durable as well.

    Parameters
    ----------
    path : str or path-like
        A regular file, or a new name in a folder that exists; a link's target is replaced.
    data : bytes
        All of its content.

    Raises
    ------
    DataError
        If something that is no regular file has that name.
    OSError
        If it cannot be written, with the reason; what was there before is as it was.
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
    """Give the permissions of the file that is there."""
    try:
        found = os.stat(target).st_mode
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found):
        raise DataError(f"{target} is not a regular file; choose another name")
    return stat.S_IMODE(found)


def _sync_folder(folder: str) -> None:
    """Make a rename durable; some file systems offer no way to."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Read a whole file.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    data : bytes
    """
    with open(path, "rb") as file:
        return file.read()
