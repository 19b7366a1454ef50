"""GBC: minus the summed Bhattacharyya coefficients of Gaussians fitted to the classes."""

from __future__ import annotations

from typing import Any

from .._metric.options import choice, whole_number
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DataError

__all__ = ["gbc"]


COVARIANCES = ("spherical", "diagonal", "full", "google")


def gbc(
    features: object,
    labels: object,
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
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`.
    labels : array-like of shape (n_samples,)
        Classes: integers, strings or booleans.
    covariance : {"spherical", "diagonal", "full", "google"}, default="spherical"
        Of the Gaussian of each class. "google" is the spherical form of the authors' code, which
        counts the logarithm of a class's variance once and not once a component.
    n_components : int or None, default=64
        How many principal components of all rows are compared; those of a variance below 1e-12
        of the largest (1e-6 in single precision) are left out. None: the features themselves.
    task : {"auto", "classification"}, default="auto"
        As in :func:`transferability.logme`.
    precision : {"double", "single"}, default="double"
        As in :func:`transferability.logme`.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    score : Score
        Between -C(C - 1), where all classes coincide, and 0, where they are far apart; higher is
        better. `per_target` is each class's overlap with all others, and the score is their sum.
        `n_components` is how many components were compared.

    Raises
    ------
    DataError
        As :func:`transferability.logme`; for targets that are not classes, an unknown covariance,
        n_components below 1, statistics that do not fit into memory (C D² numbers where classes
        have more rows than features).
    DtypeError
        As :func:`transferability.logme`.

    Warns
    -----
    TransferabilityWarning
        With one class (the score is 0), classes of one row, features that do not vary.

    Notes
    -----
    With means m and population covariances :math:`\Sigma` along the components, and
    :math:`\Sigma = (\Sigma_i + \Sigma_j)/2`,

    .. math:: \mathrm{GBC} = -\sum_{i \ne j} e^{-D_{ij}}, \quad
              D_{ij} = \tfrac18 (m_i - m_j)^\top \Sigma^{-1} (m_i - m_j)
              + \tfrac12 \ln\frac{\det\Sigma}{\sqrt{\det\Sigma_i \det\Sigma_j}}.

    Variances (for "full", eigenvalues) are at least 1e-4 in the features' own unit, as in the
    authors' code, so that the score depends on the scale of features only below that. It does
    not compare between tasks with different numbers of classes. "full" takes C² k³ operations.

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
    return score_one(
        "gbc",
        features,
        labels,
        {"covariance": covariance, "n_components": n_components},
        task=task,
        precision=precision,
        n_threads=n_threads,
    )


def options(
    task: str, *, covariance: str = "spherical", n_components: int | None = 64
) -> dict[str, object]:
    """Validate the options and return those of the kernel; no `n_components`, no projection."""
    found: dict[str, object] = {"covariance": choice("covariance", covariance, COVARIANCES)}
    if n_components is not None:
        advice = "a whole number of at least 1, or None"
        found["n_components"] = float(
            whole_number("n_components", n_components, 1, advice=advice, wrong_type=DataError)
        )
    return found


def explain(score: Any) -> list[str]:
    """Return sentences that interpret the score."""
    if score.classes is None or len(score.classes) < 2:
        return ["There is a single class, so no pair of classes can overlap."]
    n_pairs = len(score.classes) * (len(score.classes) - 1)
    lines = [
        f"Pairs of classes overlap by {-float(score) / n_pairs:.4f} on average, where 1 is two "
        f"equal Gaussians and 0 two far apart (along {int(score.n_components)} components)."
    ]
    worst = min(range(len(score.per_target)), key=lambda i: float(score.per_target[i]))
    lines.append(
        f"Class {score.classes[worst]} overlaps most with the others, "
        f"{-float(score.per_target[worst]):.4f} in all."
    )
    return lines


SPEC = MetricSpec(
    name="gbc",
    options=options,
    explain=explain,
    when="Overlap of classes as Gaussians; useful where a few classes are confused.",
)
