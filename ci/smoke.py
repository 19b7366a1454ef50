"""Use an installed wheel as a stranger would: run with that interpreter, outside the checkout.

Needs nothing but the package and what it depends on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import transferability as tx

rng = np.random.default_rng(0)
features = rng.normal(size=(300, 24)).astype(np.float32)
labels = (features[:, 0] + features[:, 1] > 0).astype(np.int64)


def log_evidence(targets: np.ndarray, alpha: float, beta: float) -> float:
    """Bishop (2006), eq. (3.86), over the number of rows: the definition, by dense algebra."""
    design = features.astype(np.float64)
    n_samples, n_features = design.shape
    precision = alpha * np.eye(n_features) + beta * design.T @ design
    mean = beta * np.linalg.solve(precision, design.T @ targets)
    residual = beta * np.sum((targets - design @ mean) ** 2) + alpha * mean @ mean
    constant = n_features * np.log(alpha) + n_samples * np.log(beta / (2 * np.pi))
    value = (constant - residual - np.linalg.slogdet(precision)[1]) / (2 * n_samples)
    return float(value)


if "site-packages" not in tx.__file__:
    sys.exit(f"smoke: {tx.__file__} is not an installed package")

score = tx.logme(features, labels)
expected = np.mean(
    [
        log_evidence((labels == c).astype(np.float64), alpha, beta)
        for c, alpha, beta in zip([0, 1], score.alpha, score.beta, strict=True)
    ]
)
np.testing.assert_allclose(float(score), expected, rtol=1e-9)
np.testing.assert_allclose(float(tx.logme(features, labels, method="svd")), score, rtol=1e-9)

ranking = tx.rank({"good": features, "noise": rng.normal(size=features.shape)}, labels)
if ranking.best.name != "good":
    sys.exit(f"smoke: wrong order\n{ranking}")

with tempfile.TemporaryDirectory() as folder:
    np.save(Path(folder, "x.npy"), features)
    np.save(Path(folder, "y.npy"), labels)
    command = Path(sys.executable).with_name("transferability")
    printed = subprocess.run(
        [command, "score", "x.npy", "y.npy", "--json"],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    np.testing.assert_allclose(json.loads(printed)["logme"]["value"], float(score), rtol=1e-12)
