"""Rank models by what their features say about the same labels."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import Any

from . import _core, _threads
from ._evaluate import METHODS, evaluate
from ._input import as_features, check_choice
from ._progress import Progress, progress_bar
from ._ranking import Ranking, Row
from ._registry import Plan, plan
from ._score import Score
from ._sources import Source, parse_source
from ._stats import PRECISIONS
from ._target import Target, read_target
from .errors import DataError, DtypeError

__all__ = ["rank"]

#: Models scored side by side, at most: enough to overlap what is serial in each, and a bound on
#: memory where there are many cores.
_AT_ONCE = 8


def rank(
    models: Mapping[str, object],
    labels: object,
    metrics: str | Sequence[str] = "logme",
    *,
    task: str = "auto",
    precision: str = "double",
    method: str = "auto",
    progress: Progress = None,
    n_threads: int | None = None,
    **options: Any,
) -> Ranking:
    """Rank models, best first, by their features of the same rows.

    Parameters
    ----------
    models : mapping of str to array-like or path
        Features of each model, (n_samples, n_features), as :func:`transferability.logme` takes
        them; or the path of an .npy file, or ``file.npz:member``, read when its turn comes.
    labels : array-like of shape (n_samples,) or (n_samples, n_targets)
        Shared by all models.
    metrics : str or sequence of str, default="logme"
        The first one sorts. "all" takes every metric that applies.
    task : {"auto", "classification", "regression", "multilabel"}, default="auto"
        What the labels are; decided once, see ``Ranking.task_note``.
    precision : {"double", "single"}, default="double"
        Of the products of float32 features.
    method : {"auto", "tridiagonal", "svd"}, default="auto"
        As in :func:`transferability.logme`.
    progress : bool or callable, optional
        None: a tqdm bar on a terminal where tqdm is installed. A callable gets (models done,
        models in all, name), one call at a time.
    n_threads : int, optional
        Default: :func:`transferability.get_num_threads`. Models run side by side on one pool of
        that many threads; the scores do not depend on it.
    **options
        Options of the metrics, for example ``intercept`` and ``keep_coef`` of LogME.

    Returns
    -------
    ranking : Ranking
        A model that fails is a row at the end, with its reason in ``error``; it does not stop
        the others. Ties go by name.

    Raises
    ------
    DataError, DtypeError
        If the labels, the metrics or the options are wrong: what concerns all models.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> good, poor = rng.normal(size=(80, 6)), rng.normal(size=(80, 6))
    >>> ranking = tx.rank({"poor": poor, "good": good}, good[:, 0] > 0)
    >>> ranking.names
    ('good', 'poor')
    """
    _check_models(models)
    check_choice("precision", precision, PRECISIONS)
    check_choice("method", method, METHODS)
    threads = _threads.resolve(n_threads)
    target = read_target(labels, task).without_constant()
    planned = plan(metrics, target.task, options)
    if not planned[0]:
        raise DataError(f"no metric applies to a {target.task} task")
    stop = _core.Stop()
    common = {"precision": precision, "method": method, "n_threads": threads, "stop": stop}
    jobs = [(name, features, target, planned, common) for name, features in models.items()]
    rows: list[Row] = []
    with progress_bar(progress, len(jobs)) as advance:
        if min(threads, len(jobs)) == 1:  # in this thread, where Ctrl-C reaches the native loop
            for job in jobs:
                rows.append(_row(*job))
                advance(len(rows), len(jobs), job[0])
        else:
            workers = min(threads, len(jobs), _AT_ONCE)
            pool = ThreadPoolExecutor(workers, "transferability")
            try:
                running: list[Future[Row]] = [pool.submit(_row, *job) for job in jobs]
                for future in as_completed(running):
                    rows.append(future.result())
                    advance(len(rows), len(jobs), rows[-1].name)
            except BaseException:  # on Ctrl-C models under way end too, not only those waiting
                stop.set()
                raise
            finally:
                pool.shutdown(cancel_futures=True)
    return Ranking(
        rows,
        metrics=tuple(planned[0]),
        task=target.task,
        task_note=target.note,
        digest=_digest(target, planned, precision),
        warnings=target.warnings,
        skipped=planned[1],
    )


def _row(name: str, features: object, target: Target, planned: Plan, common: dict[str, Any]) -> Row:
    """Score one model; whatever goes wrong becomes its row's error."""
    start = time.perf_counter()
    shape: Sequence[int | None] = (None, None)
    scores: dict[str, Score] = {}
    failures: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    try:
        array, notes = as_features(_loaded(features))
        shape = array.shape
        # The labels' own warnings are the ranking's: said once, not for every model.
        for metric, result in evaluate(array, target, planned, **common).items():
            if isinstance(result, Score):
                scores[metric] = result
                notes += tuple(t for t in result.warnings if t not in target.warnings)
            else:
                failures[metric] = _reason(result)
    except Exception as error:  # one bad model never loses the sweep
        failures = dict.fromkeys(planned[0], _reason(error))
    first = next(iter(planned[0]))
    notes += tuple(f"{m} failed: {text}" for m, text in failures.items() if m != first and scores)
    return Row(
        name=name,
        scores=scores,
        n_samples=shape[0],
        n_features=shape[1],
        seconds=time.perf_counter() - start,
        notes=tuple(dict.fromkeys(notes)),
        error=failures.get(first),
    )


def _loaded(features: object) -> object:
    if isinstance(features, Source):
        return features.load()
    if isinstance(features, (str, os.PathLike)):
        return parse_source(features).load()
    return features


def _reason(error: Exception) -> str:
    text = str(error) or "no message"
    known = type(error).__module__.startswith(__package__ or "transferability")
    return text if known else f"{type(error).__name__}: {text}"


def _check_models(models: object) -> None:
    if not isinstance(models, Mapping):
        raise DtypeError(f"models must be a mapping of names to features, got {type(models)}")
    if not models:
        raise DataError("models is empty; give at least one name with its features")
    for name in models:
        if not isinstance(name, str):
            raise DtypeError(f"model names must be strings, got {name!r}")


def _digest(target: Target, planned: Plan, precision: str) -> str:
    """Identify what makes rankings comparable: labels, metrics, options, precision."""
    state = hashlib.blake2b(f"{target.digest()}{planned[0]}{precision}".encode(), digest_size=16)
    return state.hexdigest()
