"""What labels mean, as other models see it: the views that EMMS mixes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .._inputs.arrays import as_array
from ..errors import DataError, DtypeError

__all__ = ["label_embeddings"]

#: Of the projections that make views of different encoders equally wide.
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
    """Embed labels with a meaning by several encoders, for :func:`transferability.emms`.

    Parameters
    ----------
    labels : sequence of str, or array-like of shape (n_samples,) or (n_samples, n_numbers)
        The label of each sample: class names, captions, answers; numbers of classes, with
        `names`; or rows of numbers such as boxes, which text encoders read written out with
        three decimals, "0.250, 0.100, 0.750, 0.900". For vision encoders files of images.
    encoders : sequence or mapping
        Anything that :func:`transferability.models.open_model` takes, such as "st:all-MiniLM-L6-v2"
        or a function from a list of labels to an array of shape (n_labels, dimension), which gets
        rows of numbers as they are. A mapping names the views; otherwise each is called by its
        name. The default layer and pooling of an encoder are its embedding; ``?pool=`` and
        ``?layer=`` choose others.
    names : sequence or mapping of str, optional
        What each class number, or any other label, is called.
    template : str, default="{}"
        What the encoder reads, "{}" standing for the text: "a photo of a {}".
    size : int, optional
        Columns of every view; default: as many as the narrowest has.
    batch_size : int, default=32
        Labels that are encoded at once.
    device : str or torch.device, optional
        Default: the GPU where there is one.
    cache : path or Cache, optional
        Where embeddings are kept, by the content of the encoder and of the labels.

    Returns
    -------
    views : dict of str to ndarray of shape (n_samples, size), float32 or float64
        As ``label_embeddings=`` of :func:`transferability.emms`, `score` and `rank` takes them.

    Raises
    ------
    DataError
        If there are no labels or encoders, a label has no name, a view is narrower than `size`,
        or an encoder cannot be opened or gives NaN.
    DtypeError
        If labels are neither text nor numbers.

    Notes
    -----
    Every distinct label is encoded once. EMMS mixes views entry by entry, so that all must be
    equally wide: wider ones are multiplied by a fixed matrix with orthonormal columns, drawn once
    for each pair of widths. That keeps inner products up to noise, treats all directions alike and
    does not depend on the labels. Principal components would not do: of C classes they have at
    most C - 1, and the rest would be rounding noise, which EMMS standardises to the size of data.

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
    distinct, index = _distinct(labels, names)
    found: dict[str, NDArray[Any]] = {}
    for name, encoder in _named(encoders).items():
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
    return {name: _narrowed(view, width)[index] for name, view in found.items()}


def _embed(
    encoder: object,
    name: str,
    labels: list[Any],
    template: str,
    batch_size: int,
    device: object,
    cache: object,
) -> NDArray[Any]:
    """Encode distinct labels, or find them in the cache."""
    from . import open_model
    from ._encode import encode
    from ._fingerprint import digest

    model = open_model(encoder, device=device)
    raw = [_written(label, template) for label in labels] if model.kind == "text" else labels
    if cache is None:
        view = encode(model, raw, batch_size)
    else:
        from .._util.cache import Cache, key_of

        store = cache if isinstance(cache, Cache) else Cache(cache)  # type: ignore[arg-type]
        facts = {
            "what": "label embeddings",
            "model": model.fingerprint(),
            "layer": model.default_layer,
            "pool": model.default_pool,
            "labels": digest([_plain(item) for item in raw]),
        }
        entry = store.get(key_of(facts), ("embeddings.npy",))
        if entry is None:
            view = encode(model, raw, batch_size)
            about = {**facts, "name": model.name}
            entry = store.put(key_of(facts), about, {"embeddings.npy": view})
        view = np.asarray(entry.array("embeddings.npy"))
    if not np.isfinite(view).all():
        row = int(np.flatnonzero(~np.isfinite(view).all(axis=1))[0])
        raise DataError(f"encoder {name!r} gives NaN or infinity for the label {raw[row]!r}")
    return view


def _distinct(labels: Any, names: Any) -> tuple[list[Any], NDArray[np.int64]]:
    """Give the distinct labels in their first order, and which of them each sample has."""
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
        items = [_name(item, names) for item in items]
    bare = [item for item in items if not isinstance(item, (str, tuple))]
    if bare:
        raise DataError(
            f"labels hold {bare[0]!r}, which means nothing to an encoder; give texts, or "
            f"names=[...] with what each class is called"
        )
    places: dict[Any, int] = {}
    index = np.array([places.setdefault(item, len(places)) for item in items], dtype=np.int64)
    return list(places), index


def _name(label: Any, names: Any) -> str:
    try:
        if not isinstance(names, Mapping) and int(label) < 0:
            raise IndexError
        found = names[label if isinstance(names, Mapping) else int(label)]
    except (KeyError, IndexError, ValueError, TypeError):
        raise DataError(f"names has none for the label {label!r}; it has {len(names)}") from None
    return str(found)


def _named(encoders: Any) -> dict[str, Any]:
    if isinstance(encoders, Mapping):
        named = {str(name): encoder for name, encoder in encoders.items()}
    elif isinstance(encoders, str) or not _is_sequence(encoders):
        raise DtypeError("encoders must be a list of encoders, or a mapping of names to them")
    else:
        called = [_called(encoder) for encoder in encoders]
        twice = [name for name in called if called.count(name) > 1]
        if twice:
            raise DataError(f"two encoders are called {twice[0]!r}; name them with a mapping")
        named = dict(zip(called, encoders, strict=True))
    if not named:
        raise DataError("encoders is empty; give at least one")
    return named


def _called(encoder: Any) -> str:
    if isinstance(encoder, (str, os.PathLike)):
        return os.fspath(encoder)
    return str(getattr(encoder, "name", None) or getattr(encoder, "__name__", type(encoder)))


def _written(label: Any, template: str) -> str:
    text = label if isinstance(label, str) else ", ".join(f"{number:.3f}" for number in label)
    return template.replace("{}", text)


def _plain(item: Any) -> object:
    return item if isinstance(item, str) else [float(number) for number in item]


def _narrowed(view: NDArray[Any], width: int) -> NDArray[Any]:
    """Project rows on a fixed random subspace; views that are as wide stay as they are."""
    if view.shape[1] == width:
        return view
    drawn = np.random.default_rng((_SEED, view.shape[1], width))
    basis, _ = np.linalg.qr(drawn.normal(size=(view.shape[1], width)))
    projected: NDArray[Any] = view.astype(np.float64) @ basis
    return projected.astype(view.dtype)


def _is_sequence(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
