"""Recognise a chunk scheme, such as BIO, from a whole set of tags, and remove its marks.

A tag is a mark and an entity: B-PER, B_PER or PER-B. The marks say where in a chunk a word stands:
it begins it (B), is inside (I or M), ends it (E or L) or is all of it (S, U or W). BIO, IOB1, IOE,
BIOES, BILOU, BMES and BMEWO are subsets of these with at most one mark for each place. Names such
as E-mail and S-Bahn have the same form. So a set is a scheme only if

- every tag is O, another name of it or a special tag such as [PAD], or it is a mark, one separator
  and an entity, in one order;
- no place has two marks: S-Bahn and U-Bahn are no scheme;
- an entity has a beginning and an inside, and two classes remain; or the marks are in upper case, O
  is among the tags, and an entity has two marks or all marks are B and I.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

__all__ = ["ChunkScheme", "explain_kept", "find_scheme", "is_outside"]

#: The marks of each place in a chunk.
_PLACES = ("B", "IM", "EL", "SUW")
_SEPARATORS = "-_:/|."
#: Tags of words outside of chunks, of padding and of special tokens.
_OUTSIDE = re.compile(r"O|0|_|-|X|PAD|OUT|OUTSIDE|OTHER|NONE|NULL|\[.*\]|<.*>", re.IGNORECASE)
#: The usual names of sets of marks; the first that has all marks of a set is its name.
_NAMES = (("BIO", "BI"), ("IOE", "IE"), ("BIOES", "BIES"), ("BILOU", "BILU"), ("BMES", "BMES"),
          ("BMEWO", "BMEW"))  # fmt: skip


@dataclass(frozen=True)
class ChunkScheme:
    """One way to write chunks as tags."""

    marks: str  # those that occur, in the order of _PLACES and in upper case
    separator: str
    is_suffix: bool
    is_lower: bool = False

    @property
    def note(self) -> str:
        """The scheme in words."""
        form = "{}" + self.separator if not self.is_suffix else self.separator + "{}"
        shown = ", ".join(form.format(m.lower() if self.is_lower else m) for m in self.marks)
        name = next((name for name, marks in _NAMES if {*self.marks} <= {*marks}), "chunk")
        side = "suffixes" if self.is_suffix else "prefixes"
        return f"the tags are a {name} scheme, whose {side} {shown} were removed"

    def split(self, tag: str) -> tuple[str, str] | None:
        """Return the mark in upper case and the entity; None for other tags."""
        if self.is_suffix:
            entity, separator, mark = tag.rpartition(self.separator)
        else:
            mark, separator, entity = tag.partition(self.separator)
        is_mark = len(mark) == 1 and (mark.islower() if self.is_lower else mark.isupper())
        if not separator or not entity or not is_mark:
            return None
        return (mark.upper(), entity) if mark.upper() in "".join(_PLACES) else None

    def strip(self, tag: str) -> str:
        """Return the entity of a tag, or a tag outside of chunks as it is."""
        parts = self.split(tag)
        return tag if parts is None or is_outside(tag) else parts[1]


def is_outside(tag: str) -> bool:
    """Return whether a tag is O or a special tag, which every scheme leaves as it is."""
    return _OUTSIDE.fullmatch(tag) is not None


def find_scheme(tags: Iterable[str]) -> ChunkScheme | None:
    """Return the scheme that the set of all tags of a task is; None if it is none."""
    distinct = set(tags)
    chunks = [tag for tag in distinct if not is_outside(tag)]
    if not chunks:
        return None
    for is_suffix in (False, True):
        for is_lower in (False, True):
            for separator in _SEPARATORS:
                form = ChunkScheme("", separator, is_suffix, is_lower)
                parts = [part for tag in chunks if (part := form.split(tag)) is not None]
                if len(parts) == len(chunks) and _is_scheme(parts, distinct, is_lower):
                    used = {mark for mark, _ in parts}
                    marks = "".join(mark for place in _PLACES for mark in place if mark in used)
                    return ChunkScheme(marks, separator, is_suffix, is_lower)
    return None


def explain_kept(tags: Iterable[str]) -> str:
    """Return a note where a few tags keep others from being a scheme, else an empty one."""
    distinct = sorted({tag for tag in tags if not is_outside(tag)})
    for is_suffix in (False, True):
        for separator in _SEPARATORS:
            form = ChunkScheme("", separator, is_suffix)
            chunks = {tag: part for tag in distinct if (part := form.split(tag)) is not None}
            odd = [tag for tag in distinct if tag not in chunks]
            if odd and _spans(chunks.values()):
                return (
                    f"; the tags were kept as they are, because {odd[0]!r} is no tag of the chunk "
                    f"scheme that {next(iter(chunks))!r} is of"
                )
    return ""


def _spans(parts: Collection[tuple[str, str]]) -> bool:
    """Return whether an entity has a mark of a beginning and one of an inside."""
    begun, inside = ({e for mark, e in parts if mark in place} for place in _PLACES[:2])
    return bool(begun & inside)


def _is_scheme(parts: Collection[tuple[str, str]], tags: set[str], is_lower: bool) -> bool:
    """Return whether marks and entities are those of a scheme, and not names of one form."""
    used = {mark for mark, _ in parts}
    if any(len(used & {*place}) > 1 for place in _PLACES):
        return False
    spans, n_entities = _spans(parts), len({entity for _, entity in parts})
    n_outside = len(tags) - len(parts)
    if spans and n_entities + n_outside > 1:
        return True
    return not is_lower and "O" in tags and (used <= {*"BI"} or n_entities < len(parts))
