"""Somebody with a script for the authors' code of LogME: change the import, then look further."""

import numpy as np

from transferability.compat.thuml import LEEP, NCE, LogME

data = np.load("data/deb_impl.npz")
features, labels = data["lsa128"].astype(np.float64), data["labels"]

print("LogME:", round(LogME(regression=False).fit(features, labels), 4))

rng = np.random.default_rng(0)
logits = 3 * np.eye(8)[(labels + rng.integers(0, 2, len(labels))) % 8] + rng.normal(size=(800, 8))
outputs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
print("LEEP:", round(LEEP(outputs, labels), 4))
print("NCE:", round(NCE(outputs.argmax(axis=1), labels), 4))

# The same of this package, which says what the number means.
import transferability as tx  # noqa: E402

print(tx.logme(features, labels).explain())

try:
    LogME(regression=False).predict(features)
except RuntimeError as error:
    print(f"{type(error).__name__}: {error}")
