"""LogME as estimators that predict by the posterior mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, MultiOutputMixin, RegressorMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from .._inputs.arrays import as_features, as_floats
from .._inputs.inputs import Inputs
from .._inputs.labels import plain_text
from .._inputs.target import Target
from .._metric.plan import plan
from .._metric.score import issue
from .._scoring.evaluate import Settings, evaluate
from ..errors import DataError

__all__ = ["LogMEClassifier", "LogMERegressor"]


class _LogMEEstimator(BaseEstimator):  # type: ignore[misc]
    """Shared fit and linear outputs of both estimators."""

    def __init__(
        self,
        *,
        intercept: bool | str = "auto",
        precision: str = "double",
        n_threads: int | None = None,
    ) -> None:
        self.intercept = intercept
        self.precision = precision
        self.n_threads = n_threads

    def _fit(self, features: NDArray[Any], target: Target) -> None:
        array, _ = as_features(features)
        options = {"intercept": self.intercept, "keep_coef": True}
        requests, _ = plan("logme", target.task, options, {"stats"})
        result = evaluate(
            Inputs(target, array), requests, Settings(self.precision, n_threads=self.n_threads)
        )["logme"]
        if isinstance(result, Exception):
            raise result
        issue(result.warnings)
        self.coef_ = result.coef.copy()  # a Score's arrays are read-only
        self.intercept_ = result.offset.copy()
        self.evidence_ = float(result)
        self.alpha_ = result.alpha.copy()
        self.beta_ = result.beta.copy()
        self.n_iter_ = int(np.max(result.iterations))

    def _outputs(self, features: Any) -> NDArray[np.float64]:
        check_is_fitted(self)
        array = validate_data(self, features, reset=False, dtype="numeric")
        return array @ np.atleast_2d(self.coef_).T + self.intercept_  # type: ignore[no-any-return]


class LogMEClassifier(ClassifierMixin, _LogMEEstimator):  # type: ignore[misc]
    """Bayesian linear regression on the one-hot classes; the class with the largest output wins.

    The outputs are not probabilities, so there is no ``predict_proba``.

    Parameters
    ----------
    intercept : bool or "auto", default="auto"
        Whether to fit a constant term for each class. "auto": no, as in the LogME paper. A
        constant term helps with centred features of unbalanced classes.
    precision, n_threads
        As in :func:`transferability.logme`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The classes, sorted.
    coef_ : ndarray of shape (n_classes, n_features)
        Posterior mean of the weights.
    intercept_ : ndarray of shape (n_classes,)
        Constant terms; zeros without an intercept.
    evidence_ : float
        LogME of the training data, in nats per sample.
    alpha_, beta_ : ndarray of shape (n_classes,)
        Precision of the prior and of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.sklearn import LogMEClassifier
    >>> features = np.random.default_rng(0).normal(size=(80, 5))
    >>> labels = np.where(features[:, 0] > 0, "up", "down")
    >>> bool(LogMEClassifier().fit(features, labels).score(features, labels) > 0.9)
    True
    """

    def fit(self, X: Any, y: Any) -> LogMEClassifier:
        """Fit the weights of maximum evidence to features X and classes y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Classes: integers, strings or booleans.
        """
        X, y = validate_data(self, X, _plain_classes(y), ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, ids = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y holds a single class ({y[0]!r}); a classifier needs two")
        self._fit(X, Target("classification", "", ids=ids.astype(np.int64)))
        return self

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the linear output of each class; for two classes, the second minus the first.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        """
        outputs = self._outputs(X)
        return outputs[:, 1] - outputs[:, 0] if len(self.classes_) == 2 else outputs

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the class with the largest output.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        """
        best = self._outputs(X).argmax(axis=1)
        return self.classes_[best]  # type: ignore[no-any-return]


def _plain_classes(y: Any) -> Any:
    """Return classes with a str for every instance of a subclass, which NumPy may cut short."""
    is_listed = (
        isinstance(y, (list, tuple)) or getattr(getattr(y, "dtype", None), "kind", "") == "O"
    )
    if not is_listed or not any(isinstance(label, str) and type(label) is not str for label in y):
        return y
    plain = np.empty(len(y), dtype=object)
    plain[:] = [plain_text(label) for label in y]
    return plain


class LogMERegressor(MultiOutputMixin, RegressorMixin, _LogMEEstimator):  # type: ignore[misc]
    """Bayesian linear regression; prior and noise precision maximise the evidence.

    Parameters
    ----------
    intercept : bool or "auto", default="auto"
        Whether to fit a constant term. "auto": yes.
    precision, n_threads
        As in :func:`transferability.logme`.

    Attributes
    ----------
    coef_ : ndarray of shape (n_features,) or (n_targets, n_features)
        Posterior mean of the weights.
    intercept_ : float or ndarray of shape (n_targets,)
        Constant term; 0 without an intercept.
    evidence_, alpha_, beta_
        As in :class:`LogMEClassifier`; the precisions have shape (n_targets,).
    """

    def fit(self, X: Any, y: Any) -> LogMERegressor:
        """Fit the weights of maximum evidence to features X and targets y.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Targets.
        """
        shape = getattr(y, "shape", ())
        if isinstance(shape, tuple) and len(shape) > 2:
            raise DataError(
                f"y has shape {shape}, and scikit-learn takes one row of targets for each "
                f"sample; pass y.reshape(len(y), -1), one target for each coordinate"
            )
        X, y = validate_data(self, X, y, ensure_min_samples=2, multi_output=True, y_numeric=True)
        values = np.ascontiguousarray(as_floats(y.reshape(len(y), -1), "y"))
        columns = tuple(range(values.shape[1]))
        self._fit(X, Target("regression", "", values=values, columns=columns))
        if y.ndim == 1:
            self.coef_, self.intercept_ = self.coef_[0], float(self.intercept_[0])
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Return the linear output of each target.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Features.
        """
        outputs = self._outputs(X)
        return outputs[:, 0] if np.ndim(self.coef_) == 1 else outputs
