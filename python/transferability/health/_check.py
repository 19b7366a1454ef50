"""All numbers on the health of features together, with null values and a verdict in words."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np

from .._inputs.types import ArrayLike
from .._metric.score import issue
from .._metric.spec import DIAGNOSTIC
from .._stats.stats import Stats
from ..errors import DataError
from ._features import check_rows, read_sampled, read_stats
from ._health import Health
from ._lidar import rank_of_samples
from ._null import null_lidar, null_values
from ._spectrum import fit_power_law, participation_ratio_of, ranks_of, spectra_of
from ._units import duplicates_of, find_dead, norms_of, tolerance_of

__all__ = ["check"]

#: Shares of the effective rank of random features below which the verdict changes.
_COLLAPSED, _NARROW = 0.1, 0.5
#: Share of the variance in the squared norms below which rows share nearly everything.
_OFFSET = 0.01


def check(
    features: ArrayLike | Stats, samples: ArrayLike | None = None, *, n_threads: int | None = None
) -> Health:
    """Compute all numbers on the health of features in one pass, with null values and a verdict.

    Parameters
    ----------
    features : array-like of shape (n_samples, n_features), FeatureSource, or Stats
        As in :func:`transferability.logme`; at least two rows. Or statistics of any task.
    samples : array-like of shape (n_samples,), optional
        Names the sample of which each row is an augmented view; adds :func:`lidar`.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. The result does not depend on it.

    Returns
    -------
    health : Health
        Its repr is a table. The null values are means over random Gaussian features of the same
        shape, with a fixed seed.

    Raises
    ------
    DataError, DtypeError
        As :func:`transferability.logme`; a single row; `samples` together with Stats.

    Notes
    -----
    No evidence supports ranking models of different architectures by these numbers. Compare
    checkpoints of one training, on the same rows.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> features = np.random.default_rng(0).normal(size=(500, 20))
    >>> features[:, 15:] = 0
    >>> health = tx.health.check(features)
    >>> health.dead_units, round(health.rankme), round(health.null["rankme"])
    ((15, 16, 17, 18, 19), 15, 20)
    >>> health.verdict
    'no collapse: the effective rank about the mean is 14.9, 75% of that of random features'
    """
    missing = {}
    if samples is None:
        stats = read_stats(features, n_threads)
        missing["lidar"] = "samples were not given; name the sample of which each row is a view"
        if isinstance(features, Stats):
            missing["lidar"] = "classes may not be samples; call lidar(stats) if they are"
    else:
        stats = read_sampled(features, samples, n_threads)
    check_rows(stats, "the check of features")
    spectra, moments = spectra_of(stats), stats.feature_moments()
    covariance = stats.covariance()
    n_samples, n_features = stats.n_samples, stats.n_features
    null = dict(null_values(n_samples, n_features))
    alpha = lidar = None
    try:
        alpha = fit_power_law(spectra.centred).alpha
    except DataError as error:
        missing["alpha_req"] = str(error)
    if samples is not None:
        found = rank_of_samples(stats, n_threads)
        issue(found.warnings)
        lidar = found.value
        variance = float(np.trace(covariance)) / n_features
        null["lidar"] = null_lidar(stats.class_counts or (), n_features, variance)
    ranks, square = ranks_of(spectra), float(spectra.uncentred.sum())
    rank = int((spectra.centred > 0).sum())
    share = float(spectra.centred.sum()) / square if square else 0.0
    dead = tuple(find_dead(covariance).tolist())
    duplicates = duplicates_of(covariance, tolerance_of(moments))
    return Health(
        n_samples=n_samples,
        n_features=n_features,
        verdict=_judge(ranks["centred"], null["centred_rank"]),
        rankme=ranks["rankme"],
        covariance_rank=ranks["covariance"],
        centred_rank=ranks["centred"],
        participation_ratio=participation_ratio_of(spectra.centred),
        alpha_req=alpha,
        lidar=lidar,
        rank=rank,
        variance_share=min(share, 1.0),
        norms=norms_of(stats, moments),
        dead_units=dead,
        duplicate_units=duplicates,
        null=MappingProxyType(null),
        missing=MappingProxyType(missing),
        notes=tuple(_remarks(n_samples, n_features, rank, share, len(dead), duplicates)),
    )


def _judge(found: float, expected: float) -> str:
    """Return the verdict for an effective rank about the mean, and that of random features."""
    if found == 0:
        return "complete collapse: every row is the same"
    share = found / expected
    name = "no collapse"
    if share < _COLLAPSED:
        name = "dimensional collapse"
    elif share < _NARROW:
        name = "narrow spectrum"
    return (
        f"{name}: the effective rank about the mean is {found:.1f}, {share:.0%} of that of random "
        f"features"
    )


def _remarks(
    n_samples: int,
    n_features: int,
    rank: int,
    share: float,
    n_dead: int,
    duplicates: tuple[tuple[int, ...], ...],
) -> list[str]:
    """Return remarks on rows and units."""
    lines = []
    bound = min(n_samples - 1, n_features)
    if n_samples <= n_features:
        lines.append(
            f"{n_samples} rows span at most {bound} directions about their mean, fewer than the "
            f"{n_features} features, which bounds every rank; give more rows than features"
        )
    if 0 < rank < bound:
        lines.append(f"the features vary in {rank} of {bound} directions")
    if 0 < share < _OFFSET:
        lines.append(f"an offset that all rows share is {1 - share:.2%} of the squared norms")
    if n_dead:
        lines.append(f"units that are the same in every row: {n_dead} of {n_features}")
    if duplicates:
        copies = sum(len(group) - 1 for group in duplicates)
        lines.append(f"units that are copies of others: {copies} of {n_features}")
    return [*lines, DIAGNOSTIC]
