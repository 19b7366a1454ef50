"""The option `leave_out` of metrics that predict each row from the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .options import choice

__all__ = ["default_leave_out", "leave_out_option", "leaves_groups_out"]


def default_leave_out(leave_out: str | None, groups: object) -> str | None:
    """Return the option of a call of one metric, whose groups have one use: to leave together."""
    return "group" if leave_out is None and groups is not None else leave_out


def leave_out_option(leave_out: str | None) -> dict[str, object]:
    """Validate the option and return that of the kernel, which leaves out rows without it."""
    chosen = choice("leave_out", leave_out, (None, "row", "group"))
    return {"leave_out": chosen} if chosen == "group" else {}


def leaves_groups_out(options: Mapping[str, Any]) -> bool:
    """Return whether a metric with these options, or the score of one, leaves out whole groups."""
    return options.get("leave_out") == "group"
