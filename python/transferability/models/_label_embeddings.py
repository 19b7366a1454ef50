"""Embed labels by several encoders: the label views that EMMS combines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arguments import check_counts
from .._inputs.arrays import as_array
from .._inputs.labels import plain_text
from .._inputs.types import ArrayLike, DeviceLike, PathLike
from .._util.cache import Cache, compute_key
from ..errors import DataError, DtypeError
from . import open_model
from ._fingerprint import hash_file, hash_values
from ._model import Model
from ._own import keep_state

__all__ = ["encode", "label_embeddings"]

#: Seed of the random projections that reduce views to one width.
_SEED = 20230810


def label_embeddings(
    labels: ArrayLike,
    encoders: Sequence[Any] | Mapping[str, Any],
    *,
    names: Sequence[str] | Mapping[Any, str] | None = None,
    template: str = "{}",
    size: int | None = None,
    batch_size: int = 32,
    device: DeviceLike = None,
    cache: bool | PathLike | None = None,
) -> dict[str, NDArray[Any]]:
    """Embed labels by several encoders, for :func:`transferability.emms`.

    Parameters
    ----------
    labels : sequence of str, or array-like of shape (n_samples,) or (n_samples, n_numbers)
        The label of each sample: class names, captions or answers; class indices, with `names`;
        or rows of numbers such as boxes, which are written with three decimals for text
        encoders, as "0.250, 0.100, 0.750, 0.900". For vision encoders, image files.
    encoders : sequence or mapping
        Encoders as :func:`transferability.models.open_model` takes them, such as
        "st:all-MiniLM-L6-v2", or functions from a list of labels to an array of shape
        (n_labels, dimension), which get rows of numbers unchanged. The keys of a mapping name the
        views; otherwise each view has the name of its encoder. The embedding is the default
        layer with the default pooling; ``?layer=`` and ``?pool=`` select others.
    names : sequence or mapping of str, optional
        Name of each class index, or of any other label.
    template : str, default="{}"
        Text that the encoder reads, in which "{}" is replaced by the label: "a photo of a {}".
    size : int, optional
        Number of columns of every view. Default: the width of the narrowest view.
    batch_size : int, default=32
        Number of labels that are encoded at once.
    device : str or torch.device, optional
        As in :func:`transferability.models.open_model`.
    cache : bool, path or Cache, optional
        Content-addressed cache of embeddings, keyed by the encoder's fingerprint and the labels, of
        files by their contents. True: the folder of :func:`transferability.rank_models`. Default:
        none.

    Returns
    -------
    views : dict of str to ndarray of shape (n_samples, size), float32 or float64
        For the argument ``label_embeddings`` of :func:`transferability.emms`, `score` and `rank`.

    Raises
    ------
    DataError
        If there are no labels or encoders, a label has no name, a view is narrower than `size`,
        or an encoder cannot be opened or returns NaN.
    DtypeError
        If labels are neither text nor numbers.

    Notes
    -----
    Every distinct label is encoded once. EMMS combines views entry by entry, so all views need
    one width. Wider views are reduced by a random projection on orthonormal columns, whose seed
    depends on the two widths only. It preserves inner products approximately. Principal components
    are unsuitable: C classes have at most C - 1 of them, and EMMS would standardise the remaining
    columns, which are rounding noise, to unit variance.

    References
    ----------
    Meng et al. (2023). Foundation Model is Efficient Multimodal Multitask Model Selector.
    NeurIPS; section 3.1 on F-labels.

    Examples
    --------
    >>> import numpy as np, transferability as tx
    >>> def letters(words):  # a real encoder is named, such as "st:all-MiniLM-L6-v2"
    ...     return np.array([[word.count(c) for c in "acdgot"] for word in words], dtype=float)
    >>> def lengths(words):
    ...     return np.array([[len(word), word.count("a"), 1 / len(word)] for word in words])
    >>> views = tx.label_embeddings([0, 1, 0, 2], [letters, lengths], names=["cat", "dog", "goat"])
    >>> {name: view.shape for name, view in views.items()}
    {'letters': (4, 3), 'lengths': (4, 3)}
    """
    if check_counts(batch_size=batch_size, size=size)["batch_size"] is None:
        raise DtypeError("batch_size is None; give a whole number of at least 1")
    if cache is not None and not isinstance(cache, (bool, str, os.PathLike, Cache)):
        raise DtypeError(f"cache is {cache!r}; give True, False, or the path of a folder")
    if not isinstance(template, str):
        raise DtypeError(f"template is {template!r}; give a text with {{}} in place of the label")
    distinct, index = _find_distinct(labels, names)
    found = {
        name: _embed(encoder, name, distinct, template, batch_size, device, cache)
        for name, encoder in _name_encoders(encoders).items()
    }
    widths = {name: view.shape[1] for name, view in found.items()}
    width = min(widths.values()) if size is None else size
    if width < 1 or min(widths.values()) < width:
        name = next((name for name in widths if widths[name] < width), next(iter(widths)))
        raise DataError(
            f"size is {size}, but the view {name!r} has {widths[name]} columns; give at most "
            f"{min(widths.values())}"
        )
    return {name: _project(view, width)[index] for name, view in found.items()}


def encode(model: Model, raw: Sequence[Any], batch_size: int = 32) -> NDArray[Any]:
    """Return a row of features for each item, from the default layer by the default pooling.

    The rows have shape (n_items, n_features), float32 or float64. Texts are sorted by length
    before batching, which reduces padding.
    """
    order = np.arange(len(raw))
    if model.kind == "text":
        order = np.argsort([len(str(item)) for item in raw], kind="stable")
    parts = []
    for start in range(0, len(order), batch_size):
        batch = model.collate([raw[i] for i in order[start : start + batch_size]])
        parts.append(_encode_batch(model, batch))
    found = np.concatenate(parts)
    if found.ndim != 2 or len(found) != len(raw):
        raise DataError(
            f"{model.spec} gave rows of shape {found.shape} for {len(raw)} items; one row for each "
            f"is needed"
        )
    rows = np.empty_like(found)
    rows[order] = found
    return rows


def _encode_batch(model: Model, batch: Any) -> NDArray[Any]:
    layer, mask = model.default_layer, model.attention_mask(batch)
    if model.module is None:
        array = model.features(batch, [layer])[layer]
        if array.ndim == 2:
            return np.asarray(array)
        import torch

        output: Any = torch.as_tensor(array)
    else:
        output = _run_with_hook(model, layer, batch)
    from ..torch._pooling import pool_rows

    rows: NDArray[Any] = pool_rows(output, model.default_pool, mask, layer).cpu().numpy()
    return rows


def _run_with_hook(model: Model, layer: str, batch: Any) -> Any:
    """Run a torch module, and return the output of a layer from a forward hook."""
    from ..torch._run import evaluation_mode
    from ..torch._tensors import select_features

    seen: list[Any] = []

    def note(module: Any, args: Any, output: Any) -> None:
        seen.append(select_features(output, module))

    handle = model.module.get_submodule(layer).register_forward_hook(note)
    try:
        with evaluation_mode(model.module, warn=False):  # the user may have trained it since
            model.run(batch)
    finally:
        handle.remove()
    if len(seen) != 1 or seen[0] is None:
        raise DataError(f"layer {layer!r} of {model.spec} ran {len(seen)} times; it must run once")
    return seen[0]


def _embed(
    encoder: object,
    name: str,
    labels: list[Any],
    template: str,
    batch_size: int,
    device: object,
    cache: object,
) -> NDArray[Any]:
    """Return a row of the encoder's embedding for each label, from the cache if it has them."""
    with keep_state(encoder, None):
        model = open_model(encoder, device=device)
        try:
            view, raw = _encode_labels(model, labels, template, batch_size, cache)
        finally:
            if model is not encoder:  # a model that the user has opened stays open
                model.close()
    if not np.isfinite(view).all():
        row = int(np.flatnonzero(~np.isfinite(view).all(axis=1))[0])
        raise DataError(f"encoder {name!r} gives NaN or infinity for the label {raw[row]!r}")
    return view


def _encode_labels(
    model: Model, labels: list[Any], template: str, batch_size: int, cache: object
) -> tuple[NDArray[Any], list[Any]]:
    """Return a row of the embedding of an open model for each label, and what the model read."""
    raw = [_format_label(label, template) for label in labels] if model.kind == "text" else labels
    if cache is None or cache is False:
        return encode(model, raw, batch_size), raw
    store = cache if isinstance(cache, Cache) else Cache(None if cache is True else cache)  # type: ignore[arg-type]
    facts = {
        "what": "label embeddings",
        "model": model.fingerprint(),
        "layer": model.default_layer,
        "pool": model.default_pool,
        "labels": hash_values([_hash_label(label, model.kind) for label in raw]),
    }
    key = compute_key(facts)
    entry = store.get(key, ("embeddings.npy",))
    if entry is None:
        view = encode(model, raw, batch_size)
        entry = store.put(key, {**facts, "name": model.name}, {"embeddings.npy": view})
    return np.asarray(entry.array("embeddings.npy")), raw


def _hash_label(label: Any, kind: str) -> object:
    """Return what identifies a label: text, numbers, or the contents of a file that is encoded."""
    if not isinstance(label, str):
        return [*map(float, label)]
    if kind == "text" or not os.path.isfile(label):
        return label
    found = hash_file(label)
    return found if kind in ("image", "audio") else [label, found]  # a function may read it


def _find_distinct(labels: Any, names: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct labels by first occurrence, and the index of each sample's label."""
    if _is_sequence(labels) and labels and all(isinstance(x, (str, os.PathLike)) for x in labels):
        items: list[Any] = [plain_text(os.fspath(label)) for label in labels]
    else:
        array, _ = as_array(labels, "labels")
        if array.dtype.kind not in "fiubOUT" or array.ndim not in (1, 2):
            raise DtypeError(
                f"labels have dtype {array.dtype} and shape {array.shape}; give texts, numbers of "
                f"classes with names=, or rows of numbers"
            )
        if array.shape[1:] == (1,) and (array.dtype.kind in "OUT" or names is not None):
            array = array[:, 0]  # one column is one label
        rows = array.tolist()
        items = [plain_text(row) if array.ndim == 1 else tuple(row) for row in rows]
    if not items:
        raise DataError("labels is empty; give a label for each sample")
    if names is not None:
        items = [_lookup_name(item, names) for item in items]
    if bare := [item for item in items if not isinstance(item, (str, tuple))]:
        raise DataError(
            f"labels hold {bare[0]!r}, which means nothing to an encoder; give texts, or "
            f"names=[...] with the name of each class"
        )
    places: dict[Any, int] = {}
    index = np.array([places.setdefault(item, len(places)) for item in items], dtype=np.int64)
    return list(places), index


def _lookup_name(label: Any, names: Any) -> str:
    try:
        if not isinstance(names, Mapping) and int(label) < 0:
            raise IndexError
        found = names[label if isinstance(names, Mapping) else int(label)]
    except (KeyError, IndexError, ValueError, TypeError):
        raise DataError(f"names has none for the label {label!r}; it has {len(names)}") from None
    return str(plain_text(found))


def _name_encoders(encoders: Any) -> dict[str, Any]:
    if isinstance(encoders, Mapping):
        named = {str(name): encoder for name, encoder in encoders.items()}
    elif not _is_sequence(encoders):
        raise DtypeError("encoders must be a list of encoders, or a mapping of names to them")
    else:
        called = [_name_of(encoder) for encoder in encoders]
        if twice := [name for name in called if called.count(name) > 1]:
            raise DataError(f"two encoders are called {twice[0]!r}; name them with a mapping")
        named = dict(zip(called, encoders, strict=True))
    if not named:
        raise DataError("encoders is empty; give at least one")
    return named


def _name_of(encoder: Any) -> str:
    if isinstance(encoder, (str, os.PathLike)):
        return os.fspath(encoder)
    return str(getattr(encoder, "name", None) or getattr(encoder, "__name__", type(encoder)))


def _format_label(label: Any, template: str) -> str:
    text = label if isinstance(label, str) else ", ".join(f"{number:.3f}" for number in label)
    return template.replace("{}", text)


def _project(view: NDArray[Any], width: int) -> NDArray[Any]:
    """Project rows to `width` columns by a fixed random orthonormal matrix."""
    if view.shape[1] == width:
        return view
    drawn = np.random.default_rng((_SEED, view.shape[1], width))
    basis, _ = np.linalg.qr(drawn.normal(size=(view.shape[1], width)))
    projected: NDArray[Any] = view.astype(np.float64) @ basis
    return projected.astype(view.dtype)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
