"""Agreement of every metric with true accuracies of real encoders, by weighted Kendall tau.

    python benches/python/realdata.py [--published FOLDER] --write

A task is an .npz file with one (800, D) array per encoder, and `labels`, in examples/data.
NAME_truth.csv has accuracies on the full task: of a linear probe and, for encoders that can be
trained, after fine-tuning. ``--published`` adds tasks of published networks, which are not shipped:
truth.csv has, for each task and network, the file with its features and `labels_NAME`, and the
accuracy, or R², of a linear probe on the same rows. Weighted tau, regret and intervals are those of
`Ranking.evaluate`, with 2,000 bootstrap samples of the encoders; with 6 to 26 encoders they are
wide. ``--write`` updates docs/realdata.md; without ``--published`` the tables of those tasks stay
as they are.
"""

from __future__ import annotations

import argparse
import csv
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import transferability as tx
from transferability._metric.registry import metric_names, spec_of, title_of
from transferability.agreement import weighted_tau
from transferability.agreement._evaluation import Evaluation, evaluate_scores

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "realdata.md"
SHIPPED = ROOT / "examples" / "data"
#: The tables of shipped tasks, and those of tasks that are not shipped, lie between these lines.
BEGIN, BEGIN_PUBLISHED, END = (
    "<!-- begin: written by benches/python/realdata.py -->",
    "<!-- begin: written by benches/python/realdata.py --published -->",
    "<!-- end -->",
)
N_BOOT = 2000
TOP, WIDTH, RANDOM = "linear probe, full task", "number of features", "random order"
TRUTHS = ("probe_accuracy", "finetune_accuracy")
#: Fine-tuned with too few learning rates to count.
UNDERTUNED = ("opennsfw",)
#: Options worth a row of their own, for metrics that this version has.
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("logme", {"intercept": True}),
    ("logme", {"intercept": True, "standardize": True}),
    ("transrate", {"variant": "official"}),
    ("transrate", {"variant": "trace"}),
    ("gbc", {"covariance": "diagonal"}),
    ("gbc", {"covariance": "full"}),
    ("knn", {"metric": "cosine"}),
    ("lin_mse", {"ridge": 1.0}),
    ("emms", {"ridge": 0.1}),
    ("cka", {"estimator": "biased"}),
)


@dataclass
class Task:
    """A task with known accuracies."""

    name: str
    kind: str = "classification"
    features: dict[str, np.ndarray] = field(default_factory=dict)
    labels: np.ndarray = field(default_factory=lambda: np.empty(0))
    #: The accuracy, or R², of a probe by encoder, and after fine-tuning.
    probe: dict[str, float] = field(default_factory=dict)
    tuned: dict[str, float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The name, with the numbers of rows, classes and encoders."""
        classes = f"{len(np.unique(self.labels))} classes"
        what = "real targets" if self.kind == "regression" else classes
        return f"{self.name}: {len(self.labels)} rows, {what}, {len(self.probe)} encoders"


def read_tasks(folder: Path = SHIPPED) -> list[Task]:
    """Return the tasks of a folder with two files per task: features, and their truth."""
    found = []
    for path in sorted(folder.glob("*.npz")):
        with (folder / f"{path.stem}_truth.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        task = Task(path.stem)
        with np.load(path) as arrays:
            named = {name: arrays[name] for name in arrays.files}
        task.features = {
            k: v for k, v in named.items() if v.ndim == 2 and not k.startswith("labels")
        }
        task.labels = named["labels"]
        task.probe, task.tuned = (
            {row["model"]: float(row[kind]) for row in rows if row[kind]} for kind in TRUTHS
        )
        found.append(task)
    return found


def read_published(folder: Path) -> list[Task]:
    """Return the tasks of a folder whose truth.csv names the file of each network."""
    found: dict[str, Task] = {}
    with (folder / "truth.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            name = f"{row['dataset']}, {row['label']}"
            task = found.setdefault(name, Task(name, row["task"]))
            with np.load(folder / row["file"]) as arrays:
                task.features[row["model"]] = arrays[row["model"]]
                if not len(task.labels):
                    task.labels = arrays[f"labels_{row['label']}"]
            task.probe[row["model"]] = float(row["probe"])
            if row["finetune"] and not row["model"].startswith(UNDERTUNED):
                task.tuned[row["model"]] = float(row["finetune"])
    return list(found.values())


def orders(
    task: Task, names: Sequence[str] | None = None
) -> Iterator[tuple[str, dict[str, float], list[str]]]:
    """Iterate over metrics: title, scores by encoder, and encoders without a score.

    `names` are the metrics; by default all that apply.
    """
    features, labels, kind = task.features, task.labels, task.kind
    yield WIDTH, {name: float(x.shape[1]) for name, x in features.items()}, []
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)[:, :, None]
    views = labels[:, None, None] if kind == "regression" else one_hot
    shown = "" if kind == "regression" else ", one-hot labels"
    combined = tx.rank(features, labels, "recommended", task=kind, progress=False)
    yield "**recommended**", {row.name: row.value("consensus") for row in combined}, []
    names = metric_names("all") if names is None else names
    wanted: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in names]
    wanted += [(name, options) for name, options in VARIANTS if name in names]
    for name, options in sorted(wanted, key=lambda pair: pair[0]):
        title = title_of(name)
        if options:
            title += " (" + ", ".join(f"{k} {v}" for k, v in options.items()) + ")"
        given: dict[str, Any] = {"task": kind}
        scored = labels
        if "label_embeddings" in spec_of(name).needs:
            given, title = {**given, "label_embeddings": views}, title + shown
        elif kind not in spec_of(name).tasks and kind == "classification":
            scored, title = one_hot[:, :, 0], title + shown
            given = {"task": "multilabel"}
        try:
            ranking = tx.rank(features, scored, [name], progress=False, **given, **options)
        except tx.TransferabilityError as error:
            print(f"{title}: left out ({error})")
            continue
        failed = [row.name for row in ranking.failed]
        # An encoder that a metric refuses counts as last, as in a ranking.
        scores = {row.name: math.nan if row.error else row.value(name) for row in ranking}
        yield title, scores, failed


def evaluate(scores: dict[str, dict[str, float]], truth: dict[str, float]) -> Evaluation:
    """Evaluate scores by title as `Ranking.evaluate` does."""
    return evaluate_scores(scores, truth, n_boot=N_BOOT)


def draw_random_orders(truth: dict[str, float]) -> tuple[float, float]:
    """Return the range of weighted tau that holds 95 % of the random orders."""
    rng, y = np.random.default_rng(0), list(truth.values())
    taus = [weighted_tau(rng.permutation(len(y)).astype(float), y) for _ in range(N_BOOT)]
    low, high = np.quantile(taus, [0.025, 0.975])
    return float(low), float(high)


def first_model(scores: dict[str, float], truth: dict[str, float]) -> str:
    """Return the model with the highest score; among equals that with the worst truth."""
    known = {name: value for name, value in scores.items() if not math.isnan(value)}
    return max(known, key=lambda name: (known[name], -truth[name]))


def table(task: Task) -> list[str]:
    """Format the table of one task as Markdown."""
    probe, tuned = task.probe, task.tuned
    truths = [probe, tuned] if len(tuned) >= 3 else [probe]
    heads = []
    for kind, truth in zip(("linear probe", "fine-tuned"), truths, strict=False):
        heads += [f"{kind} ({len(truth)})", "95 %"]
    lines = [
        f"### {task.title}",
        "",
        f"| metric | {' | '.join(heads)} | first model | its probe | regret |",
        f"|---|{'--:|:-:|' * (len(heads) // 2)}---|--:|--:|",
    ]
    found = list(orders(task))
    scores = {TOP: probe} | {title: values for title, values, _ in found}
    refused = {title: len(failed) for title, _, failed in found if failed}
    # The order of the models decides which of them a resample holds: the same for all columns.
    evaluations = [evaluate(scores, truth) for truth in truths]
    rows: list[tuple[list[float], str, str]] = []
    for title, values in scores.items():
        measured = [evaluation[title] for evaluation in evaluations]
        best = first_model(values, probe)
        shown = [f"{one.weighted_tau:.3f} | {_range(*one.ci())}" for one in measured]
        mark = f" ({refused[title]} refused)" if title in refused else ""
        end = f"{best} | {probe[best]:.3f} | {measured[0].regret:.3f} |"
        taus = [one.weighted_tau for one in measured]
        rows.append((taus, title, f"| {title}{mark} | {' | '.join(shown)} | {end}"))
    mean = float(np.mean(list(probe.values())))
    chance = " | ".join(f"0.000 | {_range(*draw_random_orders(truth))}" for truth in truths)
    missed = max(probe.values()) - mean
    last = f"| {RANDOM} | {chance} | any, on average | {mean:.3f} | {missed:.3f} |"
    rows.append(([0.0], RANDOM, last))
    rows.sort(key=lambda row: (-np.nan_to_num(row[0][0], nan=-2), row[1]))
    return [*lines, *(text for *_, text in rows), ""]


def _range(low: float, high: float) -> str:
    return f"{low:.2f} to {high:.2f}"


def write(begin: str, text: str) -> None:
    """Replace the text of the page between a line and the next end."""
    before, rest = PAGE.read_text(encoding="utf-8").split(begin)
    after = rest.split(END, 1)[1]
    PAGE.write_text(f"{before}{begin}\n\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=SHIPPED, help="folder of the shipped tasks")
    parser.add_argument("--write", action="store_true", help="write the tables to docs/realdata.md")
    parser.add_argument("--published", type=Path, help="folder of tasks of published networks")
    options = parser.parse_args()
    warnings.simplefilter("ignore", tx.TransferabilityWarning)
    parts = [(BEGIN, read_tasks(options.data))]
    if options.published:
        parts.append((BEGIN_PUBLISHED, read_published(options.published)))
    for begin, tasks in parts:
        text = "\n".join(line for task in tasks for line in table(task))
        print(text)
        if options.write:
            write(begin, text)


if __name__ == "__main__":
    main()
