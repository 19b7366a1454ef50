"""The code of the README and of docs/ runs and prints the output shown; links resolve."""

import contextlib
import importlib.util
import io
import math
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from transferability.cli import main

README = Path(__file__).parents[2] / "README.md"
TEXT = README.read_text(encoding="utf-8")
DOCS = README.with_name("docs")
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/*.md", "benches/*.md", "examples/*/*.md")
    for page in README.parent.glob(pattern)
)

spec = importlib.util.spec_from_file_location(
    "check_release", README.parent / "ci/check_release.py"
)
check_release = importlib.util.module_from_spec(spec)
spec.loader.exec_module(check_release)

# A fenced block, with the `print(...)` that the prose before it names, if any.
PIECE = re.compile(r"`(print\([^`]+\))`|^```(\w+)\n(.*?)^```", re.M | re.S)


def assert_shown(printed, shown):
    """Equal but for spacing, seconds (the numbers of three decimals) and a float's last digits."""
    printed, shown = printed.split(), shown.split()
    assert len(printed) == len(shown), " ".join(printed)
    for got, expected in zip(printed, shown, strict=True):
        if got == expected or all(re.fullmatch(r"\d+\.\d{3}", word) for word in (got, expected)):
            continue
        assert math.isclose(float(got), float(expected), rel_tol=1e-9), (got, expected)


def test_python_blocks_run_and_print_what_is_shown(monkeypatch):
    monkeypatch.chdir(README.parent)
    namespace: dict[str, object] = {}
    ran, statement = 0, ""
    for piece in PIECE.finditer(TEXT):
        inline, language, body = piece.groups()
        if inline:
            statement = inline
        elif language == "python":
            exec(compile(body, "README.md", "exec"), namespace)
            ran += 1
        elif language == "text":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(statement, namespace)
            assert_shown(printed.getvalue(), body)
    assert ran, "the README has no Python example"


def names_in_the_examples():
    """What docs/guides.md tells readers to run before the code of any page."""
    text = (DOCS / "guides.md").read_text(encoding="utf-8").partition("## Names in the examples")[2]
    return re.search(r"^```py\n(.*?)^```", text, re.M | re.S)[1]


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
@pytest.mark.parametrize(
    "page",
    [
        "accuracy",
        "covariance",
        "embedding",
        "files",
        "for_packages",
        "forecasting",
        "from_sklearn",
        "from_thuml",
        "from_tllib",
        "from_transformer_ranker",
        "groups",
        "health",
        "own_metric",
        "quickstart",
        "racing",
        "ranking",
        "reading_scores",
        "recommended",
        "reports",
        "stability",
        "structured",
        "targets",
        "which_metric",
    ],
)
def test_python_blocks_of_docs_run(page, tmp_path, monkeypatch):
    """Run the pages that need no torch and no cluster, on encoders of the example data."""
    if page == "forecasting":
        pytest.importorskip("matplotlib")
    if page in ("covariance", "from_sklearn"):
        pytest.importorskip("sklearn", minversion="1.6")
    monkeypatch.chdir(README.parent)
    namespace: dict[str, object] = {}
    exec(names_in_the_examples(), namespace)
    monkeypatch.chdir(tmp_path)
    text, printed = (DOCS / f"{page}.md").read_text(encoding="utf-8"), io.StringIO()
    for _, language, body in PIECE.findall(text):
        if language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(body, f"docs/{page}.md", "exec"), namespace)
        elif language == "text":
            assert_shown(printed.getvalue(), body)
            printed = io.StringIO()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(README.parent)))
def test_links_resolve(page):
    for target in check_release.links(check_release.prose_of(page.read_text(encoding="utf-8"))):
        own = check_release.local_path(target)
        if own is None and ("://" in target or target.startswith("mailto:")):
            continue
        path, _, anchor = (target if own is None else own).partition("#")
        base = page.parent if own is None else README.parent
        linked = base / path if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
            assert anchor in slugs, target


def commands():
    """`$ transferability …` in console blocks, each with the output shown below it."""
    entries = []
    for _, language, body in PIECE.findall(TEXT):
        if language == "console":
            entries += [entry.partition("\n") for entry in re.split(r"^\$ ", body, flags=re.M)]
    return [(command, shown) for command, _, shown in entries if command.startswith("transf")]


@pytest.mark.parametrize(("command", "shown"), commands())
def test_commands_print_what_is_shown(command, shown):
    program, *arguments = shlex.split(command, comments=True)
    done = subprocess.run(
        [Path(sys.executable).with_name(program), *arguments],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=README.parent,
    )
    assert done.returncode == 0, done.stderr
    if shown.strip():
        assert_shown(done.stdout, shown)


def test_length():
    assert TEXT.count("\n") <= 220


def test_make_targets_exist():
    makefile = README.with_name("Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^\$ make ([\w-]+)|`make ([\w-]+)`", TEXT, re.M):
        target = "".join(target)
        assert re.search(rf"^{target}:", makefile, re.M), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(README.parent)))
def test_commands_and_options_of_all_pages_exist(page):
    for _, language, body in PIECE.findall(page.read_text(encoding="utf-8")):
        if language != "console":
            continue
        for line in re.findall(r"^\$ transferability (.*)$", body.replace("\\\n", " "), re.M):
            command, words = main, shlex.split(line, comments=True)
            while isinstance(command, click.Group) and words and not words[0].startswith("-"):
                name = words.pop(0)
                found = command.get_command(click.Context(command), name)
                assert found is not None, (line, name)
                command = found
            known = {option for each in command.params for option in each.opts} | {"--help"}
            for word in words:
                if re.match(r"--?[a-z]", word):
                    assert word.partition("=")[0] in known, (line, word)
