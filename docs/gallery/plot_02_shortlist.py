"""
How long is the list of models to fine-tune?
============================================

A shortlist holds the best model with the probability that you ask for. The surer, the longer.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

ranking = tx.rank(models, labels, "ridge_probe")
asked = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
lists = [ranking.shortlist(confidence=confidence) for confidence in asked]
print(lists[4])

# %%
# More rows shorten it. The numbers of rows and of models are those that the posterior expects.

fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
left.step(
    [found.probability for found in lists], [len(found.names) for found in lists], where="post"
)
left.set(xlabel="probability of holding the best", ylabel="models", title="Surer lists are longer")
sizes = lists[4].sizes
right.plot(list(sizes), list(sizes.values()), "o-")
right.set(xscale="log", xlabel="rows", ylabel="expected models", title="More rows shorten the list")
