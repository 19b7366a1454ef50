"""The job of one model in a sweep, its options and its result: values that are pickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from .._data.data import Data
from .._inputs.arguments import check_counts, check_switches, read_ignored
from .._util.threads import resolve_threads
from ..errors import DataError, DtypeError
from ..torch._names import ALL, check_amp, check_dtype, check_pool

__all__ = ["CUT", "FEATURES", "MEAN", "OUTPUTS", "STATS", "ExtractionOptions", "Job"]
__all__ += ["JobResult", "Report", "check_layers", "check_pools"]

#: Files of a cache entry.
STATS, FEATURES, OUTPUTS = "stats", "features.npy", "outputs.npy"
#: Name of the layer whose rows are the mean of those of all requested layers.
MEAN = "mean"
#: Key in the facts of an entry: how many items are longer than the model reads, and its limit.
CUT = "cut"
#: Progress callback: (stage, rows done, rows in all, rows per second, peak memory in bytes).
Report = Callable[[str, int, int, float, int], object]
_STORED = ("keep_features", "outputs")
#: Fields that are not part of a cache key. Each layer has a key of its own. The device, the batch
#: size and the compiler change only the rounding, and the number of threads nothing. (The batch
#: size is a fact of models whose ``batch_size`` is not None.) An entry with features or outputs
#: also serves sweeps that do not need these.
_NOT_IN_KEYS = ("layers", "average", "batch_size", "compile", "device", "n_threads", *_STORED)
_OF_POSITIONS = ("positions", "ignore", "seed")
_ONLY_IF_SET = ("bag_pool", "window", "stride")


@dataclass(frozen=True)
class ExtractionOptions:
    """Settings for computing the features of every model.

    `layers` and `pool` are resolved to names when a model is open. `positions`, `ignore` and `seed`
    concern segmentation only.
    """

    layers: str | tuple[str, ...] = "default"  # "default", "last", "all", or names
    average: bool = False  # whether the mean of these layers is a layer too
    #: Pooling of tokens or positions, or several, by layer once resolved; None: the model's own.
    pool: str | tuple[str, ...] | Mapping[str, tuple[str, ...] | str] | None = None
    bag_pool: str | None = None  # pooling of the rows of a bag; None without bags
    window: int | None = None  # tokens or time steps of a window; None for whole items
    stride: int | None = None  # from one window to the next; by default `window`
    batch_size: int | None = None  # maximum number of items in a batch; None for the default
    device: str | None = None
    dtype: str | None = None  # number format of the weights
    amp: str | None = None  # number format of automatic mixed precision
    compile: bool = False  # whether the blocks of a model are compiled by torch.compile
    max_length: int | None = None  # maximum number of tokens of a text
    task: str = "auto"  # "classification", "regression" or "multilabel" once labels are read
    class_scatters: bool = False  # whether the statistics hold the scatter of every class
    keep_features: bool = False  # whether features are stored beside the statistics
    outputs: bool = False  # whether outputs of the model's head are stored
    positions: int | None = None  # maximum number of positions of an image; None for other tasks
    ignore: tuple[float, ...] = ()  # labels to leave out in addition to -100
    seed: int = 0  # of the sample of positions
    n_threads: int | None = None

    def __post_init__(self) -> None:
        """Validate all that needs no model; numbers become int, as cache keys have their repr."""
        check_amp(self.amp)
        check_dtype(self.dtype)
        if self.n_threads is not None:
            resolve_threads(self.n_threads)
        own: dict[str, Any] = {"layers": check_layers(self.layers)}
        own["ignore"] = read_ignored(self.ignore)
        if not isinstance(self.pool, Mapping):  # of each layer, once resolved
            own["pool"] = check_pools(self.pool)
        for name in ("batch_size", "max_length", "positions", "window", "stride"):
            own |= check_counts(**{name: getattr(self, name)})
        own |= check_counts(0, seed=self.seed)
        for name in ("average", "compile", "class_scatters", "keep_features", "outputs"):
            own |= check_switches(**{name: getattr(self, name)})
        for name, value in own.items():
            object.__setattr__(self, name, value)
        if self.stride is not None and (self.window is None or self.stride > self.window):
            raise DataError(
                f"stride is {self.stride} and window {self.window}; give a window of at least the "
                f"stride, so that nothing is left out between windows"
            )
        if self.stride is None:  # side by side, under the same key as if it were given
            object.__setattr__(self, "stride", self.window)

    def extraction_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of ``transferability.torch.extract``, without layers."""
        names = ("pool", "amp", "task", "class_scatters", "keep_features", "outputs", "average")
        more = _OF_POSITIONS if self.positions is not None else ()
        arguments = {name: getattr(self, name) for name in (*names, *more, "n_threads")}
        levels: tuple[str, ...] = () if self.window is None else ("mean",)
        levels += () if self.bag_pool is None else (self.bag_pool,)
        if levels:
            arguments |= {"bag_pool": levels, "adjacent_bags": True}
        return arguments

    def pool_names(self) -> tuple[str, ...]:
        """Return the names of all poolings, "all" among them; none for the model's own."""
        given = self.pool.values() if isinstance(self.pool, Mapping) else (self.pool,)
        listed = [(pool,) if isinstance(pool, str) else pool or () for pool in given]
        return tuple(dict.fromkeys(name for names in listed for name in names))

    def key_facts(self) -> dict[str, str]:
        """Return the fields that determine the statistics of a layer, for a cache key."""
        left_out = _NOT_IN_KEYS + (_OF_POSITIONS if self.positions is None else ())
        left_out += tuple(name for name in _ONLY_IF_SET if getattr(self, name) is None)
        names = (field.name for field in fields(self) if field.name not in left_out)
        return {name: repr(getattr(self, name)) for name in names}


@dataclass(frozen=True)
class Job:
    """One model to extract features from. Every attribute can be pickled."""

    name: str  # in the ranking
    model: Any  # as ``transferability.models.open_model`` takes it
    data: Data  # items with converted labels
    digest: str  # hash of the data
    options: ExtractionOptions
    cache: str  # folder of the cache
    is_kept: bool = True  # whether the cache persists after the sweep
    resume: bool = True  # whether entries of the cache are used
    n_rows: int | None = None  # expected rows of features; None if it depends on the model
    marks: str | None = None  # file in which the items in flight are marked

    def needed_files(self) -> tuple[str, ...]:
        """Return the names of the files that a cache entry must have."""
        features = (FEATURES,) if self.options.keep_features else ()
        return (STATS, *features, *((OUTPUTS,) if self.options.outputs else ()))


@dataclass(frozen=True)
class JobResult:
    """Cache keys of statistics by layer, or layer and pooling, from the first layer to the last."""

    keys: Mapping[str, str]
    notes: tuple[str, ...] = ()
    from_cache: bool = False  # whether the cache had all layers, so that the model did not run


def check_layers(layers: object) -> str | tuple[str, ...]:
    """Validate the argument `layers`; return a name, or a tuple of names."""
    if isinstance(layers, str):
        return layers
    names = tuple(layers) if isinstance(layers, Sequence) else (layers,)
    if not all(isinstance(name, str) for name in names):
        raise DtypeError(
            f"layers is {layers!r}; give 'default', 'last', 'all', or a list of names of layers"
        )
    if not names:
        raise DataError("layers is empty; name at least one, or give 'default', 'last' or 'all'")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"layers names {repeated[0]!r} twice; name each layer once")
    return names


def check_pools(pool: object) -> str | tuple[str, ...] | None:
    """Validate the argument `pool`; return None, a name or "all", or a tuple of names."""
    if pool is None:
        return None
    if isinstance(pool, str):
        if pool != ALL:
            check_pool(pool, "'all'")
        return pool
    names = tuple(pool) if isinstance(pool, (list, tuple)) else (pool,)
    if not all(isinstance(name, str) for name in names):
        raise DtypeError(f"pool is {pool!r}; give the name of a pooling, a list of names, or 'all'")
    if not names:
        raise DataError("pool is empty; name at least one pooling, or give 'all'")
    if repeated := [name for name in names if names.count(name) > 1]:
        raise DataError(f"pool names {repeated[0]!r} twice; name each pooling once")
    if ALL in names:
        raise DataError("pool is a list with 'all' in it; give pool='all' alone")
    for name in names:
        check_pool(name, "'all' alone")
    return names
