"""Data that only one thread may read."""

from __future__ import annotations

import threading
from typing import Any


class OneThread:
    """Items that only the thread that made them may read, as from a database.

    An item "broken" cannot be read by anyone.
    """

    def __init__(self, items: Any) -> None:
        self.items, self.thread = items, threading.get_ident()

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Any:
        if threading.get_ident() != self.thread:
            raise RuntimeError("made in another thread")
        item = self.items[i]
        if isinstance(item, str) and item == "broken":
            raise RuntimeError("this item is broken")
        return item
