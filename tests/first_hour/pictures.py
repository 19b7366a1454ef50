"""Pictures of the pages and notebooks of the walks: at two widths, light and dark."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from snapshots import SNAPSHOTS, show_style
from walk_in_notebook import execute


def take_pictures(folder: Path, walks: Iterable[Path]) -> Iterator[str]:
    """Take pictures of all pages and of notebooks; iterate over those that are too wide."""
    from nbconvert import HTMLExporter
    from playwright.sync_api import sync_playwright

    folder.mkdir(parents=True, exist_ok=True)
    pages = {path.stem: folder / path.name for path in SNAPSHOTS.glob("*.html")}
    for page in pages.values():
        page.write_text(show_style((SNAPSHOTS / page.name).read_text("utf-8")), "utf-8")
    for walk in walks:
        with tempfile.TemporaryDirectory() as place:
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
