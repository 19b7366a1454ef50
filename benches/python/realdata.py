"""Agreement of every metric with true accuracies of real encoders, by weighted Kendall tau.

    python benches/python/realdata.py --data FOLDER [--published FOLDER] --write

A task is an .npz file with one (800, D) array per encoder, and `labels`. truth.csv has accuracies
on the full task: of a linear probe and, for encoders that can be trained, after fine-tuning.
``--published`` adds tasks of published networks: truth.csv has, for each task and network, the file
with its features and `labels_NAME`, and the accuracy, or R², of a linear probe on the same rows.
Weighted tau is SciPy's default, as in most papers. Intervals are from 2,000 bootstrap samples of
the encoders; with 6 to 26 encoders they are wide. ``--write`` updates docs/realdata.md.
"""

from __future__ import annotations

import argparse
import csv
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import weightedtau

import transferability as tx
from transferability._metric.registry import metric_names, spec_of, title_of

PAGE = Path(__file__).parents[2] / "docs" / "realdata.md"
BEGIN, END = "<!-- begin: written by benches/python/realdata.py -->", "<!-- end -->"
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


def read_tasks(folder: Path) -> list[Task]:
    """Return the tasks of a folder with one file per task."""
    with (folder / "truth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = []
    for path in sorted(folder.glob("*.npz")):
        task = Task(path.stem)
        with np.load(path) as arrays:
            named = {name: arrays[name] for name in arrays.files}
        task.features = {
            k: v for k, v in named.items() if v.ndim == 2 and not k.startswith("labels")
        }
        task.labels = named["labels"]
        own = [row for row in rows if row["dataset"] == task.name]
        task.probe, task.tuned = (
            {row["model"]: float(row[kind]) for row in own if row[kind]} for kind in TRUTHS
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
    task: Task,
) -> Iterator[tuple[str, dict[str, float], list[str]]]:
    """Iterate over metrics: title, scores by encoder, and encoders without a score."""
    features, labels, kind = task.features, task.labels, task.kind
    yield "number of features", {name: float(x.shape[1]) for name, x in features.items()}, []
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)[:, :, None]
    views = labels[:, None, None] if kind == "regression" else one_hot
    shown = "" if kind == "regression" else ", one-hot labels"
    combined = tx.rank(features, labels, "recommended", task=kind, progress=False)
    yield "**recommended**", {row.name: row.value("consensus") for row in combined}, []
    names = metric_names("all")
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
        scores = {row.name: -math.inf if row.error else row.value(name) for row in ranking}
        yield title, scores, failed


def agreement(scores: dict[str, float], truth: dict[str, float]) -> tuple[float, float, float]:
    """Return weighted tau and its 95 % bootstrap interval over the encoders; NaN for constants."""
    x = np.array([scores[name] for name in truth])
    y = np.array(list(truth.values()))
    if len(set(x)) < 2:
        return math.nan, math.nan, math.nan
    rng = np.random.default_rng(0)
    draws = rng.integers(0, len(x), size=(2000, len(x)))
    taus = [weightedtau(x[i], y[i]).statistic for i in draws if len(set(x[i])) > 1]
    low, high = np.nanquantile(taus, [0.025, 0.975])
    return float(weightedtau(x, y).statistic), float(low), float(high)


def table(task: Task) -> list[str]:
    """Format the table of one task as Markdown."""
    probe, tuned = task.probe, task.tuned
    few = len(tuned) < 3
    heads = [f"linear probe ({len(probe)})", "95 %"]
    heads += [] if few else [f"fine-tuned ({len(tuned)})", "95 %"]
    lines = [
        f"### {task.title}",
        "",
        f"| metric | {' | '.join(heads)} | first model | its probe | regret |",
        f"|---|{'--:|:-:|' * (len(heads) // 2)}---|--:|--:|",
    ]
    both = [name for name in tuned if name in probe]
    found = list(orders(task))
    rows = [("linear probe, full task", probe, []), *found]
    cells = []
    for title, scores, failed in rows:
        with_probe = agreement(scores, probe)
        with_tuned = (
            (math.nan,) * 3 if few else agreement(scores, {name: tuned[name] for name in both})
        )
        best = max(scores, key=lambda name: scores[name])
        mark = f" ({len(failed)} refused)" if failed else ""
        cells.append((with_tuned[0], with_probe[0], title + mark, with_probe, with_tuned, best))
    order = sorted(cells, key=lambda c: (-np.nan_to_num(c[1], nan=-2), c[2]))
    top = max(probe.values())
    for *_, title, a, b, best in order:
        shown = [a] if few else [a, b]
        taus = " | ".join(f"{tau:.3f} | {low:.2f} to {high:.2f}" for tau, low, high in shown)
        regret = top - probe[best]
        lines.append(f"| {title} | {taus} | {best} | {probe[best]:.3f} | {regret:.3f} |")
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the .npz and truth.csv")
    parser.add_argument("--write", action="store_true", help="write the tables to docs/realdata.md")
    parser.add_argument("--published", type=Path, help="folder of tasks of published networks")
    options = parser.parse_args()
    warnings.simplefilter("ignore", tx.TransferabilityWarning)
    tasks = read_tasks(options.data)
    tasks += read_published(options.published) if options.published else []
    lines = [line for task in tasks for line in table(task)]
    text = "\n".join(lines)
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
