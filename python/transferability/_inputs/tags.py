"""Tags of words: which are not to be looked at, and the marks of chunks that they begin with."""

from __future__ import annotations

import re

__all__ = ["IGNORED", "without_mark"]

#: The label of what is not to be looked at, by convention of torch's losses and Hugging Face.
IGNORED = -100
_MARKED = re.compile(r"[BIESLU]-(.+)")


def without_mark(tag: str) -> str:
    """Take the mark of a chunk's begin, inside or end from a tag: B-PER becomes PER."""
    marked = _MARKED.fullmatch(tag)
    return marked[1] if marked else tag
