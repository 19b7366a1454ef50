"""Linear classifiers read as scores, from their definitions: slow, obvious, sharing no algebra.

The posterior of a class is Bayes' rule over Gaussian densities with one covariance; leaving a row
out means fitting the others again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

FLOOR = 1e-10  # the least shrinkage that the authors of SFDA allow
RIDGES = 10.0 ** np.arange(-6, 4)


def within_covariance(features: Array, labels: Any) -> Array:
    """The mean over rows of (x - m)(x - m)^T, m being the mean of the row's class."""
    total = np.zeros((features.shape[1], features.shape[1]))
    for c in np.unique(labels):
        rows = features[labels == c]
        for row in rows:
            total += np.outer(row - rows.mean(axis=0), row - rows.mean(axis=0))
    return total / len(features)


def spread(covariance: Array) -> float:
    """Three double steps of the power method from the row sums, as in the authors' code.

    Where the rows sum to zero, and the method has nowhere to start: the largest eigenvalue.
    """
    if np.linalg.norm(covariance.sum(axis=1)) <= 1e-12 * np.linalg.norm(covariance):
        return float(np.linalg.eigvalsh(covariance).max())
    x = covariance.sum(axis=1)
    y = x
    for _ in range(3):
        y = covariance @ x / np.linalg.norm(covariance @ x)
        x = covariance @ y / np.linalg.norm(covariance @ y)
    return float(x @ covariance @ y)


def adaptive_shrinkage(features: Array, labels: Any) -> float:
    """max(exp(-5 sigma), 1e-10)."""
    return max(float(np.exp(-5 * spread(within_covariance(features, labels)))), FLOOR)


def shrunk(covariance: Array, shrinkage: float) -> Array:
    """(1 - a) S + a tr(S)/D I."""
    n_features = len(covariance)
    target = np.trace(covariance) / n_features * np.eye(n_features)
    return (1 - shrinkage) * covariance + shrinkage * target


def posteriors(features: Array, labels: Any, shrinkage: float) -> Array:
    """p(class | row), one row a sample and one column a class, classes sorted."""
    classes, counts = np.unique(labels, return_counts=True)
    covariance = shrunk(within_covariance(features, labels), shrinkage)
    logs = np.empty((len(features), len(classes)))
    for c, (name, count) in enumerate(zip(classes, counts, strict=True)):
        offsets = features - features[labels == name].mean(axis=0)
        distances = (offsets * np.linalg.solve(covariance, offsets.T).T).sum(axis=1)
        logs[:, c] = np.log(count / len(features)) - distances / 2
    logs -= logs.max(axis=1, keepdims=True)
    return np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)


def of_own_class(table: Array, labels: Any) -> Array:
    """The entry of each row in the column of its own class."""
    codes = np.unique(labels, return_inverse=True)[1]
    return table[np.arange(len(codes)), codes]


def lda(features: Any, labels: Any, shrinkage: float | None = None) -> float:
    """The mean posterior of the true class."""
    features = np.asarray(features, np.float64)
    features = features - features.mean(axis=0)  # or a large offset costs the densities digits
    if shrinkage is None:
        shrinkage = adaptive_shrinkage(features, labels)
    return float(of_own_class(posteriors(features, labels, shrinkage), labels).mean())


def mixed(features: Array, labels: Any, shrinkage: float) -> Array:
    """ConfMix: every row, less sure ones moved more, towards the mean of the other classes."""
    table = np.exp(posteriors(features, labels, shrinkage))
    sure = of_own_class(table / table.sum(axis=1, keepdims=True), labels)
    classes = np.unique(labels)
    means = {c: features[labels == c].mean(axis=0) for c in classes}
    result = np.empty_like(features)
    for i, c in enumerate(labels):
        others = np.mean([means[k] for k in classes if k != c], axis=0)
        result[i] = sure[i] * features[i] + (1 - sure[i]) * others
    return result


def sfda(features: Any, labels: Any) -> float:
    """The mean posterior after rows were made harder, at the shrinkage of the first fit."""
    features = np.asarray(features, np.float64)
    features = features - features.mean(axis=0)
    shrinkage = adaptive_shrinkage(features, labels)
    harder = mixed(features, labels, shrinkage)
    return float(of_own_class(posteriors(harder, labels, shrinkage), labels).mean())


def standardised(features: Any) -> Array:
    """Columns of mean 0 and mean square 1; zeros where a column is constant."""
    features = np.asarray(features, np.float64)
    features = features - features.mean(axis=0)
    scale = np.sqrt((features**2).mean(axis=0))
    return features / np.where(scale > 0, scale, 1.0)


def left_out_predictions(features: Any, targets: Array, ridge: float) -> Array:
    """The prediction of each row from a fit of all others; N fits of an augmented system.

    Minimised is |y - Xw - b|^2 + N ridge |w|^2, N counting all rows, b being free.
    """
    x = standardised(features)
    n, d = x.shape
    penalty = np.hstack([np.sqrt(n * ridge) * np.eye(d), np.zeros((d, 1))])
    result = np.empty_like(targets)
    for i in range(n):
        rest = np.arange(n) != i
        system = np.vstack([np.hstack([x[rest], np.ones((n - 1, 1))]), penalty])
        right = np.vstack([targets[rest], np.zeros((d, targets.shape[1]))])
        weights = np.linalg.lstsq(system, right, rcond=None)[0]
        result[i] = np.append(x[i], 1.0) @ weights
    return result


def ridge_accuracy(features: Any, labels: Any, ridges: Any = RIDGES) -> tuple[float, float]:
    """Leave-one-out accuracy at the ridge of the least squared error, and that ridge."""
    classes, codes = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[codes]
    tried = [left_out_predictions(features, targets, ridge) for ridge in ridges]
    best = int(np.argmin([((p - targets) ** 2).sum() for p in tried]))
    return float((tried[best].argmax(axis=1) == codes).mean()), float(ridges[best])


def ridge_r2(features: Any, targets: Array, ridges: Any = RIDGES) -> tuple[Array, Array]:
    """Leave-one-out R^2 of every column at its own best ridge, and these ridges."""
    errors = np.array(
        [((left_out_predictions(features, targets, r) - targets) ** 2).sum(axis=0) for r in ridges]
    )
    total = ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return 1 - errors.min(axis=0) / total, np.asarray(ridges)[errors.argmin(axis=0)]
