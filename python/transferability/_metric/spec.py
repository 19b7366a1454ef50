"""The contract of a metric: one frozen ``MetricSpec`` holds all that the package uses of it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import DataError

if TYPE_CHECKING:
    from .score import Score

__all__ = ["NEEDS", "OF_STATISTICS", "TASKS_OF_METRICS", "MetricSpec"]

#: What a metric may read, with the words for it in listings.
NEEDS = {
    "stats": "statistics of the features (one pass, shared)",
    "class_scatters": "statistics of every class (the same pass)",
    "source_stats": "statistics of source_probs",
    "samples": "the features once more",
    "source_probs": "source_probs: the source model's class probabilities",
    "source_labels": "source_labels: the source model's predicted classes",
    "label_embeddings": "label_embeddings: views of the labels by other models",
}
#: The needs that statistics of the features alone meet.
OF_STATISTICS = frozenset({"stats", "class_scatters"})
TASKS_OF_METRICS = ("classification", "regression", "multilabel", "unlabelled")


@dataclass(frozen=True)
class MetricSpec:
    """What the package knows of one metric.

    The module of a built-in metric has one instance, ``SPEC``. Where the native core computes the
    metric, its row of the native table supplies title, summary, needs, tasks, cost and source.

    Attributes
    ----------
    name : str
        As ``score(metrics=...)`` takes it.
    options : callable
        ``options(task, *, ...)`` validates the user's options, which are its keywords, and returns
        those of the kernel.
    explain : callable
        ``explain(score)`` returns sentences on what the number means.
    when : str
        When to use it, in one sentence.
    title, summary, cost, source : str
        Name in tables, what it measures, time complexity, publication.
    needs : tuple of str
        Keys of ``NEEDS``.
    tasks : tuple of str
        Of ``TASKS_OF_METRICS``.
    requires : str, optional
        The optional package that `compute` imports.
    recommended : mapping, optional
        Its options as a member of ``metrics="recommended"``; None for other metrics.
    baseline : bool
        Whether ``baselines=True`` adds it to a ranking.
    pool : callable, optional
        ``pool(scores)`` returns the values of the models of a ranking, for a metric that is defined
        among models only.
    influence : callable, optional
        ``influence(inputs, options, run)`` returns the influence of every row on the score, or None
        where these options have none; ``run(**more)`` computes the score with more kernel options.
    compute : callable, optional
        ``compute(inputs, options, n_threads)`` returns an outcome as the native module does. It
        gets the ``Stats`` in place of the inputs where the needs are statistics only. None: the
        native module computes the metric.
    """

    name: str
    options: Callable[..., dict[str, object]]
    explain: Callable[[Score], list[str]]
    when: str = ""
    title: str = ""
    summary: str = ""
    needs: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    cost: str = ""
    source: str = ""
    requires: str | None = None
    recommended: Mapping[str, object] | None = None
    baseline: bool = False
    pool: Callable[[Sequence[Any]], list[float]] | None = None
    influence: Callable[[Any, Mapping[str, Any], Callable[..., Score]], Any] | None = None
    compute: Callable[[Any, Mapping[str, Any], int], Mapping[str, Any]] | None = None

    def __post_init__(self) -> None:
        """Refuse needs and tasks that do not exist."""
        for kind, given, known in (
            ("needs", self.needs, tuple(NEEDS)),
            ("tasks", self.tasks, TASKS_OF_METRICS),
        ):
            odd = [entry for entry in given if entry not in known]
            if odd:
                raise DataError(
                    f"{kind} of metric {self.name!r} has {odd[0]!r}; choose from {', '.join(known)}"
                )

    @property
    def is_native(self) -> bool:
        """Whether the native module computes the metric."""
        return self.compute is None

    @functools.cached_property
    def option_names(self) -> frozenset[str]:
        """The options that users may set."""
        return frozenset(inspect.signature(self.options).parameters) - {"task"}

    @property
    def reads_statistics_only(self) -> bool:
        """Whether ``Stats`` of the features serve the metric without the samples."""
        return OF_STATISTICS.issuperset(self.needs)

    def unmet(self, provided: frozenset[str] | set[str]) -> list[str]:
        """Return the needs that are not provided."""
        return [need for need in self.needs if need not in provided]

    def facts(self) -> dict[str, Any]:
        """Return what listings print, as plain Python."""
        return {
            "name": self.name,
            "title": self.title,
            "summary": self.summary,
            "needs": list(self.needs),
            "tasks": list(self.tasks),
            "cost": self.cost,
            "source": self.source,
            "when": self.when,
        }
