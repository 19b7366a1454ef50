r"""Rank ensembles of source models for one target task.

The mean of LEEP scores is MS-LEEP. E-LEEP is the log-likelihood of the averaged predictions of S
members: (1/N) Σ_i ln (1/S) Σ_s Σ_z P_s(y_i | z) θ_s(x_i)_z, with the class probabilities θ_s of a
source model and the conditional frequencies P_s(y | z) of the labels, as in LEEP. It rewards
members that make different errors.

Source: Agostinelli et al. (2022), see :func:`rank_ensembles`; eq. (3) to (5) in content. Departure:
their IoU variants for segmentation are not implemented.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arguments import check_counts
from .._inputs.arrays import as_features, check_choice, is_one_of
from .._inputs.rows import check_rows
from .._inputs.target import read_target
from .._inputs.types import ArrayLike
from ..errors import DataError
from .rank import rank
from .ranking import Ranking
from .row import Row

__all__ = ["rank_ensembles"]

COMBINE = ("concatenate", "mean", "prediction")


def rank_ensembles(
    models: Mapping[str, ArrayLike],
    labels: ArrayLike,
    metric: str | None = None,
    *,
    sizes: int | Sequence[int] = 2,
    combine: str = "concatenate",
    most: int = 200,
    **options: Any,
) -> Ranking:
    """Rank ensembles of source models: every subset of the given sizes.

    Parameters
    ----------
    models : mapping of str to array-like of shape (n_samples, n_features)
        Features of each source model for the same rows; for "prediction" its class
        probabilities, (n_samples, n_source_classes), of any number of source classes.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        Labels of the target task.
    metric : str, optional
        Default: "logme", or "leep" for "prediction", which allows no other.
    sizes : int or sequence of int, default=2
        Number of members; several sizes are ranked together. With few rows "concatenate" favours
        larger ensembles by their width alone; in that case rank one size at a time.
    combine : {"concatenate", "mean", "prediction"}, default="concatenate"
        The metric of the members' concatenated features; the mean of the members' scores (MS-LEEP
        for LEEP); or the log-likelihood of their averaged predictions (E-LEEP).
    most : int, default=200
        Upper limit of the number of ensembles.
    **options
        As in :func:`transferability.rank`: `task`, `n_threads`, options of the metric.

    Returns
    -------
    ranking : Ranking
        The name of an ensemble joins its members' names by " + ", in the order of `models`.

    Raises
    ------
    DataError
        More subsets than `most`, sizes beyond the number of models, models of different rows.

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
    if options.get("race"):
        raise DataError(
            "ensembles do not race, as members may have scores of different rows; race the models, "
            "and rank the ensembles of the finalists"
        )
    subsets = _list_subsets(list(models), sizes, most)
    if combine == "prediction":
        if metric is not None and not is_one_of(metric, ("leep",)):
            raise DataError(f'combine="prediction" is defined for leep, not for {metric}')
        return _rank_by_prediction(models, labels, subsets, options)
    name = metric or "logme"
    options = {"progress": False, **options}
    if combine == "mean":
        singles = rank(models, labels, name, **options)
        rows = [_combine_rows(singles, subset, name) for subset in subsets]
        return singles.replace(rows=rows)
    check_rows((), labels=labels, **{f"models[{name!r}]": models[name] for name in models})
    arrays = {model: as_features(array)[0] for model, array in models.items()}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        raise DataError(f"models have {sorted(lengths)} rows; give the same rows of each")
    parts = []
    for subset in subsets:  # one at a time, which limits memory to one concatenated array
        wide = np.concatenate([arrays[model] for model in subset], axis=1)
        parts.append(rank({" + ".join(subset): wide}, labels, name, **options))
    return sum(parts[1:], parts[0])


def _list_subsets(names: list[str], sizes: object, most: int) -> list[tuple[str, ...]]:
    """Return every subset of the given sizes; raise if there are more than `most`."""
    several = isinstance(sizes, Iterable) and not isinstance(sizes, str)
    given: list[object] = [*sizes] if several else [sizes]  # type: ignore[misc]
    found = [check_counts(sizes=size)["sizes"] for size in given]
    wanted = list(dict.fromkeys(size for size in found if size is not None))
    check_counts(most=most)
    if not wanted or None in found or max(wanted) > len(names):
        raise DataError(f"sizes is {sizes}; ensembles have 1 to {len(names)} members here")
    count = sum(math.comb(len(names), size) for size in wanted)
    if count > most:
        raise DataError(
            f"there are {count} ensembles of {wanted} out of {len(names)} models, more than "
            f"most={most}; rank the models first and give the best few, or raise most"
        )
    return [subset for size in wanted for subset in combinations(names, size)]


def _combine_rows(
    singles: Ranking,
    subset: tuple[str, ...],
    metric: str,
    predicted: Mapping[str, NDArray[np.float64]] | None = None,
) -> Row:
    """Return the row of an ensemble: the mean of its members' scores, or E-LEEP if predicted."""
    rows = [singles[model] for model in subset]
    failed = next((row for row in rows if row.error is not None), None)
    row = rows[0].replace(
        name=" + ".join(subset),
        n_features=sum(m.n_features or 0 for m in rows) if predicted is None else None,
        seconds=sum(member.seconds for member in rows),
        notes=tuple(dict.fromkeys(note for member in rows for note in member.notes)),
        inputs=None,
    )
    if failed is not None:
        return row.replace(scores={}, error=f"{failed.name}: {failed.error}")
    if predicted is None:
        value = np.mean([member.value(metric) for member in rows])
    else:
        value = np.mean(np.log(np.mean([predicted[model] for model in subset], axis=0)))
    score = rows[0].scores[metric]
    details = {**score.details, "members": subset}
    score = score.replace(value=float(value), details=details, per_target=np.empty(0), targets=())
    return row.replace(scores={metric: score})


def _rank_by_prediction(
    models: Mapping[str, object],
    labels: object,
    subsets: list[tuple[str, ...]],
    options: Mapping[str, Any],
) -> Ranking:
    """Rank ensembles by E-LEEP, the log-likelihood of the members' averaged predictions."""
    target = read_target(labels, "classification")
    unused = dict.fromkeys(models, np.zeros((target.n_samples, 1)))  # LEEP reads no features
    singles = rank(unused, labels, "leep", source_probs=models, **{"progress": False, **options})
    assert target.ids is not None, "a classification has class ids"
    predicted = {
        m: _predict_labels(models[m], target.ids) for m in models if singles[m].error is None
    }
    rows = [_combine_rows(singles, subset, "leep", predicted) for subset in subsets]
    return singles.replace(rows=rows)


def _predict_labels(probs: object, ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return Σ_z P(y_i | z) θ(x_i)_z for every row i; source classes of probability 0 add 0."""
    theta = np.asarray(as_features(probs, "source_probs")[0], dtype=np.float64)
    _, place = np.unique(ids, return_inverse=True)
    joint = np.zeros((place.max() + 1, theta.shape[1]))
    np.add.at(joint, place, theta)
    mass = joint.sum(axis=0)
    conditional = np.divide(joint, mass, out=np.zeros_like(joint), where=mass > 0)
    predicted: NDArray[np.float64] = np.einsum("ij,ij->i", theta, conditional[place])
    return predicted
