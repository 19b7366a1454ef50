"""Public classes and functions name their public module, pickle by it, and their examples run."""

from __future__ import annotations

import dataclasses
import doctest
import importlib
import inspect
import os
import pickle
import pkgutil
import pydoc
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy as np
import pytest

import transferability as tx

PRIVATE = re.compile(rb"transferability(\.\w+)*\._(?!core\b)\w+")


def public_modules() -> Iterator[ModuleType]:
    """Import the public modules of the package; those that need torch only where it is."""
    yield tx
    for found in pkgutil.walk_packages(tx.__path__, "transferability."):
        parts = found.name.split(".")
        if not any(part.startswith("_") for part in parts) and not {"cli", "serve"} & {*parts}:
            yield importlib.import_module(found.name)


def public_things() -> dict[str, Any]:
    """Return the public classes and functions by the name under which users import them."""
    things = {}
    for module in public_modules():
        for name in getattr(module, "__all__", ()):
            try:
                thing = getattr(module, name)
            except tx.MissingDependencyError:
                continue
            if inspect.isclass(thing) or inspect.isfunction(thing):
                things[f"{module.__name__}.{name}"] = thing
    return things


THINGS = public_things()
#: Packages that import their names lazily: --doctest-modules finds the examples of these names
#: neither there nor in the private modules that define them.
LAZY = ("transferability", "transferability.torch")
UNFOUND = [name for name, thing in THINGS.items() if thing.__module__ in LAZY]
NEED_TORCH = ("transferability.label_embeddings", "transferability.rank_models")


def public_members() -> dict[str, object]:
    """Return every public name, and the public methods and properties of every public class."""
    members: dict[str, object] = dict(THINGS)
    for name, thing in THINGS.items():
        if inspect.isclass(thing):
            own = [base for base in thing.__mro__ if base.__module__.startswith("transferability")]
            inherited = {name: value for base in own[::-1] for name, value in vars(base).items()}
            for member, value in inherited.items():
                called = inspect.isfunction(value) or isinstance(value, (classmethod, staticmethod))
                if not member.startswith("_") and (called or isinstance(value, property)):
                    members[f"{name}.{member}"] = value
    return members


MEMBERS = public_members()


def test_every_public_name_is_documented() -> None:
    """Where torch is, as in `make test-torch`, this covers the names that need it, too."""
    assert not [name for name, thing in MEMBERS.items() if not inspect.getdoc(thing)]


#: Built by the package, never by its users: an Extractor by transferability.torch.extract.
NOT_CONSTRUCTED = ("transferability.torch.Extractor",)


def parameters_of(name: str) -> list[str]:
    """Return the parameters of a public function or method, and the fields of a dataclass."""
    thing = MEMBERS[name]
    if isinstance(thing, property) or name in NOT_CONSTRUCTED:
        return []
    if dataclasses.is_dataclass(thing):
        return [field.name for field in dataclasses.fields(thing) if field.name[0] != "_"]
    if inspect.isclass(thing) and not inspect.isfunction(vars(thing).get("__init__")):
        return []
    function = getattr(thing, "__func__", thing)
    return [name for name in inspect.signature(function).parameters if name not in ("self", "cls")]


def undocumented(name: str) -> list[str]:
    """Return the parameters of which no section says anything.

    A class may leave those of the public class that it extends to the text of that class.
    """
    thing = MEMBERS[name]
    described = [thing]
    if inspect.isclass(thing):
        described = [base for base in thing.__mro__ if base in THINGS.values()]
    entries = ""
    for one in described:
        _, *rest = re.split(r"^(\w[\w ]*)\n-+$", inspect.getdoc(one) or "", flags=re.M)
        sections = dict(zip(rest[::2], rest[1::2], strict=True))
        text = sections.get("Parameters", "") + sections.get("Attributes", "")
        entries += " ".join(re.findall(r"^([\w*][\w, *]*)(?: :.*)?$", text, re.M)) + " "
    known = set(re.findall(r"\w+", entries))
    return [parameter for parameter in parameters_of(name) if parameter not in known]


@pytest.mark.parametrize(
    "name", [name for name in MEMBERS if not name.startswith("transferability.metrics.")]
)
def test_every_parameter_and_field_is_documented(name: str) -> None:
    assert undocumented(name) == []


def test_undocumented_parameters_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def f(known: int, other: int) -> None:
        """Use `other`.

        Parameters
        ----------
        known : int
            Not the other one.

        Returns
        -------
        other : int
            No parameter.
        """

    monkeypatch.setitem(MEMBERS, "f", f)
    assert undocumented("f") == ["other"]


@pytest.mark.parametrize("name", THINGS)
def test_modules_of_public_names_are_public(name: str) -> None:
    thing = THINGS[name]
    assert not re.search(r"\._", thing.__module__), "see transferability/_util/public.py"
    assert getattr(importlib.import_module(thing.__module__), thing.__qualname__) is thing


def examples_of(name: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder().find(THINGS[name], name, module=False)  # type: ignore[arg-type]
    return [test for test in found if test.examples]


@pytest.mark.parametrize("name", UNFOUND)
def test_examples_run(name: str) -> None:
    if name in NEED_TORCH:
        pytest.importorskip("torch")
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for test in examples_of(name):
        runner.run(test)
    assert runner.failures == 0


def test_there_are_examples() -> None:
    found = {test.name for name in UNFOUND for test in examples_of(name)}
    expected = (
        "rank",
        "score",
        "Score",
        "Score.replace",
        "Stats",
        "Stability.from_shards",
        "Ranking.consensus",
    )
    assert {f"transferability.{name}" for name in expected} <= found


def results() -> dict[str, Any]:
    """Return one of everything that the package returns."""
    rng = np.random.default_rng(0)
    labels = np.arange(90) % 3
    models = {f"m{i}": rng.normal(size=(90, 5)) + i * np.eye(3, 5)[labels] for i in range(4)}
    truth = {f"m{i}": 0.5 + i / 10 for i in range(4)}
    ranking = tx.rank(models, labels, ["logme", "knn"], keep_coef=True, groups=np.arange(90) // 30)
    stats = tx.Stats().update(models["m1"], labels)
    sizes = [100, 200, 400, 800, 1600, 3200]
    return {
        "Score": ranking.best.logme,
        "Scores": tx.score(models["m0"], labels, ["logme", "knn"]),
        "Ranking": ranking,
        "Row": ranking.best,
        "consensus": ranking.consensus(),
        "Stability": ranking.stability(n_boot=20),
        "Evaluation": ranking.evaluate(truth),
        "Comparison": ranking.evaluate(truth).compare("logme", "knn"),
        "Stats": stats,
        "Health": tx.health.check(stats),
        "ClassCovariances": stats.class_covariances(),
        "CodingRateReduction": tx.covariance.coding_rate_reduction(models["m1"], labels),
        "TaskRanking": tx.compare_tasks(
            {"near": {"source_labels": labels, "labels": labels}}, metrics="nce"
        ),
        "TeacherEnsemble": ranking.teachers(2),
        "classifier": tx.LogMEClassifier().fit(models["m2"], labels),
        "Curve": tx.forecast.curve(models["m1"], labels, "h_score", [30, 60, 90]),
        "Forecast": tx.forecast.fit(sizes, [3 * n**-0.3 + 0.1 for n in sizes]),
        "error": tx.DataError("text"),
        "metric": tx.logme,
        "function": tx.rank,
    }


def test_pickles_name_no_private_room() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = results()
    for name, result in found.items():
        data = pickle.dumps(result)
        assert not PRIVATE.search(data), (name, PRIVATE.search(data))
        assert type(pickle.loads(data)) is type(result)


#: Modules whose public names are those of the module, and no imports.
SHOWN = [m for m in public_modules() if not m.__name__.startswith("transferability.metrics.")]


@pytest.mark.parametrize("module", SHOWN, ids=lambda module: module.__name__)
def test_dir_lists_public_names_alone(module: ModuleType) -> None:
    listed = {name for name in dir(module) if not name.startswith("__")}
    modules = {*tx._SUBMODULES, "errors"} if module is tx else set()
    assert listed == {*module.__all__} | modules
    assert "__doc__" in dir(module) or module in (tx, tx.errors)


def test_help_is_a_summary_of_all_names() -> None:
    text = pydoc.render_doc(tx, renderer=pydoc.plaintext)
    assert len(text.splitlines()) < 150
    summary = text.partition("PACKAGE CONTENTS")[0]
    assert summary.index("Rank pre-trained models") < 200
    for name in {*tx._HOME, *tx._SUBMODULES, "errors"}:
        assert re.search(rf"\b{name}\b", summary), name
    assert "rank" in dir(tx)  # for everybody but help()


def test_pydoc_as_a_program_prints_the_same_page() -> None:
    command = [sys.executable, "-m", "pydoc", "transferability"]
    path = {**os.environ, "PYTHONPATH": str(Path(tx.__file__).parents[1])}
    shown = subprocess.run(command, env=path, capture_output=True, text=True, timeout=60).stdout
    assert "Score and rank" in shown
    assert len(shown.splitlines()) < 150


def test_help_of_one_name_is_its_documentation() -> None:
    text = pydoc.render_doc(tx.logme, renderer=pydoc.plaintext)
    assert "features: 'ArrayLike'" in text
    assert "Compute LogME" in text
    assert len(pydoc.render_doc(tx.forecast, renderer=pydoc.plaintext).splitlines()) > 100


def signatures(thing: Any) -> Iterator[tuple[str, inspect.Signature]]:
    """Iterate over the signatures of a function, or of the public methods of a class."""
    if not inspect.isclass(thing):
        yield thing.__qualname__, inspect.signature(thing)
        return
    for name, method in vars(thing).items():
        if inspect.isfunction(method) and (not name.startswith("_") or name == "__init__"):
            yield method.__qualname__, inspect.signature(method)


@pytest.mark.parametrize("name", [name for name in THINGS if "compat" not in name])
def test_signatures_say_what_is_taken(name: str) -> None:
    for qualified, signature in signatures(THINGS[name]):
        for parameter in signature.parameters.values():
            assert not re.search(r"\bobject\b", str(parameter.annotation)), (qualified, parameter)


def test_types_of_arguments_can_be_evaluated() -> None:
    for function in (
        tx.logme,
        tx.score,
        tx.knn,
        tx.Stats.update,
        tx.health.norms,
        tx.agreement.regret,
    ):
        assert get_type_hints(function)
