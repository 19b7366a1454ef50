"""ONNX files, run by onnxruntime; with the package onnx, intermediate results as layers too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._hf import load_image_processor, resolve_max_length
from ._inputs import Arrays, Texts
from ._loading import list_paths, loading, suggest_path
from ._model import Model
from ._spec import ModelSpec, SourceSpec, suggest

__all__ = ["SOURCE", "OnnxModel"]

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

    def __init__(self, spec: str, path: Path, inputs: Any, device: Any = None) -> None:
        self._runtime = need("onnxruntime", extra="hub", what="a model in ONNX")
        self._path = path
        self._providers = self._runtime.get_available_providers()
        if device is not None and str(device).startswith("cpu"):
            self._providers = ["CPUExecutionProvider"]
        self._sessions: dict[tuple[str, ...], Any] = {}
        session = self._session(())
        outputs = [output.name for output in session.get_outputs()]
        default = _find_classifier_input(path, outputs) or outputs[0]
        facts = {"versions": _fingerprint.package_versions("onnxruntime")}
        super().__init__(spec, inputs, outputs, default, facts=facts)

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the graph; intermediate results that are requested become outputs of it."""
        inner = tuple(sorted(set(layers) - set(self.layers)))
        session = self._session(inner)
        feed = _make_feed(self.spec, session.get_inputs(), batch)
        return dict(zip(layers, session.run(list(layers), feed), strict=True))

    def _session(self, inner: tuple[str, ...]) -> Any:
        if inner not in self._sessions:
            source = str(self._path) if not inner else _add_outputs(self.spec, self._path, inner)
            session = self._runtime.InferenceSession(source, providers=self._providers)
            self._sessions[inner] = session
        return self._sessions[inner]

    def hash_content(self) -> str:
        """Hash the file, and files of weights beside it."""
        beside = sorted(self._path.parent.glob(f"{self._path.name}*data*"))  # large weights
        return "".join(map(_fingerprint.hash_file, [self._path, *beside]))


def _open(spec: ModelSpec, device: Any, dtype: str | None) -> Model:
    """Open a file, with the tokeniser or image processor beside it if there is one."""
    path = Path(spec.name)
    if not path.is_file():
        raise DataError(f"there is no file {path}{suggest_path(path, '*.onnx')}")
    with loading(spec):
        return OnnxModel(str(spec), path, _load_preprocessing(spec, path.parent), device)


def _load_preprocessing(spec: ModelSpec, folder: Path) -> Any:
    kinds = [kind for kind, files in _CONFIGS.items() if any((folder / f).is_file() for f in files)]
    if not kinds:
        return Arrays()
    transformers = need("transformers", extra="hub", what="preprocessing for ONNX")
    if kinds[0] == "text":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return Texts(tokenizer, resolve_max_length(tokenizer, None, spec.count("max_length")))
    return load_image_processor(transformers, folder, local_files_only=True)


def _make_feed(spec: str, wanted: Sequence[Any], batch: Any) -> dict[str, NDArray[Any]]:
    """Return the inputs of the graph by name, in the number formats that it declares."""
    given = batch if hasattr(batch, "keys") else {wanted[0].name: batch}
    feed = {}
    for entry in wanted:
        if entry.name not in given:
            raise DataError(f"{spec} takes {entry.name!r}, but a batch has {', '.join(given)}")
        kind = entry.type.removeprefix("tensor(").removesuffix(")")
        dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
        feed[entry.name] = np.asarray(given[entry.name]).astype(dtype, copy=False)
    return feed


def _add_outputs(spec: str, path: Path, inner: tuple[str, ...]) -> bytes:
    onnx = need("onnx", extra="hub", what=f"layers of {spec} that are not its outputs")
    model = onnx.load(str(path))
    known = {name for node in model.graph.node for name in node.output}
    for name in inner:
        if name not in known:
            declared = ", ".join(output.name for output in model.graph.output)
            raise DataError(
                f"{spec} has no layer {name!r}{suggest(name, known)}; its outputs are {declared}"
            )
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    serialised: bytes = model.SerializeToString()
    return serialised


def _find_classifier_input(path: Path, outputs: Sequence[str]) -> str | None:
    """Return the input of the linear layer that computes an output; None if there is none."""
    try:
        onnx = need("onnx", extra="hub", what="reading a graph")
    except ImportError:
        return None
    graph = onnx.load(str(path), load_external_data=False).graph
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name for tensor in graph.initializer}
    for output in outputs:
        if output not in made_by:
            continue
        node = made_by[output]
        if node.op_type == "Add":
            node = next((made_by[name] for name in node.input if name in made_by), node)
        linear = node.op_type in ("Gemm", "MatMul")
        if linear and node.input[1] in constants and node.input[0] in made_by:
            return str(node.input[0])
    return None


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
