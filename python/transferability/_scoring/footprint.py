"""Estimate the memory of a call from the shapes of its arguments, before anything is computed.

The estimate is an upper bound of what the call allocates beside its arguments, for one metric after
the other: the statistics that they share, one decomposition of each kind, and the most that one of
them takes beside. ``tests/python/test_footprint.py`` compares it with the peak of real calls.

With N rows, D features, C classes or targets, m = min(N, D):

| | numbers |
|---|---|
| labels | 8 N, C N for targets |
| statistics, N ≤ D | N D |
| statistics, N > D | (threads + 1) (D² + C D + a panel of at most 1,024 rows; of targets too) |
| statistics of every class | 2 min(N, C D) D |
| decompositions | 6 m² + 6 C m, and 3 N D where N ≤ D |
| SVD, if it may be taken | 4 N D + 2 m² |

The native module keeps up to 32 MB of freed blocks for the next call (``python/src/kept.rs``), but
no more than the call has used.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from .._inputs.inputs import RowSource
from .._metric.prepared import PreparedRequests
from .._metric.registry import spec_of
from .._metric.spec import Size
from .._stats.stats import may_take_svd
from .evaluate import Settings, loads

__all__ = ["bytes_of_files", "bytes_of_text", "estimate_bytes"]

_FIXED = 2 << 20  # bytes of a call of any size
_KEPT = 32 << 20  # bytes that the native module keeps
_NUMBER = 8  # bytes
#: Bytes of a str of Python beside its characters, and of the places that refer to it.
_STRING = 80
#: Bytes of a block of a file that is read in blocks, and how many there are at once.
_BLOCK, _BLOCKS = 24 << 20, 3
#: Panels of rows, as in src/stats/pass.rs: numbers, and rows.
_PANEL, _PANEL_ROWS = 5 << 17, (64, 1024)


def estimate_bytes(size: Size, requests: PreparedRequests, settings: Settings) -> int:
    """Return an upper bound of the bytes that a call takes beside its arguments."""
    n, c = size.n_samples, size.n_classes
    labels = n * (c if size.has_targets else 1) + 8 * n
    most = 0.0
    for source, wanted in requests.by_source.items():
        d = size.n_source_classes if source == "source_stats" else size.n_features
        shared = 0.0
        if source != "none":
            shared = _statistics(n, d, c, size.has_targets, wanted, settings)
            shared += _decompositions(n, d, c, settings.method)
        beside = (spec_of(name).memory(size, options) for name, options in wanted.items())
        most = max(most, shared + max(beside))
    used = _NUMBER * (labels + most)
    return _FIXED + size.converted + int(used + min(_KEPT, used / 2))


def bytes_of_files(files: RowSource, requests: PreparedRequests, method: str) -> int:
    """Return the bytes of features in files that are in memory at once."""
    if loads(files, requests, method):
        return 2 * files.nbytes  # the blocks, and the matrix of all
    n_rows, n_features = files.shape
    square = files.nbytes // n_rows * n_features  # a block has as many rows as columns at least
    return _BLOCKS * min(files.nbytes, max(_BLOCK, square))


def bytes_of_text(array: NDArray[Any]) -> int:
    """Return the bytes of the strings of an array as objects of Python."""
    return array.size * (array.itemsize + _STRING)


def _statistics(
    n: int, d: int, c: int, has_targets: bool, wanted: PreparedRequests, settings: Settings
) -> float:
    """Return the numbers of an accumulator for each thread, and the total."""
    every_class = 2.0 * min(n, c * d) * d if wanted.reads_class_scatters else 0.0
    if n <= d:
        return 1.25 * n * d + every_class
    rows = min(n, max(_PANEL_ROWS[0], min(_PANEL_ROWS[1], _PANEL // d)))
    own = 1.0 * d * d + rows * d + c * d + ((rows + min(c, d)) * c if has_targets else 0)
    if settings.precision == "single":
        own += (d * d + rows * d) / 2
    return (settings.threads + 1.0) * own + every_class


def _decompositions(n: int, d: int, c: int, method: str) -> float:
    """Return the numbers of one decomposition of each kind."""
    m = min(n, d)
    held = 3.0 * n * d if n <= d else 0.0
    svd = 4.0 * n * d + 2 * m * m if may_take_svd(method, n, d) else 0.0
    return 6.0 * m * m + 6.0 * c * m + held + svd
