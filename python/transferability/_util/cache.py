"""A folder of computed results, each under the hash of everything that it depends on.

An entry is a folder ``<root>/v1/<key>`` with files and ``meta.json``, which says what the entry is
of and has the checksum of every file. Three rules make it safe:

- **A key is a hash of content**: of weights, preprocessing, options, data. Names, paths and dates
  are not in it, so nothing is found under it that was computed from anything else.
- **An entry appears at once**, when a finished ``meta.json`` is renamed to its place. Files have
  their checksums in their names and are never written over: whoever reads while another process
  writes the same entry has the one or the other, whole. Who is killed has written nothing.
- **Nothing is read unchecked**: where a checksum differs the entry is removed and computed
  again.

Locks only save work (two sweeps do not compute the same at once); the rules hold without them.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DataError, MissingDependencyError

__all__ = ["Cache", "Entry", "default_folder", "key_of"]

_VERSION = "v1"
_META = "meta.json"
_KEY_BYTES = 20
_TRIES = 5


def default_folder() -> Path:
    """Give TRANSFERABILITY_CACHE, else ``transferability`` in the user's folder for caches."""
    if chosen := os.environ.get("TRANSFERABILITY_CACHE"):
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "transferability"


def key_of(facts: Mapping[str, Any]) -> str:
    """Hash facts to a key; only plain values (JSON) can be in it, in any order."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest()


@dataclass(frozen=True)
class Entry:
    """An entry as it was last seen: its folder, and what ``meta.json`` says."""

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
        """Say where a file is."""
        return self.path / f"{self.meta['files'][name]['blake2b']}.{name}"

    def read(self, name: str) -> bytes:
        """Give a file's content."""
        return self.file(name).read_bytes()

    def array(self, name: str) -> Any:
        """Give an array, mapped into memory: its rows are read when they are used."""
        import numpy as np

        return np.load(self.file(name), mmap_mode="r", allow_pickle=False)

    def damage(self) -> str | None:
        """Read everything and say what is wrong with it, if anything is."""
        for name, file in self.meta["files"].items():
            try:
                found = _checksum(self.file(name))
            except OSError as error:
                return f"{name}: {error.strerror or error}"
            if found != file["blake2b"]:
                return f"{name} is not what was written (its checksum differs)"
        return None


class Cache:
    """Entries in a folder.

    Parameters
    ----------
    root : path, optional
        Default: :func:`default_folder`. Made when the first entry is written.

    Examples
    --------
    >>> import tempfile
    >>> cache = Cache(tempfile.mkdtemp())
    >>> key = key_of({"model": "a", "data": "b"})
    >>> cache.get(key) is None
    True
    >>> cache.put(key, {"model": "a"}, {"text": b"hello"}).read("text")
    b'hello'
    """

    def __init__(self, root: str | os.PathLike[str] | None = None) -> None:
        self.root = default_folder() if root is None else Path(root).expanduser()
        #: What was wrong with entries that were removed for it, by key.
        self.damaged: dict[str, str] = {}
        if self.root.exists() and not self.root.is_dir():
            raise DataError(f"cache is {self.root}, which is a file; give a folder")

    @property
    def _entries(self) -> Path:
        return self.root / _VERSION

    def get(self, key: str, needs: tuple[str, ...] = ()) -> Entry | None:
        """Find an entry that has these files, all of them sound; a damaged one is removed."""
        entry = self._open(key)
        if entry is None or not set(needs) <= set(entry.files):
            return None
        if (damage := entry.damage()) is not None:
            self._drop(key, damage)
            return None
        return entry

    def put(self, key: str, meta: Mapping[str, Any], files: Mapping[str, Any]) -> Entry:
        """Write an entry, replacing what is there: files are bytes or arrays by name."""
        place = self._entries / key
        for attempt in range(_TRIES):
            try:
                place.mkdir(parents=True, exist_ok=True)
                sums = {name: _write(place, name, content) for name, content in files.items()}
                about = {**meta, "key": key, "created": time.time(), "files": sums}
                text = json.dumps(about, indent=1, sort_keys=True).encode()
                made = place / f".{uuid.uuid4().hex}"
                made.write_bytes(text)
                made.replace(place / _META)
                return Entry(key, place, about)
            except FileNotFoundError:  # another process removes the entry: begin again
                if attempt == _TRIES - 1:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def remove(self, key: str) -> bool:
        """Remove an entry, at once; say whether there was one."""
        away = self._entries / f".{uuid.uuid4().hex}"
        try:
            (self._entries / key).rename(away)
        except OSError:
            return False
        shutil.rmtree(away, ignore_errors=True)
        return True

    def clear(self) -> int:
        """Remove all entries and say how many there were."""
        return sum(self.remove(key) for key in self.keys())

    def keys(self) -> tuple[str, ...]:
        """Give the keys of all entries, readable or not, sorted."""
        with suppress(FileNotFoundError):
            return tuple(sorted(p.name for p in self._entries.iterdir() if p.name[0] != "."))
        return ()

    def entries(self) -> Iterator[Entry]:
        """Go through the entries whose description is readable, without checking their files."""
        for key in self.keys():
            if (entry := self._open(key, tidy=False)) is not None:
                yield entry

    def verify(self) -> dict[str, str]:
        """Read everything and say, by key, what is wrong; nothing is removed."""
        found = {}
        for key in self.keys():
            entry = self._open(key, tidy=False)
            damage = f"{_META} cannot be read" if entry is None else entry.damage()
            if damage is not None:
                found[key] = damage
        return found

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold a lock among processes; the system frees it when its holder dies."""
        try:
            from filelock import FileLock
        except ImportError as error:  # comes with torch
            raise MissingDependencyError(
                "locking the cache needs filelock: pip install filelock"
            ) from error
        folder = self.root / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            yield

    def _open(self, key: str, tidy: bool = True) -> Entry | None:
        place = self._entries / key
        try:
            meta = json.loads((place / _META).read_bytes())
            entry = Entry(key, place, meta)
            if meta["key"] == key and entry.nbytes >= 0:  # and not an entry under another's name
                return entry
        except FileNotFoundError:  # no entry, or one that is being written
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass
        if tidy:
            self._drop(key, f"{_META} cannot be read")
        return None

    def _drop(self, key: str, damage: str) -> None:
        self.damaged[key] = damage
        self.remove(key)


def _write(place: Path, name: str, content: Any) -> dict[str, Any]:
    made = place / f".{uuid.uuid4().hex}"
    try:
        if hasattr(content, "dtype"):
            import numpy as np

            with made.open("wb") as file:
                np.save(file, content, allow_pickle=False)
        else:
            made.write_bytes(content)
        checksum, size = _checksum(made), made.stat().st_size
        made.replace(place / f"{checksum}.{name}")
    finally:
        made.unlink(missing_ok=True)
    return {"size": size, "blake2b": checksum}


def _checksum(path: Path) -> str:
    state = hashlib.blake2b(digest_size=_KEY_BYTES)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()
