"""Covariances, spectrum and coding rates of accumulated features, with checked options."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import _core
from .._inputs.arrays import check_choice
from .._metric.options import flag
from .._metric.score import issue
from ..errors import DataError, DtypeError

__all__ = [
    "ClassCovariances",
    "ClassScatter",
    "CodingRateReduction",
    "check_not_empty",
    "check_shape",
    "class_covariances",
    "class_scatter",
    "coding_rate",
    "coding_rate_reduction",
    "covariance",
    "make_class_covariances",
    "read_number",
    "read_shrinkage",
    "spectrum",
    "warn_of_one_row",
]

#: Estimates of the shrinkage, by name.
_ESTIMATES = ("ledoit-wolf", "oas")
#: The default distortion of each convention of the coding rate.
_DISTORTIONS = {"transrate": 1e-4, "mcr2": 0.5}


@dataclass(frozen=True, eq=False)
class ClassCovariances:
    """Covariances within and between classes.

    With all N rows in C classes: ``within + between`` is the covariance of the features, as
    :func:`transferability.covariance.empirical_covariance` has it. `within` is `covariance_` of
    scikit-learn's LDA, and the H-score is ``trace(pinv(within + between) @ between)``.

    Attributes
    ----------
    classes : tuple
        The classes that occur, sorted.
    counts : tuple of int
        Number of rows of each class.
    within : ndarray of shape (n_features, n_features)
        Mean over all rows of (x − μ_c)(x − μ_c)ᵀ, for the mean μ_c of the row's class.
    between : ndarray of shape (n_features, n_features)
        Mean over all rows of (μ_c − μ)(μ_c − μ)ᵀ.
    per_class : ndarray of shape (n_classes, n_features, n_features), or None
        The covariance of each class, divided by its number of rows.
    """

    classes: tuple[int | str, ...]
    counts: tuple[int, ...]
    within: NDArray[np.float64]
    between: NDArray[np.float64]
    per_class: NDArray[np.float64] | None = None

    @property
    def pooled(self) -> NDArray[np.float64]:
        """The pooled covariance, `within` times N/(N − C), which is unbiased; a new array."""
        n_samples, n_classes = sum(self.counts), len(self.counts)
        if n_samples == n_classes:
            raise DataError(
                f"the pooled covariance divides by the {n_samples} rows less the {n_classes} "
                f"classes, which is 0; give a class with two rows, or use within"
            )
        pooled: NDArray[np.float64] = self.within * (n_samples / (n_samples - n_classes))
        return pooled


class ClassScatter(NamedTuple):
    """Means of classes about a point that they share, and the covariance within classes."""

    counts: tuple[int, ...]
    means: NDArray[np.float64]  # (C, D)
    within: NDArray[np.float64]  # (D, D), divided by the number of rows
    rounding: float  # bound of the error of `within`, as a norm


@dataclass(frozen=True, eq=False)
class CodingRateReduction:
    """Coding rates of all rows and of each class, in nats.

    Attributes
    ----------
    total : float
        Coding rate of all rows.
    per_class : ndarray of shape (n_classes,)
        Coding rate of the rows of each class.
    difference : float
        The total less the average rate of the classes.
    classes : tuple
        The classes that occur, sorted.
    """

    total: float
    per_class: NDArray[np.float64]
    difference: float
    classes: tuple[int | str, ...]


# After the decorator, which looks up the module of a class.
ClassCovariances.__module__ = CodingRateReduction.__module__ = "transferability.covariance"


def covariance(
    stats: _core.Stats, shrinkage: object, assume_centered: bool, n_threads: int
) -> tuple[NDArray[np.float64], float]:
    """Return the covariance, shrunk as asked, and its shrinkage."""
    check_not_empty(stats)
    by = read_shrinkage(shrinkage)
    about_zero = flag("assume_centered", assume_centered)
    found = _core.covariance(stats, by, about_zero, n_threads)
    warn_of_one_row(stats.n_samples, assume_centered)
    return found


def spectrum(stats: _core.Stats, assume_centered: bool, n_threads: int) -> NDArray[np.float64]:
    """Return the eigenvalues of the covariance, descending."""
    check_not_empty(stats)
    return _core.spectrum(stats, flag("assume_centered", assume_centered), n_threads)


def class_covariances(
    stats: _core.Stats, per_class: bool, boolean: bool, n_threads: int
) -> ClassCovariances:
    """Return the covariances of the classes; `boolean` classes 0 and 1 are False and True."""
    check_not_empty(stats)
    _check_classes(stats)
    per_class = flag("per_class", per_class)
    if per_class and not stats.class_scatters:
        raise DataError(
            "per_class needs statistics of every class; make them with class_scatters=True"
        )
    found = make_class_covariances(_core.class_covariances(stats, per_class, n_threads), boolean)
    within, between = np.trace(found.within), np.trace(found.between)
    parts = [_part(_unit(stats) * (within + between), within)]
    if found.per_class is not None:
        # Products are taken about one point, from which the class means are this far.
        distances = (_core.class_means(stats, n_threads) ** 2).sum(axis=1)
        traces = np.trace(found.per_class, axis1=1, axis2=2)
        triples = zip(found.counts, traces, distances, strict=True)
        parts += [_part(_unit(stats) * (of + far), of) for count, of, far in triples if count > 1]
    # Of single precision, three digits are what is usual.
    if max(parts) > (1e-3 if stats.precision == "single" else 1e-6):
        which = "within classes" if parts[0] == max(parts) else "of a class"
        issue(
            [
                f"rounding may change the covariance {which} by about {max(parts):.0e} of "
                f"itself, because classes are far apart beside their spread; compute it from the "
                f"features with transferability.covariance.class_covariances"
            ]
        )
    return found


def _unit(stats: _core.Stats) -> float:
    """Return a bound of the rounding of a scatter, relative to its trace."""
    return 4 * float(np.finfo(np.float32 if stats.precision == "single" else np.float64).eps)


def _part(error: float, of: float) -> float:
    return error / of if of > 0 else 0.0


def class_scatter(stats: _core.Stats, n_threads: int) -> ClassScatter:
    """Return the means of the classes and the covariance within them, with its rounding."""
    check_not_empty(stats)
    _check_classes(stats)
    _, counts, within, between, _ = _core.class_covariances(stats, False, n_threads)
    # `within` is the difference of two matrices, and carries their rounding.
    rounding = _unit(stats) * float(np.trace(within) + np.trace(between))
    return ClassScatter(tuple(counts), _core.class_means(stats, n_threads), within, rounding)


def make_class_covariances(found: tuple[Any, ...], boolean: bool) -> ClassCovariances:
    """Convert the native result."""
    classes, counts, *matrices = found
    return ClassCovariances(_name_classes(classes, boolean), tuple(counts), *matrices)


def coding_rate(stats: _core.Stats, eps: object, convention: str, n_threads: int) -> float:
    """Return the coding rate, with a warning if it has few certain digits."""
    check_not_empty(stats)
    distortion = _read_eps(eps, convention)
    value, rounding = _core.coding_rate(stats, distortion, convention, n_threads)
    _warn_of_rounding(value, rounding)
    return value


def coding_rate_reduction(
    stats: _core.Stats, eps: object, convention: str, boolean: bool, n_threads: int
) -> CodingRateReduction:
    """Return the coding rates of all rows and of each class."""
    check_not_empty(stats)
    _check_classes(stats)
    distortion = _read_eps(eps, convention)
    if not stats.class_scatters:
        raise DataError(
            "the coding rates of classes need statistics of every class; make them with "
            "class_scatters=True"
        )
    total, per_class, difference, rounding = _core.coding_rate_reduction(
        stats, distortion, convention, n_threads
    )
    _warn_of_rounding(difference, rounding)
    classes = _name_classes(stats.classes or (), boolean)
    return CodingRateReduction(total, per_class, difference, classes)


def read_shrinkage(shrinkage: object) -> Any:
    """Validate a shrinkage: None, the name of an estimate, or a number from 0 to 1."""
    expected = "give None, 'ledoit-wolf', 'oas' or a number from 0 to 1"
    if shrinkage is None or (isinstance(shrinkage, str) and shrinkage in _ESTIMATES):
        return shrinkage
    if isinstance(shrinkage, str):
        raise DataError(f"shrinkage is {shrinkage!r}; {expected}")
    return read_number("shrinkage", shrinkage, 0, 1, expected)


def read_number(name: str, value: object, low: float, high: float, expected: str) -> float:
    """Validate a real number within bounds."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise DtypeError(f"{name} is of type {type(value).__name__}; {expected}")
    number = float(value)
    if not low <= number <= high:
        raise DataError(f"{name} is {number}; {expected}")
    return number


def warn_of_one_row(n_samples: int, assume_centered: bool) -> None:
    """Warn that a single row does not vary about its own mean."""
    if n_samples == 1 and not assume_centered:
        issue(["features have a single row, whose covariance about its own mean is 0"])


def _read_eps(eps: object, convention: str) -> float:
    check_choice("convention", convention, tuple(_DISTORTIONS))
    if eps is None:
        return _DISTORTIONS[convention]
    return read_number("eps", eps, 1e-25, 1e25, "give a number from 1e-25 to 1e25")


def _warn_of_rounding(value: float, rounding: float) -> None:
    if rounding > 1e-6 * max(abs(value), 1.0):
        issue(
            [
                f"rounding may change the coding rate by about {rounding:.0e}: features are large "
                f"beside the distortion eps, and some directions are resolved to a few digits; "
                f"scale the features down, or raise eps"
            ]
        )


def check_shape(features: object, *, of_spectrum: bool = False) -> None:
    """Raise if LAPACK cannot decompose features of this shape, before a row of them is read."""
    shape = getattr(features, "shape", ())
    if not (
        isinstance(shape, tuple) and len(shape) == 2 and all(isinstance(n, int) for n in shape)
    ):
        return  # lists, and what reading them refuses
    if shape[0] * shape[1] < 2**60:  # more than that is refused as such
        _core.check_shape(*shape, of_spectrum)


def check_not_empty(stats: _core.Stats) -> None:
    """Raise DataError if the statistics are empty."""
    if stats.n_features == 0:
        raise DataError("these statistics hold no rows yet; call update first")


def _check_classes(stats: _core.Stats) -> None:
    if stats.classes is None:
        raise DataError("these statistics hold no classes; update them with class labels")


def _name_classes(classes: Sequence[int | str], boolean: bool) -> tuple[int | str, ...]:
    return tuple(bool(name) for name in classes) if boolean else tuple(classes)
