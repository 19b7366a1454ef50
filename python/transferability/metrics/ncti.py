"""NCTI: closeness to neural collapse, scaled over the models that are compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import whole_number
from .._metric.score import Score
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one

__all__ = ["ncti"]


def ncti(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    n_components: int = 64,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the three parts of NCTI, the neural collapse transferability index.

    The score is a sum of parts, each scaled to [0, 1] over the models of a ranking. A single model
    has no value: it is NaN here and in :func:`score`, with a warning, and "all" leaves NCTI out.
    ``rank(models, labels, "ncti")`` computes values, which change when models are added or removed.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; at least two classes.
    n_components : int, default=64
        Principal components, 1 or more; fewer where the features vary along fewer directions.
    task, precision, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".

    Returns
    -------
    score : Score
        NaN, with a warning, and the parts `spread` (more is better), `posterior` in [0, 1] (more
        is better) and `within` (less is better), and `shrinkage` in [0, 1]. In a ranking the
        value is in [-1, 2]; higher is better. `per_target` is empty.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single class; features that do not vary; as many
        classes as rows.

    Notes
    -----
    With Z the principal components, A the directions of a linear discriminant analysis of them, P
    its posteriors and m the scaling to [0, 1] over the models,

    .. math:: m(\|ZA\|_*) + m\Big(\tfrac1N \sum_i P_{i y_i}\Big)
              - m\Big(\ln \sum_c \|P_c\|_*\Big).

    A part that is equal for all models is scaled to 0. The shrinkage is exp(-sum of the first 32
    variances of Z). If that is at most 1e-10, Z is whitened without shrinkage. The score depends on
    the scale of the features because of the shrinkage.

    References
    ----------
    Wang et al. (2023). How Far Pre-trained Models Are from Neural Collapse on the Target Dataset
    Informs their Transferability. ICCV.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> labels = np.repeat([0, 1, 2], 20)
    >>> noise = np.random.default_rng(0).normal(size=(60, 4))
    >>> good = noise + 3 * np.eye(3, 4)[labels]
    >>> ranking = tx.rank({"noise": noise, "good": good}, labels, "ncti")
    >>> ranking.names
    ('good', 'noise')
    """
    asked = {"n_components": n_components}
    return score_one(
        "ncti", features, labels, asked, task=task, precision=precision, n_threads=n_threads
    )


def options(task: str, *, n_components: int = 64) -> dict[str, object]:
    """Validate the number of components and return the kernel options."""
    return {"n_components": float(whole_number("n_components", n_components, 1))}


def pool(scores: Sequence[Any]) -> list[float]:
    """Return the values of models that are ranked together, from their min-max scaled parts."""

    def scaled(part: str) -> list[float]:
        parts = [float(getattr(score, part)) for score in scores]
        least, width = min(parts), max(parts) - min(parts)
        return [(value - least) / width if width > 0 else 0.0 for value in parts]

    parts = zip(scaled("spread"), scaled("posterior"), scaled("within"), strict=True)
    return [spread + posterior - within for spread, posterior, within in parts]


def explain(score: Score) -> list[str]:
    """Return sentences on the parts, and on the value if there is one."""
    parts = (
        f"spread {score.spread:.4f} and posterior {score.posterior:.4f} (more is better), within "
        f"{score.within:.4f} (less is better)"
    )
    if math.isnan(score):
        return [f"It has parts only, {parts}: a value needs models to compare with; call rank."]
    return [f"Each of its parts is scaled to [0, 1] over the models of the ranking: {parts}."]


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    The principal components, along the discriminants too, and the posteriors of a class, which may
    be all rows.
    """
    n = size.n_samples
    return 3.0 * n * min(n, size.n_features) + 1.25 * n * size.n_classes


WHEN = "In rankings of supervised encoders; values change with the models that are compared."
SPEC = MetricSpec("ncti", options, explain, WHEN, pool=pool, memory=memory)
