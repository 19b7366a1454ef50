"""
Scores against costs
====================

Choose from the models that no other one beats in both score and cost.
"""

import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

ranking = tx.rank(models, labels, "ridge_probe")
print(ranking.pareto("n_features"))

# %%
# The line joins the models of the Pareto front. Costs may be anything: parameters, memory,
# seconds, money.

ax = tx.plot.cost(ranking, "n_features")
ax.set_title("Accuracy of the ridge probe and number of features")
ax.set_xticks([32, 64, 128, 256, 384], labels=["32", "64", "128", "256", "384"])
ax.minorticks_off()
