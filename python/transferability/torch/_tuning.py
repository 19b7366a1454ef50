"""The B-Tuning regulariser as a torch module; ``transferability.tuning`` has its equations."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import DataError, DtypeError
from ..tuning import TeacherEnsemble
from ._run import evaluation_mode

__all__ = ["BTuning"]


class BTuning(nn.Module):
    r"""Regularise a student towards the mixed posterior predictive of its teachers (B-Tuning).

    ``loss = criterion(head(f), labels) + tradeoff * regulariser(f, inputs)``, where ``f`` are the
    penultimate features of the student.

    Parameters
    ----------
    teachers : TeacherEnsemble
        From a ranking, ``ranking.teachers(k=3)``, or loaded from a file.
    student : str
        Name of the model to train. It needs a LogME head, but need not be a teacher.
    models : mapping of str to nn.Module or callable, optional
        The teachers, on the devices where they run. Each maps a batch of inputs to the features
        (n_batch, n_features) on which its head was fitted. A module, or a method of one, runs in
        evaluation mode without gradients, and its mode is restored; any other function must
        ensure evaluation mode itself. The models are not submodules of this module. If the student
        is also a teacher and has trainable parameters, a copy with its current weights teaches.
    tradeoff : float, default=100.0
        Weight of the regulariser in :meth:`penalty`, as in the paper. Choose it by validation
        among 10, 100 and 1000.
    dtype : torch.dtype, optional
        Floating dtype of the heads and of the arithmetic of this module; autocast does not apply.
        Default: ``torch.get_default_dtype()``.

    Attributes
    ----------
    tradeoff, student
        As given.
    names : tuple of str
        The teachers.

    Raises
    ------
    DataError
        If the student has no head, `tradeoff` is negative or not finite, or a teacher is missing
        among `models`.
    DtypeError
        If an argument has a wrong type.

    References
    ----------
    You, Liu, Zhang, Wang, Jordan & Long (2022). Ranking and tuning pre-trained models: a new
    paradigm for exploiting model hubs. JMLR 23, section 5.

    Examples
    --------
    >>> import numpy as np, torch, transferability as tx
    >>> rng = np.random.default_rng(0)
    >>> labels = rng.integers(0, 3, 90)
    >>> features = {n: np.eye(3, 6)[labels] + rng.normal(size=(90, 6)) for n in "abc"}
    >>> teachers = tx.rank(features, labels, keep_coef=True).teachers(k=2)
    >>> regulariser = tx.torch.BTuning(teachers, student="a")
    >>> batch = {n: torch.tensor(features[n][:8]) for n in teachers.names}
    >>> regulariser(torch.randn(8, 6), features=batch).shape
    torch.Size([])
    """

    __module__ = "transferability.torch"

    def __init__(
        self,
        teachers: TeacherEnsemble,
        student: str,
        models: Mapping[str, Callable[[Any], Tensor]] | None = None,
        tradeoff: float = 100.0,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(teachers, TeacherEnsemble):
            raise DtypeError(f"teachers must be a TeacherEnsemble, got {type(teachers).__name__}")
        try:
            self.tradeoff = float(tradeoff)
        except (TypeError, ValueError):
            raise DtypeError(f"tradeoff must be a number, got {tradeoff!r}") from None
        if not 0.0 <= self.tradeoff < float("inf"):
            raise DataError(f"tradeoff is {tradeoff!r}; it must be at least 0 and finite")
        dtype = torch.get_default_dtype() if dtype is None else dtype
        if not dtype.is_floating_point:
            raise DtypeError(f"dtype is {dtype}; it must be a floating one")
        self.student, self.names = student, teachers.names
        # A plain dict: submodules would be trained, moved and saved with this module.
        self._models = {} if models is None else _select_teachers(models, teachers.names, student)
        head = teachers.head(student)
        self.register_buffer("student_coef", torch.tensor(head.coef, dtype=dtype))
        self.register_buffer("student_offset", torch.tensor(head.offset, dtype=dtype))
        # The teachers' weights are multiplied into their heads once, not at every step.
        offset = np.zeros(teachers.n_outputs)
        for i, (name, weight) in enumerate(zip(self.names, teachers.weights, strict=True)):
            head = teachers.head(name)
            offset += weight * head.offset
            self.register_buffer(f"teacher{i}_coef", torch.tensor(weight * head.coef, dtype=dtype))
        self.register_buffer("teachers_offset", torch.tensor(offset, dtype=dtype))

    def predictive(
        self, inputs: Any = None, *, features: Mapping[str, Tensor | NDArray[Any]] | None = None
    ) -> Tensor:
        """Compute the mixed posterior predictive of the teachers, without gradients.

        Parameters
        ----------
        inputs : object, optional
            A batch for `models`: the batch of the student, with the same augmentation.
        features : mapping of str to Tensor or ndarray of shape (n_batch, n_features), optional
            The features of each teacher, instead of `inputs`.

        Returns
        -------
        predictive : Tensor of shape (n_batch, n_outputs)
            In the dtype of this module.

        Raises
        ------
        DataError
            If a teacher is missing, rows or columns do not fit, or a value is not finite.
        DtypeError
            If features are not arrays of numbers.
        """
        with torch.no_grad():
            given = self._run_teachers(inputs) if features is None else features
            if not isinstance(given, Mapping):
                raise DtypeError(f"features must be {{name: Tensor}}, got {type(given).__name__}")
            mixed, n_rows = self.teachers_offset, None
            with self._disable_autocast():
                for i, name in enumerate(self.names):
                    if name not in given:
                        raise DataError(f"features has nothing of the teacher {name!r}")
                    coef = getattr(self, f"teacher{i}_coef")
                    rows = _match_head(given[name], coef, name)
                    if n_rows is not None and len(rows) != n_rows:
                        raise DataError(
                            f"the features of {name!r} have {len(rows)} rows and those of "
                            f"{self.names[0]!r} {n_rows}; give the same batch to every teacher"
                        )
                    mixed, n_rows = torch.addmm(mixed, rows, coef.T), len(rows)
        if not bool(torch.isfinite(mixed).all()):
            for name in self.names:
                _check_finite(torch.as_tensor(given[name]), f"the features of {name!r}")
            _check_finite(mixed, "the teachers' predictive")
        return mixed

    def forward(
        self,
        student_features: Tensor,
        inputs: Any = None,
        *,
        features: Mapping[str, Tensor | NDArray[Any]] | None = None,
        predictive: Tensor | NDArray[Any] | None = None,
    ) -> Tensor:
        """Compute the regulariser of a batch; gradients flow through `student_features` only.

        Parameters
        ----------
        student_features : Tensor of shape (n_batch, n_features)
            The student's penultimate features.
        inputs, features
            The same batch for the teachers, as in :meth:`predictive`.
        predictive : Tensor or ndarray of shape (n_batch, n_outputs), optional
            Instead of both, a cached result of :meth:`predictive` or
            ``TeacherEnsemble.predictive`` for these rows.

        Returns
        -------
        regulariser : Tensor
            A scalar, at least 0: the mean squared distance over batch and outputs.

        Raises
        ------
        DataError
            If not exactly one of `inputs`, `features` and `predictive` is given, rows or columns do
            not fit, the batch is empty, or a value of the teachers is not finite.
        DtypeError
            If features are not arrays of numbers.
        """
        given = [inputs is not None, features is not None, predictive is not None]
        if sum(given) != 1:
            raise DataError("give exactly one of inputs, features and predictive")
        if predictive is None:
            wanted = self.predictive(inputs, features=features)
        else:
            wanted = _as_tensor(predictive, "predictive").detach()
            _check_finite(wanted, "predictive")
        with self._disable_autocast():
            rows = _match_head(student_features, self.student_coef, self.student)
            ours = nn.functional.linear(rows, self.student_coef, self.student_offset)
        if wanted.shape != ours.shape:
            raise DataError(
                f"the teachers' predictive has shape {tuple(wanted.shape)}, the student's "
                f"{tuple(ours.shape)}; give the same batch, of the same labels, to both"
            )
        if not len(ours):
            raise DataError("the batch has no rows; leave out empty batches")
        return (ours - wanted.to(ours)).square().mean()

    def penalty(self, student_features: Tensor, inputs: Any = None, **given: Any) -> Tensor:
        """Return ``tradeoff * regulariser``, to be added to the loss.

        Parameters
        ----------
        student_features, inputs, **given
            As in :meth:`forward`.
        """
        return self.tradeoff * self(student_features, inputs, **given)

    def extra_repr(self) -> str:
        """Return the teachers, the student and the tradeoff."""
        return f"{', '.join(self.names)} -> {self.student}, tradeoff={self.tradeoff:g}"

    def _disable_autocast(self) -> torch.autocast:
        return torch.autocast(device_type=self.student_coef.device.type, enabled=False)

    def _run_teachers(self, inputs: Any) -> dict[str, Tensor]:
        """Run the teachers in evaluation mode, and restore their modes."""
        if not self._models:
            raise DataError("there are no models to run; give models= to BTuning, or features=")
        features = {}
        for name, model in self._models.items():
            module = _find_module(model)
            with nullcontext() if module is None else evaluation_mode(module, warn=False):
                features[name] = model(inputs)
        return features


def _select_teachers(models: Any, names: tuple[str, ...], student: str) -> dict[str, Any]:
    """Select the teachers among the models, with a copy of the student if it is trainable."""
    if not isinstance(models, Mapping):
        raise DtypeError(f"models must be {{name: model}}, got {type(models).__name__}")
    for name in names:
        if name not in models:
            raise DataError(f"models has no {name!r}, which is a teacher; give every teacher")
        if not callable(models[name]):
            raise DtypeError(f"models[{name!r}] cannot be called: {models[name]!r}")
    chosen = {name: models[name] for name in names}
    module = _find_module(chosen.get(student))
    if module is not None and any(parameter.requires_grad for parameter in module.parameters()):
        chosen[student] = copy.deepcopy(chosen[student])
    return chosen


def _find_module(model: object) -> nn.Module | None:
    """Return the module of a model, which may be a method of it; None for other functions."""
    owner = getattr(model, "__self__", model)
    return owner if isinstance(owner, nn.Module) else None


def _match_head(features: Tensor | NDArray[Any], coef: Tensor, name: str) -> Tensor:
    """Validate a batch of features, and convert it to the dtype and device of a head."""
    rows = _as_tensor(features, f"the features of {name!r}")
    if rows.ndim != 2 or rows.shape[1] != coef.shape[1]:
        raise DataError(
            f"the features of {name!r} must be (n_batch, {coef.shape[1]}), as for its head, "
            f"got {tuple(rows.shape)}"
        )
    return rows.to(coef)


def _as_tensor(values: object, what: str) -> Tensor:
    try:
        return values if isinstance(values, Tensor) else torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DtypeError(
            f"{what} must be a Tensor, got {type(values).__name__} ({error})"
        ) from None


def _check_finite(rows: Tensor, what: str) -> None:
    finite = torch.isfinite(rows)
    if not bool(finite.all()):
        row = int(torch.nonzero(~finite)[0, 0])
        raise DataError(f"row {row} of {what} holds NaN or infinity")
