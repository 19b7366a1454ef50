"""
How much do more labels help?
=============================

Measure the k-NN accuracy at a few sizes, forecast it, and compare with the rows that were kept
back.
"""

import warnings

import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

# In a hundred rows a class may have one row alone, for which no neighbour can vote.
warnings.simplefilter("ignore", tx.TransferabilityWarning)

sizes = [100, 150, 200, 300, 400]
rng = np.random.default_rng(0)


def accuracy(n, draws=10):
    """Mean accuracy of k-NN on random samples of n rows."""
    drawn = (rng.permutation(len(labels))[:n] for _ in range(draws))
    return float(np.mean([tx.knn(models["lsa384"][rows], labels[rows]) for rows in drawn]))


forecast = tx.forecast.fit(sizes, [accuracy(n) for n in sizes])
low, high = forecast.interval(800)
print(f"forecast for 800 rows: {forecast.predict(800):.3f} ({low:.3f} to {high:.3f})")
print(f"measured:              {accuracy(800, 1):.3f}")

# %%
# The cross is the measurement at 800 rows, which the forecast has not seen.

ax = tx.plot.forecast(forecast)
ax.plot(800, accuracy(800, 1), "x", color="black", ms=9, label="measured afterwards")
ax.set(title="k-NN accuracy by the number of labels", xlabel="rows", ylabel="accuracy")
ax.legend(loc="upper left")
