"""LogME, LEEP and NCE of github.com/thuml/LogME, the authors' code of LogME."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._inputs.arrays import finite_floats
from .._metric.score import issue
from .._util.public import present
from ..errors import DataError, TransferabilityError
from ._reference import Recipe, check_same_rows, maximise_evidence, one_hot, read_numbers
from ._source import conditional_entropy, expected_prediction

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["LEEP", "NCE", "LogME", "NotFittedError"]


class NotFittedError(TransferabilityError, RuntimeError):
    """`LogME.predict` was called before `LogME.fit`; a RuntimeError as in the original."""


class LogME:
    """LogME as `thuml/LogME` computes it.

    Parameters
    ----------
    regression : bool, default False
        Whether `y` holds targets and not class ids.

    Attributes
    ----------
    fitted : bool
        Whether `fit` was called.
    num_dim : int
        Number of classes, ``max(y) + 1``, or of target columns.
    alphas, betas : list of float
        Precision of the prior and of the noise, one per class or target.
    ms : ndarray of shape (num_dim, n_features)
        Posterior means; an empty list before `fit`, as in the original.

    Notes
    -----
    Differences from `transferability.logme`, which returns the true maximum:

    - **Fewer rows than features**: the score is too large by ``(D - N) * ln(alpha) / (2 * N)`` per
      class (4.68 instead of -0.36 for 40 x 90), so models are ranked by D. `fit_icml` has the right
      determinant. Upstream: issue 23 and pull request 24 of thuml/LogME.
    - **Class ids without rows** count as classes, and each adds 5 to 9 to the sum over the
      classes, more with more rows. `transferability.logme` averages over the classes with rows.
    - **An absolute 1e-5** is added to both denominators: the score depends on the unit of the
      features (-0.758 instead of -0.186 at 1e4 times the scale), and perfect fits end at about 7.
    - **At most 11 iterations** from alpha = beta = 1 to a relative change of 1e-3: up to 0.03 below
      the maximum, or a local maximum.
    - **A large common offset** costs half the digits where N > D, because the singular values come
      from the uncentred product of the features.
    - **All-zero features** return -inf for N > D, with a warning here; NaN for N <= D, an error
      here.
    - `fit` on a fitted object clears it, with a warning.

    To use the ICML recipe in `fit`, subclass and set ``_fit = LogME._fit_icml``, as users of the
    original do.

    References
    ----------
    .. [1] You et al., "LogME: Practical Assessment of Pre-trained Models for Transfer Learning",
       ICML 2021.
    .. [2] You et al., "Ranking and Tuning Pre-trained Models: A New Paradigm for Exploiting Model
       Hubs", JMLR 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.thuml import LogME
    >>> features = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (features[:, 0] > 0).astype(int)
    >>> model = LogME()
    >>> round(model.fit(features, labels), 4)
    -0.9558
    >>> model.ms.shape
    (2, 5)
    """

    ms: NDArray[np.float64] | list[NDArray[np.float64]]

    def __init__(self, regression: bool = False) -> None:
        self.regression = regression
        self.fitted = False
        self.reset()

    def reset(self) -> None:
        """Clear the fit."""
        self.num_dim = 0
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.ms = []

    def fit(self, f: ArrayLike, y: ArrayLike) -> float:
        """Fit by the fixed-point iteration of the JMLR paper, and return the score.

        Parameters
        ----------
        f : array-like of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Class ids 0 … C-1, also of shape (n_samples, 1); with ``regression=True`` targets.

        Returns
        -------
        float
            Nats per sample, averaged over classes or targets; higher is better.

        Raises
        ------
        DataError
            Where the shapes or values are wrong, and where the original returns NaN.
        """
        return self._fit(f, y)

    def fit_icml(self, f: ArrayLike, y: ArrayLike) -> float:
        """Fit by the iteration of the ICML paper, and return the score; otherwise as `fit`.

        It decomposes the D x D product of the features (slow for large D, but correct for N < D),
        stops at a relative change of 1e-2, and adds 1e-5 to the residual and to the norm inside the
        evidence too. Class ids are 1-D here.

        Parameters
        ----------
        f, y
            As in :meth:`fit`, with 1-D class ids.
        """
        return self._fit_icml(f, y)

    def predict(self, f: ArrayLike) -> NDArray[np.float64] | NDArray[np.intp]:
        """Return class ids of shape (n_samples,), or targets of shape (n_samples, n_targets).

        Parameters
        ----------
        f : array-like of shape (n_samples, n_features)
            Features, finite.
        """
        if not self.fitted or not len(self.ms):
            raise NotFittedError("not fitted; call fit(f, y) first")
        features, coef = finite_floats(read_numbers(f, "f", (2,)), "f"), np.asarray(self.ms)
        if features.shape[1] != coef.shape[1]:
            raise DataError(
                f"f has {features.shape[1]} columns, and was fitted on {coef.shape[1]}; give the "
                f"features of the same model"
            )
        logits = features @ coef.T
        return logits if self.regression else np.argmax(logits, axis=-1)

    def _fit_fixed_point(self, f: ArrayLike, y: ArrayLike) -> float:
        return self._run(f, y, "thuml_fixed_point")

    def _fit_icml(self, f: ArrayLike, y: ArrayLike) -> float:
        return self._run(f, y, "thuml_icml")

    _fit = _fit_fixed_point

    def _run(self, f: ArrayLike, y: ArrayLike, recipe: Recipe) -> float:
        if self.fitted:
            issue(["re-fitting for new data: the old alphas, betas and ms are cleared"])
            self.reset()
        self.fitted = True
        features, targets = read_numbers(f, "f", (2,)), read_numbers(y, "y", (1, 2))
        if not self.regression:
            if recipe == "thuml_fixed_point" and targets.shape[1:] == (1,):
                targets = targets[:, 0]  # as the original does here, and only here
            targets = one_hot(read_numbers(targets, "y", (1,)))
        elif targets.ndim == 1:
            targets = targets[:, None]
        check_same_rows(targets, "y", features, "f")
        result = maximise_evidence(features, targets, recipe)
        self.num_dim = targets.shape[1]
        self.alphas = result["alpha"].tolist()
        self.betas = result["beta"].tolist()
        self.ms = result["weights"]
        score = float(np.mean(result["evidence"]))
        if np.isneginf(score):
            issue(["all features are (nearly) zero: the score is -inf, as in thuml/LogME"])
        return score


def LEEP(pseudo_source_label: ArrayLike, target_label: ArrayLike) -> float:
    """Return LEEP as `thuml/LogME` computes it.

    Parameters
    ----------
    pseudo_source_label : array-like of shape (n_samples, n_source_classes)
        Class probabilities of the source model; they are not checked.
    target_label : array-like of shape (n_samples,)
        Class ids 0 … C-1.

    Returns
    -------
    float
        Nats per sample, at most 0 for probabilities; higher is better. NaN, with a warning,
        where some source class has no mass in any row, as in the original.

    Raises
    ------
    DataError, DtypeError
        Where the shapes are wrong, and where the original raises (class ids as floats).

    Notes
    -----
    `transferability.leep` leaves out source classes without mass, refuses rows that are not
    probabilities, and sums float32 in float64.

    Examples
    --------
    >>> from transferability.compat.thuml import LEEP
    >>> round(LEEP([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 0]), 4)
    -0.4087
    """
    names = "pseudo_source_label", "target_label"
    return expected_prediction(pseudo_source_label, target_label, names, "thuml/LogME")


def NCE(source_label: ArrayLike, target_label: ArrayLike) -> float:
    """Return NCE as `thuml/LogME` computes it.

    Parameters
    ----------
    source_label : array-like of shape (n_samples,)
        Class ids that the source model predicts, 0 … Cs-1.
    target_label : array-like of shape (n_samples,)
        Class ids 0 … C-1.

    Returns
    -------
    float
        Minus the entropy of the target given the source labels, in nats; higher is better.

    Raises
    ------
    DataError, DtypeError
        Where the shapes or values are wrong, and for arrays of different lengths; the original
        reads only the beginning of the longer one.

    Notes
    -----
    Class ids as floats are truncated, as in the original. `transferability.nce` does not truncate
    them, and also takes strings.

    Examples
    --------
    >>> from transferability.compat.thuml import NCE
    >>> round(NCE([0, 0, 1, 1], [0, 1, 1, 1]), 4)
    -0.3466
    """
    names = "source_label", "target_label"
    return conditional_entropy(source_label, target_label, names, "thuml/LogME")


present(globals())
