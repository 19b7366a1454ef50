"""
Which metrics agree with the truth?
===================================

The metrics on 18 image encoders: their weighted Kendall tau with the accuracy of a probe on the
full task, with intervals over the encoders.
"""

import csv
import warnings

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/glyph_greek.npz") as data:
    models = {name: data[name] for name in data.files if name != "labels"}
    labels = data["labels"]
with open("../../examples/data/glyph_greek_truth.csv", newline="") as file:
    accuracies = {row["model"]: float(row["probe_accuracy"]) for row in csv.DictReader(file)}

warnings.simplefilter("ignore", tx.TransferabilityWarning)  # one encoder has features of zeros
names = ["logme", "ridge_probe", "knn", "h_score", "gbc", "cka", "transrate", "parc", "sfda"]
evaluation = tx.rank(models, labels, names).evaluate(accuracies)
print(evaluation)

# %%
# Most intervals overlap: 18 encoders do not order the metrics.

fig, ax = plt.subplots(figsize=(6.4, 4), layout="constrained")
values = {name: evaluation[name].weighted_tau for name in names}
order = sorted(names, key=values.__getitem__)
for place, name in enumerate(order):
    low, high = evaluation[name].ci()
    ax.plot((low, high), (place, place), color="C0", alpha=0.4, lw=3)
    ax.plot(values[name], place, "o", color="C0")
ax.set_yticks(range(len(order)), order)
ax.set(xlabel="weighted Kendall tau, 95 %", title="Agreement of metrics with a linear probe")
