"""Check what must agree before a release: versions, the project's address, changelog, README.

The version is that of the workspace in Cargo.toml, and the address is `Source` of [project.urls] in
pyproject.toml. Other files repeat them, and the README links the address, because PyPI shows it
without the repository. With readme-renderer and trove-classifiers, of the group `release`, the
README is also rendered as PyPI does, and the classifiers are compared with its list.

Usage: python ci/check_release.py [--tag v1.2.3]     with a tag: it names the version, and the
changelog and CITATION.cff have the date
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
#: Where the version is repeated: a file, and a pattern before it.
VERSIONS = (
    ("Cargo.lock", r'^name = "transferability"\nversion = "'),
    ("Cargo.lock", r'^name = "transferability-python"\nversion = "'),
    ("examples/axum/Cargo.lock", r'^name = "transferability"\nversion = "'),
    ("fuzz/Cargo.lock", r'^name = "transferability"\nversion = "'),
    ("CITATION.cff", r"^version: "),
    ("conda/recipe.yaml", r'^  version: "'),
    ("docs/about.md", r"^  version = \{"),
)
#: Where the address is repeated: a file, a pattern, and what the address lacks there.
ADDRESSES = (
    ("Cargo.toml", r'^repository = "(.*)"$', ""),
    ("CITATION.cff", r"^repository-code: (.*)$", ""),
    ("conda/recipe.yaml", r"^  homepage: (.*)$", ""),
    ("docs/about.md", r"^  url = \{(.*)\},$", ""),
    ("SECURITY.md", r"--repo ([^\s`]+)", "https://github.com/"),
)
#: Hosts to which the README may link beside the project's own address.
HOSTS = ("https://github.com/", "https://img.shields.io/badge/")


def read(name: str) -> str:
    """Return the text of a file of the repository."""
    return (ROOT / name).read_text("utf-8")


def version() -> str:
    """Return the version of the workspace."""
    return str(tomllib.loads(read("Cargo.toml"))["workspace"]["package"]["version"])


def project() -> dict[str, Any]:
    """Return the table [project] of pyproject.toml."""
    return dict(tomllib.loads(read("pyproject.toml"))["project"])


def address() -> str:
    """Return the project's address."""
    return str(project()["urls"]["Source"])


def check_versions() -> Iterator[str]:
    """Iterate over places whose version is not that of the workspace."""
    expected = version()
    for name, before in VERSIONS:
        found = re.search(before + r"(\d[\w.+-]*)", read(name), re.MULTILINE)
        if found is None or found[1] != expected:
            shown = "no version" if found is None else found[1]
            yield f"{name} has {shown}; the workspace in Cargo.toml has {expected}"


def check_addresses() -> Iterator[str]:
    """Iterate over places whose address is not the project's."""
    expected = address()
    for label, url in project()["urls"].items():
        if url != expected and not url.startswith(f"{expected}/"):
            yield f"[project.urls] {label} is {url}, not below {expected}"
    for name, pattern, lacking in ADDRESSES:
        found = re.search(pattern, read(name), re.MULTILINE)
        if found is None or lacking + found[1] != expected:
            yield f"{name} has {found and found[1]}; [project.urls] Source is {expected}"


def check_changelog(tag: str | None) -> Iterator[str]:
    """Iterate over what the first section of the changelog lacks for a release."""
    expected = version()
    first = re.search(
        r"^## (\S+) \(([^)\n]*)\)\n(.*?)(?=^## |\Z)", read("CHANGELOG.md"), re.M | re.S
    )
    if first is None or first[1] != expected:
        yield f"the first section of CHANGELOG.md is {first and first[1]}, not {expected}"
        return
    _, date, text = first.groups()
    numerics = re.search(r"^### Numerics$(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL)
    if numerics is None:
        yield f"section {expected} of CHANGELOG.md has no part ### Numerics"
    is_dated = re.fullmatch(r"\d{4}-\d\d-\d\d", date)
    if not is_dated and date != "unreleased":
        yield f"section {expected} of CHANGELOG.md is dated {date}; write YYYY-MM-DD or unreleased"
    if tag is None:
        return
    if tag != f"v{expected}":
        yield f"the tag is {tag}; the workspace in Cargo.toml has {expected}"
    if not is_dated:
        yield f"section {expected} of CHANGELOG.md has no date"
    if numerics and not numerics[1].strip():
        yield f"### Numerics of {expected} in CHANGELOG.md is empty; if no value changes, say so"
    released = re.search(r"^date-released: [\"']?([\d-]+)", read("CITATION.cff"), re.MULTILINE)
    if released is None or released[1] != date:
        yield f"date-released of CITATION.cff is {released and released[1]}, not {date}"


def prose_of(text: str) -> str:
    """Return Markdown without its blocks of code."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def links(prose: str) -> list[str]:
    """Return the targets of links and pictures in Markdown, in the text and as references."""
    return re.findall(r"\]\(([^)\s]+)\)", prose) + re.findall(r"^\[[^]]+\]: (\S+)$", prose, re.M)


def local_path(target: str) -> str | None:
    """Return the path in the repository that an address stands for; None for a foreign one."""
    raw = address().replace("https://github.com/", "https://raw.githubusercontent.com/")
    for start in (f"{address()}/blob/main/", f"{address()}/tree/main/", f"{raw}/main/"):
        if target.startswith(start):
            return target.removeprefix(start)
    return None


def check_readme() -> Iterator[str]:
    """Iterate over links of the README that PyPI cannot follow, or that lead nowhere."""
    text = prose_of(read("README.md"))
    for target in links(text):
        path = local_path(target)
        if path is not None:
            if not (ROOT / path.partition("#")[0]).exists():
                yield f"README.md links to {target}, and {path} does not exist"
        elif not target.startswith(HOSTS):
            yield f"README.md links to {target}; PyPI needs an address: {address()}/blob/main/…"
        elif target.startswith(f"{address()}/"):
            yield f"README.md links to {target}, which is no file of the branch main"
    for name in re.findall(r"\]\[([^]]+)\]", text):
        if f"\n[{name}]: " not in text:
            yield f"README.md has no address for [{name}]"


def check_rendered() -> Iterator[str]:
    """Iterate over what PyPI's renderer loses of the README."""
    try:
        from readme_renderer import markdown
    except ImportError:
        print("check_release: no readme-renderer, so the README is not rendered")
        return
    text = read("README.md")
    page = markdown.render(text)
    if page is None:
        yield "README.md is not rendered: pip install 'readme-renderer[md]'"
        return
    prose = prose_of(text)
    for what, tag, expected in (
        ("pictures", "<img ", prose.count("![")),
        ("tables", "<table", len(re.findall(r"^\|[-:|]+\|$", prose, re.MULTILINE))),
        ("blocks of code", "<pre", len(re.findall(r"^```\w", text, re.MULTILINE))),
        ("headings", "<h2", len(re.findall(r"^## ", prose, re.MULTILINE))),
    ):
        if page.count(tag) != expected:
            yield f"README.md has {expected} {what}, and {page.count(tag)} when rendered"


def check_classifiers() -> Iterator[str]:
    """Iterate over classifiers for which PyPI would refuse an upload."""
    try:
        from trove_classifiers import classifiers
    except ImportError:
        print("check_release: no trove-classifiers, so classifiers are not compared")
        return
    for classifier in project()["classifiers"]:
        if classifier not in classifiers:
            yield f"PyPI knows no classifier {classifier}"


def main() -> None:
    """Print every problem, and fail if there is one."""
    parser = argparse.ArgumentParser(description="Check what must agree before a release.")
    parser.add_argument("--tag", help="the tag of a release, such as v1.2.3")
    tag = parser.parse_args().tag
    problems = [
        *check_versions(),
        *check_addresses(),
        *check_changelog(tag),
        *check_readme(),
        *check_rendered(),
        *check_classifiers(),
    ]
    for problem in problems:
        print(problem)
    if problems:
        sys.exit(1)
    print(f"release {version()}: versions, addresses, changelog and README agree")


if __name__ == "__main__":
    main()
