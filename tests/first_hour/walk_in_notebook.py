"""Walk in a notebook: execute it, and describe what appears below its cells."""

from __future__ import annotations

import os
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from snapshots import ROOT

LIMIT = 100  # seconds for a cell


class Texts(HTMLParser):
    """Reads HTML as lines of text: a line each for rows of tables, paragraphs and items.

    Cells are separated by " | ", and empty ones have their place.
    """

    _ENDS = ("p", "li", "tr", "h1", "h2", "h3", "summary", "title", "footer")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[list[str]] = [[]]
        self._hidden = 0
        self._is_empty_cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: object) -> None:
        """Leave out styles, and begin a cell."""
        self._hidden += tag == "style"
        self._is_empty_cell = tag in ("td", "th")

    def handle_endtag(self, tag: str) -> None:
        """End a cell or a line."""
        self._hidden -= tag == "style"
        if self._is_empty_cell and tag in ("td", "th"):
            self.lines[-1].append("")
        self._is_empty_cell = False
        if tag in self._ENDS:
            self.lines.append([])

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        if not self._hidden and data.strip():
            self.lines[-1].append(data.strip())
            self._is_empty_cell = False

    def __str__(self) -> str:
        return "\n".join(" | ".join(line) for line in self.lines if any(line))


def execute(walk: Path, place: Path) -> Any:
    """Return a notebook as Jupyter executes it; a cell that fails has its error as output."""
    import nbformat
    from nbclient import NotebookClient

    (place / "data").symlink_to(ROOT / "examples" / "data")
    book = nbformat.read(walk, as_version=4)
    metadata = {"metadata": {"path": str(place)}}
    client = NotebookClient(book, timeout=LIMIT, allow_errors=True, resources=metadata)
    client.execute(env=make_environment(place))
    return book


def make_environment(place: Path) -> dict[str, str]:
    """Return the environment of a walk: this Python and package, and no settings of a person."""
    paths = [str(ROOT / "python"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **{name: os.environ[name] for name in ("LANG", "LD_LIBRARY_PATH") if name in os.environ},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": ":".join(paths),
        "HOME": str(place),
        "OMP_NUM_THREADS": "2",
        "IPYTHONDIR": str(place / ".ipython"),
        "MPLCONFIGDIR": str(place / ".matplotlib"),
    }


def describe(book: Any) -> str:
    """Return the cells of a notebook with what appears below them, in Markdown."""
    parts = []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            parts.append(cell.source)
            continue
        parts.append(f"```python\n{cell.source}\n```")
        shown = [text for output in cell.outputs if (text := _describe(output).strip("\n"))]
        parts += [f"```text\n{text}\n```" for text in shown]
    return "\n\n".join(parts) + "\n"


def _describe(output: Any) -> str:
    """Return an output of a cell as text: the richest form of it, as a notebook shows it."""
    data = output.get("data", {})
    if "image/png" in data:
        return f"[picture] {data['text/plain']}"
    if "text/html" in data:
        return str(Texts(data["text/html"]))
    if output["output_type"] == "stream":
        return str(output["text"]).split("\r")[-1]
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return str(data.get("text/plain", ""))
