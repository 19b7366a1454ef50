"""Write the licences of the Rust crates in the wheel: LICENSES/Rust-crates.txt.

Their texts are in the sources that cargo has downloaded. Of a crate under MIT or another licence
the text of MIT is taken. Texts that several crates share are written once.

Usage: python ci/licences.py [--check]     with --check, fail where the file is not up to date
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

FILE = Path(__file__).parents[1] / "LICENSES" / "Rust-crates.txt"
BINDING = "transferability-python"
TITLE = """\
Licences of the Rust crates that are linked into the native module, on any platform. Written by
ci/licences.py. The Rust standard library, copyright The Rust Project contributors, is under MIT or
Apache-2.0, too.
"""


def output(*command: str) -> str:
    """Run a command in the repository and return what it prints."""
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd=FILE.parents[1]
    ).stdout


def linked_crates() -> set[tuple[str, str]]:
    """Return name and version of every crate that is linked, on any platform."""
    tree = ("cargo", "tree", "--locked", "-e", "normal,no-proc-macro", "-p", BINDING)
    lines = output(*tree, "--target", "all", "--prefix", "none", "--format", "{p}").splitlines()
    return {
        (words[0], words[1].removeprefix("v"))
        for words in map(str.split, lines)
        if len(words) > 1 and not words[0].startswith("transferability")
    }


def texts_of(folder: Path) -> list[str]:
    """Return the texts of a crate's licence: MIT's if there is one, else all."""
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    files = [path for path in paths if re.match(r"(?i)licen[cs]e|copying", path.name)]
    mit = [path for path in files if re.search(r"(?i)mit", path.name)]
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in mit or files]


def collect() -> str:
    """Return the content of the file."""
    crates = linked_crates()
    metadata = json.loads(output("cargo", "metadata", "--locked", "--format-version", "1"))
    by_text: dict[str, list[str]] = {}
    for package in sorted(
        metadata["packages"], key=lambda package: (package["name"], package["version"])
    ):
        if (package["name"], package["version"]) not in crates:
            continue
        about = f"{package['name']} {package['version']} ({package['license']})"
        texts = texts_of(Path(package["manifest_path"]).parent)
        authors = ", ".join(package["authors"]) or "its authors"
        for text in texts or [f"The crate has no file of its licence. Copyright {authors}."]:
            lines = "\n".join(line.rstrip() for line in text.splitlines())
            by_text.setdefault(lines, []).append(about)
    parts = ["\n".join([*names, "", text, ""]) for text, names in by_text.items()]
    rule = "-" * 80 + "\n"
    return rule.join([TITLE, *parts])


def main() -> None:
    """Write the file, or check it."""
    content = collect()
    if "--check" in sys.argv[1:]:
        if not FILE.exists() or FILE.read_text(encoding="utf-8") != content:
            sys.exit(f"{FILE.name} is not up to date; run python ci/licences.py")
        print(f"{FILE.name}: {len(linked_crates())} crates")
    else:
        FILE.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
