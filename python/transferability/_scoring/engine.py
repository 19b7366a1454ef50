"""``Engine``: the same metrics on many data sets, with options that are checked once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np

from .._inputs.arguments import name_arguments
from .._inputs.arrays import check_choice
from .._inputs.inputs import read_inputs
from .._inputs.target import TASKS
from .._inputs.types import ArrayLike, ByName
from .._metric.registry import metric_names
from ..errors import DataError
from .call import Call, check_options, finish
from .evaluate import evaluate
from .limits import Limits

__all__ = ["Engine"]


class Engine:
    """Score many data sets by the same metrics and options, as in a service.

    A call returns what :func:`transferability.score` with the same options returns, to the bit,
    and raises the same errors. An engine has no state that calls change: any number of threads
    may share it, a forked process may go on with it, and a pickle holds its arguments alone.

    Parameters
    ----------
    metrics : str or sequence of str, default="logme"
        As in :func:`transferability.score`.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        "auto" decides by the labels of each call, as :func:`transferability.logme` does.
    precision, method
        As in :func:`transferability.logme`.
    n_threads : int or None, default=1
        1 computes on the calling thread and starts no other, which suits a service that has its
        own threads. More use the pool of this size that all calls of the process share. None is
        :func:`transferability.get_num_threads` at each call.
    max_samples, max_features, max_classes : int, optional
        The most rows, columns and classes of a call. Columns are those of any argument but
        `labels`; columns of targets count as classes.
    max_bytes : int, optional
        The most memory that a call may take beside its arguments, by an estimate from their
        shapes. It counts copies, statistics and decompositions. It cannot count what a metric of
        your own takes.
    **options
        Options of the metrics, as in :func:`transferability.score`. `groups`, `aggregate` and
        `reference` are arguments of that function alone. An option with the name of a limit, such
        as `max_samples` of ``parc``, keeps its default.

    Raises
    ------
    DataError, DtypeError
        For unknown metrics and options, wrong values, and metrics that have no task in common.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> engine = tx.Engine(["logme", "h_score"], max_samples=100_000)
    >>> features = np.random.default_rng(0).normal(size=(60, 4))
    >>> labels = features[:, 0] > 0
    >>> engine.score(features, labels) == tx.score(features, labels, ["logme", "h_score"])
    True
    """

    __module__ = "transferability"

    def __init__(
        self,
        /,  # so that every name can be one of an option
        metrics: str | Sequence[str] = "logme",
        *,
        task: str = "auto",
        precision: str = "double",
        method: str = "auto",
        n_threads: int | None = 1,
        max_bytes: int | None = None,
        max_samples: int | None = None,
        max_features: int | None = None,
        max_classes: int | None = None,
        **options: Any,
    ) -> None:
        limits = {
            "max_bytes": max_bytes,
            "max_samples": max_samples,
            "max_features": max_features,
            "max_classes": max_classes,
        }
        settings = {"precision": precision, "method": method, "n_threads": n_threads}
        options = {name: _own(value) for name, value in options.items()}
        check_choice("task", task, ("auto", *TASKS))
        names = metric_names(metrics)
        asked = metrics if isinstance(metrics, str) else tuple(names)
        self._arguments = {"metrics": asked, "task": task, **settings, **limits, **options}
        self._task = task
        self._call = Call(asked, precision, method, n_threads, options)
        check_options(asked, task, options, remedy="call transferability.score with groups")
        self._settings = self._call.settings
        self._limits = Limits.of(limits)

    def __getstate__(self) -> dict[str, Any]:
        """Pickle the arguments alone."""
        return self._arguments

    def __setstate__(self, arguments: dict[str, Any]) -> None:
        self.__init__(**arguments)  # type: ignore[misc]

    def __repr__(self) -> str:
        metrics, *rest = self._arguments.items()
        shown = [f"{name}={value!r}" for name, value in rest if value is not None]
        return f"Engine({', '.join([repr(metrics[1]), *shown])})"

    def score(
        self,
        features: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        *,
        targets: ArrayLike | None = None,
        source_probs: ArrayLike | None = None,
        source_labels: ArrayLike | None = None,
        label_embeddings: ByName | None = None,
    ) -> Any:
        """Compute the metrics of one data set.

        Parameters
        ----------
        features, labels, source_probs, source_labels, label_embeddings
            As in :func:`transferability.score`.
        targets : array-like of shape (n_samples,) or (n_samples, n_targets), optional
            Real-valued targets in place of `labels`, with which the task is regression.

        Returns
        -------
        score : Score, or Scores
            A Score if the engine was given one name, else a mapping by name.

        Raises
        ------
        DataError, DtypeError
            As :func:`transferability.score`.
        LimitError
            If an argument exceeds a limit of the engine, before anything is computed.

        Examples
        --------
        >>> import numpy as np, transferability as tx
        >>> engine = tx.Engine("logme", max_samples=50)
        >>> features, noise = np.random.default_rng(0).normal(size=(2, 60, 4))
        >>> targets = features[:, 0] + noise[:, 0]
        >>> engine.score(features[:50], targets=targets[:50]).task
        'regression'
        >>> engine.score(features, targets=targets)
        Traceback (most recent call last):
        transferability.errors.LimitError: features has 60 rows, and max_samples is 50; ...
        """
        task, limits = self._task, self._limits
        if targets is not None:
            labels, own = self._as_labels(labels, targets), object.__new__(type(self))
            own.__dict__.update(self.__dict__, _task="regression")
            others = {"source_probs": source_probs, "source_labels": source_labels}
            with name_arguments(labels="targets"):
                return own.score(features, labels, label_embeddings=label_embeddings, **others)
        if limits is not None:
            given = {"features": features, "source_probs": source_probs}
            given |= {"labels": labels, "source_labels": source_labels}
            given |= {"label_embeddings": label_embeddings}
            limits.check_arguments(given)
        inputs = read_inputs(
            features,
            labels,
            task,
            source_probs=source_probs,
            source_labels=source_labels,
            label_embeddings=label_embeddings,
        )
        requests, skipped = self._call.plan(inputs)
        if limits is not None:
            limits.check_inputs(inputs, requests, self._settings, given)
        return finish(evaluate(inputs, requests, self._settings), self._call.metrics, skipped)

    def _as_labels(self, labels: object, targets: object) -> object:
        """Return the targets in place of labels; raise if the call or the task has labels."""
        if labels is not None:
            raise DataError(
                "labels and targets were both given; give classes as labels, or numbers as targets"
            )
        if self._task not in ("auto", "regression"):
            raise DataError(
                f"targets were given, and the task of this engine is {self._task}; give labels, or "
                f"make an engine with task='regression'"
            )
        return targets


def _own(value: Any) -> Any:
    """Return an option as one that the caller cannot change afterwards."""
    is_changed = isinstance(value, (list, tuple, dict, set, np.ndarray))
    return copy.deepcopy(value) if is_changed else value
