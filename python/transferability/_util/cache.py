"""A content-addressed cache of computed results on disk.

An entry is a folder ``<root>/v1/<key>`` with files and ``meta.json``, which describes the entry
and has the checksum of every file. Three rules make it safe under crashes and concurrent use:

- **Keys are hashes of content**: of weights, preprocessing, options and data, without names, paths
  and dates. Different computations have different keys.
- **Writes are atomic.** An entry appears when its complete ``meta.json`` is renamed into place. The
  names of files contain their checksums, and files are never overwritten. A reader sees the entry
  before or after a concurrent write, and no entry of a process that was killed while writing.
- **Reads are verified.** An entry with a wrong checksum is removed, and callers compute it again.

Locks only save work: they prevent two processes from computing the same result.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError
from .atomic_file import write_bytes
from .optional import need

__all__ = ["Cache", "Entry", "compute_key", "default_folder"]

_VERSION = "v1"
_META = "meta.json"
_KNOWN = "known"
_LOCKS = "locks"
_TRIES = 5
_blake2b = functools.partial(hashlib.blake2b, digest_size=20)


def default_folder() -> Path:
    """Return TRANSFERABILITY_CACHE, else ``transferability`` in the user's cache folder."""
    if chosen := os.environ.get("TRANSFERABILITY_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "transferability"


def compute_key(facts: Mapping[str, Any]) -> str:
    """Hash JSON values by name to a key; the order of the names does not matter."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return _blake2b(text.encode()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A snapshot of an entry: its folder and the content of its ``meta.json``."""

    key: str
    path: Path
    meta: Mapping[str, Any]

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files beside ``meta.json``."""
        return tuple(self.meta["files"])

    @property
    def nbytes(self) -> int:
        """Size of the files, in bytes."""
        return sum(int(file["size"]) for file in self.meta["files"].values())

    def file(self, name: str) -> Path:
        """Return the path of a file."""
        return self.path / f"{self.meta['files'][name]['blake2b']}.{name}"

    def read(self, name: str) -> bytes:
        """Read a file."""
        return self.file(name).read_bytes()

    def array(self, name: str) -> Any:
        """Return an array as a read-only memory map."""
        import numpy as np

        return np.load(self.file(name), mmap_mode="r", allow_pickle=False)

    def find_damage(self) -> str | None:
        """Verify the checksums of all files; return a description of the first damage found."""
        for name, file in self.meta["files"].items():
            try:
                found = _checksum(self.file(name))
            except OSError as error:
                return f"{name}: {error.strerror or error}"
            if found != file["blake2b"]:
                return f"{name} is not what was written (its checksum differs)"
        return None


class Cache:
    """A content-addressed cache in the folder `root`, by default :func:`default_folder`.

    The folder is created when the first entry is written. Without `tidy`, damaged entries are not
    removed when they are found.
    """

    def __init__(self, root: str | os.PathLike[str] | None = None, tidy: bool = True) -> None:
        self._tidy = tidy
        self.root = default_folder() if root is None else Path(root).expanduser()
        self._entries = self.root / _VERSION
        #: Descriptions of the damage of entries that :meth:`get` has found, by key.
        self.damaged: dict[str, str] = {}
        if self.root.exists() and not self.root.is_dir():
            raise DataError(f"cache is {self.root}, which is a file; give a folder")

    @property
    def folders(self) -> tuple[str, ...]:
        """The real paths of all folders that a cache writes to."""
        names = (_VERSION, _KNOWN, _LOCKS)
        return tuple(os.path.realpath(self.root / name) for name in names)

    def get(self, key: str, needs: tuple[str, ...] = ()) -> Entry | None:
        """Return a verified entry; None if there is none, it lacks one of `needs`, or is damaged.

        A damaged entry is removed.
        """
        entry = self._open(key)
        if entry is None or not set(needs) <= set(entry.files):
            return None
        if (damage := entry.find_damage()) is not None:
            self._drop(key, damage)
            return None
        return entry

    def put(self, key: str, meta: Mapping[str, Any], files: Mapping[str, Any]) -> Entry:
        """Write an entry atomically, in place of an existing one.

        `meta` describes it in JSON values; `files` maps file names to bytes or arrays.
        """
        place = self._entries / key
        for attempt in range(_TRIES):
            try:
                place.mkdir(parents=True, exist_ok=True)
                sums = {name: _write(place, name, content) for name, content in files.items()}
                about = {**meta, "key": key, "created": time.time(), "files": sums}
                text = json.dumps(about, indent=1, sort_keys=True).encode()
                write_bytes(place / _META, text)
                return Entry(key, place, about)
            except FileNotFoundError:  # another process has removed the entry: try again
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def remember(self, key: str, facts: Mapping[str, Any]) -> None:
        """Write JSON values about an input of computations, such as the hash of a model."""
        place = self.root / _KNOWN
        place.mkdir(parents=True, exist_ok=True)
        text = json.dumps(facts, sort_keys=True)
        about = {"facts": facts, "blake2b": _blake2b(text.encode()).hexdigest()}
        write_bytes(place / f"{key}.json", json.dumps(about).encode())

    def recall(self, key: str) -> Mapping[str, Any] | None:
        """Return what :meth:`remember` has written; None if there is nothing or it is damaged."""
        try:
            about = json.loads((self.root / _KNOWN / f"{key}.json").read_bytes())
            text = json.dumps(about["facts"], sort_keys=True)
            is_whole = about["blake2b"] == _blake2b(text.encode()).hexdigest()
            return about["facts"] if is_whole else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def remove(self, key: str) -> bool:
        """Remove an entry atomically; return whether there was one."""
        hidden = self._entries / f".{uuid.uuid4().hex}"
        try:
            (self._entries / key).rename(hidden)
        except OSError:
            return False
        shutil.rmtree(hidden, ignore_errors=True)
        return True

    def clear(self) -> int:
        """Remove all entries, and what is remembered of inputs; return the number of entries."""
        shutil.rmtree(self.root / _KNOWN, ignore_errors=True)
        return sum(self.remove(key) for key in self.keys())

    def keys(self) -> tuple[str, ...]:
        """Return the keys of all entries, sorted, including unreadable ones."""
        return tuple(sorted(path.name for path in self._entries.glob("[!.]*")))

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries with a readable description; files are not verified."""
        for key in self.keys():
            if (entry := self._open(key, tidy=False)) is not None:
                yield entry

    def verify(self) -> dict[str, str]:
        """Verify all entries; return descriptions of damage by key. Nothing is removed."""
        found = {}
        for key in self.keys():
            entry = self._open(key, tidy=False)
            damage = f"{_META} cannot be read" if entry is None else entry.find_damage()
            if damage is not None:
                found[key] = damage
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an inter-process lock; the operating system releases it if the holder dies."""
        filelock = need("filelock", extra="torch", what="locking the cache")  # comes with torch
        folder = self.root / _LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(folder / f"{name}.lock"):
            yield

    def _open(self, key: str, tidy: bool = True) -> Entry | None:
        """Read the description of an entry; with `tidy` remove it if that is unreadable."""
        place = self._entries / key
        try:
            meta = json.loads((place / _META).read_bytes())
            entry = Entry(key, place, meta)
            if meta["key"] == key and entry.nbytes >= 0:  # else it was moved from another key
                return entry
        except FileNotFoundError:  # there is no entry, or it is being written
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        if tidy:
            self._drop(key, f"{_META} cannot be read")
        return None

    def _drop(self, key: str, damage: str) -> None:
        self.damaged[key] = damage
        if self._tidy:
            self.remove(key)


def _write(place: Path, name: str, content: Any) -> dict[str, Any]:
    """Write a file under its checksum; return its size and checksum."""
    temporary = place / f".{uuid.uuid4().hex}"
    try:
        if hasattr(content, "dtype"):
            import numpy as np

            with temporary.open("wb") as file:
                np.save(file, content, allow_pickle=False)
        else:
            temporary.write_bytes(content)
        checksum, size = _checksum(temporary), temporary.stat().st_size
        temporary.replace(place / f"{checksum}.{name}")
    finally:
        temporary.unlink(missing_ok=True)
    return {"size": size, "blake2b": checksum}


def _checksum(path: Path) -> str:
    state = _blake2b()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
