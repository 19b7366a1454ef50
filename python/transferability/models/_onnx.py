"""ONNX files, run by onnxruntime; inner results too where the package onnx is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._util.optional import need
from ..errors import DataError
from . import _fingerprint
from ._hf import length_limit
from ._inputs import Arrays, Images, Texts
from ._loading import loading
from ._model import Model
from ._spec import Spec, closest

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["OPTIONS", "OnnxModel", "names", "open"]

OPTIONS = ("max_length",)
_TEXTS = ("tokenizer_config.json", "tokenizer.json")
_IMAGES = ("preprocessor_config.json",)


class OnnxModel(Model):
    """A graph; layers are its outputs, and by their names all results within it.

    Where an output is that of a classifier (Gemm, or MatMul and Add, at the end), the default
    layer is what goes into it.
    """

    def __init__(self, spec: str, path: Path, inputs: Any, device: Any = None) -> None:
        runtime = need("onnxruntime", extra="hub", what="a model in ONNX")
        self._path = path
        self._providers = runtime.get_available_providers()
        if device is not None and str(device).startswith("cpu"):
            self._providers = ["CPUExecutionProvider"]
        self._sessions: dict[tuple[str, ...], Any] = {}
        session = self._session(())
        outputs = [output.name for output in session.get_outputs()]
        default = _before_classifier(path, outputs) or outputs[0]
        facts = {"versions": _fingerprint.versions(["onnxruntime"])}
        super().__init__(spec, inputs, outputs, default, facts=facts)

    def features(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the graph, with results within it as outputs where they are asked for."""
        inner = tuple(sorted(set(layers) - set(self.layers)))
        session = self._session(inner)
        feed = _feed(self.spec, session.get_inputs(), batch)
        return dict(zip(layers, session.run(list(layers), feed), strict=True))

    def attention_mask(self, batch: Any) -> Any:
        """Tell tokens (1) from padding (0), for texts."""
        return batch.get("attention_mask") if hasattr(batch, "get") else None

    def _session(self, inner: tuple[str, ...]) -> Any:
        if inner not in self._sessions:
            runtime = need("onnxruntime", extra="hub", what="a model in ONNX")
            source = str(self._path) if not inner else _with_outputs(self.spec, self._path, inner)
            self._sessions[inner] = runtime.InferenceSession(source, providers=self._providers)
        return self._sessions[inner]

    def _content(self) -> str:
        beside = sorted(self._path.parent.glob(f"{self._path.name}*data*"))  # large weights
        return "".join(map(_fingerprint.of_file, [self._path, *beside]))


def names(spec: Spec) -> list[str]:
    """List the files that a wildcard matches."""
    root = Path(Path(spec.name).anchor)
    return [str(path) for path in sorted(root.glob(str(Path(spec.name).relative_to(root))))]


def open(spec: Spec, device: Any, dtype: str | None) -> Model:
    """Open a file; a tokeniser or image processor beside it preprocesses, else arrays go in."""
    path = Path(spec.name)
    if not path.is_file():
        there = [p.name for p in path.parent.glob("*.onnx")] if path.parent.is_dir() else []
        raise DataError(f"there is no file {path}{closest(path.name, there)}")
    with loading(spec):
        return OnnxModel(str(spec), path, _inputs(spec, path.parent), device)


def _inputs(spec: Spec, folder: Path) -> Any:
    has = {"text": _TEXTS, "image": _IMAGES}
    kinds = [kind for kind, files in has.items() if any((folder / f).is_file() for f in files)]
    if not kinds:
        return Arrays()
    transformers = need("transformers", extra="hub", what="preprocessing for ONNX")
    if kinds[0] == "text":
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        return Texts(tokenizer, length_limit(tokenizer, None, spec.count("max_length")))
    processor = transformers.AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    return Images(lambda images: processor(images, return_tensors="pt"), processor.to_dict())


def _feed(spec: str, wanted: Sequence[Any], batch: Any) -> dict[str, NDArray[Any]]:
    """Give the graph its inputs by name, in the number formats that it declares."""
    given = batch if hasattr(batch, "keys") else {wanted[0].name: batch}
    feed = {}
    for entry in wanted:
        if entry.name not in given:
            raise DataError(f"{spec} takes {entry.name!r}, but a batch has {', '.join(given)}")
        kind = entry.type.removeprefix("tensor(").removesuffix(")")
        dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
        feed[entry.name] = np.asarray(given[entry.name]).astype(dtype, copy=False)
    return feed


def _with_outputs(spec: str, path: Path, inner: tuple[str, ...]) -> bytes:
    onnx = need("onnx", extra="hub", what=f"layers of {spec} that are not its outputs")
    model = onnx.load(str(path))
    known = {name for node in model.graph.node for name in node.output}
    for name in inner:
        if name not in known:
            declared = ", ".join(output.name for output in model.graph.output)
            raise DataError(
                f"{spec} has no layer {name!r}{closest(name, known)}; its outputs are {declared}"
            )
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    serialised: bytes = model.SerializeToString()
    return serialised


def _before_classifier(path: Path, outputs: Sequence[str]) -> str | None:
    """Find what goes into the linear layer that gives an output; None where there is none."""
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
