"""Rank target tasks for one model, where ``rank`` ranks models for one task."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._inputs.inputs import read_inputs
from .._metric.registry import metric_names, plan, spec_of
from .._metric.score import Score
from .._scoring.evaluate import evaluate
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError, TransferabilityError
from .ranking import Ranking, Row

if TYPE_CHECKING:
    from ..agreement._evaluation import Evaluation

__all__ = ["TaskRanking", "compare_tasks"]

_GIVEN = ("features", "labels", "source_probs", "source_labels", "task")
#: What takes the labels' own entropy out of NCE and LEEP; both are shares of it, then.
_CORRECTED = "entropy_ratio"


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
        """Compare the order of tasks with what transfer turned out to bring to each.

        Parameters
        ----------
        truth : mapping of str to float
            By task; accuracies where a `baseline` is given.
        baseline : mapping of str to float, optional
            The accuracy of each task without transfer. The truth is then the relative accuracy,
            see :func:`transferability.agreement.relative_accuracy`.
        kind : {"gain", "headroom"}, default="gain"
            Of relative accuracy.
        **options
            As :meth:`transferability.Ranking.evaluate`.

        Returns
        -------
        evaluation : Evaluation
        """
        if baseline is not None:
            from ..agreement import relative_accuracy

            missing = [name for name in truth if name not in baseline]
            if missing:
                raise DataError(f"there is no baseline for {', '.join(missing)}")
            truth = {
                name: relative_accuracy(value, baseline[name], kind)
                for name, value in truth.items()
            }
        return super().evaluate(truth, **options)


def compare_tasks(
    tasks: Mapping[str, Mapping[str, object] | tuple[object, object]],
    metrics: str | Sequence[str] = "leep",
    *,
    task: str = "auto",
    n_threads: int | None = None,
    **options: Any,
) -> TaskRanking:
    """Rank target tasks by how well one model transfers to each.

    Scores of different tasks differ by their labels before any model has a part in them: with more
    classes LEEP and NCE are lower and H-scores higher. LEEP and NCE are therefore corrected here
    for the entropy of the labels, and run from 0, the model knows nothing, to 1. Other metrics
    have no such correction; a note says so.

    Parameters
    ----------
    tasks : mapping of str to mapping or tuple
        For each target task, what the model says of its rows: a mapping with "labels" and
        "features", "source_probs" or "source_labels" as the metrics need, as
        :func:`transferability.score` takes them, and optionally "task"; or (features, labels).
    metrics : str or sequence of str, default="leep"
        The first one sorts.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        What the labels are, where a task does not say.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`.
    **options
        Options of the metrics. `normalize` of LEEP and NCE is "entropy_ratio" unless given.

    Returns
    -------
    ranking : TaskRanking
        A task that fails is a row at the end, with its reason. Its ``evaluate`` takes a baseline,
        for the relative accuracy.

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
    threads = resolve_threads(n_threads)
    names = metric_names(metrics if isinstance(metrics, str) else list(metrics))
    takers = [name for name in names if "normalize" in spec_of(name).option_names]
    if takers and "normalize" not in options:
        options["normalize"] = _CORRECTED
    if not tasks:
        raise DataError("tasks is empty; give at least one target task by name")
    rows: list[Row] = []
    notes: dict[str, str] = {}
    for name, given in tasks.items():
        row, note = _row(str(name), _entries(name, given, task), names, options, threads)
        rows.append(row)
        notes |= note
    others = [name for name in names if name not in takers]
    warnings = []
    if others:
        warnings.append(
            f"{', '.join(others)}: part of the differences between tasks is that of their labels "
            f"(classes, entropy, units), which no correction takes out"
        )
    return TaskRanking(
        rows,
        metrics=tuple(names),
        task=", ".join(dict.fromkeys(notes.values())) or task,
        task_note="; ".join(f"{name}: {kind}" for name, kind in notes.items()),
        digest="",
        warnings=tuple(warnings),
    )


def _entries(name: str, given: object, task: str) -> dict[str, Any]:
    if isinstance(given, tuple) and len(given) == 2:
        given = {"features": given[0], "labels": given[1]}
    if not isinstance(given, Mapping):
        raise DtypeError(f"task {name!r} must be a mapping or (features, labels)")
    odd = sorted(map(str, set(given) - set(_GIVEN)))
    if odd or "labels" not in given:
        what = f"has {odd[0]!r}" if odd else "has no 'labels'"
        raise DataError(f"task {name!r} {what}; its entries may be {', '.join(_GIVEN)}")
    return {"task": task, "features": None, **given}


def _row(
    name: str, entries: dict[str, Any], metrics: list[str], options: dict[str, Any], threads: int
) -> tuple[Row, dict[str, str]]:
    """Score one task, and say what kind it is; whatever goes wrong becomes its row's error."""
    start = time.perf_counter()
    scores: dict[str, Score] = {}
    failures: dict[str, str] = {}
    facts: dict[str, Any] = {"n_samples": None, "n_features": None}
    kind: dict[str, str] = {}
    try:
        given = read_inputs(entries.pop("features"), entries.pop("labels"), **entries)
        kind[name] = given.target.task
        facts["n_samples"] = given.target.n_samples
        facts["n_features"] = None if given.features is None else given.features.shape[1]
        requests, _ = plan(metrics, given.target.task, options, given.provides())
        for metric, result in evaluate(given, requests, n_threads=threads).items():
            if isinstance(result, Score):
                scores[metric] = result
            else:
                failures[metric] = str(result)
    except TransferabilityError as error:
        failures = dict.fromkeys(metrics, str(error))
    notes = [text for score in scores.values() for text in score.warnings]
    notes += [f"{m} failed: {text}" for m, text in failures.items() if m != metrics[0] and scores]
    row = Row(
        name=name,
        scores=scores,
        seconds=time.perf_counter() - start,
        notes=tuple(dict.fromkeys(notes)),
        error=failures.get(metrics[0]),
        **facts,
    )
    return row, kind
