"""Atomic write: write a temporary file beside the target, sync it to disk and rename it."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat

from ..errors import DataError

__all__ = ["write_bytes"]


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file atomically: after a crash it has the old content or the new, never a mixture.

    `path` is a regular file (else ``DataError``) or a new name in an existing folder. Links are
    followed. An existing file keeps its permissions, and after an ``OSError`` its content. The
    folder is synced too, so the rename is durable.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    mode = os.stat(target).st_mode if os.path.exists(target) else None
    if mode is not None and not stat.S_ISREG(mode):
        raise DataError(f"{target} is not a regular file; choose another name")
    temporary = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.tmp")
    try:
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), stat.S_IMODE(mode))
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
    with contextlib.suppress(OSError):  # some file systems cannot sync a folder
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
