"""Recognise a named model that has not changed since it was opened, without opening it.

The fingerprint of a model is a hash of its weights, which takes loading them. This module records
the files that a model was opened from, by an audit hook, and their sizes and times. If nothing of
that has changed, the fingerprint has not either. Whatever is not certain counts as changed:

- models that are code: functions, modules, and ``trust_remote_code``;
- a name on a hub, unless it is a commit, nothing is downloaded, or the hub says that the branch
  still has the same commit;
- files that changed shortly before the model was opened, as clocks of file systems are coarse;
- other versions of libraries, other environment variables of theirs, other code of this package.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import itertools
import os
import re
import sys
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DataError
from ._installed import is_installed
from ._loading import is_offline
from ._sources import find_source
from ._spec import ModelSpec

__all__ = ["OpenedFiles", "describe_opening", "is_unchanged", "name_facts", "watch_files"]

#: Files must be older than this when a model is opened, in seconds.
_SETTLED = 2.0
#: Maximum number of files that are examined for one model.
_MAX_FILES = 20_000
#: Distributions whose versions may change features.
_DISTRIBUTIONS = (
    *("numpy", "pillow", "torch", "torchvision", "timm", "transformers", "sentence-transformers"),
    *("tokenizers", "safetensors", "huggingface-hub", "onnx", "onnxruntime", "peft"),
    *("chronos-forecasting", "momentfm"),
    "transferability",
)
#: Beginnings of the environment variables that libraries read when they open models.
_VARIABLES = (
    *("HF_", "HUGGINGFACE_", "PYTORCH_", "SENTENCE_TRANSFORMERS_", "TIMM_", "TORCH_"),
    *("TRANSFORMERS_", "USE_", "HOME", "XDG_CACHE_HOME"),
)
_SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
_COMMIT = re.compile("[0-9a-f]{40}")
_REPOSITORY = re.compile(r"(?P<root>.*/models--(?P<name>[^/]+))/")
#: Folder of this package, whose version and modules are part of the name of a model.
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LOCKS = "/.locks/"
_CODE = (".py", ".pyc", ".so", ".pyd")
_PATIENCE = 5.0  # seconds
_NETWORK = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")
_PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")


@dataclass
class OpenedFiles:
    """Record of the actions of a process while it opened a model."""

    started: float = field(default_factory=time.time)
    paths: set[str] = field(default_factory=set)
    has_network: bool = False
    has_program: bool = False


_watching: OpenedFiles | None = None


@functools.cache
def _install_hook() -> None:
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Record an audit event while files are watched."""
    if _watching is None:
        return
    if event == "open":
        path, _, flags = arguments
        is_read = not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR)
        if is_read and isinstance(path, (str, bytes, os.PathLike)):
            with suppress(OSError, ValueError):
                _watching.paths.add(os.path.abspath(os.fsdecode(path)))
    elif event in _NETWORK:
        _watching.has_network = True
    elif event in _PROGRAMS:
        _watching.has_program = True


@contextmanager
def watch_files() -> Iterator[OpenedFiles]:
    """Record the files that are opened inside the block; for a process of one model.

    An audit hook cannot be removed, so this is not for the process of a user.
    """
    global _watching
    _install_hook()
    _watching = OpenedFiles()
    try:
        yield _watching
    finally:
        _watching = None


def name_facts(model: object) -> dict[str, Any] | None:
    """Return what tells a named model apart before any file is read; None if it is code."""
    if not isinstance(model, (str, os.PathLike)):
        return None
    try:
        spec, _ = find_source(os.fspath(model))
        if not spec.scheme or spec.flag("trust_remote_code", False):
            return None
    except DataError:
        return None
    return {
        "spec": str(spec),
        "paths": _named_paths(spec),
        "versions": _find_versions(tuple(map(_stamp_folder, sys.path))),
        "code": _hash_own_code(),
        "environment": {k: v for k, v in os.environ.items() if k.startswith(_VARIABLES)},
    }


def describe_opening(
    model: str, seen: OpenedFiles, without: Collection[str] = ()
) -> dict[str, Any] | None:
    """Return the evidence from which :func:`is_unchanged` decides; None if there is none.

    Folders `without` meaning for models, such as those of the cache, are passed over.
    """
    spec, _ = find_source(model)
    if seen.has_program or "@" in spec.name:
        return None
    trees, folders, files = _select_paths(spec, seen.paths)
    stamps, newest = _stamp_all(trees, folders, files, without)
    if stamps is None or newest > seen.started - _SETTLED:
        return None
    found = {match["root"]: match["name"] for path in seen.paths if (match := _in_hub(path))}
    repository, revision, commit = None, spec.revision or "main", None
    if found:
        ((root, name), *others) = found.items()
        repository, commit = name.replace("--", "/", 1), _read_commit(root, revision)
        if others or commit is None:
            return None
    elif seen.has_network or not (trees or folders or _has_random_weights(spec)):
        return None
    places = {"trees": trees, "folders": folders, "files": files, "stamps": stamps}
    code = {"path": _read_path() if files else None}  # where the same import finds other files
    return {**places, **code, "repository": repository, "revision": revision, "commit": commit}


def is_unchanged(evidence: Mapping[str, Any], without: Collection[str] = ()) -> bool:
    """Return whether a model that was opened with this evidence would be the same if opened now."""
    trees, folders, files = (evidence[kind] for kind in ("trees", "folders", "files"))
    if evidence["path"] not in (None, _read_path()):
        return False
    stamps, _ = _stamp_all(trees, folders, files, without)
    if stamps is None or stamps != evidence["stamps"]:
        return False
    repository, revision = evidence["repository"], evidence["revision"]
    if repository is None or is_offline() or _COMMIT.fullmatch(revision):
        return True
    return bool(_ask_commit(repository, revision) == evidence["commit"])


def _read_path() -> list[str]:
    """Return the folders in which imports look for code of the user."""
    paths: list[object] = [*sys.path]
    entries = (os.path.abspath(entry) + os.sep for entry in paths if isinstance(entry, str))
    return [entry for entry in entries if not is_installed(entry)]


def _named_paths(spec: ModelSpec) -> list[str]:
    """Return the existing paths among the name and the options of a model."""
    scheme, _, rest = spec.name.partition(":")  # "local-dir:PATH" of timm, "FILE:ARRAY"
    named = (spec.name, scheme, rest, *spec.options.values())
    return sorted({os.path.abspath(path) for path in named if path and os.path.exists(path)})


def _has_random_weights(spec: ModelSpec) -> bool:
    """Return whether a model is read from no file, but drawn with a fixed seed."""
    return not spec.flag("pretrained", True) or (spec.text("weights") or "").lower() == "none"


def _select_paths(spec: ModelSpec, opened: Iterable[str]) -> tuple[list[str], list[str], list[str]]:
    """Return trees, folders without what is below them, and files that determine a model.

    Native code opens files unheard, such as weights, so the files beside those that Python has
    opened count too. Code counts alone.
    """
    named = _named_paths(spec)
    trees = {path if os.path.isdir(path) else os.path.dirname(path) for path in named}
    folders, files = set(), set()
    for path in opened:
        if match := _in_hub(path):
            trees |= {os.path.join(match["root"], part) for part in ("refs", "snapshots")}
        elif path.startswith((*_SYSTEM, _PACKAGE)) or _LOCKS in path or is_installed(path):
            continue
        elif path.endswith(_CODE):
            files.add(_find_source_file(path))
        elif os.path.isfile(path):
            folders.add(os.path.dirname(path))
    return sorted(trees), sorted(folders), sorted(files)


def _find_source_file(path: str) -> str:
    """Return the source of a file with compiled code, which appears and vanishes without it."""
    with suppress(ValueError):
        return importlib.util.source_from_cache(path)
    return path


def _stamp_all(
    trees: Iterable[str], folders: Iterable[str], files: Iterable[str], without: Collection[str]
) -> tuple[str | None, float]:
    """Return a hash of the names, sizes and times of all files, and the latest time.

    The hash is None if there are too many files, or one cannot be examined. The time leaves out
    repositories of the hub, whose files are never written again.
    """
    state, newest = hashlib.blake2b(digest_size=20), 0.0
    places = [(path, True) for path in trees] + [(path, False) for path in folders]
    found = (file for path, is_deep in places for file in _walk(path, is_deep, set(), without))
    try:
        for i, path in enumerate(itertools.chain(found, files)):
            if i >= _MAX_FILES:
                return None, newest
            status = os.stat(path)
            times = status.st_mtime_ns, status.st_ctime_ns
            state.update(repr((path, status.st_size, status.st_ino, *times)).encode())
            if not _in_hub(path):
                newest = max(newest, *(time / 1e9 for time in times))
    except OSError:
        return None, newest
    return state.hexdigest(), newest


def _walk(folder: str, is_deep: bool, above: set[str], without: Collection[str]) -> Iterator[str]:
    """Iterate over the files in a folder, sorted; links are followed once."""
    real = os.path.realpath(folder)
    if real in above or not os.path.isdir(real):
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except PermissionError:
        if os.access(folder, os.X_OK):  # files in it can be read by name
            raise
        return
    for entry in entries:
        if not entry.is_dir():
            yield entry.path
        elif is_deep and os.path.realpath(entry.path) not in without:
            yield from _walk(entry.path, True, above | {real}, without)


def _in_hub(path: str) -> re.Match[str] | None:
    """Find the folder of a repository in the cache of the hub that a path belongs to."""
    return None if _LOCKS in path else _REPOSITORY.match(path)


def _read_commit(root: str, revision: str) -> str | None:
    """Return the commit of a branch of a repository in the cache of the hub."""
    if _COMMIT.fullmatch(revision):
        return revision
    with suppress(OSError):
        return Path(root, "refs", revision).read_text().strip()
    return None


def _ask_commit(repository: str, revision: str) -> str | None:
    """Ask the hub for the commit of a branch; None if it does not answer."""
    with suppress(Exception):  # whatever is wrong, the model is opened, which says what it is
        hub = importlib.import_module("huggingface_hub")
        return str(hub.HfApi().model_info(repository, revision=revision, timeout=_PATIENCE).sha)
    return None


def _stamp_folder(path: str) -> tuple[str, int]:
    """Return a folder of packages and the time at which one was installed or removed."""
    try:
        return path, os.stat(path).st_mtime_ns
    except OSError:
        return path, 0


@functools.lru_cache(maxsize=1)
def _find_versions(folders: tuple[tuple[str, int], ...]) -> dict[str, str]:
    """Return the versions of Python and of the libraries in the folders."""
    found = {"python": sys.version}
    for name in _DISTRIBUTIONS:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


@functools.cache
def _hash_own_code() -> str:
    """Hash the modules that open models."""
    state = hashlib.blake2b(digest_size=20)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    return state.hexdigest()
