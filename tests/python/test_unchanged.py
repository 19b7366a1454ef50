"""Models that are recognised as unchanged without opening them, and everything that changes one."""

from __future__ import annotations

import importlib.metadata
import os
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from transferability._util.cache import Cache
from transferability.models import _unchanged
from transferability.models._unchanged import (
    OpenedFiles,
    describe_opening,
    is_unchanged,
    name_facts,
    watch_files,
)

LATER = time.time() + 1e6  # of an opening: all files are old then


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a model, which refers to another folder and to code."""
    base, folder, code = tmp_path / "base", tmp_path / "model", tmp_path / "code"
    for path in (base, folder / "1_Pooling", code, tmp_path / "linked"):
        path.mkdir(parents=True)
    for path in (base / "config.json", folder / "config.json", folder / "1_Pooling/config.json"):
        path.write_text("{}")
    for path in (base / "weights", folder / "weights", tmp_path / "linked/weights"):
        path.write_text("01234567")
    (code / "help.py").write_text("")
    (code / "notes.txt").write_text("")
    (folder / "more").symlink_to(tmp_path / "linked")
    (folder / "blob").symlink_to(tmp_path / "blob-1")
    (tmp_path / "blob-1").write_text("abc")
    (tmp_path / "blob-2").write_text("abc")
    return folder


def evidence_of(model: Path, **changes: Any) -> Any:
    root = model.parent
    opened = {*map(str, (model / "config.json", root / "base/config.json", root / "code/help.py"))}
    seen = OpenedFiles(started=LATER, paths=opened | {"/proc/self/stat", os.__file__})
    for name, value in changes.items():
        setattr(seen, name, value)
    return describe_opening(f"hf:{model}", seen)


def rewrite(path: Path) -> None:
    """Write other bytes, of the same number and at the same time."""
    before = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def replace(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


CHANGES: dict[str, Callable[[Path], object]] = {
    "weights": lambda m: rewrite(m / "weights"),
    "a file of a part": lambda m: (m / "1_Pooling/config.json").write_text("{ }"),
    "a file more": lambda m: (m / "adapter_config.json").write_text("{}"),
    "a file less": lambda m: (m / "weights").unlink(),
    "another name": lambda m: (m / "weights").rename(m / "weights-1"),
    "a file in a linked folder": lambda m: rewrite(m.parent / "linked/weights"),
    "the target of a link": lambda m: replace(m / "blob", "../blob-2"),
    "weights beside a file that was read": lambda m: rewrite(m.parent / "base/weights"),
    "a file more beside it": lambda m: (m.parent / "base/more").write_text(""),
    "code": lambda m: (m.parent / "code/help.py").write_text("1"),
    "no folder": lambda m: m.rename(m.with_name("elsewhere")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_is_noticed(model: Path, change: Callable[[Path], object]) -> None:
    evidence = evidence_of(model)
    assert is_unchanged(evidence)
    (model.parent / "code/notes.txt").write_text("beside code")
    (model.parent / "beside.txt").write_text("beside the folder")
    assert is_unchanged(evidence)
    change(model)
    assert not is_unchanged(evidence)


def test_what_is_not_certain_is_no_evidence(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert evidence_of(model) is not None
    assert evidence_of(model, started=time.time()) is None  # files that have just been written
    assert evidence_of(model, has_program=True) is None
    assert evidence_of(model, has_network=True) is None
    monkeypatch.setattr(_unchanged, "_MAX_FILES", 3)
    assert evidence_of(model) is None


def test_a_model_without_files(tmp_path: Path) -> None:
    """Random weights come from no file; for another model, its file was just not heard of."""
    seen = OpenedFiles(started=LATER)
    assert is_unchanged(describe_opening("timm:resnet18?pretrained=false", seen) or {})
    assert is_unchanged(describe_opening("torchvision:resnet18?weights=none", seen) or {})
    assert describe_opening("timm:resnet18", seen) is None
    (tmp_path / "a.parquet").write_text("0123")
    evidence = describe_opening(f"features:{tmp_path}/a.parquet:column", seen)
    assert evidence is not None
    rewrite(tmp_path / "a.parquet")
    assert not is_unchanged(evidence)


def test_links_in_a_circle(model: Path) -> None:
    (model / "again").symlink_to(model)
    assert is_unchanged(evidence_of(model))


def test_names_of_models(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal for an unchanged model; another for all that is known before a file is read."""
    code = (
        lambda items: items,
        object(),
        "module:function",
        "hf:x?trust_remote_code=true",
        "a:b:c",
    )
    assert [name_facts(each) for each in code] == [None] * 5
    first = name_facts(f"hf:{model}")
    assert first == name_facts(f"hf:{model}") is not None
    others = [name_facts(f"st:{model}"), name_facts(f"hf:{model}?head=true")]
    monkeypatch.chdir(model.parent)
    relative = name_facts("hf:model")
    monkeypatch.chdir(model)
    others += [relative, name_facts("hf:model")]  # a folder, and a name on the hub
    for name in ("HF_HOME", "TORCH_HOME", "TRANSFORMERS_CACHE"):
        monkeypatch.setenv(name, "elsewhere")
        others.append(name_facts(f"hf:{model}"))
    real = importlib.metadata.version
    monkeypatch.setattr(importlib.metadata, "version", lambda name: real(name) + "+1")
    _unchanged._find_versions.cache_clear()
    others.append(name_facts(f"hf:{model}"))
    _unchanged._find_versions.cache_clear()
    monkeypatch.setattr(_unchanged, "_hash_own_code", lambda: "another version of this package")
    others.append(name_facts(f"hf:{model}"))
    assert all(one not in [first, *others[:i]] for i, one in enumerate(others))


def test_the_cache_beside_a_model_is_no_part_of_it(tmp_path: Path) -> None:
    """It is written after the model was opened; other folders count."""
    (tmp_path / "rows.npy").write_text("0123")
    cache = Cache(tmp_path)  # in the very folder of the model
    seen = OpenedFiles(started=LATER, paths={str(tmp_path / "rows.npy")})
    evidence = describe_opening(f"features:{tmp_path}/rows.npy", seen, cache.folders)
    assert evidence is not None
    cache.remember("a" * 40, {"model": 1})
    cache.put("b" * 40, {}, {"stats": b"123"})
    with cache.lock("c"):
        assert is_unchanged(evidence, cache.folders)
    rewrite(tmp_path / "rows.npy")
    assert not is_unchanged(evidence, cache.folders)
    (tmp_path / "vectors").mkdir()
    again = describe_opening(f"features:{tmp_path}/rows.npy", seen, cache.folders)
    (tmp_path / "vectors/1.bin").write_text("")
    assert again is not None
    assert not is_unchanged(again, cache.folders)


@pytest.mark.parametrize(
    ("error", "can_enter", "is_evidence"),
    [(PermissionError, False, True), (PermissionError, True, False), (OSError, False, False)],
    ids=["a closed folder", "one with names that are not listed", "one that is gone"],
)
def test_a_folder_that_cannot_be_listed(
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[OSError],
    can_enter: bool,
    is_evidence: bool,
) -> None:
    real, pooling = os.scandir, str(model / "1_Pooling")

    def scandir(path: str) -> Any:
        if path == pooling:
            raise error(path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "access", lambda path, mode: can_enter)
    assert (evidence_of(model) is not None) == is_evidence


def test_code_that_another_folder_may_hide(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With code of the user, the order of folders decides which file an import finds."""
    seen = OpenedFiles(started=LATER, paths={str(model / "config.json")})
    plain = describe_opening(f"hf:{model}", seen)
    code = evidence_of(model)
    assert plain is not None
    monkeypatch.setattr(sys, "path", [*sys.path, model])  # no text, so no import reads it
    assert is_unchanged(code)
    monkeypatch.syspath_prepend(str(model.parent))
    assert not is_unchanged(code)
    assert is_unchanged(plain)


A, B = "a" * 40, "b" * 40


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """The folder of a repository in the cache of the hub."""
    root = tmp_path / "hub/models--org--some-model"
    for path in (root / f"snapshots/{A}", root / "blobs", root / "refs"):
        path.mkdir(parents=True)
    (root / "refs/main").write_text(A)
    (root / "blobs/1").write_text("{}")
    (root / f"snapshots/{A}/config.json").symlink_to(root / "blobs/1")
    return root


def hub_evidence(hub: Path, name: str = "org/some-model", **changes: Any) -> Any:
    paths = {str(hub / "refs/main"), str(hub.parent / ".locks/models--org--some-model/1.lock")}
    seen = OpenedFiles(started=LATER, paths=paths | changes.get("more", set()), has_network=True)
    return describe_opening(f"hf:{name}", seen)


@pytest.mark.parametrize(
    "change",
    [
        lambda hub: (hub / "refs/main").write_text(B),
        lambda hub: rewrite(hub / "blobs/1"),
        lambda hub: (hub / f"snapshots/{A}/more").write_text(""),
    ],
    ids=["another commit", "another content", "a file more"],
)
def test_a_name_on_the_hub(hub: Path, change: Callable[[Path], object]) -> None:
    evidence = hub_evidence(hub)
    assert (evidence["repository"], evidence["commit"]) == ("org/some-model", A)
    assert is_unchanged(evidence)
    change(hub)
    assert not is_unchanged(evidence)


def test_a_name_on_the_hub_that_was_just_downloaded(hub: Path) -> None:
    """A repeated sweep does not open what the first one has downloaded: commits do not change."""
    seen = {"started": time.time() - 1, "paths": {str(hub / "refs/main")}, "has_network": True}
    evidence = describe_opening("hf:org/some-model", OpenedFiles(**seen))  # type: ignore[arg-type]
    assert evidence is not None
    assert is_unchanged(evidence)
    (hub / "refs/main").write_text(B)
    assert not is_unchanged(evidence)


def test_a_name_on_the_hub_that_depends_on_more(hub: Path) -> None:
    other = hub.with_name("models--org--base")
    (other / "refs").mkdir(parents=True)
    assert hub_evidence(hub, more={str(other / "refs/main")}) is None
    assert hub_evidence(hub, name="org/some-model@branch") is None  # which is not in the cache
    assert hub_evidence(hub, name=f"org/some-model@{A}")["commit"] == A


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A hub that can be reached: what it was asked, and what it answers."""
    state: dict[str, Any] = {"asked": [], "answer": A}

    class HfApi:
        def model_info(self, name: str, revision: str, timeout: float) -> Any:
            state["asked"].append((name, revision))
            if isinstance(state["answer"], Exception):
                raise state["answer"]
            return types.SimpleNamespace(sha=state["answer"])

    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.setitem(sys.modules, "huggingface_hub", types.SimpleNamespace(HfApi=HfApi))
    return state


def test_the_hub_is_asked_for_a_branch(hub: Path, asked: dict[str, Any]) -> None:
    evidence = hub_evidence(hub)
    assert is_unchanged(evidence)
    assert asked["asked"] == [("org/some-model", "main")]
    for answer in (B, None, OSError("no connection"), ValueError("no such repository")):
        asked["answer"] = answer
        assert not is_unchanged(evidence)
    asked["asked"].clear()
    assert is_unchanged(hub_evidence(hub, name=f"org/some-model@{A}"))  # a commit stays the same
    assert asked["asked"] == []


def test_opened_files_are_heard(tmp_path: Path) -> None:
    (tmp_path / "read").write_text("1")
    with watch_files() as seen:
        (tmp_path / "read").read_text()
        (tmp_path / "written").write_text("1")
        os.close(os.open(tmp_path / "read", os.O_RDONLY))
    (tmp_path / "written").read_text()
    assert seen.paths == {str(tmp_path / "read")}
    assert not seen.has_network
    assert not seen.has_program
    with watch_files() as seen:
        sys.audit("socket.connect", None, None)
        sys.audit("subprocess.Popen", "x", [], None, None)
    assert seen.has_network
    assert seen.has_program
