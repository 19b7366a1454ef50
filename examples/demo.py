"""Rank 22 real text encoders, and compare the order with their true accuracies.

The task is to classify software packages by implementation language (6 classes) from a short
description. data/deb_impl.npz has the features of each encoder for the same 800 descriptions.
data/deb_impl_truth.csv has the true accuracies, of a tuned linear probe on the full task.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau, spearmanr, weightedtau

import transferability as tx

DATA = Path(__file__).parent / "data"


def main() -> None:
    """Rank the encoders, print the ranking, and compare it with the true accuracies."""
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
