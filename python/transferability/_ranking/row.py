"""Row: one model of a ranking, with its scores, or the reason why it has none.

Every row is built here. An ``Exception`` from one model becomes the reason in its row, so that the
other models are still scored; ``KeyboardInterrupt`` and the like are not caught.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from .._inputs.inputs import Inputs, read_inputs
from .._inputs.rows import RowIndex, check_rows, has_row_index
from .._inputs.target import Target
from .._metric.registry import spec_of, title_of
from .._metric.score import Score
from .._scoring.evaluate import Requests, Settings, evaluate
from .._scoring.groups import Groups
from .._stats.stats import Stats
from .._util.notebook import to_html
from ..errors import DataError, DtypeError, TransferabilityError

__all__ = [
    "Row",
    "RowBuilder",
    "ScoringPlan",
    "build_failed_row",
    "build_stats_row",
    "check_model_rows",
    "check_models",
    "describe_error",
    "evaluate_available",
]

Outcomes = Mapping[str, Score | Exception]


@dataclass(frozen=True)
class Row:
    """One model of a ranking; each score is also an attribute, as in ``row.logme``.

    Attributes
    ----------
    name, rank : str, int or None
        Name of the model, and its position in the ranking, from 1; None without a score.
    scores : dict of str to Score
        Scores by metric, without the metrics that failed.
    n_samples, n_features : int or None
        Shape of the features; None if they could not be read.
    seconds : float
        Wall time to read and score the model.
    notes : tuple of str
        Warnings about this model, and the reasons of metrics other than the first that failed.
    error : str or None
        Reason why the first metric could not be computed; None if it could.
    layer, layers : str or None, dict of str to dict of str to Score
        For :func:`transferability.rank_models`: the layer or aggregate of `scores`, and the scores
        by layer and metric, from the first layer to the last.
    from_cache : bool
        For :func:`transferability.rank_models`: whether the statistics of all layers were in the
        cache, so that the model did not run. A note says so too.
    costs : dict of str to float
        From ``rank(..., costs=...)``, such as "parameters", or measured by
        :func:`transferability.rank_models`.
    round, dropped : int, str or None
        For a race: the last round in which the model was scored, and the reason why it was
        dropped after it; 0 and None without a race.
    inputs : callable or None
        Reads the features again, for :meth:`Ranking.stability`; for internal use. It is not
        pickled.
    """

    __module__ = "transferability"

    name: str
    scores: Mapping[str, Score]
    n_samples: int | None
    n_features: int | None
    seconds: float
    notes: tuple[str, ...] = ()
    error: str | None = None
    rank: int | None = None
    layer: str | None = None
    layers: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)
    from_cache: bool = False
    costs: Mapping[str, float] = field(default_factory=dict)
    round: int = 0
    dropped: str | None = None
    inputs: Callable[[], Inputs] | None = field(default=None, repr=False, compare=False)

    @property
    def per_group(self) -> dict[str, Mapping[int | str, Score]]:
        """Scores by metric and group of rows; empty without ``rank(..., groups=)``."""
        found = {metric: score.details.get("per_group") for metric, score in self.scores.items()}
        return {metric: scores for metric, scores in found.items() if scores is not None}

    def __getstate__(self) -> dict[str, Any]:
        """Return the state to pickle, without the function that reads the features."""
        return {**self.__dict__, "inputs": None}

    def __getattr__(self, name: str) -> Score:
        """Return the score of the metric `name`."""
        try:
            return self.__dict__["scores"][name]  # type: ignore[no-any-return]
        except KeyError:
            raise AttributeError(f"this row has no {name!r}") from None

    def value(self, metric: str) -> float:
        """Return a score as a plain float, NaN where the metric failed.

        Parameters
        ----------
        metric : str
            Name of a metric.
        """
        return float(self.scores.get(metric, math.nan))

    def _repr_html_(self) -> str:
        """Return scores, shape and notes of the model for notebooks."""
        title = self.name if self.error else f"{self.rank}. {self.name}"
        shape = [f"{n:,}" if n else "" for n in (self.n_samples, self.n_features)]
        header = [*map(title_of, self.scores), "rows", "features", "seconds"]
        body = [[*(f"{float(s):.4f}" for s in self.scores.values()), *shape, f"{self.seconds:.3f}"]]
        below = [*([f"failed: {self.error}"] if self.error else []), *self.notes]
        return to_html(title, header, body, below, ())

    def to_dict(self, metrics: Iterable[str]) -> dict[str, Any]:
        """Return the row as a dictionary, with the values of `metrics` and of the layers.

        Parameters
        ----------
        metrics : iterable of str
            Names of metrics; NaN stands for one without a score.
        """
        keys = ("rank", "name", "n_samples", "n_features", "seconds", "notes", "error")
        facts: dict[str, Any] = {key: getattr(self, key) for key in keys}
        facts["scores"] = {metric: self.value(metric) for metric in metrics}
        if self.costs:
            facts["costs"] = dict(self.costs)
        if self.round:
            facts |= {"round": self.round, "dropped": self.dropped}
        if self.layer is not None:
            facts["layer"] = self.layer
            facts["from_cache"] = self.from_cache
            facts["layers"] = {
                name: {metric: float(score) for metric, score in scores.items()}
                for name, scores in self.layers.items()
            }
        return facts

    def replace(self, **changes: Any) -> Row:
        """Return a copy with the given attributes changed.

        Parameters
        ----------
        **changes
            Attributes and their new values.
        """
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True, eq=False)
class ScoringPlan:
    """Settings with which a ranking was scored; resamples of its rows are scored with the same."""

    requests: Requests  # kernel options by metric
    settings: Settings
    groups: Groups | None
    target: Target


@dataclass(eq=False)
class RowBuilder:
    """Build one model's row; an exception inside the ``with`` block becomes its error.

    The row has an error if the first of `metrics` fails. Its notes omit `known_warnings`, those
    about the labels, which the ranking states once for all models.
    """

    name: str
    metrics: Collection[str]
    known_warnings: Sequence[str] = ()
    shape: tuple[int | None, int | None] = (None, None)  # of the features; kept if scoring fails
    notes: Sequence[str] = ()  # about the features; kept if scoring fails
    outcomes: Outcomes = field(default_factory=dict)
    seconds: float = 0.0

    def __enter__(self) -> RowBuilder:
        """Start the clock."""
        self._start = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        """Stop the clock and keep an exception as the failure of every metric."""
        self.seconds = time.perf_counter() - self._start
        if isinstance(error, Exception):
            self.outcomes = dict.fromkeys(self.metrics, error)
        return isinstance(error, Exception)

    def build(self) -> Row:
        """Return the row."""
        found = self.outcomes.items()
        scores = {metric: score for metric, score in found if isinstance(score, Score)}
        failures = {m: describe_error(e) for m, e in found if isinstance(e, Exception)}
        first = next(iter(self.metrics))
        warnings = [text for score in scores.values() for text in score.warnings]
        notes = [text for text in warnings if text not in self.known_warnings] + [*self.notes]
        if scores:
            notes += [f"{m} failed: {text}" for m, text in failures.items() if m != first]
        return Row(
            name=self.name,
            scores=scores,
            n_samples=self.shape[0],
            n_features=self.shape[1],
            seconds=self.seconds,
            notes=tuple(dict.fromkeys(notes)),
            error=failures.get(first),
        )


def check_models(models: object) -> None:
    """Raise unless `models` is a mapping of names, with at least one."""
    if not isinstance(models, Mapping):
        raise DtypeError(f"models must be a mapping of names to features, got {type(models)}")
    if not models:
        raise DataError("models is empty; give at least one name with its features")
    for name in models:
        if not isinstance(name, str):
            raise DtypeError(f"model names must be strings, got {name!r}")


def check_model_rows(
    models: Mapping[str, object], index: tuple[RowIndex, ...]
) -> tuple[RowIndex, ...]:
    """Raise if the pandas index of a model is that of another one in another order.

    A model that contradicts `index`, that of the labels, is left out: it fails alone. Return
    `index` with the indexes of the models that are new.
    """
    known = index
    for name, model in models.items():
        own: Any = model
        if has_row_index(own) and any(own.index.equals(other.index) for other in known):
            continue
        try:
            check_rows(index, features=model)
        except DataError:
            continue
        known = check_rows(known, **{f"models[{name!r}]": model})
    return known


def build_failed_row(name: str, error: Exception | str) -> Row:
    """Return the row of a model that could not be scored at all."""
    reason = error if isinstance(error, str) else describe_error(error)
    return Row(name, {}, n_samples=None, n_features=None, seconds=0.0, error=reason)


def describe_error(error: Exception) -> str:
    """Return the message of an error, with its type unless it is an error of this package."""
    text = str(error) or "no message"
    return text if isinstance(error, TransferabilityError) else f"{type(error).__name__}: {text}"


def evaluate_available(
    given: Inputs, requests: Requests, evaluate: Callable[[Inputs, Requests], Outcomes]
) -> dict[str, Score | Exception]:
    """Evaluate the metrics whose inputs this model has; the others fail, naming the input."""
    provided = given.provides()
    missing = {metric: spec_of(metric).unmet(provided) for metric in requests}
    outcomes = evaluate(given, {m: requests[m] for m in requests if not missing[m]})
    return {
        metric: DataError(f"there is no {needs[0]} for this model") if needs else outcomes[metric]
        for metric, needs in missing.items()
    }


def build_stats_row(
    name: str,
    stats: Stats,
    requests: Requests,
    given: Inputs | None = None,
    n_threads: int | None = None,
) -> Row:
    """Score one model's statistics.

    Metrics that need more than statistics are computed from `given`, the inputs for the same rows.
    CKA reads its targets if there are more of them than features, as statistics hold no products.
    """
    if n_threads is not None:
        stats = stats.replace(n_threads=n_threads)
    rest: Requests = {}
    if given is not None:
        served = {"stats", "class_scatters"}
        rest = {m: options for m, options in requests.items() if not served >= {*spec_of(m).needs}}
    with RowBuilder(name, requests) as builder:
        builder.shape = (stats.n_samples, stats.n_features)
        of_stats = {metric: options for metric, options in requests.items() if metric not in rest}
        targets = None
        if given is not None and given.target.n_samples == stats.n_samples:
            targets = read_inputs(None, None, target=given.target)
        outcomes = stats.outcomes(of_stats, inputs=targets) if of_stats else {}
        if given is not None:
            run = functools.partial(evaluate, settings=Settings(n_threads=n_threads))
            outcomes |= evaluate_available(given, rest, run)
        builder.outcomes = {metric: outcomes[metric] for metric in requests}
    return builder.build()
