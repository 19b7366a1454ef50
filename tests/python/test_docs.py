"""The documentation site: what it derives from the code, and that nothing is missing.

``make docs`` builds the site with warnings as errors, and fails unless every public name is on it.
"""

from __future__ import annotations

import ast
import importlib.util
import itertools
import re
import sys
from pathlib import Path
from types import ModuleType

import nbclient
import nbformat
import numpy as np
import pytest

import transferability as tx
from transferability._metric.registry import metric_specs

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))
GALLERY = sorted((DOCS / "gallery").glob("plot_*.py"))


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent / "tests" / "first_hour")]
from walk_in_notebook import make_environment  # noqa: E402

SITE = load(DOCS / "_ext" / "site_pages.py")


def built_in() -> list[str]:
    return [name for name, spec in metric_specs().items() if not spec.origin]


def test_metrics_have_pages_with_all_facts() -> None:
    pages = SITE.metric_pages()
    for name in built_in():
        spec, page = metric_specs()[name], pages[f"metrics/{name}.md"]
        for fact in (spec.title, spec.summary, spec.when, spec.cost, spec.source, SITE.TRAPS[name]):
            assert fact in page
        assert f".. autofunction:: {name}\n" in page
        assert f"]({name}.md)" in pages["metrics/index.md"]
    assert set(SITE.TRAPS) == set(built_in())


def test_pages_of_native_metrics_have_the_header_of_their_kernel() -> None:
    shared = {"lab_mse", "regularized_h_score"}  # kernels of lin_mse and h_score
    for name in built_in():
        if metric_specs()[name].is_native and name not in shared:
            assert SITE.kernel_text(name), name


def test_the_values_of_every_metric_are_read() -> None:
    text = (DOCS / "reading_scores.md").read_text("utf-8").partition("## What does the value")[2]
    assert [name for name in built_in() if f"`{name}`" not in text] == []


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_values_of_features_that_know_nothing_are_as_stated(task: str) -> None:
    """At 4 standard deviations of the mean of ten draws, estimated from them."""
    n, d, k, c = 400, 100, 5, 3
    found: dict[str, list[float]] = {}
    for seed in range(10):
        rng = np.random.default_rng(seed)
        features, classes = rng.normal(size=(n, d)), np.arange(n) % c
        labels = classes if task == "classification" else rng.normal(size=n)
        names = ["gbc", "parc", "cka", "knn", "ridge_probe", "transrate"]
        names = names if task == "classification" else ["lin_mse", "knn", "ridge_probe", "cka"]
        for name, score in tx.score(features, labels, names, k=k).items():
            stated = np.var(labels) * (1 - d / n) if name == "lin_mse" else 1.0
            found.setdefault(name, []).append(score / stated)
    mean = {name: np.mean(values) for name, values in found.items()}
    error = {name: np.std(values, ddof=1) / 10**0.5 for name, values in found.items()}
    if task == "regression":
        expected = {"lin_mse": -1.0, "knn": -1 / k, "ridge_probe": 0.0, "cka": 0.0}
        for name, value in expected.items():
            assert abs(mean[name] - value) < 4 * error[name] + 1 / n, name
        return
    assert -c * (c - 1) < mean["gbc"] < 0
    assert mean["transrate"] > 0
    assert abs(mean["parc"]) < 1
    assert abs(mean["cka"]) < 4 * error["cka"]
    assert mean["ridge_probe"] < 1 / c


@pytest.mark.parametrize("name", ["logme", "ridge_probe", "knn"])
def test_pages_of_metrics_show_every_task_of_the_evidence(name: str) -> None:
    page = SITE.metric_pages()[f"metrics/{name}.md"]
    for task, (_, *rows) in SITE.evidence().items():
        title = metric_specs()[name].title
        here = [row for row in rows if re.match(re.escape(title) + r"($| \()", row[0].strip("*"))]
        for row in here:
            assert f"| {task} | {row[0].strip('*')} | {row[1]} ({row[2]}) |" in page


def test_every_public_room_has_a_title() -> None:
    rooms = {home.partition(".")[0] for home in vars(tx)["_HOME"].values()}
    assert rooms <= set(SITE.ROOMS)


def test_the_extras_are_described() -> None:
    table = SITE.extras_table()
    assert table.count("\n| `[") == len(SITE.EXTRAS)


def test_links_of_copied_pages_stay_on_the_site() -> None:
    pages = dict(SITE.project_pages())
    for name, text in pages.items():
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            path = target.partition("#")[0]
            if "://" in target or not path:
                continue
            assert (
                path.removeprefix("project/") in {p.partition("/")[2] for p in pages}
                or (DOCS / "project" / path).resolve().exists()
            ), (name, target)


def test_every_page_is_in_the_navigation() -> None:
    listed: set[str] = {"index"}
    for page in DOCS.glob("*.md"):
        for block in re.findall(r"```\{toctree\}\n(.*?)```", page.read_text("utf-8"), re.S):
            lines = [line for line in block.split("\n") if line and not line.startswith(":")]
            listed |= {re.sub(r".*<(.+)>", r"\1", line) for line in lines}
    assert {page.stem for page in DOCS.glob("*.md")} <= listed


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_headings_are_in_order_and_pictures_have_texts(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.M)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    for alt in re.findall(r"!\[([^\]]*)\]\(", text):
        assert len(alt) > 10


@pytest.mark.parametrize(
    ("page", "fault"),
    [
        ("<h1>A</h1><h2>B</h2><h3>C</h3><h2>D</h2><img alt='A plot of scores'>", None),
        ("<h1>A</h1><img alt=''>", None),
        ("<h1>A</h1><h3>B</h3>", "h3 follows h1"),
        ("<h2>A</h2>", "one h1"),
        ("<h1>A</h1><h1>B</h1>", "one h1"),
        ("<h1>A</h1><img src='a.png'>", "text None"),
        ("<h1>A</h1><img alt='../_images/a.png'>", "a.png"),
        ("<h1>A</h1><img alt='plot'>", "'plot'"),
    ],
)
def test_the_build_finds_pages_that_cannot_be_read_without_seeing(
    page: str, fault: str | None
) -> None:
    menu = "<h4>Menu</h4><img src='logo.png'>"
    found = SITE.find_faults(f"<body>{menu}<article>{page}</article>{menu}</body>")
    assert bool(found) == bool(fault)
    assert fault is None or fault in found[0]


def test_links_hold_where_the_repository_is_read_and_on_the_site() -> None:
    text = "[a](gallery/plot_01.py) [b](../CHANGELOG.md#x) [c](../python/transferability/metrics)"
    expected = "[a](examples/plot_01.rst) [b](project/changelog.md#x) [c](metrics/index.md)"
    assert SITE.on_the_site(text) == expected
    for page in DOCS.glob("*.md"):
        prose = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
        assert not re.search(r"\{(doc|ref|func|py:\w+)\}`", prose), (
            f"{page.name} has a role, which is raw text elsewhere"
        )


def test_public_constants_are_described() -> None:
    constants = [
        f"{module.__name__}.{name}"
        for module in (tx.forecast, tx.models)
        for name in module.__all__
        if not callable(getattr(module, name))
    ]
    assert {*constants, "transferability.torch.POOLS"} == set(SITE.CONSTANTS)
    assert "   - ``'hf'``: " in SITE._values(tx.models.SCHEMES)
    assert "   - ``'auto'``\n" in SITE._values(tx.forecast.FORMS)


def test_the_rust_example_is_that_of_the_crate_whose_tests_run_it() -> None:
    crate = (DOCS.parent / "src" / "lib.rs").read_text("utf-8")
    tested = [line[4:] for line in crate.splitlines() if line.startswith("//! ")]
    (shown,) = re.findall(r"```rust\n(.*?)```", (DOCS / "rust.md").read_text("utf-8"), re.S)
    assert set(filter(None, shown.splitlines())) <= set(tested)


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")
@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_examples_of_the_gallery_run(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyplot = pytest.importorskip("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    monkeypatch.chdir(path.parent)
    try:
        load(path)
        figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
        assert figures
        # sphinx-gallery makes the text for those who do not see a picture of the titles.
        plots = [ax for figure in figures for ax in figure.axes if ax.get_label() != "<colorbar>"]
        assert all(ax.get_title() for ax in plots)
    finally:
        pyplot.close("all")


def test_the_gallery_is_large_enough() -> None:
    assert len(GALLERY) >= 12
    for path in GALLERY:
        text = ast.get_docstring(ast.parse(path.read_text("utf-8")))
        assert text
        assert re.match(r".+\n=+\n\n.+", text), path.name


#: Results that the prose of a notebook names.
RESULTS = {
    "from_models_to_a_decision": (
        "8 finalists on 800 of 800 rows",
        "(52%)",
        "<td>lsa384</td><td>0.7488</td><td>6%",
        "('lsa128', 'lsa384')",
        "the best is lsa384 with 0.779; the regret of the decision is 0.000",
    ),
    "ranking_features": ("{'logme': 'lsa384', 'ridge_probe': 'lsa128', 'knn': 'lsa128'}",),
}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_keep_no_outputs_and_tell_the_truth(path: Path, tmp_path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code)
    titles = [line for cell in book.cells for line in re.findall(r"^(#+) ", cell.source, re.M)]
    assert titles.count("#") == 1
    place = {"metadata": {"path": str(path.parent)}}
    nbclient.NotebookClient(book, timeout=100, resources=place).execute(
        env=make_environment(tmp_path)
    )
    kinds = [set(output.get("data", ())) for cell in code for output in cell.outputs]
    assert any("image/png" in kind for kind in kinds)
    assert any("text/html" in kind for kind in kinds)
    for cell in code:  # whoever cannot see the picture reads its text
        if any("image/png" in output.get("data", ()) for output in cell.outputs):
            assert len(cell.metadata.mystnb.image.alt) > 30
    outputs = [output for cell in code for output in cell.outputs]
    shown = "\n".join(
        [str(output.get("text", "")) for output in outputs]
        + [text for output in outputs for text in output.get("data", {}).values()]
    )
    shown = re.sub(r"<(t[dr])\b[^>]*>", r"<\1>", shown)
    assert [result for result in RESULTS[path.stem] if result not in shown] == []
