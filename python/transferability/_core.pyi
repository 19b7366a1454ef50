"""The native core: plain NumPy arrays in, plain results out. The package around it is the API."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, TypedDict, final, type_check_only

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Outcome",
    "Requests",
    "Stats",
    "Stop",
    "__version__",
    "check_shape",
    "class_covariances",
    "class_covariances_of",
    "class_means",
    "coding_rate",
    "coding_rate_reduction",
    "compute",
    "covariance",
    "covariance_of",
    "digest",
    "discriminant",
    "fixed_point",
    "from_bytes",
    "from_moments",
    "metric_table",
    "moments",
    "release_memory",
    "show_config",
    "span",
    "spectrum",
    "to_bytes",
]

__version__: str

@final
class Outcome:
    """Result of a metric; arrays and details are made when they are asked for."""

    @property
    def value(self) -> float: ...
    @property
    def exact(self) -> bool: ...
    @property
    def warnings(self) -> list[str]: ...
    def unpack(self) -> tuple[NDArray[np.float64], dict[str, Any]]: ...

@type_check_only
class MetricRow(TypedDict):
    """A row of the table of metrics."""

    name: str
    title: str
    summary: str
    needs: list[str]
    tasks: list[str]
    cost: str
    source: str

@final
class Stop:
    """Ends the jobs of the statistics it was given to, between their tiles."""

    def __new__(cls) -> Stop: ...
    def set(self) -> None: ...

@final
class Requests:
    """Metrics with their options, read and checked once for any number of calls."""

    def __new__(cls, requests: Sequence[tuple[str, Mapping[str, Any]]]) -> Requests: ...
    def check_shape(self, n_rows: int, n_cols: int) -> None: ...

@final
class Stats:
    """Mergeable statistics of features and labels or targets.

    Arrays must be NumPy, in native byte order and aligned; features 2-D, float16/32/64, integer or
    bool, with any strides.
    """

    def __new__(
        cls, precision: str = "double", stop: Stop | None = None, class_scatters: bool = False
    ) -> Stats: ...
    def update(
        self, features: NDArray[Any], weights: NDArray[np.int64] | None, n_threads: int
    ) -> None: ...
    def update_labels(
        self,
        features: NDArray[Any],
        labels: NDArray[np.int64],
        names: Sequence[str] | None,
        weights: NDArray[np.int64] | None,
        n_threads: int,
    ) -> None: ...
    def update_targets(
        self,
        features: NDArray[Any],
        targets: NDArray[np.float64],
        weights: NDArray[np.int64] | None,
        n_threads: int,
    ) -> None: ...
    def merge(self, other: Stats, n_threads: int) -> Stats: ...
    def to_targets(self) -> Stats: ...
    def reordered(self, order: Sequence[int]) -> Stats: ...
    def compute(
        self,
        requests: Requests,
        n_threads: int,
        given: dict[str, Any] | None = None,
        svd: bool = False,
    ) -> list[Outcome | Exception]: ...
    def summary(
        self,
    ) -> tuple[int, int, tuple[int, ...] | tuple[str, ...] | None, tuple[int, ...] | None]: ...
    def copy(self) -> Stats: ...
    def mean(self) -> NDArray[np.float64]: ...
    @property
    def n_samples(self) -> int: ...
    @property
    def n_features(self) -> int: ...
    @property
    def nbytes(self) -> int: ...
    @property
    def classes(self) -> list[int] | list[str] | None: ...
    @property
    def class_counts(self) -> list[int] | None: ...
    @property
    def class_scatters(self) -> bool: ...
    @property
    def precision(self) -> str: ...
    @property
    def holds(self) -> str: ...

def compute(
    requests: Requests,
    n_threads: int,
    given: dict[str, Any],
    stop: Stop | None,
) -> list[Outcome | Exception]: ...

_OfClasses: TypeAlias = tuple[
    list[int] | list[str],
    list[int],
    NDArray[np.float64],
    NDArray[np.float64],
    NDArray[np.float64] | None,
]

def covariance(
    stats: Stats, by: str | float | None, assume_centered: bool, n_threads: int
) -> tuple[NDArray[np.float64], float]: ...
def covariance_of(
    features: NDArray[Any], by: str | float | None, assume_centered: bool, n_threads: int
) -> tuple[NDArray[np.float64], float]: ...
def check_shape(n_rows: int, n_cols: int, of_spectrum: bool) -> None: ...
def class_covariances(stats: Stats, per_class: bool, n_threads: int) -> _OfClasses: ...
def class_means(stats: Stats, n_threads: int) -> NDArray[np.float64]: ...
def class_covariances_of(
    features: NDArray[Any],
    labels: NDArray[np.int64],
    names: Sequence[str] | None,
    per_class: bool,
    n_threads: int,
) -> _OfClasses: ...
def coding_rate(
    stats: Stats, eps: float, convention: str, n_threads: int
) -> tuple[float, float]: ...
def coding_rate_reduction(
    stats: Stats, eps: float, convention: str, n_threads: int
) -> tuple[float, NDArray[np.float64], float, float]: ...
def discriminant(
    within: NDArray[np.float64],
    offsets: NDArray[np.float64],
    ridge: float,
    smallest: bool,
    n_threads: int,
) -> tuple[NDArray[np.float64], float | None]: ...
def spectrum(stats: Stats, assume_centered: bool, n_threads: int) -> NDArray[np.float64]: ...
def span(ids: NDArray[np.int64]) -> tuple[int, int]: ...
def to_bytes(stats: Stats, notes: str) -> bytes: ...
def from_bytes(data: bytes, *, trusted: bool = False) -> tuple[Stats, str]: ...
def digest(stats: Stats) -> bytes: ...
def moments(stats: Stats, n_threads: int, of_features: bool = False) -> dict[str, Any]: ...
def from_moments(moments: dict[str, Any]) -> Stats: ...
def metric_table() -> list[MetricRow]: ...
def release_memory() -> None: ...
def show_config() -> dict[str, Any]: ...

@type_check_only
class FixedPoint(TypedDict):
    """Final state of another library's fixed-point iteration, for each column of the targets."""

    evidence: NDArray[np.float64]
    alpha: NDArray[np.float64]
    beta: NDArray[np.float64]
    weights: NDArray[np.float64]
    iterations: list[int]

def fixed_point(
    features: NDArray[np.float64],
    targets: NDArray[np.float64],
    recipe: str,
    n_threads: int,
    *,
    initial_ratio: float = 1.0,
    max_iterations: int | None = None,
    tolerance: float | None = None,
) -> FixedPoint: ...
