"""What a model's own head gives, as probabilities; without torch, for those that only score."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["probabilities"]

_SUM_TO_ONE = 1e-3  # probabilities in half precision


def probabilities(outputs: NDArray[Any]) -> NDArray[np.float64]:
    """Give (n, K) outputs as they are where they are probabilities, else the softmax of them."""
    wide = np.asarray(outputs, dtype=np.float64)
    if not ((wide >= 0).all() and (abs(wide.sum(axis=1) - 1) < _SUM_TO_ONE).all()):
        wide = np.exp(wide - wide.max(axis=1, keepdims=True))
    return np.asarray(wide / wide.sum(axis=1, keepdims=True))
