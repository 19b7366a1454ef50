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

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.public import set_modules
from ..errors import DataError, DtypeError
from ._head import Head, checked, teacher_weights

__all__ = ["Head", "TeacherEnsemble", "teacher_weights"]


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
    DtypeError
        If something is of another kind than said here.

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
        self.heads = {name: checked(name, head) for name, head in heads.items()}
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
        """Let the `k` best of fitted LogMEClassifier or LogMERegressor teach.

        Parameters
        ----------
        estimators : mapping of str to estimator
            One a model, fitted to the same rows and labels.
        k, temperature
            As in :meth:`Ranking.teachers`.

        Returns
        -------
        teachers : TeacherEnsemble

        Raises
        ------
        DataError
            If two were fitted to other classes, or `k` or `temperature` is out of range.
        """
        heads = {name: Head.of(estimator) for name, estimator in estimators.items()}
        order = sorted(heads, key=lambda name: (-heads[name].score, name))
        targets: list[int | str] | None = None
        for name, estimator in estimators.items():
            found = getattr(estimator, "classes_", None)
            classes = None if found is None else found.tolist()
            if name != next(iter(estimators)) and classes != targets:
                raise DataError(
                    f"{name!r} was fitted to the classes {classes}, {next(iter(estimators))!r} to "
                    f"{targets}; fit all models to the same labels"
                )
            targets = classes
        return cls(heads, order[: checked_k(k, len(order))], temperature, targets)

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
        """Write everything to one .npz file, without pickle; it appears whole or not at all."""
        from ._file import write

        write(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TeacherEnsemble:
        """Read what :meth:`save` wrote.

        Raises
        ------
        DataError
            If the file is missing, damaged or something else.
        """
        from ._file import read

        return read(path)

    def __repr__(self) -> str:
        """Show who teaches, with what weight."""
        parts = ", ".join(
            f"{name} {w:.3f}" for name, w in zip(self.names, self.weights, strict=True)
        )
        return f"TeacherEnsemble({parts}; {self.n_outputs} outputs, {len(self.heads)} heads)"


def checked_k(k: int, n_models: int) -> int:
    """Refuse a number of teachers that there are not."""
    if isinstance(k, bool) or not hasattr(k, "__index__") or k < 1:
        raise DataError(f"k is {k!r}; it must be a whole number of teachers, at least 1")
    if k > n_models:
        raise DataError(f"k is {k}, but LogME could score {n_models}")
    return int(k)


set_modules(globals())
