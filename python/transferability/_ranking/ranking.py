"""Ranking: the result of ``rank``, with the models as rows, best first.

It has more than 400 lines, because it is one class whose methods open other parts of the package.
"""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import math
import operator
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from .._inputs.arrays import check_choice
from .._inputs.types import ArrayLike
from .._metric.derived import CONSENSUS
from .._metric.score import json_ready
from .._util.delimited import format_csv
from .._util.table import Table, Tabular
from ..errors import DataError, MissingDependencyError
from .extra_columns import add_consensus, choose_members, pool_rows
from .pareto import ParetoFront, find_front
from .render import columns, make_table
from .row import Row, ScoringPlan

if TYPE_CHECKING:
    from .._racing.report import RaceReport
    from .._uncertainty.shortlist import Shortlist
    from .._uncertainty.stability import Stability
    from ..agreement._evaluation import Evaluation
    from ..tuning import TeacherEnsemble

__all__ = ["Ranking"]

_first = operator.itemgetter(0)


@dataclass(frozen=True, repr=False, eq=False)
class Ranking(Tabular):
    """Models, best first: a sequence of rows that also looks up rows by name.

    Attributes
    ----------
    rows : tuple of Row
        Sorted by the first metric, ties by name; models that failed come last.
    metrics : tuple of str
        The models are sorted by the first one. Higher is better for all of them.
    task, task_note : str
        Task of the labels, and the reason for this task.
    warnings : tuple of str
        Warnings about the labels, which concern every model.
    skipped : dict of str to str
        Metrics of "all" that do not apply, with the reason.
    digest : str
        Hash of rows, labels, metrics and options. Rankings with equal digests can be added.
    plan : ScoringPlan or None
        The labels and settings by which :meth:`stability` and :meth:`shortlist` score resamples of
        the rows; for internal use.
    race : RaceReport or None
        What happened in a race: rounds, dropped models, forward passes. Models that a race dropped
        stand below its finalists, those of later rounds first.
    """

    __module__ = "transferability"

    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    task: str
    task_note: str
    digest: str
    warnings: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    plan: ScoringPlan | None = field(default=None, repr=False)
    race: RaceReport | None = field(default=None, repr=False)

    unit = "model"  # the noun for one row in the tables

    def __post_init__(self) -> None:
        """Sort and number the rows; one without a score has no rank."""

        def order(row: Row) -> tuple[bool, bool, bool, int, float, str]:
            value = -row.value(self.metrics[0])
            failed, undefined = row.error is not None, math.isnan(value)
            place = 0.0 if failed or undefined else value
            return (failed, undefined, row.dropped is not None, -row.round, place, row.name)

        ranks = itertools.count(1)
        rows = tuple(
            row.replace(rank=None if key[0] or key[1] else next(ranks))
            for key, row in sorted(((order(row), row) for row in self.rows), key=_first)
        )
        object.__setattr__(self, "rows", rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the models, best first."""
        return tuple(row.name for row in self.rows)

    @property
    def best(self) -> Row:
        """The first row; a DataError if no model could be scored."""
        row = self.rows[0]
        if row.error is not None:
            raise DataError(f"no model could be scored; {row.name}: {row.error}")
        return row

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows of the models that could not be scored."""
        return tuple(row for row in self.rows if row.error is not None)

    @property
    def finalists(self) -> tuple[Row, ...]:
        """The rows with a score that compare: all of them, or the finalists of a race."""
        return tuple(row for row in self.rows if row.error is None and row.dropped is None)

    @property
    def compared(self) -> tuple[Row, ...]:
        """The rows whose scores compare, being of the same data: all rows, or the finalists."""
        return self.rows if self.race is None else self.finalists

    def replace(self, **changes: Any) -> Ranking:
        """Return a copy with the given attributes changed; new rows are sorted and numbered.

        Parameters
        ----------
        **changes
            Attributes and their new values.
        """
        return dataclasses.replace(self, **changes)

    def top(self, k: int) -> Ranking:
        """Return a ranking of the first `k` rows.

        Parameters
        ----------
        k : int
            Number of rows.
        """
        if k < 1:
            raise DataError(f"top needs at least 1 row, got k={k}")
        return self.replace(rows=self.rows[:k])

    def teachers(self, k: int = 3, *, temperature: float = 0.1) -> TeacherEnsemble:
        """Return the first `k` models as the teachers of B-Tuning.

        Parameters
        ----------
        k : int, default=3
            Number of teachers, at most the number of models with a LogME score; of a race, the
            finalists, which have scores of the same rows.
        temperature : float, default=0.1
            As in :func:`transferability.tuning.teacher_weights`.

        Returns
        -------
        teachers : TeacherEnsemble
            It has the head of every ranked model, so any of them may be the student.

        Raises
        ------
        DataError
            Ranking without ``keep_coef=True`` or without logme; `k` or `temperature` out of range.
        """
        from ..tuning._ensemble import build_teachers

        return build_teachers(self, k, temperature)

    def consensus(
        self, members: Sequence[str] | None = None, *, decider: str | None = None
    ) -> Ranking:
        """Sort by the consensus of several metrics: Borda, or one that decides with soft ties.

        Parameters
        ----------
        members : sequence of str, optional
            Columns of this ranking, one vote each. Default: all metrics, without the prior and
            without diagnostics of features, which are refused.
        decider : str, optional
            A member with a standard error, `ridge_probe`, that decides pairs of models: by the gap
            as a share of its standard error, at most 1, and the others by the rest. Default: Borda.

        Returns
        -------
        ranking : Ranking
            With the new first column "consensus", in [0, 1]; higher is better: the mean share of
            the other models that a model beats; a tie counts half. It depends on the models that
            are compared. A member that is NaN or +inf for a model leaves it to the others; one that
            failed counts it as last.

        Raises
        ------
        DataError
            No member, or one that is no column of this ranking or a diagnostic; a decider that is
            no member or has no standard error.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good, poor = rng.normal(size=(80, 6)), rng.normal(size=(80, 6))
        >>> ranking = tx.rank({"a": poor, "b": good}, good[:, 0] > 0, ["logme", "knn"])
        >>> float(ranking.consensus().best.consensus)
        1.0
        """
        names = [metric for metric in self.metrics if metric != CONSENSUS]
        chosen = choose_members(names, members, decider)
        rows = add_consensus(self.rows, chosen, decider)
        return self.replace(rows=rows, metrics=(CONSENSUS, *names))

    def evaluate(
        self,
        truth: Mapping[str, float],
        *,
        metrics: Sequence[str] | None = None,
        rank: bool | str = True,
        n_boot: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Measure how well the ranking agrees with the true performance of its models.

        Parameters
        ----------
        truth : mapping of str to float
            True performance by model, such as the accuracy after fine-tuning; higher is better.
            Models without a score or without a truth are left out and named.
        metrics : sequence of str, optional
            Columns of this ranking; the first one is compared with the others. Default: all.
            "n_features", the number of features, may be among them: a baseline for any metric.
        rank : {True, "truth"}, default=True
            Convention of weighted tau, see :func:`transferability.agreement.weighted_tau`.
        n_boot, seed : int, default=1000 and 0
            Number and seed of the bootstrap resamples of the models for the percentile intervals.
            At least 100 resamples, the same ones for all metrics.

        Returns
        -------
        evaluation : Evaluation
            With ``weighted_tau``, ``ci()``, ``leave_one_out()``, ``compare()`` and more. It prints
            as a table that states which metrics do not differ beyond chance.

        Raises
        ------
        DataError, MissingDependencyError
            Fewer than three models with scores and truth; a truth that is not finite; no SciPy.

        Warns
        -----
        TransferabilityWarning
            Models left out, metrics that failed for some models, constant scores or truth.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> x = np.random.default_rng(0).normal(size=(80, 6))
        >>> ranking = tx.rank({"a": x, "b": x + x[::-1], "c": x[::-1]}, x[:, 0] > 0)
        >>> ranking.evaluate({"a": 0.9, "b": 0.8, "c": 0.5}).weighted_tau
        1.0
        """
        from ..agreement._evaluation import evaluate_scores

        names = self.metrics if metrics is None else tuple(metrics)
        odd = [name for name in names if name not in (*self.metrics, "n_features")]
        if odd or not names:
            known, wrong = ", ".join(self.metrics), ", ".join(odd) or "none"
            raise DataError(f"metrics of this ranking are {known}, not {wrong}")
        scores = {name: {row.name: row.value(name) for row in self.compared} for name in names}
        if "n_features" in names:
            sizes = {row.name: row.n_features for row in self.compared}
            scores["n_features"] = {name: size or math.nan for name, size in sizes.items()}
        return evaluate_scores(scores, truth, rank=rank, n_boot=n_boot, seed=seed)

    def stability(
        self,
        n_boot: int = 200,
        *,
        groups: ArrayLike | None = None,
        method: str = "first-order",
        metric: str | None = None,
        level: float = 0.9,
        seed: int = 0,
    ) -> Stability:
        """Estimate how certain the order is, by the bootstrap or jackknife of the shared rows.

        Parameters
        ----------
        n_boot, seed : int, default=200 and 0
            Number and seed of the bootstrap resamples of the rows.
        groups : array-like of shape (n_samples,), optional
            Resample whole groups of dependent rows, such as those of a video or a patient.
            Default: the ``groups`` of the ranking, if any.
        method : {"first-order", "exact", "jackknife"}, default="first-order"
            "first-order" adds up the influence function of the score at every row, with fitted
            parameters held fixed; metrics without influence functions use "jackknife", which
            leaves out one group, or one of 50 blocks of rows, at a time. "exact" computes the
            score of every resample.
        metric : str, optional
            Default: the first metric of the ranking. A consensus is resampled through its members.
        level : float, default=0.9
            Level of the intervals of scores and ranks. Models whose rank intervals overlap, in a
            chain, are tied.

        Raises
        ------
        DataError
            Features that are not available (the ranking was unpickled, or made of Stats) or have
            changed; fewer than two models with a score.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good = rng.normal(size=(300, 6))
        >>> twin, poor = good + 0.01 * rng.normal(size=(300, 6)), rng.normal(size=(300, 6))
        >>> ranking = tx.rank({"good": good, "poor": poor, "twin": twin}, good[:, 0] > 0)
        >>> ranking.stability().ties
        (('twin', 'good'), ('poor',))
        """
        from .._uncertainty.stability import assess_ranking

        return assess_ranking(self, n_boot, groups, method, metric, level, seed)

    def shortlist(
        self,
        confidence: float = 0.9,
        *,
        method: str = "posterior",
        prior: Mapping[str, float] | bool | None = None,
        past: Mapping[str, Mapping[str, float]] | Sequence[Evaluation] | None = None,
        agreement: float | Evaluation | Sequence[Evaluation] | None = None,
        metric: str | None = None,
        groups: ArrayLike | None = None,
        n_boot: int = 200,
        seed: int = 0,
    ) -> Shortlist:
        """Return the smallest set of models that holds the best one with a given probability.

        The best is the model with the highest score on unlimited data of the same kind. Whether
        it is also the best after fine-tuning is another question, see `agreement`.

        Parameters
        ----------
        confidence : float, default=0.9
            Between 0 and 1. The set has this probability or more; ``Shortlist.probability`` has it.
        method : {"posterior", "hybrid"}, default="posterior"
            "hybrid" is the first by metric and the first by prior, at most two models, with their
            probability.
        prior : mapping of str to float, or bool, optional
            A number known for each model before, higher for better, such as an accuracy on another
            task. The true scores are regressed on it within their posterior. Default: the prior of
            the ranking, if it has one; False ignores this.
        past : mapping of str to mapping of str to float, or sequence of Evaluation, optional
            True performance by task and model on past tasks, which teaches the weight of the
            prior. The prior needs a number for each of these models; evaluations of rankings with
            a prior have their own.
        agreement : float, Evaluation or sequence of Evaluation, optional
            Correlation over models of the metric with the truth that counts, as a number or from
            evaluations of past rankings. The probabilities and regrets then concern this truth.
        metric, groups, n_boot, seed
            As in :meth:`stability`.

        Returns
        -------
        shortlist : Shortlist
            With the expected and the worst regret of its first model and of the set; the rows at
            which one model would be left; the two models to fine-tune first; and the shortlists by
            other metrics of the ranking.

        Raises
        ------
        DataError, DtypeError
            A confidence that is not between 0 and 1; a prior that lacks models; no stability.

        References
        ----------
        Gupta (1965). On some multiple decision (selection and ranking) rules. Technometrics.
        Mogstad, Romano, Shaikh, Wilhelm (2024). Inference for ranks with applications to mobility
        across neighbourhoods and academic achievement across countries. Rev. Economic Studies.
        Renggli et al. (2022). Which model to transfer? Finding the needle in the growing haystack.
        CVPR.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good = rng.normal(size=(300, 6))
        >>> twin, poor = good + 0.2 * rng.normal(size=(300, 6)), rng.normal(size=(300, 6))
        >>> ranking = tx.rank({"good": good, "poor": poor, "twin": twin}, good[:, 0] > 0)
        >>> ranking.shortlist().names
        ('good', 'twin')
        """
        from .._uncertainty.from_ranking import shortlist_ranking

        given = (confidence, method, prior, past, agreement)
        return shortlist_ranking(self, *given, metric, groups, n_boot, seed)

    def pareto(
        self, cost: str | Mapping[str, float] = "parameters", *, metric: str | None = None
    ) -> ParetoFront:
        """Return the models that no other model beats in both score and cost.

        Parameters
        ----------
        cost : str or mapping of str to float, default="parameters"
            Name of a cost, from ``rank(..., costs=...)`` or measured by ``rank_models``, or
            "n_features" or "seconds", or numbers by model. Lower is better, except for names that
            end in "per_second".
        metric : str, optional
            Default: the first metric of the ranking.

        Raises
        ------
        DataError, DtypeError
            No model with this score and cost; an unknown cost, metric or model.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> x = np.random.default_rng(0).normal(size=(80, 6))
        >>> ranking = tx.rank({"big": x, "small": x[:, :3], "poor": x[::-1]}, x[:, 0] > 0)
        >>> sorted(ranking.pareto({"big": 90, "small": 20, "poor": 50}).names)
        ['small']
        """
        metric = self.metrics[0] if metric is None else metric
        check_choice("metric", metric, self.metrics)
        return find_front(self.rows, metric, cost, self.compared)

    def __getitem__(self, key: str | int) -> Row:
        """Return the row of a name, or at a position from 0."""
        if not isinstance(key, str):
            return self.rows[key]
        for row in self.rows:
            if row.name == key:
                return row
        raise KeyError(f"no model {key!r}; there are {', '.join(self.names)}")

    def __iter__(self) -> Iterator[Row]:
        """Iterate over the rows, best first."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Return the number of models, including failed ones."""
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        """Return whether a model of that name was ranked."""
        return name in self.names

    def __add__(self, other: Ranking) -> Ranking:
        """Merge two rankings of the same rows, labels, metrics and options."""
        if not isinstance(other, Ranking):
            return NotImplemented
        if self.race is not None or other.race is not None:
            raise DataError("models of a race compare with no others; race all models together")
        if self.digest != other.digest:
            raise DataError(
                "these rankings are not of the same rows and labels (or differ in metrics or "
                "options), so their scores do not compare; rank all models together"
            )
        both = sorted(set(self.names) & set(other.names))
        if both:
            raise DataError(f"both rankings have a model {both[0]!r}; rename one")
        return self.replace(rows=pool_rows((*self.rows, *other.rows), self.metrics))

    def __radd__(self, other: object) -> Ranking:
        """Support ``sum(rankings)``, which starts from 0."""
        return self if other == 0 else NotImplemented

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the scoring plan."""
        return {**self.__dict__, "plan": None}

    def to_dict(self) -> dict[str, Any]:
        """Return the ranking as plain Python, ready for JSON: NaN is None, infinity "inf"."""
        facts = {k: v for k, v in self.__dict__.items() if k not in ("rows", "plan", "race")}
        if self.race is not None:
            facts["race"] = self.race.to_dict()
        rows = [row.to_dict(self.metrics) for row in self.rows]
        return cast("dict[str, Any]", json_ready({**facts, "rows": rows}))

    def to_json(self, indent: int | None = None) -> str:
        """Return :meth:`to_dict` as JSON, on one line by default.

        Parameters
        ----------
        indent : int, optional
            Spaces of each level. Default: all on one line.
        """
        return json.dumps(self.to_dict(), indent=indent)

    def to_csv(self, *, layers: bool = False) -> str:
        """Return the table as comma-separated values, in full precision.

        Parameters
        ----------
        layers : bool, default=False
            Whether a model of which several layers were scored has a line for each. The first has
            the rank, and the others none.
        """
        return format_csv(columns(self.rows, self.metrics, layers))

    def to_markdown(self) -> str:
        """Return the table as Markdown."""
        return self._table().to_markdown()

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        evaluation: Evaluation | None = None,
        stability: Stability | None = None,
        shortlist: Shortlist | None = None,
        title: str | None = None,
    ) -> None:
        """Write a self-contained HTML report.

        Parameters
        ----------
        path : str or path
            File to write, such as "report.html"; an existing file is replaced.
        evaluation, stability, shortlist, title
            As in :func:`transferability.report.html`, which returns the text.

        Raises
        ------
        DataError
            If `evaluation`, `stability` or `shortlist` belongs to another ranking.
        """
        from .._util.atomic_file import write_bytes
        from ..report import html

        page = html(self, evaluation, stability, shortlist=shortlist, title=title)
        write_bytes(path, page.encode())

    def to_pandas(self, *, layers: bool = False) -> Any:
        """Return the table as a pandas DataFrame.

        Parameters
        ----------
        layers : bool, default=False
            As in :meth:`to_csv`.
        """
        return self._frame("pandas", layers)

    def to_polars(self, *, layers: bool = False) -> Any:
        """Return the table as a polars DataFrame.

        Parameters
        ----------
        layers : bool, default=False
            As in :meth:`to_csv`.
        """
        return self._frame("polars", layers)

    def _frame(self, package: str, layers: bool) -> Any:
        try:
            module = importlib.import_module(package)
        except ImportError as error:
            advice = f"to_{package} needs {package}: pip install {package}"
            raise MissingDependencyError(advice) from error
        return module.DataFrame(columns(self.rows, self.metrics, layers))

    def _table(self) -> Table:
        """Return the table that is shown, as cells of text."""
        return make_table(self.rows, self.metrics, self.task, self.warnings, self.unit)
