"""Dense prediction: positions of feature maps as rows, with labels of pixels.

Maps (N, C, h, w) have a row for each position. Labels (N, H, W) are resampled to the maps by
nearest neighbour: row i of a map takes row ⌊(i + ½) H / h⌋ of the labels, and columns alike. The
random sample of positions depends on the seed and the index of the image, not on the batch size.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .._inputs.arrays import as_array
from .._inputs.labels import IGNORED, read_labels
from ..errors import DataError
from ._tokens import Selection

__all__ = ["flatten_maps", "resample_labels", "select_positions"]


def flatten_maps(x: Tensor) -> Tensor:
    """Reshape channel-first maps (N, C, h, w) to rows (N·h·w, C)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def resample_labels(labels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Resample labels (N, H, W) to (N, height, width) by nearest neighbour."""
    rows, columns = (
        ((np.arange(n) + 0.5) * full / n).astype(np.int64)
        for n, full in ((height, labels.shape[1]), (width, labels.shape[2]))
    )
    return labels[:, rows[:, None], columns]


def select_positions(
    labels: object,
    shape: tuple[int, ...],
    numbers: NDArray[np.int64],
    n_positions: int | None,
    seed: int,
    ignore: Collection[float],
) -> Selection:
    """Select the positions of maps (N, h, w) that make rows, from labels of pixels (N, H, W).

    Positions labelled NaN, -100 or with a label in `ignore` make no row. At most `n_positions` of
    an image are drawn without replacement; None takes all. `numbers` are those of the images in the
    data, which the draw depends on.
    """
    n_images, height, width = shape
    per_image = height * width
    resampled: NDArray[Any] | None = None
    is_labelled = np.ones((n_images, per_image), bool)
    if labels is not None:
        pixels, _ = as_array(labels, "labels")
        if pixels.ndim != 3 or len(pixels) != n_images:
            raise DataError(
                f"labels has shape {pixels.shape}, but the maps are {shape}: give (N, H, W), a "
                f"label for each pixel of each of {n_images} images"
            )
        resampled = resample_labels(pixels, height, width).reshape(n_images, -1)
        is_labelled &= resampled != IGNORED
        if ignore:
            is_labelled &= ~np.isin(resampled, list(ignore))
        if resampled.dtype.kind == "f":
            is_labelled &= ~np.isnan(resampled)
    places = [np.empty(0, np.int64)]
    for image in range(n_images):
        here = np.flatnonzero(is_labelled[image])
        if n_positions is not None and len(here) > n_positions:
            rng = np.random.default_rng([seed, int(numbers[image])])
            here = np.sort(rng.choice(here, n_positions, replace=False))
        places.append(here + image * per_image)
    flat = np.concatenate(places)
    found = None if resampled is None else resampled.reshape(-1)[flat]
    if found is not None and found.size:
        found = read_labels(found)[0]
    counted = np.ones((len(flat), 1), dtype=bool)
    return Selection(flat[:, None], counted, found, flat // per_image)
