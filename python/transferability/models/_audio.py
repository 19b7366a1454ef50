"""Audio encoders of transformers: their feature extractor, and the mask of their frames.

A sound is averaged to one channel and resampled to the rate of the model. The feature extractor is
the library's own. Encoders shorten a sound to frames, so the mask that it returns for samples is
shortened alike: a mean over frames leaves out the padding, also where the model itself takes no
mask, as Whisper, whose input is always padded to 30 seconds.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._data.audio import read_sound, resample
from ..errors import DataError
from ._model import TorchModel

__all__ = ["AudioModel", "SoundBatch", "Sounds", "load_sound_processor"]

#: Ways in which the feature extractor of CLAP draws a part of a long sound at random.
_DRAWS = ("rand_trunc", "fusion")
#: One thread at a time may seed the generator that all threads share.
_DRAWING = threading.Lock()
#: Model types that hide the padding of a batch everywhere. Others that take a mask hide it from
#: attention alone: their convolutions see it, as those of Conformers and of data2vec.
_HIDE_PADDING = ("hubert", "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-bert", "wavlm")


class SoundBatch(dict[str, Any]):
    """The arguments of a model, with the masks of the frames that it makes of the sounds.

    `frames` has shape (n_samples, n_frames); None if all frames count. `last_frames` is that of the
    last layer if an adapter shortens it further. `is_whole` is true for one sound without padding,
    all of whose frames count, however many a layer makes of it.
    """

    frames: Any = None
    last_frames: Any = None
    is_whole = False


class Sounds:
    """Prepare sounds with a feature extractor of transformers.

    Entries of a batch that the module does not take are dropped.
    """

    kind = "audio"

    def __init__(self, extractor: Any, module: Any) -> None:
        self._extractor = extractor
        self._count, self._count_last = _find_counters(module)
        self.rate = int(extractor.sampling_rate)
        parameters = inspect.signature(type(extractor).__call__).parameters
        self._options: dict[str, Any] = {"sampling_rate": self.rate, "return_tensors": "pt"}
        if "padding" in parameters and parameters["padding"].default is False:
            self._options["padding"] = True
        if "return_attention_mask" in parameters:
            self._options["return_attention_mask"] = True
        # Models that were trained without a mask must not get one, although their frames have one.
        is_masked = getattr(extractor, "return_attention_mask", False)
        accepts = {*inspect.signature(module.forward).parameters}
        self._accepts = accepts - (set() if is_masked else {"attention_mask"})
        self._draws = getattr(extractor, "truncation", None) in _DRAWS
        #: False if the extractor draws from a generator that all threads share.
        self.is_concurrent = not self._draws
        #: Number of sounds in a batch by default: one if padding would change the features, as of
        #: models without a mask, and of adapters, whose convolutions see the frames after the end.
        is_exact = is_masked and self._count_last is None and _hides_padding(module)
        self.batch_size = None if is_exact or "padding" not in self._options else 1
        self._limit = _find_limit(extractor)
        #: Seconds that the model reads of a sound; None for all of it.
        self.reads = None if self._limit is None else self._limit / self.rate

    def __call__(self, raw: Sequence[Any]) -> SoundBatch:
        """Read sounds and extract their features."""
        return self.stack([self.read(raw[i], f"sound {i} of the batch") for i in range(len(raw))])

    def read(self, item: Any, where: str) -> Any:
        """Read a sound as one channel at the rate of the model; `where` names it in errors."""
        return resample(read_sound(item, where), self.rate)

    def exceeds(self, sound: Any) -> bool:
        """Return whether a sound is longer than what the model reads of it."""
        return self._limit is not None and len(sound) > self._limit

    def stack(self, sounds: Sequence[Any]) -> SoundBatch:
        """Extract the features of arrays that :meth:`read` returned, to a batch."""
        if self._draws:
            found = _join([self._draw(sound) for sound in sounds])
        else:
            found = self._extractor(list(sounds), **self._options)
        batch = SoundBatch({key: found[key] for key in found if key in self._accepts})
        mask = found.get("attention_mask")
        batch.is_whole = len(sounds) == 1 and mask is not None and bool(mask.all())
        if self._count is not None and mask is not None:
            batch.frames = self._find_frames(mask, self._count, sounds)
            if self._count_last is not None:
                batch.last_frames = self._find_frames(mask, self._count_last, sounds)
        return batch

    def config(self) -> dict[str, object]:
        """Return the settings of the preprocessing, for the fingerprint."""
        facts = self._extractor.to_dict()
        return {key: value for key, value in facts.items() if "name_or_path" not in key}

    def _draw(self, sound: Any) -> Any:
        with _seeded_numpy():
            return self._extractor([sound], **self._options)

    def _find_frames(self, mask: Any, count: Callable[[Any], Any], sounds: Sequence[Any]) -> Any:
        """Return the mask of the frames, 1 where a frame is of the sound and 0 in the padding."""
        import torch

        # One by one, as some models count with Python's int.
        counts = torch.tensor([int(count(n_samples)) for n_samples in mask.sum(dim=1)])
        if int(counts.min()) < 1:
            raise DataError(
                f"{min(map(len, sounds)):,} samples at {self.rate:,} Hz are too few for one frame "
                f"of this model; drop that row"
            )
        frames = torch.arange(int(count(torch.tensor(mask.shape[1]))))
        return (frames < counts[:, None]).to(mask.dtype)


class AudioModel(TorchModel):
    """An audio encoder, whose batches carry the mask of their frames."""

    def moved(self, batch: Any) -> Any:
        """Move a batch and its masks to the module's device."""
        moved = SoundBatch(super().moved(batch))
        moved.frames, moved.last_frames = map(self._moved, (batch.frames, batch.last_frames))
        moved.is_whole = batch.is_whole
        return moved

    def attention_mask(self, batch: Any) -> Any:
        """Return 1 for frames of a sound and 0 for padding, (n_samples, n_frames), or by layer."""
        if batch.is_whole:
            return dict.fromkeys((*self.layers, self.default_layer))
        if batch.last_frames is None:
            return batch.frames
        return {**dict.fromkeys(self.layers, batch.frames), self.layers[-1]: batch.last_frames}


def load_sound_processor(transformers: Any, name: Any, module: Any, **arguments: Any) -> Sounds:
    """Load the feature extractor of a model."""
    return Sounds(transformers.AutoFeatureExtractor.from_pretrained(name, **arguments), module)


def _find_limit(extractor: Any) -> int | None:
    """Return the number of samples that a feature extractor keeps of a sound; None for all.

    Whisper and CLAP count samples, AST frames of 25 ms, one each 10 ms.
    """
    kind = type(extractor).__name__
    if kind == "ASTFeatureExtractor":
        step, frame = extractor.sampling_rate // 100, extractor.sampling_rate // 40
        return int(step * extractor.max_length + frame - 1)
    names = {"WhisperFeatureExtractor": "n_samples", "ClapFeatureExtractor": "nb_max_samples"}
    return int(getattr(extractor, names[kind])) if kind in names else None


def _find_counters(module: Any) -> tuple[Callable[[Any], Any] | None, Callable[[Any], Any] | None]:
    """Return a model's functions from numbers of samples, or columns, to numbers of frames.

    The first is that of all layers; None if their length is always the same. The second is that of
    the last layer; None without an adapter.
    """
    count = getattr(module, "_get_feat_extract_output_lengths", None)
    if count is None or "add_adapter" not in inspect.signature(count).parameters:
        return count, None
    has_adapter = getattr(module.config, "add_adapter", False)
    return functools.partial(count, add_adapter=False), count if has_adapter else None


def _hides_padding(module: Any) -> bool:
    """Return whether a model that takes a mask gives a sound in a batch the features of it alone.

    A first layer that is normalised over time (``feat_extract_norm`` "group") sees the padding.
    """
    config = module.config
    norm = getattr(config, "feat_extract_norm", "layer")
    return config.model_type in _HIDE_PADDING and norm == "layer"


def _join(batches: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    import torch

    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


@contextmanager
def _seeded_numpy() -> Iterator[None]:
    """Seed NumPy's global generator within a context, so that a sound is always cut alike."""
    with _DRAWING:
        state = np.random.get_state()  # noqa: NPY002
        np.random.seed(0)  # noqa: NPY002
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002
