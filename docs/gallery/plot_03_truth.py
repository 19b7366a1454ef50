"""
Was the ranking right?
======================

Compare the scores with accuracies that are known: a linear probe on the full task.
"""

import csv

import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

with open("../../examples/data/deb_impl_truth.csv", newline="") as file:
    accuracies = {row["model"]: float(row["probe_accuracy"]) for row in csv.DictReader(file)}

ranking = tx.rank(models, labels, ["logme", "ridge_probe", "knn", "h_score"])
print(ranking.evaluate(accuracies))

# %%
# Scores that agree with the truth rise from left to right.

ax = tx.plot.scatter(ranking, accuracies)
ax.set(title="LogME of 800 rows and the accuracy of a probe on all", ylabel="accuracy of a probe")
