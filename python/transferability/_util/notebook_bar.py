"""The progress bar of a notebook: one output that is rewritten, and empty at the end.

The output stays what it is when the notebook is saved, where a widget would be lost or would stand
still at its beginning. Work of less than a second shows none.
"""

from __future__ import annotations

import time
from html import escape
from typing import Any

from .notebook import printable

__all__ = ["NotebookBar"]

_DELAY, _EVERY = 1.0, 0.2  # seconds before the bar appears, and between two updates


class NotebookBar:
    """A progress bar of a notebook, with the methods of a tqdm bar that are used here."""

    ncols = None  # a notebook breaks lines

    def __init__(self, total: int | None = None, unit: str = "it", **_: Any) -> None:
        self.n: float = 0
        self.total = total
        self._unit, self._text, self._postfix = unit, "", ""
        self._start = time.monotonic()
        self._next = self._start + _DELAY  # when to show it again
        self._output: Any = None

    def update(self, n: float) -> None:
        """Count units of work."""
        self.n += n
        self._show()

    def set_postfix_str(self, text: str) -> None:
        """Set what is being done, which stands after the numbers."""
        self._postfix = text
        self._show()

    def set_description_str(self, text: str) -> None:
        """Show a text in place of the numbers."""
        self._text = text
        self._show()

    def reset(self, total: int | None = None) -> None:
        """Start anew with another number of units."""
        self.n, self.total = 0, total

    def close(self) -> None:
        """Empty the output."""
        if self._output is not None:
            self._output.update({"text/plain": "", "text/html": ""}, raw=True)

    def __enter__(self) -> NotebookBar:
        """Return the bar."""
        return self

    def __exit__(self, *error: object) -> None:
        """Empty the output, after an error too."""
        self.close()

    def _show(self) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _EVERY
        text = self._text or self._describe(now - self._start)
        part = "" if self.total is None else f' value="{self.n:.3f}" max="{self.total}"'
        bar = f"<progress{part}></progress>"  # without a total it moves to and fro
        shown = {"text/plain": text, "text/html": f"{bar} {escape(printable(text))}"}
        if self._output is None:
            from IPython.display import display

            self._output = display(shown, raw=True, display_id=True)
        else:
            self._output.update(shown, raw=True)

    def _describe(self, seconds: float) -> str:
        if self.total is None:
            return self._postfix
        parts = [f"{self.n:,.0f} of {self.total:,} {self._unit}s"]
        if self.n:
            rate = self.n / seconds
            shown = f"{rate:,.{0 if rate >= 100 else 1}f} {self._unit}s/s"
            parts.append(shown if rate >= 1 else f"{1 / rate:,.1f} s each")
            parts.append(f"{(self.total - self.n) / rate:,.0f} s left")
        return ", ".join([*parts, *([self._postfix] if self._postfix else [])])
