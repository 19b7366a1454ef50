"""Rank pre-trained models by how well they will do on your data.

Transferability metrics score a model's features against labels, without training. Models are ranked
by these scores::

    import transferability as tx
    tx.logme(features, labels)                      # one model, one metric
    tx.rank({"resnet": a, "vit": b}, labels)        # models by their features
    tx.rank_models(["timm:resnet50", "hf:google/vit-base-patch16-224"], data)

Score and rank
    score                one metric or several of one model
    rank                 models, by features for the same rows
    rank_models          models by name or in memory, which are run on your data
    rank_ensembles       pairs and triples of models
    compare_tasks        target tasks, for one model
    Race                 options of a race, which drops models that cannot win
    Engine               many data sets by the same metrics, as in a service
    Stats                statistics of features that come in blocks: update, merge, save, score
    pool_bags            one row of features for several rows, such as those of a document
    label_embeddings     embeddings of labels, for `emms`

Metrics
    logme, h_score, leep, ridge_probe, knn and others have a function each, of that name.
    `metrics.__all__` lists them; `register_metric` adds yours.

Results
    Score, Scores                        of `score` and the metrics
    Ranking, Row                         of `rank` and `rank_models`
    RaceReport, RaceRound, TaskRanking   of races and of `compare_tasks`
    Stability, Shortlist                 how sure a ranking is, and which models to fine-tune
    Evaluation, Comparison               agreement with measured accuracies
    ParetoFront                          scores against costs

Modules
    io             features in files               models        models by name
    torch          features of layers, training    sklearn       estimators for scikit-learn
    agreement      correlations with the truth     forecast      learning curves
    health         features without labels         covariance    shrinkage, coding rates
    tuning         B-Tuning without torch          dask          rankings on a cluster
    plot, report   pictures, and one HTML page     compat        numbers of other libraries
    metrics        all metrics                     errors        what may be raised

Settings
    set_num_threads, get_num_threads, show_config
    LogMEClassifier and LogMERegressor are also here, beside `sklearn`.

``help(transferability.rank)`` documents one name, with examples. Names are imported lazily, at
their first use: ``import transferability`` does not import NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from . import errors
from ._util.public import is_help, set_module
from .errors import *  # noqa: F403

if TYPE_CHECKING:
    from .metrics import *  # noqa: F403, I001
    from . import agreement as agreement
    from . import compat as compat
    from . import covariance as covariance
    from . import dask as dask
    from . import forecast as forecast
    from . import health as health
    from . import io as io
    from . import models as models
    from . import plot as plot
    from . import report as report
    from . import sklearn as sklearn
    from . import torch as torch
    from . import tuning as tuning
    from ._core import show_config as show_config
    from ._data.bags import pool_bags as pool_bags
    from ._metric.register import register_metric as register_metric
    from ._metric.score import Score as Score
    from ._metric.score import Scores as Scores
    from ._racing.race_options import Race as Race
    from ._racing.report import RaceReport as RaceReport
    from ._racing.report import RaceRound as RaceRound
    from ._ranking.ensembles import rank_ensembles as rank_ensembles
    from ._ranking.pareto import ParetoFront as ParetoFront
    from ._ranking.rank import rank as rank
    from ._ranking.ranking import Ranking as Ranking
    from ._ranking.row import Row as Row
    from ._ranking.tasks import TaskRanking as TaskRanking
    from ._ranking.tasks import compare_tasks as compare_tasks
    from ._scoring.engine import Engine as Engine
    from ._scoring.score_features import score as score
    from ._stats.stats import Stats as Stats
    from ._sweep.rank_models import rank_models as rank_models
    from ._uncertainty.shortlist import Shortlist as Shortlist
    from ._uncertainty.stability import Stability as Stability
    from ._util.threads import get_num_threads as get_num_threads
    from ._util.threads import set_num_threads as set_num_threads
    from .agreement._evaluation import Comparison as Comparison
    from .agreement._evaluation import Evaluation as Evaluation
    from .models._label_embeddings import label_embeddings as label_embeddings
    from .sklearn import LogMEClassifier as LogMEClassifier
    from .sklearn import LogMERegressor as LogMERegressor

    __version__: str

#: The module of each name that is imported lazily.
_HOME = {
    "Comparison": "agreement._evaluation",
    "Engine": "_scoring.engine",
    "Evaluation": "agreement._evaluation",
    "LogMEClassifier": "sklearn",
    "LogMERegressor": "sklearn",
    "ParetoFront": "_ranking.pareto",
    "Race": "_racing.race_options",
    "RaceReport": "_racing.report",
    "RaceRound": "_racing.report",
    "Ranking": "_ranking.ranking",
    "Row": "_ranking.row",
    "Score": "_metric.score",
    "Scores": "_metric.score",
    "Shortlist": "_uncertainty.shortlist",
    "Stability": "_uncertainty.stability",
    "Stats": "_stats.stats",
    "TaskRanking": "_ranking.tasks",
    "compare_tasks": "_ranking.tasks",
    "get_num_threads": "_util.threads",
    "label_embeddings": "models._label_embeddings",
    "pool_bags": "_data.bags",
    "rank": "_ranking.rank",
    "rank_ensembles": "_ranking.ensembles",
    "rank_models": "_sweep.rank_models",
    "register_metric": "_metric.register",
    "score": "_scoring.score_features",
    "set_num_threads": "_util.threads",
    "show_config": "_core",
}
_SUBMODULES = (
    *("agreement", "compat", "covariance", "dask", "forecast", "health", "io", "metrics"),
    *("models", "plot", "report", "sklearn", "torch", "tuning"),
)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":
        metadata = importlib.import_module("importlib.metadata")
        try:
            value: Any = metadata.version(__name__)
        except metadata.PackageNotFoundError:
            raise AttributeError("transferability is not installed, so has no version") from None
    elif name in _HOME:
        value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    elif name in _SUBMODULES:
        value = importlib.import_module(f".{name}", __name__)
    elif name == "__all__":
        value = sorted({*errors.__all__, *_HOME, *_metrics()})
    elif not name.startswith("_") and name in _metrics():
        value = getattr(importlib.import_module(".metrics", __name__), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    set_module(value, __name__)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, whether they are imported yet or not; none for ``help()``."""
    if is_help():  # the docstring says what there is
        return []
    return sorted({*errors.__all__, *_HOME, *_metrics(), *_SUBMODULES, "errors", "__version__"})


def _metrics() -> list[str]:
    """Return the names of the metrics, which are those of their functions."""
    names: list[str] = importlib.import_module(".metrics", __name__).__all__
    return names
