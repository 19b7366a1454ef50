"""A crash names the items that were in flight: those that threads read, and those that ran."""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import transferability as tx
from transferability._data.data import Data, FileNames, LazyItems, Subset
from transferability._sweep.in_flight import RUNNING, ItemMarks, create_marks, describe_marks

HERE = Path(__file__).parent
DATA = Data("array", list(range(200)), [0] * 200)


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if str(HERE) not in sys.path:
        monkeypatch.syspath_prepend(str(HERE))


def test_marks_are_there_while_they_last() -> None:
    with create_marks() as file:
        marks = ItemMarks(file)
        assert describe_marks(file, DATA) == ""
        with marks.mark([3]), marks.mark(range(32, 64), RUNNING):
            assert describe_marks(file, DATA) == "reading data[3] and running data[32] to data[63]"
        assert describe_marks(file, DATA) == ""
        with pytest.raises(ValueError, match="broken"), marks.mark([5]):
            raise ValueError("broken")
        assert describe_marks(file, DATA) == ""
    assert not os.path.exists(file)


def test_an_item_says_more_than_the_batch_around_it() -> None:
    with create_marks() as file:
        marks = ItemMarks(file)
        with marks.mark(range(32)), marks.mark([7]), marks.mark([40]):
            assert describe_marks(file, DATA) == "reading data[7], data[40]"


def test_many_marks_are_counted_and_more_than_there_is_room_for_are_left_out() -> None:
    with create_marks() as file:
        marks = ItemMarks(file)
        contexts = [marks.mark([i]) for i in range(150)]
        for context in contexts:
            context.__enter__()
        text = describe_marks(file, DATA)
        assert text == "reading data[0], data[1], data[2] and 125 more"
        for context in contexts:
            context.__exit__(None, None, None)
        assert describe_marks(file, DATA) == ""


def test_threads_mark_beside_each_other() -> None:
    with create_marks() as file:
        marks, barrier = ItemMarks(file), threading.Barrier(5)

        def work(start: int) -> None:
            for i in range(start, start + 20):
                with marks.mark([i]):
                    pass
            with marks.mark([start]):
                barrier.wait()
                barrier.wait()

        threads = [threading.Thread(target=work, args=(20 * k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        barrier.wait()
        assert describe_marks(file, DATA) == "reading data[0], data[20], data[40] and 1 more"
        barrier.wait()
        for thread in threads:
            thread.join()
        assert describe_marks(file, DATA) == ""


def test_without_a_file_nothing_is_marked() -> None:
    with ItemMarks().mark([1]):
        pass


def test_rows_are_named_by_their_files(tmp_path: Path) -> None:
    names = FileNames(["a.png", "b.png"], tmp_path)
    assert Data("image", names, [0, 1]).describe_row(1) == f"data[1] ({tmp_path / 'b.png'})"
    drawn = Data("image", Subset(names, [1]), [1])
    assert drawn.describe_row(0) == f"data[1] ({tmp_path / 'b.png'})"

    def refuse(entry: Any) -> Any:
        raise AssertionError("it must not be decoded again")

    paths = [tmp_path / "c.png", tmp_path / "d.png"]
    folder = LazyItems(paths, refuse)
    assert Data("image", folder, [0, 1]).describe_row(0) == f"data[0] ({tmp_path / 'c.png'})"
    rows = Data("image", LazyItems((1, 2), refuse), [0, 1])
    assert rows.describe_row(1) == "data[1]"


class Deadly:
    """Items of which one kills a process other than this one that reads it."""

    def __init__(self, row: int, n: int = 120) -> None:
        self.x = np.random.default_rng(0).normal(size=(n, 12)).astype(np.float32)
        self.row, self.parent = row, os.getpid()

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        if not 0 <= i < len(self.x):
            raise IndexError(i)
        if i == self.row and os.getpid() != self.parent:
            signal.raise_signal(signal.SIGSEGV)  # of this thread, as a crash
        return self.x[i]


def test_a_crash_in_reading_names_the_item(tmp_path: Path) -> None:
    items = Deadly(77)
    labels = np.arange(len(items)) % 2
    names = ["sweep_models:good", "sweep_models:good?seed=1"]
    ranking = tx.rank_models(names, (items, labels), cache=tmp_path, batch_size=16)
    for name in names:
        error = str(ranking[name].error)
        assert "killed by signal 11 (SIGSEGV), while extracting, after" in error
        assert "reading data[77]" in error
        assert "data[64]" not in error.partition("reading")[2].partition(" and running")[0]
    assert not [*tmp_path.glob("transferability-*")]


def crash_on_red(items: list[Any]) -> torch.Tensor:
    """Decode pictures, as a native decoder that crashes on one of them."""
    pictures = [np.asarray(item, dtype=np.float32) for item in items]
    if any(picture[0, 0, 0] == 255 for picture in pictures):
        signal.raise_signal(signal.SIGBUS)
    return torch.from_numpy(np.stack(pictures)).mean(dim=(1, 2)) / 255


class Crasher(nn.Module):
    """A model of pictures."""

    kind = "image"

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Any) -> Any:
        return self.head(x)


def test_a_crash_in_preprocessing_names_the_files_of_the_batch(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(24):
        folder = tmp_path / "pictures" / "ab"[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture = rng.integers(0, 255, size=(8, 8, 3)).astype(np.uint8)
        picture[0, 0, 0] = 255 if i == 20 else 0
        Image.fromarray(picture).save(folder / f"{i:02}.png")
    import test_in_flight as module  # as which the process of the model imports it

    model = (module.Crasher(), module.crash_on_red)
    ranking = tx.rank_models(
        {"crasher": model}, tmp_path / "pictures", cache=tmp_path / "cache", batch_size=4
    )
    error = str(ranking[0].error)
    assert "killed by signal 7 (SIGBUS)" in error
    assert f"reading data[8] ({tmp_path / 'pictures' / 'a' / '16.png'}) to data[11] (" in error


def test_a_crash_in_the_forward_pass_names_the_batch(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    row = tx.rank_models("sweep_models:crashes", (x, x[:, 0] > 0), cache=tmp_path, batch_size=16)[0]
    assert "running data[0] to data[15]" in str(row.error)
