"""Collections of models with known accuracies on several data sets, and agreement on them.

Some tables are shipped, in tests/data/tables. Others are not: most of their owners state no
licence: `LISTS`, `PUBLISHED_TAUS` and `PROBES` name their files and where the numbers are from.
Each is a .csv file with the columns `dataset`, `model` (or `method`) and one of values; lines that
begin with # are skipped.
"""

from __future__ import annotations

import csv
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import rankdata

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from reference.tables import columns  # noqa: E402

import transferability as tx  # noqa: E402
from transferability.agreement import regret, weighted_tau  # noqa: E402

N_BOOT = 1000
LIST = "mean rank elsewhere"
#: What one data set says of one model: by data set, then by model.
Table = dict[str, dict[str, float]]

#: Top-1 of torchvision's first weights on ImageNet, as its documentation lists them (version 0.12).
IMAGENET = {
    "resnet50": 76.130,
    "resnet101": 77.374,
    "resnet152": 78.312,
    "densenet121": 74.434,
    "densenet169": 75.600,
    "densenet201": 76.896,
    "mnasnet1_0": 73.456,
    "mobilenet_v2": 71.878,
    "googlenet": 69.778,
    "inception_v3": 77.294,
}
#: The three that stand out among the ten networks of Model Spider.
OBVIOUS = ("resnet101", "resnet152", "inception_v3")
#: Names of the published methods as this package writes them.
TITLES = {
    "H-Score": "H-score",
    "NLEEP": "N-LEEP",
    "PACTranDirichlet": "PACTran-Dirichlet",
    "leep": "LEEP",
    "logme": "LogME",
    "ncti": "NCTI",
    "nleep": "N-LEEP",
    "parc": "PARC",
    "sfda": "SFDA",
}


@dataclass
class Pool:
    """Models with known accuracies on several data sets, and published scores of some metrics."""

    title: str
    truth: Table
    scores: dict[str, Table] = field(default_factory=dict)

    @property
    def sizes(self) -> str:
        """The number of models of a data set, as a range if it varies."""
        n = [len(known) for known in self.truth.values()]
        return f"{max(n)}" if min(n) == max(n) else f"{min(n)} to {max(n)}"


@dataclass
class Measured:
    """Agreement of one metric with the truth of a pool.

    `taus` and `regrets` are by data set, NaN where scores are constant. `draws` are means over
    resamples of the models and of the data sets, the same for all metrics of a pool.
    """

    taus: dict[str, float]
    regrets: dict[str, float]
    draws: np.ndarray

    @property
    def tau(self) -> float:
        return float(np.nanmean(list(self.taus.values())))

    @property
    def regret(self) -> float:
        return float(np.mean(list(self.regrets.values())))


def rank_elsewhere(truth: Table) -> Table:
    """Return the mean rank of each model on the other data sets, as the share of models beaten.

    A list made this way reads no features and no labels of the data set itself.
    """
    beaten = {}
    for name, known in truth.items():
        ranks = rankdata(list(known.values())) - 1
        beaten[name] = dict(zip(known, ranks / (len(known) - 1), strict=True))
    found: Table = {}
    for name, known in truth.items():
        others = [beaten[other] for other in truth if other != name]
        of_models = {m: [shares[m] for shares in others if m in shares] for m in known}
        found[name] = {m: float(np.mean(values)) for m, values in of_models.items() if values}
    return found


def measure(scores: Table, truth: Table, n_boot: int = N_BOOT) -> Measured:
    """Compute weighted tau and regret by data set, and resample models and data sets together."""
    names = sorted({model for known in truth.values() for model in known})
    sets = [name for name in truth if name in scores]
    pairs = {}
    for name in sets:
        both = [model for model in names if model in scores[name] and model in truth[name]]
        x, y = ({model: table[name][model] for model in both} for table in (scores, truth))
        pairs[name] = x, y
    rng = np.random.default_rng(0)
    draws = np.full(n_boot, np.nan)
    for i in range(n_boot):
        models = [names[j] for j in rng.integers(0, len(names), len(names))]
        drawn, counts = np.unique(rng.integers(0, len(sets), len(sets)), return_counts=True)
        taus = []
        for j in drawn:
            x, y = pairs[sets[j]]
            here = [model for model in models if model in x]
            enough = len(set(here)) > 1
            taus.append(_tau([x[m] for m in here], [y[m] for m in here]) if enough else np.nan)
        if np.isfinite(taus).any():
            known = np.isfinite(taus)
            draws[i] = np.average(np.array(taus)[known], weights=counts[known])
    return Measured(
        {name: _tau(*pairs[name]) for name in sets},
        {name: regret(*pairs[name]) for name in sets},
        draws,
    )


def _tau(x: Any, y: Any) -> float:
    with warnings.catch_warnings():  # constant scores: NaN
        warnings.simplefilter("ignore", tx.TransferabilityWarning)
        return weighted_tau(x, y)


def interval(draws: np.ndarray) -> str:
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return f"{low:.2f} to {high:.2f}"


def random_regret(truth: Table) -> float:
    """Return the expected regret of a model picked at random, the mean over data sets."""
    values = [list(known.values()) for known in truth.values()]
    return float(np.mean([max(known) - np.mean(known) for known in values]))


def model_spider(without: Sequence[str] = ()) -> Pool:
    """Return ten networks fine-tuned on eight data sets, with the scores of nine metrics."""
    scores = columns("modelspider_single_source_scores", ("method", "dataset"), "model", "score")
    known = columns("modelspider_single_source_finetune", ("dataset",), "model", "finetune")
    methods = sorted({method for method, _ in scores})
    sets = sorted({name for _, name in scores})

    def kept(values: Mapping[str, float]) -> dict[str, float]:
        return {model: value for model, value in values.items() if model not in without}

    pool = Pool("10 CNNs fine-tuned, Model Spider", {name: kept(known[name,]) for name in sets})
    for method in methods:
        table = {name: kept(scores[method, name]) for name in sets}
        pool.scores[TITLES.get(method, method)] = table
    pool.scores["accuracy on ImageNet"] = {name: kept(IMAGENET) for name in sets}
    return pool


def medmnist(kind: str) -> Pool:
    """Return architectures ("model"), or source data sets ("dataset"), on MedMNIST targets.

    Scores are as the authors' files have them: higher is better, no sign is turned. The target's
    own row is left out of the source data sets.
    """
    table = columns(f"medmnist_{kind}_selection", ("kind_of_value", "target"), "source", "value")
    what = {"model": "architectures", "dataset": "source data sets"}[kind]
    sets = sorted(target for of, target in table if of == "AUCs" and ("logme", target) in table)

    def kept(name: str, values: Mapping[str, float]) -> dict[str, float]:
        # AUCs are percentages in one file and shares in the other.
        return {m: v for m, v in values.items() if kind == "model" or m != name}

    unit = 1 if kind == "model" else 100
    truth = {
        name: {m: unit * v for m, v in kept(name, table["AUCs", name]).items()} for name in sets
    }
    pool = Pool(f"{what}, MedMNIST", truth)
    for method in ("leep", "logme", "ncti", "nleep", "parc", "sfda"):
        found = {name: kept(name, table[method, name]) for name in sets if (method, name) in table}
        pool.scores[TITLES[method]] = found
    return pool


SHIPPED: tuple[Callable[[], Pool], ...] = (
    model_spider,
    lambda: medmnist("model"),
    lambda: medmnist("dataset"),
)


@dataclass(frozen=True)
class Source:
    """A table of accuracies that is not shipped: its file, its column, and where it is from."""

    title: str
    file: str
    column: str
    unit: float
    #: The benchmark, and the file of the public repository that has the numbers.
    origin: str
    where: str


LISTS = (
    Source(
        "11 supervised CNNs",
        "sfda_group1_cnn_finetune_acc.csv",
        "finetune_acc",
        1,
        "SFDA",
        "TencentARC/SFDA@eb1eee0a tw_group1.py",
    ),
    Source(
        "13 vision transformers",
        "emms_vit_finetune_acc.csv",
        "finetune_acc",
        1,
        "EMMS",
        "OpenGVLab/Multitask-Model-Selector@24d1008 evaluate_metric_cls_cpu_ViT.py",
    ),
    Source(
        "12 self-supervised networks",
        "sfda_group2_ssl_finetune_acc.csv",
        "finetune_acc",
        1,
        "SFDA",
        "TencentARC/SFDA@3b7edf7 tw_group2.py",
    ),
    Source(
        "15 pathology encoders, probe",
        "kaiko_pathology_probe.csv",
        "score",
        100,
        "kaiko eva",
        "kaiko-ai/eva@73b61a79 tools/data/leaderboards/pathology.csv",
    ),
    Source(
        "180 mixed models",
        "transfergraph_image_finetune.csv",
        "test_accuracy",
        100,
        "TransferGraph",
        "zLizy/transferability_graph@9c22047 doc/records.csv",
    ),
    Source(
        "292 mixed models, 800 images",
        "transfergraph_vtab800_finetune.csv",
        "test_accuracy",
        100,
        "TransferGraph",
        "zLizy/transferability_graph@9c22047 doc/ftrecords_img.csv, 800 training images",
    ),
)
#: Published weighted taus of metrics by data set, of the collection with that title: from the
#: README of TencentARC/SFDA@3b7edf7, and of lixiaotong97/PED@e5af6e7 (without SUN397).
PUBLISHED_TAUS = (
    ("11 supervised CNNs", "sfda_group1_published_tauw.csv"),
    ("12 self-supervised networks", "ped_group2_published_tauw.csv"),
)
#: Accuracies of linear probes of the CNNs, on the same data sets.
PROBES = Source(
    "linear probes of the CNNs",
    "rept_group1_cnn_head_acc.csv",
    "head_acc",
    1,
    "REPT",
    "alizkzm/pert_robust_platform@52bce30d tw_group1.py",
)


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def read_pool(folder: Path, source: Source) -> Pool:
    """Return a pool; of several trainings of a model that with the best validation accuracy."""
    best: dict[tuple[str, str], tuple[float, float]] = {}
    for row in read_rows(folder / source.file):
        if not row[source.column]:
            continue
        chosen = float(row.get("val_accuracy") or 0), source.unit * float(row[source.column])
        key = row["dataset"], row["model"]
        if key not in best or chosen[0] > best[key][0]:
            best[key] = chosen
    truth: Table = {}
    for (name, model), (_, value) in best.items():
        truth.setdefault(name, {})[model] = value
    return Pool(source.title, truth)
