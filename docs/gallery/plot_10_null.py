"""
Is it more than chance?
=======================

Score the same features with labels in random order, and compare. A wide array fits random labels
too.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

names = ("lsa384", "charcnn_maint", "lsa32", "tinytf_mlm", "charcnn_rand")
rng = np.random.default_rng(0)
true = {name: float(tx.logme(models[name], labels)) for name in names}
null = {
    name: float(np.mean([tx.logme(models[name], rng.permutation(labels)) for _ in range(5)]))
    for name in names
}
print(tx.score(models["lsa384"], labels, "logme", reference=5).explain())

# %%
# The distance between the two points is what the features know of the labels, beyond chance.

fig, ax = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for place, name in enumerate(reversed(names)):
    ax.plot((null[name], true[name]), (place, place), color="gray", zorder=0)
ax.plot(
    [null[name] for name in reversed(names)],
    range(len(names)),
    "o",
    mfc="white",
    color="C1",
    label="labels in random order",
)
ax.plot(
    [true[name] for name in reversed(names)], range(len(names)), "o", color="C0", label="labels"
)
ax.set_yticks(range(len(names)), list(reversed(names)))
ax.set(xlabel="LogME", title="Scores, and scores with permuted labels")
ax.legend()
