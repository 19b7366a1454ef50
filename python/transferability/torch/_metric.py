"""A torchmetrics metric of transferability: its states are sums, merged over batches and processes.

The states are the sums of ``_accumulate`` about a shift s (D,) of the features and a shift p (K,)
of the targets, the same in all processes; the scatter Σ (x - s)(x - s)ᵀ; and the least and the
largest value of each column, which are equal in a constant column. All are float64, on the device
of the module. A batch takes O(B D²) time, and the states take O(D²) memory.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._inputs.target import TASKS
from .._metric.plan import plan
from .._metric.registry import metric_specs
from .._metric.score import Score
from .._stats.stats import Stats
from .._util.optional import need
from ..errors import DataError, DtypeError, TransferabilityError, TransferabilityWarning
from ._accumulate import add_classes, add_rows, add_targets, zero_sums
from ._exact_states import as_vector, check_state, move_exactly, real_device
from ._metric_moments import convert_moments, describe_lost_digits

__all__ = ["TransferabilityMetric"]

_Metric: Any = need("torchmetrics", extra="torch", what="TransferabilityMetric").Metric


class TransferabilityMetric(_Metric):
    """Compute transferability scores of batches of features and labels, in one process or several.

    Parameters
    ----------
    num_features : int
        Number of columns of the features, D.
    num_classes, num_outputs, num_labels : int, optional
        Exactly one is required. Labels are classes 0 to ``num_classes - 1``, or ``num_outputs``
        real targets, or ``num_labels`` columns of 0 and 1.
    metrics : str or sequence of str, default="logme"
        Metrics that need only sufficient statistics.
    shift : array-like of shape (num_features,), optional
        Subtracted from the features before products are summed; the same in every process.
        Default: zeros, which suits features whose mean is within a few hundred standard deviations
        of 0. For other features use :meth:`shift_from` of one batch.
    target_shift : array-like of shape (num_outputs,), optional
        Subtracted from the targets, likewise.
    options : mapping, optional
        Options of the metrics, for example ``{"intercept": True}``.
    **kwargs
        Arguments of ``torchmetrics.Metric``.

    Raises
    ------
    DataError, DtypeError
        If not exactly one of the three numbers is passed, or metrics or options do not apply. In
        ``update``, if features or labels have a wrong shape, a value that is not finite, or an
        unknown class; the state is then unchanged.

    Notes
    -----
    Scores are computed from all batches together, not averaged over batches; higher is better. The
    states are float64, which Apple's MPS lacks: keep the metric on the CPU there. They stay so when
    a module that contains the metric is converted, as by ``module.to(torch.bfloat16)``. ``update``
    moves each batch to the device of the metric.

    Examples
    --------
    >>> import torch
    >>> from transferability.torch import TransferabilityMetric
    >>> metric = TransferabilityMetric(num_features=4, num_classes=2, metrics="logme")
    >>> features = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    >>> for batch in features.split(20):
    ...     metric.update(batch, (batch[:, 0] > 0).long())
    >>> metric.compute().shape, metric.stats.n_samples
    (torch.Size([]), 60)
    """

    __module__ = "transferability.torch"

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    least: Tensor
    most: Tensor
    _device: torch.device

    def __init__(
        self,
        num_features: int,
        num_classes: int | None = None,
        num_outputs: int | None = None,
        num_labels: int | None = None,
        metrics: str | Sequence[str] = "logme",
        *,
        shift: Any = None,
        target_shift: Any = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._device = real_device(self._device)
        sizes = dict(zip(TASKS, (num_classes, num_outputs, num_labels), strict=True))
        chosen = [(task, size) for task, size in sizes.items() if size is not None]
        if len(chosen) != 1:
            raise DataError("give one of num_classes, num_outputs and num_labels")
        (self.task, self.width), self.num_features = chosen[0], num_features
        for name, size in (("num_features", num_features), ("the number given", self.width)):
            if size < 1:
                raise DataError(f"{name} is {size}; it must be at least 1")
        self.metrics = metrics if isinstance(metrics, str) else tuple(metrics)
        self.options = dict(options or {})
        plan(self.metrics, self.task, self.options, {"stats"})  # raises if something does not apply

        d, k = num_features, self.width
        of_classes = self.task == "classification"
        shapes: dict[str, tuple[int, ...]] = {
            **{"class_counts": (k,), "class_sums": (k, d), "class_squares": (k,)}
        }
        if not of_classes:
            shapes = {"target_sum": (k,), "target_square": (k,)}
        sums = zero_sums(d, None if of_classes else k, self._device)
        for name, shape in {"count": (), **shapes}.items():
            sums[name] = torch.zeros(shape, dtype=torch.float64, device=self._device)
        for name, zeros in sums.items():
            self.add_state(name, zeros, dist_reduce_fx="sum")
        infinite = torch.full_like(sums["sum"], torch.inf)
        self.add_state("least", infinite, dist_reduce_fx="min")
        self.add_state("most", -infinite, dist_reduce_fx="max")
        # Each shift is two states, merged by max and by min. After a merge, they differ if the
        # shifts of the processes did.
        for name, value, size in (("shift", shift, d), ("target_shift", target_shift, k)):
            vector = as_vector(name, value, size, self._device)
            self.add_state(name, vector, dist_reduce_fx="max")
            self.add_state(f"{name}_again", vector.clone(), dist_reduce_fx="min")

    @staticmethod
    def shift_from(features: Tensor) -> Tensor:
        """Compute a shift from the features, or targets, of one batch: their mean.

        Broadcast the shift of one process to all others before they construct their metrics, for
        example with ``torch.distributed.broadcast``. Metrics with different shifts do not merge.

        Parameters
        ----------
        features : Tensor of shape (B, num_features)
            Features of one batch, or its targets (B, num_outputs).
        """
        return features.detach().double().mean(dim=0)

    def update(self, features: Tensor, target: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        features : Tensor of shape (B, num_features)
            Features.
        target : Tensor of shape (B,) or (B, num_outputs)
            Classes, or targets.
        """
        device = self.sum.device
        x, y = _check_batch(features, target, self.num_features, self.task, self.width, device)
        self.least = torch.minimum(self.least, x.amin(dim=0))
        self.most = torch.maximum(self.most, x.amax(dim=0))
        x = x - self.shift
        sums = {name: getattr(self, name) for name in self._defaults}  # changed in place
        self.count += len(x)
        self.scatter += x.T @ x
        add_rows(sums, x)
        if self.task == "classification":
            one_hot = torch.nn.functional.one_hot(y, self.width).double()
            self.class_counts += one_hot.sum(dim=0)
            add_classes(sums, one_hot.T, x)
        else:
            add_targets(sums, x, y - self.target_shift)

    def set_dtype(self, dst_type: Any) -> Any:
        """Raise DtypeError for another dtype than float64, which the sums need.

        Parameters
        ----------
        dst_type : torch.dtype
            Only ``torch.float64``.
        """
        if dst_type is not torch.float64:
            raise DtypeError(f"the state of this metric is float64 and stays so, not {dst_type}")
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        """Assign an attribute; raise DtypeError for a state that is not float64."""
        if name in self.__dict__.get("_defaults", ()):
            check_state(name, value, self._defaults[name].shape)
        if isinstance(value, Tensor) and value.is_inference():
            with torch.inference_mode(False):  # or update could change it in this mode only
                value = value.clone()
        super().__setattr__(name, value)

    def _apply(self, fn: Any, *args: Any, recurse: bool = True, **kwargs: Any) -> Any:
        """Move the states as `fn` moves tensors, without its change of dtype.

        Every conversion of a module ends here: ``to``, ``half``, ``cuda``, ``to_empty``, also of a
        module that contains this one. A metric has no submodules, so `recurse` has no effect.
        """
        return super()._apply(partial(move_exactly, fn), *args, **kwargs)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Load copies of the states on this device, because update changes states in place."""
        names = [name for name in self._defaults if prefix + name in state_dict]
        for name in names:
            check_state(name, state_dict[prefix + name], self._defaults[name].shape)
        for name in names:
            value = state_dict[prefix + name]
            state_dict[prefix + name] = value.to(self.sum.device, copy=True)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def _reduce_states(self, incoming_state: dict[str, Any]) -> None:
        """Merge states; those without rows change nothing, in whatever dtype."""
        if "count" in incoming_state and not incoming_state["count"]:
            return
        for name in self._defaults.keys() & incoming_state.keys():
            check_state(name, incoming_state[name], self._defaults[name].shape)
        super()._reduce_states(incoming_state)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Add a batch, and return the score of that batch alone.

        The score is NaN, with a warning, if the batch alone has none, for example with a single
        class. The batch is added in any case.

        Parameters
        ----------
        *args, **kwargs
            As in :meth:`update`.
        """
        self._in_forward = True
        try:
            return super().forward(*args, **kwargs)
        finally:
            self._in_forward = False

    def compute(self) -> Any:
        """Return the score of all batches, or a dict of scores by metric, as float64 tensors."""
        try:
            found = self.stats.score(self.metrics, **self.options)
        except TransferabilityError as error:
            if not getattr(self, "_in_forward", False):
                raise
            warnings.warn(
                f"this batch has no score of its own: {error}", TransferabilityWarning, stacklevel=2
            )
            nan = self._as_tensor(torch.nan)
            if self.metrics in metric_specs():
                return nan
            return dict.fromkeys(plan(self.metrics, self.task, self.options, {"stats"})[0], nan)

        if isinstance(found, Score):
            return self._as_tensor(found)
        return {name: self._as_tensor(score) for name, score in found.items()}

    def _as_tensor(self, score: float) -> Tensor:
        return torch.tensor(float(score), dtype=torch.float64, device=self.sum.device)

    @property
    def stats(self) -> Stats:
        """The statistics of this process so far; within ``sync_context()``, of all processes.

        A :class:`transferability.Stats`: it computes full scores and other metrics, and can be
        merged with statistics from elsewhere and saved to a file.
        """
        for name in ("shift", "target_shift"):
            if not torch.equal(getattr(self, name), getattr(self, f"{name}_again")):
                raise DataError(
                    f"{name} differs between the processes or metrics that were merged; give all "
                    f"the same, for example broadcast from the first process"
                )
        if not self.count:
            raise DataError("this metric holds no rows yet; call update first")
        held = {name: getattr(self, name).cpu().numpy().copy() for name in self._defaults}
        if text := describe_lost_digits(held):
            warnings.warn(text, TransferabilityWarning, stacklevel=3)
        return Stats.from_moments(convert_moments(held, self.task))


def _check_batch(
    features: Tensor,
    target: Tensor,
    num_features: int,
    task: str,
    width: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Validate a batch, and move it to a device.

    Return features (B, num_features) in float64, with classes (B,) in int64 or targets (B, width)
    in float64. `width` is the number of classes, targets or labels.
    """
    for name, given in (("features", features), ("target", target)):
        if not isinstance(given, Tensor):
            raise DtypeError(f"{name} must be a tensor, not {type(given).__name__}")
    if features.ndim != 2 or features.shape[1] != num_features:
        raise DataError(f"features has shape {tuple(features.shape)}, expected (B, {num_features})")
    if task == "classification" and target.ndim == 2 and target.shape[1] == 1:
        target = target[:, 0]
    elif target.ndim == 1 and task != "classification" and width == 1:
        target = target[:, None]
    expected = (len(features),) + (() if task == "classification" else (width,))
    if not len(features) or target.shape != expected:
        raise DataError(
            f"target has shape {tuple(target.shape)}, expected {expected} with at least one row"
        )
    if features.is_meta or target.is_meta:
        raise DataError("features and target must not be on the device 'meta', which has no values")
    if features.is_complex() or target.is_complex():
        raise DtypeError("features and target must be real")
    x = features.detach().to(device).double()
    y = target.detach().to(device)
    if not torch.isfinite(x).all():
        row = int((~torch.isfinite(x)).any(dim=1).nonzero()[0])
        raise DataError(f"features has a value that is not finite in row {row} of this batch")
    if task == "classification":
        if y.is_floating_point():
            raise DtypeError(f"target holds classes and has dtype {y.dtype}; give integers")
        y = y.long()
        if len(odd := y[(y < 0) | (y >= width)]):
            raise DataError(
                f"target holds class {int(odd[0])}; num_classes={width} allows 0 to {width - 1}"
            )
        return x, y
    y = y.double()
    fine = torch.isfinite(y) if task == "regression" else (y == 0) | (y == 1)
    if not fine.all():
        row = int((~fine).any(dim=1).nonzero()[0])
        needed = "finite values" if task == "regression" else "0 and 1"
        raise DataError(f"target must hold {needed} only; row {row} of this batch does not")
    return x, y
