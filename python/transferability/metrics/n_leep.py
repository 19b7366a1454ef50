"""N-LEEP: LEEP with the components of a Gaussian mixture as source classes.

scikit-learn reduces the features and finds clusters, ``_mixture.py`` fits the mixture from these,
and the kernel of LEEP scores its responsibilities.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import _core
from .._inputs.types import ArrayLike
from .._metric.options import ABOVE_ZERO, choice, number, whole_number
from .._metric.score import Score, make_outcome
from .._metric.spec import MetricSpec, Size
from .._scoring.score_features import score_one
from .._util.stages import stage
from ..errors import DataError
from ._mixture import fit_mixture
from ._sklearn import read_classes, record_warnings, scikit_learn

__all__ = ["n_leep"]


def n_leep(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    n_components: float | None = 0.8,
    n_mixture: int | None = None,
    covariance: str = "full",
    seed: int = 0,
    task: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""Compute N-LEEP: LEEP of a Gaussian mixture that is fitted to the features.

    Needs scikit-learn (``pip install 'transferability[sklearn]'``).

    Parameters
    ----------
    features, labels : array-like of shapes (n_samples, n_features) and (n_samples,)
        As in :func:`transferability.logme`; copied to float64. At least two classes.
    n_components : float, int or None, default=0.8
        Principal components: a share of variance in (0, 1), a number of 1 or more, or None for
        the features as they are.
    n_mixture : int, optional
        Number of Gaussians in the mixture. Default: five per class, at most one per row.
    covariance : {"full", "diag", "spherical"}, default="full"
        Covariance of each Gaussian; papers differ.
    seed : int, default=0
        Seed of the initialisation of expectation maximisation, below 2**32.
    task, n_threads
        As in :func:`transferability.logme`; `task` is "auto" or "classification".
        `n_threads` applies to the LEEP step; the fit follows NumPy and scikit-learn.

    Returns
    -------
    score : Score
        Mean log of the expected empirical prediction, in nats per sample, at most 0; higher is
        better. `per_target` has the mean of each class; the value is their mean weighted by
        `class_counts`. `n_mixture_used` and `n_components_used` are the sizes of the fit. A
        warning states if the mixture has not converged after 100 iterations.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    DataError, DtypeError
        As :func:`transferability.logme`; options out of range, a single class, a mixture that
        cannot be fitted.

    Notes
    -----
    With P the responsibilities of the mixture, (n_samples, n_mixture), and
    :math:`\hat p(y | z)` their share of class y,

    .. math:: \frac1N \sum_i \ln \sum_z \hat p(y_i | z) P_{iz}.

    Expectation maximisation finds a local optimum that depends on the seed and, a little, on the
    version of scikit-learn: average over seeds before you compare scores.

    References
    ----------
    Li et al. (2021). Ranking Neural Checkpoints. CVPR, section 3.3.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> labels = np.repeat([0, 1], 50)
    >>> noise = np.random.default_rng(0).normal(size=(100, 3))
    >>> informed = noise + 4 * labels[:, None]
    >>> tx.n_leep(informed, labels, n_mixture=4) > tx.n_leep(noise, labels, n_mixture=4)
    True
    """
    asked = {
        "n_components": n_components,
        "n_mixture": n_mixture,
        "covariance": covariance,
        "seed": seed,
    }
    return score_one("n_leep", features, labels, asked, task=task, n_threads=n_threads)


def options(
    task: str,
    *,
    n_components: float | None = 0.8,
    n_mixture: int | None = None,
    covariance: str = "full",
    seed: int = 0,
) -> dict[str, object]:
    """Validate the options and return those of `compute`."""
    size: Any = n_components
    advice = "a share of variance in (0, 1), a number of components, or None"
    if isinstance(size, float):
        size = number("n_components", size, advice, (ABOVE_ZERO, math.nextafter(1, 0)))
    elif size is not None:
        size = whole_number("n_components", size, 1, advice=advice)
    return {
        "n_components": size,
        "n_mixture": None if n_mixture is None else whole_number("n_mixture", n_mixture, 1),
        "covariance": choice("covariance", covariance, ("full", "diag", "spherical")),
        "seed": whole_number("seed", seed, 0, 2**32 - 1),
    }


def compute(given: Any, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Fit the mixture, and compute LEEP with its responsibilities as source probabilities."""
    decomposition = scikit_learn("decomposition", "n_leep")
    cluster = scikit_learn("cluster", "n_leep")
    x, codes = read_classes(given, "n_leep")
    n_samples, size, asked = len(x), options["n_mixture"], options["n_components"]
    if size is None:
        size = min(5 * (int(codes.max()) + 1), n_samples)
    if size > n_samples:
        raise DataError(f"n_leep: n_mixture is {size}, but there are {n_samples} rows")
    if not (x != x[0]).any():
        raise DataError("n_leep: all rows of the features are equal, so no mixture can be fitted")
    with record_warnings("n_leep") as notes:
        try:
            if asked is not None:
                stage("principal components")
                fitted = asked if asked < 1 else min(asked, *x.shape)
                x = decomposition.PCA(fitted, svd_solver="full").fit_transform(x)
            else:
                x = x - x.mean(axis=0)  # variances are differences of squares
            stage(f"k-means with {size} clusters")
            means = cluster.KMeans(size, n_init=1, random_state=options["seed"])
            mixture = fit_mixture(x, means.fit(x).labels_, size, options["covariance"])
        except (ValueError, np.linalg.LinAlgError) as error:
            raise DataError(
                f"n_leep: the mixture could not be fitted ({error}); use fewer Gaussians, or "
                f"covariance='spherical'"
            ) from error
    if not mixture.converged:
        notes.append(f"n_leep: the mixture has not converged in {mixture.n_iterations} iterations")
    responsibilities = {"source_probs": mixture.responsibilities, "labels": codes}
    (leep,) = _core.compute(_core.Requests([("leep", {})]), n_threads, responsibilities, None)
    if isinstance(leep, Exception):
        raise leep
    details = {"n_mixture_used": size, "n_components_used": x.shape[1]}
    outcome = make_outcome(leep.value, details, notes)
    return {**outcome, "per_target": leep.unpack()[0]}


def explain(score: Any) -> list[str]:
    """Return sentences on the score and on that of uninformative features."""
    shares = [count / score.n_samples for count in score.class_counts]
    chance = sum(share * math.log(share) for share in shares)
    return [
        f"It is the mean log probability of each row's class given which of {score.n_mixture_used} "
        f"Gaussians it is in, in {score.n_components_used} principal components.",
        f"A single Gaussian, which is uninformative, would get {chance:.4f}; perfect is 0.",
    ]


def memory(size: Size, options: Mapping[str, Any]) -> float:
    """Return about how many numbers it holds.

    The decomposition of the features; then copies of the principal components, one covariance with
    its factors, and densities and responsibilities of each row and Gaussian.
    """
    n, d = size.n_samples, size.n_features
    held = min(n, d) if options["n_components"] is not None else d
    n_mixture = options["n_mixture"] or min(5 * size.n_classes, n)
    return 8.0 * n * d + 4.0 * n * held + 6.0 * held**2 + n_mixture * (6.0 * n + held)


SPEC = MetricSpec(
    name="n_leep",
    options=options,
    explain=explain,
    when="Source-free LEEP for classes that form clusters; average over seeds.",
    title="N-LEEP",
    summary="LEEP with the components of a Gaussian mixture of the features as source classes",
    needs=("samples",),
    requires="sklearn",
    tasks=("classification",),
    cost="N D min(N, D) + N M d^2 an iteration, M mixture and d principal components",
    source="Li et al., CVPR 2021",
    compute=compute,
    memory=memory,
)
