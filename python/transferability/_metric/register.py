"""Registration of metrics that users write in Python.

:func:`register_metric` makes the ``MetricSpec`` of a function of features and labels, or of
``Stats``, and adds it to the registry.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import finite_floats
from .._inputs.target import Target
from ..errors import DataError, DtypeError
from .options import choice, number
from .registry import add_spec
from .score import make_outcome
from .spec import TASKS_OF_METRICS, MetricSpec, Size

__all__ = ["RESERVED_NAMES", "RESERVED_OPTIONS", "register_metric"]

F = TypeVar("F", bound=Callable[..., Any])

#: Columns of tables, attributes of rows and members of ``Stats``, which are no names for metrics.
RESERVED_NAMES = {
    *("model", "name", "scores", "value", "n_samples", "n_features", "seconds", "notes"),
    *("error", "from_cache", "rank", "layer", "layers", "inputs", "per_group", "replace"),
    *("to_dict", "round", "dropped", "costs"),
    *("class_scatter", "feature_moments", "decide", "described"),
    *("class_counts", "class_scatters", "classes", "copy", "from_bytes", "from_moments", "load"),
    *("merge", "merge_all", "moments", "nbytes", "outcomes", "push", "reset", "save", "score"),
    *("feature_names", "holds_rows", "task", "task_note", "to_bytes", "update"),
    *("mean", "covariance", "covariance_and_shrinkage", "spectrum", "class_covariances"),
    *("coding_rate", "coding_rate_reduction", "precision"),
}
#: Arguments of ``score``, ``rank``, ``rank_models`` and ``Engine``, which are no names for options.
RESERVED_OPTIONS = {
    *("models", "features", "labels", "metrics", "task", "precision", "method", "n_threads"),
    *("source_probs", "source_labels", "label_embeddings", "groups", "aggregate", "reference"),
    *("baselines", "prior", "progress", "options", "amp", "batch_size", "bio", "cache", "data"),
    *("device", "dtype", "ignore", "isolate", "keep_features", "label", "layers", "max_length"),
    *(
        "max_bytes",
        "max_classes",
        "max_features",
        "max_samples",
        "outputs",
        "pool",
        "positions",
        "resume",
        "seed",
        "text",
    ),
    *(
        "bag",
        "bag_pool",
        "compile",
        "costs",
        "encoding",
        "race",
        "quoting",
        "split",
        "stride",
        "window",
    ),
}
_LABELLED = ("classification", "regression", "multilabel")
#: Values of `reads`, with the positional parameters of the function.
_PARAMETERS = {"samples": ("features", "labels"), "stats": ("stats",), "class_scatters": ("stats",)}


@overload
def register_metric(function: F, /) -> F: ...


@overload
def register_metric(
    function: None = None,
    /,
    *,
    name: str | None = None,
    reads: str = "samples",
    tasks: str | Iterable[str] = _LABELLED,
    title: str = "",
    summary: str = "",
    when: str = "",
    cost: str = "",
    source: str = "",
) -> Callable[[F], F]: ...


def register_metric(
    function: Any = None,
    /,
    *,
    name: str | None = None,
    reads: str = "samples",
    tasks: str | Iterable[str] = _LABELLED,
    title: str = "",
    summary: str = "",
    when: str = "",
    cost: str = "",
    source: str = "",
) -> Any:
    """Register a Python function as a metric, as a decorator with or without arguments.

    The metric then works by its name like a built-in one: in ``score``, ``rank``,
    ``rank_models``, ``Stats.score``, groups, ``Ranking.stability`` (by the jackknife), reports.
    On the command line, in Dask workers and in other processes it is known if its module is
    imported there, or is an entry point of the group ``transferability.metrics``.

    Parameters
    ----------
    function : callable
        ``function(features, labels, *, option=default, ...)`` returns one real number, higher for
        better features; NaN is an error. Keyword-only parameters are the options of the metric.

        - `features` is a finite, read-only ndarray of shape (n_samples, n_features): float32 if the
          user's features are float32, else float64.
        - `labels`, read-only too, has the user's own values. Classes have shape (n_samples,):
          integers, strings or booleans. Targets are float64, of shape (n_samples,), or
          (n_samples, n_targets) where there are several; multilabel targets are always 2-D.
          None without labels.

        With `reads` other than "samples" the signature is
        ``function(stats, *, option=default, ...)``, where `stats` is a
        :class:`transferability.Stats` of all rows, a copy.
    name : str, optional
        Name of the metric. Default: the name of the function.
    reads : {"samples", "stats", "class_scatters"}, default="samples"
        "samples" passes features and labels. "stats" passes statistics, so that the metric also
        works for features that are streamed, merged or read from a file of statistics;
        "class_scatters" passes statistics that hold the scatter matrix of every class.
    tasks : str or iterable of str, default=("classification", "regression", "multilabel")
        The tasks that it applies to; "unlabelled" if it needs no labels.
    title : str, optional
        Name in tables and reports. Default: `name`.
    summary : str, optional
        Description. Default: the first line of the function's docstring.
    when, cost, source : str, optional
        When to use it, its time complexity, its publication, for listings.

    Returns
    -------
    function : callable
        The function itself, unchanged; or the decorator.

    Raises
    ------
    DataError
        If the name is taken or is not an identifier, the parameters of the function are not as
        above, or `reads` or `tasks` has an unknown value.
    DtypeError
        If `function` is not callable.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> @tx.register_metric
    ... def centroid_gap(features, labels, *, power=1.0):
    ...     '''Largest distance of a class mean from the mean of all rows.'''
    ...     classes = np.unique(labels)
    ...     means = np.stack([features[labels == c].mean(axis=0) for c in classes])
    ...     return np.linalg.norm(means - features.mean(axis=0), axis=1).max() ** power
    >>> noise = np.random.default_rng(0).normal(size=(80, 6))
    >>> labels = ["cat", "dog"] * 40
    >>> good = noise + 2 * (np.array(labels) == "dog")[:, None]
    >>> tx.rank({"noise": noise, "good": good}, labels, ["centroid_gap", "logme"], power=2).names
    ('good', 'noise')

    Statistics hold the class means already:

    >>> @tx.register_metric(reads="stats", tasks="classification", title="Balance")
    ... def balance(stats):
    ...     return min(stats.class_counts) / max(stats.class_counts)
    >>> print(tx.Stats().update(noise, labels).balance())
    1.0
    """
    texts = {"title": title, "summary": summary, "when": when, "cost": cost, "source": source}

    def decorate(decorated: Any) -> Any:
        add_spec(_make_spec(decorated, name, reads, tasks, texts))
        return decorated

    return decorate if function is None else decorate(function)


def _make_spec(
    function: Any, name: str | None, reads: str, tasks: str | Iterable[str], texts: dict[str, Any]
) -> MetricSpec:
    """Validate the arguments of `register_metric`, and return the specification."""
    if not callable(function):
        raise DtypeError(f"function is {function!r}; give a function of features and labels")
    name = getattr(function, "__name__", "") if name is None else name
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise DataError(f"name is {name!r}; give the metric a name that is a Python identifier")
    if name.startswith("_") or name in RESERVED_NAMES:
        raise DataError(f"name is {name!r}, which rankings use or hide; choose another")
    reads = choice("reads", reads, tuple(_PARAMETERS))
    for argument, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise DtypeError(f"{argument} is {text!r}; give a string")
    advice_on_tasks = f"choose from {', '.join(TASKS_OF_METRICS)}"
    if not isinstance(tasks, Iterable):
        raise DtypeError(f"tasks is {tasks!r}; {advice_on_tasks}")
    tasks = (tasks,) if isinstance(tasks, str) else tuple(tasks)
    if not tasks:
        raise DataError(f"tasks is empty; {advice_on_tasks}")
    defaults = _defaults_of(function, name, _PARAMETERS[reads])
    origin = f"{function.__module__}.{getattr(function, '__qualname__', name)}"
    summary = texts["summary"] or (inspect.getdoc(function) or "").partition("\n")[0]

    def compute(inputs: Any, options: Mapping[str, Any], n_threads: int) -> dict[str, Any]:
        if reads != "samples":
            given: tuple[Any, ...] = (inputs.copy(),)  # which the function may change
        else:
            features, labels = finite_floats(inputs.features), _labels(inputs.target)
            given = _read_only(features), None if labels is None else _read_only(labels)
        try:
            found = function(*given, **options)
        except MemoryError:
            raise
        except Exception as error:
            raise DataError(
                f"{name} raised {type(error).__name__}: {error}; call {origin} directly to debug it"
            ) from error
        advice = "one real number, higher for better features"
        value = number(f"the value of {name}", found, advice, wrong_type=DtypeError)
        if np.isnan(value):
            raise DataError(
                f"{name} returned NaN; return a number, or raise transferability.DataError with "
                f"the reason why there is none"
            )
        return make_outcome(value)

    def memory(size: Size, options: Mapping[str, Any]) -> float:
        copied = 1.0 if reads == "samples" else 0.0  # other features than float32, as float64
        return copied * size.n_samples * size.n_features

    def explain(score: Any) -> list[str]:
        text = summary.rstrip(".")
        return [f"It is the value of the registered function {origin}{text and ': '}{text}."]

    return MetricSpec(
        name,
        _options(defaults),
        explain,
        **{**texts, "title": texts["title"] or name, "summary": summary},
        needs=("stats", "class_scatters") if reads == "class_scatters" else (reads,),
        tasks=tasks,
        compute=compute,
        memory=memory,
        origin=origin,
    )


def _defaults_of(function: Any, name: str, parameters: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of a function with their defaults; DataError for other signatures."""
    wanted = f"{name}({', '.join(parameters)}, *, option=default)"
    try:
        found = [*inspect.signature(function).parameters.values()]
    except (TypeError, ValueError):
        raise DataError(f"{name} has no signature; wrap it in a function {wanted}") from None
    options = {p.name: p.default for p in found if p.kind is p.KEYWORD_ONLY}
    leading = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(leading) != len(parameters) or len(leading) + len(options) != len(found):
        raise DataError(
            f"{name} has the parameters ({', '.join(map(str, found))}); write it as {wanted}, with "
            f"every option after the asterisk"
        )
    for option, default in options.items():
        if default is inspect.Parameter.empty:
            raise DataError(f"the option {option} of {name} has no default; give it one")
        if option in RESERVED_OPTIONS:
            raise DataError(
                f"the option {option} of {name} is an argument of score and rank; rename it"
            )
    return options


def _options(defaults: Mapping[str, Any]) -> Callable[..., dict[str, object]]:
    """Return the ``options`` function of a specification, with `defaults` in its signature."""

    def options(task: str, **given: Any) -> dict[str, object]:
        return {**defaults, **given}

    parameter, kind = inspect.Parameter, inspect.Parameter.KEYWORD_ONLY
    named = [parameter(option, kind, default=default) for option, default in defaults.items()]
    task_first = [parameter("task", parameter.POSITIONAL_OR_KEYWORD), *named]
    options.__signature__ = inspect.Signature(task_first)  # type: ignore[attr-defined]
    return options


def _labels(target: Target) -> NDArray[Any] | None:
    """Return labels in the user's own values, None without any."""
    if target.values is not None:
        single = target.task == "regression" and target.values.shape[1] == 1
        return target.values[:, 0] if single else target.values
    if target.ids is None:
        return None
    if target.names is not None:
        return np.asarray(target.names)[target.ids]
    return target.ids.astype(bool) if target.boolean else target.ids


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view: other metrics read the same memory."""
    view = array.view()
    view.flags.writeable = False
    return view
