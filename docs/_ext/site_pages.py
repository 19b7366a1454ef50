"""Write the pages of the documentation that follow from the code, and link names to them.

`write_pages` writes, before Sphinx reads any file, a page for every public name (docs/api), for
every metric (docs/metrics), and copies of the pages outside of docs/ (docs/project). None of them
is in the repository, so none can be out of date. As an extension of Sphinx the module makes links
of names in `code`, and fails the build if a public name is not on the site.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import itertools
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

from site_texts import (
    COMMON,
    CONSTANTS,
    EXTRAS,
    MOCKED,
    NOT_OURS,
    PREFIXES,
    PROJECT,
    ROOMS,
    STRANGERS,
    TRAPS,
)

if sys.version_info >= (3, 11):
    import tomllib
else:  # Sphinx and pytest bring it
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]


def read_toml(name: str) -> dict[str, Any]:
    """Return the content of a TOML file of the repository."""
    return dict(tomllib.loads((ROOT / name).read_text("utf-8")))


# --- public names ---------------------------------------------------------------------------------


@contextlib.contextmanager
def without_optional_packages() -> Iterator[None]:
    """Let modules import stand-ins for the packages of `MOCKED`."""
    from sphinx.ext.autodoc.mock import _MockObject, mock

    _MockObject.__or__ = _MockObject.__ror__ = lambda self, _: self  # ``Tensor | None``
    with mock(list(MOCKED)):
        yield


def public_modules() -> Iterator[ModuleType]:
    """Iterate over the public modules of the package that have public names."""
    package = importlib.import_module("transferability")
    yield package
    for found in pkgutil.walk_packages(package.__path__, "transferability."):
        parts = found.name.split(".")
        if any(part.startswith("_") for part in parts) or "cli" in parts:
            continue
        if found.name.startswith("transferability.metrics"):
            continue  # each has a page of its own
        module = importlib.import_module(found.name)
        if hasattr(module, "__all__"):
            yield module


def public_names() -> dict[str, Any]:
    """Return every public object by the full name under which it is documented."""
    found: dict[str, Any] = {}
    for module in public_modules():
        for name in module.__all__:
            thing = getattr(module, name)
            if inspect.ismodule(thing):
                continue
            if inspect.isclass(thing) or inspect.isroutine(thing):
                home = str(getattr(thing, "__module__", None) or module.__name__)
                if home.startswith(("transferability._core", "transferability.metrics")):
                    home = "transferability"
                found.setdefault(f"{home}.{thing.__name__}", thing)
            else:
                found.setdefault(f"{module.__name__}.{name}", thing)
    return found


def _summary(thing: Any) -> str:
    lines = (inspect.getdoc(thing) or "").strip().split("\n\n")[0]
    return re.sub(r":\w+:`~?([^`]+)`", r"``\1``", " ".join(lines.split()))


# --- pages ----------------------------------------------------------------------------------------


def write_pages(docs: Path) -> None:
    """Write all pages that follow from the code."""
    sys.path.insert(0, str(ROOT / "python"))
    pages = dict(project_pages())
    with without_optional_packages():
        pages |= metric_pages()
        pages |= api_pages()
    for folder in ("api", "metrics", "project"):
        if (docs / folder).is_dir():
            for old in (docs / folder).iterdir():
                if f"{folder}/{old.name}" not in pages:
                    old.unlink()
        (docs / folder).mkdir(exist_ok=True)
    for name, text in pages.items():
        path = docs / name
        if not path.exists() or path.read_text("utf-8") != text:  # Sphinx reads what is newer
            path.write_text(text, "utf-8")


def _heading(text: str, line: str = "=") -> str:
    return f"{text}\n{line * len(text)}\n"


def _file_of(name: str) -> str:
    """Return the page of a name; `Score` and `score` differ on every file system."""
    short = name.rpartition(".")[2]
    kind = "" if short[0].islower() or short.isupper() else "class."
    return kind + name.removeprefix("transferability.")


def api_pages() -> dict[str, str]:
    """Return the pages of the reference: its contents, and one for each public name."""
    from transferability import _HOME, errors
    from transferability._metric.registry import metric_specs

    names = public_names()
    rooms: dict[str, list[str]] = {title: [] for title in dict.fromkeys(ROOMS.values())}
    rooms["Errors"] = []
    modules: dict[str, list[str]] = {}
    metrics = {f"transferability.{name}" for name in metric_specs()}
    for name in names:
        home, _, short = name.rpartition(".")
        if name in metrics:
            continue
        if short in errors.__all__ and home == "transferability.errors":
            rooms["Errors"].append(name)
        elif home == "transferability" or (
            short in _HOME and home in ("transferability.agreement", "transferability.sklearn")
        ):
            rooms[ROOMS[_HOME[short].partition(".")[0]]].append(name)
        else:
            modules.setdefault(home, []).append(name)

    parts = [
        _heading("API reference"),
        ".. py:module:: transferability\n",
        "``import transferability as tx``. Names are imported at their first use. Every metric is "
        "a function too: see :doc:`the metrics </metrics/index>`.\n",
    ]
    for title, members in rooms.items():
        parts.append(_heading(title, "-") + "\n" + _table(members, names))
    for module, members in sorted(modules.items()):
        about = _summary(importlib.import_module(module))
        intro = f"\n.. py:module:: {module}\n\n{about}\n\n"
        short = module.replace("transferability", "tx", 1)
        parts.append(_heading(short, "-") + intro + _table(members, names))
    pages = {"api/index.rst": "\n".join(parts)}
    for name, thing in names.items():
        if name not in metrics:
            pages[f"api/{_file_of(name)}.rst"] = _name_page(name, thing)
    return pages


def _table(members: list[str], names: dict[str, Any]) -> str:
    rows = []
    for name in members:
        thing = names[name]
        known = inspect.isclass(thing) or inspect.isroutine(thing)
        short = name.removeprefix("transferability.")
        about = _summary(thing) if known else CONSTANTS[name]
        rows.append(f"   * - :py:obj:`{short} <{name}>`\n     - {about}")
    hidden = "\n".join(f"   {_file_of(name)}" for name in members)
    return (
        ".. list-table::\n   :widths: 35 65\n\n"
        + "\n".join(rows)
        + f"\n\n.. toctree::\n   :hidden:\n\n{hidden}\n"
    )


def _name_page(name: str, thing: Any) -> str:
    home, _, short = name.rpartition(".")
    title = _heading(name.removeprefix("transferability."))
    if inspect.isclass(thing):
        body = f".. autoclass:: {short}\n   :members:\n"
        if not issubclass(thing, (dict, Exception)) and _has_private_bases(thing):
            body += f"   :inherited-members: {STRANGERS}\n   :exclude-members: {NOT_OURS}\n"
    elif inspect.isroutine(thing):
        body = f".. autofunction:: {short}\n"
    else:
        body = f".. py:data:: {short}\n\n   {CONSTANTS[name]}\n\n{_values(thing)}"
    return f"{title}\n.. currentmodule:: {home}\n\n{body}"


def _values(constant: Any) -> str:
    """Return the values of a constant as a list, with their descriptions if it has them."""
    if not isinstance(constant, Mapping):
        return "".join(f"   - ``{value!r}``\n" for value in constant)
    about = {key: getattr(value, "summary", value) for key, value in constant.items()}
    return "".join(f"   - ``{key!r}``: {text}\n" for key, text in about.items())


def _has_private_bases(thing: type) -> bool:
    return any("._" in base.__module__ for base in thing.__mro__[1:] if base is not object)


def metric_pages() -> dict[str, str]:
    """Return the pages of the metrics: their list, and one for each."""
    from transferability._metric.registry import metric_specs
    from transferability._metric.spec import NEEDS

    specs = {name: spec for name, spec in metric_specs().items() if not spec.origin}
    tables = evidence()
    lists: dict[str, list[str]] = {"Metrics": [], "Diagnostics of features": []}
    pages = {}
    for name, spec in sorted(specs.items(), key=lambda item: item[1].title.lower()):
        row = f"| [{spec.title}]({name}.md) | {spec.when} | `{name}` | {', '.join(spec.tasks)} |"
        lists["Diagnostics of features" if spec.diagnostic else "Metrics"].append(row)
        needs = "; ".join(NEEDS[need] for need in spec.needs)
        facts = [
            ("name", f"`{name}`"),
            ("what it is", spec.summary),
            ("when to use it", spec.when),
            ("trap", TRAPS[name]),
            ("tasks", ", ".join(spec.tasks)),
            ("needs", needs + (f"; the package {spec.requires}" if spec.requires else "")),
            ("cost", f"`{spec.cost}`"),
            ("options", ", ".join(f"`{option}`" for option in sorted(spec.option_names)) or "none"),
            ("noise of a score", "influence functions" if spec.influence else "jackknife"),
            ("source", spec.source),
        ]
        if spec.among_models:
            facts.append(("between models", spec.among_models))
        if spec.diagnostic:
            facts.append(("diagnostic", 'not in "all", no claim on transfer'))
        text = [f"# {spec.title}", "", "| | |", "|---|---|"]
        text += [f"| {label} | {value} |" for label, value in facts]
        text += ["", "## Evidence", "", *_evidence_lines(spec.title, tables)]
        text += ["", "## Formula and use", ""]
        text += ["```{eval-rst}", ".. currentmodule:: transferability", ""]
        text += [f".. autofunction:: {name}", "```"]
        if kernel := kernel_text(name):
            text += ["", "## How it is computed", "", "From the header of its kernel:", "", kernel]
        pages[f"metrics/{name}.md"] = "\n".join(text) + "\n"
    index = [
        "# Metrics",
        "",
        "Higher is better for every metric but the diagnostics. `tx.score(features, labels, "
        '"all")` computes all that apply. [Which metric when](../which_metric.md) helps to choose, '
        "and [agreement with true accuracies](../realdata.md) compares them.",
    ]
    for title, rows in lists.items():
        index += ["", f"## {title}", "", "| | when | name | tasks |", "|---|---|---|---|", *rows]
    index += ["", "```{toctree}", ":hidden:", "", *(sorted(specs)), "```"]
    pages["metrics/index.md"] = "\n".join(index) + "\n"
    return pages


def kernel_text(name: str) -> str:
    """Return the header of the Rust module that computes a metric, in Markdown."""
    home = ROOT / "src" / "metrics"
    for path in (home / f"{name}.rs", home / name / "mod.rs"):
        if path.exists():
            lines = []
            for line in path.read_text("utf-8").splitlines():
                if not line.startswith("//!"):
                    break
                lines.append(line[3:].removeprefix(" "))
            text = re.sub(r"\[(`[^`]+`)\](\([^)]*\))?", r"\1", "\n".join(lines))
            parts = [
                f"```text\n{part}\n```" if part.startswith("  ") else part
                for part in re.sub(r"^(#+) ", r"##\1 ", text, flags=re.M).split("\n\n")
            ]
            return "\n\n".join(parts)
    return ""


def evidence() -> dict[str, list[list[str]]]:
    """Return the rows of the tables of docs/realdata.md by the name of the task."""
    tables: dict[str, list[list[str]]] = {}
    task = ""
    for line in (ROOT / "docs" / "realdata.md").read_text("utf-8").splitlines():
        if line.startswith("### "):
            task = line[4:]
        elif task and line.startswith("| "):
            tables.setdefault(task, []).append([cell.strip() for cell in line.split("|")[1:-1]])
    return tables


def _evidence_lines(title: str, tables: dict[str, list[list[str]]]) -> list[str]:
    rows = []
    for task, (header, *entries) in tables.items():
        tuned = next((i for i, cell in enumerate(header) if cell.startswith("fine-tuned")), None)
        regret = header.index("regret")
        for entry in entries:
            named = entry[0].strip("*")
            if named != title and not named.startswith((f"{title} (", f"{title}, ")):
                continue
            after = f"{entry[tuned]} ({entry[tuned + 1]})" if tuned else "–"
            probe = f"{entry[1]} ({entry[2]})"
            rows.append(f"| {task} | {named} | {probe} | {after} | {entry[regret]} |")
    if not rows:
        return [
            "It is not in [the tables of agreement](../realdata.md): what it needs is not in those "
            "tasks, or it makes no claim on transfer."
        ]
    return [
        "Weighted Kendall tau with true accuracies, with 95 % intervals over the models, and the "
        "regret of the first model: [how to read them](../realdata.md#how-to-read-the-tables).",
        "",
        "| task | metric | linear probe | fine-tuned | regret |",
        "|---|---|--:|--:|--:|",
        *rows,
    ]


def extras_table() -> str:
    """Return the table of the extras of pyproject.toml."""
    extras = read_toml("pyproject.toml")["project"]["optional-dependencies"]
    lines = ["| extra | for | packages |", "|---|---|---|"]
    for name, packages in extras.items():
        short = ", ".join(re.sub(r"[>=<].*", "", package) for package in packages)
        lines.append(f"| `[{name}]` | {EXTRAS[name]} | {short} |")
    return "\n".join(lines) + "\n"


def project_pages() -> Iterator[tuple[str, str]]:
    """Iterate over copies of the pages outside of docs/, with links that hold on the site."""
    yield "project/extras.md", extras_table()
    to = {source: f"{name}.md" for name, source in PROJECT.items()}
    for name, source in PROJECT.items():
        text = (ROOT / source).read_text("utf-8")

        def moved(match: re.Match[str], base: Path = (ROOT / source).parent) -> str:
            words, target = match.groups()
            path, hash_, anchor = target.partition("#")
            if "://" in target or not path:
                return match.group()
            full = (base / path).resolve().relative_to(ROOT).as_posix()
            if full in to:
                return f"[{words}]({to[full]}{hash_}{anchor})"
            if full.startswith("docs/") and full.endswith(".md"):
                return f"[{words}](../{full.removeprefix('docs/')}{hash_}{anchor})"
            return f"{words} (`{full}`)"

        yield f"project/{name}.md", re.sub(r"\[([^\]]+)\]\(([^)\s]+)\)", moved, text)


# --- checks ---------------------------------------------------------------------------------------


class Outline(HTMLParser):
    """Reads the headings and the pictures of the text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.pictures: list[str | None] = []
        self._depth = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note headings and pictures in the article."""
        self._depth += tag == "article"
        if self._depth and re.fullmatch("h[1-6]", tag):
            self.levels.append(int(tag[1]))
        elif self._depth and tag == "img":
            self.pictures.append(dict(attrs).get("alt"))

    def handle_endtag(self, tag: str) -> None:
        """Leave the article."""
        self._depth -= tag == "article"


def find_faults(page: str) -> list[str]:
    """Return what a page lacks for readers who do not see it: order of headings, texts of pictures.

    A picture beside a text that says the same, such as the small ones of the gallery, has alt="".
    """
    outline = Outline(page)
    faults = []
    if outline.levels.count(1) != 1 or outline.levels[0] != 1:
        faults.append(f"the levels of headings are {outline.levels}: one h1, at the beginning")
    for before, after in itertools.pairwise(outline.levels):
        if after > before + 1:
            faults.append(f"h{after} follows h{before}")
    for text in outline.pictures:
        if text is None or re.search(r"\.(png|svg|jpe?g)$", text) or 0 < len(text) < 10:
            faults.append(f"a picture has the text {text!r}")
    return faults


# --- extension ------------------------------------------------------------------------------------


def on_the_site(text: str) -> str:
    """Return a page of docs/ whose links to files of the repository lead to pages of the site.

    So a link holds both on the site and where the repository is read.
    """
    for name, path in PROJECT.items():
        text = text.replace(f"](../{path}", f"](project/{name}.md")
    text = text.replace("](../python/transferability/metrics)", "](metrics/index.md)")
    return re.sub(r"\]\(gallery/(\w+)\.py\)", r"](examples/\1.rst)", text)


def full_names(code: str) -> list[str]:
    """Return the full names that a piece of code may stand for."""
    match = re.fullmatch(r"([A-Za-z_][\w.]*)(\(.*\))?", code)
    if match is None:
        return []
    name = match[1]
    for prefix, full in PREFIXES.items():
        if name.startswith(prefix):
            name = full + name[len(prefix) :]
            break
    else:
        if name in COMMON:
            return []
        name = f"transferability.{name}"
    short = name.removeprefix("transferability.")
    return [name, *(f"transferability.{home}.{short}" for home in ("errors", "sklearn"))]


def write_formula(translator: Any, node: Any) -> None:
    """Write a formula as MathML."""
    from docutils import nodes
    from latex2mathml.converter import convert

    block = isinstance(node, nodes.math_block)
    formula = convert(node.astext(), display="block" if block else "inline")
    translator.body.append(f'<div class="math">{formula}</div>' if block else formula)
    raise nodes.SkipNode


def setup(app: Any) -> dict[str, Any]:
    """Connect to Sphinx."""
    from docutils import nodes
    from sphinx.transforms.post_transforms import SphinxPostTransform
    from sphinx.util.nodes import make_refnode

    class LinkNames(SphinxPostTransform):
        """Make links of public names in code."""

        default_priority = 5

        def run(self, **kwargs: Any) -> None:
            objects = self.env.domaindata["py"]["objects"]
            for node in list(self.document.findall(nodes.literal)):
                if isinstance(node.parent, (nodes.reference, nodes.title)) or node.get("refdoc"):
                    continue
                names = full_names(node.astext())
                found = next((objects[name] for name in names if name in objects), None)
                if found is None or (found.objtype == "module" and "." not in node.astext()):
                    continue  # `models` and `torch` alone are variables and other packages
                if found.docname == self.env.docname:
                    continue
                here, there = self.env.docname, (found.docname, found.node_id)
                link = make_refnode(self.app.builder, here, *there, node.deepcopy())
                node.replace_self(link)

    def rewrite_links(_app: Any, docname: str, source: list[str]) -> None:
        """Point links of pages in docs/ to the pages that the site makes of their targets."""
        source[0] = on_the_site(source[0])

    def without_compiled(_app: Any, env: Any) -> None:
        """Leave modules without Python source out of the list of sources, which would link them."""
        sources = getattr(env, "_viewcode_modules", {})
        for name in [name for name, source in sources.items() if not source]:
            del sources[name]

    def check_site(app: Any, error: Exception | None) -> None:
        """Fail unless every public name is on the site, and pages can be read without seeing."""
        if error is not None or app.builder.format != "html":
            return
        with without_optional_packages():
            missing = set(public_names()) - set(app.env.domaindata["py"]["objects"])
        if missing:
            raise ValueError(f"public names without a page: {', '.join(sorted(missing))}")
        for name in sorted(app.env.found_docs):
            page = Path(app.builder.get_outfilename(name)).read_text("utf-8")
            faults = find_faults(page)
            if str(ROOT) in page:
                faults.append(f"it names {ROOT}, as outputs with warnings do")
            if faults:
                raise ValueError(f"{name}: {'; '.join(faults)}")

    app.add_html_math_renderer("mathml", (write_formula, None), (write_formula, None))
    app.add_post_transform(LinkNames)
    app.connect("source-read", rewrite_links)
    app.connect("env-check-consistency", without_compiled)
    app.connect("build-finished", check_site)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
