"""The cache entries of one model: their keys, those that are missing, and how to extract these.

There is an entry for each layer and pooling, under the same key whether one pooling was asked for
or several. Features (N, D) are not pooled: where several poolings were asked for, they are stored
once, under a key without a pooling, which serves every pooling.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .._util.cache import Cache, Entry, compute_key
from ..errors import DataError
from ..torch._names import ALL
from .extract import ExtractedLayer
from .job import MEAN, ExtractionOptions

__all__ = ["EntryPlan"]


class EntryPlan:
    """The entries that a job needs; `options` have the names of layers, and `pool` is not None.

    `facts` identify the model and the data. The `first` pooling comes first among all.
    """

    def __init__(
        self,
        cache: Cache,
        options: ExtractionOptions,
        facts: Mapping[str, object],
        files: tuple[str, ...],
        first: str,
    ) -> None:
        self._cache, self._options, self._files, self._first = cache, options, files, first
        self._facts = {**facts, **options.key_facts()}
        del self._facts["pool"]
        self._layers = (*options.layers, *((MEAN,) if options.average else ()))
        self._found: dict[tuple[str, str | None], Entry] = {}
        self._missing: dict[str, tuple[str, ...] | str] = {}  # poolings by layer; ALL if unknown

    @property
    def lock(self) -> str:
        """Name of the lock of this model, so that two concurrent sweeps run it once."""
        return compute_key(self._facts)

    def find_missing(self, resume: bool) -> ExtractionOptions | None:
        """Look the entries up; return the options that extract the missing ones, None without."""
        for layer in self._layers:
            pools = self._pools_of(layer) if resume else self._asked
            entries = {pool: self._get(layer, pool) if resume else None for pool in pools or ()}
            lacking = tuple(pool for pool, entry in entries.items() if entry is None)
            if pools is not None and not lacking:
                self._found |= {(layer, pool): e for pool, e in entries.items() if e is not None}
            elif resume and (flat := self._get(layer, None)) is not None:
                self._found[layer, None] = flat
            else:
                self._found |= {(layer, pool): e for pool, e in entries.items() if e is not None}
                self._missing[layer] = ALL if pools is None else lacking
        return self._extraction() if self._missing else None

    def write(self, found: Mapping[tuple[str, str | None], ExtractedLayer], **facts: Any) -> None:
        """Write the extracted layers that were missing."""
        for layer, lacking in self._missing.items():
            there = [pool for own, pool in found if own == layer]
            if lacking == ALL:
                meta = {**facts, "layer": layer, "pools": [pool for pool in there if pool]}
                self._cache.put(self._manifest_key(layer), meta, {})
                lacking = tuple(pool for pool in there if pool) or (self._first,)
            for pool in lacking:
                label = pool if pool in there else None
                if label is None and self._is_several and (layer, None) in self._found:
                    continue
                entry = found[layer, label]
                own = None if label is None and self._is_several else pool
                meta = {**facts, "layer": layer, "pool": own, **entry.facts}
                self._found[layer, own] = self._cache.put(self._key(layer, own), meta, entry.files)

    def keys(self) -> dict[str, str]:
        """Return the keys of all entries by the name of their layer and pooling."""
        keys: dict[str, str] = {}
        for layer in self._layers:
            own = {pool: entry for (name, pool), entry in self._found.items() if name == layer}
            for pool in sorted(own, key=self._rank):
                is_pooled = self._is_several and own[pool].meta.get("is_pooled", True)
                keys.setdefault(f"{layer}/{pool}" if is_pooled else layer, own[pool].key)
        return keys

    @property
    def _is_several(self) -> bool:
        return not isinstance(self._options.pool, str) or self._options.pool == ALL

    @property
    def _asked(self) -> tuple[str, ...] | None:
        """The poolings by name; None for all that fit."""
        pool = self._options.pool
        if pool is None or isinstance(pool, Mapping):
            raise DataError(f"pool is {pool!r}, which is not resolved for a model")
        if pool == ALL:
            return None
        return (pool,) if isinstance(pool, str) else pool

    def _rank(self, pool: str | None) -> tuple[int, str]:
        """Return the place of a pooling: as asked, or the model's own and then by name."""
        asked = self._asked
        if asked is None or pool not in asked:
            return (int(pool != self._first), pool or "")
        return (asked.index(pool), "")

    def _pools_of(self, layer: str) -> tuple[str, ...] | None:
        """Return the poolings of a layer; None if those that fit are not known."""
        if self._asked is not None:
            return self._asked
        manifest = self._cache.get(self._manifest_key(layer))
        pools = () if manifest is None else tuple(manifest.meta["pools"])
        return pools or None  # without any it is flat, and its entry is gone

    def _extraction(self) -> ExtractionOptions:
        options, missing = self._options, self._missing
        average = MEAN in missing
        layers = options.layers if average else tuple(missing)
        if not self._is_several:
            return replace(options, layers=layers, average=average)
        of_mean = missing.get(MEAN, ())
        pools: dict[str, tuple[str, ...] | str] = {}
        for layer in layers:
            own = missing.get(layer, ())
            is_all = ALL in (own, of_mean)
            pools[layer] = ALL if is_all else tuple(dict.fromkeys((*own, *of_mean)))
        return replace(options, layers=layers, average=average, pool=pools)

    def _get(self, layer: str, pool: str | None) -> Entry | None:
        return self._cache.get(self._key(layer, pool), self._files)

    def _key(self, layer: str, pool: str | None) -> str:
        if pool is None:
            return compute_key({**self._facts, **self._place(layer), "features": "2-D"})
        return compute_key({**self._facts, "pool": repr(pool), **self._place(layer)})

    def _manifest_key(self, layer: str) -> str:
        return compute_key({**self._facts, **self._place(layer), "manifest": "poolings"})

    def _place(self, layer: str) -> dict[str, object]:
        # The mean depends on the set of layers.
        is_mean = layer == MEAN and self._options.average
        return {"layers": self._options.layers} if is_mean else {"layer": layer}
