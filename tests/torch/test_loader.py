"""Batches prepared ahead in threads: same bits, same order, bounded memory, errors by row."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import transferability as tx
from transferability import models
from transferability._data.data import FileNames, LazyItems, Subset, is_thread_safe
from transferability._data.pictures import open_picture
from transferability._data.read import read_data
from transferability._sweep.batches import RowBatch
from transferability._sweep.loader import count_workers, prepare, seeded, stack_named
from transferability.errors import DataError, DtypeError

WORKERS = [None, 1, 2, 5]
MODELS = ["timm:test_vit?pretrained=false", "torchvision:squeezenet1_1?weights=none"]


def batches(n: int, size: int = 1) -> Generator[RowBatch, None, None]:
    for start in range(0, n, size):
        yield RowBatch(range(start, start + size))


def run(n: int, collate: Any, n_workers: int | None) -> list[tuple[list[int], Any]]:
    with closing(prepare(batches(n), collate, n_workers)) as prepared:
        return [(list(batch.rows), ready) for batch, ready in prepared]


def alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "transferability-p" in thread.name]


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Give a folder of 40 pictures of several sizes, modes and formats, in two classes."""
    rng = np.random.default_rng(0)
    for i in range(40):
        shape = (int(rng.integers(40, 90)), int(rng.integers(40, 90)), 3)
        pixels = rng.integers(0, 255, size=shape).astype(np.uint8)
        pixels[:, :, i % 2] //= 3
        folder = tmp_path / "pictures" / ("a", "b")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        mode = ("RGB", "L", "RGBA")[i % 3]
        suffix = ("jpg", "png")[mode == "RGBA" or i % 2]
        Image.fromarray(pixels).convert(mode).save(folder / f"{i:02}.{suffix}")
    return tmp_path / "pictures"


# --- order, look-ahead, end ---------------------------------------------------------------------


@pytest.mark.parametrize("n_workers", WORKERS)
def test_batches_come_in_order(n_workers: int | None) -> None:
    def collate(batch: RowBatch) -> int:
        time.sleep(0.004 * (batch.rows[0] % 3))  # some take longer than those after them
        return batch.rows[0] ** 2

    assert run(20, collate, n_workers) == [([i], i**2) for i in range(20)]
    assert alive() == []


@pytest.mark.parametrize("n_workers", WORKERS)
def test_no_more_batches_are_prepared_than_there_are_threads(n_workers: int | None) -> None:
    taken = most = 0
    lock = threading.Lock()
    started = 0

    def collate(batch: RowBatch) -> None:
        nonlocal started, most
        with lock:
            started += 1
            most = max(most, started - taken)

    with closing(prepare(batches(30), collate, n_workers)) as prepared:
        for _ in prepared:
            with lock:
                taken += 1
            time.sleep(0.003)
    assert started == 30
    # Beside those ahead, one that is in use, and one that is taken and not counted yet.
    assert most <= (n_workers or 1) + 1


def test_several_batches_are_prepared_at_once() -> None:
    meeting = threading.Barrier(3, timeout=30)  # breaks unless three threads arrive

    def collate(batch: RowBatch) -> int:
        meeting.wait()
        return batch.rows[0]

    assert [ready for _, ready in run(9, collate, 3)] == list(range(9))


@pytest.mark.parametrize("n_workers", WORKERS)
def test_an_error_of_the_plan_is_raised_in_its_turn(n_workers: int | None) -> None:
    def plan() -> Generator[RowBatch, None, None]:
        yield from batches(3)
        raise DataError("no more rows")

    prepared = prepare(plan(), lambda batch: batch.rows[0], n_workers)
    assert [next(prepared)[1] for _ in range(3)] == [0, 1, 2]
    with pytest.raises(DataError, match="no more rows"):
        next(prepared)


@pytest.mark.parametrize("n_workers", WORKERS)
@pytest.mark.parametrize("error", [MemoryError, ValueError, DataError])
def test_a_batch_that_fails_in_a_thread_has_no_input(n_workers: int | None, error: Any) -> None:
    def collate(batch: RowBatch) -> int:
        if batch.rows[0] % 4 == 1:
            raise error("it fails")
        return batch.rows[0]

    expected = [([i], None if i % 4 == 1 else i) for i in range(12)]
    assert run(12, collate, n_workers) == expected


@pytest.mark.parametrize("n_workers", WORKERS)
@pytest.mark.parametrize("n_taken", [0, 1, 7])
def test_an_early_end_stops_the_threads(n_workers: int | None, n_taken: int) -> None:
    begun, is_closed = [], threading.Event()

    def plan() -> Generator[RowBatch, None, None]:
        try:
            yield from batches(1000)
        finally:
            is_closed.set()

    def collate(batch: RowBatch) -> int:
        begun.append(batch.rows[0])
        return batch.rows[0]

    prepared = prepare(plan(), collate, n_workers)
    for _ in range(n_taken):
        next(prepared)
    prepared.close()
    assert alive() == []
    assert len(begun) <= n_taken + (n_workers or 1) + 1
    assert is_closed.is_set() or n_taken == 0  # it had not begun


def test_no_batches_are_no_batches() -> None:
    assert run(0, lambda batch: batch, 2) == []


# --- threads ------------------------------------------------------------------------------------


def test_torch_is_serial_in_the_threads_that_share_the_cores_and_nowhere_else() -> None:
    torch.set_num_threads(3)
    assert {n for _, n in run(8, lambda batch: torch.get_num_threads(), 2)} == {1}
    assert torch.get_num_threads() == 3
    assert {n for _, n in run(8, lambda batch: torch.get_num_threads(), None)} == {3}


@pytest.mark.parametrize(("given", "expected"), [(1, 1), (3, 3), (100, 8)])
def test_the_number_of_threads_is_the_users(given: int, expected: int) -> None:
    assert count_workers(True, given) == expected
    assert count_workers(False, given) is None
    assert 1 <= (count_workers(True, None) or 0) <= 8


def test_the_number_of_threads_is_by_default_that_of_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TRANSFERABILITY_NUM_THREADS", "3")
    assert count_workers(True, None) == 3
    monkeypatch.delenv("TRANSFERABILITY_NUM_THREADS")
    monkeypatch.delattr("os.sched_getaffinity")  # as on macOS and Windows
    assert 1 <= (count_workers(True, None) or 0) <= 8


def test_threads_that_cannot_start_leave_none_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    start, n_started = threading.Thread.start, 0

    def fail_late(thread: threading.Thread) -> None:
        nonlocal n_started
        n_started += thread.name.startswith("transferability-prepare")
        if n_started == 3:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", fail_late)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run(9, lambda batch: batch, 4)
    assert alive() == []


def test_only_files_and_arrays_are_read_by_several_threads(pictures: Path) -> None:
    class Own(torch.utils.data.Dataset[Any]):
        def __getitem__(self, i: int) -> Any:
            return (np.zeros(3), i % 2)

        def __len__(self) -> int:
            return 4

    folder = read_data(pictures)
    paths = [str(path) for path in sorted(pictures.rglob("*.*"))]
    assert is_thread_safe(folder.items)
    assert is_thread_safe(folder.sample(5, 0).items)
    assert is_thread_safe(read_data((paths, [0, 1] * 20)).items)
    assert is_thread_safe(read_data((np.zeros((4, 3)), [0, 1, 0, 1])).items)
    assert not is_thread_safe(read_data(Own()).items)
    assert not is_thread_safe(Subset(read_data(Own()).items, [0]))
    one = open_picture(paths[0])
    assert not is_thread_safe([one] * 2)
    assert not is_thread_safe(read_data([(one, 0), (one, 1)]).items)
    assert not is_thread_safe(read_data((np.array([one, one, 0], object)[:2], [0, 1])).items)
    cells = [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]
    assert is_thread_safe(read_data({"image": cells, "label": [0, 1] * 20}).items)
    assert isinstance(read_data((paths, [0, 1] * 20)).items, FileNames)


class Shared:
    """A data set that breaks if two threads read from it at once."""

    def __init__(self, n: int) -> None:
        self.n, self.n_inside = n, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> Any:
        self.n_inside += 1
        time.sleep(0.002)
        if self.n_inside != 1:
            raise RuntimeError("read by two threads")
        self.n_inside -= 1
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        pixels[:, :, i % 2] //= 3
        return Image.fromarray(pixels), i % 2


def test_a_users_data_set_is_read_by_one_thread_at_a_time() -> None:
    options = {"cache": False, "isolate": False, "device": "cpu", "batch_size": 2}
    ranking = tx.rank_models(MODELS[:1], Shared(24), n_threads=4, **options)
    assert not ranking.failed


class Random:
    """A data set that draws noise as it is read, and takes its time."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> Any:
        time.sleep(0.002)  # another thread runs
        pixels = np.random.default_rng(i).integers(0, 200, (40, 40, 3))
        pixels[:, :, i % 2] //= 3
        noise = torch.randint(0, 50, (40, 40, 3)).numpy()
        return Image.fromarray((pixels + noise).astype(np.uint8)), i % 2


def test_a_random_data_set_is_the_same_for_any_number_of_threads() -> None:
    options = {"cache": False, "isolate": False, "device": "cpu", "batch_size": 4}
    scores = [
        float(tx.rank_models(MODELS[0], Random(), n_threads=n, **options)[0].logme)
        for n in (1, 4, 4)
    ]
    assert scores[0] == scores[1] == scores[2]


@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_one_thread_reads_in_order_what_several_prepare(n_workers: int) -> None:
    names, order = set(), []

    def read(batch: RowBatch) -> list[int]:
        names.add(threading.current_thread().name)
        order.extend(batch.rows)
        time.sleep(0.001)
        return [row**2 for row in batch.rows]

    def collate(batch: RowBatch, items: list[int]) -> int:
        time.sleep(0.004 * (batch.rows[0] % 3))
        return sum(items)

    with closing(prepare(batches(20), collate, n_workers, read)) as prepared:
        found = [ready for _, ready in prepared]
    assert found == [i**2 for i in range(20)]
    assert order == list(range(20))
    assert len(names) == 1


class Odd:
    """A data set of pictures of which one cannot be read, after the labels are."""

    n_read = 0

    def __len__(self) -> int:
        return 24

    def __getitem__(self, i: int) -> Any:
        self.n_read += 1
        if i == 7 and self.n_read > 48:  # labels and digest are read before
            raise KeyError("seven")
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3)).astype(np.uint8)
        return Image.fromarray(pixels), i % 2


def test_an_item_that_cannot_be_read_is_named_by_its_row() -> None:
    options = {"cache": False, "isolate": False, "device": "cpu", "n_threads": 2}
    row = tx.rank_models(MODELS[0], Odd(), **options)[0]
    assert row.error == "data[7] cannot be prepared: KeyError: 'seven'"


def test_an_unreadable_item_of_a_data_set_is_named_before_models_run(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    content = tmp_path / "a.png"
    Image.new("RGB", (9, 9)).save(content)
    cells = [{"bytes": content.read_bytes(), "path": None}] * 8
    cells[3] = {"bytes": b"junk", "path": None}
    rows = datasets.Dataset.from_dict({"image": cells, "label": [0, 1] * 4})
    with pytest.raises(DataError, match=r"^data\[3\] cannot be prepared: UnidentifiedImageError"):
        tx.rank_models(MODELS[0], rows.cast_column("image", datasets.Image()), cache=False)
    table = {"image": cells, "label": [0, 1] * 4}
    row = tx.rank_models(MODELS[0], table, cache=False, isolate=False, device="cpu")[0]
    assert "data[3]: a cell of 4 bytes cannot be read as an image" in (row.error or "")


# --- pixels -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("n_workers", [1, 2, 5])
def test_pixels_are_those_of_one_by_one(pictures: Path, name: str, n_workers: int) -> None:
    model = models.open_model(name, device="cpu")
    data = read_data(pictures)

    def collate(batch: RowBatch) -> Any:
        return model.collate([data.items[row] for row in batch.rows])

    plan = batches(len(data), 8)
    together = torch.cat([ready for _, ready in prepare(plan, collate, n_workers)])
    alone = torch.cat([model.collate([data.items[row]]) for row in range(len(data))])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("name", MODELS)
def test_scores_do_not_depend_on_the_threads(pictures: Path, name: str) -> None:
    options = {"cache": False, "isolate": False, "device": "cpu", "layers": "all"}
    scores = []
    for n_threads, batch_size in ((1, None), (2, None), (4, None), (2, 7)):
        row = tx.rank_models(name, pictures, n_threads=n_threads, batch_size=batch_size, **options)[
            0
        ]
        assert row.error is None
        scores.append({layer: float(own["logme"]) for layer, own in row.layers.items()})
    assert scores[0] == scores[1] == scores[2]  # the same bits
    assert scores[3] == pytest.approx(scores[0], rel=1e-4)  # convolutions of another batch size


# --- seeds --------------------------------------------------------------------------------------


class Noisy:
    """Preprocessing that draws from every global generator."""

    def __init__(self) -> None:
        self.fingerprint = "noisy"

    def __call__(self, raw: list[Any]) -> torch.Tensor:
        import random

        x = torch.stack([torch.as_tensor(item, dtype=torch.float32) for item in raw])
        x = x + 0.1 * torch.randn(x.shape) + random.random()
        return x + torch.from_numpy(np.random.normal(size=x.shape)).float()  # noqa: NPY002


def test_random_preprocessing_is_the_same_in_every_sweep_and_leaves_the_users_generators() -> None:
    inputs = np.random.default_rng(0).normal(size=(60, 4))
    data = (inputs, inputs[:, 0] > 0)
    model = {"own": (nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), Noisy())}
    options = {"cache": False, "isolate": False, "device": "cpu", "batch_size": 8}
    scores = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        scores.append(float(tx.rank_models(model, data, **options)[0].logme))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    assert scores[0] == scores[1]


def test_seeds_differ() -> None:
    drawn = []
    for seed in (0, 0, 1):
        with seeded(seed):
            drawn.append((torch.rand(2).tolist(), np.random.rand(2).tolist()))  # noqa: NPY002
    assert drawn[0] == drawn[1] != drawn[2]


# --- errors -------------------------------------------------------------------------------------


def test_the_first_item_that_fails_alone_is_named() -> None:
    def stack(items: Any) -> int:
        if any(item < 0 for item in items):
            raise ValueError("a negative number")
        return len(items)

    names = [f"data[{i}]" for i in range(4)]
    assert stack_named(stack, [1, 2, 3, 4], names) == 4
    with pytest.raises(DataError, match=r"^data\[2\] cannot be prepared: ValueError: a negative"):
        stack_named(stack, [1, 2, -3, -4], names)

    def refuse(items: Any) -> int:
        if 3 in items:
            raise DtypeError("it is 3")
        return 0

    with pytest.raises(DtypeError, match=r"^data\[2\]: it is 3$"):
        stack_named(refuse, [1, 2, 3, 4], names)


def test_an_error_of_several_items_together_is_raised_as_it_is() -> None:
    def stack(items: Any) -> None:
        if len(items) > 1:
            raise ValueError("shapes differ")

    with pytest.raises(ValueError, match=r"^shapes differ$"):
        stack_named(stack, [1, 2], ["data[0]", "data[1]"])


def test_memory_that_runs_out_is_not_blamed_on_an_item() -> None:
    def stack(items: Any) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        stack_named(stack, [1, 2], ["data[0]", "data[1]"])


def make_fragile() -> Any:
    """Make a module whose preprocessing refuses a picture with few columns."""

    def prepare_all(raw: list[Any]) -> torch.Tensor:
        for item in raw:
            if item.size[0] == 21:
                raise ValueError("21 columns")
        return torch.stack([torch.from_numpy(np.array(i.resize((8, 8)))) for i in raw]).float()

    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 2)), prepare_all


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("isolate", [False, True])
def test_an_unreadable_picture_is_the_row_of_each_model_that_reads_it(
    pictures: Path, n_threads: int, isolate: bool
) -> None:
    path = pictures / "a" / "24.jpg"
    path.write_bytes(path.read_bytes()[:300])
    options = {"cache": False, "device": "cpu", "batch_size": 4, "n_threads": n_threads}
    names = [*MODELS, "test_loader:make_blind"]
    paths = [str(path) for path in sorted(pictures.rglob("*.*"))]
    data = (paths, [Path(path).parent.name for path in paths])
    ranking = tx.rank_models(names, data, isolate=isolate, **options)
    assert ranking.names[0] == names[2]
    for row in ranking.failed:
        assert f"{path} cannot be read as an image" in (row.error or "")
    assert len(ranking.failed) == 2


def make_blind() -> Any:
    """Make a function of the names of pictures that reads none of them."""

    class Blind:
        kind, fingerprint, n = "image", "blind", 0

        def __call__(self, raw: list[Any]) -> Any:
            return np.random.default_rng(len(raw)).normal(size=(len(raw), 3))

    return Blind()


@pytest.mark.parametrize("max_samples", [None, 25])
def test_a_picture_that_the_preprocessing_refuses_is_named_by_its_row(
    max_samples: int | None,
) -> None:
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (30, 30, 3)).astype(np.uint8))] * 30
    bad = {None: 17, 25: int(np.sort(np.random.default_rng(0).permutation(30)[:25])[17])}
    images[bad[max_samples]] = images[0].resize((21, 30))
    options = {"cache": False, "isolate": False, "device": "cpu", "batch_size": 8}
    ranking = tx.rank_models(
        {"fragile": make_fragile()}, (images, [0, 1] * 15), max_samples=max_samples, **options
    )
    expected = f"data[{bad[max_samples]}] cannot be prepared: ValueError: 21 columns"
    assert expected in (ranking[0].error or "")


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (np.zeros((30, 30, 5), np.uint8), r"data[11] is ndarray of shape (30, 30, 5)"),
        (np.zeros((30, 30, 3)), r"data[11] is ndarray of shape (30, 30, 3) and dtype float64"),
        (Image.fromarray(np.full((9, 9), 700.0, np.float32)), "data[11] is a picture of mode 'F'"),
    ],
)
def test_an_item_that_is_no_picture_is_named_by_its_row(item: Any, text: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (20, 30, 30, 3)).astype(np.uint8)
    items: list[Any] = [Image.fromarray(own) for own in pixels]
    items[11] = item
    options = {"cache": False, "isolate": False, "device": "cpu", "batch_size": 8}
    row = tx.rank_models(MODELS[0], (items, [0, 1] * 10), **options)[0]
    assert text in (row.error or "")


def test_lazy_items_of_a_list_are_files(pictures: Path) -> None:
    paths = sorted(pictures.rglob("*.*"))
    assert is_thread_safe(LazyItems(paths, open_picture))
    assert not is_thread_safe(LazyItems(Shared(3), open_picture))


def test_the_iterator_is_a_generator() -> None:
    prepared: Iterator[Any] = prepare(batches(2), lambda batch: None, 2)
    assert len(list(prepared)) == 2
