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
import numpy as np
import pytest

import transferability as tx
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


#: Pages whose Python needs neither torch nor a cluster.
RUN = (
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
    "index",
    "own_metric",
    "quickstart",
    "racing",
    "ranking",
    "reading_scores",
    "recommended",
    "reports",
    "shortlist",
    "stability",
    "structured",
    "targets",
    "which_metric",
)


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
@pytest.mark.parametrize("page", RUN)
def test_python_blocks_of_docs_run(page, tmp_path, monkeypatch):
    """Run the pages that need no torch and no cluster, on encoders of the example data."""
    if page in ("forecasting", "shortlist"):
        pytest.importorskip("matplotlib")
    if page in ("covariance", "from_sklearn"):
        pytest.importorskip("sklearn", minversion="1.6")
    monkeypatch.chdir(README.parent)
    namespace: dict[str, object] = {}
    exec(names_in_the_examples(), namespace)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").symlink_to(README.with_name("examples"))
    text, printed = (DOCS / f"{page}.md").read_text(encoding="utf-8"), io.StringIO()
    for _, language, body in PIECE.findall(text):
        if language == "python":
            with contextlib.redirect_stdout(printed):
                exec(compile(body, f"docs/{page}.md", "exec"), namespace)
        elif language == "text":
            assert_shown(printed.getvalue(), body)
            printed = io.StringIO()


#: Where the Python of other pages runs: what needs torch, a cluster or a server.
ELSEWHERE = (
    "tests/python/on_dask/test_dask_scores.py",
    "tests/python/test_serve.py",
    "tests/torch/test_distributed.py",
    "tests/torch/test_docs.py",
)
#: Pages with blocks marked `py`, which run here with stand-ins for what is not there.
WITH_STAND_INS = ("guides", "quickstart", "reports")


def blocks(page, language):
    """Return the blocks of a page in a language."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    return [body for _, found, body in PIECE.findall(text) if found == language]


def test_every_page_with_code_is_run():
    """A page whose code no test names is a page whose code may be wrong."""
    texts = "".join((README.parent / path).read_text("utf-8") for path in ELSEWHERE)
    for page in DOCS.glob("*.md"):
        elsewhere = re.search(rf'"{page.stem}(\.md)?"|docs/{page.stem}\.md', texts)
        for _, language, body in PIECE.findall(page.read_text("utf-8")):
            if language == "python":
                assert page.stem in RUN or elsewhere, page.name
            if language == "py":
                needs_torch = re.search("rank_models|transformers", body)
                assert page.stem in WITH_STAND_INS or (needs_torch and elsewhere), body


def test_code_that_reads_files_of_the_reader_runs(tmp_path, monkeypatch):
    """The block of the quick start, on files of those names."""
    (block,) = [body for body in blocks("quickstart", "py") if "np.load" in body]
    monkeypatch.chdir(tmp_path)
    for name in ("resnet50", "vit_b16", "labels"):
        np.save(name, np.arange(12).reshape(6, 2))
    names = {"np": np}
    exec(compile(block, "docs/quickstart.md", "exec"), names)
    assert [*names["models"]] == ["resnet50", "vit_b16"]


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
def test_the_plots_of_the_docs_are_drawn(monkeypatch):
    """A ranking with costs, groups and the layers of a model stands for the reader's."""
    pytest.importorskip("matplotlib")
    monkeypatch.chdir(README.parent)
    names: dict[str, object] = {}
    exec(names_in_the_examples(), names)
    models, labels, groups = names["models"], names["labels"], names["videos"]
    costs = {"parameters": {name: 1e6 + i for i, name in enumerate(models)}}
    ranking = tx.rank(models, labels, costs=costs, groups=groups)
    layers = {layer: dict(row.scores) for layer, row in zip("ab", ranking, strict=False)}
    rows = tuple(row.replace(layer="a", layers=layers) for row in ranking)
    names["ranking"] = ranking.replace(rows=rows)
    sizes = [100, 200, 400, 800, 1600]
    names["forecast"] = tx.forecast.fit(sizes, [0.5, 0.6, 0.68, 0.73, 0.77])
    (block,) = blocks("reports", "py")
    for line in block.splitlines():
        assert eval(line, {"tx": tx, **names}).get_figure() is not None


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
