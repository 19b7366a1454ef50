"""GBC: minus the summed Bhattacharyya coefficients of Gaussians fitted to the classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._inputs.types import ArrayLike
from .._metric.options import choice, whole_number
from .._metric.score import Score
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one
from ..errors import DataError

__all__ = ["gbc"]


def gbc(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    covariance: str = "spherical",
    n_components: int | None = 64,
    task: str = "auto",
    precision: str = "double",
    n_threads: int | None = None,
) -> Score:
    r"""Compute the Gaussian Bhattacharyya coefficient (GBC): minus the overlap of the classes.

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; classes only.
    covariance : {"spherical", "diagonal", "full", "google"}, default="spherical"
        Form of the covariance of each class. "google" is the spherical form of the authors' code,
        which counts the logarithm of a class's variance once, not once per component.
    n_components : int or None, default=64
        Number of principal components of all rows to project on; components with a variance below
        1e-12 of the largest (1e-6 in single precision) are left out. None: the features themselves.
    task, precision, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".

    Returns
    -------
    score : Score
        From -C(C - 1), where all classes coincide, to 0, where they are far apart; higher is
        better. `per_target` is the overlap of each class with all others, times -1; the score is
        the sum. `n_components` is the number of components used. Warnings state if
        there is one class (the score is 0), a class has one row or the features do not vary.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; options out of range; statistics that do not fit into
        memory (C D² numbers where classes have more rows than features).

    Notes
    -----
    With means m and population covariances :math:`\Sigma` along the components, and
    :math:`\Sigma = (\Sigma_i + \Sigma_j)/2`,

    .. math:: \mathrm{GBC} = -\sum_{i \ne j} e^{-D_{ij}}, \quad
              D_{ij} = \tfrac18 (m_i - m_j)^\top \Sigma^{-1} (m_i - m_j)
              + \tfrac12 \ln\frac{\det\Sigma}{\sqrt{\det\Sigma_i \det\Sigma_j}}.

    Variances (for "full", eigenvalues) are at least 1e-4 in the features' own unit, as in the
    authors' code, so that the score depends on the scale of features only for smaller variances.
    Scores of tasks with different numbers of classes are not comparable. "full" takes C² k³
    operations.

    References
    ----------
    Pándy, Agostinelli, Uijlings, Ferrari, Mensink (2022). Transferability Estimation using
    Bhattacharyya Class Separability. CVPR, eq. (3) and (4).

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 2, 200)
    >>> noise = rng.normal(size=(200, 4))
    >>> -2 <= tx.gbc(noise, labels) < tx.gbc(noise + 3 * labels[:, None], labels) <= 0
    True
    """
    asked = {"covariance": covariance, "n_components": n_components}
    return score_one(
        "gbc", features, labels, asked, task=task, precision=precision, n_threads=n_threads
    )


def options(
    task: str, *, covariance: str = "spherical", n_components: int | None = 64
) -> dict[str, object]:
    """Validate the options and return those of the kernel; no projection without `n_components`."""
    known = ("spherical", "diagonal", "full", "google")
    found: dict[str, object] = {"covariance": choice("covariance", covariance, known)}
    if n_components is not None:
        advice = "a whole number of at least 1, or None"
        size = whole_number("n_components", n_components, 1, advice=advice, wrong_type=DataError)
        found["n_components"] = float(size)
    return found


def pairs(size: Size, options: Mapping[str, Any]) -> tuple[str, int, float]:
    """Estimate the time of comparing all pairs of classes."""
    k = min(size.n_features, options.get("n_components", size.n_features))
    of_pair = {"diagonal": 5e-9 * k, "full": 1e-10 * k**3 + 2e-9 * k**2}
    seconds = of_pair.get(options.get("covariance", "spherical"), 1e-11 * k + 2e-9)
    return "classes", size.n_classes, size.n_classes**2 * seconds


def explain(score: Score) -> list[str]:
    """Return sentences that interpret the score."""
    if score.classes is None or len(score.classes) < 2:
        return ["There is a single class, so no pair of classes can overlap."]
    n_pairs = len(score.classes) * (len(score.classes) - 1)
    worst = min(range(len(score.per_target)), key=lambda i: float(score.per_target[i]))
    return [
        f"Pairs of classes overlap by {-float(score) / n_pairs:.4f} on average, where 1 is two "
        f"equal Gaussians and 0 two far apart (along {int(score.n_components)} components).",
        f"Class {score.classes[worst]} overlaps most with the others, "
        f"{-float(score.per_target[worst]):.4f} in all.",
    ]


WHEN = "Overlap of classes as Gaussians; useful where a few classes are confused."
SPEC = MetricSpec("gbc", options, explain, WHEN, pairs=pairs)
