"""How much every row moves a score: its influence.

The influence of row i is N times the derivative of the score by the weight of that row, at weights
of one: with weights w the score is, to first order, its value plus (1/N) Σ (w_i - 1) influence_i.
Fits that are maxima (evidence, class frequencies) do not move to first order themselves.

A metric that has influences says so in its module by ``influence(given, options, run)``, where
``run(**more)`` computes its Score with more native options; it returns None where it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs
    from .._metric.score import Score

__all__ = [
    "native",
    "of_frequencies",
    "of_predictions",
    "of_separation",
]

Rows = NDArray[np.float64]
#: Directions of the features that are not rounding, relative to the largest.
_RANK = 1e-12


def native(score: Score) -> Rows | None:
    """Give the influences that the native module added; without any, the option is all there is."""
    found = score.details["influence"]
    return found if isinstance(found, np.ndarray) else None


def of_separation(given: Inputs) -> Rows | None:
    """Influences on the H-score tr(T⁻¹B), with T the scatter and B that between the classes.

    With whitened rows z = T^(-1/2)(x - μ) and class means m_c, the derivative of the trace by the
    weight of a row of class c is 2 zᵀm_c - |m_c|² - Σ_k n_k (zᵀm_k)².
    """
    assert given.features is not None, "the H-score has features"
    assert given.target.ids is not None, "and classes"
    _, codes, counts = np.unique(given.target.ids, return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    x = given.features.astype(np.float64)
    x -= x.mean(axis=0)
    scale = np.sqrt((x**2).mean(axis=0))
    x = x[:, scale > 0] / scale[scale > 0]  # which changes no H-score
    means = np.stack([x[codes == c].mean(axis=0) for c in range(len(counts))])
    scatter = x.T @ x
    try:
        lower = np.linalg.cholesky(scatter)
    except np.linalg.LinAlgError:
        return None
    if (np.diag(lower) ** 2).min(initial=np.inf) < _RANK * len(x):
        return None  # which directions count depends on rounding
    solved = np.linalg.solve(scatter, means.T)  # (D, C)
    along = x @ solved
    own = np.einsum("cd,dc->c", means, solved)
    row = np.arange(len(x))
    influences: Rows = len(x) * (2 * along[row, codes] - own[codes] - along**2 @ counts)
    return influences


def of_predictions(given: Inputs, from_logits: bool) -> Rows:
    """Influences on LEEP: of a row's own term, and of the row on the conditional frequencies."""
    assert given.source_probs is not None, "LEEP has source_probs"
    assert given.target.ids is not None, "and classes"
    p = given.source_probs.astype(np.float64)
    if from_logits:
        p = np.exp(p - p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
    p = p[:, p.sum(axis=0) > 0]
    _, codes = np.unique(given.target.ids, return_inverse=True)
    codes = codes.reshape(-1)
    joint = _sums(p, codes)
    mass = joint.sum(axis=0)
    q = joint / mass
    expected = (q[codes] * p).sum(axis=1)
    reach = _sums(p / expected[:, None], codes)  # Σ p_iz / expected_i over the rows of a class
    moved = (p / mass * (reach[codes] - (q * reach).sum(axis=0))).sum(axis=1)
    terms = np.log(expected)
    influences: Rows = terms - terms.mean() + moved
    return influences


def of_frequencies(given: Inputs) -> Rows:
    """Influences on NCE: the frequencies are a maximum, so a row has its own term alone."""
    assert given.source_labels is not None, "NCE has source_labels"
    assert given.target.ids is not None, "and classes"
    _, codes = np.unique(given.target.ids, return_inverse=True)
    source = given.source_labels
    pairs = np.zeros((codes.max() + 1, source.max() + 1))
    np.add.at(pairs, (codes.reshape(-1), source), 1.0)
    terms = np.log((pairs / np.maximum(pairs.sum(axis=0), 1))[codes.reshape(-1), source])
    influences: Rows = terms - terms.mean()
    return influences


def _sums(values: Rows, codes: NDArray[np.intp]) -> Rows:
    """Sum the rows of every class, (C, n_columns)."""
    sums = np.zeros((codes.max() + 1, values.shape[1]))
    np.add.at(sums, codes, values)
    return sums
