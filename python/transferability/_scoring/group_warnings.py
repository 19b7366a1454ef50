"""Warnings of groups of rows: which have no score, and which have warnings of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from .._metric.score import Score

__all__ = ["note_left_out", "summarize_warnings"]

_SHOWN = 3  # a warning names so many groups, and as many kinds of warnings of groups
_NUMBER = re.compile(r"\d[\d,.]*")


def summarize_warnings(
    found: Mapping[int | str, Score], n_groups: int, general: set[str]
) -> list[str]:
    """Return the warnings of groups, with the metric and the groups that have them.

    Warnings that differ in their numbers alone are stated once, with those of the first group.
    """
    warnings = []
    kinds: dict[str, list[tuple[int | str, str]]] = {}
    for group, score in found.items():
        for text in dict.fromkeys(score.warnings):
            if text not in general:
                kinds.setdefault(_NUMBER.sub("#", text), []).append((group, text))
    metric = next(iter(found.values())).metric if found else ""
    for cases in [*kinds.values()][:_SHOWN]:
        names = _list_groups([repr(group) for group, _ in cases])
        warnings.append(f"{metric} in {len(cases)} of {n_groups} groups ({names}): {cases[0][1]}")
    if len(kinds) > _SHOWN:
        warnings.append(f"{len(kinds) - _SHOWN} more warnings of {metric} are in per_group")
    return warnings


def note_left_out(
    left_out: Mapping[int | str, str], n_groups: int, aggregate: str, metric: str = ""
) -> tuple[str, ...]:
    """Return a warning that counts the groups without a score, with the reasons; empty if none.

    `metric` is the only one that has no score of them.
    """
    if not left_out:
        return ()
    shown = _list_groups([f"{group!r}: {reason}" for group, reason in left_out.items()], "; ")
    kind = f"{metric} score" if metric else "score"
    has, its, was = ("has", "its", "was") if len(left_out) == 1 else ("have", "their", "were")
    which = f"{len(left_out)} of {n_groups} groups {has} no {kind} of {its} own"
    if aggregate == "pooled":
        return (f"{which}; the pooled score counts {its} rows all the same ({shown})",)
    return (f"{which} and {was} left out of the {aggregate} of the groups ({shown})",)


def _list_groups(texts: Sequence[str], between: str = ", ") -> str:
    more = f" and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return between.join(texts[:_SHOWN]) + more
