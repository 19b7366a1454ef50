"""How far a sweep over models is: which model, which stage, how fast, how long still."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from .._util.optional import need
from ..errors import DtypeError, MissingDependencyError

__all__ = ["Sweep", "SweepProgress", "SweepState"]


@dataclass(frozen=True)
class SweepState:
    """What a progress function gets.

    Attributes
    ----------
    model : str
        Name of the model under way; "" while the data are read.
    index, n_models : int
        It is the index-th (from 1) of so many.
    stage : {"reading", "loading", "extracting", "saving", "scoring", "done"}
        What is being done with it.
    done, total : int
        Rows of the data.
    rows_per_second : float
        Of this model so far; 0 where nothing is known.
    seconds_left : float or None
        Until all models are done, if the others take as long as those so far; None at first.
    peak_bytes : int
        Largest memory of the model's process, or of its device; 0 where nothing is known.
    """

    model: str
    index: int
    n_models: int
    stage: str
    done: int = 0
    total: int = 0
    rows_per_second: float = 0.0
    seconds_left: float | None = None
    peak_bytes: int = 0

    def __str__(self) -> str:
        """Write one line."""
        parts = [self.stage]
        if self.stage == "extracting":
            parts.append(f"{self.done:,} of {self.total:,} rows")
            parts.append(f"{self.rows_per_second:,.0f} rows/s")
        if self.seconds_left is not None:
            parts.append(f"{_clock(self.seconds_left)} left")
        if self.peak_bytes:
            parts.append(f"peak {self.peak_bytes / 2**30:.1f} GiB")
        of = f"model {self.index} of {self.n_models}, {self.model}: " if self.model else ""
        return of + ", ".join(parts)


#: None: a line on a terminal if tqdm is installed; True, False: always, never; or a function.
SweepProgress = bool | Callable[[SweepState], object] | None


class Sweep:
    """Tells a progress function, a line of tqdm, or nobody."""

    def __init__(self, progress: SweepProgress, names: Sequence[str]) -> None:
        self._names, self._index = names, 0
        self._bar: Any = None
        self._start = time.perf_counter()
        self._state = SweepState("", 0, len(names), "reading")
        self._finished: list[float] = []
        self._tell = self._teller(progress)

    def __enter__(self) -> Sweep:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Take the line away."""
        if self._bar is not None:
            self._bar.close()

    def reading(self, total: int) -> None:
        """Say that the data are read."""
        self._say(SweepState("", 0, len(self._names), "reading", 0, total))

    def model(self, name: str) -> Callable[[str, int, int, float, int], None]:
        """Begin a model and give what its process reports to."""
        self._index += 1
        self._start = time.perf_counter()
        index, n_models = self._index, len(self._names)
        self._say(SweepState(name, index, n_models, "loading", seconds_left=self._left(0, 0)))

        def report(stage: str, done: int, total: int, rate: float, peak: int) -> None:
            left = self._left(done if stage == "extracting" else 0, total)
            self._say(SweepState(name, index, n_models, stage, done, total, rate, left, peak))

        return report

    def done(self) -> None:
        """End a model."""
        self._finished.append(time.perf_counter() - self._start)
        state = self._state
        left = self._left(0, 0) if self._index < len(self._names) else 0.0
        self._say(SweepState(state.model, state.index, state.n_models, "done", seconds_left=left))

    def where(self) -> str:
        """Say in words what was being done, for a model that died."""
        state = self._state
        at = (
            f", after {state.done:,} of {state.total:,} rows" if state.stage == "extracting" else ""
        )
        return f"while {state.stage}{at}"

    def _left(self, done: int, total: int) -> float | None:
        """Estimate the seconds until the end: this model's by its rows, others' by the mean."""
        spent = time.perf_counter() - self._start
        this = spent * (total - done) / done if done else None
        each = sum(self._finished) / len(self._finished) if self._finished else None
        if each is None:
            each = None if this is None else spent + this
        if each is None:
            return None
        now = max(each - spent, 0.0) if this is None else this
        if len(self._finished) == self._index:  # between models
            now = 0.0
        return now + each * (len(self._names) - self._index)

    def _say(self, state: SweepState) -> None:
        self._state = state
        self._tell(state)

    def _teller(self, progress: Any) -> Callable[[SweepState], object]:
        wanted = progress is True
        if progress is None:
            progress = sys.stderr is not None and sys.stderr.isatty()
        if callable(progress):
            return progress  # type: ignore[no-any-return]
        if not isinstance(progress, bool):
            raise DtypeError(f"progress is {progress!r}; give True, False, None or a function")
        if not progress:
            return lambda state: None
        try:
            tqdm = need("tqdm.auto", extra="progress", what="progress=True").tqdm
        except MissingDependencyError:
            if wanted:
                raise
            return lambda state: None
        bar = self._bar = tqdm(bar_format="{desc}", file=sys.stderr, leave=False)
        return lambda state: bar.set_description_str(str(state))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
