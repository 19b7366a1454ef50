"""
Which layer of a sentence encoder?
==================================

The features of a sentence encoder after its embedding and after three of its six blocks.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

names = ("minilm_l0", "minilm_l2", "minilm_l4", "minilm_l6")
ranking = tx.rank({name: models[name] for name in names}, labels, ["logme", "ridge_probe"])
stability = ranking.stability(metric="ridge_probe")
print(stability)

# %%
# 800 rows do not tell which depth is best: the table above has the probability of each.
# With ``tx.rank_models(..., layers="all")`` one run scores every layer, and ``tx.plot.layers``
# draws them.

fig, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
scores = [float(ranking[name].ridge_probe) for name in names]
low, high = np.array([stability.intervals[stability.names.index(name)] for name in names]).T
ax.plot((0, 2, 4, 6), scores, "o-")
ax.fill_between((0, 2, 4, 6), low, high, alpha=0.2)
ax.set(xlabel="block", ylabel="ridge probe, accuracy", title="Four depths of a sentence encoder")
ax.set_xticks((0, 2, 4, 6))
