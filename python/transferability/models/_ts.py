"""Encoders of time series: of transformers, and of the packages chronos-forecasting and momentfm.

A series is an array (T,) or (T, C) of T time steps and C channels. Series of a batch are aligned at
their ends: shorter ones are padded before their beginning, longer ones keep their last steps up to
the context of the model. Padding and missing values (NaN) are hidden as each library does it.

Every layer is read as tokens (N, C·P, D), P patches or steps of each channel, with the mask of
those that hold an observed value. So the poolings are those of texts, and "mean" is the mean over
patches and channels. Encoders of one channel read each channel as a series of its own.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ..errors import DataError, DtypeError, MissingDependencyError
from . import _fingerprint
from ._hf import LIBRARIES, hide_progress_bars
from ._loading import is_offline, list_paths, loading, parse_dtype
from ._model import TorchModel
from ._spec import ModelSpec, SourceSpec
from ._taps import Taps, find_blocks

__all__ = ["SOURCE", "Series"]

_OF_TRANSFORMERS = ("patchtst", "patchtsmixer", "timesfm", "timesfm2_5")


class Encoder:
    """Run the encoder of a library, and find its tokens that hold observed values."""

    module: Any  # runs in the forward pass
    blocks: Any  # the module that holds the blocks
    context: int  # maximum number of time steps
    is_fixed: bool = False  # whether every series is padded to the context
    multiple: int = 1  # otherwise, to a multiple of so many steps
    n_channels: int | None = None  # that it reads; None: any

    def run(self, values: Any, observed: Any) -> Any:
        """Return the last hidden state, from values and booleans (N, T, C); 0 where missing."""
        raise NotImplementedError

    def find_tokens(self, observed: Any) -> Any:
        """Return the tokens with an observed value, booleans (N, C·P)."""
        raise NotImplementedError


class Series:
    """Stack series to a batch of ``values`` and ``observed``, both (N, T, C)."""

    kind = "array"

    def __init__(self, context: int, is_fixed: bool, multiple: int, n_channels: int | None) -> None:
        self.context, self.is_fixed, self.multiple = context, is_fixed, multiple
        self.n_channels = n_channels
        self.reads = context

    def __call__(self, raw: Sequence[Any]) -> Any:
        """Align series at their ends, and pad shorter ones before their beginning."""
        import torch

        series = [self._read(item, i) for i, item in enumerate(raw)]
        if len({own.shape[1] for own in series}) > 1:
            found = sorted({own.shape[1] for own in series})
            raise DataError(f"series of one batch have {found[0]} and {found[1]} channels")
        length = max(len(own) for own in series)
        length = self.context if self.is_fixed else -(-length // self.multiple) * self.multiple
        values = np.full((len(series), length, series[0].shape[1]), np.nan, np.float32)
        for row, own in zip(values, series, strict=True):
            row[length - len(own) :] = own
        observed = ~np.isnan(values)
        if not (seen := observed.any(axis=(1, 2))).all():
            raise DataError(f"series {int(np.argmin(seen))} of the batch has no values but NaN")
        batch = {"values": torch.from_numpy(np.nan_to_num(values, nan=0.0, posinf=None))}
        return batch | {"observed": torch.from_numpy(observed)}

    def has_values(self, series: Any) -> bool:
        """Return whether a part of a series has a value that is not missing."""
        array = np.asarray(series.numpy() if hasattr(series, "numpy") else series)
        return array.dtype.kind != "f" or not np.isnan(array).all()

    def exceeds(self, series: Any) -> bool:
        """Return whether a series has more time steps than the model reads."""
        return hasattr(series, "__len__") and len(series) > self.context

    def config(self) -> dict[str, object]:
        """Return the settings of the preprocessing, for the fingerprint."""
        return {"context": self.context, "fixed": self.is_fixed, "multiple": self.multiple}

    def _read(self, item: Any, i: int) -> NDArray[np.float32]:
        where = f"series {i} of the batch"
        array = np.asarray(item.numpy() if hasattr(item, "numpy") else item)
        if array.dtype.kind not in "fiub":
            raise DtypeError(f"{where} is {type(item).__name__} of {array.dtype}; give numbers")
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or 0 in array.shape:
            raise DataError(f"{where} has shape {array.shape}; give (T,) or (T, C), T time steps")
        if self.n_channels is not None and array.shape[1] != self.n_channels:
            raise DataError(
                f"{where} has {array.shape[1]} channels, and this model reads {self.n_channels}; "
                f"an array of series has shape (N, T, C), the time before the channels"
            )
        if np.isinf(array).any():
            raise DataError(f"{where} has infinite values; mark missing ones with NaN")
        return array[-self.context :].astype(np.float32)


class _SeriesModel(TorchModel):
    """A model of series, which knows the tokens that hold observed values."""

    encoder: Encoder

    def attention_mask(self, batch: Any) -> Any:
        """Return 1 for tokens with an observed value, (N, C·P)."""
        return self.encoder.find_tokens(batch["observed"])


class _Patches(Encoder):
    """PatchTST and PatchTSMixer: patches (N, C, P, D) of all channels."""

    is_fixed = True

    def __init__(self, model: Any, config: Any) -> None:
        self.module = self.blocks = model
        self.context, self.n_channels = config.context_length, config.num_input_channels
        self._patchify = model.patchifier if hasattr(model, "patchifier") else model.patching
        self._has_class = bool(getattr(config, "use_cls_token", False))
        names = inspect.signature(model.forward).parameters
        self._mask = next(name for name in ("past_observed_mask", "observed_mask") if name in names)

    def run(self, values: Any, observed: Any) -> Any:
        return self.module(values, **{self._mask: observed.to(values.dtype)}).last_hidden_state

    def find_tokens(self, observed: Any) -> Any:
        patchify = self._patchify
        seen = observed[:, patchify.sequence_start :]
        seen = seen.unfold(1, patchify.patch_length, patchify.patch_stride).any(-1).transpose(1, 2)
        if self._has_class:
            seen = _append(seen, before=True)
        return seen.flatten(1)


class _TimesFm(Encoder):
    """TimesFM: a decoder of patches of one channel."""

    def __init__(self, model: Any, config: Any) -> None:
        self.module = self.blocks = model
        self.context, self.multiple = config.context_length, config.patch_length
        self._takes = inspect.signature(model.forward).parameters

    def run(self, values: Any, observed: Any) -> Any:
        import torch

        series, seen = _split(values), _split(observed)
        more = {"past_values_padding": (~seen).to(series.dtype)}
        if "freq" in self._takes:
            more["freq"] = torch.zeros(len(series), 1, dtype=torch.long, device=series.device)
        return self.module(series, **more).last_hidden_state

    def find_tokens(self, observed: Any) -> Any:
        seen = observed.unfold(1, self.multiple, self.multiple).any(-1)
        return seen.transpose(1, 2).flatten(1)


class _Chronos(Encoder):
    """Chronos: a T5 encoder of the quantised steps of one channel, and a token at the end."""

    def __init__(self, pipeline: Any) -> None:
        self.module = self.blocks = pipeline.model.model.get_encoder()
        self._tokenizer = pipeline.tokenizer
        config = pipeline.model.config
        self.context = config.context_length
        self._has_end = config.use_eos_token and config.model_type == "seq2seq"

    def run(self, values: Any, observed: Any) -> Any:
        series = _with_nan(values, observed)
        ids, mask, _ = self._tokenizer.context_input_transform(series.cpu().float())
        ids, mask = ids.to(values.device), mask.to(values.device)
        return self.module(input_ids=ids, attention_mask=mask).last_hidden_state

    def find_tokens(self, observed: Any) -> Any:
        seen = observed.transpose(1, 2)
        return (_append(seen) if self._has_end else seen).flatten(1)


class _ChronosBolt(Encoder):
    """Chronos-Bolt: an encoder of patches of one channel, and a token that summarises them."""

    def __init__(self, pipeline: Any) -> None:
        self.module, self.blocks = pipeline.model, pipeline.model.encoder
        settings = pipeline.model.chronos_config
        self.context, self.multiple = settings.context_length, settings.input_patch_size
        self._stride, self._has_end = settings.input_patch_stride, settings.use_reg_token

    def run(self, values: Any, observed: Any) -> Any:
        return self.module.encode(_with_nan(values, observed))[0]

    def find_tokens(self, observed: Any) -> Any:
        seen = observed.unfold(1, self.multiple, self._stride).any(-1).transpose(1, 2)
        return (_append(seen) if self._has_end else seen).flatten(1)


class _Moment(Encoder):
    """MOMENT: an encoder of patches; a patch counts if all of its steps are observed."""

    is_fixed = True

    def __init__(self, pipeline: Any) -> None:
        self.module, self.blocks = pipeline, pipeline.encoder
        self.context, self._patch = pipeline.seq_len, pipeline.patch_len

    def run(self, values: Any, observed: Any) -> Any:
        seen = observed.any(-1).to(values.dtype)
        found = self.module.embed(x_enc=values.transpose(1, 2), input_mask=seen, reduction="none")
        return found.embeddings

    def find_tokens(self, observed: Any) -> Any:
        seen = observed.any(-1).unfold(1, self._patch, self._patch).all(-1)
        return seen.repeat(1, observed.shape[2])


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> TorchModel:
    """Load an encoder; its layers are the input of the first block, the blocks, the last state."""
    transformers = need("transformers", extra="hub", what="a model of time series")
    arguments = {"revision": spec.revision or "main", "local_files_only": is_offline()}
    with loading(spec, hide_progress_bars(transformers)):
        path = transformers.utils.cached_file(spec.name, "config.json", **arguments)
        config = json.loads(Path(path).read_text("utf-8"))
        encoder, packages = _load(transformers, spec, config, arguments)
    from ..torch._feeding import SeriesModule

    module = SeriesModule(encoder).to(dtype=parse_dtype(dtype)).eval()
    blocks, taps = _name_blocks(module, encoder), Taps(module)
    stem = [taps.on_input(module.get_submodule(blocks[0]), module.to_tokens)] if blocks else []
    layers = [
        taps.on_output(module.get_submodule(name), "tokens", module.to_tokens)
        for name in blocks[:-1]
    ]
    last = taps.on_output(module, "last_hidden_state", lambda output: output)
    away = ("_name_or_path", "transformers_version", "_commit_hash")
    facts = {
        "versions": _fingerprint.package_versions("torch", "transformers", *packages),
        "config": {key: value for key, value in config.items() if key not in away},
        "revision": spec.revision,
    }
    inputs = Series(encoder.context, encoder.is_fixed, encoder.multiple, encoder.n_channels)
    model = _SeriesModel(
        str(spec), module, inputs, [*stem, *layers, last], last, "mean", facts, taps=taps,
        device=device,
    )  # fmt: skip
    model.encoder = encoder
    return model


def _load(
    transformers: Any, spec: ModelSpec, config: dict[str, Any], arguments: dict[str, Any]
) -> tuple[Encoder, tuple[str, ...]]:
    """Load the encoder by its library, and return it with the packages that it needs."""
    if "chronos_config" in config:
        chronos = _import("chronos", "chronos-forecasting", spec)
        pipeline = chronos.BaseChronosPipeline.from_pretrained(
            spec.name, dtype="float32", **arguments
        )
        kinds: dict[str, Callable[[Any], Encoder]] = {
            "ChronosPipeline": _Chronos,
            "ChronosBoltPipeline": _ChronosBolt,
        }
        if type(pipeline).__name__ not in kinds:
            raise DataError(
                f"{spec} is of {type(pipeline).__name__}, which cannot be read; known are "
                f"{', '.join(kinds)}: pass its embeddings as features"
            )
        return kinds[type(pipeline).__name__](pipeline), ("chronos-forecasting",)
    if config.get("model_name") == "MOMENT" or "transformer_backbone" in config:
        moment = _import("momentfm", "momentfm", spec)
        pipeline = moment.MOMENTPipeline.from_pretrained(
            spec.name, model_kwargs={"task_name": "embedding"}, **arguments
        )
        pipeline.init()
        return _Moment(pipeline), ("momentfm",)
    kind = config.get("model_type")
    if kind not in _OF_TRANSFORMERS:
        raise DataError(
            f"{spec} is of the type {kind!r}; encoders of time series are "
            f"{', '.join(_OF_TRANSFORMERS)}, Chronos and MOMENT"
        )
    model = transformers.AutoModel.from_pretrained(spec.name, **arguments)
    if kind.startswith("timesfm"):
        return _TimesFm(model, model.config), ()
    return _Patches(model, model.config), ()


def _import(module: str, package: str, spec: ModelSpec) -> Any:
    """Import a package of one family of models, which no extra of this package installs."""
    if importlib.util.find_spec(module) is None:
        raise MissingDependencyError(f"{spec} needs {package}: pip install {package}")
    return importlib.import_module(module)


def _name_blocks(module: Any, encoder: Encoder) -> list[str]:
    """Return the names of the blocks of the encoder within the module that runs it."""
    place = next(name for name, part in module.named_modules() if part is encoder.blocks)
    return [f"{place}.{name}" for name in find_blocks(encoder.blocks)]


def _split(x: Any) -> Any:
    """Return channels as series of their own, (N, T, C) to (N·C, T)."""
    return x.transpose(1, 2).flatten(0, 1)


def _with_nan(values: Any, observed: Any) -> Any:
    """Return channels as series of their own, with NaN where a value is missing."""
    return _split(values.masked_fill(~observed, float("nan")))


def _append(seen: Any, before: bool = False) -> Any:
    """Append a token that counts to those of each channel, (N, C, P)."""
    import torch

    one = seen.new_ones(*seen.shape[:2], 1)
    return torch.cat([one, seen] if before else [seen, one], dim=2)


SOURCE = SourceSpec(
    scheme="ts",
    example="amazon/chronos-t5-small",
    metavar="NAME",
    summary="encoders of time series: PatchTST, PatchTSMixer, TimesFM, Chronos, MOMENT",
    open=_open,
    list_names=lambda spec: list_paths(spec.name, "config.json"),
    hint="; wildcards match folders on this machine that hold a config.json",
    has_revisions=True,
    libraries=LIBRARIES,
)
