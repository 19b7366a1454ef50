"""Health of features before any label: effective rank, spectral decay, dead and duplicate units.

:func:`check` computes everything in one pass, with the value of random features of the same shape
beside each number, and a verdict on collapse in words. The functions take any array that
:func:`transferability.logme` takes, features in files, or :class:`transferability.Stats`, so that
everything streams and merges.

No evidence supports ranking models of different architectures by these numbers. They compare
checkpoints of one training, and find features that have collapsed.
"""

from __future__ import annotations

from .._util.public import present
from ._check import check
from ._health import Health
from ._lidar import lidar
from ._spectrum import alpha_req, effective_rank, participation_ratio
from ._units import Norms, dead_units, duplicate_units, norms

__all__ = [
    "Health",
    "Norms",
    "alpha_req",
    "check",
    "dead_units",
    "duplicate_units",
    "effective_rank",
    "lidar",
    "norms",
    "participation_ratio",
]

present(globals())
