"""
Rank encoders, with the noise of the order
==========================================

Rank 22 text encoders by LogME, and show which places the rows decide.
"""

import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

ranking = tx.rank(models, labels)
print(ranking.shortlist())

# %%
# The bars are 90 % intervals of the scores. Models in one band are tied: the rows do not decide
# their order.

ax = tx.plot.ranking(ranking, ranking.stability())
ax.set_title("22 text encoders by LogME, with 90 % intervals")
