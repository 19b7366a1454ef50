"""Snapshots of walks: what is left out of them, and how they are compared with what appears now.

Seconds and the version are left out. Other numbers may differ by two in their last digit, and
percentages by two, because processors round differently.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SNAPSHOTS = HERE / "snapshots"
_STYLE = "<style>…</style>"
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?")


def hide_seconds(text: str) -> str:
    """Replace the numbers below a heading "seconds", in tables of text and of cells.

    Of the last line of a report, which has the version, the name is left.
    """
    text = re.sub(r"^transferability \d[\w.]*$", "transferability", text, flags=re.MULTILINE)
    lines, column = [], None
    for line in text.splitlines():
        cells = line.split(" | ")
        if "seconds" in cells:
            column = cells.index("seconds")
        elif isinstance(column, int):
            if len(cells) > column:
                cells[column] = "…"
                line = " | ".join(cells)
            else:
                column = None
        elif re.search(r"  seconds( |$)", line):
            end = line.index("seconds") + len("seconds")
            column = (len(line[: line.index("seconds")].rstrip()), end)
        elif isinstance(column, tuple) and re.fullmatch(r" +[\d.]+", line[slice(*column)]):
            start, end = column
            line = f"{line[:start]}{'…'.rjust(end - start)}{line[end:]}"
        elif not line.strip():
            column = None
        lines.append(line.rstrip())
    return "\n".join(lines) + "\n"


def hide_of_page(page: str) -> str:
    """Replace the style, the version, and the last cells of tables that end in "seconds".

    The style is a file of its own, ``report/page.css``; :func:`show_style` puts it back.
    """

    def hide(table: re.Match[str]) -> str:
        if ">seconds</th></tr></thead>" not in table[0]:
            return table[0]
        return re.sub(r"<td>[\d.]+</td></tr>", "<td>…</td></tr>", table[0])

    page = re.sub(r"<table>.*?</table>", hide, page, flags=re.DOTALL)
    page = re.sub(r"<style>\n.*?</style>", _STYLE, page, flags=re.DOTALL)
    return re.sub(r"<footer>transferability [^<]+", "<footer>transferability", page)


def show_style(page: str) -> str:
    """Return the page of a snapshot with the style of reports."""
    style = (ROOT / "python" / "transferability" / "report" / "page.css").read_text("utf-8")
    return page.replace(_STYLE, f"<style>\n{style}</style>")


def is_alike(one: str, other: str) -> bool:
    """Return whether two lines have the same words, and numbers that differ by rounding alone."""
    if _NUMBER.sub("0", one) != _NUMBER.sub("0", other):
        return False
    pairs = zip(_NUMBER.findall(one), _NUMBER.findall(other), strict=True)
    return all(_are_close(a, b) for a, b in pairs)


def _are_close(one: str, other: str) -> bool:
    if one == other:
        return True
    if one[-1] == "%" == other[-1]:
        return abs(float(one[:-1]) - float(other[:-1])) <= 2
    if "." not in one + other:
        return False
    digits = max(len(text.partition(".")[2].partition("e")[0]) for text in (one, other))
    found, known = (float(text.rstrip("%").replace(",", "")) for text in (one, other))
    scale = 10.0 ** int(one.partition("e")[2] or 0)
    return abs(found - known) <= 2.001 * 10.0**-digits * scale


def compare(name: str, text: str) -> str:
    """Return the differences from a snapshot, as a diff; "" if it is alike."""
    path = SNAPSHOTS / name
    known = path.read_text("utf-8").splitlines() if path.exists() else []
    found = text.splitlines()
    if len(known) == len(found) and all(map(is_alike, known, found)):
        return ""
    return "\n".join(difflib.unified_diff(known, found, f"snapshots/{name}", "now", lineterm=""))
