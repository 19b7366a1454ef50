"""Preprocess raw items into batches: tokenisers, image transforms, stacked arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .._data.pictures import open_picture, to_rgb
from .._util.optional import need
from ..errors import DataError, DtypeError
from ._installed import find_library

__all__ = ["Arrays", "Encoded", "Images", "Preprocessing", "Texts"]
__all__ += ["find_cut", "name_in_batch", "pad_tokens", "pad_words", "stack_transformed"]
__all__ += ["text_shape", "to_image"]


class WordIds(list[int | None]):
    """The word of each token of a text, None for special tokens and padding.

    `is_cut` is true if the text was truncated, so that words at its end may be missing.
    """

    is_cut = False


@dataclass(frozen=True, eq=False)
class Encoded:
    """A tokenised text without padding: its columns by name, and the word of each token."""

    tokens: Mapping[str, NDArray[np.int32]]
    words: WordIds | None = None
    is_cut: bool = False  # whether the text was truncated; not known for lists of words

    def __len__(self) -> int:
        """Return the number of tokens."""
        return len(self.tokens["attention_mask"])


def name_in_batch(i: int) -> str:
    """Return how errors name a text of a batch."""
    return f"text {i} of the batch"


class Preprocessing(Protocol):
    """Convert raw items to batches of a model.

    Preprocessing of texts may have ``encode(raw, name)``, which returns a tokenised text for each
    item or None if it cannot, ``count_tokens(encoded)`` of one, and ``pad(encoded)``, which returns
    the batch of several. A sweep then tokenises each text once, and sorts texts by length. That of
    images and sounds may have ``read(item, where)``, which returns an item decoded,
    ``stack(items)``, which returns the batch of several of these, and ``is_concurrent``, which is
    true if threads may do both for several batches at once. Errors then name the item. That of
    series and sounds may have ``reads``, the time steps or seconds that the model reads, and
    ``exceeds(item)``, which is true if an item that was read is longer. Any may have
    ``batch_size``, the number of items in a batch where the user gives none; it is not None if the
    items of a batch change the features of each other, as by padding that is not hidden.
    """

    @property
    def kind(self) -> str:
        """Type of raw items: "text", "image", "audio", "array" or "saved"."""

    def __call__(self, raw: Sequence[Any]) -> Any:
        """Return the batch of a list of raw items."""

    def config(self) -> dict[str, object]:
        """Return the settings that change batches, for the fingerprint."""


class Texts:
    """Tokenise texts, pairs of texts (tuples) or lists of words with a transformers tokeniser.

    A tokeniser without a padding token gets one. Texts are truncated to `max_length` tokens.
    Entries of a batch that are not among `accepts`, the arguments of the model, are dropped.
    """

    kind = "text"

    def __init__(
        self, tokenizer: Any, max_length: int | None, accepts: Sequence[str] | None = None
    ) -> None:
        self.tokenizer, self.max_length, self.accepts = tokenizer, max_length, accepts
        if tokenizer.pad_token is None:  # common for decoders; the attention mask hides it
            tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
        self._prefix: str | None = None

    def __call__(self, raw: Sequence[Any]) -> Any:
        """Tokenise, pad to the longest text and truncate to `max_length`."""
        return self.pad(self._encode(raw, name_in_batch, self.tokenizer.is_fast))

    def encode(
        self, raw: Sequence[Any], name: Callable[[int], str] = name_in_batch
    ) -> list[Encoded] | None:
        """Tokenise and truncate without padding; ``name(i)`` names text i in errors."""
        return self._encode(raw, name, False)

    def _encode(
        self, raw: Sequence[Any], name: Callable[[int], str], has_words: bool
    ) -> list[Encoded]:
        shape = text_shape(raw, name)
        has_words |= shape == "words"
        options: dict[str, Any] = {"padding": False, "return_attention_mask": True}
        if self.max_length is not None:
            options |= {"truncation": True, "max_length": self.max_length}
        if shape == "words":
            prefix = self._word_prefix()
            words = [[f"{prefix}{word}" for word in words] for words in raw]
            columns: tuple[list[Any], ...] = ()
            found = self.tokenizer(words, is_split_into_words=True, **options)
        else:
            parts = raw if shape == "pair" else [(text,) for text in raw]
            columns = tuple([*map(str, column)] for column in zip(*parts, strict=True))
            found = self.tokenizer(*columns, **options)
        lengths = [*map(len, found["attention_mask"])]
        cut = find_cut(self.tokenizer, found, lengths, columns, self.max_length)
        encoded = []
        for i, text in enumerate(raw):
            tokens = {key: np.array(column[i], np.int32) for key, column in found.items()}
            if not tokens["attention_mask"].any():
                raise DataError(
                    f"{name(i)}, {text!r}, has no tokens for this model; drop empty texts"
                )
            word_ids = WordIds(found.word_ids(i)) if has_words else None
            if word_ids is not None:
                word_ids.is_cut = len(word_ids) == self.max_length
            encoded.append(Encoded(tokens, word_ids, i in cut))
        return encoded

    def count_tokens(self, encoded: Encoded) -> int:
        """Return the number of tokens of a text in a batch of texts as long as itself."""
        return len(encoded)

    def pad(self, encoded: Sequence[Encoded]) -> Any:
        """Pad tokenised texts to the longest of them; return their batch of tensors.

        The batch has an attribute ``word_of_token``: the word of each token, None for special
        tokens and padding; without words, None.
        """
        batch = pad_tokens(self.tokenizer, encoded)
        batch.word_of_token = pad_words(self.tokenizer, encoded, batch["attention_mask"].shape[1])
        if self.accepts is not None:
            for key in [key for key in batch if key not in self.accepts]:
                del batch[key]
            if self.tokenizer.padding_side == "left" and "position_ids" in self.accepts:
                # Padding on the left must not shift the positions of a text.
                batch["position_ids"] = (batch["attention_mask"].cumsum(1) - 1).clamp(min=0)
        return batch

    def config(self) -> dict[str, object]:
        """Return the settings of the preprocessing, for the fingerprint."""
        return {
            "tokenizer": type(self.tokenizer).__name__,
            "content": _tokenizer_state(self.tokenizer),
            "max_length": self.max_length,
            "padding_side": self.tokenizer.padding_side,
            "truncation_side": self.tokenizer.truncation_side,
            "pad_token": str(self.tokenizer.pad_token),
            "libraries": [*map(find_library, ("tokenizers", "transformers"))],
        }

    def _word_prefix(self) -> str:
        """Return the prefix of each word: a blank for byte-level tokenisers, else nothing."""
        if not self.tokenizer.is_fast:
            raise DataError(
                f"the tokeniser {type(self.tokenizer).__name__} does not map tokens to words, as "
                f"lists of words need; choose a model with a fast tokeniser"
            )
        if self._prefix is None:
            splitter = self.tokenizer.backend_tokenizer.pre_tokenizer
            state = splitter.__getstate__() if splitter is not None else b""
            bytewise = b"ByteLevel" in state and b'"add_prefix_space":true' not in state
            self._prefix = " " if bytewise else ""
            if bytewise:  # older versions of transformers require it
                self.tokenizer.add_prefix_space = True
        return self._prefix


class Images:
    """Preprocess images with the transform of the weights, which is the same at every call."""

    kind = "image"
    is_concurrent = True

    def __init__(
        self, transform: Callable[[list[Any]], Any], config: Mapping[str, object], mode: str = "RGB"
    ) -> None:
        self._transform, self._config, self._mode = transform, config, mode

    def __call__(self, raw: Sequence[Any]) -> Any:
        """Read, convert and transform images."""
        return self.stack(
            [self.read(item, f"image {i} of the batch") for i, item in enumerate(raw)]
        )

    def read(self, item: Any, where: str) -> Any:
        """Read and convert an image; `where` names it in errors."""
        return to_image(item, self._mode, where)

    def stack(self, images: Sequence[Any]) -> Any:
        """Transform images that :meth:`read` returned, to a batch."""
        return self._transform(list(images))

    def config(self) -> dict[str, object]:
        """Return the settings of the preprocessing, for the fingerprint."""
        libraries = [*map(find_library, ("PIL", "torchvision"))]
        return {**self._config, "mode": self._mode, "libraries": libraries}


def stack_transformed(transform: Callable[[Any], Any]) -> Callable[[list[Any]], Any]:
    """Return a function that transforms images one by one and stacks the tensors to a batch."""
    import torch

    return lambda images: torch.stack([transform(image) for image in images])


class Arrays:
    """Stack arrays of numbers without other preprocessing."""

    kind = "array"

    def __call__(self, raw: Sequence[Any]) -> Any:
        """Stack the items to one tensor."""
        import torch

        items = [np.asarray(item) if not hasattr(item, "numpy") else item for item in raw]
        if len({tuple(item.shape) for item in items}) > 1:
            shapes = sorted({tuple(item.shape) for item in items})[:3]
            raise DataError(f"items of one batch differ in shape, as {shapes}; give one shape")
        if any(isinstance(item, np.ndarray) and item.dtype.kind not in "fiub" for item in items):
            raise DtypeError(f"items of type {type(raw[0]).__name__} are not numbers")
        if all(isinstance(item, np.ndarray) for item in items):  # read-only ones too
            return torch.from_numpy(np.stack(items))
        return torch.stack([torch.as_tensor(item) for item in items])

    def config(self) -> dict[str, object]:
        """Return a constant, for the fingerprint."""
        return {"preprocessing": "none"}


def to_image(item: Any, mode: str = "RGB", where: str = "", index: int = 0) -> Any:
    """Convert a file, a PIL image, or bytes to a PIL image, as :func:`to_rgb` reads pictures.

    Errors name it by the path of the file, by `where`, or by its index in the batch.
    Arrays of bytes have shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), and tensors (C, H, W) as
    torchvision reads images.
    """
    image = need("PIL.Image", extra="hub", what="reading images")
    where = where or f"image {index} of the batch"
    if isinstance(item, (str, os.PathLike)):
        found = open_picture(item)
    elif isinstance(item, image.Image):
        found = to_rgb(item, where)
    else:
        found = to_rgb(image.fromarray(_read_bytes(item, where)), where)
    return found if mode == "RGB" else found.convert(mode)


def _read_bytes(item: Any, where: str) -> Any:
    """Return an array of bytes with the channels last; raise DtypeError if the item is none."""
    array = np.asarray(item)
    if hasattr(item, "numpy") and array.ndim == 3:
        array = array.transpose(1, 2, 0)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    is_image = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    if not is_image or array.dtype != np.uint8:
        raise DtypeError(
            f"{where} is {type(item).__name__} of shape {array.shape} and dtype "
            f"{array.dtype}; give a file, a PIL image, or bytes (uint8) of shape (H, W) or "
            f"(H, W, 3)"
        )
    return np.ascontiguousarray(array)


def find_cut(
    tokenizer: Any,
    found: Any,
    lengths: Sequence[int],
    columns: Sequence[Sequence[str]],
    limit: int | None,
) -> set[int]:
    """Return the positions of the texts that were truncated to `limit` tokens.

    `found` is what the tokeniser returned for `columns`, texts or the two texts of pairs; `lengths`
    are their numbers of tokens.
    """
    full = [i for i, n in enumerate(lengths) if limit is not None and n >= limit]
    if not full or not columns or limit is None:
        return set()
    if encodings := getattr(found, "encodings", None):
        return {i for i in full if encodings[i].overflowing}
    again = [[column[i] for i in full] for column in columns]
    whole = tokenizer(*again, truncation=False, padding=False, verbose=False)["input_ids"]
    return {i for i, tokens in zip(full, whole, strict=True) if len(tokens) > limit}


def pad_tokens(tokenizer: Any, encoded: Sequence[Encoded], least: int = 0) -> Any:
    """Pad tokenised texts to the longest of them, as the tokeniser does; return a BatchEncoding.

    With `least`, a batch has at least as many positions.
    """
    columns = {key: [text.tokens[key].tolist() for text in encoded] for key in encoded[0].tokens}
    # The advice to pad in the same call; here, texts are sorted by length in between.
    tokenizer.deprecation_warnings["Asking-to-pad-a-fast-tokenizer"] = True
    length = max(least, *map(len, encoded))
    return tokenizer.pad(columns, padding="max_length", max_length=length, return_tensors="pt")


def pad_words(tokenizer: Any, encoded: Sequence[Encoded], n_tokens: int) -> list[WordIds] | None:
    """Pad the word of each token with None; return None without words."""
    if encoded[0].words is None:
        return None
    padded: list[WordIds] = []
    for text in encoded:
        words = text.words or WordIds()
        missing = [None] * (n_tokens - len(words))
        left = tokenizer.padding_side == "left"
        padded.append(WordIds([*missing, *words] if left else [*words, *missing]))
        padded[-1].is_cut = words.is_cut
    return padded


def text_shape(raw: Sequence[Any], name: Callable[[int], str]) -> str:
    """Return "text", "pair" or "words"; raise DataError if items differ in that."""
    first: dict[str, int] = {}  # the first item of each shape
    for i, item in enumerate(raw):
        if isinstance(item, str):
            first.setdefault("text", i)
        elif isinstance(item, tuple) and len(item) == 2 and all(isinstance(t, str) for t in item):
            first.setdefault("pair", i)
        elif isinstance(item, (list, np.ndarray)) and all(isinstance(word, str) for word in item):
            first.setdefault("words", i)
        else:
            raise DtypeError(
                f"{name(i)} is {type(item).__name__}; give a str, a pair (str, str), "
                f"or a list of words"
            )
    if len(first) != 1:
        found = ", ".join(f"{shape} ({name(first[shape])})" for shape in sorted(first)) or "none"
        raise DataError(f"texts of one batch must be alike, and these are: {found}")
    return next(iter(first))


def _tokenizer_state(tokenizer: Any) -> object:
    """Return the state of a tokeniser, without the padding and truncation of its last call."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return sorted(tokenizer.get_vocab().items())
    state = json.loads(backend.to_str())
    return {key: value for key, value in state.items() if key not in ("padding", "truncation")}
