"""B-Tuning's regulariser for training; ``transferability.tuning`` says what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import DataError, DtypeError
from ..tuning import TeacherEnsemble

__all__ = ["BTuning"]


class BTuning(nn.Module):
    r"""Hold a student's features close to what the best models predict together.

    ``loss = criterion(head(f), labels) + tradeoff * regulariser(f, inputs)`` with ``f`` the
    student's penultimate features.

    Parameters
    ----------
    teachers : TeacherEnsemble
        Of a ranking, ``ranking.teachers(k=3)``, or loaded from a file.
    student : str
        Name of the model that trains, which LogME was fitted to as well; it need not teach.
    models : mapping of str to nn.Module or callable, optional
        The teachers themselves: each takes a batch of inputs and gives (n_batch, n_features),
        those that LogME saw. They are neither part of this module nor changed: they run in
        evaluation mode without gradients and get their mode back. Move them to the device
        yourself. A student that also teaches does so with its weights before fine-tuning: give
        a frozen copy.
    tradeoff : float, default=100.0
        How much the regulariser counts, for :meth:`penalty`. 100 is the paper's; with few labels
        choose more, and choose by validation among 10, 100 and 1000.
    dtype : torch.dtype, optional
        Of the heads and of the arithmetic here, whatever autocast says elsewhere. Default:
        torch's default.

    Attributes
    ----------
    tradeoff : float
        As given.

    Raises
    ------
    DataError
        If the student has no head, or a teacher has no model where models are given.

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
        if not 0.0 <= float(tradeoff) < float("inf"):
            raise DataError(f"tradeoff is {tradeoff!r}; it must be at least 0 and finite")
        for name in teachers.names if models is not None else ():
            if name not in (models or {}):
                raise DataError(f"models has no {name!r}, which teaches; give every teacher")
        dtype = torch.get_default_dtype() if dtype is None else dtype
        self.tradeoff = float(tradeoff)
        self.student, self.names = student, teachers.names
        # A plain dict in a tuple: as submodules they would train, move and be saved with this.
        self._models = (dict(models),) if models is not None else ()
        heads = [("student", teachers.head(student))]
        heads += [(f"teacher{i}", teachers.head(name)) for i, name in enumerate(self.names)]
        for name, head in heads:
            self.register_buffer(f"{name}_coef", torch.tensor(head.coef, dtype=dtype))
            self.register_buffer(f"{name}_offset", torch.tensor(head.offset, dtype=dtype))
        self.register_buffer("weights", torch.tensor(teachers.weights, dtype=dtype))

    def predictive(
        self, inputs: Any = None, *, features: Mapping[str, Tensor] | None = None
    ) -> Tensor:
        """Mix the teachers' posterior predictives, without gradients.

        Parameters
        ----------
        inputs : object, optional
            A batch for `models`, the student's own, augmented alike.
        features : mapping of str to Tensor of shape (n_batch, n_features), optional
            The teachers' features instead.

        Returns
        -------
        predictive : Tensor of shape (n_batch, n_outputs)
            In this module's dtype.
        """
        with torch.no_grad():
            if features is None:
                features = self._run(inputs)
            mixed: Tensor | None = None
            for i, name in enumerate(self.names):
                if name not in features:
                    raise DataError(f"features has nothing of the teacher {name!r}")
                part = self.weights[i] * self._head(f"teacher{i}", features[name], name)
                if mixed is not None and len(part) != len(mixed):
                    raise DataError(
                        f"the features of {name!r} have {len(part)} rows and those of "
                        f"{self.names[0]!r} {len(mixed)}; give the same batch to every teacher"
                    )
                mixed = part if mixed is None else mixed + part
        assert mixed is not None, "there is at least one teacher"
        if not bool(torch.isfinite(mixed).all()):
            row = int(torch.nonzero(~torch.isfinite(mixed).all(dim=1))[0])
            raise DataError(f"a teacher's features hold NaN or infinity in row {row} of the batch")
        return mixed

    def forward(
        self,
        student_features: Tensor,
        inputs: Any = None,
        *,
        features: Mapping[str, Tensor] | None = None,
        predictive: Tensor | None = None,
    ) -> Tensor:
        """Give the regulariser of a batch; gradients flow through `student_features` only.

        Parameters
        ----------
        student_features : Tensor of shape (n_batch, n_features)
            The student's penultimate features.
        inputs : object, optional
            The batch, for `models`.
        features : mapping of str to Tensor, optional
            The teachers' features of the same batch, instead of `inputs`.
        predictive : Tensor of shape (n_batch, n_outputs), optional
            What :meth:`predictive` or ``TeacherEnsemble.predictive`` gave for these rows, cached,
            instead of both.

        Returns
        -------
        regulariser : Tensor
            A scalar, at least 0: the mean squared distance over batch and outputs.

        Raises
        ------
        DataError
            Other rows or columns, NaN features of teachers, or not exactly one of `inputs`,
            `features` and `predictive`.
        """
        given = [inputs is not None, features is not None, predictive is not None]
        if sum(given) != 1:
            raise DataError("give exactly one of inputs, features and predictive")
        if predictive is None:
            predictive = self.predictive(inputs, features=features)
        ours = self._head("student", student_features, self.student)
        if tuple(predictive.shape) != tuple(ours.shape):
            raise DataError(
                f"the teachers' predictive has shape {tuple(predictive.shape)}, the student's "
                f"{tuple(ours.shape)}; give the same batch, of the same labels, to both"
            )
        return (ours - predictive.detach().to(ours)).square().mean()

    def penalty(self, student_features: Tensor, inputs: Any = None, **given: Any) -> Tensor:
        """Give ``tradeoff * regulariser``, ready to be added to the loss."""
        return self.tradeoff * self(student_features, inputs, **given)

    def extra_repr(self) -> str:
        """Say who teaches whom."""
        return f"{', '.join(self.names)} -> {self.student}, tradeoff={self.tradeoff:g}"

    def _head(self, which: str, features: Tensor, name: str) -> Tensor:
        coef, offset = getattr(self, f"{which}_coef"), getattr(self, f"{which}_offset")
        if features.ndim != 2 or features.shape[1] != coef.shape[1]:
            raise DataError(
                f"the features of {name!r} must be (n_batch, {coef.shape[1]}), as LogME saw them, "
                f"got {tuple(features.shape)}"
            )
        with torch.autocast(device_type=features.device.type, enabled=False):
            return nn.functional.linear(features.to(coef.dtype), coef, offset)

    def _run(self, inputs: Any) -> dict[str, Tensor]:
        """Run the teachers as they are, and give them their mode back."""
        if not self._models:
            raise DataError("there are no models to run; give models= to BTuning, or features=")
        features = {}
        for name in self.names:
            model = self._models[0][name]
            modules = list(model.modules()) if isinstance(model, nn.Module) else []
            training = [module for module in modules if module.training]
            for module in training:
                module.training = False
            try:
                features[name] = model(inputs)
            finally:
                for module in training:
                    module.training = True
        return features
