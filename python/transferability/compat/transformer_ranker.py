"""Estimators of github.com/flairNLP/transformer-ranker, and adapters for this package's metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._util.public import present
from ..errors import DataError
from ._hscore import HScore
from ._plug import install
from ._reference import check_same_rows, maximise_evidence, one_hot, read_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["HScore", "LogME", "install"]


class LogME:
    """LogME as `transformer-ranker` computes it, without torch.

    Parameters
    ----------
    regression : bool, default False
        Whether the labels are targets and not classes.

    Attributes
    ----------
    score : float or None
        Result of the last `fit`.

    Notes
    -----
    Differences from `transferability.logme`, which returns the true maximum:

    - **Fewer rows than features**: too large by ``(D - N) * ln(alpha) / (2 * N)`` per class, as in
      `transferability.compat.thuml`, so models are ranked by their hidden size.
    - **The order of the classes matters**: each class starts from the alpha and beta at which the
      class before it ended.
    - **An absolute 1e-5** in both denominators: the score depends on the unit of the features.
    - **At most 11 iterations** by default, to a relative change of 1e-3.
    - ``N / 2 * ln(2 * pi)`` is rounded to float32: about 1e-7 off.
    - **Errors**: initial precisions of zero or below, features of zeros and targets of shape
      (n_samples, k) are a `DataError` here. The original divides by zero or starts from an invalid
      precision, returns NaN, and raises a RuntimeError, respectively.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.transformer_ranker import LogME
    >>> embeddings = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (embeddings[:, 0] > 0).astype(int)
    >>> round(LogME().fit(embeddings=embeddings, labels=labels), 4)
    -0.9558
    """

    def __init__(self, regression: bool = False) -> None:
        self.regression = regression
        self.score: float | None = None

    def fit(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike,
        initial_alpha: float = 1.0,
        initial_beta: float = 1.0,
        max_iter: int = 11,
        tol: float = 1e-3,
        **kwargs: object,
    ) -> float:
        """Return the score in nats per sample, averaged over the classes; higher is better.

        Parameters
        ----------
        embeddings : array-like or tensor of shape (n_samples, hidden_size)
            Features.
        labels : array-like or tensor of shape (n_samples,)
            Class ids, any numbers; with ``regression=True`` targets.
        initial_alpha, initial_beta : float, default 1.0
            Precision of the prior and of the noise before the first iteration, positive.
        max_iter : int, default 11
            Maximum number of iterations per class, at least 1.
        tol : float, default 1e-3
            Stop at a smaller relative change of alpha / beta.
        **kwargs : object
            Ignored, as in the original.

        Raises
        ------
        DataError
            Where the shapes or values are wrong, and where the original returns NaN.
        """
        if max_iter < 1 or not (initial_alpha > 0 and initial_beta > 0):
            raise DataError(
                "max_iter must be at least 1 and initial_alpha, initial_beta positive, got "
                f"{max_iter}, {initial_alpha}, {initial_beta}"
            )
        features = read_numbers(embeddings, "embeddings", (2,))
        response = read_numbers(labels, "labels", (1,))
        check_same_rows(response, "labels", features, "embeddings")
        targets = response[:, None] if self.regression else one_hot(response, np.unique(response))
        result = maximise_evidence(
            features,
            targets,
            "transformer_ranker",
            # The original holds both in float32 until the first update.
            initial_ratio=float(np.float32(initial_alpha) / np.float32(initial_beta)),
            max_iterations=max_iter,
            tolerance=tol,
        )
        self.score = float(np.mean(result["evidence"]))
        return self.score


present(globals())
