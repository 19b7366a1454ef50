"""Embed labels by several encoders: the label views that EMMS combines."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_array
from .._util.cache import Cache, compute_key
from ..errors import DataError, DtypeError
from . import _encode, open_model
from ._fingerprint import hash_values

__all__ = ["label_embeddings"]

#: Seed of the random projections that reduce views to one width.
_SEED = 20230810


def label_embeddings(
    labels: object,
    encoders: Sequence[object] | Mapping[str, object],
    *,
    names: Sequence[str] | Mapping[Any, str] | None = None,
    template: str = "{}",
    size: int | None = None,
    batch_size: int = 32,
    device: object = None,
    cache: object = None,
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
        Number of columns of every view. Default: that of the narrowest view.
    batch_size : int, default=32
        Number of labels that are encoded at once.
    device : str or torch.device, optional
        Where encoders run. Default: the GPU if there is one, else the CPU.
    cache : path or Cache, optional
        Content-addressed cache of embeddings, keyed by the encoder's fingerprint and the labels.

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
    one width. Wider views are reduced by a random projection: they are multiplied by a matrix with
    orthonormal columns whose seed depends on the two widths only. The projection preserves inner
    products approximately and does not depend on the labels. Principal components are unsuitable:
    C classes have at most C - 1 of them, and EMMS would standardise the remaining columns, which
    are rounding noise, to unit variance.

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
    if batch_size < 1:
        raise DataError(f"batch_size is {batch_size}; give at least 1")
    distinct, index = _find_distinct(labels, names)
    found: dict[str, NDArray[Any]] = {}
    for name, encoder in _name_encoders(encoders).items():
        if name in found:
            raise DataError(f"two encoders are called {name!r}; name them with a mapping")
        found[name] = _embed(encoder, name, distinct, template, batch_size, device, cache)
    widths = {name: view.shape[1] for name, view in found.items()}
    width = min(widths.values()) if size is None else size
    narrow = [name for name in widths if widths[name] < width]
    if narrow or width < 1:
        raise DataError(
            f"size is {size}, but the view {(narrow or [*widths])[0]!r} has "
            f"{widths[(narrow or [*widths])[0]]} columns; give at most {min(widths.values())}"
        )
    return {name: _project(view, width)[index] for name, view in found.items()}


def _embed(
    encoder: object,
    name: str,
    labels: list[Any],
    template: str,
    batch_size: int,
    device: object,
    cache: object,
) -> NDArray[Any]:
    """Return the embeddings of distinct labels, from the cache if there is one."""
    model = open_model(encoder, device=device)
    raw = [_format_label(label, template) for label in labels] if model.kind == "text" else labels
    if cache is None:
        view = _encode.encode(model, raw, batch_size)
    else:
        store = cache if isinstance(cache, Cache) else Cache(cache)  # type: ignore[arg-type]
        facts = {
            "what": "label embeddings",
            "model": model.fingerprint(),
            "layer": model.default_layer,
            "pool": model.default_pool,
            "labels": hash_values([_to_plain(item) for item in raw]),
        }
        key = compute_key(facts)
        entry = store.get(key, ("embeddings.npy",))
        if entry is None:
            view = _encode.encode(model, raw, batch_size)
            entry = store.put(key, {**facts, "name": model.name}, {"embeddings.npy": view})
        view = np.asarray(entry.array("embeddings.npy"))
    if not np.isfinite(view).all():
        row = int(np.flatnonzero(~np.isfinite(view).all(axis=1))[0])
        raise DataError(f"encoder {name!r} gives NaN or infinity for the label {raw[row]!r}")
    return view


def _find_distinct(labels: Any, names: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Return the distinct labels by first occurrence, and the index of each sample's label."""
    is_texts = not hasattr(labels, "dtype") and _is_sequence(labels)
    if is_texts and len(labels) and all(isinstance(label, (str, os.PathLike)) for label in labels):
        items: list[Any] = [os.fspath(label) for label in labels]
    else:
        array, _ = as_array(labels, "labels")
        if array.dtype.kind not in "fiubOUT" or array.ndim not in (1, 2):
            raise DtypeError(
                f"labels have dtype {array.dtype} and shape {array.shape}; give texts, numbers of "
                f"classes with names=, or rows of numbers"
            )
        items = array.tolist() if array.ndim == 1 else [tuple(row) for row in array.tolist()]
    if not items:
        raise DataError("labels is empty; give a label for each sample")
    if names is not None:
        items = [_lookup_name(item, names) for item in items]
    bare = [item for item in items if not isinstance(item, (str, tuple))]
    if bare:
        raise DataError(
            f"labels hold {bare[0]!r}, which means nothing to an encoder; give texts, or "
            f"names=[...] with what each class is called"
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
    return str(found)


def _name_encoders(encoders: Any) -> dict[str, Any]:
    if isinstance(encoders, Mapping):
        named = {str(name): encoder for name, encoder in encoders.items()}
    elif isinstance(encoders, str) or not _is_sequence(encoders):
        raise DtypeError("encoders must be a list of encoders, or a mapping of names to them")
    else:
        called = [_name_of(encoder) for encoder in encoders]
        twice = [name for name in called if called.count(name) > 1]
        if twice:
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


def _to_plain(item: Any) -> object:
    return item if isinstance(item, str) else [float(number) for number in item]


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
