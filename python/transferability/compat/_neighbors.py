"""The nearest-neighbour estimator of transformer-ranker, without torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from transferability.compat import _reference
from transferability.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["NearestNeighbors"]

#: Distances held at once: 64 MB.
_MOST_DISTANCES = 8_000_000


class NearestNeighbors:
    """Leave-one-out nearest neighbours as `transformer-ranker` computes them, without torch.

    Parameters
    ----------
    regression : bool, default False
        Whether the labels are targets and not classes.
    k : int, default 3
        Neighbours of each row.

    Attributes
    ----------
    score : float or None
        What the last `fit` returned.

    Notes
    -----
    What differs from `transferability.knn`:

    - **Two classes are scored by F1 of class 1**, more classes by accuracy: its
      micro average does not apply to the binary task. Scores of two-class and of
      many-class tasks do not compare, and one class alone gives 0 or 1.
    - **Ties of the vote** go to the smallest class id, ties of the distance to
      whichever comes.
    - **Regression** is Pearson's correlation with the mean of the neighbours'
      targets: a constant prediction is NaN there and an error here.
    - ``k`` = N takes each row for its own neighbour too.
    - Distances are float64 here. There they have the embeddings' dtype, and in
      float32 come from a product that cannot tell near neighbours apart where
      the embeddings are far from zero.
    - An unknown `distance_metric` means "euclidean", there and here.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.transformer_ranker import NearestNeighbors
    >>> embeddings = np.random.default_rng(0).normal(size=(60, 5))
    >>> labels = (embeddings[:, 0] > 0).astype(int)
    >>> round(NearestNeighbors(k=5).fit(embeddings=embeddings, labels=labels), 4)
    0.8387
    """

    def __init__(self, regression: bool = False, k: int = 3) -> None:
        self.regression = regression
        self.k = k
        self.score: float | None = None

    def fit(
        self,
        embeddings: ArrayLike,
        labels: ArrayLike,
        batch_size: int = 1024,
        distance_metric: str = "euclidean",
        **kwargs: object,
    ) -> float:
        """Return the score.

        Parameters
        ----------
        embeddings : array-like or tensor of shape (n_samples, hidden_size)
            Features.
        labels : array-like or tensor of shape (n_samples,)
            Class ids, any numbers, but 0 and 1 where there are no more than two; with
            ``regression=True`` targets.
        batch_size : int, default 1024
            Rows whose distances are held at once, at most. It does not change the score.
        distance_metric : {"euclidean", "cosine"}, default "euclidean"
            What is near.
        **kwargs : object
            Ignored, as in the original.

        Returns
        -------
        float
            F1 or accuracy, rounded to float32, or a correlation; higher is better.

        Raises
        ------
        DataError
            Where the shapes or values are wrong, and where the original raises (fewer rows than
            `k`, two classes that are not 0 and 1) or returns NaN.
        """
        features = _reference.plain(embeddings, "embeddings", (2,))
        response = _reference.plain(labels, "labels", (1,))
        _reference.same_rows(features, response, "labels")
        if not np.isfinite(features).all():
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise DataError(
                f"embeddings[{row}, {column}] is {features[row, column]}; drop such rows"
            )
        if not np.isfinite(response).all():
            row = int(np.flatnonzero(~np.isfinite(response))[0])
            raise DataError(f"labels[{row}] is {response[row]}; drop such rows")
        if not 1 <= self.k <= len(features) or batch_size < 1:
            raise DataError(
                f"k is {self.k} and batch_size {batch_size} for {len(features)} rows; both must "
                "be at least 1, and k at most the number of rows"
            )
        ids = None if self.regression else _class_ids(response)
        rows = max(1, min(batch_size, _MOST_DISTANCES // len(features)))
        neighbors = _nearest(features, self.k, rows, distance_metric == "cosine")
        if ids is None:
            self.score = _correlation(response, response[neighbors].mean(axis=1))
        else:
            self.score = _agreement(ids, _vote(ids[neighbors]))
        return self.score


def _nearest(features: NDArray[np.float64], k: int, rows: int, cosine: bool) -> NDArray[np.intp]:
    """Give the `k` nearest rows of each row, in no order."""
    if cosine:
        norms = np.sqrt(np.einsum("ij,ij->i", features, features))
        features = features / np.maximum(norms, 1e-8)[:, None]
    else:
        features = features - features.mean(axis=0)  # fewer digits cancel in the product
    squares = np.einsum("ij,ij->i", features, features)
    nearest = np.empty((len(features), k), dtype=np.intp)
    for start in range(0, len(features), rows):
        block = features[start : start + rows]
        # Order by distance is order by |x|^2 - 2 x.y, or by -x.y.
        distances = block @ features.T
        distances *= -1.0 if cosine else -2.0
        if not cosine:
            distances += squares
        own = np.arange(len(block))
        distances[own, start + own] = np.inf
        nearest[start : start + rows] = np.argpartition(distances, k - 1, axis=1)[:, :k]
    return nearest


def _class_ids(labels: NDArray[np.float64]) -> NDArray[np.intp]:
    """Give numbers that keep the order; one or two classes must be 0 and 1, as in torchmetrics."""
    classes, ids = np.unique(labels, return_inverse=True)
    if len(classes) > 2:
        return ids.astype(np.intp, copy=False)
    if not np.isin(classes, (0, 1)).all():
        raise DataError(
            f"labels hold {' and '.join(f'{value:g}' for value in classes)}; one or two classes "
            "must be 0 and 1 here, because transformer-ranker scores class 1 of them"
        )
    return labels.astype(np.intp)


def _vote(ids: NDArray[np.intp]) -> NDArray[np.intp]:
    """Give each row's most frequent id, the smallest where several are."""
    ids = np.sort(ids, axis=1)
    count = np.ones(len(ids), dtype=np.intp)
    best, best_count = ids[:, 0].copy(), count.copy()
    for previous, current in zip(ids.T[:-1], ids.T[1:], strict=True):
        count = np.where(current == previous, count + 1, 1)
        more = count > best_count
        best[more], best_count[more] = current[more], count[more]
    return best


def _agreement(ids: NDArray[np.intp], predicted: NDArray[np.intp]) -> float:
    """Accuracy, or for class ids 0 and 1 alone the F1 of class 1, in float32."""
    if len(np.unique(ids)) > 2:
        hits, total = int((predicted == ids).sum()), len(ids)
    else:
        hits = 2 * int((predicted * ids).sum())
        total = int(predicted.sum() + ids.sum())
    return float(np.float32(hits) / np.float32(total)) if total else 0.0


def _correlation(targets: NDArray[np.float64], predicted: NDArray[np.float64]) -> float:
    x, y = targets - targets.mean(), predicted - predicted.mean()
    scale = float(np.sqrt((x @ x) * (y @ y)))
    if not scale > 0:
        raise DataError(
            "the targets or their predictions are all equal, so they have no correlation; there "
            "transformer-ranker returns nan"
        )
    return max(-1.0, min(1.0, float(x @ y) / scale))
