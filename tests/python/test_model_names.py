"""How models are named, and what is said where a library is missing: no torch is needed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from transferability import DataError, MissingDependencyError, models
from transferability.cli import main
from transferability.models._spec import ModelSpec, parse_spec

NAMES = st.from_regex(r"[a-z][a-z0-9_./-]{0,12}", fullmatch=True)
OPTIONS = st.dictionaries(
    st.from_regex(r"[a-z_]{1,8}", fullmatch=True), st.text(min_size=1, max_size=8), max_size=3
)


@given(st.sampled_from(sorted(models.SCHEMES)), NAMES, OPTIONS, st.booleans())
def test_names_are_read_as_they_are_written(
    scheme: str, name: str, options: dict[str, str], pinned: bool
) -> None:
    revision = "v1.0" if pinned and scheme in ("hf", "st") else None
    spec = ModelSpec(scheme, name, revision, options)
    assert parse_spec(str(spec), models.SCHEMES) == spec


def test_signs_in_paths_are_no_options(tmp_path: Path) -> None:
    path = tmp_path / "a@b?c=d"
    path.mkdir()
    assert parse_spec(f"hf:{path}", models.SCHEMES) == ModelSpec("hf", str(path))
    assert parse_spec("hf:org/name@abc?head=true", models.SCHEMES) == ModelSpec(
        "hf", "org/name", "abc", {"head": "true"}
    )
    assert parse_spec("pkg.mod:make?size=3", models.SCHEMES) == ModelSpec(
        "", "pkg.mod:make", None, {"size": "3"}
    )
    for pattern in ("x_?.npy", "x_?.h5", "x_?.npz:y", "run_?/1", "x?", "a?_?.pt"):
        assert parse_spec(f"features:{pattern}", models.SCHEMES) == ModelSpec("features", pattern)
    with pytest.raises(DataError, match="'pretrained' is not option=value"):
        parse_spec("timm:resnet18?pretrained", models.SCHEMES)


@pytest.mark.parametrize(
    ("spec", "package"),
    [
        ("timm:resnet18", "timm"),
        ("hf:bert-base-uncased", "transformers"),
        ("st:all-MiniLM-L6-v2", "sentence_transformers"),
        ("torchvision:resnet18", "torchvision"),
    ],
)
def test_what_is_missing_is_named(spec: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=rf"needs {package}: pip install 'transfer"):
        models.open_model(spec)


@pytest.mark.parametrize("spec", ["timn:resnet18", "resnet18", "no such thing", "a:b:c"])
def test_unknown_sources_are_listed(spec: str) -> None:
    with pytest.raises(DataError, match=", ".join(models.SCHEMES)):
        models.open_model(spec)
    if spec != "timn:resnet18":
        with pytest.raises(DataError, match=", ".join(models.SCHEMES)):
            models.expand(spec)


def test_importing_is_light() -> None:
    heavy = "{'torch', 'timm', 'transformers', 'torchvision', 'onnxruntime', 'PIL'}"
    code = f"import sys, transferability.models; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


def test_help_lists_every_source() -> None:
    pages = [CliRunner().invoke(main, [command, "--help"]).output for command in ("rank", "layers")]
    for source in models.SOURCES:
        assert source.title in (models.__doc__ or "")
        assert all(source.usage in " ".join(page.split()) for page in pages)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"scheme": "a:b"}, "scheme is 'a:b'"), ({"options": ("pool",)}, "'pool', which all have")],
)
def test_a_wrong_source_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(models.SCHEMES["onnx"], **changes)
