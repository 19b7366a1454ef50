"""
Scores by group
===============

One score for each group of rows, such as a video or a patient. Here the rows have no groups of
their own, so the groups are blocks of 100 rows.
"""

import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

groups = np.arange(len(labels)) // 100
names = ("lsa384", "charlsa256", "w2v300_deb", "minilm_l6", "style36")
ranking = tx.rank(
    {name: models[name] for name in names}, labels, "ridge_probe", groups=groups, aggregate="min"
)
print(ranking)

# %%
# The ranking is by the worst group. The spread between groups is the noise of 100 rows.

ax = tx.plot.groups(ranking)
ax.set_title("Accuracy of the ridge probe, by group")
