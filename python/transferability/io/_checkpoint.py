"""Checkpoint of a pass over shards: a file, written atomically, from which the pass resumes.

It holds the statistics of the complete shards, and identifies these shards, the labels and the
settings. It is refused if any of them has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

from .._stats.stats import Stats
from .._util.atomic_file import write_bytes
from ..errors import DataError
from ._shards import FeatureSource, Shard

__all__ = ["Checkpoint"]

_MAGIC = b"transferability checkpoint 1\n"
_DIGEST = 32


class Checkpoint:
    """The checkpoint file of one pass.

    `settings` are the labels and options that the statistics depend on, as JSON can hold them.
    """

    def __init__(
        self, path: str | os.PathLike[str], source: FeatureSource, settings: dict[str, Any]
    ) -> None:
        self._path = Path(path)
        self._settings = settings
        self._shards = [_identify(shard) for shard in source.shards]
        self._latest: tuple[Stats, int] | None = None  # complete but not yet written
        self._next = 0.0  # when the next write is due

    def load(self, n_threads: int | None) -> tuple[Stats, int] | None:
        """Read the statistics, and the number of shards that they cover; None without a file."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return None
        body, digest = data[:-_DIGEST], data[-_DIGEST:]
        start = len(_MAGIC) + 8
        if not data.startswith(_MAGIC) or _digest(body) != digest:
            raise DataError(f"{self._path} is no whole checkpoint; delete it to start again")
        length = int.from_bytes(data[len(_MAGIC) : start], "little")
        facts = json.loads(data[start : start + length])
        self._check(facts)
        stats = Stats.from_bytes(body[start + length :]).replace(n_threads=n_threads)
        return stats, len(facts["shards"])

    def keep(self, stats: Stats, n_shards: int) -> None:
        """Record that `n_shards` are complete, and write the file if it is due."""
        due = time.monotonic() >= self._next
        self._latest = (stats if due else stats.copy(), n_shards)  # the pass changes `stats`
        if due:
            self.write()

    def write(self) -> None:
        """Write the latest record, unless the file has it already."""
        if self._latest is None:
            return
        started = time.monotonic()
        stats, n_shards = self._latest
        facts = {"settings": self._settings, "shards": self._shards[:n_shards]}
        text = json.dumps(facts).encode()
        body = _MAGIC + len(text).to_bytes(8, "little") + text + stats.to_bytes()
        write_bytes(self._path, body + _digest(body))
        self._latest = None
        ended = time.monotonic()
        self._next = ended + 10 * (ended - started)  # at most a tenth of the time is for writing

    def _check(self, facts: dict[str, Any]) -> None:
        """Raise if the file has statistics of other files, labels or settings."""
        advice = f"delete {self._path} to start again"
        for name, value in self._settings.items():
            if facts["settings"].get(name) != value:
                raise DataError(f"{name} changed since {self._path} was written; {advice}")
        before = facts["shards"]
        for old, new in zip(before, self._shards, strict=False):
            if old != new:
                what = next(name for name in new if old.get(name) != new[name])
                raise DataError(
                    f"{new['path']} is not what {self._path} was made of: its {what} was "
                    f"{old.get(what)!r} and is {new[what]!r}; {advice}"
                )
        if len(before) > len(self._shards):
            raise DataError(
                f"{self._path} holds {len(before)} shards, more than the {len(self._shards)} "
                f"given; {advice}"
            )


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _identify(shard: Shard) -> dict[str, Any]:
    """Return facts that identify the content of a shard, without reading all of it."""
    status = shard.path.stat()
    with shard.path.open("rb") as file:
        head = hashlib.blake2b(file.read(4096), digest_size=16).hexdigest()
    return {
        "path": os.path.abspath(shard.path),
        "array": shard.key,
        "rows": shard.n_samples,
        "columns": shard.n_features,
        "size": status.st_size,
        "time of change": status.st_mtime_ns,
        "header": head,
    }
