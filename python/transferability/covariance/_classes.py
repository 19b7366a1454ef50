"""Covariances within and between classes."""

from __future__ import annotations

from .. import _core
from .._inputs.arrays import as_features
from .._inputs.rows import check_rows
from .._inputs.target import Target, read_target
from .._inputs.types import ArrayLike
from .._metric.options import flag
from .._metric.score import issue
from .._stats.covariance import ClassCovariances, make_class_covariances
from .._util.threads import resolve_threads
from ..errors import DataError

__all__ = ["class_covariances", "read_classes"]


def class_covariances(
    features: ArrayLike,
    labels: ArrayLike,
    *,
    per_class: bool = False,
    n_threads: int | None = None,
) -> ClassCovariances:
    """Compute the covariances within and between classes, pooled, and of each class.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features)
        As in :func:`empirical_covariance`.
    labels : array-like of shape (n_samples,)
        Classes: integers, strings or booleans.
    per_class : bool, default=False
        Also return the covariance of each class: n_classes · n_features² numbers.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    covariances : ClassCovariances
        Its `within` and `between` are divided by the number of samples N, as linear discriminant
        analysis and the H-score have them, and add up to :func:`empirical_covariance`. Its `pooled`
        is `within` divided by N − C in place of N. A class of one row has no spread of its own: its
        covariance is 0.

    Raises
    ------
    DataError, DtypeError
        As :func:`empirical_covariance`, and for labels that are not classes.

    Notes
    -----
    `within` is the scatter of the rows about the mean of their class, from a second pass over the
    features, so that classes that are far apart cost it no digits.

    Examples
    --------
    >>> from transferability.covariance import class_covariances
    >>> found = class_covariances([[0.0], [2.0], [10.0], [12.0]], ["a", "a", "b", "b"])
    >>> found.within.round(9), found.between.round(9), found.pooled.round(9)
    (array([[1.]]), array([[25.]]), array([[2.]]))
    """
    per_class = flag("per_class", per_class)
    check_rows((), features=features, labels=labels)
    array, notes = as_features(features)
    target = read_classes(len(array), labels)
    assert target.ids is not None, "checked"
    n_threads = resolve_threads(n_threads)
    found = _core.class_covariances_of(array, target.ids, target.names, per_class, n_threads)
    issue((*notes, *target.warnings))
    return make_class_covariances(found, target.boolean)


def read_classes(n_samples: int, labels: object) -> Target:
    """Read the classes of this many rows."""
    if labels is None:
        raise DataError("labels is None; give one class for each row")
    target = read_target(labels, "classification")
    if target.n_samples != n_samples:
        raise DataError(
            f"labels has {target.n_samples} entries but features has {n_samples} rows; give one "
            f"label for each row"
        )
    return target
