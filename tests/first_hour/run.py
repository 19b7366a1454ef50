"""Walk through the first hour of users of notebooks, and keep what they see as snapshots.

    python tests/first_hour/run.py                    compare every walk with its snapshot
    python tests/first_hour/run.py --write            write the snapshots anew, to be reviewed
    python tests/first_hour/run.py --pictures DIR     pages at two widths, light and dark

A walk is what one person types: ``walks/NAME.ipynb``, a notebook, which Jupyter executes in an
empty folder, where ``data`` is the folder of examples. The cells with what appears below them are
``snapshots/NAME.md``, and a page that the walk writes is ``snapshots/NAME.html``.

Seconds are left out. Other numbers may differ by two in their last digit, and percentages by two,
because processors round differently.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
WALKS, SNAPSHOTS = HERE / "walks", HERE / "snapshots"
LIMIT = 100  # seconds for a cell
_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?%?")


class Texts(HTMLParser):
    """Reads HTML as lines of text: a line each for rows of tables, paragraphs and items."""

    _ENDS = ("p", "li", "tr", "h1", "h2", "h3", "summary", "title", "footer")

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[list[str]] = [[]]
        self._hidden = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: object) -> None:
        """Leave out styles."""
        self._hidden += tag == "style"

    def handle_endtag(self, tag: str) -> None:
        """End a cell or a line."""
        self._hidden -= tag == "style"
        if tag in self._ENDS:
            self.lines.append([])

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        if not self._hidden and data.strip():
            self.lines[-1].append(data.strip())

    def __str__(self) -> str:
        return "\n".join(" | ".join(line) for line in self.lines if line)


def find_walks() -> list[Path]:
    """Return the walks."""
    return sorted(WALKS.glob("*.ipynb"))


def run(walk: Path) -> dict[str, str]:
    """Run a walk, and return what appears by the name of its snapshot."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "data").symlink_to(ROOT / "examples" / "data")
        shown = describe(execute(walk, place))
        found = {f"{walk.stem}.md": hide_seconds(shown.replace(folder, "."))}
        for page in sorted(place.glob("*.html")):
            found[f"{walk.stem}.html"] = hide_seconds_of_page(page.read_text("utf-8"))
    return found


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


def execute(walk: Path, place: Path) -> Any:
    """Return a notebook as Jupyter executes it; a cell that fails has its error as output."""
    import nbformat
    from nbclient import NotebookClient

    book = nbformat.read(walk, as_version=4)
    metadata = {"metadata": {"path": str(place)}}
    client = NotebookClient(book, timeout=LIMIT, allow_errors=True, resources=metadata)
    client.execute(env=make_environment(place))
    return book


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


def hide_seconds(text: str) -> str:
    """Replace the numbers below a heading "seconds", in tables of text and of cells."""
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


def hide_seconds_of_page(page: str) -> str:
    """Replace the last cell of rows of tables that end in "seconds", and the version."""

    def hide(table: re.Match[str]) -> str:
        if ">seconds</th></tr></thead>" not in table[0]:
            return table[0]
        return re.sub(r"<td>[\d.]+</td></tr>", "<td>…</td></tr>", table[0])

    page = re.sub(r"<table>.*?</table>", hide, page, flags=re.DOTALL)
    return re.sub(r"<footer>transferability [^<]+", "<footer>transferability", page)


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


def take_pictures(folder: Path) -> Iterator[str]:
    """Take pictures of all pages and notebooks; iterate over those that are too wide."""
    from nbconvert import HTMLExporter
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    pages = {path.stem: path for path in SNAPSHOTS.glob("*.html")}
    for walk in find_walks():
        with tempfile.TemporaryDirectory() as place:
            (Path(place) / "data").symlink_to(ROOT / "examples" / "data")
            book = execute(walk, Path(place))
        for theme in ("light", "dark"):
            exporter = HTMLExporter(theme=theme)
            pages[f"{walk.stem}-{theme}"] = folder / f"{walk.stem}-{theme}.html"
            pages[f"{walk.stem}-{theme}"].write_text(exporter.from_notebook_node(book)[0])
    with sync_playwright() as driver:
        program = shutil.which("chromium")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for name, path in pages.items():
            for width in (1100, 390):
                theme = name.rpartition("-")[2]
                for scheme in ("light", "dark"):
                    if theme in ("light", "dark") and scheme != theme:
                        continue
                    view = {"width": width, "height": 800}
                    page = browser.new_page(viewport=view, color_scheme=scheme)
                    page.goto(f"file://{path.resolve()}", wait_until="domcontentloaded")
                    if page.evaluate("document.documentElement.scrollWidth") > width:
                        yield f"{name} is wider than {width} pixels"
                    target = folder / f"{name}-{width}-{scheme}.png"
                    page.screenshot(path=str(target), full_page=True)
                    page.close()
        browser.close()


def main() -> int:
    """Run the walks that the arguments ask for; return 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="walks, by name; default: all")
    parser.add_argument("--write", action="store_true", help="write the snapshots")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="take pictures of pages")
    given = parser.parse_args()
    if given.pictures is not None:
        wide = [*take_pictures(given.pictures)]
        print("\n".join([*wide, f"pictures are in {given.pictures}"]))
        return bool(wide)
    differs = False
    for walk in find_walks():
        if given.names and walk.stem not in given.names:
            continue
        for name, text in run(walk).items():
            if given.write:
                (SNAPSHOTS / name).write_text(text, "utf-8")
            elif difference := compare(name, text):
                differs = True
                print(difference)
    return differs


if __name__ == "__main__":
    sys.exit(main())
