"""The result of ``rank``: rows, best first."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .._metric.derived import CONSENSUS, PRIOR
from .._metric.registry import spec_of
from .._metric.score import Score, json_ready
from .._scoring.groups import Groups, pool_groups
from ..errors import DataError, MissingDependencyError
from . import render as _render
from .extra_columns import with_consensus

if TYPE_CHECKING:
    from .._inputs.inputs import Inputs
    from .._inputs.target import Target
    from .._uncertainty.stability import Stability
    from ..agreement._evaluation import Evaluation
    from ..tuning import TeacherEnsemble

__all__ = ["Planned", "Ranking", "Row", "pooled"]


@dataclass(frozen=True, eq=False)
class Planned:
    """What was asked of every model: metrics with native options, how, and by which groups."""

    requests: Mapping[str, dict[str, Any]]
    common: Mapping[str, Any]
    groups: Groups | None
    target: Target


@dataclass(frozen=True)
class Row:
    """One model of a ranking; each score is also an attribute, as in ``row.logme``.

    Where :func:`transferability.rank_models` ran the model, ``layer`` is the one that the scores
    are of, and ``layers`` has the scores of every layer by name, from the first to the last.
    """

    name: str
    scores: Mapping[str, Score]
    n_samples: int | None
    n_features: int | None
    seconds: float
    notes: tuple[str, ...] = ()
    error: str | None = None
    rank: int = 0
    layer: str | None = None
    layers: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    #: Reads the features once more; not pickled.
    inputs: Callable[[], Inputs] | None = field(default=None, repr=False, compare=False)

    @property
    def per_group(self) -> dict[str, Mapping[int | str, Score]]:
        """By metric, the score of every group of rows; empty without ``rank(..., groups=)``."""
        of = {metric: score.details.get("per_group") for metric, score in self.scores.items()}
        return {metric: scores for metric, scores in of.items() if scores is not None}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what reads the features."""
        return {**self.__dict__, "inputs": None}

    def __getattr__(self, name: str) -> Score:
        """Find scores by the name of their metric."""
        try:
            return self.__dict__["scores"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"this row has no {name!r}") from None

    def fine_tune_recipe(self) -> str:
        """Say in words how the paper of LogME fine-tunes the one model that is deployed."""
        from ..tuning._from_ranking import fine_tune_recipe

        return fine_tune_recipe(self)

    def value(self, metric: str) -> float:
        """Give a score as a plain float, NaN where the metric failed."""
        return float(self.scores.get(metric, math.nan))


@dataclass(frozen=True, init=False, repr=False, eq=False)
class Ranking:
    """Models, best first; a sequence of rows that also looks up by name.

    Attributes
    ----------
    rows : tuple of Row
        Sorted by the first metric, ties by name; models that failed come last.
    metrics : tuple of str
        The first one sorts. All are higher-is-better.
    task, task_note : str
        What the labels were read as, and why.
    warnings : tuple of str
        What concerns the labels, and so every model.
    skipped : dict of str to str
        Metrics of "all" that do not apply, with the reason.
    digest : str
        Equal for rankings of the same rows, labels, metrics and options, which may be added.
    """

    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    task: str
    task_note: str
    digest: str
    warnings: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    plan: Planned | None = field(default=None, repr=False)

    unit = "model"  # what a row is, in words

    def __init__(self, rows: Iterable[Row], **facts: Any) -> None:
        first = facts["metrics"][0]

        def order(row: Row) -> tuple[bool, float, str]:
            return (row.error is not None, -row.value(first) if row.error is None else 0, row.name)

        ranked = (replace(row, rank=i) for i, row in enumerate(sorted(rows, key=order), start=1))
        self.__dict__.update({"skipped": {}, **facts, "rows": tuple(ranked)})

    @property
    def names(self) -> tuple[str, ...]:
        """Names, best first."""
        return tuple(row.name for row in self.rows)

    @property
    def best(self) -> Row:
        """The first row; an error if no model could be scored."""
        if self.rows[0].error is not None:
            raise DataError(f"no model could be scored; {self.rows[0].name}: {self.rows[0].error}")
        return self.rows[0]

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows of models that could not be scored."""
        return tuple(row for row in self.rows if row.error is not None)

    def top(self, k: int) -> Ranking:
        """Give the first `k` rows as a ranking."""
        if k < 1:
            raise DataError(f"top needs at least 1 row, got k={k}")
        return self._with(self.rows[:k])

    def teachers(self, k: int = 3, *, temperature: float = 0.1) -> TeacherEnsemble:
        """Let the first `k` models teach together, for B-Tuning.

        Parameters
        ----------
        k : int, default=3
            How many, at most those that LogME could score.
        temperature : float, default=0.1
            As :func:`transferability.tuning.teacher_weights` takes it.

        Returns
        -------
        teachers : TeacherEnsemble
            With the head of every ranked model, so that any of them may be the student.

        Raises
        ------
        DataError
            If the ranking was made without ``keep_coef=True`` or without logme, or `k` or
            `temperature` is out of range.
        """
        from ..tuning._from_ranking import build_teachers

        return build_teachers(self, k, temperature)

    def consensus(self, members: Sequence[str] | None = None) -> Ranking:
        """Sort by several metrics at once: by the mean share of models that a model beats.

        Parameters
        ----------
        members : sequence of str, optional
            Columns of this ranking, one vote each. Default: all metrics, without the prior.

        Returns
        -------
        ranking : Ranking
            With the new first column "consensus", in [0, 1], higher is better: 1 for a model
            that is the best by every member. It depends on the models that are compared.

        Raises
        ------
        DataError
            If a member is no column of this ranking, or there is none.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> rng = np.random.default_rng(0)
        >>> good, poor = rng.normal(size=(80, 6)), rng.normal(size=(80, 6))
        >>> ranking = tx.rank({"a": poor, "b": good}, good[:, 0] > 0, ["logme", "knn"])
        >>> float(ranking.consensus().best.consensus)
        1.0
        """
        columns = [metric for metric in self.metrics if metric != CONSENSUS]
        chosen = [m for m in columns if m != PRIOR] if members is None else list(members)
        for member in chosen:
            if member not in columns:
                raise DataError(f"members has {member!r}; this ranking has {', '.join(columns)}")
        if not chosen:
            raise DataError("members is empty; name at least one metric of this ranking")
        facts = {**self.__dict__, "metrics": (CONSENSUS, *columns)}
        return Ranking(with_consensus(facts.pop("rows"), chosen), **facts)

    def evaluate(
        self,
        truth: Mapping[str, float],
        *,
        metrics: Sequence[str] | None = None,
        rank: bool | str = True,
        n_boot: int = 1000,
        seed: int = 0,
    ) -> Evaluation:
        """Compare the ranking with what its models turned out to be worth.

        Parameters
        ----------
        truth : mapping of str to float
            What is known of the models by name, such as fine-tuned accuracies: higher is better.
            Models that only one side has are left out and named.
        metrics : sequence of str, optional
            Columns of this ranking; the first one is compared with the others. Default: all.
            "n_features" may be among them, the number of features: what a score should beat.
        rank : {True, "truth"}, default=True
            The convention of weighted tau, see :func:`transferability.agreement.weighted_tau`.
        n_boot : int, default=1000
            Resamples of the models that intervals are percentiles of; 100 at least.
        seed : int, default=0
            Of the resamples, which are the same for all metrics.

        Returns
        -------
        evaluation : Evaluation
            With ``weighted_tau``, ``ci()``, ``leave_one_out()``, ``compare()`` and more; prints as
            a table that says which metrics are not told apart.

        Raises
        ------
        DataError
            For fewer than three models with both scores and truth, or a truth that is not finite.
        MissingDependencyError
            Without SciPy.

        Warns
        -----
        TransferabilityWarning
            For models left out, metrics that failed for some, and scores that order nothing.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> x = np.random.default_rng(0).normal(size=(80, 6))
        >>> ranking = tx.rank({"a": x, "b": x + x[::-1], "c": x[::-1]}, x[:, 0] > 0)
        >>> ranking.evaluate({"a": 0.9, "b": 0.8, "c": 0.5}).weighted_tau
        1.0
        """
        from ..agreement._evaluate import evaluate_scores

        names = self.metrics if metrics is None else tuple(metrics)
        odd = [name for name in names if name not in (*self.metrics, "n_features")]
        if odd or not names:
            raise DataError(
                f"metrics of this ranking are {', '.join(self.metrics)}, not "
                f"{', '.join(odd) or 'none'}"
            )
        scores = {name: {row.name: row.value(name) for row in self.rows} for name in names}
        if "n_features" in names:
            sizes = {row.name: row.n_features for row in self.rows}
            scores["n_features"] = {name: size or math.nan for name, size in sizes.items()}
        return evaluate_scores(scores, truth, rank=rank, n_boot=n_boot, seed=seed)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what reads the features once more."""
        return {**self.__dict__, "plan": None}

    def stability(
        self,
        n_boot: int = 200,
        *,
        groups: object = None,
        method: str = "first-order",
        metric: str | None = None,
        level: float = 0.9,
        seed: int = 0,
    ) -> Stability:
        """Say how sure the order is, by resampling the rows that all models share.

        Parameters
        ----------
        n_boot : int, default=200
            Resamples of the rows.
        groups : array-like of shape (n_samples,), optional
            Resample whole groups of rows, such as videos or patients, whose rows are alike.
            Default: the groups that were ranked by, if any.
        method : {"first-order", "exact", "jackknife"}, default="first-order"
            "first-order" adds up the influence of every row on the score, with fitted parameters
            as they are; for metrics without known influences it is "jackknife", which leaves out
            one group, or one of 50 blocks of rows, at a time. "exact" scores every resample anew.
        metric : str, optional
            Default: the one that sorts. A consensus is resampled through its members.
        level : float, default=0.9
            Of the intervals and of what counts as a tie.
        seed : int, default=0
            Of the resamples.

        Returns
        -------
        stability : Stability

        Raises
        ------
        DataError
            If the features are not at hand (the ranking was unpickled, or made of Stats) or have
            changed, or fewer than two models have a score.

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
        from .._uncertainty.rank_probabilities import of_ranking

        return of_ranking(self, n_boot, groups, method, metric, level, seed)

    def __getitem__(self, key: str | int) -> Row:
        """Look up by name, or by position from 0."""
        if isinstance(key, str):
            for row in self.rows:
                if row.name == key:
                    return row
            raise KeyError(f"no model {key!r}; there are {', '.join(self.names)}")
        return self.rows[key]

    def __iter__(self) -> Iterator[Row]:
        """Go through the rows, best first."""
        return iter(self.rows)

    def __len__(self) -> int:
        """Count the models, failed ones too."""
        return len(self.rows)

    def __contains__(self, name: object) -> bool:
        """Tell whether a model of that name was ranked."""
        return name in self.names

    def __add__(self, other: Ranking) -> Ranking:
        """Rank the models of both together; refuse other rows, labels, metrics or options."""
        if not isinstance(other, Ranking):
            return NotImplemented
        if self.digest != other.digest:
            raise DataError(
                "these rankings are not of the same rows and labels (or differ in metrics or "
                "options), so their scores do not compare; rank all models together"
            )
        both = sorted(set(self.names) & set(other.names))
        if both:
            raise DataError(f"both rankings have a model {both[0]!r}; rename one")
        return self._with(pooled((*self.rows, *other.rows), self.metrics))

    def __radd__(self, other: object) -> Ranking:
        """Let ``sum(list_of_rankings)`` work, which starts from 0."""
        return self if other == 0 else NotImplemented

    def __repr__(self) -> str:
        """Show the table as text."""
        return _render.text(self)

    def _repr_html_(self) -> str:
        """Show the table in notebooks."""
        return _render.html(self)

    def to_dict(self) -> dict[str, Any]:
        """Give everything as plain Python, ready for JSON: NaN is None, infinity "inf"."""
        rows = [
            {key: getattr(row, key) for key in _render.FACTS}
            | {"scores": {metric: row.value(metric) for metric in self.metrics}}
            | _of_layers(row)
            for row in self.rows
        ]
        known = {key: value for key, value in self.__dict__.items() if key != "plan"}
        facts: dict[str, Any] = json_ready({**known, "rows": rows})
        return facts

    def to_json(self, indent: int | None = None) -> str:
        """Write :meth:`to_dict` as JSON, on one line by default."""
        return json.dumps(self.to_dict(), indent=indent)

    def to_csv(self) -> str:
        """Write the table as comma-separated values, in full precision."""
        return _render.csv_text(self)

    def to_markdown(self) -> str:
        """Write the table as Markdown."""
        return _render.markdown(self)

    def to_html(
        self,
        path: str | os.PathLike[str],
        *,
        evaluation: Evaluation | None = None,
        stability: Stability | None = None,
        title: str | None = None,
    ) -> None:
        """Write a report: one HTML file, for phones too, that loads nothing from elsewhere.

        Parameters
        ----------
        path : str or path
            Of the file, as "report.html"; one that exists is replaced.
        evaluation, stability, title
            As in :func:`transferability.report.html`, which gives the text itself.

        Raises
        ------
        DataError
            If `evaluation` or `stability` belong to another ranking.
        """
        from .._util.atomic_file import write_bytes
        from ..report import html

        text = html(self, evaluation, stability, title=title)
        write_bytes(path, text.encode())

    def to_pandas(self) -> Any:
        """Give the table as a pandas DataFrame."""
        try:
            import pandas
        except ImportError as error:
            raise MissingDependencyError("to_pandas needs pandas: pip install pandas") from error
        return pandas.DataFrame(_render.columns(self))

    def to_polars(self) -> Any:
        """Give the table as a polars DataFrame."""
        try:
            import polars
        except ImportError as error:
            raise MissingDependencyError("to_polars needs polars: pip install polars") from error
        return polars.DataFrame(_render.columns(self))

    def _with(self, rows: Iterable[Row]) -> Ranking:
        return type(self)(rows, **{k: v for k, v in self.__dict__.items() if k != "rows"})


def pooled(rows: Iterable[Row], metrics: Iterable[str]) -> list[Row]:
    """Give values to the scores of metrics that are defined among models only."""
    rows = list(rows)
    for metric in metrics:
        pool = spec_of(metric).pool
        having = [i for i, row in enumerate(rows) if metric in row.scores]
        if pool is None or not having:
            continue
        scores = [rows[i].scores[metric] for i in having]
        if "per_group" in scores[0].details:
            scores = pool_groups(pool, scores)
        else:
            values = zip(pool(scores), scores, strict=True)
            scores = [Score(value, **score.__dict__) for value, score in values]
        for i, score in zip(having, scores, strict=True):
            rows[i] = replace(rows[i], scores={**rows[i].scores, metric: score})
    members = {row.scores[CONSENSUS].members for row in rows if CONSENSUS in row.scores}
    return with_consensus(rows, min(members)) if members else rows


def _of_layers(row: Row) -> dict[str, Any]:
    """Give the layer of a model that was run, and the scores of all its layers."""
    if row.layer is None:
        return {}
    layers = {name: {m: float(s) for m, s in each.items()} for name, each in row.layers.items()}
    return {"layer": row.layer, "layers": layers}
