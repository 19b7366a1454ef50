"""Scores by video of github.com/prabhant/surgical_phase_transferability_estimation.

Singh, Li and Al Khalil, "Analysis of Transferability Estimation Metrics for Surgical Phase
Recognition", arXiv 2508.16730.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .._inputs.labels import read_labels
from .._metric.score import issue
from .._scoring.groups import read_groups
from .._util.public import present
from ..errors import DataError
from . import thuml, tllib
from ._reference import read_numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = ["score_videos"]


def score_videos(
    features: ArrayLike, labels: ArrayLike, videos: ArrayLike, metric: str = "logme"
) -> dict[int | str, float]:
    """Return one score for each video, as ``compute_metric.py`` writes them.

    The published code aggregates nothing. The paper's abstract finds the minimum over the videos
    the best predictor: ``min(score_videos(...).values())``.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        Features of the frames of all videos.
    labels : array-like of shape (n_samples,)
        Phases as class ids 0 … C-1.
    videos : array-like of shape (n_samples,)
        The video of each frame: integers or strings.
    metric : {"logme", "h_score", "transrate"}, default="logme"
        The metrics of the paper.

    Returns
    -------
    scores : dict of int or str to float
        Higher is better. Videos that TransRate fails for are missing, as in the original, here
        with a warning that counts them.

    Raises
    ------
    DataError
        Where shapes or values are wrong; where LogME or the H-score is undefined for a video; and
        where TransRate fails for all of them.

    Notes
    -----
    Differences from ``transferability.rank(..., groups=videos, aggregate="min")``:

    - **Absent phases count in LogME**: each phase below the largest id of a video is a column of
      zeros, and adds 6.5 (60 frames) to 9.1 (5,000 frames) to the sum over the phases.
      `transferability.logme` averages over the phases that occur, so the minimum may be that of
      another video.
    - **Absent phases end TransRate** with a division by zero: that video is skipped.
    - **Videos with one phase** have a score here: 0 for the H-score and TransRate, so that the
      minimum is 0 for every model. `transferability.rank` leaves such videos out.
    - **Fewer frames than features** raise LogME, as in `transferability.compat.thuml.LogME`.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat.surgical import score_videos
    >>> rng = np.random.default_rng(0)
    >>> phases, videos = np.tile([0, 1, 2], 40), np.repeat(["a", "b"], 60)
    >>> features = rng.normal(size=(120, 4)) + phases[:, None]
    >>> scores = score_videos(features, phases, videos)
    >>> [*scores], min(scores.values()) < max(scores.values())
    (['a', 'b'], True)
    """
    if metric not in _METRICS:
        raise DataError(f"metric is {metric!r}; choose {', '.join(map(repr, _METRICS))}")
    matrix = read_numbers(features, "features", (2,), keep=(np.float32,))
    ids, _ = read_labels(labels)
    if ids.shape != (len(matrix),):
        raise DataError(
            f"labels has shape {ids.shape} for {len(matrix)} rows; give one phase and one video "
            f"for each row"
        )
    groups = read_groups(videos, len(matrix))
    if groups is None:
        raise DataError("videos is None; give the video of each row")
    scores: dict[int | str, float] = {}
    failed: dict[int | str, DataError] = {}
    for name, rows in zip(groups.names, groups.rows, strict=True):
        try:
            scores[name] = float(_METRICS[metric](matrix[rows], ids[rows]))
        except DataError as error:
            failed[name] = error
    if failed:
        name, first = next(iter(failed.items()))
        text = (
            f"{len(failed)} of {len(groups.names)} videos have no {metric}; video {name!r}: {first}"
        )
        if metric != "transrate" or not scores:
            raise DataError(text) from first
        issue([f"{text}. They are skipped, as in the published code"])
    return scores


def _logme(features: NDArray[Any], labels: NDArray[Any]) -> float:
    """Compute LogME by SFDA's copy of thuml/LogME, which the published code uses."""
    return thuml.LogME().fit(features, labels)


_METRICS: dict[str, Callable[[NDArray[Any], NDArray[Any]], float]] = {
    "logme": _logme,
    "h_score": tllib.h_score,
    "transrate": tllib.transrate,
}

present(globals())
