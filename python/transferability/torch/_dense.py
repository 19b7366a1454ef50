"""Rows for positions of feature maps: labels of pixels brought to the map, a seeded sample of them.

A map (N, C, h, w) has a row for each position. A position takes the label of the pixel at its
centre, which is nearest-neighbour resampling: row ⌊(i + ½) H / h⌋ of the labels for row i of the
map. The sample of an image depends on the seed and the image's number alone, not on the batches.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.labels import IGNORED, read_labels
from ..errors import DataError
from ._tokens import Selection

__all__ = ["resampled", "select_positions", "spread"]


def spread(x: Tensor) -> Tensor:
    """Give channel-first maps (N, C, h, w) as (N·h·w, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def resampled(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Give labels (N, H, W) at the positions of a map: (N, height, width)."""
    rows, columns = (
        ((np.arange(n) + 0.5) * full / n).astype(np.int64)
        for n, full in ((height, labels.shape[1]), (width, labels.shape[2]))
    )
    return labels[:, rows[:, None], columns]


def select_positions(
    labels: NDArray[Any] | None,
    shape: tuple[int, int, int],
    *,
    first: int,
    n_positions: int | None,
    seed: int,
    ignore: Collection[int],
) -> Selection:
    """Select positions of the maps of a batch.

    Parameters
    ----------
    labels : ndarray of shape (N, H, W), or None
        Classes or real numbers of pixels; NaN, -100 and what `ignore` names make no row.
    shape : (N, h, w)
        Of the maps.
    first : int
        The number of the batch's first image in the whole pass.
    n_positions : int or None
        At most so many of each image; None takes all.
    seed : int
        Of the sample.
    ignore : collection of int
        Labels to leave out, often 255.
    """
    n_images, height, width = shape
    if labels is not None:
        if labels.ndim != 3 or len(labels) != n_images:
            raise DataError(
                f"labels has shape {labels.shape}, but the maps are {shape}: give (N, H, W), a "
                f"label for each pixel of each of {n_images} images"
            )
        labels = resampled(labels, height, width).reshape(n_images, -1)
    per_image = height * width
    places: list[NDArray[np.int64]] = []
    for image in range(n_images):
        here = np.arange(per_image)
        if labels is not None:
            here = here[_counts(labels[image], ignore)]
        if n_positions is not None and len(here) > n_positions:
            chosen = np.random.default_rng([seed, first + image])
            here = np.sort(chosen.choice(here, n_positions, replace=False))
        places.append(here + image * per_image)
    flat = np.concatenate(places) if places else np.empty(0, np.int64)
    found = None if labels is None else labels.reshape(-1)[flat]
    if found is not None and found.size:
        found = read_labels(found)[0]
    counted = np.ones((len(flat), 1), dtype=bool)
    return Selection(flat[:, None], counted, found, flat // per_image)


def _counts(labels: NDArray[Any], ignore: Collection[int]) -> NDArray[np.bool_]:
    left = labels != IGNORED
    if ignore:
        left &= ~np.isin(labels, list(ignore))
    if labels.dtype.kind == "f":
        left &= ~np.isnan(labels)
    return np.asarray(left)
