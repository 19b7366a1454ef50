""".npz archives: .npy members by name, compressed or not."""

from __future__ import annotations

import zipfile
from pathlib import Path

from ._npy import NpyReader
from ._reader import Reader, choose
from ._spec import FormatSpec, Selection

__all__ = ["FORMAT"]


class _MemberReader(NpyReader):
    """A member of an archive, which is closed with it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, member: str) -> None:
        self._archive = archive
        entry = archive.getinfo(f"{member}.npy")
        super().__init__(f"{path}:{member}", archive.open(entry), entry.file_size)

    def close(self) -> None:
        """Close the member and the archive."""
        super().close()
        self._archive.close()


def _open(path: Path, selection: Selection) -> Reader:
    archive = zipfile.ZipFile(path)
    try:
        return _MemberReader(
            path, archive, choose(_members(archive), selection.key, "member", path)
        )
    except BaseException:
        archive.close()
        raise


def _names(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        return _members(archive)


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


FORMAT = FormatSpec(
    title="NumPy archive", suffixes=(".npz",), kind="container", open=_open, names=_names
)
