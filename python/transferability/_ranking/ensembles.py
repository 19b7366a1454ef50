r"""Rank ensembles of source models for one target task.

For members s of an ensemble, with θ_s the source model's class probabilities and P_s(y | z) the
conditional frequencies of labels that LEEP reads off them:

- "concatenate": the metric of the members' features side by side: one head on all of them;
- "mean": the mean of the members' scores (MS-LEEP for LEEP): no more than single scores know;
- "prediction": E-LEEP, (1/N) Σ_i ln (1/S) Σ_s Σ_z P_s(y_i | z) θ_s(x_i)_z: the likelihood of
  the members' averaged predictions, where members that err differently help each other.

Agostinelli, Uijlings, Mensink, Ferrari (2022). Transferability Metrics for Selecting Source Model
Ensembles. CVPR, eq. (3) to (5) in content; their IoU variants are for segmentation, and not here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_features, check_choice
from .._inputs.target import read_target
from .._metric.score import Score
from ..errors import DataError
from .rank import rank
from .ranking import Ranking, Row

__all__ = ["rank_ensembles"]

COMBINE = ("concatenate", "mean", "prediction")


def rank_ensembles(
    models: Mapping[str, object],
    labels: object,
    metric: str | None = None,
    *,
    sizes: int | Sequence[int] = 2,
    combine: str = "concatenate",
    most: int = 200,
    **options: Any,
) -> Ranking:
    """Rank ensembles of source models, every subset of the sizes given.

    Parameters
    ----------
    models : mapping of str to array-like of shape (n_samples, n_features)
        Features of each source model for the same rows; for "prediction" its class
        probabilities, (n_samples, n_source_classes), of any number of source classes.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        Of the target task.
    metric : str, optional
        Default: "logme"; "leep", the only one, for "prediction".
    sizes : int or sequence of int, default=2
        How many members; several sizes are ranked together. "concatenate" favours larger
        ensembles by their width alone where rows are few; look at one size at a time then.
    combine : {"concatenate", "mean", "prediction"}, default="concatenate"
        The metric of the members' features side by side; the mean of the members' scores; or the
        likelihood of their averaged predictions (E-LEEP).
    most : int, default=200
        Ensembles to be tried at most.
    **options
        As :func:`transferability.rank`: `task`, `n_threads`, options of the metric.

    Returns
    -------
    ranking : Ranking
        Names are those of the members, joined by " + " in the order of `models`.

    Raises
    ------
    DataError
        More subsets than `most`, sizes beyond the number of models, models of other rows.

    References
    ----------
    Agostinelli, Uijlings, Mensink, Ferrari (2022). Transferability Metrics for Selecting Source
    Model Ensembles. CVPR.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> x = np.random.default_rng(0).normal(size=(300, 6))
    >>> halves = {"left": x[:, :2], "right": x[:, 2:4], "rest": x[:, 4:]}
    >>> tx.rank_ensembles(halves, x[:, 0] + x[:, 2] > 0).names[0]
    'left + right'
    """
    check_choice("combine", combine, COMBINE)
    subsets = _subsets(list(models), sizes, most)
    if combine == "prediction":
        if metric not in (None, "leep"):
            raise DataError(f'combine="prediction" is defined for leep, not for {metric}')
        return _by_prediction(models, labels, subsets, options)
    name = metric or "logme"
    options = {"progress": False, **options}
    if combine == "mean":
        singles = rank(models, labels, name, **options)
        rows = [_mean_row(singles, subset, name) for subset in subsets]
        return singles._with(rows)
    arrays = {model: as_features(array)[0] for model, array in models.items()}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        raise DataError(f"models have {sorted(lengths)} rows; give the same rows of each")
    parts = []
    for subset in subsets:  # one at a time: the arrays side by side are as large as their parts
        wide = np.concatenate([arrays[model] for model in subset], axis=1)
        parts.append(rank({" + ".join(subset): wide}, labels, name, **options))
    return sum(parts[1:], parts[0])


def _subsets(names: list[str], sizes: int | Sequence[int], most: int) -> list[tuple[str, ...]]:
    wanted = [sizes] if isinstance(sizes, int) else list(sizes)
    if not wanted or min(wanted) < 1 or max(wanted) > len(names):
        raise DataError(f"sizes is {sizes}; ensembles have 1 to {len(names)} members here")
    count = sum(math.comb(len(names), size) for size in wanted)
    if count > most:
        raise DataError(
            f"there are {count} ensembles of {wanted} out of {len(names)} models, more than "
            f"most={most}; rank the models first and give the best few, or raise most"
        )
    return [subset for size in wanted for subset in combinations(names, size)]


def _mean_row(singles: Ranking, subset: tuple[str, ...], metric: str) -> Row:
    rows = [singles[model] for model in subset]
    failed = next((row for row in rows if row.error is not None), None)
    first = replace(
        rows[0],
        name=" + ".join(subset),
        n_features=sum(row.n_features or 0 for row in rows),
        seconds=sum(row.seconds for row in rows),
        notes=tuple(dict.fromkeys(note for row in rows for note in row.notes)),
    )
    if failed is not None:
        return replace(first, scores={}, error=f"{failed.name}: {failed.error}")
    values = [row.value(metric) for row in rows]
    return replace(
        first, scores={metric: _ensemble(rows[0].scores[metric], np.mean(values), subset)}
    )


def _by_prediction(
    models: Mapping[str, object],
    labels: object,
    subsets: list[tuple[str, ...]],
    options: Mapping[str, Any],
) -> Ranking:
    """Average what LEEP of each member predicts, from its probabilities and the labels."""
    nothing = dict.fromkeys(models, np.zeros((_rows(labels), 1)))
    singles = rank(nothing, labels, "leep", source_probs=models, **{"progress": False, **options})
    ids = read_target(labels, "classification").ids
    assert ids is not None, "leep has refused what is no classification"
    predicted = {m: _predicted(models[m], ids) for m in models if singles[m].error is None}
    rows = []
    for subset in subsets:
        row = _mean_row(singles, subset, "leep")
        if row.error is None:
            mean = np.mean([predicted[model] for model in subset], axis=0)
            value = _ensemble(row.scores["leep"], np.mean(np.log(mean)), subset)
            row = replace(row, scores={"leep": value})
        rows.append(replace(row, n_features=None))
    return singles._with(rows)


def _rows(labels: object) -> int:
    return read_target(labels, "classification").n_samples


def _predicted(probs: object, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give Σ_z P(y_i | z) θ(x_i)_z for every row i; source classes without mass have no part."""
    theta = np.asarray(as_features(probs, "source_probs")[0], dtype=np.float64)
    _, place = np.unique(ids, return_inverse=True)
    joint = np.zeros((place.max() + 1, theta.shape[1]))
    np.add.at(joint, place, theta)
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    predicted: NDArray[np.float64] = np.einsum("ij,ij->i", theta, conditional[place])
    return predicted


def _ensemble(score: Score, value: Any, subset: tuple[str, ...]) -> Score:
    details = {**score.details, "members": subset}
    facts = {**score.__dict__, "details": details, "per_target": np.empty(0), "targets": ()}
    return Score(float(value), **facts)
