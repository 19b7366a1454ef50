"""Effective rank, participation ratio and spectral decay: functions of eigenvalues.

With the singular values σ_k of the features F (N, D), as they are or about their mean, and the
eigenvalues λ_k = σ_k²/N of their covariance, k = 1 … min(N, D).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from .._inputs.types import ArrayLike
from .._stats.stats import Stats
from ..errors import DataError
from ._features import check_rows, read_stats

__all__ = [
    "CONVENTIONS",
    "FEWEST_POINTS",
    "RANKS",
    "PowerLaw",
    "Spectra",
    "alpha_req",
    "effective_rank",
    "effective_rank_of",
    "entropy_rank",
    "fit_power_law",
    "participation_ratio",
    "participation_ratio_of",
    "participation_ratio_of_stats",
    "power_law_of_stats",
    "ranks_of",
    "spectra_of",
    "uncentred_spectrum",
]

Values = NDArray[np.float64]

#: The conventions of the effective rank, and the names of their values.
RANKS = {"rankme": "rankme", "covariance": "covariance_rank", "centred": "centred_rank"}
CONVENTIONS = tuple(RANKS)
_RANKME_EPS = 1e-7
#: How many times the variance the square of the offset may be before it is treated apart.
_LARGE_OFFSET = 1000.0
#: Steps to the first eigenvector; each divides the error by `_LARGE_OFFSET` at least.
_POWERS = 6
#: The eigenvalues of the fit of α-ReQ, counted from 1, and how many it takes.
_FIRST, _LAST, FEWEST_POINTS = 11, 100, 20


class Spectra(NamedTuple):
    """Eigenvalues of FᵀF/N and of the covariance, descending, min(N, D) of each."""

    uncentred: Values
    centred: Values


class PowerLaw(NamedTuple):
    """A fit of λ_k ∝ k^(-alpha), to `n_points` eigenvalues."""

    alpha: float
    n_points: int


def effective_rank(
    features: ArrayLike | Stats, *, convention: str = "rankme", n_threads: int | None = None
) -> float:
    r"""Compute the effective rank of features: the exponential of the entropy of their spectrum.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features), FeatureSource, or Stats
        As in :func:`transferability.logme`; or statistics of any task.
    convention : {"rankme", "covariance", "centred"}, default="rankme"
        The numbers p that sum to one. "rankme": singular values of the features as they are, with
        1e-7 added to each p, as in RankMe. "covariance": eigenvalues of the covariance, as for the
        effective rank of a state or a covariance. "centred": singular values of the features about
        their mean, as Roy and Vetterli define it for a matrix.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    rank : float
        From 1 to min(n_samples, n_features); 0 where nothing varies ("rankme": where all is 0).
        RankMe's 1e-7 adds about 1.6e-6 min(n_samples, n_features) in relative terms.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; another convention; a single row unless "rankme".

    Notes
    -----
    :math:`\exp(-\sum_k p_k \ln p_k)`. An offset of all features adds one large direction, which
    lowers "rankme" and leaves the other two. With no more rows than features, the number of rows
    bounds every effective rank: compare models at one n_samples, above n_features.

    With more rows than features, singular values below :math:`\sqrt{2\cdot10^{-16} D}` of the
    largest cannot be told from 0 and count as 0, because they come from the scatter matrix. A large
    offset is treated apart, and costs no digits of the others.

    References
    ----------
    Garrido et al. (2023). RankMe: Assessing the Downstream Performance of Pretrained
    Self-Supervised Representations by Their Rank. ICML. Roy, Vetterli (2007). The effective rank:
    A measure of effective dimensionality. EUSIPCO.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import effective_rank
    >>> features = np.random.default_rng(0).normal(size=(1000, 32)) * ([1] * 8 + [0] * 24)
    >>> round(effective_rank(features, convention="covariance"), 1)
    8.0
    """
    check_choice("convention", convention, CONVENTIONS)
    return effective_rank_of(read_stats(features, n_threads), convention)


def participation_ratio(features: ArrayLike | Stats, *, n_threads: int | None = None) -> float:
    r"""Compute the participation ratio of the eigenvalues of the covariance.

    Parameters
    ----------
    features, n_threads
        As in :func:`effective_rank`.

    Returns
    -------
    ratio : float
        :math:`(\sum_k \lambda_k)^2 / \sum_k \lambda_k^2`, from 1 to min(n_samples - 1,
        n_features); 0 where nothing varies. It is at most the effective rank of the covariance.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single row.

    References
    ----------
    Gao et al. (2017). A theory of multineuronal dimensionality, dynamics and measurement. bioRxiv.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import participation_ratio
    >>> features = np.random.default_rng(0).normal(size=(1000, 32)) * ([1] * 8 + [0] * 24)
    >>> round(participation_ratio(features), 1)
    7.9
    """
    return participation_ratio_of_stats(read_stats(features, n_threads))


def alpha_req(features: ArrayLike | Stats, *, n_threads: int | None = None) -> float:
    r"""Compute the exponent of the decay of the eigenvalues of the covariance, as α-ReQ.

    Parameters
    ----------
    features, n_threads
        As in :func:`effective_rank`.

    Returns
    -------
    alpha : float
        The slope of :math:`\ln \lambda_k` against :math:`-\ln k`, by least squares with the weights
        1/k, for k = 11 … min(100, rank). The rank counts the eigenvalues that are not rounding. The
        authors prefer exponents close to 1; small ones decay slowly.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; fewer than 20 points, which is a rank below 30.

    Notes
    -----
    With more rows than features the eigenvalues are those of the scatter matrix. Its rounding may
    change alpha by up to 2e-16 D times the ratio of the largest eigenvalue to the last of the fit.

    References
    ----------
    Agrawal, Mondal, Ghosh, Richards (2022). α-ReQ: Assessing Representation Quality in
    Self-Supervised Learning by measuring eigenspectrum decay. NeurIPS.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.health import alpha_req
    >>> scales = np.arange(1, 65) ** -0.5  # of the singular values: eigenvalues decay as 1/k
    >>> features = np.random.default_rng(0).normal(size=(100_000, 64)) * scales
    >>> round(alpha_req(features), 2)
    1.0
    """
    return power_law_of_stats(read_stats(features, n_threads)).alpha


def spectra_of(stats: Stats) -> Spectra:
    """Return the eigenvalues about zero and about the mean."""
    return Spectra(uncentred_spectrum(stats), stats.spectrum())


def uncentred_spectrum(stats: Stats) -> Values:
    """Return the eigenvalues of FᵀF/N; an offset costs no more digits than in an SVD of F.

    FᵀF = S + mmᵀ for the scatter S about the mean μ and m = √N μ. Where rows are not held and m is
    large, this sum would round away the small eigenvalues of S.
    """
    if stats.holds_rows:
        return stats.spectrum(assume_centered=True)
    moments = stats.feature_moments()
    n = moments["n_samples"]
    offset = moments["sum"] / n  # from the shift to the mean
    root = np.sqrt(n) * (moments["shift"] + offset)
    with np.errstate(over="ignore", invalid="ignore"):  # which spectrum refuses
        variance = np.trace(moments["scatter"]) - n * (offset @ offset)
        square = root @ root
        large = bool(np.isfinite(square) and square > _LARGE_OFFSET * variance)
    if not large:
        return stats.spectrum(assume_centered=True)
    # S is rounded relative to its largest eigenvalue, which may be far above the others of FᵀF.
    largest = n * stats.spectrum()[0]
    scatter = moments["scatter"] - n * np.outer(offset, offset)
    first, rest = _split_offset(scatter, root)
    single = moments["precision"] == "single"
    unit = 4 * np.finfo(np.float32).eps if single else len(root) * np.finfo(np.float64).eps
    others = _eigenvalues(rest / largest) if largest > 0 else np.zeros(len(root))
    others = np.where(others > unit, others * (largest / n), 0.0)
    values: Values = np.concatenate([[first / n], others[: min(n, len(root)) - 1]])
    return values


def _split_offset(scatter: Values, root: Values) -> tuple[float, Values]:
    """Return the largest eigenvalue of S + mmᵀ, and a matrix with the others and 0, for large m.

    With the first eigenvector v and the projection P = 1 - vvᵀ, the matrix is P(S + mmᵀ)P. From
    P(S + mmᵀ)v = 0 follows Pm = -PSv/(mᵀv), so that S alone rounds, not mmᵀ.
    """
    length = np.linalg.norm(root)
    direction = root / length
    first = direction
    for _ in range(_POWERS):
        first = scatter @ first / length / length + direction * (direction @ first)
        first /= np.linalg.norm(first)
    image = scatter @ first
    along, across = first @ image, root @ first
    apart = (image - along * first) / across
    mixed = np.outer(first, image - along / 2 * first)
    return float(along + across**2), scatter - mixed - mixed.T + np.outer(apart, apart)


def _eigenvalues(matrix: Values) -> Values:
    """Return the eigenvalues of a symmetric matrix, descending, all from 0 to 1 but for rounding.

    As those of statistics, which take less time than NumPy's. They are made with 1 + `matrix`,
    because statistics refuse a matrix that is indefinite by rounding.
    """
    order = len(matrix)
    nothing = np.zeros(order)
    moments = {
        "task": "unlabelled",
        "n_samples": order,
        "shift": nothing,
        "sum": nothing,
        "scatter": matrix + np.eye(order),
        "cubic": nothing,
        "quartic": 4.0 * order**2,
        "largest": 2.0,
    }
    return order * Stats.from_moments(moments).spectrum() - 1


def effective_rank_of(stats: Stats, convention: str) -> float:
    """Compute the effective rank of statistics."""
    if convention == "rankme":
        return _rank_by(convention, uncentred_spectrum(stats))
    check_rows(stats, f"the effective rank by convention={convention!r}")
    return _rank_by(convention, stats.spectrum())


def participation_ratio_of_stats(stats: Stats) -> float:
    """Compute the participation ratio of statistics."""
    check_rows(stats, "the participation ratio")
    return participation_ratio_of(stats.spectrum())


def power_law_of_stats(stats: Stats) -> PowerLaw:
    """Fit the decay of the eigenvalues of statistics."""
    check_rows(stats, "α-ReQ")
    return fit_power_law(stats.spectrum())


def ranks_of(spectra: Spectra) -> dict[str, float]:
    """Compute the effective rank of spectra by each convention."""
    return {
        name: _rank_by(name, spectra.uncentred if name == "rankme" else spectra.centred)
        for name in CONVENTIONS
    }


def _rank_by(convention: str, eigenvalues: Values) -> float:
    """Return the effective rank by a convention, of the eigenvalues that it is about."""
    if convention == "covariance":
        return entropy_rank(eigenvalues)
    return entropy_rank(np.sqrt(eigenvalues), _RANKME_EPS if convention == "rankme" else 0.0)


def entropy_rank(values: Values, eps: float = 0.0) -> float:
    """Return exp(-Σ p ln p) for p = values/Σ values + eps; 0 if all values are 0."""
    total = values.sum()
    if not total > 0:
        return 0.0
    p = values / total + eps
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio_of(eigenvalues: Values) -> float:
    """Return (Σ λ)²/Σ λ²; 0 if all are 0."""
    largest = eigenvalues.max(initial=0.0)
    if not largest > 0:
        return 0.0
    scaled = eigenvalues / largest  # squares stay within the range of float64
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def fit_power_law(eigenvalues: Values) -> PowerLaw:
    """Fit ln λ_k = const - alpha ln k with the weights 1/k."""
    rank = int((eigenvalues > 0).sum())
    last = min(_LAST, rank)
    n_points = max(0, last - _FIRST + 1)
    if n_points < FEWEST_POINTS:
        raise DataError(
            f"α-ReQ fits the eigenvalues {_FIRST} to min({_LAST}, rank), and the rank of these "
            f"features is {rank}, which leaves {n_points} points, fewer than {FEWEST_POINTS}; give "
            f"features and rows of rank {_FIRST + FEWEST_POINTS - 1} at least"
        )
    k = np.arange(_FIRST, last + 1)
    x, y, weight = -np.log(k), np.log(eigenvalues[_FIRST - 1 : last]), 1 / k
    x = x - (weight @ x) / weight.sum()
    return PowerLaw(float((weight * x) @ y / ((weight * x) @ x)), n_points)
