"""
Several labels for each row
===========================

Forty tags, 0 or 1, for each description: one score for each tag, and their mean.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    tags = data["labels_multi"]

score = tx.logme(models["lsa384"], tags, task="multilabel")
print(score.explain())

# %%
# Rare tags have high scores because their noise is small, not because they are easy: compare
# models by one tag, not tags by one model.

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
shares = tags.mean(axis=0)
for name in ("lsa384", "tinytf_mlm"):
    found = tx.logme(models[name], tags, task="multilabel")
    ax.plot(shares, found.per_target, "o", label=name, alpha=0.7)
ax.set(xlabel="share of rows with the tag", ylabel="LogME", title="LogME of each of 40 tags")
ax.legend()
