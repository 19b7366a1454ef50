"""Covariance estimators that accumulate statistics of the rows."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import sklearn.covariance as theirs
from numpy.typing import NDArray
from scipy.linalg import pinvh
from sklearn.utils.validation import check_is_fitted, validate_data

from .._inputs.arrays import as_features
from .._inputs.target import unlabelled
from .._metric.options import flag, number, whole_number
from .._metric.score import issue
from .._stats.stats import Stats

__all__ = ["OAS", "EmpiricalCovariance", "LedoitWolf", "ShrunkCovariance"]

Self = TypeVar("Self", bound="EmpiricalCovariance")

#: Rows whose distances are computed at once: bounds the memory.
_ROWS = 1024
#: The condition below which a covariance is inverted. A pseudo-inverse drops eigenvalues from
#: n_features roundings of the largest on, at conditions far above.
_REGULAR = 1e8


class EmpiricalCovariance(theirs.EmpiricalCovariance):  # type: ignore[misc]
    """The covariance matrix, divided by the number of samples.

    As ``sklearn.covariance.EmpiricalCovariance``, from one pass over the rows that copies no more
    than a panel of them. Blocks of rows can follow one another through :meth:`partial_fit`.

    Parameters
    ----------
    store_precision : bool, default=True
        Whether to keep the precision matrix once it has been computed.
    assume_centered : bool, default=False
        Take the features as centred: second moments about 0 in place of the mean.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Attributes
    ----------
    covariance_ : ndarray of shape (n_features, n_features)
        The covariance, in float64.
    location_ : ndarray of shape (n_features,)
        The mean; 0 with `assume_centered`.
    precision_ : ndarray of shape (n_features, n_features), or None
        The pseudo-inverse of the covariance, computed when it is first read; None without
        `store_precision`.
    stats_ : Stats
        The statistics of all rows, for example for ``stats_.spectrum()``.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X is a table whose columns have strings as names.

    Notes
    -----
    After :meth:`partial_fit`, `covariance_` and `location_` are computed when one of them is first
    read, so that a block costs no more than its rows.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.sklearn import EmpiricalCovariance
    >>> features = np.array([[1, 1], [1, 1], [0, 2], [0, 2]])
    >>> EmpiricalCovariance().fit(features).covariance_
    array([[ 0.25, -0.25],
           [-0.25,  0.25]])
    >>> EmpiricalCovariance().partial_fit(features[:3]).partial_fit(features[3:]).location_
    array([0.5, 1.5])
    """

    #: Attributes that new rows make out of date.
    _estimates: tuple[str, ...] = ("covariance_", "location_", "precision_")

    def __init__(
        self,
        *,
        store_precision: bool = True,
        assume_centered: bool = False,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(store_precision=store_precision, assume_centered=assume_centered)
        self.n_threads = n_threads

    def fit(self: Self, X: Any, y: Any = None) -> Self:
        """Compute the covariance of the rows of X, after removing all earlier rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : ignored
            For scikit-learn's conventions.
        """
        self._check_parameters()
        self._set_stats(self._statistics(X, reset=True))
        self._compute()
        return self

    def partial_fit(self: Self, X: Any, y: Any = None) -> Self:
        """Add the rows of X to those of earlier calls; one row is enough.

        Any split of the rows gives the result of :meth:`fit`, up to rounding.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : ignored
            For scikit-learn's conventions.
        """
        self._check_parameters()
        if self.__sklearn_is_fitted__():
            self._set_stats(self._add(self.stats_, X, reset=False))
        else:
            self._set_stats(self._statistics(X, reset=True))
        return self

    def get_precision(self) -> NDArray[np.float64]:
        """Return the pseudo-inverse of the covariance."""
        check_is_fitted(self)
        return self.precision_ if self.store_precision else _invert(self.covariance_)

    def score(self, X_test: Any, y: Any = None) -> float:
        """Compute the mean log-likelihood of the rows of X_test under the fitted Gaussian.

        Parameters
        ----------
        X_test : array-like of shape (n_samples, n_features)
            Features.
        y : ignored
            For scikit-learn's conventions.
        """
        check_is_fitted(self)
        test = self._statistics(X_test, reset=False)
        offset = test.mean() - self.location_
        about = np.outer(offset, offset)
        if test.n_samples > 1:
            about += test.covariance()
        return float(theirs.log_likelihood(about, self.get_precision()))

    def mahalanobis(self, X: Any) -> NDArray[np.float64]:
        """Compute the squared Mahalanobis distance of each row of X from the mean.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        """
        check_is_fitted(self)
        array = validate_data(self, X, reset=False)
        precision, distances = self.get_precision(), np.empty(len(array))
        for start in range(0, len(array), _ROWS):
            rows = array[start : start + _ROWS] - self.location_
            np.einsum("ij,ij->i", rows @ precision, rows, out=distances[start : start + _ROWS])
        return distances

    def __getattr__(self, name: str) -> Any:
        """Compute an estimate when it is first read after new rows."""
        if name not in type(self)._estimates:
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        check_is_fitted(self)
        if name == "precision_":
            if not self.store_precision:
                return None
            self.precision_ = _invert(self.covariance_)
        else:
            self._compute()
        return vars(self)[name]

    def __sklearn_is_fitted__(self) -> bool:
        return "stats_" in vars(self)

    def _check_parameters(self) -> None:
        flag("store_precision", self.store_precision)
        flag("assume_centered", self.assume_centered)

    def _shrinkage(self) -> str | float | None:
        """Return the shrinkage, as ``Stats.covariance`` takes it."""
        return None

    def _compute(self) -> None:
        found = self.stats_.covariance_and_shrinkage(
            self._shrinkage(), assume_centered=bool(self.assume_centered)
        )
        self.covariance_, shrinkage = found
        centre = self.stats_.mean()
        self.location_ = np.zeros_like(centre) if self.assume_centered else centre
        if "shrinkage_" in type(self)._estimates:
            self.shrinkage_ = shrinkage

    def _read(self, X: Any, reset: bool) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Validate by scikit-learn's rules; the native pass over the rows looks for NaN."""
        if isinstance(X, np.ma.MaskedArray):
            as_features(X, "X")  # raises: scikit-learn would drop the mask
        array = validate_data(self, X, reset=reset, ensure_all_finite=False)
        return as_features(array, "X")

    def _statistics(self, X: Any, reset: bool) -> Stats:
        return self._add(Stats("unlabelled", n_threads=self.n_threads), X, reset)

    def _add(self, stats: Stats, X: Any, reset: bool) -> Stats:
        """Add the rows of X to statistics, and return the same object."""
        array, notes = self._read(X, reset)
        stats.push(array, unlabelled(len(array)))
        issue(notes)
        return stats

    def _set_stats(self, stats: Stats) -> None:
        """Keep the statistics, and forget what was computed from fewer rows."""
        self.stats_ = stats
        for name in type(self)._estimates:
            self.__dict__.pop(name, None)


def _invert(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pseudo-inverse of a covariance; its inverse, unless it is close to singular.

    The inverse takes a twentieth of the time of the eigenvalues that a pseudo-inverse needs.
    """
    with np.errstate(all="ignore"):
        try:
            inverse = np.linalg.inv(covariance)
        except np.linalg.LinAlgError:  # exactly singular
            inverse = np.full_like(covariance, np.inf)
        condition = np.linalg.norm(covariance, 1) * np.linalg.norm(inverse, 1)
    if condition < _REGULAR:
        symmetric: NDArray[np.float64] = (inverse + inverse.T) / 2
        return symmetric
    pseudo: NDArray[np.float64] = pinvh(covariance, check_finite=False)
    return pseudo


class ShrunkCovariance(EmpiricalCovariance):
    """The covariance, shrunk by a given amount.

    As ``sklearn.covariance.ShrunkCovariance``: ``(1 - shrinkage) * S + shrinkage * trace(S) /
    n_features * I`` of the empirical covariance S. Parameters and attributes that are not listed,
    and the methods, are those of :class:`EmpiricalCovariance`.

    Parameters
    ----------
    shrinkage : float, default=0.1
        From 0, the empirical covariance, to 1, a multiple of the identity.

    Examples
    --------
    >>> from transferability.sklearn import ShrunkCovariance
    >>> ShrunkCovariance(shrinkage=0.2).fit([[1, 1], [1, 1], [0, 2], [0, 2]]).covariance_
    array([[ 0.25, -0.2 ],
           [-0.2 ,  0.25]])
    """

    def __init__(
        self,
        *,
        store_precision: bool = True,
        assume_centered: bool = False,
        shrinkage: float = 0.1,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            store_precision=store_precision, assume_centered=assume_centered, n_threads=n_threads
        )
        self.shrinkage = shrinkage

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._shrinkage()

    def _shrinkage(self) -> float:
        return number("shrinkage", self.shrinkage, "a number from 0 to 1", (0.0, 1.0))


class LedoitWolf(EmpiricalCovariance):
    """The covariance, shrunk by the estimate of Ledoit and Wolf.

    As ``sklearn.covariance.LedoitWolf``, and with :meth:`partial_fit`. Parameters and attributes
    that are not listed, and the methods, are those of :class:`EmpiricalCovariance`.

    Parameters
    ----------
    block_size : int, default=1000
        Accepted for scikit-learn's sake, and without effect.

    Attributes
    ----------
    shrinkage_ : float
        How far the covariance is shrunk towards a multiple of the identity, from 0 to 1.

    References
    ----------
    Ledoit and Wolf, "A well-conditioned estimator for large-dimensional covariance matrices",
    Journal of Multivariate Analysis 88, 2004.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.sklearn import LedoitWolf
    >>> features = np.random.default_rng(0).normal(size=(50, 20))
    >>> estimator = LedoitWolf()
    >>> for block in np.split(features, 5):
    ...     _ = estimator.partial_fit(block)
    >>> round(estimator.shrinkage_, 3)
    0.847
    """

    _estimates = (*EmpiricalCovariance._estimates, "shrinkage_")

    def __init__(
        self,
        *,
        store_precision: bool = True,
        assume_centered: bool = False,
        block_size: int = 1000,
        n_threads: int | None = None,
    ) -> None:
        super().__init__(
            store_precision=store_precision, assume_centered=assume_centered, n_threads=n_threads
        )
        self.block_size = block_size

    def _check_parameters(self) -> None:
        super()._check_parameters()
        whole_number("block_size", self.block_size, 1)

    def _shrinkage(self) -> str:
        return "ledoit-wolf"


class OAS(EmpiricalCovariance):
    """The covariance, shrunk by the oracle approximating estimate.

    As ``sklearn.covariance.OAS``, and with :meth:`partial_fit`. Parameters, attributes and methods
    are those of :class:`EmpiricalCovariance`, and `shrinkage_`.

    Attributes
    ----------
    shrinkage_ : float
        How far the covariance is shrunk towards a multiple of the identity, from 0 to 1.

    References
    ----------
    Chen, Wiesel, Eldar and Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE
    Transactions on Signal Processing 58, 2010.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.sklearn import OAS
    >>> features = np.random.default_rng(0).normal(size=(50, 20))
    >>> round(OAS().fit(features).shrinkage_, 3)
    0.886
    """

    _estimates = (*EmpiricalCovariance._estimates, "shrinkage_")

    def _shrinkage(self) -> str:
        return "oas"
