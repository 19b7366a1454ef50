"""Fingerprints of user code: which code is read, and that libraries are not."""

from __future__ import annotations

import ast
import importlib
import inspect
import linecache
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from transferability.models._fingerprint import _find_classes, _read_source, hash_callable
from transferability.models._unchanged import watch_files

N_MODULES = 300
_MODULE = """
from . import part_{next}

class Part_{this}(part_{next}.Part_{next}):
    def run(self, items):
        return part_{next}.run(items)

def run(items):
    return Part_{this}().run(items)
"""
_LAST = """
class Part_{this}:
    value = {value}

def run(items):
    return items
"""
_USER = """
import {library}
from {library}.part_0 import Part_0

class Features(Part_0):
    def __call__(self, items):
        return {library}.part_0.run(items)

def features(items):
    return Features()(items)
"""


def write_library(folder: Path, name: str, value: int = 0, n: int = N_MODULES) -> None:
    """Write a package of many modules, each of which calls the next."""
    package = folder / name
    package.mkdir(parents=True, exist_ok=True)
    lines = [f"from . import part_{i}\n" for i in reversed(range(n))]
    (package / "__init__.py").write_text("".join(lines))
    for i in range(n):
        text = (_MODULE if i < n - 1 else _LAST).format(this=i, next=i + 1, value=value)
        (package / f"part_{i}.py").write_text(text)


def list_as_installed(folder: Path, name: str) -> None:
    """Write what ``pip install --target`` writes beside a package, and for 50 more."""
    for i in range(50):
        (folder / f"other_{i}-1.0.dist-info").mkdir()
        (folder / f"other_{i}-1.0.dist-info/RECORD").write_text(f"other_{i}.py,sha256=x,1\n")
    (folder / "big.library-2.0.dist-info").mkdir()
    (folder / "big.library-2.0.dist-info/RECORD").write_text(f"{name}/__init__.py,sha256=x,1\n")


PLACES: dict[str, tuple[str, str, bool]] = {  # folder, name of the package, listed beside it
    "site-packages": ("env/lib/python3/site-packages", "big_library", False),
    "dist-packages": ("opt/dist-packages", "big_library", False),
    "pip install --target": ("vendor", "big_library", True),
    "a clone of a library whose version is known": ("clone/src", "timm", False),
}


@pytest.fixture
def fingerprint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[str, int]]:
    """Hash a user's function that calls a library; return the hash and the number of files read."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def run(folder: str, library: str, beside: str = "mine") -> tuple[str, int]:
        (tmp_path / beside).mkdir(exist_ok=True)
        (tmp_path / beside / "own_features.py").write_text(_USER.format(library=library))
        for path in (tmp_path / folder, tmp_path / beside):
            monkeypatch.syspath_prepend(str(path))
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.delitem(sys.modules, "own_features", raising=False)
        importlib.invalidate_caches()
        linecache.clearcache()
        function = importlib.import_module("own_features").features
        with watch_files() as seen:
            found = hash_callable(function)
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            monkeypatch.delitem(sys.modules, name)
        return found, sum(path.startswith(str(tmp_path)) for path in seen.paths)

    return run


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_a_library_is_not_read(
    tmp_path: Path, fingerprint: Callable[..., tuple[str, int]], place: tuple[str, str, bool]
) -> None:
    folder, name, is_listed = place
    write_library(tmp_path / folder, name)
    if is_listed:
        list_as_installed(tmp_path / folder, name)
    found, n_files = fingerprint(folder, name)
    assert n_files <= 1 + 51 * is_listed  # the user's file, and the lists of the distributions
    write_library(tmp_path / folder, name, value=1)
    assert fingerprint(folder, name)[0] == found  # its version identifies it


@pytest.mark.parametrize("listed", ["nothing", "other packages", "an editable install"])
def test_code_of_the_user_is_read(
    tmp_path: Path, fingerprint: Callable[..., tuple[str, int]], listed: str
) -> None:
    """What no version identifies: of a folder on the path, also beside installed packages."""
    write_library(tmp_path / "lib", "my_library", n=50)
    if listed == "other packages":
        list_as_installed(tmp_path / "lib", "big_library")
    elif listed == "an editable install":
        (tmp_path / "lib/my_library.egg-info").mkdir()
        (tmp_path / "lib/my_library.egg-info/top_level.txt").write_text("my_library\n")
    found, n_files = fingerprint("lib", "my_library")
    assert n_files >= 50
    write_library(tmp_path / "lib", "my_library", value=1, n=50)
    assert fingerprint("lib", "my_library")[0] != found


def test_a_user_file_beside_installed_packages_is_read(
    tmp_path: Path, fingerprint: Callable[..., tuple[str, int]]
) -> None:
    write_library(tmp_path / "vendor", "big_library")
    list_as_installed(tmp_path / "vendor", "big_library")
    found, _ = fingerprint("vendor", "big_library", beside="vendor")
    source = tmp_path / "vendor/own_features.py"
    text = _USER.replace("Features()(items)", "Features()(items) + 1").format(library="big_library")
    assert fingerprint("vendor", "big_library", beside="vendor")[0] == found
    source.write_text(text)
    linecache.clearcache()
    sys.modules.pop("own_features", None)
    changed = importlib.import_module("own_features").features
    assert hash_callable(changed) != found


_CLASSES = """
import functools

class Outer:
    {comment}
    class Inner:
        value = {inner}
        text = "a line end of other kinds: \\x0c \x0c \u2028"

    def make(self):
        class Local:
            value = {local}
        return Local

@functools.total_ordering
class Last:
    value = {last}
    def __lt__(self, other): return True
{padding}
"""


def test_classes_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each class has its own source, wherever it is defined, and the file is parsed once."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    padding = "\n".join(f"class Other{i}(Last):\n    n = {i}" for i in range(300))

    def sources(**changed: int | str) -> list[str]:
        values = {"inner": 1, "local": 1, "last": 1, "comment": "pass", **changed}
        (tmp_path / "many_classes.py").write_text(_CLASSES.format(padding=padding, **values))
        monkeypatch.delitem(sys.modules, "many_classes", raising=False)
        importlib.invalidate_caches()
        linecache.clearcache()
        module = importlib.import_module("many_classes")
        local = module.Outer().make()
        classes = (module.Outer.Inner, local, module.Last, module.Other7)
        for one in classes:
            assert _read_source(one) == inspect.getsource(one)
        return [_read_source(one) for one in classes]

    first = sources()
    assert sources(comment="x = 1") == first
    for i, name in enumerate(("inner", "local", "last")):
        assert [a != b for a, b in zip(sources(**{name: 2}), first, strict=True)] == [
            j == i for j in range(4)
        ]
    parsed: list[str] = []
    parse = ast.parse
    monkeypatch.setattr(ast, "parse", lambda text: parsed.append(text) or parse(text))
    _find_classes.cache_clear()
    for i in range(300):
        assert f"n = {i}" in _read_source(getattr(sys.modules["many_classes"], f"Other{i}"))
    assert len(parsed) == 1
