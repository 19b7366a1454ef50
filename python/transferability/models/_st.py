"""Models of sentence-transformers, with their tokeniser, pooling and normalisation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._hf import LIBRARIES, hide_progress_bars, resolve_max_length
from ._inputs import Encoded, Texts, find_cut, name_in_batch, pad_tokens, to_image
from ._loading import is_offline, list_paths, loading, parse_dtype
from ._model import TorchModel
from ._spec import ModelSpec, SourceSpec
from ._taps import Taps, find_blocks

__all__ = ["SOURCE"]

_PACKAGES = ("torch", "transformers", "sentence-transformers")
_POOLS = ("cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens", "weightedmean")


@dataclass(frozen=True, eq=False)
class _Encoded(Encoded):
    """A tokenised text, with the entries of its batch that are the same for all texts."""

    constants: Mapping[str, Any] = field(default_factory=dict)


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> TorchModel:
    """Load a model; its sentence embedding is the default layer, its blocks are other layers."""
    library = need("sentence_transformers", extra="hub", what="a model of sentence-transformers")
    transformers = need("transformers", extra="hub", what="a model of sentence-transformers")
    with loading(spec, hide_progress_bars(transformers)):
        module = library.SentenceTransformer(
            spec.name,
            device="cpu",
            revision=spec.revision,
            trust_remote_code=spec.flag("trust_remote_code", False),
            local_files_only=is_offline(),
        )
    module = module.to(dtype=parse_dtype(dtype)).eval()
    longest = spec.count("max_length")
    if longest is not None:
        module.max_seq_length = min(longest, module.max_seq_length or longest)
    blocks, taps = find_blocks(module), Taps(module)
    sentence = taps.on_output(module[-1], "sentence_embedding", lambda f: f["sentence_embedding"])
    facts = {
        "versions": _fingerprint.package_versions(*_PACKAGES),
        "modules": [part.get_config_dict() for part in module if hasattr(part, "config_keys")],
        "revision": spec.revision,
    }
    return TorchModel(
        str(spec),
        module,
        _Preprocessing(module),
        [*taps.on_first_input(blocks), *blocks, sentence],
        sentence,
        _choose_pool(module),
        facts,
        packed=True,
        taps=taps,
        device=device,
    )


class _Preprocessing:
    """Preprocess with the model itself; lists of words, for token tasks, with its tokeniser.

    The model's default prompt is put before each text, as ``encode`` does.
    """

    def __init__(self, module: Any) -> None:
        self._module = module
        modalities = getattr(module, "modalities", ["text"])
        self.kind = "text" if "text" in modalities else "image"
        self.max_length: int | None = module.max_seq_length
        name = getattr(module, "default_prompt_name", None)
        self._prompt: str = "" if name is None else module.prompts.get(name) or ""
        self._words: Texts | None = None

    def __call__(self, raw: Sequence[Any]) -> Any:
        if self.kind == "image":
            raw = [to_image(item, index=i) for i, item in enumerate(raw)]
        elif isinstance(raw[0], (list, np.ndarray)):
            return self._texts()(raw)
        return self._preprocess(list(raw))

    def encode(
        self, raw: Sequence[Any], name: Callable[[int], str] = name_in_batch
    ) -> list[Encoded] | None:
        """Tokenise as the model does, and remove the padding; None if it does otherwise.

        That is None for images, and for models without one row of tokens for each text.
        """
        if self.kind == "image" or getattr(self._module, "tokenizer", None) is None:
            return None
        if isinstance(raw[0], (list, np.ndarray)):
            return self._texts().encode(raw, name)
        batch = self._preprocess(list(raw))
        mask = batch.get("attention_mask")
        if getattr(mask, "ndim", 0) != 2 or len(mask) != len(raw):
            return None
        columns = {key: value for key, value in batch.items() if hasattr(value, "shape")}
        if any(column.shape != mask.shape for column in columns.values()):
            return None
        constants = {key: value for key, value in batch.items() if key not in columns}
        arrays = {key: column.numpy().astype(np.int32) for key, column in columns.items()}
        kept = arrays["attention_mask"] != 0
        cut = self._find_cut(raw, batch, kept.sum(axis=1).tolist())
        return [
            _Encoded(
                {key: array[i, kept[i]] for key, array in arrays.items()}, None, i in cut, constants
            )
            for i in range(len(raw))
        ]

    def _find_cut(self, raw: Sequence[Any], batch: Any, lengths: Sequence[int]) -> set[int]:
        """Return the positions of the texts that were truncated."""
        texts = [self._add_prompt(item) for item in raw] if self._prompt else [*raw]
        columns = [*zip(*texts, strict=True)] if isinstance(texts[0], tuple) else [texts]
        limit = self._module.max_seq_length
        return find_cut(self._module.tokenizer, batch, lengths, columns, limit)

    def plain_texts(self) -> Texts | None:
        """Return the tokeniser's own preprocessing, for windows; None for images."""
        if self.kind == "image" or getattr(self._module, "tokenizer", None) is None:
            return None
        if self._prompt:
            raise DataError(
                f"window cuts texts, and this model puts {self._prompt!r} before each; leave "
                f"window out"
            )
        return self._texts()

    def count_tokens(self, encoded: Encoded) -> int:
        """Return the number of tokens of a text."""
        return len(encoded)

    def pad(self, encoded: Sequence[Encoded]) -> Any:
        """Pad tokenised texts to the longest of them."""
        if not isinstance(encoded[0], _Encoded):
            return self._texts().pad(encoded)
        # A text without tokens, which the pooling makes 0, needs one position to run.
        batch = pad_tokens(self._module.tokenizer, encoded, least=1)
        return {**batch, **encoded[0].constants}

    def config(self) -> dict[str, object]:
        if self.kind == "image":
            return {"processor": str(getattr(self._module, "processor", ""))}
        prompt = {"prompt": self._prompt} if self._prompt else {}
        return {**self._texts().config(), **prompt}

    def _preprocess(self, raw: list[Any]) -> Any:
        if hasattr(self._module, "preprocess"):
            prompt = {"prompt": self._prompt} if self._prompt and self.kind == "text" else {}
            return self._module.preprocess(raw, **prompt)
        if not self._prompt or self.kind != "text":  # older versions of the library
            return self._module.tokenize(raw)
        batch = self._module.tokenize([*map(self._add_prompt, raw)])
        # Without the last token, which marks the end; the pooling may leave the prompt out.
        batch["prompt_length"] = self._module.tokenize([self._prompt])["input_ids"].shape[-1] - 1
        return batch

    def _add_prompt(self, text: Any) -> Any:
        if isinstance(text, tuple):
            return (self._prompt + text[0], *text[1:])
        return self._prompt + text

    def _texts(self) -> Texts:
        if self._words is None:
            tokenizer = self._module.tokenizer
            limit = self.max_length or resolve_max_length(tokenizer, None, None)
            self._words = Texts(tokenizer, limit)
        return self._words


def _choose_pool(module: Any) -> str:
    """Return the pooling that the model was trained with, for layers other than its embedding."""
    for part in module:
        mode = getattr(part, "pooling_mode", None)
        if mode is None and hasattr(part, "get_pooling_mode_str"):
            mode = part.get_pooling_mode_str()
        if mode in _POOLS:
            return str(mode)
    return "mean"


SOURCE = SourceSpec(
    scheme="st",
    example="all-MiniLM-L6-v2",
    metavar="NAME",
    libraries=("sentence_transformers", *LIBRARIES),
    summary="sentence-transformers: a name on the hub (``@revision``) or a folder",
    open=_open,
    list_names=lambda spec: list_paths(spec.name, "modules.json"),
    options=("max_length", "trust_remote_code"),
    hint="; wildcards match folders on this machine that hold a modules.json",
    has_revisions=True,
)
