"""Agreement of every metric with true accuracies of real encoders, by weighted Kendall tau.

    python benches/python/realdata.py --data FOLDER --write

A task is an .npz file with one (800, D) array per encoder, and `labels`. truth.csv has accuracies
on the full task: of a linear probe and, for encoders that can be trained, after fine-tuning.
Weighted tau is SciPy's default, as in most papers. Intervals are from 2,000 bootstrap samples of
the encoders; with 6 to 22 encoders they are wide. ``--write`` updates docs/realdata.md.
"""

from __future__ import annotations

import argparse
import csv
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import weightedtau

import transferability as tx
from transferability._metric.registry import metric_names, spec_of, title_of

PAGE = Path(__file__).parents[2] / "docs" / "realdata.md"
BEGIN, END = "<!-- begin: written by benches/python/realdata.py -->", "<!-- end -->"
TRUTHS = ("probe_accuracy", "finetune_accuracy")
#: Options worth a row of their own, for metrics that this version has.
VARIANTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("logme", {"intercept": True}),
    ("transrate", {"variant": "official"}),
    ("transrate", {"variant": "trace"}),
    ("gbc", {"covariance": "diagonal"}),
    ("gbc", {"covariance": "full"}),
    ("knn", {"metric": "cosine"}),
    ("lin_mse", {"ridge": 1.0}),
    ("emms", {"ridge": 0.1}),
    ("cka", {"estimator": "biased"}),
)

Truth = dict[str, dict[str, float]]


def read_task(path: Path) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return the features by encoder, and the labels."""
    with np.load(path) as arrays:
        named = {name: arrays[name] for name in arrays.files}
    features = {k: v for k, v in named.items() if v.ndim == 2 and not k.startswith("labels")}
    return features, named["labels"]


def read_truth(path: Path, task: str) -> Truth:
    """Return the known accuracies, by kind and encoder."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["dataset"] == task]
    return {kind: {r["model"]: float(r[kind]) for r in rows if r[kind]} for kind in TRUTHS}


def orders(
    features: dict[str, np.ndarray], labels: np.ndarray
) -> Iterator[tuple[str, dict[str, float], list[str]]]:
    """Iterate over metrics: title, scores by encoder, and encoders without a score."""
    yield "number of features", {name: float(x.shape[1]) for name, x in features.items()}, []
    one_hot = (labels[:, None] == np.unique(labels)).astype(float)[:, :, None]
    combined = tx.rank(features, labels, "recommended", progress=False)
    yield "**recommended**", {row.name: row.value("consensus") for row in combined}, []
    wanted: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in metric_names("all")]
    wanted += [(name, options) for name, options in VARIANTS if name in metric_names("all")]
    for name, options in sorted(wanted, key=lambda pair: pair[0]):
        title = title_of(name)
        if options:
            title += " (" + ", ".join(f"{k} {v}" for k, v in options.items()) + ")"
        given: dict[str, Any] = {}
        scored = labels
        if "label_embeddings" in spec_of(name).needs:
            given, title = {"label_embeddings": one_hot}, title + ", one-hot labels"
        elif "classification" not in spec_of(name).tasks:
            scored, title = one_hot[:, :, 0], title + ", one-hot labels"
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


def table(folder: Path, task: str) -> list[str]:
    """Format the table of one task as Markdown."""
    features, labels = read_task(folder / f"{task}.npz")
    truth = read_truth(folder / "truth.csv", task)
    probe, tuned = (truth[kind] for kind in TRUTHS)
    lines = [
        f"### {task}: {len(labels)} rows, {len(np.unique(labels))} classes, {len(probe)} encoders",
        "",
        f"| metric | linear probe ({len(probe)}) | 95 % | fine-tuned ({len(tuned)}) | 95 % | "
        "first model | its probe accuracy |",
        "|---|--:|:-:|--:|:-:|---|--:|",
    ]
    both = [name for name in tuned if name in probe]
    found = list(orders(features, labels))
    rows = [("linear probe, full task", probe, []), *found]
    cells = []
    for title, scores, failed in rows:
        with_probe = agreement(scores, probe)
        with_tuned = agreement(scores, {name: tuned[name] for name in both})
        best = max(scores, key=lambda name: scores[name])
        mark = f" ({len(failed)} refused)" if failed else ""
        cells.append((with_tuned[0], with_probe[0], title + mark, with_probe, with_tuned, best))
    order = sorted(cells, key=lambda c: (-np.nan_to_num(c[1], nan=-2), c[2]))
    for *_, title, a, b, best in order:
        lines.append(
            f"| {title} | {a[0]:.3f} | {a[1]:.2f} to {a[2]:.2f} | {b[0]:.3f} | {b[1]:.2f} to "
            f"{b[2]:.2f} | {best} | {probe[best]:.3f} |"
        )
    return [*lines, ""]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the .npz and truth.csv")
    parser.add_argument("--write", action="store_true", help="write the tables to docs/realdata.md")
    options = parser.parse_args()
    warnings.simplefilter("ignore", tx.TransferabilityWarning)
    tasks = sorted(path.stem for path in options.data.glob("*.npz"))
    lines = [line for task in tasks for line in table(options.data, task)]
    text = "\n".join(lines)
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
