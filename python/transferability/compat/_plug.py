"""Adapters of this package's metrics to the estimator interface of transformer-ranker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from .._metric.registry import metric_names, spec_of
from .._scoring.score_features import score_one
from ..errors import DataError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._metric.score import Score

__all__ = ["Estimator", "install"]

#: Inputs of a metric that a ranker can provide: it passes embeddings and labels only.
_AVAILABLE = {"stats", "class_scatters", "samples"}


class Estimator:
    """One metric of this package with the interface of transformer-ranker's estimators.

    `score` is the :class:`transferability.Score` of the last `fit`. Labels are classes, or targets
    with ``regression=True``.
    """

    metric: ClassVar[str]
    options: ClassVar[dict[str, Any]]

    def __init__(self, regression: bool = False) -> None:
        spec = spec_of(self.metric)
        self.regression = regression
        self.task = "regression" if regression else "classification"
        self.score: Score | None = None
        if self.task not in spec.tasks:
            raise DataError(
                f"{self.metric} is not for {self.task}, which is this ranker's task; choose "
                "another estimator"
            )

    def fit(self, embeddings: object, labels: object, **kwargs: object) -> float:
        """Compute the score, keep it as `score` and return it; other keywords are ignored."""
        self.score = score_one(self.metric, embeddings, labels, self.options, task=self.task)
        return float(self.score)


def install(
    ranker: Any, metrics: str | Sequence[str] = "all", **options: Any
) -> dict[str, Callable[..., Any]]:
    """Add this package's metrics to a ranker's `transferability_metrics`.

    ``ranker.run(models, estimator="transrate")`` then works, and likewise for each metric. A metric
    replaces the ranker's estimator of the same name: ``estimator="logme"`` becomes the true maximum
    of the evidence. The ranker's other estimators, such as "hscore", stay.

    Parameters
    ----------
    ranker : transformer_ranker.TransformerRanker
        Or anything with a dict `transferability_metrics` of names and estimator classes.
    metrics : str or sequence of str, default="all"
        Names of metrics; "all" is every metric that needs embeddings and labels only, and
        "recommended" as in :func:`transferability.rank`.
    **options
        Options of the metrics, as :func:`transferability.score` takes them.

    Returns
    -------
    replaced : dict
        The ranker's own entries that were replaced, by name;
        ``ranker.transferability_metrics.update(replaced)`` restores them.

    Raises
    ------
    DataError
        For unknown metrics, and for metrics that need more than embeddings and labels.
    DtypeError
        If `ranker` has no such dict, or for options that none of the metrics takes.

    Examples
    --------
    >>> import numpy as np
    >>> from transferability.compat import transformer_ranker
    >>> class Ranker:  # stands for transformer_ranker.TransformerRanker
    ...     transferability_metrics = {"hscore": object}
    >>> transformer_ranker.install(Ranker, "logme")
    {}
    >>> sorted(Ranker.transferability_metrics)
    ['hscore', 'logme']
    >>> metric = Ranker.transferability_metrics["logme"](regression=False)
    >>> embeddings = np.random.default_rng(0).normal(size=(60, 5))
    >>> round(metric.fit(embeddings=embeddings, labels=embeddings[:, 0] > 0), 4)
    -0.9558
    """
    table = getattr(ranker, "transferability_metrics", None)
    if not isinstance(table, dict):
        raise DtypeError(
            f"{type(ranker).__name__} has no dict transferability_metrics; pass a "
            "transformer_ranker.TransformerRanker"
        )
    specs = {name: spec_of(name) for name in metric_names(metrics)}
    if metrics == "all":
        specs = {name: spec for name, spec in specs.items() if _AVAILABLE.issuperset(spec.needs)}
    for name, spec in specs.items():
        if beyond := sorted(set(spec.needs) - _AVAILABLE):
            raise DataError(
                f"{name} needs {', '.join(beyond)}, and a ranker has embeddings and labels"
            )
    for option in options:
        if not any(option in spec.option_names for spec in specs.values()):
            raise DtypeError(f"unknown option {option!r}; {', '.join(specs)} do not take it")
    replaced = {name: table[name] for name in specs if name in table}
    for name, spec in specs.items():
        own = dict(spec.recommended or {}) if metrics == "recommended" else {}
        own |= {option: value for option, value in options.items() if option in spec.option_names}
        fields = {"metric": name, "options": own, "__doc__": f"{spec.summary}."}
        table[name] = type(f"Estimator_{name}", (Estimator,), fields)
    return replaced
