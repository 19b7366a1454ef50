"""The specification of a metric: a frozen dataclass with all its functions and texts."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._inputs.inputs import Inputs
from .._inputs.target import UNLABELLED
from ..errors import DataError, TransferabilityError

if TYPE_CHECKING:
    from .score import Score

__all__ = ["DIAGNOSTIC", "NEEDS", "OF_STATISTICS", "TASKS_OF_METRICS", "MetricSpec", "Size"]

#: The inputs that a metric may read, with their descriptions in listings.
NEEDS = {
    "stats": "statistics of the features (one pass, shared)",
    "class_scatters": "statistics of every class (the same pass)",
    "source_stats": "statistics of source_probs",
    "samples": "the features once more",
    "source_probs": "source_probs: the source model's class probabilities",
    "source_labels": "source_labels: the source model's predicted classes",
    "label_embeddings": "label_embeddings: views of the labels by other models",
}
#: The needs that statistics of the features meet without the samples.
OF_STATISTICS = frozenset({"stats", "class_scatters"})
#: What is said of every diagnostic.
DIAGNOSTIC = (
    "No evidence supports ranking models of different architectures by diagnostics of features; "
    "compare checkpoints of one training."
)
TASKS_OF_METRICS = ("classification", "regression", "multilabel", UNLABELLED)


@dataclass(frozen=True)
class Size:
    """The shape of a call: what an estimate of its memory depends on."""

    n_samples: int
    n_features: int
    n_classes: int  # or columns of targets
    has_targets: bool = False
    n_source_classes: int = 0
    converted: int = 0  # bytes of arguments that were copied

    @classmethod
    def of(cls, inputs: Inputs, n_classes: int, converted: int = 0) -> Size:
        """Return the size of validated inputs."""
        n_samples, n_features = inputs.shape
        probs = inputs.source_probs
        return cls(
            n_samples,
            n_features,
            n_classes,
            inputs.target.values is not None,
            0 if probs is None else probs.shape[1],
            converted,
        )


def _no_memory(size: Size, options: Mapping[str, Any]) -> float:
    return 0.0


@dataclass(frozen=True)
class MetricSpec:
    """Specification of one metric.

    The module of a built-in metric defines one instance, ``SPEC``, with its functions ``options``
    and ``explain`` and its text ``WHEN``. For a metric of the native core the native table
    supplies title, summary, needs, tasks, cost and source.
    """

    #: Name, as ``score(metrics=...)`` takes it.
    name: str
    #: ``options(task, *, ...)`` validates the user's options, its keywords, and returns those of
    #: the kernel.
    options: Callable[..., dict[str, object]]
    #: ``explain(score)`` returns sentences that interpret a score.
    explain: Callable[[Score], list[str]]
    #: When to use the metric, in one sentence.
    when: str = ""
    #: Name in tables.
    title: str = ""
    #: Description in one line.
    summary: str = ""
    #: Keys of `NEEDS`.
    needs: tuple[str, ...] = ()
    #: Entries of `TASKS_OF_METRICS`.
    tasks: tuple[str, ...] = ()
    #: Time complexity.
    cost: str = ""
    #: Publication.
    source: str = ""
    #: The optional package that `compute` imports.
    requires: str | None = None
    #: ``standard_error(score)`` estimates the sampling error of a score from the score alone. A
    #: metric that has one may decide a consensus with soft ties.
    standard_error: Callable[[Any], float] | None = None
    #: Options as a member of ``metrics="recommended"``; None for other metrics.
    recommended: Mapping[str, object] | None = None
    #: Whether ``baselines=True`` adds it to a ranking.
    baseline: bool = False
    #: Whether it describes features without a claim on transfer: left out of "all" and of every
    #: default consensus, listed in a group of its own.
    diagnostic: bool = False
    #: ``pool(scores)`` returns the values of all models of a ranking, for a metric that is defined
    #: relative to the other models.
    pool: Callable[[Sequence[Any]], list[float]] | None = None
    #: Whether the kernel has the option ``influence``: the influence function at every row, as
    #: the detail of that name, where it is defined.
    influence: bool = False
    #: ``pairs(size, options)`` returns what the kernel compares in pairs, how many of them, and an
    #: estimate of the seconds on one core; None for a metric that compares nothing in pairs.
    pairs: Callable[[Size, Mapping[str, Any]], tuple[str, int, float]] | None = None
    #: What rankings of several models by this metric note, in one sentence; empty for most.
    among_models: str = ""
    #: ``compute(inputs, options, n_threads)`` returns an outcome like the native module's, which
    #: computes the metric if this is None. `inputs` is ``Stats`` where the needs are statistics
    #: only, else ``Inputs``.
    compute: Callable[[Any, Mapping[str, Any], int], Mapping[str, Any]] | None = None
    #: ``memory(size, options)`` returns about how many numbers (of 8 bytes) the metric holds at its
    #: peak beside statistics and their decompositions.
    memory: Callable[[Size, Mapping[str, Any]], float] = _no_memory
    #: Module and name of a registered function; empty for built-in metrics.
    origin: str = ""

    def __post_init__(self) -> None:
        """Validate needs and tasks."""
        for kind, known in (("needs", tuple(NEEDS)), ("tasks", TASKS_OF_METRICS)):
            if odd := [entry for entry in getattr(self, kind) if entry not in known]:
                raise DataError(
                    f"{kind} of metric {self.name!r} has {odd[0]!r}; choose from {', '.join(known)}"
                )

    @property
    def is_native(self) -> bool:
        """Whether the native module computes the metric."""
        return self.compute is None

    @functools.cached_property
    def option_names(self) -> frozenset[str]:
        """Names of the options that users may set."""
        return frozenset(inspect.signature(self.options).parameters) - {"task"}

    @property
    def reads_labels(self) -> bool:
        """Whether the score depends on labels, so that it needs some that vary."""
        return UNLABELLED not in self.tasks

    @property
    def reads_statistics_only(self) -> bool:
        """Whether ``Stats`` of the features suffice."""
        return OF_STATISTICS.issuperset(self.needs)

    def unmet(self, provided: frozenset[str] | set[str]) -> list[str]:
        """Return the needs that are not provided."""
        return [need for need in self.needs if need not in provided]

    def run(
        self, inputs: Any, options: Mapping[str, Any], n_threads: int
    ) -> Mapping[str, Any] | Exception:
        """Call `compute`, and return an error of the data or of memory as the outcome."""
        assert self.compute is not None, "not a native metric"
        try:
            return self.compute(inputs, options, n_threads)
        except (TransferabilityError, MemoryError) as error:
            return error

    def facts(self) -> dict[str, Any]:
        """Return the fields that listings print."""
        texts = ("name", "title", "summary", "needs", "tasks", "cost", "source", "when")
        return {field: getattr(self, field) for field in (*texts, "diagnostic")}
