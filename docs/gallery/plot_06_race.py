"""
A race: few rows for most models
================================

All models run on a few rows. Those that may still be the best run on more.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

ranking = tx.rank(models, labels, race=True)
print(ranking.race)

# %%
# The area is the work: rows times models. Without a race it is the whole rectangle.

fig, ax = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
before = 0
for one in ranking.race.rounds:
    ax.bar(before, len(one.models), one.n_samples - before, align="edge", color="C0", alpha=0.6)
    before = one.n_samples
ax.axhline(len(models), color="gray", ls="--")
ax.set(xlabel="rows", ylabel="models that run", title="A race of 22 encoders")
