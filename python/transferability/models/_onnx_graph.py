"""ONNX graphs: run them with the batch that they declare; read and add outputs.

Exporters fix every axis that is not declared dynamic, and the batch is often fixed to 1. Such a
graph is run on as many rows as it declares. The last batch is padded by repeating its last row, and
the results of the padding are dropped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arguments import suggest
from .._util.optional import need
from .._util.threads import get_num_threads
from ..errors import DataError

__all__ = ["Graph"]

#: Parts of the messages of onnxruntime for a failed allocation.
_NO_MEMORY = ("Failed to allocate memory", "bad_alloc", "out of memory")


class Graph:
    """An ONNX file with its sessions of onnxruntime.

    Attributes
    ----------
    inputs : sequence
        The inputs as onnxruntime describes them, with `name`, `type` and `shape`.
    outputs : list of str
        The names of the outputs.
    batch : int or None
        The number of rows that the inputs declare; None if it is free.
    """

    def __init__(self, spec: str, path: Path, device: Any = None) -> None:
        self._runtime = need("onnxruntime", extra="hub", what="a model in ONNX")
        self.spec, self.path = spec, path
        self._providers = self._runtime.get_available_providers()
        if device is not None and str(device).startswith("cpu"):
            self._providers = ["CPUExecutionProvider"]
        self._sessions: dict[tuple[str, ...], Any] = {}
        session = self._session(())
        self.inputs: Sequence[Any] = session.get_inputs()
        self.outputs: list[str] = [output.name for output in session.get_outputs()]
        self.batch = self._declared(0, "rows")

    def n_tokens(self) -> int | None:
        """Return the number of tokens that the inputs of shape (batch, tokens) declare, if any."""
        return self._declared(1, "tokens")

    def run(self, batch: Any, layers: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Compute outputs and intermediate results, (n_rows, ...), of a batch of any length."""
        feed = self._make_feed(batch)
        lengths = {name: len(array) for name, array in feed.items()}
        n_rows = next(iter(lengths.values()))
        if len({*lengths.values()}) > 1:
            raise DataError(f"the inputs of {self.spec} must have as many rows, got {lengths}")
        session = self._session(tuple(sorted({*layers} - {*self.outputs})))
        if self.batch is None or self.batch == n_rows:
            return dict(zip(layers, self._run(session, layers, feed, n_rows), strict=True))
        parts: dict[str, list[NDArray[Any]]] = {layer: [] for layer in layers}
        for start in range(0, n_rows, self.batch):
            rows = np.minimum(np.arange(start, start + self.batch), n_rows - 1)
            part = {name: array[rows] for name, array in feed.items()}
            found = self._run(session, layers, part, self.batch)
            for layer, array in zip(layers, found, strict=True):
                parts[layer].append(array[: n_rows - start])
        return {layer: self._concatenate(layer, arrays) for layer, arrays in parts.items()}

    def _concatenate(self, layer: str, arrays: list[NDArray[Any]]) -> NDArray[Any]:
        if len(shapes := sorted({array.shape[1:] for array in arrays})) > 1:
            raise DataError(
                f"layer {layer!r} of {self.spec} has rows of shapes {shapes[0]} and {shapes[1]}; "
                f"choose a layer with rows of one shape"
            )
        return np.concatenate(arrays)

    def _run(
        self, session: Any, layers: Sequence[str], feed: Mapping[str, Any], size: int
    ) -> list[NDArray[Any]]:
        """Run a session on one batch; raise DataError if it fails, or a layer has no batch axis."""
        try:
            found: list[Any] = session.run(list(layers), feed)
        except Exception as error:
            if not type(error).__module__.startswith("onnxruntime"):
                raise
            reason = " ".join(str(error).split())
            if any(text in reason for text in _NO_MEMORY):  # a sweep then halves the batch
                raise MemoryError(f"{self.spec} on a batch of {size}: {reason}") from error
            inside = "; if its batch is fixed inside, give batch_size=1" if size > 1 else ""
            raise DataError(f"{self.spec} fails on a batch of {size}: {reason}{inside}") from error
        for layer, array in zip(layers, found, strict=True):
            if not isinstance(array, np.ndarray):
                raise DataError(
                    f"layer {layer!r} of {self.spec} is a {type(array).__name__}, not an array; "
                    f"choose another layer"
                )
            if array.ndim == 0 or len(array) != size:
                raise DataError(
                    f"layer {layer!r} of {self.spec} has shape {array.shape} for a batch of "
                    f"{size}; its first axis must be the batch. Choose another layer, or export "
                    f"the graph with a row for each item"
                )
        return found

    def _make_feed(self, batch: Any) -> dict[str, NDArray[Any]]:
        """Return the inputs of the graph by name, in the number formats that it declares."""
        given = batch if hasattr(batch, "keys") else {self.inputs[0].name: batch}
        feed = {}
        for entry in self.inputs:
            if entry.name not in given:
                has = ", ".join(given)
                raise DataError(f"{self.spec} takes {entry.name!r}, but a batch has {has}")
            kind = entry.type.removeprefix("tensor(").removesuffix(")")
            dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
            array = np.asarray(given[entry.name]).astype(dtype, copy=False)
            self._check_shape(entry, array)
            feed[entry.name] = array
        return feed

    def _check_shape(self, entry: Any, array: NDArray[Any]) -> None:
        """Raise DataError unless the axes other than the batch are those that an input declares."""
        if not entry.shape:  # unknown
            return
        fits = array.ndim == len(entry.shape) and all(
            size == declared or not isinstance(declared, int)
            for size, declared in zip(array.shape[1:], entry.shape[1:], strict=True)
        )
        if not fits:
            declared = ", ".join("?" if size is None else str(size) for size in entry.shape)
            raise DataError(
                f"{self.spec} takes {entry.name!r} of shape ({declared}), and a batch has shape "
                f"{array.shape}; give items of shape ({declared.partition(', ')[2]}), or export "
                f"the graph with dynamic axes"
            )

    def _declared(self, axis: int, what: str) -> int | None:
        """Return the size that the inputs declare for an axis; None if all leave it free."""
        sizes = {
            entry.name: entry.shape[axis]
            for entry in self.inputs
            if (axis == 0 or len(entry.shape) == 2)
            and entry.shape
            and isinstance(entry.shape[axis], int)
            and entry.shape[axis] > 0
        }
        if len({*sizes.values()}) > 1:
            text = ", ".join(f"{name} {size}" for name, size in sizes.items())
            raise DataError(
                f"the inputs of {self.spec} declare different numbers of {what}: {text}"
            )
        return next(iter(sizes.values()), None)

    def _session(self, inner: tuple[str, ...]) -> Any:
        """Return a session in which the intermediate results `inner` are outputs too."""
        if inner not in self._sessions:
            source = self._add_outputs(inner) if inner else str(self.path)
            options = self._runtime.SessionOptions()
            options.intra_op_num_threads = get_num_threads()
            # Waiting threads would take the cores from torch, which pools between two batches.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            session = self._runtime.InferenceSession(source, options, providers=self._providers)
            self._sessions[inner] = session
        return self._sessions[inner]

    def _add_outputs(self, inner: tuple[str, ...]) -> bytes:
        onnx = need("onnx", extra="hub", what=f"layers of {self.spec} that are not its outputs")
        model = onnx.load(str(self.path))
        known = {name for node in model.graph.node for name in node.output}
        for name in inner:
            if name not in known:
                declared = ", ".join(output.name for output in model.graph.output)
                raise DataError(
                    f"{self.spec} has no layer {name!r}{suggest(name, known)}; its outputs are "
                    f"{declared}"
                )
            model.graph.output.append(onnx.ValueInfoProto(name=name))
        serialised: bytes = model.SerializeToString()
        return serialised

    def find_classifier_input(self) -> str | None:
        """Return the input of the linear layer that computes an output; None if there is none."""
        try:
            onnx = need("onnx", extra="hub", what="reading a graph")
        except ImportError:
            return None
        graph = onnx.load(str(self.path), load_external_data=False).graph
        made_by = {name: node for node in graph.node for name in node.output}
        constants = {tensor.name for tensor in graph.initializer}
        for output in self.outputs:
            if output not in made_by:
                continue
            node = made_by[output]
            if node.op_type == "Add":
                node = next((made_by[name] for name in node.input if name in made_by), node)
            linear = node.op_type in ("Gemm", "MatMul")
            if linear and node.input[1] in constants and node.input[0] in made_by:
                return str(node.input[0])
        return None
