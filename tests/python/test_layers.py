"""The house rule: a room of the package imports only from rooms to its left, and from itself.

The order of the rooms is the direction in which data flows: inputs, statistics, metrics, rankings,
and what is made of rankings. Every import counts, those inside functions and those for types alone
included. The exceptions are the facade: methods of results that open a room to their right.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import transferability

PACKAGE = Path(transferability.__file__).parent

#: From left to right; a room is a folder or a file at the top of the package.
ROOMS = (
    *("errors", "_core", "_util", "_inputs", "_metric", "_stats", "io", "_scoring"),
    *("covariance", "health", "metrics", "compat", "sklearn", "agreement", "_ranking"),
    *("_uncertainty", "_racing", "forecast"),
    *("tuning", "_data", "torch", "models", "_sweep", "dask", "report", "plot", "serve", "cli"),
)
#: Imports that open a room to the right, or a file that itself imports the importing one: where
#: they stand, and what they import. An import for types alone stands at the top of its file, which
#: is written as an empty function name.
FACADE = {
    ("_metric/registry.py", "_built_in", "metrics"),
    ("_metric/score.py", "Score._repr_html_", "_metric"),
    ("_metric/score.py", "Score.explain", "_metric"),
    ("_metric/score.py", "Scores._repr_html_", "_metric"),
    ("_ranking/rank.py", "", "_racing"),
    ("_ranking/rank.py", "rank", "_racing"),
    ("_ranking/ranking.py", "", "_racing"),
    ("_ranking/ranking.py", "", "_uncertainty"),
    ("_ranking/ranking.py", "", "tuning"),
    ("_ranking/ranking.py", "Ranking.shortlist", "_uncertainty"),
    ("_ranking/ranking.py", "Ranking.stability", "_uncertainty"),
    ("_ranking/ranking.py", "Ranking.teachers", "tuning"),
    ("_ranking/ranking.py", "Ranking.to_html", "report"),
    ("_uncertainty/stability.py", "Stability.shortlist", "_uncertainty"),
}


class Import(NamedTuple):
    """One import of the package by itself."""

    file: str
    line: int
    function: str
    target: str  # dotted, below the package

    @property
    def room(self) -> str:
        return self.target.partition(".")[0]


def imports_of(path: Path, text: str | None = None, package: Path = PACKAGE) -> Iterator[Import]:
    """Find the imports in a file, wherever they stand."""
    file = path.relative_to(package).as_posix()
    above = list(path.relative_to(package).parent.parts)

    def visit(node: ast.AST, function: str) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            within = function
            if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                within = f"{function}.{child.name}".lstrip(".")
            if isinstance(child, ast.ImportFrom):
                if child.level:
                    base = above[: len(above) - child.level + 1]
                elif (child.module or "").split(".")[0] == package.name:
                    base = []
                else:
                    continue
                tail = (child.module or "").split(".")[0 if child.level else 1 :]
                target = [*base, *(part for part in tail if part)]
                for name in child.names:
                    full = [*target, name.name]
                    known = package.joinpath(*full)
                    module = known.is_dir() or known.with_suffix(".py").exists()
                    yield Import(
                        file,
                        child.lineno,
                        within,
                        ".".join(full if module or not target else target),
                    )
            elif isinstance(child, ast.Import):
                for name in child.names:
                    root, _, rest = name.name.partition(".")
                    if root == package.name:  # the whole package, without rest
                        yield Import(file, child.lineno, within, rest)
            elif isinstance(child, ast.Call) and (named := imported_by_name(child)):
                dots = len(named) - len(named.lstrip("."))
                parts = [part for part in named[dots:].split(".") if part]
                if not dots and parts[0] != package.name:
                    continue
                full = [*above[: len(above) - dots + 1], *parts] if dots else parts[1:]
                if full[:1] != above[:1]:  # a room lists its own modules in this way
                    yield Import(file, child.lineno, within, ".".join(full))
            yield from visit(child, within)

    yield from visit(ast.parse(path.read_text("utf-8") if text is None else text), "")


def imported_by_name(call: ast.Call) -> str:
    """Return the module that `import_module` or `__import__` names, as far as it is written out."""
    function = call.func.attr if isinstance(call.func, ast.Attribute) else call.func
    if isinstance(function, ast.Name):
        function = function.id
    if function not in ("import_module", "__import__") or not call.args:
        return ""
    name = call.args[0]
    if isinstance(name, ast.JoinedStr) and name.values:
        name = name.values[0]
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else ""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def violations(found: Iterator[Import]) -> list[str]:
    """Name the imports that go to the right and are not of the facade."""
    return [
        f"{one.file}:{one.line} [{one.function}] imports {one.target}"
        for one in found
        if one.room not in ROOMS
        or (
            (ROOMS.index(one.room) > ROOMS.index(room_of(one.file)))
            and (one.file, one.function, one.room) not in FACADE
        )
    ]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_go_to_the_left(path: Path) -> None:
    if path.parent == PACKAGE and path.stem in ("__init__", "__main__"):
        return  # the door, which opens every room
    assert violations(imports_of(path)) == []


@pytest.mark.parametrize(
    "text",
    [
        "from .._ranking.ranking import Ranking",
        "def f():\n    from .._ranking import ranking",
        "if TYPE_CHECKING:\n    from transferability._ranking import ranking",
        "import transferability._ranking.ranking",
        "from .. import plot",
        "from ..nowhere import thing",
        "import transferability",
        "import_module('transferability.plot')",
        "def f():\n    importlib.import_module(f'..{name}', __package__)",
        "def f():\n    importlib.import_module(f'..metrics.{name}', __package__)",
        "__import__('transferability.report')",
    ],
)
def test_a_planted_violation_is_found(text: str) -> None:
    assert len(violations(imports_of(PACKAGE / "_stats" / "planted.py", text))) == 1


def test_the_facade_is_no_wider_than_its_list() -> None:
    used = {
        (one.file, one.function, one.room)
        for path in files()
        if path.parent != PACKAGE or path.stem not in ("__init__", "__main__")
        for one in imports_of(path)
    }
    assert used >= FACADE


def graph() -> dict[str, set[str]]:
    """Which file imports which, the facade aside."""
    found: dict[str, set[str]] = {}
    for path in files():
        targets = found.setdefault(path.relative_to(PACKAGE).as_posix(), set())
        if path.parent == PACKAGE and path.stem in ("__init__", "__main__"):
            continue
        for one in imports_of(path):
            target = PACKAGE.joinpath(*one.target.split("."))
            for file in (target.with_suffix(".py"), target / "__init__.py"):
                if file.exists() and (one.file, one.function, one.room) not in FACADE:
                    targets.add(file.relative_to(PACKAGE).as_posix())
    return found


def cycles(graph: dict[str, set[str]]) -> list[str]:
    """Take out files that import nothing more, again and again; return those that stay."""
    left = {file: set(targets) - {file} for file, targets in graph.items()}
    while leaves := [file for file, targets in left.items() if not targets & left.keys()]:
        for file in leaves:
            del left[file]
    return sorted(left)


def test_files_do_not_import_each_other_in_circles() -> None:
    assert cycles(graph()) == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}, "e": set()}) != []


@pytest.mark.parametrize("path", files(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_a_module_is_one_idea(path: Path) -> None:
    """40 to 400 lines; a longer one says why in its header. Doors of packages may be short."""
    text = path.read_text("utf-8")
    length = len(text.splitlines())
    short_enough = length <= 400 or "400 lines" in (ast.get_docstring(ast.parse(text)) or "")
    long_enough = length >= 40 or path.parent == PACKAGE or path.stem == "__init__"
    assert long_enough, f"{length} lines: move them to the module of a similar idea"
    assert short_enough, f"{length} lines: split them, or say why in the header"


#: Files of private rooms that share a name, because they do the same for different things.
NAMESAKES = {
    "plan.py": {"_metric", "_sweep"},  # the metrics of a call; the models of a sweep
    "progress.py": {"_sweep", "_util"},  # a bar for a loop; the display of a sweep
}


def test_files_share_a_name_only_where_they_do_the_same() -> None:
    rooms: dict[str, set[str]] = {}
    for path in files():
        room = path.relative_to(PACKAGE).parts[0]
        if room.startswith("_") and path.parent != PACKAGE and path.stem != "__init__":
            rooms.setdefault(path.name, set()).add(room)
    assert {name: found for name, found in rooms.items() if len(found) > 1} == NAMESAKES


def test_every_room_is_in_the_order() -> None:
    entries = {path.name.removesuffix(".py") for path in PACKAGE.iterdir()} - {
        *("__init__", "__main__", "__pycache__", "_core.pyi", "py.typed"),
    }
    assert {name for name in entries if not name.startswith("_core.")} <= {*ROOMS}
    assert len(entries) <= 32
