"""The linear head that LogME fits to a model, and softmax weights of teachers from their scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_floats, read_features
from .._inputs.columns import match_columns
from .._inputs.types import ArrayLike
from ..errors import DataError, DtypeError

__all__ = ["Head", "teacher_weights", "validate_head"]


def teacher_weights(scores: ArrayLike, temperature: float = 0.1) -> NDArray[np.float64]:
    """Compute the weights of teachers from their scores: softmax(scores / temperature).

    Parameters
    ----------
    scores : array-like of shape (n_models,)
        LogME of each model, higher is better.
    temperature : float, default=0.1
        Positive. Towards 0 the best model has weight 1; towards infinity weights are equal. The
        default is the paper's.

    Returns
    -------
    weights : ndarray of shape (n_models,)
        Non-negative weights that sum to 1.

    Raises
    ------
    DataError
        If `scores` is empty, not 1-D or not finite, or `temperature` is not positive and finite.
    DtypeError
        If `scores` or `temperature` are not numbers.

    Examples
    --------
    >>> from transferability.tuning import teacher_weights
    >>> teacher_weights([-0.41, -0.24]).round(3).tolist()
    [0.154, 0.846]
    """
    values = as_floats(scores, "scores")
    try:
        divisor = float(temperature)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"temperature must be a number: {error}") from None
    if values.ndim != 1 or not len(values):
        raise DataError(f"scores must be 1-D with one score a model, got shape {values.shape}")
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"scores[{place}] is {values[place]}; a teacher needs a finite score")
    if not 0.0 < divisor < float("inf"):
        raise DataError(f"temperature is {temperature!r}; it must be above 0 and finite")
    with np.errstate(over="ignore"):  # scores far below the best have weight 0
        powers = np.exp((values - values.max()) / divisor)
    return np.asarray(powers / powers.sum())


@dataclass(frozen=True, eq=False)
class Head:
    """The linear head of a model, fitted by LogME: ``features @ coef.T + offset``.

    Attributes
    ----------
    score : float
        LogME of the model, in nats per sample; higher is better.
    coef : ndarray of shape (n_outputs, n_features)
        Posterior mean of the coefficients.
    offset : ndarray of shape (n_outputs,)
        Intercepts; 0 without an intercept.
    columns : tuple of str, optional
        Names of the features, if the head was fitted on a frame. Columns of another frame are
        matched by name.
    """

    score: float
    coef: NDArray[np.float64]
    offset: NDArray[np.float64]
    columns: tuple[str, ...] | None = None

    @classmethod
    def of(cls, estimator: Any) -> Head:
        """Read the head of a fitted LogMEClassifier or LogMERegressor.

        Parameters
        ----------
        estimator : LogMEClassifier or LogMERegressor
            A fitted estimator.
        """
        try:
            coef = np.atleast_2d(estimator.coef_)
            offset = np.broadcast_to(estimator.intercept_, len(coef))
            names = getattr(estimator, "feature_names_in_", None)
            columns = None if names is None else tuple(map(str, names))
            return cls(estimator.evidence_, coef, offset, columns)
        except AttributeError:
            raise DtypeError(
                f"a head is that of a fitted LogMEClassifier or LogMERegressor, got {estimator!r}"
            ) from None

    def __call__(self, features: object, name: str = "features") -> NDArray[np.float64]:
        """Compute the predictions (n_samples, n_outputs) of features (n_samples, n_features)."""
        array, _, columns = read_features(features, name)
        order = match_columns(columns, self.columns, name, "those that the head was fitted on")
        array = array if order is None else array[:, order]
        if array.shape[1] != self.coef.shape[1]:
            raise DataError(
                f"{name} has {array.shape[1]} columns, but the head was fitted on "
                f"{self.coef.shape[1]}; give the features of the same layer of the same model"
            )
        product: NDArray[np.float64] = array.astype(np.float64) @ self.coef.T + self.offset
        if not np.isfinite(product).all():
            row = int(np.flatnonzero(~np.isfinite(product).all(axis=1))[0])
            raise DataError(f"{name}, row {row}, holds NaN or infinity; every value must be finite")
        return product


def validate_head(name: str, head: Head) -> Head:
    """Validate a head, and return a copy with read-only float64 arrays."""
    if not isinstance(head, Head):
        raise DtypeError(f"heads[{name!r}] must be a Head, got {type(head).__name__}")
    try:
        score = float(head.score)
        coef = np.array(head.coef, dtype=np.float64)
        offset = np.array(head.offset, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"the head of {name!r} must be of numbers: {error}") from None
    if coef.ndim != 2 or offset.shape != coef.shape[:1]:
        raise DataError(
            f"the head of {name!r} needs coef (n_outputs, n_features) and offset (n_outputs,), got "
            f"{coef.shape} and {offset.shape}"
        )
    if not (np.isfinite(coef).all() and np.isfinite(offset).all()):
        raise DataError(f"the head of {name!r} holds NaN or infinity; fit LogME to it again")
    coef.setflags(write=False)
    offset.setflags(write=False)
    if head.columns is not None and len(head.columns) != coef.shape[1]:
        raise DataError(
            f"the head of {name!r} names {len(head.columns)} columns of {coef.shape[1]}"
        )
    return Head(score, coef, offset, head.columns)
