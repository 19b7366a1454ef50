"""The package as a good citizen: what importing it does, ships and promises."""

import ast
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import transferability as tx

HEAVY = {"torch", "pandas", "polars", "matplotlib", "scipy", "sklearn", "tqdm", "jax"}


def run(code: str, **env: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **env},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_changes_no_global_state():
    run(
        """
import logging, os, signal, sys, threading, warnings
import numpy as np

def state():
    return (
        list(warnings.filters),
        list(logging.getLogger().handlers), logging.getLogger().level, logging.lastResort,
        dict(os.environ), os.getcwd(),
        [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)],
        threading.active_count(), len(os.listdir("/proc/self/task")),
        sys.excepthook, sys.getrecursionlimit(), np.geterr(), np.random.get_state()[1].tolist(),
    )

before = state()
import transferability
import transferability._core
assert state() == before, [(a, b) for a, b in zip(before, state()) if a != b]
"""
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_blas_starts_no_threads_whatever_the_environment_says():
    code = """
import os
import numpy as np

def n_threads():
    return len(os.listdir("/proc/self/task"))

before = n_threads()  # NumPy's own BLAS obeys the same variables
import transferability as tx
import transferability._core
imported = n_threads()
tx.logme(np.random.default_rng(0).normal(size=(3000, 300)), np.arange(3000) % 3, n_threads=2)
print(imported - before, n_threads() - before)
"""
    imported, used = run(code, OPENBLAS_NUM_THREADS="8", OMP_NUM_THREADS="8").split()
    assert imported == "0"
    assert int(used) <= 2


def test_import_stays_light():
    loaded = run("import sys, json, transferability; print(json.dumps(sorted(sys.modules)))")
    assert not HEAVY & set(json.loads(loaded))


def test_help_imports_nothing_heavy():
    loaded = run(
        """
import json, sys
from transferability.cli import main
sys.argv = ["transferability", "--help"]
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print("\\n" + json.dumps(sorted(sys.modules)))
"""
    )
    assert not (HEAVY | {"numpy"}) & set(json.loads(loaded.splitlines()[-1]))


def test_version_is_the_same_everywhere():
    version = importlib.metadata.version("transferability")
    assert tx.__version__ == version
    assert version in run(
        "from transferability.cli import main; import sys; sys.argv[1:] = ['--version']; main()"
    )


def test_types_and_licences_are_shipped():
    assert Path(tx.__file__).with_name("py.typed").exists()
    assert Path(tx.__file__).with_name("_core.pyi").exists()
    metadata = importlib.metadata.metadata("transferability")
    files = set(metadata.get_all("License-File") or [])
    assert {"LICENSE-MIT", "LICENSE-APACHE", "LICENSES/OpenBLAS.txt"} <= files


@pytest.mark.parametrize("name", tx.__all__)
def test_public_names_are_documented(name):
    thing = getattr(tx, name)
    if name == "__version__":
        return
    doc = inspect.getdoc(thing)
    assert doc, f"{name} has no docstring"
    if inspect.isfunction(thing):
        for parameter in inspect.signature(thing).parameters:
            assert parameter in doc, f"{name} does not document `{parameter}`"
    if inspect.isclass(thing):
        for attribute, member in vars(thing).items():
            if inspect.isfunction(member) and not attribute.startswith("_"):
                assert inspect.getdoc(member), f"{name}.{attribute} has no docstring"


def test_dir_lists_every_public_name():
    assert set(tx.__all__) <= set(dir(tx))
    rest = {*dir(tx)} - {*tx.__all__} - {"__version__"}
    assert all(inspect.ismodule(getattr(tx, name)) for name in rest), "public submodules"
    with pytest.raises(AttributeError, match="no_such_name"):
        tx.no_such_name  # noqa: B018


def test_star_import():
    namespace = {}
    exec("from transferability import *", namespace)
    assert {*namespace} - {"__builtins__"} == {*tx.__all__}
    assert namespace["logme"] is tx.logme


def test_type_checkers_see_the_names_that_are_imported_lazily():
    tree = ast.parse(Path(tx.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = (node for node in block.body if isinstance(node, ast.ImportFrom))
    seen = {name.asname for node in imports for name in node.names}
    metrics = {None}  # the star of ``from .metrics import *``
    assert seen - metrics == {*tx._HOME, *tx._SUBMODULES} - {"metrics"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fork_after_use():
    # In its own interpreter: a child that hangs must not take pytest with it.
    run(
        """
import os, warnings
import numpy as np
import transferability as tx
warnings.simplefilter("ignore")  # CPython >= 3.12 warns of fork in a process with threads

rng = np.random.default_rng(0)
shapes = [(600, 48), (40, 200), (3000, 96)]
data = [(rng.normal(size=shape), rng.integers(0, 4, shape[0])) for shape in shapes]
expected = [float(tx.logme(x, y, n_threads=2)) for x, y in data]
for _ in range(5):
    child = os.fork()
    if child == 0:
        same = [float(tx.logme(x, y, n_threads=2)) for x, y in data] == expected
        os._exit(0 if same else 1)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
assert [float(tx.logme(x, y, n_threads=2)) for x, y in data] == expected
"""
    )
