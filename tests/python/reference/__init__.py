"""Naive transcriptions of the papers: slow, obvious, and sharing no formula with the package.

``NAIVE`` has one function of features and class labels for each metric that is a formula of them
(PACTran is the end point of an optimiser, and has its own tolerance in ``test_samples.py``).
``make golden`` writes their values to ``tests/data/golden_naive.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import gbc, hscore, logme, probe, samples, transrate

__all__ = ["NAIVE"]


def _logme(features: Any, labels: Any) -> float:
    one_hot = [(labels == label).astype(float) for label in np.unique(labels)]
    return float(np.mean([logme.evidence(features, target).value for target in one_hot]))


def _regularized_h_score(features: Any, labels: Any) -> float:
    shrinkage = hscore.ledoit_wolf(np.asarray(features, np.float64))
    return hscore.shrunk_h_score(features, labels, shrinkage)


NAIVE: dict[str, Callable[[Any, Any], float]] = {
    "cka": lambda f, y: hscore.unbiased_cka(f, hscore.indicators(y)),
    "energy": lambda f, y: samples.energy(f),
    "gbc": gbc.gbc,
    "h_score": hscore.h_score,
    "knn": samples.knn,
    "lda": probe.lda,
    "lfc": hscore.lfc,
    "logme": _logme,
    "regularized_h_score": _regularized_h_score,
    "ridge_probe": lambda f, y: probe.ridge_accuracy(f, y)[0],
    "sfda": probe.sfda,
    "transrate": transrate.transrate,
}
