"""Rank target tasks for one model; ``rank`` ranks models for one task."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.inputs import read_inputs
from .._inputs.types import ArrayLike
from .._metric.plan import plan
from .._metric.registry import metric_names, spec_of
from .._metric.score import SETS, json_ready
from .._scoring.evaluate import Settings, evaluate
from ..errors import DataError, DtypeError
from ..metrics.nce import note_tasks
from .ranking import Ranking
from .row import RowBuilder

if TYPE_CHECKING:
    from ..agreement._evaluation import Evaluation

__all__ = ["TaskRanking", "compare_tasks"]

_ENTRIES = ("features", "labels", "source_probs", "source_labels", "task")


class TaskRanking(Ranking):
    """Target tasks, best first: a :class:`transferability.Ranking` whose rows are tasks."""

    __module__ = "transferability"

    unit = "task"

    def evaluate(
        self,
        truth: Mapping[str, float],
        *,
        baseline: Mapping[str, float] | None = None,
        kind: str = "gain",
        **options: Any,
    ) -> Evaluation:
        """Measure how well the ranking agrees with the benefit of transfer to each task.

        Parameters
        ----------
        truth : mapping of str to float
            True performance by task, higher is better; accuracies if `baseline` is given.
        baseline : mapping of str to float, optional
            Accuracy of each task without transfer. The truth is then the relative accuracy.
        kind : {"gain", "headroom"}, default="gain"
            As in :func:`transferability.agreement.relative_accuracy`.
        **options
            As in :meth:`transferability.Ranking.evaluate`.
        """
        if baseline is not None:
            from ..agreement import relative_accuracy

            missing = [name for name in truth if name not in baseline]
            if missing:
                raise DataError(f"there is no baseline for {', '.join(missing)}")
            truth = {k: relative_accuracy(v, baseline[k], kind) for k, v in truth.items()}
        return super().evaluate(truth, **options)


def compare_tasks(
    tasks: Mapping[str, Mapping[str, ArrayLike] | tuple[ArrayLike, ArrayLike]],
    metrics: str | Sequence[str] = "leep",
    *,
    task: str = "auto",
    n_threads: int | None = None,
    **options: Any,
) -> TaskRanking:
    """Rank target tasks by how well one model transfers to each.

    Scores depend on the labels of a task: with more classes LEEP and NCE are lower and H-scores
    higher for any model. LEEP and NCE are therefore corrected for the entropy of the labels, and
    then range from 0 (no information about the labels) to 1. Other metrics have no such correction,
    and a warning says so. The correction keeps LEEP a bound on what a new head gains over guessing.
    NCE leaves out a term of its bound, and a warning says where that is not licensed: after
    division by the entropies, and for tasks on different rows.

    Parameters
    ----------
    tasks : mapping of str to mapping or tuple
        The model's outputs and the labels of each target task: a mapping with "labels" and, as
        the metrics need, "features", "source_probs" or "source_labels", as in
        :func:`transferability.score`, and optionally "task"; or (features, labels).
    metrics : str or sequence of str, default="leep"
        Tasks are sorted by the first one. Their names; a set such as "all" is an error.
    task : str, default="auto"
        As in :func:`transferability.rank`, for tasks without a "task" entry.
    n_threads, **options
        As in :func:`transferability.rank`. `normalize` of LEEP and NCE defaults to "entropy_ratio".

    Returns
    -------
    ranking : TaskRanking
        A task that fails is a row at the end, with its reason.

    Raises
    ------
    DataError, DtypeError
        No tasks, unknown metrics, options or entries.

    References
    ----------
    Ibrahim, Ponomareva, Mazumder (2022). Newer is not always better: Rethinking transferability
    metrics, their peculiarities, stability and performance. ECML-PKDD.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> probs = np.random.default_rng(0).dirichlet([0.1] * 4, 200)
    >>> close, far = probs.argmax(axis=1), np.arange(200) % 3
    >>> ranking = tx.compare_tasks(
    ...     {"far": {"source_probs": probs, "labels": far},
    ...      "close": {"source_probs": probs, "labels": close}})
    >>> ranking.names, bool(ranking["far"].leep < 0.1)
    (('close', 'far'), True)
    """
    settings = Settings(n_threads=n_threads)
    if isinstance(metrics, str) and metrics in SETS:
        raise DataError(
            f"metrics is {metrics!r}, which is not the same for every task; name the metrics, such "
            f"as ['leep', 'h_score']"
        )
    names = metric_names(metrics)
    corrected = [name for name in names if "normalize" in spec_of(name).option_names]
    if corrected:
        options.setdefault("normalize", "entropy_ratio")
    if not tasks:
        raise DataError("tasks is empty; give at least one target task by name")
    rows, kinds = [], {}
    sources: list[NDArray[np.int64]] = []  # the source labels of each task
    for name, given in tasks.items():
        entries = _read_entries(name, given, task)
        with RowBuilder(str(name), names) as builder:
            inputs = read_inputs(entries.pop("features"), entries.pop("labels"), **entries)
            kinds[str(name)] = inputs.target.task
            width = None if inputs.features is None else inputs.features.shape[1]
            builder.shape, builder.notes = (inputs.target.n_samples, width), inputs.notes
            if inputs.source_labels is not None:
                sources.append(inputs.source_labels)
            requests, _ = plan(names, inputs.target.task, options, inputs.provides())
            builder.outcomes = evaluate(inputs, requests, settings)
        rows.append(builder.build())
    others = ", ".join(name for name in names if name not in corrected)
    warning = (
        f"{others}: part of the differences between tasks is that of their labels "
        f"(classes, entropy, units), which no correction takes out"
    )
    notes = [warning] if others else []
    if "nce" in names and len(tasks) > 1:
        same_rows = all(np.array_equal(sources[0], own) for own in sources[1:])
        note = note_tasks(options.get("normalize"), same_rows)
        notes += [] if note is None else [note]
    facts = f"{names}{sorted(json_ready(options).items())}"
    return TaskRanking(
        tuple(rows),
        metrics=tuple(names),
        task=", ".join(dict.fromkeys(kinds.values())) or task,
        task_note="; ".join(f"{name}: {kind}" for name, kind in kinds.items()),
        digest=hashlib.blake2b(facts.encode(), digest_size=16).hexdigest(),
        warnings=tuple(notes),
    )


def _read_entries(name: str, given: object, task: str) -> dict[str, Any]:
    """Validate the entries of one task."""
    if isinstance(given, tuple) and len(given) == 2:
        given = {"features": given[0], "labels": given[1]}
    if not isinstance(given, Mapping):
        raise DtypeError(f"task {name!r} must be a mapping or (features, labels)")
    odd = sorted(map(str, set(given) - set(_ENTRIES)))
    if odd or "labels" not in given:
        what = f"has {odd[0]!r}" if odd else "has no 'labels'"
        raise DataError(f"task {name!r} {what}; its entries may be {', '.join(_ENTRIES)}")
    return {"task": task, "features": None, **given}
