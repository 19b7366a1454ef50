"""ONNX files, run by onnxruntime; with the package onnx, intermediate results as layers too."""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._hf import load_image_processor, resolve_max_length
from ._inputs import Arrays, Encoded, Texts, pad_words
from ._loading import list_paths, loading, suggest_path
from ._model import Model
from ._onnx_graph import Graph
from ._spec import ModelSpec, SourceSpec

__all__ = ["SOURCE", "OnnxModel"]

#: Where a graph names a file of tensors, up to the size of the name: a pair of strings in protobuf.
_LOCATION = re.compile(rb"\n\x08location\x12([\x80-\xff]?[\x00-\x7f])", re.DOTALL)
#: Files beside a graph that describe its preprocessing, by the kind of items.
_CONFIGS = {
    "text": ("tokenizer_config.json", "tokenizer.json"),
    "image": ("preprocessor_config.json",),
}


class OnnxModel(Model):
    """An ONNX graph; its layers are its outputs and, by name, every intermediate result.

    If an output is computed by a linear layer (Gemm, or MatMul and Add), the default layer is
    the input of that layer; otherwise it is the first output.
    """

    def __init__(self, graph: Graph, inputs: Any) -> None:
        self._graph = graph
        default = graph.find_classifier_input() or graph.outputs[0]
        facts = {"versions": _fingerprint.package_versions("onnxruntime")}
        super().__init__(graph.spec, inputs, graph.outputs, default, facts=facts)

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the graph; intermediate results that are requested become outputs of it."""
        return self._graph.run(batch, layers)

    def hash_content(self) -> str:
        """Hash the file, and files of weights beside it."""
        path = self._graph.path
        beside = {*path.parent.glob(f"{path.name}*data*")} | _find_weights(path)
        return "".join(map(_fingerprint.hash_file, [path, *sorted(beside)]))


def _find_weights(path: Path) -> set[Path]:
    """Return the files that a graph names as those of its tensors."""
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as graph:
        names = set()
        for found in _LOCATION.finditer(graph):
            low, *high = found[1]
            size = (low & 127) + (high[0] << 7 if high else 0)
            names.add(graph[found.end() : found.end() + size])
    paths = {path.parent / os.fsdecode(name) for name in names if b"\0" not in name}
    return {other for other in paths if other.is_file()}


class _PaddedTexts(Texts):
    """Tokenise texts to exactly the number of tokens that a graph declares."""

    def __init__(self, tokenizer: Any, max_length: int, n_tokens: int) -> None:
        super().__init__(tokenizer, min(max_length, n_tokens))
        self._n_tokens = n_tokens

    def pad(self, encoded: Sequence[Encoded]) -> Any:
        """Pad to the number of tokens of the graph; the attention mask hides the padding."""
        import torch

        batch, tokenizer = super().pad(encoded), self.tokenizer
        values = {"input_ids": tokenizer.pad_token_id}
        values["token_type_ids"] = getattr(tokenizer, "pad_token_type_id", 0)
        for name, tokens in batch.items():
            missing = self._n_tokens - tokens.shape[1]
            sides = (missing, 0) if tokenizer.padding_side == "left" else (0, missing)
            batch[name] = torch.nn.functional.pad(tokens, sides, value=values.get(name, 0))
        batch.word_of_token = pad_words(tokenizer, encoded, self._n_tokens)
        return batch

    def count_tokens(self, encoded: Encoded) -> int:
        """Return the number of tokens of any text, with the padding."""
        return self._n_tokens

    def config(self) -> dict[str, object]:
        """Return the settings of the preprocessing, for the fingerprint."""
        return {**super().config(), "n_tokens": self._n_tokens}


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> Model:
    """Open a file, with the tokeniser or image processor beside it if there is one."""
    path = Path(spec.name)
    if not path.is_file():
        raise DataError(f"there is no file {path}{suggest_path(path, '*.onnx')}")
    with loading(spec):
        graph = Graph(str(spec), path, device)
        return OnnxModel(graph, _load_preprocessing(spec, path.parent, graph))


def _load_preprocessing(spec: ModelSpec, folder: Path, graph: Graph) -> Any:
    kinds = [kind for kind, files in _CONFIGS.items() if any((folder / f).is_file() for f in files)]
    if not kinds:
        return Arrays()
    transformers = need("transformers", extra="hub", what="preprocessing for ONNX")
    if kinds[0] == "text":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        max_length = resolve_max_length(tokenizer, None, spec.count("max_length"))
        n_tokens = graph.n_tokens()
        return (
            Texts(tokenizer, max_length)
            if n_tokens is None
            else _PaddedTexts(tokenizer, max_length, n_tokens)
        )
    return load_image_processor(transformers, folder, local_files_only=True)


SOURCE = SourceSpec(
    scheme="onnx",
    example="model.onnx",
    metavar="FILE",
    summary="a file, run by onnxruntime",
    open=_open,
    list_names=lambda spec: list_paths(spec.name),
    options=("max_length",),
    suffixes=(".onnx",),
)
