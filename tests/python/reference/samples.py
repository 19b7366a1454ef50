"""Metrics that look at the samples themselves, from their definitions: slow and obvious.

No formula is shared with the package: distances are differences of rows, principal components and
discriminants are scikit-learn's, ranks are SciPy's.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

Array = NDArray[np.float64]


def distances(features: Any, metric: str) -> Array:
    """Between all pairs of rows: Euclidean, or 1 - cos."""
    x = np.asarray(features, np.float64)
    if metric == "cosine":
        x = x / np.array([[np.sqrt(row @ row)] for row in x])
        return np.array([[((a - b) ** 2).sum() / 2 for b in x] for a in x])
    return np.array([[np.sqrt(((a - b) ** 2).sum()) for b in x] for a in x])


def neighbours(features: Any, k: int, metric: str = "l2") -> tuple[NDArray[np.int64], Array]:
    """The k nearest other rows of each row, and how far they are; the earlier row first in ties."""
    far = distances(features, metric)
    np.fill_diagonal(far, np.inf)
    order = np.argsort(far, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(far, order, axis=1)


def vote(labels: Any, far: Array) -> Any:
    """The commonest label; among equals the one nearest in sum; then the smallest."""
    found = {c: (-sum(labels == c), sum(far[labels == c]), c) for c in set(labels.tolist())}
    return min(found.values())[2]


def knn(features: Any, labels: Any, k: int = 5, metric: str = "l2") -> float:
    """Share of rows that their neighbours vote right."""
    labels = np.asarray(labels)
    order, far = neighbours(features, k, metric)
    rows = zip(order, far, labels, strict=True)
    return float(np.mean([vote(labels[i], d) == y for i, d, y in rows]))


def knn_r2(features: Any, targets: Any, k: int = 5, metric: str = "l2") -> float:
    """1 - residual/total sum of squares of the neighbours' mean, averaged over targets."""
    targets = np.asarray(targets, np.float64).reshape(len(targets), -1)
    predicted = targets[neighbours(features, k, metric)[0]].mean(axis=1)
    residual = ((targets - predicted) ** 2).sum(axis=0)
    return float(np.mean(1 - residual / ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)))


def parc(features: Any, labels: Any, n_components: int = 32) -> float:
    """100 x the rank correlation of 1 - corr between rows of features and of labels."""
    x = np.asarray(features, np.float64)
    centred = x - x.mean(axis=0)
    n_components = min(n_components, np.linalg.matrix_rank(centred))
    reduced = PCA(int(n_components), svd_solver="full").fit_transform(x)
    reduced = reduced / reduced.std(axis=0)
    one_hot = np.unique(labels, return_inverse=True)[1][:, None] == np.unique(
        np.unique(labels, return_inverse=True)[1]
    )
    upper = np.triu_indices(len(x), 1)
    # Rounded, or rounding would break ties: 1 - corr of one-hot rows takes two values.
    between = np.round((1 - np.corrcoef(reduced))[upper], 12)
    of_labels = np.round((1 - np.corrcoef(one_hot.astype(float)))[upper], 9)
    return float(100 * stats.spearmanr(between, of_labels)[0])


def energy(features: Any, share: float = 0.005, tail: str = "low") -> float:
    """Mean of ln sum exp over the rows where it is lowest (or highest)."""
    each = np.sort(special.logsumexp(np.asarray(features, np.float64), axis=1))
    count = max(1, int(np.floor(share * len(each) + 1e-9)))
    return float((each[:count] if tail == "low" else each[-count:]).mean())


def leep(probs: Array, labels: Any) -> float:
    """LEEP, class by class and row by row."""
    codes = np.unique(labels, return_inverse=True)[1]
    joint = np.zeros((codes.max() + 1, probs.shape[1]))
    for row, code in zip(probs, codes, strict=True):
        joint[code] += row / len(codes)
    mass = joint.sum(axis=0)
    given = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    return float(np.mean([np.log(given[c] @ row) for row, c in zip(probs, codes, strict=True)]))


def ncti(features: Any, labels: Any, n_components: int = 64) -> tuple[float, float, float]:
    """The parts of NCTI: of the features' spread, the classifier's, and within its classes."""
    codes = np.unique(labels, return_inverse=True)[1]
    x = np.asarray(features, np.float64)
    pca = PCA(min(n_components, int(np.linalg.matrix_rank(x - x.mean(axis=0)))), svd_solver="full")
    x = pca.fit_transform(x)
    shrinkage = np.exp(-pca.explained_variance_[:32].sum())
    if shrinkage <= 1e-10:  # scikit-learn's versions divide by N or by N - C here
        scores, probs = _unshrunk(x, codes)
    else:
        lda = LinearDiscriminantAnalysis(solver="eigen", shrinkage=float(shrinkage))
        scores = lda.fit(x, codes).transform(x)
        probs = lda.predict_proba(x)
    spread = np.linalg.norm(scores - scores.mean(axis=0), ord="nuc")
    right = np.mean([row[c] for row, c in zip(probs, codes, strict=True)])
    within = sum(np.linalg.norm(probs[codes == c], ord="nuc") for c in range(codes.max() + 1))
    return float(spread), float(right), float(np.log(within))


def _unshrunk(x: Array, codes: NDArray[np.int64]) -> tuple[Array, Array]:
    """Discriminant scores and posteriors of Gaussian classes with one covariance."""
    hot = np.eye(codes.max() + 1)[codes]
    counts = hot.sum(axis=0)
    means = (hot.T @ x) / counts[:, None]
    size = (x - hot @ means).std(axis=0)
    x, means = x / size, means / size
    values, axes = np.linalg.eigh((x - hot @ means).T @ (x - hot @ means) / len(x))
    whiten = axes[:, values > 1e-8] / np.sqrt(values[values > 1e-8])
    x, means = x @ whiten, means @ whiten
    order = np.linalg.eigh((means.T * counts) @ means)[1][:, ::-1]
    directions = order[:, : min(len(counts) - 1, x.shape[1])]
    far = np.array([[(row - mean) @ (row - mean) for mean in means] for row in x])
    return x @ directions, special.softmax(np.log(counts / len(x)) - far / 2, axis=1)


def pactran(features: Any, labels: Any, prior: float = 1.0, variance: float = 100.0) -> float:
    """Minus the PACTran-Gauss bound: a penalised softmax regression by gradient, and its h."""
    x = np.asarray(features, np.float64)
    x = x - x.mean(axis=0)
    codes = np.unique(labels, return_inverse=True)[1]
    hot = np.eye(codes.max() + 1)[codes]
    (n, d), c = x.shape, hot.shape[1]

    def loss(theta: Array) -> tuple[float, Array]:
        w, b = theta[: d * c].reshape(d, c), theta[d * c :]
        logs = special.log_softmax(x @ w + b, axis=1)
        slope = (np.exp(logs) - hot) / n
        gradient = np.hstack([(x.T @ slope + w / (prior * n)).ravel(), slope.sum(axis=0)])
        return float(-(hot * logs).sum() / n + (w**2).sum() / (2 * prior * n)), gradient

    found = optimize.minimize(
        loss, np.zeros(d * c + c), jac=True, method="BFGS", options={"gtol": 1e-10}
    )
    w, b = found.x[: d * c].reshape(d, c), found.x[d * c :]
    p = special.softmax(x @ w + b, axis=1)
    second_w = (x**2).T @ (p - p**2) + 1 / (prior * n)
    second_b = (p - p**2).sum(axis=0)
    inverse = (second_w.sum() + second_b.sum()) * prior * n / (d * c) + 1e-10
    s2 = variance / d
    return -float(found.fun + 0.5 * d * c / (prior * n) * s2 * np.log(inverse))
