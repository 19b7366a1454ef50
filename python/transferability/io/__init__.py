"""Features in files that are read block by block, so they need not fit in memory.

:func:`open_features` opens them, :func:`stats_of` computes their statistics in one pass. NumPy's
formats need no other package; ``pip install 'transferability[io]'`` installs the packages for the
others.
"""

from __future__ import annotations

from .._util.public import present
from ._open import open_features
from ._shards import Block, FeatureSource, Rows, Shard
from ._stream import stats_of

__all__ = ["Block", "FeatureSource", "Rows", "Shard", "open_features", "stats_of"]

present(globals())
