"""The cache: keys, atomic entries, damage, two processes at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from transferability import errors
from transferability._util.cache import Cache, compute_key, default_folder


def test_keys_follow_content_not_order() -> None:
    facts = {"model": "ab12", "layer": "block.3", "pool": "mean"}
    assert compute_key(facts) == compute_key(dict(reversed(facts.items())))
    assert compute_key(facts) != compute_key({**facts, "layer": "block.2"})
    assert compute_key(facts) != compute_key({**facts, "max_length": None})
    with pytest.raises(TypeError):
        compute_key({"model": object()})  # a repr with an address in it would never be found again


def test_what_is_put_is_found_by_another_cache(tmp_path: Path) -> None:
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    key = compute_key({"a": 1})
    assert Cache(tmp_path).get(key) is None
    Cache(tmp_path).put(key, {"name": "m"}, {"stats": b"abc", "features.npy": rows})
    entry = Cache(tmp_path).get(key, ("stats", "features.npy"))
    assert entry is not None
    assert entry.read("stats") == b"abc"
    assert entry.array("features.npy").dtype == np.float32
    np.testing.assert_array_equal(entry.array("features.npy"), rows)
    assert entry.meta["name"] == "m"
    assert entry.nbytes == 3 + entry.file("features.npy").stat().st_size
    assert Cache(tmp_path).get(key, ("outputs.npy",)) is None  # and it is still there
    assert Cache(tmp_path).keys() == (key,)


def test_putting_again_replaces(tmp_path: Path) -> None:
    cache, key = Cache(tmp_path), compute_key({"a": 1})
    old = cache.put(key, {}, {"stats": b"old", "more": b"x"})
    cache.put(key, {}, {"stats": b"new"})
    entry = cache.get(key)
    assert entry is not None
    assert entry.files == ("stats",)
    assert entry.read("stats") == b"new"
    assert old.read("stats") == b"old"  # who had it open reads on


@pytest.mark.parametrize("damage", ["flip", "cut", "lose", "meta", "emptied", "moved"])
def test_damage_is_found_and_removed(tmp_path: Path, damage: str) -> None:
    cache, key = Cache(tmp_path), compute_key({"a": 1})
    entry = cache.put(key, {}, {"stats": b"0123456789"})
    path, stats = entry.path, entry.file("stats")
    if damage == "flip":
        stats.write_bytes(b"0123456780")
    elif damage == "cut":
        stats.write_bytes(b"01234")
    elif damage == "lose":
        stats.unlink()
    elif damage == "meta":
        (path / "meta.json").write_text("{")
    elif damage == "emptied":
        (path / "meta.json").unlink()
    else:  # another model's entry, put under this name by hand
        other = cache.put(compute_key({"a": 2}), {}, {"stats": b"other"}).path
        cache.remove(key)
        other.rename(path)
    assert list(cache.verify()) == [key]
    assert cache.keys() == (key,)  # verify only looks
    assert cache.get(key) is None
    if damage != "emptied":  # which is also what is being written now
        assert list(cache.damaged) == [key]
        assert cache.keys() == ()
    cache.put(key, {}, {"stats": b"0123456789"})
    assert cache.verify() == {}


def test_what_a_killed_process_left_is_not_read(tmp_path: Path) -> None:
    cache, key, half = Cache(tmp_path), compute_key({"a": 1}), compute_key({"a": 2})
    entry = cache.put(key, {}, {"stats": b"1"})
    (entry.path / ".0").write_bytes(b"half")
    (tmp_path / "v1" / half).mkdir()
    (tmp_path / "v1" / half / ".0").write_bytes(b"half")
    assert [each.key for each in cache.entries()] == [key]
    assert cache.get(key) is not None
    assert cache.get(half) is None
    assert cache.put(half, {}, {"stats": b"2"}).read("stats") == b"2"


def test_writing_that_fails_leaves_nothing(tmp_path: Path) -> None:
    cache, key = Cache(tmp_path), compute_key({"a": 1})
    with pytest.raises(TypeError):
        cache.put(key, {}, {"stats": b"1", "wrong": 3})
    assert cache.get(key) is None
    assert list(cache.entries()) == []


def test_remove_and_clear(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    keys = [compute_key({"a": i}) for i in range(3)]
    for key in keys:
        cache.put(key, {}, {"stats": b"1"})
    assert cache.remove(keys[0])
    assert not cache.remove(keys[0])
    assert cache.clear() == 2
    assert cache.keys() == ()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(errors.DataError, match="which is a file; give a folder"):
        Cache(tmp_path / "x")


def test_default_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TRANSFERABILITY_CACHE", raising=False)
    assert default_folder() == tmp_path / "transferability"
    monkeypatch.setenv("TRANSFERABILITY_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"
    assert not (tmp_path / "own").exists()  # made when something is written


_WRITER = """
import sys
from transferability._util.cache import Cache
root, key, letter, times = sys.argv[1:]
cache = Cache(root)
for _ in range(int(times)):
    cache.put(key, {}, {"stats": letter.encode() * 20000})
    entry = cache.get(key)
    content = entry.read("stats")
    assert len(set(content)) == 1 and len(content) == 20000, "two writers were mixed"
assert not cache.damaged, cache.damaged
"""


def test_two_processes_write_one_entry(tmp_path: Path) -> None:
    key = compute_key({"a": 1})
    command = [sys.executable, "-c", _WRITER, str(tmp_path), key]
    writers = [
        subprocess.Popen([*command, letter, "60"], stderr=subprocess.PIPE) for letter in "ab"
    ]
    errors_of = [writer.communicate()[1].decode() for writer in writers]
    assert errors_of == ["", ""]
    entry = Cache(tmp_path).get(key)
    assert entry is not None
    assert entry.read("stats")[:1] in (b"a", b"b")
    assert not list((tmp_path / "v1" / key).glob(".*"))


_HOLDER = """
import sys, time
from transferability._util.cache import Cache
with Cache(sys.argv[1]).lock("x"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_waits_and_dies_with_its_holder(tmp_path: Path) -> None:
    filelock = pytest.importorskip("filelock")
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        other = filelock.FileLock(tmp_path / "locks" / "x.lock")
        with pytest.raises(filelock.Timeout):
            other.acquire(timeout=0.2)
    finally:
        holder.kill()  # as kill -9 does
        holder.wait()
        holder.stdout.close()
    start = time.monotonic()
    with Cache(tmp_path).lock("x"):
        assert time.monotonic() - start < 20


def test_descriptions_are_plain_json(tmp_path: Path) -> None:
    entry = Cache(tmp_path).put("00" * 20, {"name": "m", "layer": "l"}, {"stats": b"1"})
    meta = json.loads((entry.path / "meta.json").read_text())
    assert meta["name"] == "m"
    assert meta["key"] == "00" * 20
    assert meta["files"]["stats"]["size"] == 1
