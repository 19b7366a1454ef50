"""Stability of a ranking: standard errors of its scores, and probabilities of its order."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import check_choice
from .._metric.derived import CONSENSUS, PRIOR
from .._metric.plan import plan
from .._metric.registry import title_of
from .._metric.score import issue, json_ready
from .._ranking.extra_columns import standard_errors
from .._ranking.render import percent
from .._util.table import Table, Tabular
from ..errors import DataError, DtypeError
from .bootstrap import METHODS, BootstrapResult, resample_linearly, resample_scores
from .influence import collect_values, compute_jackknife_influences, score_left_out_stats
from .posterior import (
    combine_members,
    compute_rank_intervals,
    count_wins,
    draw_members,
    group_ties,
)
from .shortlist import Shortlist
from .units import ResamplingUnits

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking
    from .._stats.stats import Stats
    from ..agreement._evaluation import Evaluation

__all__ = ["Stability", "assess_ranking"]

Matrix = NDArray[np.float64]
_FEW_UNITS = 10


@dataclass(frozen=True, eq=False, repr=False)
class Stability(Tabular):
    """Stability of the order of some models: standard errors, rank probabilities and ties.

    Attributes
    ----------
    names : tuple of str
        The models that have a score, best first.
    metric : str
        The metric by which the models are sorted.
    scores, standard_errors : ndarray of shape (n_models,)
        The scores, and their standard errors over samples of rows from the same population.
    intervals : ndarray of shape (n_models, 2)
        Bootstrap percentile intervals of the scores, at `level`.
    ranks : ndarray of shape (n_models, 2), int
        Credible interval of each rank, at `level`: from behind the models that are better to before
        those that are worse, each with this probability or more.
    first : dict of str to float
        Posterior probability that each model is the best of these.
    pairwise : ndarray of shape (n_models, n_models)
        Posterior probability that the model of the row is better than the model of the column.
    ties : tuple of tuple of str
        The models in order, in groups: the smallest ones whose models have no rank interval that
        reaches into the ranks of another group.
    replicates : ndarray of shape (n_boot, n_models)
        Resampled scores, centred at the scores.
    bias : ndarray of shape (n_models,)
        Mean of the resampled scores minus the scores, before centring; 0 to first order.
    method, unit, n_units : str, str, int
        Method of resampling, unit of resampling ("rows", "groups" or "blocks"), and their number.
    level : float
        Level of the intervals and ties.
    warnings : tuple of str
        Warnings, in whole sentences.
    members, prior, voting
        Of the metric, or of each member of a consensus: scores, noise and covariance; the prior of
        the ranking; and the rule of the consensus. :meth:`shortlist` needs them.

    Notes
    -----
    Standard errors come from the resamples. Probabilities also include empirical Bayes shrinkage,
    because the best of several noisy scores is biased upwards. The prior of the true scores is a
    mixture of normals, whose places and widths are estimated from the ranking: models within the
    noise are moved towards each other, and well separated models stay apart.
    """

    __module__ = "transferability"

    names: tuple[str, ...]
    metric: str
    scores: Matrix
    standard_errors: Matrix
    intervals: Matrix
    ranks: NDArray[np.int64]
    first: Mapping[str, float]
    pairwise: Matrix
    ties: tuple[tuple[str, ...], ...]
    replicates: Matrix
    bias: Matrix
    method: str
    unit: str
    n_units: int
    level: float
    warnings: tuple[str, ...] = ()
    members: tuple[Mapping[str, Matrix], ...] = ()
    prior: Mapping[str, float] = field(default_factory=dict)
    voting: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_shards(
        cls,
        shards: Mapping[str, Sequence[Stats]],
        metric: str = "logme",
        *,
        n_boot: int = 200,
        level: float = 0.9,
        seed: int = 0,
        **options: Any,
    ) -> Stability:
        """Estimate the stability of an order by the jackknife: leave out one shard at a time.

        Parameters
        ----------
        shards : mapping of str to sequence of Stats
            Statistics of each model by shard (file, video, site): at least three shards, the same
            ones in the same order for all models.
        metric : str, default="logme"
            A metric that needs only statistics.
        n_boot, level, seed, **options
            As in :meth:`Ranking.stability`, and options of the metric.

        Raises
        ------
        DataError
            Fewer than two models or three shards, or shards of different rows.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good, poor = rng.normal(size=(400, 6)), rng.normal(size=(400, 6))
        >>> labels, cuts = good[:, 0] > 0, range(0, 400, 40)
        >>> shards = {
        ...     name: [tx.Stats().update(x[i : i + 40], labels[i : i + 40]) for i in cuts]
        ...     for name, x in {"good": good, "poor": poor}.items()
        ... }
        >>> tx.Stability.from_shards(shards).names
        ('good', 'poor')
        """
        counts = {len(states) for states in shards.values()}
        if len(shards) < 2 or len(counts) != 1 or min(counts) < 3:
            raise DataError(
                f"shards must hold at least 2 models with at least 3 shards each, the same for "
                f"all; got {len(shards)} models with {sorted(counts)} shards"
            )
        shards = {name: _fix_task(states) for name, states in shards.items()}
        first = next(iter(shards.values()))
        for name, states in shards.items():
            for i, (ours, theirs) in enumerate(zip(first, states, strict=True)):
                if (ours.task, ours.n_samples) != (theirs.task, theirs.n_samples):
                    raise DataError(f"shard {i} of {name!r} is not of the same rows as the first's")
        _check(n_boot, level, seed)
        scatters = all(stats.class_scatters for states in shards.values() for stats in states)
        provided = {"stats", "class_scatters"} if scatters else {"stats"}
        request = plan([metric], first[0].task, options, provided)[0]
        scores = []
        for states in shards.values():
            whole = sum(states[1:], start=states[0]).outcomes(request)[metric]
            left = score_left_out_stats(states, lambda stats: stats.outcomes(request)[metric])
            scores.append([whole, *left])
        models = list(shards)
        values = collect_values(metric, models, scores)
        order = sorted(range(len(models)), key=lambda i: (-values[i, 0], models[i]))
        values = values[order]
        n_units = min(counts)
        units = ResamplingUnits(np.arange(n_units), n_units, "groups")
        influences = compute_jackknife_influences(values[:, 1:])
        result = resample_linearly(values[:, 0], influences, units, n_boot, seed, "jackknife")
        return _build([models[i] for i in order], metric, result, [result], level, seed)

    def shortlist(
        self,
        confidence: float = 0.9,
        *,
        method: str = "posterior",
        prior: Mapping[str, float] | bool | None = None,
        past: Mapping[str, Mapping[str, float]] | Sequence[Evaluation] | None = None,
        agreement: float | Evaluation | Sequence[Evaluation] | None = None,
        seed: int = 0,
    ) -> Shortlist:
        """Return the smallest set of models that holds the best one with a given probability.

        Parameters
        ----------
        confidence, method, prior, past, agreement, seed
            As in :meth:`Ranking.shortlist`.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good, poor = rng.normal(size=(300, 6)), rng.normal(size=(300, 6))
        >>> ranking = tx.rank({"good": good, "poor": poor}, good[:, 0] > 0)
        >>> ranking.stability().shortlist(0.95).names
        ('good',)
        """
        from .choose import make_shortlist

        return make_shortlist(self, confidence, method, prior, past, agreement, seed)

    def _table(self) -> Table:
        """Return the table that is shown, as cells of text."""
        body = []
        for i, name in enumerate(self.names):
            score, error = f"{self.scores[i]:.4f}", f"{self.standard_errors[i]:.4f}"
            body.append([name, score, error, self.format_rank(name), percent(self.first[name])])
        order = "Order: " + " > ".join(" ≈ ".join(tie) for tie in self.ties)
        return Table(
            title=f"{len(self.names)} models by {title_of(self.metric)}, {len(self.replicates)} "
            f"resamples of {self.n_units} {self.unit} ({self.method}); ranks at {self.level:.0%}",
            header=["model", title_of(self.metric), "± s.e.", "rank", "first"],
            body=body,
            below=[order, *(f"Note: {text}" for text in self.warnings)],
        )

    def format_rank(self, name: str, dash: str = "-") -> str:
        """Return the rank interval of a model as text, such as "2-4", or "2" for a single rank.

        Parameters
        ----------
        name, dash : str
            The model, and what stands between the bounds.
        """
        low, high = self.ranks[self.names.index(name)]
        return f"{low}" if low == high else f"{low}{dash}{high}"

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the resamples as plain Python, ready for JSON."""
        left_out = ("replicates", "members", "prior", "voting")
        known = {key: value for key, value in self.__dict__.items() if key not in left_out}
        return cast("dict[str, Any]", json_ready(known))

    def columns(self) -> dict[str, list[Any]]:
        """Return the table by column, for data frames."""
        return {
            "model": list(self.names),
            self.metric: self.scores.tolist(),
            "standard_error": self.standard_errors.tolist(),
            "low": self.intervals[:, 0].tolist(),
            "high": self.intervals[:, 1].tolist(),
            "best_rank": self.ranks[:, 0].tolist(),
            "worst_rank": self.ranks[:, 1].tolist(),
            "first": [self.first[name] for name in self.names],
        }


def assess_ranking(
    ranking: Ranking,
    n_boot: int,
    groups: object,
    method: str,
    metric: str | None,
    level: float,
    seed: int,
) -> Stability:
    """Estimate the stability of a ranking; see :meth:`Ranking.stability`.

    The members of a consensus are resampled separately, on the same resamples of the rows.
    """
    _check(n_boot, level, seed)
    check_choice("method", method, METHODS)
    metric = ranking.metrics[0] if metric is None else metric
    check_choice("metric", metric, ranking.metrics)
    if metric == PRIOR:
        raise DataError("a prior is not computed from rows, so there is nothing to resample")
    scored = [row for row in ranking.compared if metric in row.scores]
    members: tuple[str, ...] = (metric,)
    if metric == CONSENSUS and scored:
        members = scored[0].scores[CONSENSUS].members
        scored = [row for row in scored if {*members} <= {*row.scores}]
    rows = sorted(scored, key=lambda row: (-row.value(metric), row.name))
    if len(rows) < 2:
        have = "model has" if len(rows) == 1 else "models have"
        raise DataError(f"{len(rows)} {have} a {metric}; an order needs at least 2")
    request = (n_boot, groups, method, seed)
    results = [resample_scores(ranking.plan, rows, member, *request) for member in members]
    names = [row.name for row in rows]
    result, voting = results[0], {}
    if metric == CONSENSUS:
        decider = scored[0].scores[CONSENSUS].details.get("decider")
        errors = None if decider is None else standard_errors(rows, decider)
        voting = {"names": members, "decider": decider, "errors": errors}
        result = _combine_members(results, voting, n_dropped=len(ranking.compared) - len(rows))
    known = {row.name: row.value(PRIOR) for row in rows if PRIOR in row.scores}
    return _build(names, metric, result, results, level, seed, known, voting)


def _combine_members(
    results: Sequence[BootstrapResult], voting: Mapping[str, Any], n_dropped: int
) -> BootstrapResult:
    """Return the bootstrap of a consensus from the bootstraps of its members."""
    votes = combine_members([result.scores + result.noise for result in results], voting)
    scores = combine_members([result.scores[None] for result in results], voting)[0]
    notes = tuple(dict.fromkeys(text for result in results for text in result.notes))
    if n_dropped:
        notes += (f"{n_dropped} models lack a member and were left out",)
    checks = tuple(check for result in results for check in result.checks)
    return BootstrapResult(
        scores,
        votes - votes.mean(axis=0),
        np.cov(votes.T),
        votes.mean(axis=0) - scores,
        ", ".join(dict.fromkeys(result.method for result in results)),
        results[0].units,
        notes,
        checks,
    )


def _fix_task(states: Sequence[Stats]) -> Sequence[Stats]:
    """Return the statistics of shards with the task that all their rows decide."""
    if not any(stats.described is not None and stats.described.is_open for stats in states):
        return states
    task = sum(states[1:], start=states[0]).decide().task
    return [stats if stats.n_features == 0 else stats.replace(task=task) for stats in states]


def _build(
    names: Sequence[str],
    metric: str,
    result: BootstrapResult,
    results: Sequence[BootstrapResult],
    level: float,
    seed: int,
    prior: Mapping[str, float] | None = None,
    voting: Mapping[str, Any] | None = None,
) -> Stability:
    """Build the stability of models, best first, from the resamples of a metric's members."""
    kept = ("scores", "noise", "covariance", "n_units")
    members = tuple({name: np.asarray(getattr(own, name)) for name in kept} for own in results)
    drawn = draw_members(members, result.units.n_units, seed)
    draws = combine_members([posterior.draws for posterior in drawn], voting or {})
    first, pairwise = count_wins(draws)
    ranks = compute_rank_intervals(draws, pairwise, level)
    ties = group_ties(names, ranks)
    tails = ((1 - level) / 2, (1 + level) / 2)
    apart = [c for c in result.checks if not any({*c.names} <= {*tie} for tie in ties)]
    notes = [*result.notes, *(text for check in apart if (text := check.judge(level)))]
    n_units, unit = result.units.n_units, result.units.kind
    if n_units < _FEW_UNITS:
        notes.append(f"{n_units} {unit} are few for a standard error, so errors are rough")
    issue(notes)
    return Stability(
        names=tuple(names),
        metric=metric,
        scores=result.scores,
        standard_errors=np.sqrt(np.diag(result.covariance)),
        intervals=result.scores[:, None] + np.quantile(result.noise, tails, axis=0).T,
        ranks=ranks,
        first=dict(zip(names, first.tolist(), strict=True)),
        pairwise=pairwise,
        ties=ties,
        replicates=result.scores + result.noise,
        bias=result.bias,
        method=result.method,
        unit=unit,
        n_units=n_units,
        level=level,
        warnings=tuple(notes),
        members=members,
        prior=prior or {},
        voting=voting or {},
    )


def _check(n_boot: object, level: object, seed: object) -> None:
    for name, value, least in (("n_boot", n_boot, 20), ("seed", seed, 0)):
        try:
            number = operator.index(value)  # type: ignore[arg-type]
        except TypeError:
            raise DtypeError(f"{name} is {value!r}; give a whole number") from None
        if number < least:
            raise DataError(f"{name} is {number}; give at least {least}")
    if not isinstance(level, (int, float)) or not 0.5 <= level < 1:
        raise DataError(f"level is {level!r}; give a number from 0.5 to below 1, such as 0.9")
