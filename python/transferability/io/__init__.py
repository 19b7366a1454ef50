"""Features in files: read block by block, scored without ever being in memory as a whole.

:func:`open_features` opens them, :func:`stats_of` makes one pass over them. Reading needs the
package of the file's format, ``pip install 'transferability[io]'``; .npy and .npz need none.
"""

from __future__ import annotations

from .._util.public import set_modules
from ._open import open_features
from ._shards import Block, FeatureSource, Rows, Shard
from ._stream import stats_of

__all__ = ["Block", "FeatureSource", "Rows", "Shard", "open_features", "stats_of"]

set_modules(globals())
