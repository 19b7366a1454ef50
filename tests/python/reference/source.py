"""NCE and LEEP from their definitions, one sample at a time.

Y are the labels, Z the source classes. P (N, Cs) are a source model's class probabilities.

    NCE  = sum_{y,z} p(y, z) ln p(y|z),        p(y, z) = (1/N) #{i: y_i = y, z_i = z}
    LEEP = (1/N) sum_i ln sum_z Q(y_i|z) P_iz, Q(y|z) = J(y, z) / sum_y J(y, z), z of positive mass
                                               J(y, z) = (1/N) sum_{i: y_i = y} P_iz

NCE: Tran et al., ICCV 2019. LEEP: Nguyen et al., ICML 2020. Sums are exactly rounded.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import Any

import numpy as np


def nce(source_labels: Any, labels: Any) -> float:
    """-H(Y|Z), in nats."""
    pairs = list(zip(list(source_labels), list(labels), strict=True))
    joint, marginal = Counter(pairs), Counter(z for z, _ in pairs)
    return math.fsum(
        count / len(pairs) * math.log(count / marginal[z]) for (z, _), count in joint.items()
    )


def leep(source_probs: Any, labels: Any) -> float:
    """The mean log of the expected empirical prediction, in nats."""
    rows = [[float(p) for p in row] for row in np.asarray(source_probs)]
    labels = list(labels)
    columns = range(len(rows[0]))
    joint: dict[Any, list[float]] = defaultdict(lambda: [0.0] * len(rows[0]))
    for row, y in zip(rows, labels, strict=True):
        for z in columns:
            joint[y][z] += row[z] / len(rows)
    mass = [sum(joint[y][z] for y in joint) for z in columns]
    terms = [
        math.log(sum(joint[y][z] / mass[z] * row[z] for z in columns if mass[z] > 0))
        for row, y in zip(rows, labels, strict=True)
    ]
    return math.fsum(terms) / len(terms)


def entropy(labels: Any) -> float:
    """H(Y), in nats."""
    shares = [count / len(labels) for count in Counter(list(labels)).values()]
    return -math.fsum(share * math.log(share) for share in shares)


def normalized(value: float, labels: Any, normalize: str | None) -> float:
    """Without the part that the labels' entropy alone decides."""
    if normalize is None:
        return value
    if normalize == "entropy_sum":
        return value + entropy(labels)
    return 1 + value / entropy(labels)


def softmax(logits: Any) -> Any:
    """Each row's exponentials by their sum."""
    logits = np.asarray(logits, np.float64)
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
