"""Ridge probe of groups that are left out, from the statistics of each.

For a group g and a ridge λ the model of the others is w = (S + NλI)⁻¹ b, with S and b of the rows
outside g, and the squared error on g is a quadratic form of w in the moments of g:

    Σ e² = Σ (y − ȳ)² − 2 wᵀ Σ (x − x̄)(y − ȳ) + wᵀ Σ (x − x̄)(x − x̄)ᵀ w + n_g (mean error)²

Columns have the scale of all rows, as N has. Cost for each group: D³/3 for each ridge.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.columns import match_columns
from .._metric.score import Score, issue
from .._scoring.evaluate import Settings
from .._stats.stats import Stats, map_left_out
from ..errors import DataError

__all__ = ["is_stats_by_group", "score_stats_by_group"]

Array = NDArray[np.float64]
#: The grid of the kernel.
_RIDGES = [10.0**k for k in range(-6, 4)]
#: Smallest shift relative to the scatter, by precision of its products, as in the kernel.
_NOISE = {"double": 1e-14, "single": 1e-5}
_FEWEST = 3


def is_stats_by_group(features: object) -> bool:
    """Return whether these are statistics by group, in place of features."""
    if not isinstance(features, Mapping):
        return False
    return any(isinstance(stats, Stats) for stats in features.values())


@dataclass(frozen=True, eq=False)
class _Moments:
    """Moments of the standardised features and the targets of some rows, about their means."""

    n: int
    mean: Array  # (D,)
    scatter: Array  # (D, D)
    target_mean: Array  # (K,)
    cross: Array  # (D, K)
    squares: Array  # Σ (y − ȳ)², (K,)

    @classmethod
    def of(cls, stats: Stats, like: Stats) -> _Moments:
        """Return the moments of statistics, with the features in the order of `like`."""
        found = stats.moments()
        n, total, target = stats.n_samples, found["sum"], found["target_sum"]
        places = match_columns(stats.feature_names, like.feature_names, "a group", "the others")
        order = slice(None) if places is None else np.array(places)
        scatter = found["scatter"] - np.outer(total, total) / n
        return cls(
            n=n,
            mean=(found["shift"] + total / n)[order],
            scatter=scatter[order][:, order],
            target_mean=found["target_shift"] + target / n,
            cross=(found["cross"] - np.outer(total, target) / n)[order],
            squares=np.maximum(found["target_square"] - target**2 / n, 0.0),
        )

    def scaled(self, centre: Array, inverse: Array) -> _Moments:
        """Return the moments of features less `centre`, times `inverse`."""
        return _Moments(
            self.n,
            (self.mean - centre) * inverse,
            self.scatter * inverse * inverse[:, None],
            self.target_mean,
            self.cross * inverse[:, None],
            self.squares,
        )

    def errors(self, weights: Array, rest: _Moments) -> Array:
        """Return Σ e² of each target, (K,), by the model of other rows."""
        within = self.squares - 2 * (weights * self.cross).sum(axis=0)
        within += (weights * (self.scatter @ weights)).sum(axis=0)
        off = self.target_mean - rest.target_mean - (self.mean - rest.mean) @ weights
        return np.asarray(np.maximum(within, 0.0) + self.n * off**2)


def score_stats_by_group(
    groups: Any,
    ridges: Sequence[float] | None,
    task: str,
    settings: Settings,
    others: Mapping[str, object],
) -> Score:
    """Compute the ridge probe of targets without each group, from the statistics of the groups."""
    start = time.perf_counter()
    for name, value in others.items():
        if value is not None and not (name == "leave_out" and value == "group"):
            raise DataError(
                f"features holds the Stats of groups, which are left out and have their labels; "
                f"leave out {name}"
            )
    names, parts, whole = _read_groups(groups, task)
    settings.check_collected(whole.precision)
    ridges = _RIDGES if ridges is None else [*ridges]
    everything = _Moments.of(whole, whole)
    _check_varied(everything, whole)
    variance = np.diag(everything.scatter) / everything.n
    varies = variance > 0
    inverse = np.zeros_like(variance)
    inverse[varies] = 1 / np.sqrt(variance[varies])
    scaled = everything.scaled(everything.mean, inverse)
    shifts = everything.n * np.array(ridges)
    noise = _NOISE[whole.precision] * abs(scaled.scatter).sum(axis=1).max()
    if (shifts <= noise).all():
        raise DataError(
            f"all ridges are below {noise / everything.n:.1e}, where rounding decides; use larger "
            f"ones"
        )

    def leave_out(i: int, rest: Stats | None) -> tuple[Array, Array]:
        assert rest is not None, "there are at least two groups"
        own = _Moments.of(parts[i], whole).scaled(everything.mean, inverse)
        others = _Moments.of(rest, whole).scaled(everything.mean, inverse)
        found = np.full((len(ridges), len(own.squares)), np.inf)
        for place in np.flatnonzero(shifts > noise):
            matrix = others.scatter + shifts[place] * np.eye(len(variance))
            found[place] = own.errors(np.linalg.solve(matrix, others.cross), others)
        return found, own.squares

    left = map_left_out(parts, leave_out)
    squares = sum(found for found, _ in left)
    best = np.asarray(squares).argmin(axis=0)
    columns = np.arange(len(best))
    by_group = np.array([found[best, columns] for found, _ in left])
    spread = np.array([own for _, own in left])
    with np.errstate(divide="ignore", invalid="ignore"):
        parts_of = np.where(spread > 0, 1 - by_group / spread, np.nan)
    r2 = 1 - by_group.sum(axis=0) / everything.squares
    return _build(names, parts, whole, r2, parts_of, np.array(ridges), best, shifts <= noise, start)


def _read_groups(groups: Mapping[Any, object], task: str) -> tuple[list[Any], list[Stats], Stats]:
    """Validate the statistics of groups; return their names, them, and their sum."""
    for name, stats in groups.items():
        if not isinstance(stats, Stats):
            raise DataError(
                f"features mixes Stats with other things, such as group {name!r}; give the Stats "
                f"of every group, or features with groups"
            )
        if not stats.n_features:
            raise DataError(f"the statistics of group {name!r} hold no rows yet; leave it out")
    if len(groups) < 2:
        raise DataError(
            f"features holds the Stats of one group, {next(iter(groups))!r}, so that nothing is "
            f"left without it; give at least two groups"
        )
    names, parts = [*groups], [stats for stats in groups.values() if isinstance(stats, Stats)]
    whole = Stats.merge_all(parts)
    whole = whole.decide() if task == "auto" else whole.replace(task=task)
    if whole.n_samples < _FEWEST:
        raise DataError(
            f"leaving one group out needs at least {_FEWEST} samples, got {whole.n_samples}"
        )
    if whole.task not in ("regression", "multilabel"):
        raise DataError(
            f"these are statistics of {whole.task}: the accuracy counts rows whose own class has "
            f"the largest prediction, and statistics hold no rows; call "
            f"transferability.ridge_probe with features, labels and groups, or collect targets or "
            f"0/1 columns"
        )
    parts = [stats.replace(task=whole.task) for stats in parts]
    return names, parts, whole


def _check_varied(everything: _Moments, whole: Stats) -> None:
    constant = np.flatnonzero(everything.squares <= 0)
    if constant.size:
        raise DataError(
            f"ridge_probe: target column {constant[0]} is constant "
            f"({everything.target_mean[constant[0]]:g}), so there is nothing to predict; drop it"
        )


def _build(
    names: Sequence[Any],
    parts: Sequence[Stats],
    whole: Stats,
    r2: Array,
    by_group: Array,
    ridges: Array,
    best: NDArray[np.intp],
    too_small: NDArray[np.bool_],
    start: float,
) -> Score:
    """Build the score from R² of each target, (K,), and of each group and target, (G, K)."""
    described = whole.described
    assert described is not None, "there are rows"
    facts = {**described.facts(None, None), "n_features": whole.n_features}
    warnings: tuple[str, ...] = ()
    if too_small.any():
        warnings = (
            f"{int(too_small.sum())} of {len(ridges)} ridges are too small for the precision of "
            f"the products and were left out",
        )
    per_group: dict[Any, Score] = {}
    left_out: dict[Any, str] = {}
    for name, stats, own in zip(names, parts, by_group, strict=True):
        defined = np.isfinite(own)
        if not defined.any():
            left_out[name] = "its targets are the same in all of its rows, so there is no R²"
            continue
        targets = tuple(t for t, is_kept in zip(facts["targets"], defined, strict=True) if is_kept)
        per_group[name] = Score(
            own[defined].mean(),
            metric="ridge_probe",
            **{**facts, "targets": targets},
            n_samples=stats.n_samples,
            per_target=own[defined],
            seconds=0.0,
            warnings=(),
            details={"leave_out": "group"},
        )
    issue(warnings)
    return Score(
        r2.mean(),
        metric="ridge_probe",
        **facts,
        n_samples=whole.n_samples,
        per_target=r2,
        seconds=whole.seconds + time.perf_counter() - start,
        warnings=warnings,
        details={
            "ridge": ridges[best],
            "ridges": ridges,
            "leave_out": "group",
            "aggregate": "pooled",
            "per_group": per_group,
            "left_out": left_out,
        },
    )
