"""Read sounds from files, bytes and arrays as one channel of float32 numbers from -1 to 1.

Channels are averaged. Integers are scaled by their range, as libsndfile scales those in files. A
sound that is read is a dict of "array" and "sampling_rate", as in Hugging Face data sets. Only a
model knows the rate that it needs, so sounds keep their own rate until a model reads them.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_array, instance_of
from .._util.optional import need
from ..errors import DataError, DtypeError, TransferabilityError

__all__ = ["Sound", "is_sound", "is_sound_content", "is_sound_name", "open_sound", "read_sound"]
__all__ += ["resample"]

#: A sound that is read: "array", of shape (n,) and dtype float32, and "sampling_rate" in hertz.
Sound: TypeAlias = dict[str, Any]

#: Suffixes of sounds. Those of the last three are refused, with an error that names the formats.
_SUFFIXES = (
    *(".aif", ".aifc", ".aiff", ".au", ".caf", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".snd"),
    *(".w64", ".wav", ".wave", ".aac", ".m4a", ".wma"),
)
#: The first bytes of files of sounds; those of a RIFF or IFF file are followed by its type.
_MAGIC = (b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b".snd", b"caff")
_CONTAINERS = {b"RIFF": (b"WAVE",), b"RF64": (b"WAVE",), b"FORM": (b"AIFF", b"AIFC")}
#: What an integer is divided by, after its offset is subtracted.
_SCALES = {"int16": (0, 2**15), "int32": (0, 2**31), "uint8": (2**7, 2**7), "int8": (0, 2**7)}
#: Most channels of an array; a longer short axis is that of a spectrogram.
_MOST_CHANNELS = 32
#: Largest number of a sound; peaks beyond 1 are usual, but 32 is 30 dB above full scale.
_LARGEST = 32
#: Lowest number that is read as the sampling rate in a pair (array, rate).
_LOWEST_RATE = 1000


def is_sound_name(name: str) -> bool:
    """Return whether a file has a suffix of sounds."""
    return name.lower().endswith(_SUFFIXES)


def is_sound_content(content: bytes) -> bool:
    """Return whether the content of a file begins as a sound."""
    if content[:4] in _CONTAINERS:
        return content[8:12] in _CONTAINERS[content[:4]]
    return content.startswith(_MAGIC)


def is_sound(item: Any) -> bool:
    """Return whether an item is numbers with a sampling rate: a dict, a pair, or a decoder."""
    if isinstance(item, Mapping):
        return {"array", "sampling_rate"} <= item.keys()
    if isinstance(item, tuple) and len(item) == 2:
        array, rate = item
        is_rate = isinstance(rate, (int, np.integer)) and not isinstance(rate, bool)
        return getattr(array, "ndim", 0) in (1, 2) and is_rate and rate >= _LOWEST_RATE
    return _is_decoder(item)


def open_sound(source: Any, rate: int | None = None) -> Sound:
    """Read the path or the bytes of a file; the errors name it.

    A mapping has the bytes as "bytes", or a path as "path", as in Hugging Face data sets. The sound
    is resampled to `rate` if that is given.
    """
    path, content = source, None
    if isinstance(source, Mapping):
        path, content = source.get("path"), source.get("bytes")
    elif isinstance(source, bytes):
        path, content = None, source
    if path is None and content is None:
        raise DataError("a cell has neither a path nor bytes of a sound; drop that row")
    where = os.fspath(path) if path else f"a cell of {len(content or b''):,} bytes"
    soundfile = need("soundfile", extra="audio", what="reading sounds")
    file = where if content is None else io.BytesIO(content)
    try:
        array, own = soundfile.read(file, dtype="float32", always_2d=True)
    except (TransferabilityError, MemoryError):
        raise
    except Exception as error:  # RuntimeError, or OSError and TypeError of the file
        size = os.path.getsize(where) if content is None and os.path.isfile(where) else None
        is_empty = size == 0 or content == b""
        reason = "it has no bytes" if is_empty else f"{error}; WAV, FLAC, OGG and MP3 can be read"
        raise DataError(f"{where} cannot be read as a sound: {reason}") from error
    sound = {"array": _to_mono(array, 1, where), "sampling_rate": int(own)}
    if rate is not None:
        sound = {"array": resample(sound, rate), "sampling_rate": rate}
    return sound


def read_sound(item: Any, where: str) -> Sound:
    """Read a path, the bytes of a file, or numbers with a rate; `where` names it in errors.

    Of two axes the shorter one is that of the channels.
    """
    if isinstance(item, (str, os.PathLike, bytes)):
        return open_sound(item)
    if isinstance(item, Mapping) and "array" not in item and ("bytes" in item or "path" in item):
        return open_sound(item)
    if _is_decoder(item):
        samples = item.get_all_samples()
        array, rate = samples.data, samples.sample_rate
    elif not is_sound(item):
        shape = f" of shape {tuple(item.shape)}" if hasattr(item, "shape") else ""
        raise DtypeError(
            f"{where} is {type(item).__name__}{shape}, and a sound has a sampling rate; give a "
            f'file, or {{"array": numbers, "sampling_rate": 16000}}'
        )
    else:
        array, rate = item if isinstance(item, tuple) else (item["array"], item["sampling_rate"])
    return {"array": _read_numbers(array, where), "sampling_rate": _read_rate(rate, where)}


def resample(sound: Sound, rate: int) -> NDArray[np.float32]:
    """Return the numbers of a sound at another sampling rate."""
    array: NDArray[np.float32] = sound["array"]
    if sound["sampling_rate"] == rate:
        return array
    soxr = need("soxr", extra="audio", what="resampling sounds")
    resampled: NDArray[np.float32] = soxr.resample(array, sound["sampling_rate"], rate)
    return resampled


def _is_decoder(item: Any) -> bool:
    """Return whether an item is a decoder of torchcodec, as Hugging Face data sets return."""
    return instance_of(item, "torchcodec.decoders", "AudioDecoder")


def _read_rate(rate: Any, where: str) -> int:
    try:
        whole = int(rate)
    except (TypeError, ValueError, OverflowError):
        whole = 0
    if whole < 1 or whole != rate:
        raise DataError(f"{where} has the sampling rate {rate!r}; give a positive whole number")
    return whole


def _read_numbers(values: Any, where: str) -> NDArray[np.float32]:
    """Return an array or a list of numbers as one channel of float32."""
    array = as_array(values, where)[0]
    if array.ndim not in (1, 2) or (array.ndim == 2 and min(array.shape) > _MOST_CHANNELS):
        raise DataError(
            f"{where} has shape {array.shape}; give the waveform, (n,), or (channels, n) with at "
            f"most {_MOST_CHANNELS} channels"
        )
    if array.ndim == 2 and 1 < array.shape[0] == array.shape[1]:
        raise DataError(
            f"{where} has shape {array.shape}, which does not say which axis is that of the "
            f"channels; give their mean, (n,)"
        )
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    elif array.dtype.name in _SCALES:
        offset, scale = _SCALES[array.dtype.name]
        array = ((array.astype(np.float64) - offset) / scale).astype(np.float32)
    else:
        raise DtypeError(
            f"{where} has dtype {array.dtype}, whose range is unknown; give real numbers from -1 "
            f"to 1, or int16"
        )
    return _to_mono(array, int(array.ndim == 2 and array.shape[0] > array.shape[1]), where)


def _to_mono(array: NDArray[np.float32], axis: int, where: str) -> NDArray[np.float32]:
    """Average the channels, along `axis` of two, and check the numbers."""
    if array.size == 0:
        raise DataError(f"{where} is empty: it has no samples; drop that row")
    if array.ndim == 2:
        array = array.mean(axis=axis) if array.shape[axis] > 1 else array.reshape(-1)
    largest = max(float(array.max()), -float(array.min()))
    if not math.isfinite(largest):
        raise DataError(f"{where} has NaN or infinity among its samples; drop that row")
    if largest > _LARGEST:
        raise DataError(
            f"{where} has samples of up to {largest:,.0f}, and a sound goes from -1 to 1; divide "
            f"it by its full scale, 32768 for numbers of 16 bits"
        )
    return np.ascontiguousarray(array)
