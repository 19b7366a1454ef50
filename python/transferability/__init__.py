"""Rank pre-trained models by how well they will do on your data.

Transferability metrics score a model's features against labels without training anything, and
rank models by that. Start with :func:`rank`, or :func:`logme` for a single model; see
:class:`Stats` for features that come in blocks.

Names are loaded when first used, so that ``import transferability`` costs next to nothing.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

from . import errors, metrics
from .errors import *  # noqa: F403
from .metrics import *  # noqa: F403

if TYPE_CHECKING:
    from . import agreement as agreement
    from . import compat as compat
    from . import dask as dask
    from . import forecast as forecast
    from . import io as io
    from . import models as models
    from . import plot as plot
    from . import report as report
    from . import sklearn as sklearn
    from . import torch as torch
    from . import tuning as tuning
    from ._compare_tasks import compare_tasks as compare_tasks
    from ._core import show_config as show_config
    from ._ensembles import rank_ensembles as rank_ensembles
    from ._evaluate import score as score
    from ._label_embeddings import label_embeddings as label_embeddings
    from ._rank import rank as rank
    from ._rank_models import rank_models as rank_models
    from ._ranking import Ranking as Ranking
    from ._score import Score as Score
    from ._stability import Stability as Stability
    from ._stats import Stats as Stats
    from ._threads import get_num_threads as get_num_threads
    from ._threads import set_num_threads as set_num_threads
    from .sklearn import LogMEClassifier as LogMEClassifier
    from .sklearn import LogMERegressor as LogMERegressor

    __version__: str

_HOME = {
    "LogMEClassifier": "sklearn",
    "LogMERegressor": "sklearn",
    "Ranking": "_ranking",
    "Score": "_score",
    "Stability": "_stability",
    "Stats": "_stats",
    "compare_tasks": "_compare_tasks",
    "get_num_threads": "_threads",
    "label_embeddings": "_label_embeddings",
    "rank": "_rank",
    "rank_ensembles": "_ensembles",
    "rank_models": "_rank_models",
    "score": "_evaluate",
    "set_num_threads": "_threads",
    "show_config": "_core",
}
_SUBMODULES = (
    "agreement",
    "compat",
    "dask",
    "forecast",
    "io",
    "models",
    "plot",
    "report",
    "sklearn",
    "torch",
    "tuning",
)

__all__ = [
    "Ranking",
    "Score",
    "Stability",
    "Stats",
    "compare_tasks",
    "get_num_threads",
    "label_embeddings",
    "rank",
    "rank_ensembles",
    "rank_models",
    "score",
    "set_num_threads",
    "show_config",
]
__all__ += errors.__all__
__all__ += metrics.__all__

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used."""
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version(__name__)
    elif name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f".{name}", __name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List what can be loaded as well as what is."""
    return sorted({*globals(), *_HOME, *_SUBMODULES, "__version__"})
