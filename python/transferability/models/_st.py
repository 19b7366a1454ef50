"""Models of sentence-transformers, with their tokeniser, pooling and normalisation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._util.optional import need
from . import _fingerprint
from ._hf import LIBRARIES, hide_progress_bars, resolve_max_length
from ._inputs import Texts, to_image
from ._loading import is_offline, list_paths, loading, parse_dtype
from ._model import TorchModel
from ._spec import ModelSpec, SourceSpec
from ._taps import Taps, find_blocks

__all__ = ["SOURCE"]

_PACKAGES = ("torch", "transformers", "sentence-transformers")
_POOLS = ("cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens", "weightedmean")


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
    """Preprocess with the model itself; lists of words, for token tasks, with its tokeniser."""

    def __init__(self, module: Any) -> None:
        self._module = module
        modalities = getattr(module, "modalities", ["text"])
        self.kind = "text" if "text" in modalities else "image"
        self.max_length: int | None = module.max_seq_length
        self._words: Texts | None = None

    def __call__(self, raw: Sequence[Any]) -> Any:
        if self.kind == "image":
            raw = [to_image(item, index=i) for i, item in enumerate(raw)]
        elif isinstance(raw[0], list):
            return self._texts()(raw)
        # Newer versions of the library have ``preprocess``, older ones ``tokenize``.
        return getattr(self._module, "preprocess", self._module.tokenize)(list(raw))

    def config(self) -> dict[str, object]:
        if self.kind == "image":
            return {"processor": str(getattr(self._module, "processor", ""))}
        return self._texts().config()

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
