r"""B-Tuning: fine-tune one model with the knowledge of the K best ones.

LogME gives every model k a linear head, the posterior mean M_k (C, D_k), and a score s_k. The K
best models teach together through their mixed posterior predictive

    pi = softmax(s / temperature),    ybar(x) = sum_k pi_k (M_k phi_k(x) + o_k)

with phi_k(x) (D_k,) the features of model k and o_k its offset (0 without an intercept). The
student t, whose features phi_t train, is held close to it through its own fixed head:

    regulariser = mean over batch and outputs of (M_t phi_t(x) + o_t - ybar(x))^2
    loss = criterion + tradeoff * regulariser

Only C numbers a sample are compared, so the models' dimensions may differ. This file needs NumPy
alone; :class:`transferability.torch.BTuning` is the regulariser for training.

Source: You, Liu, Zhang, Wang, Jordan & Long, "Ranking and Tuning Pre-trained Models: A New Paradigm
for Exploiting Model Hubs", JMLR 23, 2022, section 5.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ._input import as_features
from .errors import DataError, DtypeError

if TYPE_CHECKING:
    from ._ranking import Ranking, Row

__all__ = ["Head", "TeacherEnsemble", "fine_tune_recipe", "teacher_weights", "teachers_of"]

_FORMAT = "transferability teachers 1"


def teacher_weights(scores: object, temperature: float = 0.1) -> NDArray[np.float64]:
    """Weigh models by their scores: softmax(scores / temperature).

    Parameters
    ----------
    scores : array-like of shape (n_models,)
        LogME of each model, higher is better.
    temperature : float, default=0.1
        Above 0. Towards 0 the best model gets all the weight, towards infinity all the same;
        0.1 is the paper's.

    Returns
    -------
    weights : ndarray of shape (n_models,)
        Positive or zero, summing to 1.

    Raises
    ------
    DataError
        If `scores` is empty, not 1-D or not finite, or `temperature` is not above 0.

    Examples
    --------
    >>> from transferability.tuning import teacher_weights
    >>> teacher_weights([-0.41, -0.24]).round(3).tolist()
    [0.154, 0.846]
    """
    try:
        values = np.asarray(scores, dtype=np.float64)
        divisor = float(temperature)
    except (TypeError, ValueError) as error:
        raise DtypeError(f"scores and temperature must be numbers: {error}") from None
    if values.ndim != 1 or not len(values):
        raise DataError(f"scores must be 1-D with one score a model, got shape {values.shape}")
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"scores[{place}] is {values[place]}; a teacher needs a finite score")
    if not 0.0 < divisor < float("inf"):
        raise DataError(f"temperature is {temperature!r}; it must be above 0 and finite")
    powers = np.exp((values - values.max()) / divisor)
    return np.asarray(powers / powers.sum())


@dataclass(frozen=True, eq=False)
class Head:
    """A model's linear head by LogME: ``features @ coef.T + offset``.

    Attributes
    ----------
    score : float
        LogME of the model.
    coef : ndarray of shape (n_outputs, n_features)
        The posterior mean.
    offset : ndarray of shape (n_outputs,)
        Zero without an intercept.
    """

    score: float
    coef: NDArray[np.float64]
    offset: NDArray[np.float64]

    def __call__(self, features: object, name: str = "features") -> NDArray[np.float64]:
        """Predict (n_samples, n_outputs) from (n_samples, n_features)."""
        array, _ = as_features(features, name)
        if array.shape[1] != self.coef.shape[1]:
            raise DataError(
                f"{name} has {array.shape[1]} columns, but the head was fitted on "
                f"{self.coef.shape[1]}; give the features of the same layer of the same model"
            )
        product: NDArray[np.float64] = array.astype(np.float64) @ self.coef.T + self.offset
        if not np.isfinite(product).all():
            row = int(np.flatnonzero(~np.isfinite(product).all(axis=1))[0])
            raise DataError(f"{name}, row {row}, holds NaN or infinity; every value must be finite")
        return product


class TeacherEnsemble:
    """The heads of ranked models, and how much each teacher counts.

    Parameters
    ----------
    heads : mapping of str to Head
        Of every model that may teach or learn, all with the same outputs.
    teachers : sequence of str
        Names of those that teach.
    temperature : float, default=0.1
        As :func:`teacher_weights` takes it.
    targets : sequence of int, str or bool, optional
        What the outputs are: classes, or columns of targets. Default: 0, 1, ….

    Attributes
    ----------
    names : tuple of str
        The teachers.
    weights : ndarray of shape (n_teachers,)
        Summing to 1.

    Raises
    ------
    DataError
        If a teacher has no head, heads differ in outputs, or shapes do not fit.

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
        if isinstance(teachers, str) or not len(teachers):
            raise DataError("teachers must name at least one model, in a list")
        if len(set(teachers)) < len(teachers):
            raise DataError(f"teachers names a model twice: {', '.join(teachers)}")
        for name in teachers:
            if name not in heads:
                raise DataError(f"there is no head of {name!r}; there are {', '.join(heads)}")
        self.heads = {name: _checked(name, head) for name, head in heads.items()}
        self.names = tuple(teachers)
        self.temperature = float(temperature)
        self.weights = teacher_weights([heads[name].score for name in teachers], temperature)
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

    def head(self, name: str) -> Head:
        """Give the head of a teacher or student.

        Raises
        ------
        DataError
            If LogME was not fitted to a model of that name.
        """
        if name not in self.heads:
            raise DataError(
                f"LogME was not fitted to {name!r}, so it has no head here; there are "
                f"{', '.join(self.heads)}: rank it with them"
            )
        return self.heads[name]

    def predictive(self, features: Mapping[str, object]) -> NDArray[np.float64]:
        """Mix the teachers' posterior predictives.

        Parameters
        ----------
        features : mapping of str to array-like of shape (n_samples, n_features)
            Of every teacher, for the same rows.

        Returns
        -------
        predictive : ndarray of shape (n_samples, n_outputs)
            What the student is held close to; cache it where rows are not augmented.

        Raises
        ------
        DataError
            If a teacher is missing, or rows, columns or values are wrong.
        """
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
        """Write everything to one .npz file, without pickle; it appears whole or not at all."""
        facts = {
            "format": _FORMAT,
            "models": list(self.heads),
            "teachers": list(self.names),
            "temperature": self.temperature,
            "targets": list(self.targets),
        }
        arrays: dict[str, Any] = {"facts": np.array(json.dumps(facts))}
        for i, head in enumerate(self.heads.values()):
            arrays |= {f"score{i}": np.float64(head.score), f"coef{i}": head.coef}
            arrays[f"offset{i}"] = head.offset
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        folder = Path(path).parent
        handle, name = tempfile.mkstemp(prefix=".teachers-", dir=folder)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TeacherEnsemble:
        """Read what :meth:`save` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged or something else.
        """
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
                facts = json.loads(str(arrays["facts"]))
                if facts["format"] != _FORMAT:
                    raise DataError(f"{path} is of another version: {facts['format']!r}")
                heads = {
                    name: Head(float(arrays[f"score{i}"]), arrays[f"coef{i}"], arrays[f"offset{i}"])
                    for i, name in enumerate(facts["models"])
                }
            return cls(heads, facts["teachers"], facts["temperature"], facts["targets"])
        except FileNotFoundError:
            raise DataError(f"there is no file {path}") from None
        except DataError:
            raise
        except (ValueError, KeyError, TypeError, OSError, zipfile.BadZipFile, EOFError) as error:
            raise DataError(f"{path} cannot be read as teachers: {error}") from error

    def __repr__(self) -> str:
        """Show who teaches, with what weight."""
        parts = ", ".join(
            f"{name} {w:.3f}" for name, w in zip(self.names, self.weights, strict=True)
        )
        return f"TeacherEnsemble({parts}; {self.n_outputs} outputs, {len(self.heads)} heads)"


def teachers_of(ranking: Ranking, k: int, temperature: float) -> TeacherEnsemble:
    """Make the ensemble of a ranking's first `k` models; see ``Ranking.teachers``."""
    if isinstance(k, bool) or not hasattr(k, "__index__") or k < 1:
        raise DataError(f"k is {k!r}; it must be a whole number of teachers, at least 1")
    heads: dict[str, Head] = {}
    targets: tuple[int | str, ...] | None = None
    for row in ranking.rows:
        score = row.scores.get("logme")
        if score is None:
            continue
        if getattr(score, "coef", None) is None:
            raise DataError(
                "the ranking kept no heads; make it with rank(..., keep_coef=True), and LogME "
                "among its metrics"
            )
        heads[row.name] = Head(float(score), score.coef, score.offset)
        targets = score.targets
    if not heads:
        raise DataError("no model of this ranking has a LogME score; rank with logme first")
    usable = [row.name for row in ranking.rows if row.name in heads and row.error is None]
    if k > len(usable):
        raise DataError(f"k is {k}, but the ranking has {len(usable)} models scored by LogME")
    return TeacherEnsemble(heads, usable[:k], temperature, targets)


def fine_tune_recipe(row: Row) -> str:
    """Say how the paper fine-tunes a single model; see ``Row.fine_tune_recipe``."""
    score = row.scores.get("logme")
    classes = score is None or score.classes is not None
    loss = "cross-entropy" if classes else "mean squared error"
    outputs = "" if score is None else f" of {len(score.targets)} outputs"
    width = "" if row.n_features is None else f" on its {row.n_features} features"
    return "\n".join(
        [
            f"Fine-tuning {row.name} as in You et al., JMLR 2022:",
            f"1. Put a new linear head{outputs}{width}; keep all other weights as pre-trained.",
            f"2. Train everything with {loss}: SGD, momentum 0.9 (Nesterov), weight decay 5e-4,",
            "   learning rate 1e-3, ten times that for the new head, batches of 48.",
            "3. 9,050 iterations, the learning rate divided by 10 after 6,000; few rows need less.",
            "4. Pictures: resize to 256, random crops of 224 and flips; test on ten crops.",
            "With two or more good models, ranking.teachers(k=3) and transferability.torch.BTuning",
            "let them teach this one: the same recipe with one more term in the loss.",
        ]
    )


def _checked(name: str, head: Head) -> Head:
    coef = np.array(head.coef, dtype=np.float64)
    offset = np.array(head.offset, dtype=np.float64)
    if coef.ndim != 2 or offset.shape != coef.shape[:1]:
        raise DataError(
            f"the head of {name!r} needs coef (n_outputs, n_features) and offset (n_outputs,), got "
            f"{coef.shape} and {offset.shape}"
        )
    if not (np.isfinite(coef).all() and np.isfinite(offset).all()):
        raise DataError(f"the head of {name!r} holds NaN or infinity; fit LogME to it again")
    coef.setflags(write=False)
    offset.setflags(write=False)
    return Head(float(head.score), coef, offset)
