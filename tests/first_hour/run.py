"""Walk through the first hour of users, and keep what they see as snapshots.

    python tests/first_hour/run.py                    compare every walk with its snapshots
    python tests/first_hour/run.py --write            write the snapshots anew, to be reviewed
    python tests/first_hour/run.py --pictures DIR     pages at two widths, light and dark

A walk is what one person types. ``walks/NAME.sh`` has a command a line, each of which runs in a
terminal of 80 and of 120 columns, in a folder with the files of ``walks/files.py``. What stands on
the screen, with the exit codes other than 0, is ``snapshots/NAME.COLUMNS.txt``.

``walks/NAME.ipynb`` is a notebook, which Jupyter executes in an empty folder, where ``data`` is the
folder of examples. Its cells with what appears below them are ``snapshots/NAME.md``, and a page
that the walk writes is ``snapshots/NAME.html``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from snapshots import HERE, SNAPSHOTS, compare, hide_of_page, hide_seconds

WIDTHS = (80, 120)  # columns


def find_walks(suffix: str = "") -> list[Path]:
    """Return the walks in terminals (.sh), in notebooks (.ipynb), or in both."""
    kinds = [suffix] if suffix else [".sh", ".ipynb"]
    return [path for kind in kinds for path in sorted((HERE / "walks").glob(f"*{kind}"))]


def run(walk: Path, widths: Sequence[int] = WIDTHS) -> dict[str, str]:
    """Run a walk, and return what appears by the name of its snapshot."""
    if walk.suffix == ".sh":
        return {f"{walk.stem}.{width}.txt": _run_in_terminal(walk, width) for width in widths}
    from walk_in_notebook import describe, execute

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shown = describe(execute(walk, place))
        found = {f"{walk.stem}.md": hide_seconds(shown.replace(folder, "."))}
        for page in sorted(place.glob("*.html")):
            found[f"{walk.stem}.html"] = hide_of_page(page.read_text("utf-8"))
    return found


def _run_in_terminal(walk: Path, width: int) -> str:
    from walk_in_terminal import run_walk

    with tempfile.TemporaryDirectory(prefix="first-hour-") as folder:
        return hide_seconds(run_walk(walk, width, Path(folder)))


def main() -> int:
    """Run the walks that the arguments ask for; return 1 if something differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="walks, by name; default: all")
    parser.add_argument("--write", action="store_true", help="write the snapshots")
    parser.add_argument("--pictures", type=Path, metavar="DIR", help="take pictures of pages")
    given = parser.parse_args()
    if given.pictures is not None:
        from pictures import take_pictures

        wide = [*take_pictures(given.pictures, find_walks(".ipynb"))]
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
