"""Progress of a sweep over models: model, stage, speed and estimated time left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType

from .._util.progress import open_bar

__all__ = ["Sweep", "SweepProgress", "SweepState"]


@dataclass(frozen=True)
class SweepState:
    """The state of a sweep, as a progress function gets it.

    Attributes
    ----------
    model : str
        Name of the current model; "" while the data are read.
    index, n_models : int
        Number of the current model, from 1, and number of models.
    stage : {"reading", "loading", "extracting", "saving", "scoring", "done"}
        The current step for this model.
    done, total : int
        Rows of the data.
    rows_per_second : float
        Speed for this model so far; 0 where unknown.
    seconds_left : float or None
        Estimate for all models, from the mean time of the models so far; None at first.
    peak_bytes : int
        Peak memory of the model's process, or of its device; 0 where unknown.
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
        """Return the state as one line."""
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
    """The display of a sweep: reports states to a function, a tqdm line, or nowhere."""

    def __init__(self, progress: SweepProgress, names: Sequence[str]) -> None:
        self._names, self._index = names, 0
        self._progress = progress
        self._bar = None if callable(progress) else open_bar(progress, bar_format="{desc}")
        self._start = time.perf_counter()
        self._state = SweepState("", 0, len(names), "reading")
        self._finished: list[float] = []

    def __enter__(self) -> Sweep:
        """Return the display; the end of the block removes its line."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Remove the line."""
        if self._bar is not None:
            self._bar.close()

    def reading(self, total: int) -> None:
        """Report that the data are being read."""
        self._report(SweepState("", 0, len(self._names), "reading", 0, total))

    def model(self, name: str) -> Callable[[str, int, int, float, int], None]:
        """Start a model; return the function that its process reports to."""
        self._index += 1
        self._start = time.perf_counter()
        index, n_models = self._index, len(self._names)
        self._report(SweepState(name, index, n_models, "loading", seconds_left=self._left(0, 0)))

        def report(stage: str, done: int, total: int, rate: float, peak: int) -> None:
            left = self._left(done if stage == "extracting" else 0, total)
            self._report(SweepState(name, index, n_models, stage, done, total, rate, left, peak))

        return report

    def done(self) -> None:
        """Report that the current model is done."""
        self._finished.append(time.perf_counter() - self._start)
        state = self._state
        left = self._left(0, 0) if self._index < len(self._names) else 0.0
        self._report(
            SweepState(state.model, state.index, state.n_models, "done", seconds_left=left)
        )

    def where(self) -> str:
        """Return the current stage in words, for a model whose process died."""
        state = self._state
        at = (
            f", after {state.done:,} of {state.total:,} rows" if state.stage == "extracting" else ""
        )
        return f"while {state.stage}{at}"

    def _left(self, done: int, total: int) -> float | None:
        """Estimate the seconds left: of this model from its rows, of others from the mean."""
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

    def _report(self, state: SweepState) -> None:
        self._state = state
        if callable(self._progress):
            self._progress(state)
        elif self._bar is not None:
            self._bar.set_description_str(str(state))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
