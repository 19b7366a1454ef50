"""Mix the posterior predictives of several LogME heads, weighted by their scores."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.types import ArrayLike
from .._util.atomic_file import write_bytes
from .._util.notebook import to_html
from ..errors import DataError, DtypeError
from ._head import Head, teacher_weights, validate_head

if TYPE_CHECKING:
    from .._ranking.ranking import Ranking

__all__ = ["TeacherEnsemble", "build_teachers"]

_FORMAT = "transferability teachers 1"


class TeacherEnsemble:
    """LogME heads of ranked models, and the softmax weights of the teachers among them.

    Parameters
    ----------
    heads : mapping of str to Head
        Heads of all models that may be teachers or students, with the same outputs.
    teachers : sequence of str
        Names of the teachers.
    temperature : float, default=0.1
        As :func:`teacher_weights` takes it.
    targets : sequence of int, str or bool, optional
        Names of the outputs: classes, or columns of targets. Default: 0, 1, ….

    Attributes
    ----------
    heads : dict of str to Head
        The heads, with read-only float64 arrays.
    names : tuple of str
        The teachers.
    weights : ndarray of shape (n_teachers,)
        Weights of the teachers; they sum to 1.
    temperature, targets
        As given, or their defaults.
    n_outputs : int
        The number of outputs.

    Raises
    ------
    DataError
        If a teacher has no head or no finite score, heads differ in outputs, or shapes do not fit.
    DtypeError
        If an argument has a wrong type.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 90)
    >>> models = {n: np.eye(3, 6)[labels] + rng.normal(size=(90, 6)) for n in "abc"}
    >>> teachers = tx.rank(models, labels, keep_coef=True).teachers(k=2)
    >>> teachers.predictive({name: models[name] for name in teachers.names}).shape
    (90, 3)
    """

    def __init__(
        self,
        heads: Mapping[str, Head],
        teachers: Sequence[str],
        temperature: float = 0.1,
        targets: Sequence[int | str] | None = None,
    ) -> None:
        if not isinstance(teachers, list | tuple) or not teachers:
            raise DataError(f"teachers must name at least one model, in a list, got {teachers!r}")
        if len(set(teachers)) < len(teachers):
            raise DataError(f"teachers names a model twice: {', '.join(teachers)}")
        self.heads = {name: validate_head(name, head) for name, head in heads.items()}
        for name in teachers:
            if not np.isfinite(self.head(name).score):
                raise DataError(
                    f"{name!r} has the score {heads[name].score}, which gives no weight among "
                    f"others; leave it out (inf: its features fit the labels exactly)"
                )
        self.names = tuple(teachers)
        self.weights = teacher_weights([heads[name].score for name in teachers], temperature)
        self.weights.setflags(write=False)
        self.temperature = float(temperature)
        outputs = {name: len(head.coef) for name, head in self.heads.items()}
        self.n_outputs = outputs[self.names[0]]
        for name, count in outputs.items():
            if count != self.n_outputs:
                raise DataError(
                    f"{name!r} has {count} outputs and {self.names[0]!r} {self.n_outputs}; rank "
                    f"all models on the same labels"
                )
        self.targets = tuple(range(self.n_outputs)) if targets is None else tuple(targets)
        if len(self.targets) != self.n_outputs:
            raise DataError(f"targets names {len(self.targets)} of {self.n_outputs} outputs")

    @classmethod
    def from_estimators(
        cls, estimators: Mapping[str, Any], k: int = 3, *, temperature: float = 0.1
    ) -> TeacherEnsemble:
        """Build an ensemble from fitted estimators; the `k` with the best scores are the teachers.

        Parameters
        ----------
        estimators : mapping of str to LogMEClassifier or LogMERegressor
            An estimator for each model, fitted to the same rows and labels.
        k, temperature
            As in :meth:`transferability.Ranking.teachers`.

        Raises
        ------
        DataError
            If estimators have different classes, or `k` or `temperature` is out of range.
        DtypeError
            If an estimator is not one of these, or is not fitted.
        """
        heads = {name: Head.of(estimator) for name, estimator in estimators.items()}
        order = sorted(heads, key=lambda name: (-heads[name].score, name))
        classes = {  # None for a regressor
            name: np.asarray(getattr(estimator, "classes_", None)).tolist()
            for name, estimator in estimators.items()
        }
        first, targets = next(iter(classes.items()), ("", None))
        for name, others in classes.items():
            if others != targets:
                raise DataError(
                    f"{name!r} was fitted to the classes {others}, {first!r} to {targets}; fit "
                    f"all models to the same labels"
                )
        return cls(heads, order[: _validate_k(k, len(order))], temperature, targets)

    def head(self, name: str) -> Head:
        """Return the head of a teacher or student; raise DataError if there is none.

        Parameters
        ----------
        name : str
            Name of a teacher or student.
        """
        if name not in self.heads:
            raise DataError(
                f"LogME was not fitted to {name!r}, so it has no head here; there are "
                f"{', '.join(self.heads)}: rank it with them"
            )
        return self.heads[name]

    def predictive(self, features: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
        """Compute the mixed posterior predictive of the teachers.

        Parameters
        ----------
        features : mapping of str to array-like of shape (n_samples, n_features)
            Features of each teacher, with the same rows.

        Returns
        -------
        predictive : ndarray of shape (n_samples, n_outputs)
            The target of the regulariser. It can be cached if rows are not augmented.

        Raises
        ------
        DataError
            If a teacher is missing, rows or columns do not fit, or a value is not finite.
        DtypeError
            If features are not a mapping.
        """
        if not isinstance(features, Mapping):
            raise DtypeError(
                f"features must be {{name: array}} of the teachers, got {type(features).__name__}"
            )
        total: NDArray[np.float64] | None = None
        for name, weight in zip(self.names, self.weights, strict=True):
            if name not in features:
                raise DataError(f"features has nothing of the teacher {name!r}")
            part = weight * self.heads[name](features[name], f"features[{name!r}]")
            if total is not None and len(part) != len(total):
                raise DataError(
                    f"features[{name!r}] has {len(part)} rows and features[{self.names[0]!r}] "
                    f"{len(total)}; give the same rows of every teacher"
                )
            total = part if total is None else total + part
        assert total is not None, "there is at least one teacher"
        return total

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ensemble to one .npz file, without pickle, by an atomic write.

        Parameters
        ----------
        path : str or path-like
            The file, with the suffix ``.npz``.
        """
        facts = {"teachers": self.names, "temperature": self.temperature, "targets": self.targets}
        facts["columns"] = [head.columns for head in self.heads.values()]
        text = json.dumps({"format": _FORMAT, "models": list(self.heads), **facts})
        arrays: dict[str, Any] = {"facts": np.array(text)}
        for i, head in enumerate(self.heads.values()):
            arrays |= {f"score{i}": np.float64(head.score), f"coef{i}": head.coef}
            arrays[f"offset{i}"] = head.offset
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TeacherEnsemble:
        """Read a saved file; raise DataError if it is missing, damaged or of another format.

        Parameters
        ----------
        path : str or path-like
            A file that :meth:`save` wrote.
        """
        try:
            data = Path(path).read_bytes()
        except FileNotFoundError:
            raise DataError(f"there is no file {path}") from None
        except (OSError, TypeError) as error:
            raise DataError(f"{path} cannot be read as teachers: {error}") from error
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                facts = json.loads(str(arrays["facts"]))
                if facts["format"] != _FORMAT:
                    raise DataError(f"{path} is of another version: {facts['format']!r}")
                columns = facts.get("columns") or [None] * len(facts["models"])
                heads = {
                    name: Head(
                        float(arrays[f"score{i}"]),
                        arrays[f"coef{i}"],
                        arrays[f"offset{i}"],
                        None if columns[i] is None else tuple(columns[i]),
                    )
                    for i, name in enumerate(facts["models"])
                }
            return cls(heads, facts["teachers"], facts["temperature"], facts["targets"])
        except DataError:
            raise
        except Exception as error:  # a damaged zip of arrays and JSON fails in many ways
            raise DataError(f"{path} cannot be read as teachers: {error}") from error

    def __repr__(self) -> str:
        """Return the teachers with their weights."""
        parts = ", ".join(
            f"{name} {w:.3f}" for name, w in zip(self.names, self.weights, strict=True)
        )
        return f"TeacherEnsemble({parts}; {self.n_outputs} outputs, {len(self.heads)} heads)"

    def _repr_html_(self) -> str:
        """Return the teachers with their weights as a table for notebooks."""
        body = [[name, f"{w:.3f}"] for name, w in zip(self.names, self.weights, strict=True)]
        title = f"Teachers: {self.n_outputs} outputs, heads of {len(self.heads)} models"
        return to_html(title, ["teacher", "weight"], body)


def build_teachers(ranking: Ranking, k: int, temperature: float) -> TeacherEnsemble:
    """Build the ensemble of the first `k` models of a ranking; see ``Ranking.teachers``."""
    heads: dict[str, Head] = {}
    targets: tuple[int | str, ...] | None = None
    for row in ranking.compared:
        score = row.scores.get("logme")
        if score is None or row.error is not None:
            continue
        if "coef" not in score.details:
            if score.details.get("aggregate", "pooled") == "pooled":
                raise DataError(
                    "the ranking kept no heads; rank with logme among the metrics and "
                    "keep_coef=True"
                )
            raise DataError(
                "each group of rows has a head of its own, and the model none; rank once more "
                "without aggregate=, with keep_coef=True, for its teachers"
            )
        names = score.details.get("feature_names")
        heads[row.name] = Head(float(score), score.coef, score.offset, names)
        targets = score.targets
    if not heads:
        reason = ranking.rows[0].error or "rank with logme among the metrics"
        raise DataError(f"no model of this ranking has a LogME score: {reason}")
    return TeacherEnsemble(heads, list(heads)[: _validate_k(k, len(heads))], temperature, targets)


def _validate_k(k: int, n_models: int) -> int:
    """Return the number of teachers as an int; raise DataError unless it is in 1 to n_models."""
    if isinstance(k, bool) or not hasattr(k, "__index__") or k < 1:
        raise DataError(f"k is {k!r}; it must be a whole number of teachers, at least 1")
    if k > n_models:
        raise DataError(f"k is {k}, but LogME could score {n_models}")
    return int(k)
