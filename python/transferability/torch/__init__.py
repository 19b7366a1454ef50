"""Feature extraction from torch models, and scores and a regulariser for training.

:func:`extract` records features at named layers with forward hooks; :func:`list_layers` lists the
layers of a model. :class:`TransferabilityMetric` is a torchmetrics metric for the batches of a
training loop. :class:`BTuning` is a regulariser for fine-tuning. torch itself is imported when one
of these names is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .._util.optional import need
from .._util.public import list_names, set_module

if TYPE_CHECKING:
    from ._extract import extract as extract
    from ._extractor import Extractor as Extractor
    from ._layers import Layer as Layer
    from ._layers import Layers as Layers
    from ._layers import list_layers as list_layers
    from ._metric import TransferabilityMetric as TransferabilityMetric
    from ._names import POOLS as POOLS
    from ._tuning import BTuning as BTuning

_HOME = {
    "BTuning": "_tuning",
    "Extractor": "_extractor",
    "Layer": "_layers",
    "Layers": "_layers",
    "POOLS": "_names",
    "TransferabilityMetric": "_metric",
    "extract": "_extract",
    "list_layers": "_layers",
}

__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import a public name at its first use."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    need("torch", extra="torch", what=f"transferability.torch.{name}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    set_module(value, __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return list_names(globals(), _HOME)
