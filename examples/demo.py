"""Rank 22 real text encoders, and see how well the order agrees with the truth.

The task: tell the implementation language of a software package (6 classes) from its short
description. Each encoder's features of the same 800 descriptions are in data/deb_impl.npz; what
each is really worth, the accuracy of a tuned linear probe trained on the full task, is in
data/deb_impl_truth.csv.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, spearmanr, weightedtau

import transferability as tx

DATA = Path(__file__).parent / "data"


def main() -> None:
    """Rank, print, compare."""
    with np.load(DATA / "deb_impl.npz") as arrays:
        features = {name: arrays[name] for name in arrays.files if not name.startswith("labels")}
        labels = arrays["labels"]

    ranking = tx.rank(features, labels)
    print(ranking)

    with (DATA / "deb_impl_truth.csv").open(newline="") as file:
        accuracy = {row["model"]: float(row["probe_accuracy"]) for row in csv.DictReader(file)}
    scores = [row.logme for row in ranking]
    truth = [accuracy[row.name] for row in ranking]
    best = max(accuracy, key=accuracy.__getitem__)
    print(
        f"\nAgreement with the true accuracies (1 is perfect): weighted Kendall tau "
        f"{weightedtau(scores, truth).statistic:.3f}, Kendall tau "
        f"{kendalltau(scores, truth).statistic:.3f}, Spearman "
        f"{spearmanr(scores, truth).statistic:.3f}."
    )
    print(
        f"First by LogME: {ranking.best.name}, true accuracy {accuracy[ranking.best.name]:.4f}; "
        f"truly best: {best}, {accuracy[best]:.4f}."
    )


if __name__ == "__main__":
    main()
