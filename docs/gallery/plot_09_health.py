"""
Are the features healthy?
=========================

The spectrum of features says how many directions they use. No labels are needed.
"""

import matplotlib.pyplot as plt
import numpy as np

import transferability as tx

with np.load("../../examples/data/deb_impl.npz") as data:
    models = {name: data[name] for name in data.files if not name.startswith("labels")}
    labels = data["labels"]

names = ("lsa384", "minilm_l6", "tinytf_mlm", "style36")
print(tx.health.check(models["tinytf_mlm"]))

# %%
# In a steep spectrum most of the variance lies in few directions. That shows collapse, and says
# nothing of classes.

fig, ax = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
for name in names:
    spectrum = tx.Stats("unlabelled").update(models[name]).spectrum()
    rank = tx.health.effective_rank(models[name], convention="covariance")
    shares = spectrum[spectrum > 0] / spectrum.sum()
    ax.loglog(np.arange(1, len(shares) + 1), shares, label=f"{name}, effective rank {rank:.0f}")
ax.set(xlabel="direction", ylabel="share of the variance", title="Spectra of four encoders")
ax.set_ylim(1e-6, 1)
ax.legend()
