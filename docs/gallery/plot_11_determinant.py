"""
Fewer rows than features: why numbers differ from thuml/LogME
=============================================================

With N < D the original counts ln α for all D directions, and the rest of the determinant for N of
them only. Its score then follows the number of features and their scale.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx
from transferability.compat import thuml

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

# With 50 rows of 384 features a class may be fitted without noise; the score is then a limit.
warnings.simplefilter("ignore", tx.TransferabilityWarning)

rows = [50, 100, 200, 400, 600, 800]
fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
for name in ("minilm_l6", "lsa384", "lsa128", "style36"):
    features = models[name].astype(float)
    theirs = [thuml.LogME().fit(features[:n], labels[:n]) for n in rows]
    ours = [float(tx.logme(features[:n], labels[:n])) for n in rows]
    left.plot(rows, theirs, "o-", label=f"{name}, D = {features.shape[1]}")
    right.plot(rows, ours, "o-")
left.set(xlabel="rows", ylabel="LogME", title="thuml/LogME")
right.set(xlabel="rows", title="transferability: the maximum of the evidence")
left.legend()
