"""What a release repeats agrees, and `ci/check_release.py` finds what does not."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import transferability as tx

ROOT = Path(__file__).parents[2]


def load(name: str, folder: str = "ci") -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RELEASE, DERIVE = load("check_release"), load("derive")
SNAPSHOTS = load("snapshots", "tests/first_hour")  # how close printed numbers must be
VERSION, ADDRESS = RELEASE.version(), RELEASE.address()
PATH = ADDRESS.removeprefix("https://github.com/")


def problems(tag: str | None = None) -> list[str]:
    return [
        *RELEASE.check_versions(),
        *RELEASE.check_addresses(),
        *RELEASE.check_changelog(tag),
        *RELEASE.check_readme(),
    ]


def plant(monkeypatch: pytest.MonkeyPatch, changes: dict[str, tuple[str, str]]) -> None:
    """Let the checks read files with the first occurrence of a text replaced."""
    read = RELEASE.read

    def changed(name: str) -> str:
        text = str(read(name))
        if name in changes:
            old, new = changes[name]
            assert old in text, f"{name} has no {old}"
            text = text.replace(old, new, 1)
        return text

    monkeypatch.setattr(RELEASE, "read", changed)


def test_everything_agrees() -> None:
    assert problems() == []


def test_what_is_installed_and_what_is_compiled_have_the_version() -> None:
    assert tx.__version__ == VERSION, "install it again: make install"
    assert tx.show_config()["version"] == VERSION, "build it again: make install"


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("Cargo.toml", f'version = "{VERSION}"', 'version = "9.9.9"', "has 9.9.9"),
        ("CITATION.cff", f"version: {VERSION}", "version: 9.9.9", "CITATION.cff has 9.9.9"),
        ("conda/recipe.yaml", f'version: "{VERSION}"', 'version: "9.9.9"', "recipe.yaml has 9.9.9"),
        ("conda/recipe.yaml", f'version: "{VERSION}"', "", "recipe.yaml has no version"),
        ("examples/axum/Cargo.lock", f'"{VERSION}"', '"9.9.9"', "Cargo.lock has"),
        ("fuzz/Cargo.lock", f'"{VERSION}"', '"9.9.9"', "fuzz/Cargo.lock has"),
        ("pyproject.toml", f'Issues = "{ADDRESS}', 'Issues = "https://x.org', "Issues is https"),
        ("pyproject.toml", f'Source = "{ADDRESS}', 'Source = "https://x.org', "Cargo.toml has"),
        ("Cargo.toml", f'repository = "{ADDRESS}"', "", "Cargo.toml has None"),
        ("CITATION.cff", ADDRESS, "https://x.org", "CITATION.cff has https://x.org"),
        ("docs/about.md", f"version = {{{VERSION}}}", "version = {9.9.9}", "about.md has 9.9.9"),
        (
            "docs/about.md",
            f"url = {{{ADDRESS}}}",
            "url = {https://x.org}",
            "about.md has https://x",
        ),
        ("SECURITY.md", f"--repo {PATH}", "--repo OWNER/NAME", "SECURITY.md has OWNER/NAME"),
        ("SECURITY.md", f"--repo {PATH}", f"--repo {ADDRESS}", "SECURITY.md has https://"),
        ("CHANGELOG.md", f"## {VERSION} ", "## 9.9.9 ", "is 9.9.9, not"),
        ("CHANGELOG.md", "### Numerics", "### Values", "no part ### Numerics"),
        ("README.md", f"{ADDRESS}/blob/main/docs/", "docs/", "PyPI needs"),
        ("README.md", "/blob/main/docs/", "/blob/main/dogs/", "does not exist"),
        ("README.md", "/blob/main/docs/", "/blob/v9/docs/", "no file of the branch main"),
        ("README.md", "## Install", "[x](docs/faq.md)\n## Install", "links to docs/faq.md"),
        ("README.md", "## Install", "[x](#install)\n## Install", "links to #install"),
        ("README.md", "## Install", "![x](http://x.org/y.png)\n## Install", "http://x.org/y.png"),
        ("README.md", "## Install", "[x][nowhere]\n## Install", "no address for [nowhere]"),
    ],
)
def test_what_differs_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, old: str, new: str, message: str
) -> None:
    plant(monkeypatch, {name: (old, new)})
    assert any(message in problem for problem in problems())


def dated(date: str, released: str) -> dict[str, tuple[str, str]]:
    section = re.search(rf"^## {re.escape(VERSION)} \(.*\)$", RELEASE.read("CHANGELOG.md"), re.M)
    assert section is not None
    return {
        "CHANGELOG.md": (section[0], f"## {VERSION} ({date})\n\n### Numerics\n\n- None.\n"),
        "CITATION.cff": (f"version: {VERSION}", f"version: {VERSION}\n{released}"),
    }


def test_a_tag_needs_the_version_and_dates(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, dated("2027-01-31", "date-released: 2027-01-31"))
    assert problems() == problems(f"v{VERSION}") == []
    (found,) = problems("v9.9.9")
    assert found.startswith("the tag is v9.9.9")
    (found,) = problems(VERSION)
    assert found.startswith(f"the tag is {VERSION};")


@pytest.mark.parametrize("after", ["", "\n\n### Added\n\n- A metric."])
def test_a_tag_needs_a_word_on_numerics(monkeypatch: pytest.MonkeyPatch, after: str) -> None:
    changes = dated("2027-01-31", "date-released: 2027-01-31")
    heading, new = changes["CHANGELOG.md"]
    changes["CHANGELOG.md"] = (heading, new.replace("\n- None.\n", f"{after}\n\n## 0.0.1 (x)"))
    plant(monkeypatch, changes)
    assert problems() == []
    (found,) = problems(f"v{VERSION}")
    assert "Numerics of" in found
    assert "is empty" in found


@pytest.mark.parametrize(
    ("date", "released", "message"),
    [
        ("unreleased", "date-released: 2027-01-31", "has no date"),
        ("2027-01-31", "", "date-released of CITATION.cff is None"),
        ("2027-01-31", "date-released: 2027-01-30", "is 2027-01-30, not 2027-01-31"),
        ("soon", "", "is dated soon"),
    ],
)
def test_dates_of_a_tag(
    monkeypatch: pytest.MonkeyPatch, date: str, released: str, message: str
) -> None:
    plant(monkeypatch, dated(date, released))
    assert any(message in problem for problem in problems(f"v{VERSION}"))


def test_the_script_says_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check_release.py"])
    RELEASE.main()
    assert f"release {VERSION}: " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["check_release.py", "--tag", "v9.9.9"])
    with pytest.raises(SystemExit) as stop:
        RELEASE.main()
    assert stop.value.code == 1
    assert "the tag is v9.9.9" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["--tga", "v9.9.9"], ["--tag"], ["v9.9.9"]])
def test_a_slip_in_the_arguments_checks_nothing(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["check_release.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        RELEASE.main()
    assert stop.value.code == 2


def test_badges_tell_what_the_package_says() -> None:
    project, cargo = RELEASE.project(), RELEASE.read("python/Cargo.toml")
    badges = re.findall(r"img\.shields\.io/badge/([^)]+)\)", RELEASE.read("README.md"))
    minimum = project["requires-python"].removeprefix(">=")
    licence = project["license"].replace(" OR ", "_or_").replace("-", "--")
    assert badges == [f"licence-{licence}-blue", f"python-{minimum}+-blue", "wheel-abi3-blue"]
    assert f"abi3-py{minimum.replace('.', '')}" in cargo


def test_classifiers_begin_with_the_minimal_python() -> None:
    project = RELEASE.project()
    versions = re.findall(r"Python :: 3\.(\d+)", "\n".join(project["classifiers"]))
    assert f">=3.{versions[0]}" == project["requires-python"]
    assert [int(minor) for minor in versions] == [*range(int(versions[0]), int(versions[-1]) + 1)]


def test_the_policy_names_the_supported_versions() -> None:
    project, page = RELEASE.project(), RELEASE.read("docs/versioning.md")
    assert f"CPython {project['requires-python'].removeprefix('>=')} and later" in page
    assert f"NumPy {project['dependencies'][0].removeprefix('numpy>=')} and later" in page


def test_the_conda_recipe_needs_what_the_package_needs() -> None:
    yaml = pytest.importorskip("yaml")
    recipe: dict[str, Any] = yaml.safe_load(RELEASE.read("conda/recipe.yaml"))
    project = RELEASE.project()
    needed = {name.replace(" ", "") for name in recipe["requirements"]["run"]}
    assert needed == {"python", *project["dependencies"]}
    (maturin,) = (name for name in recipe["requirements"]["host"] if name.startswith("maturin"))
    backend = re.search(r'requires = \["(maturin.*)"\]', RELEASE.read("pyproject.toml"))
    assert backend is not None
    assert maturin.replace(" ", "") == backend[1]
    assert recipe["about"]["license"] == project["license"]
    for name in recipe["about"]["license_file"]:
        assert (ROOT / name).exists()


def test_the_conda_recipe_runs_its_tests_where_they_are_copied_to() -> None:
    yaml = pytest.importorskip("yaml")
    (test,) = (
        test
        for test in yaml.safe_load(RELEASE.read("conda/recipe.yaml"))["tests"]
        if "files" in test
    )
    for name in test["files"]["source"]:  # copied with its folders
        assert (ROOT / name).exists()
        assert f"python {name}" in test["script"]


@pytest.mark.parametrize("zig", [True, False])
def test_one_script_builds_the_wheels(tmp_path: Path, zig: bool) -> None:
    (tmp_path / "ci").mkdir()
    script = tmp_path / "ci/build_wheel"
    shutil.copy(ROOT / "ci/build_wheel", script)
    tools = tmp_path / ".venv/bin"
    tools.mkdir(parents=True)
    for name, body in (("python", f"exit {0 if zig else 1}"), ("maturin", 'echo "$@"')):
        (tools / name).write_text(f"#!/bin/sh\n{body}\n")
        (tools / name).chmod(0o755)
    done = subprocess.run(
        [script, "dist", "--target", "x"], check=True, capture_output=True, text=True
    )
    portable = "--zig --compatibility manylinux2014 " if zig else ""
    assert done.stdout == f"build --release --out dist {portable}--target x\n"
    assert ("no zig" in done.stderr) is not zig


def test_checks_of_the_wheel_leave_wheels_for_other_systems_alone() -> None:
    makefile = RELEASE.read("Makefile")
    (pattern,) = re.findall(r"^WHEEL := (.*)$", makefile, re.M)
    pattern = pattern.replace("$(shell uname -m)", "x86_64")
    name = f"dist/transferability-{VERSION}-cp310-abi3-"
    assert fnmatch(f"{name}manylinux_2_17_x86_64.manylinux2014_x86_64.whl", pattern)
    assert fnmatch(f"{name}manylinux_2_36_x86_64.whl", pattern)  # built without zig
    assert not fnmatch(f"{name}musllinux_1_2_x86_64.whl", pattern)  # by `make check-musl`
    assert not fnmatch(f"{name}manylinux_2_17_aarch64.manylinux2014_aarch64.whl", pattern)
    assert "abi3-*" not in makefile
    assert "maturin build" not in makefile + RELEASE.read("ci/check_reproducible")


def test_licences_in_the_wheel_are_of_locked_crates() -> None:
    text = (ROOT / "LICENSES" / "Rust-crates.txt").read_text("utf-8")
    named = set(re.findall(r"^([a-z][\w-]*) (\d[\w.+-]*) \(.+\)$", text, re.MULTILINE))
    lock = (ROOT / "Cargo.lock").read_text("utf-8")
    locked = set(re.findall(r'^name = "(.+)"\nversion = "(.+)"$', lock, re.MULTILINE))
    assert len(named) > 20
    assert named - locked == set(), "run python ci/licences.py"


def test_the_citation_can_be_read() -> None:
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load(RELEASE.read("CITATION.cff"))
    assert {"cff-version", "message", "title", "authors", "version"} <= {*citation}
    assert " OR ".join(citation["license"]) == RELEASE.project()["license"]
    assert str(citation["version"]) == VERSION


def test_speeds_are_rows_of_the_benchmarks() -> None:
    table = """## LogME
| N x D x C | ours, ms | tllib, ms | times as fast |
|---|--:|--:|--:|
| 64x16x2 | 0.1 | 0.2 | 2 |
| 10000x768x100 | 54 | 1,179 | 21 |
| 50000x1024x10 | 3 | 4 | 1 |

## Latency
| N x D x C | metrics | ours, ms |
|---|---|--:|
| 64x16x2 | logme | 56 |
"""
    assert DERIVE.speed(table).splitlines() == [
        "| rows x features x classes | transferability | tllib |",
        "|---|--:|--:|",
        "| 64 x 16 x 2 | 0.1 | 0.2 |",
        "| 10,000 x 768 x 100 | 54 | 1,179 |",
        "| 50,000 x 1,024 x 10 | 3 | 4 |",
    ]
    assert DERIVE.speed(RELEASE.read("docs/benchmarks.md")) in RELEASE.read("README.md")


def test_the_picture_shows_what_the_command_prints() -> None:
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    drawing = load("draw_readme")
    with image.open(drawing.FILE) as picture:
        drawn = picture.info["Description"].splitlines()
        assert picture.width <= 2000
    printed = drawing.transcript().splitlines()
    assert len(printed) == len(drawn)
    for now, then in zip(printed, drawn, strict=True):
        assert SNAPSHOTS.is_alike(now, then), (now, then, "make picture")
    assert drawing.FILE.stat().st_size < 200_000
