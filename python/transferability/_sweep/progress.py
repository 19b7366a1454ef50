"""Progress of a sweep over models: model, stage, speed and estimated time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from .._util.notebook import shorten_middle
from .._util.progress import open_bar

__all__ = ["Sweep", "SweepProgress", "SweepState"]

_SHORTEST = 20  # characters of a longer name that are worth the full line
_WIDTH = 100  # characters of a line where the width is not known, as in a notebook


@dataclass(frozen=True)
class SweepState:
    """The state of a sweep, which is passed to a progress function.

    The stages of a model are "loading", "extracting", "saving", "scoring" and "done", after the
    stage "reading" of the data. A model that is recognised without loading it has the stage
    "cached" in place of these, before "scoring". Unknown speed and memory are 0.
    """

    model: str  # name of the current model; "" while the data are read
    index: int  # number of the current model, from 1
    n_models: int
    stage: str
    done: int = 0  # rows of the data
    total: int = 0
    rows_per_second: float = 0.0  # for this model so far
    seconds_left: float | None = None  # for all models, from the mean time of those that ran
    peak_bytes: int = 0  # peak memory of the model's process, or of its device

    def __str__(self) -> str:
        """Return the state as one line."""
        return self._describe(self.model, brief=False)

    def fit(self, width: int) -> str:
        """Return the state as a line of at most `width` characters, with rate and time in it.

        The name is cut in its middle first; then the line is put more briefly.
        """
        for brief, shortest in ((False, _SHORTEST), (True, 1)):
            spare = width - len(self._describe("", brief))
            if spare >= min(len(self.model), shortest):
                return self._describe(shorten_middle(self.model, max(spare, 1)), brief)
        return self._describe("", brief=True)[:width]

    def _describe(self, name: str, brief: bool) -> str:
        parts = [] if brief and self.stage == "extracting" else [self.stage]
        if self.stage == "extracting":
            parts.append(f"{self.done:,}{'/' if brief else ' of '}{self.total:,} rows")
            parts.append(f"{self.rows_per_second:,.0f} rows/s")
        if self.seconds_left is not None:
            parts.append(f"{_clock(self.seconds_left)} left")
        if self.peak_bytes and not brief:
            parts.append(f"peak {self.peak_bytes / 2**30:.1f} GiB")
        of = "" if not self.model else f"model {self.index} of {self.n_models}, {name}: "
        if brief and of:
            of = f"{self.index}/{self.n_models} {name}: "
        return of + ", ".join(parts)


#: None shows a bar in a notebook, and a line on a terminal if tqdm is installed; True always, False
#: never; or a function.
SweepProgress = bool | Callable[[SweepState], object] | None


class Sweep:
    """The display of a sweep: reports states to a function, a tqdm line, or nowhere."""

    def __init__(self, progress: SweepProgress, n_models: int) -> None:
        self._progress = progress
        # A bar on a terminal would leave too little of the line for the text.
        options = {"bar_format": "{desc}", "total": n_models}
        self._bar = None if callable(progress) else open_bar(progress, **options)
        self._start = time.perf_counter()
        self._state = SweepState("", 0, n_models, "reading")
        self._finished: list[float] = []  # seconds of every finished model that ran
        self._is_between = False  # whether the current model is done

    def close(self) -> None:
        """Remove the tqdm line."""
        if self._bar is not None:
            self._bar.close()

    def start_round(self, n_models: int) -> None:
        """Start to count the models of a round of a race."""
        self._state = replace(self._state, index=0, n_models=n_models)
        self._finished.clear()
        if self._bar is not None:
            self._bar.reset(n_models)

    def start_model(self, name: str) -> None:
        """Report that a model is being loaded."""
        self._state = replace(self._state, model=name, index=self._state.index + 1)
        self._start, self._is_between = time.perf_counter(), False
        self.report("loading")

    def finish_model(self, from_cache: bool = False) -> None:
        """Report that the current model is done; one from the cache tells nothing of the others."""
        if not from_cache:
            self._finished.append(time.perf_counter() - self._start)
        self._is_between = True
        self.report("done")

    def report(
        self, stage: str, done: int = 0, total: int = 0, rate: float = 0.0, peak: int = 0
    ) -> None:
        """Report the progress of the current model: the ``Report`` callback of its job."""
        model, index, n_models = self._state.model, self._state.index, self._state.n_models
        left = self._estimate_left(done if stage == "extracting" else 0, total)
        state = SweepState(model, index, n_models, stage, done, total, rate, left, peak)
        self._state = state
        if callable(self._progress):
            self._progress(state)
        elif self._bar is not None:
            self._bar.n = max(index - 1, 0) + (done / total if total else float(stage == "done"))
            self._bar.set_description_str(state.fit(_width_of(self._bar)))

    def tell(self, text: str) -> None:
        """Show what the current stage is at; functions are called with whole stages only."""
        if self._bar is not None:
            self._bar.set_description_str(f"{self._state}: {text}")

    def where(self) -> str:
        """Describe the current stage, for the error of a model whose process died."""
        state = self._state
        if state.stage != "extracting":
            return f"while {state.stage}"
        return f"while extracting, after {state.done:,} of {state.total:,} rows"

    def _estimate_left(self, done: int, total: int) -> float | None:
        """Estimate the seconds left from this model's rows and the mean time of finished ones."""
        spent = time.perf_counter() - self._start
        this = spent * (total - done) / done if done else None
        if self._finished:
            each = sum(self._finished) / len(self._finished)
        elif this is not None:
            each = spent + this
        elif self._is_between and self._state.index == self._state.n_models:
            return 0.0
        else:
            return None
        now = max(each - spent, 0.0) if this is None else this
        if self._is_between:
            now = 0.0
        return now + each * (self._state.n_models - self._state.index)


def _width_of(bar: Any) -> int:
    """Return the number of characters that a tqdm line has; its last column stays free."""
    width = bar.ncols if isinstance(bar.ncols, int) else _WIDTH
    return max(width - 1, 1)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
