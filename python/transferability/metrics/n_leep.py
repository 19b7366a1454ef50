"""N-LEEP: LEEP with the components of a Gaussian mixture as source classes.

scikit-learn fits the mixture; the kernel of LEEP scores its responsibilities.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping
from typing import Any

from .. import _core
from .._metric.score import Score
from .._metric.spec import MetricSpec
from .._scoring.score_features import score_one
from ..errors import DataError, DtypeError

__all__ = ["n_leep"]


def n_leep(
    features: object,
    labels: object,
    *,
    n_components: float | None = 0.8,
    n_mixture: int | None = None,
    covariance: str = "full",
    seed: int = 0,
    task: str = "auto",
    n_threads: int | None = None,
) -> Score:
    r"""N-LEEP: LEEP of a Gaussian mixture that is fitted to the features.

    Needs scikit-learn (``pip install transferability[sklearn]``).

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`transferability.logme`; copied to float64 where they are not.
    labels : array-like of shape (n_samples,)
        Classes; two at least.
    n_components : float, int or None, default=0.8
        Principal components: a share of variance in (0, 1), a number of 1 or more, or None for
        the features as they are.
    n_mixture : int, optional
        Number of Gaussians in the mixture. Default: five a class, at most one a row.
    covariance : {"full", "diag", "spherical"}, default="full"
        Covariance of each Gaussian; papers differ.
    seed : int, default=0
        Seed of the start of expectation maximisation.
    task : {"auto", "classification"}, default="auto"
        Classification only.
    n_threads : int, optional
        Threads of the LEEP step; the fit follows the settings of scikit-learn.

    Returns
    -------
    score : Score
        Mean log of the expected empirical prediction, in nats a sample, at most 0; higher is
        better. `per_target` has the mean of each class; the value is their mean weighted by
        `class_counts`. `n_mixture_used` and `n_components_used` are the sizes of
        the fit.

    Raises
    ------
    MissingDependencyError
        If scikit-learn is not installed.
    DataError
        As :func:`transferability.logme`; for options out of range, a single class, and a mixture
        that cannot be fitted.

    Warns
    -----
    TransferabilityWarning
        If the mixture has not converged after scikit-learn's 100 iterations.

    Notes
    -----
    With P the responsibilities of the mixture, (n_samples, n_mixture), and
    :math:`\hat p(y | z)` their share of class y,

    .. math:: \frac1N \sum_i \ln \sum_z \hat p(y_i | z) P_{iz}.

    Expectation maximisation finds a local optimum that depends on the seed and, a little, on the
    version of scikit-learn: average over seeds before reading much into a difference.

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
    if covariance not in ("full", "diag", "spherical"):
        raise DataError(f"covariance is {covariance!r}; choose 'full', 'diag' or 'spherical'")
    size = None if n_mixture is None else _whole("n_mixture", n_mixture, 1)
    share: float | None = None
    if n_components is not None:
        try:
            share = operator.index(n_components)  # type: ignore[arg-type]
        except TypeError:
            share = n_components
        if not isinstance(share, (int, float)):
            raise DtypeError(f"n_components is {n_components!r}; give a number, or None")
        if not (share >= 1 if isinstance(share, int) else 0 < share < 1):
            raise DataError(
                f"n_components is {n_components}; give a share of variance in (0, 1), a number of "
                f"components, or None"
            )
    return {
        "n_components": share,
        "n_mixture": size,
        "covariance": covariance,
        "seed": _whole("seed", seed, 0),
    }


def _whole(name: str, value: int, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise DtypeError(f"{name} is {value!r}; give a whole number") from None
    if not least <= number < 2**32:
        raise DataError(f"{name} is {value}; give {least} or more, below 2**32")
    return number


def compute(given: Any, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
    """Fit the mixture, and compute LEEP with its responsibilities as source probabilities."""
    import numpy as np

    from ._sklearn import checked_float64, class_codes, scikit_learn

    decomposition = scikit_learn("decomposition", "n_leep")
    mixture = scikit_learn("mixture", "n_leep")
    x, codes = checked_float64(given.features), class_codes(given.target.ids, "n_leep")
    counts = np.bincount(codes)
    n_samples, size = len(x), options["n_mixture"]
    if size is None:
        size = min(5 * len(counts), n_samples)
    if size > n_samples:
        raise DataError(f"n_leep: n_mixture is {size}, but there are {n_samples} rows")
    asked = options["n_components"]
    if not (x != x[0]).any():
        raise DataError("n_leep: all rows of the features are equal, so no mixture can be fitted")
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            if asked is not None:
                fitted = asked if asked < 1 else min(int(asked), *x.shape)
                x = decomposition.PCA(fitted, svd_solver="full").fit_transform(x)
            model = mixture.GaussianMixture(
                int(size), covariance_type=options["covariance"], random_state=options["seed"]
            )
            probs = model.fit(x).predict_proba(x)
        except (ValueError, np.linalg.LinAlgError) as error:
            raise DataError(
                f"n_leep: the mixture could not be fitted ({error}); use fewer Gaussians, or "
                f"covariance='spherical'"
            ) from error
    for warning in caught:
        texts.append(f"n_leep, from scikit-learn: {' '.join(str(warning.message).split())}")
    responsibilities = {"source_probs": probs, "labels": codes}
    (leep,) = _core.compute([("leep", {})], n_threads, responsibilities, None)
    if isinstance(leep, Exception):
        raise leep
    details = {"n_mixture_used": int(size), "n_components_used": int(x.shape[1])}
    return {**leep, "details": details, "warnings": list(dict.fromkeys(texts))}


def explain(score: Any) -> list[str]:
    """Return sentences on the score and on that of uninformative features."""
    import math

    shares = [count / score.n_samples for count in score.class_counts]
    chance = sum(share * math.log(share) for share in shares)
    return [
        f"It is the mean log probability of each row's class given which of {score.n_mixture_used} "
        f"Gaussians it is in, in {score.n_components_used} principal components.",
        f"A single Gaussian, which tells nothing, would get {chance:.4f}; perfect is 0.",
    ]


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
)
