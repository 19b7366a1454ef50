"""Batches of a sweep: their order, size and content, and the features in the order of the data.

Kinds: plans (budget of tokens, sizes that users set, windows of rows, tokens and words, models that
cannot tokenise apart), content (texts, pairs, words; padding on either side; truncation), rows
(statistics, features, labels, groups, outputs), faults (memory in a window, in a thread, in
statistics; NaN; a text without tokens; gradients).
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
from one_thread import OneThread
from torch import nn

import transferability as tx
from transferability import models
from transferability._data.item_labels import read_item_labels
from transferability._data.read import read_data
from transferability._sweep import batches
from transferability._sweep.batches import BatchLimit, RowBatch, cut_batches, plan_batches
from transferability._sweep.compiled import compile_blocks
from transferability._sweep.extract import ExtractionRun, prepare
from transferability._sweep.job import FEATURES, OUTPUTS, STATS, ExtractionOptions, Job
from transferability._sweep.worker import _resolve_options, run_job_in_subprocess
from transferability._util.cache import Cache
from transferability.errors import DataError
from transferability.torch import extract
from transferability.torch._rows import LayerRows
from transferability.torch._run import pin_batch

transformers = pytest.importorskip("transformers")
WORDS = ["the", "cat", "sat", "on", "mat", "dog", "unknown", "pieces", "more"]


# --- plans


def lengths_of(n: int, longest: int = 60, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(1, longest + 1, n).tolist()  # type: ignore[no-any-return]


def planned(lengths: list[int], limit: BatchLimit, **options: Any) -> list[RowBatch]:
    def encode(rows: range) -> tuple[list[int], list[int]]:
        return list(rows), [lengths[row] for row in rows]

    return list(plan_batches(len(lengths), limit, encode, **options))


def windows_of(plan: list[RowBatch]) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for batch in plan:
        found[-1] += batch.rows
        if batch.ends_window:
            found.append([])
    assert found.pop() == []  # the last batch ends a window
    return found


def test_batches_fill_a_budget_of_tokens() -> None:
    lengths = [*lengths_of(3000), 5000]
    plan = planned(lengths, BatchLimit(32, 2048))
    assert sorted(row for batch in plan for row in batch.rows) == list(range(3001))
    for batch in plan:
        assert batch.encoded == list(batch.rows)
        assert batch.lengths == [lengths[row] for row in batch.rows]
        assert batch.longest * len(batch.rows) <= 2048 or len(batch.rows) == 1
        assert len(batch.rows) <= batches.MOST_ROWS
    for batch, after in itertools.pairwise(plan):
        if not batch.ends_window:  # sorted, and no smaller than it must be
            assert batch.longest >= after.longest
            assert (len(batch.rows) + 1) * batch.longest > 2048 or len(batch.rows) == 512
    used = sum(len(batch.rows) * batch.longest for batch in plan)
    assert used < 1.05 * sum(lengths)  # in the order of the data it is twice as much


def test_equal_lengths_keep_their_order() -> None:
    assert [list(batch.rows) for batch in planned([4] * 10, BatchLimit(32, 16))] == [
        [0, 1, 2, 3], [4, 5, 6, 7], [8, 9],
    ]  # fmt: skip


def test_many_short_texts_are_no_endless_batch() -> None:
    assert [len(batch.rows) for batch in planned([1] * 1100, BatchLimit(32, 1 << 20))] == [
        512, 512, 76,
    ]  # fmt: skip


@pytest.mark.parametrize("size", [1, 7, 32, 300, 3000, 9000])
def test_a_size_that_the_user_sets_is_met_exactly(size: int) -> None:
    plan = planned(lengths_of(5000), BatchLimit(size))
    full, rest = divmod(5000, size)
    assert [len(batch.rows) for batch in plan] == [size] * full + [rest] * (rest > 0)
    for window in windows_of(plan):
        assert len(window) < batches.WINDOW + size


def test_a_window_is_a_stretch_of_the_data() -> None:
    plan = planned(lengths_of(7000), BatchLimit(32, 2048))
    start = 0
    for window in windows_of(plan):
        assert sorted(window) == list(range(start, start + len(window)))
        assert len(window) <= batches.WINDOW
        start += len(window)
    assert start == 7000


def test_windows_are_short_where_texts_are_long_or_have_many_words() -> None:
    lengths = [8192] * 600
    assert {len(window) for window in windows_of(planned(lengths, BatchLimit(32, 2048)))} == {
        256, 600 - 2 * 256,
    }  # fmt: skip
    words = planned(lengths_of(3000), BatchLimit(32, 2048), count_features=lambda row: 100)
    assert max(map(len, windows_of(words))) == -(-batches.WINDOW // 100)
    tokens = planned([512] * 600, BatchLimit(32, 2048), has_token_rows=True)
    assert max(map(len, windows_of(tokens))) <= 256


def test_texts_are_not_tokenised_far_ahead() -> None:
    asked: list[int] = []

    def encode(rows: range) -> tuple[list[int], list[int]]:
        asked.extend(rows)
        return list(rows), [5] * len(rows)

    used = 0
    for batch in plan_batches(10_000, BatchLimit(32, 2048), encode):
        assert len(asked) - used <= batches.WINDOW + 256
        used += len(batch.rows)
    assert asked == list(range(10_000))  # each once


def test_without_tokens_batches_are_in_the_order_of_the_data() -> None:
    for encode in (None, lambda rows: None):
        plan = list(plan_batches(70, BatchLimit(32, 2048), encode))
        assert [list(b.rows) for b in plan] == [
            list(range(32)), list(range(32, 64)), list(range(64, 70)),
        ]  # fmt: skip
        assert all(batch.encoded is None and not batch.ends_window for batch in plan)


def test_a_tokeniser_that_fails_midway_loses_no_row() -> None:
    def encode(rows: range) -> Any:
        return None if rows.start >= 512 else (list(rows), [9 - row % 9 for row in rows])

    plan = list(plan_batches(700, BatchLimit(100), encode))
    assert sorted(row for batch in plan for row in batch.rows) == list(range(700))
    assert [b.encoded is None for b in plan] == sorted(b.encoded is None for b in plan)


def test_a_limit_is_halved_by_the_batch_that_failed() -> None:
    limit = BatchLimit(32, 2048)
    batch = RowBatch(list(range(40)), list(range(40)), [50] * 20 + [25] * 20, ends_window=True)
    assert batch.fits(limit)
    assert limit.lower(batch) == "at most 1,000 tokens"
    parts = list(cut_batches(batch, limit))
    assert [len(part.rows) for part in parts] == [20, 20]
    assert [part.ends_window for part in parts] == [False, True]
    assert all(part.fits(limit) for part in parts)
    limit = BatchLimit(32)
    assert limit.lower(batch) == "20 rows"
    assert [len(part.rows) for part in cut_batches(RowBatch(range(50)), limit)] == [20, 20, 10]


def test_the_next_batch_is_prepared_in_a_thread_and_no_more() -> None:
    made: list[tuple[int, str]] = []

    def collate(batch: RowBatch) -> int:
        made.append((batch.rows[0], threading.current_thread().name))
        return batch.rows[0]

    running = prepare(plan_batches(100, BatchLimit(10)), collate)
    assert next(running)[1] == 0
    assert next(running)[1] == 10
    running.close()  # as after an error in the model
    assert 2 <= len(made) <= 3
    assert all(name != threading.current_thread().name for _, name in made)
    assert not [t for t in threading.enumerate() if t.name.startswith("transferability-read")]


# --- content


@pytest.fixture(scope="module")
def texts() -> list[str]:
    rng = np.random.default_rng(1)
    return [" ".join(rng.choice(WORDS, size=rng.integers(1, 12))) for _ in range(90)]


@pytest.fixture(scope="module")
def labels(texts: list[str]) -> list[str]:
    return ["cat" if "cat" in text else "no cat" for text in texts]


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{tiny.bert(tmp_path_factory.mktemp('bert'))}"


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.gpt2])
@pytest.mark.parametrize("shape", ["text", "pair", "words"])
def test_tokens_are_those_of_the_tokeniser(
    make: Any, side: str, shape: str, texts: list[str], tmp_path: Path
) -> None:
    path = make(tmp_path / "model")
    model: Any = models.open_model(f"hf:{path}?padding_side={side}", device="cpu", max_length=9)
    tokenizer = transformers.AutoTokenizer.from_pretrained(path, padding_side=side)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    options = {"padding": True, "truncation": True, "max_length": 9, "return_tensors": "pt"}
    if shape == "text":
        raw: Any = texts
        expected = tokenizer(raw, **options)
    elif shape == "pair":
        raw = list(zip(texts, texts[::-1], strict=True))
        expected = tokenizer(texts, texts[::-1], **options)
    else:
        raw = [text.split() for text in texts]
        prefix = "" if make is tiny.bert else " "
        tokenizer.add_prefix_space = True
        prefixed = [[prefix + word for word in row] for row in raw]
        expected = tokenizer(prefixed, is_split_into_words=True, **options)
    inputs = model.inputs
    encoded = inputs.encode(raw)
    assert max(map(inputs.count_tokens, encoded)) == 9  # some are cut
    for batch in (inputs.pad(encoded), model.collate(raw)):
        for name in {*batch} - {"position_ids"}:
            assert torch.equal(batch[name], expected[name])
            assert batch[name].dtype == expected[name].dtype
        if shape == "words":
            assert model.word_ids(batch) == [expected.word_ids(i) for i in range(len(raw))]
    few = inputs.pad(encoded[3:5])  # no longer than they must be
    assert few["input_ids"].shape[1] == max(map(len, encoded[3:5]))


def test_neither_tokeniser_nor_padding_warns(
    bert: str, texts: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    inputs: Any = models.open_model(bert, device="cpu").inputs
    inputs.pad(inputs.encode(texts))
    assert capfd.readouterr() == ("", "")


def st_model(folder: Path, **config: Any) -> Path:
    """Save a sentence-transformers model of a small BERT."""
    st = pytest.importorskip("sentence_transformers")
    path = tiny.bert(folder / "bert")
    parts = st.models if hasattr(st, "models") else st.sentence_transformer.modules
    encoder = parts.Transformer(str(path))
    pooling = parts.Pooling(16, pooling_mode="mean")
    st.SentenceTransformer(modules=[encoder, pooling], device="cpu", **config).save(
        str(folder / "st")
    )
    return folder / "st"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("prompt", [None, "the dog : "])
def test_features_are_those_of_encode(
    prompt: str | None, texts: list[str], labels: list[str], tmp_path: Path
) -> None:
    st = pytest.importorskip("sentence_transformers")
    config = {"prompts": {"q": prompt}, "default_prompt_name": "q"} if prompt else {}
    path = st_model(tmp_path, **config)
    expected = st.SentenceTransformer(str(path), device="cpu").encode(texts)
    found = run(f"st:{path}", texts, labels, keep_features=True)[FEATURES]
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)  # float32, of order 1
    if prompt:
        plain = st.SentenceTransformer(str(path), device="cpu").encode(texts, prompt="")
        assert np.abs(plain - expected).max() > 1e-3
    model: Any = models.open_model(f"st:{path}", device="cpu")
    batch, again = model.collate(texts), model.inputs.pad(model.inputs.encode(texts))
    assert {*batch} == {*again}
    for name, value in batch.items():
        same = torch.equal(again[name], value) if torch.is_tensor(value) else again[name] == value
        assert same, name


# --- rows


def run(
    spec: Any, items: Any, labels: Any, notes: list[str] | None = None, **options: Any
) -> dict[str, Any]:
    """Extract the default layer; give the files of its entry."""
    model = models.open_model(spec, device="cpu", dtype=options.pop("dtype", None))
    data = read_item_labels(
        read_data((items, labels), None, None, "auto"), "auto", "strip", ()
    ).data
    options = {"task": "classification", **options}
    job = Job("m", None, data, "", ExtractionOptions(**options), "")
    resolved = _resolve_options(model, job)
    try:
        found = ExtractionRun(
            model, data, resolved, lambda *reported: None, [] if notes is None else notes
        ).run()
    finally:
        model.close()
    return found[resolved.layers[-1], None].files


def test_the_order_of_batches_changes_no_bit() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1300, 6, generator=generator)
    labels = [("a", "bb", "ccc")[i % 3] for i in range(1300)]
    model = nn.Sequential(nn.Identity(), nn.Identity()).eval()
    order = np.random.default_rng(0).permutation(1300)
    options: dict[str, Any] = {"keep_features": True, "outputs": True, "average": True}
    with extract(model, ["0", "1"], **options) as mixed:
        for window in range(0, 1300, 700):  # two windows, each in an order of its own
            here = order[(order >= window) & (order < window + 700)]
            for start in range(0, len(here), 37):
                rows = here[start : start + 37]
                mixed.update(
                    x[rows], [labels[i] for i in rows], groups=rows % 7, samples=rows.tolist()
                )
            assert mixed.n_rows["0"] == window
            mixed.add_held()
    with extract(model, ["0", "1"], **options) as plain:
        plain.update(x, labels, groups=np.arange(1300) % 7)
    for layer in ("0", "1", "mean"):
        one, other = mixed.stats[layer].moments(), plain.stats[layer].moments()
        for name in ("shift", "sum", "scatter", "class_sums"):
            np.testing.assert_array_equal(one[name], other[name])
        assert mixed.stats[layer].logme() == plain.stats[layer].logme()
        np.testing.assert_array_equal(mixed.features[layer], plain.features[layer])
        assert list(mixed.labels[layer]) == labels  # type: ignore[arg-type]
        np.testing.assert_array_equal(mixed.groups[layer], plain.groups[layer])  # type: ignore[arg-type]
    np.testing.assert_array_equal(mixed.outputs, plain.outputs)  # type: ignore[arg-type]


def test_tokens_keep_their_order_within_a_sample() -> None:
    x = torch.arange(24.0).reshape(4, 3, 2)
    tags = [[0, 1, 2], [1, None, 0], [None, None, None], [2, 2, 1]]
    ids = [[0, 1, 2]] * 4
    with extract(nn.Identity().eval(), "", "first_subword", keep_features=True) as ex:
        for rows in ([3, 1], [2, 0]):
            ex.update(x[rows], [tags[i] for i in rows], word_ids=ids[:2], samples=rows)
    kept = [0, 1, 2, 3, 5, 9, 10, 11]
    np.testing.assert_array_equal(ex.features[""], x.reshape(12, 2)[kept])
    np.testing.assert_array_equal(ex.labels[""], [0, 1, 2, 1, 0, 2, 2, 1])  # type: ignore[arg-type]
    np.testing.assert_array_equal(ex.groups[""], [0, 0, 0, 1, 1, 3, 3, 3])  # type: ignore[arg-type]


def test_positions_are_drawn_by_the_place_of_an_image() -> None:
    x = torch.randn(5, 3, 8, 8)
    pixels = np.random.default_rng(0).integers(0, 2, (5, 8, 8))
    options: dict[str, Any] = {"keep_features": True, "positions": 9, "seed": 3}
    with extract(nn.Identity().eval(), "", "none", **options) as plain:
        plain.update(x, pixels)
    with extract(nn.Identity().eval(), "", "none", **options) as mixed:
        for rows in ([4, 2], [0, 3, 1]):
            mixed.update(x[rows], pixels[rows], samples=rows)
    np.testing.assert_array_equal(mixed.features[""], plain.features[""])


def test_samples_must_be_as_many_as_the_batch() -> None:
    with (
        extract(nn.Identity().eval(), "") as ex,
        pytest.raises(DataError, match="samples has 3 entries but the batch has 2 samples"),
    ):
        ex.update(torch.randn(2, 4), [0, 1], samples=[0, 1, 2])


@pytest.mark.parametrize("window", [20, 2048])
@pytest.mark.parametrize("shape", ["text", "pair", "words"])
def test_batches_change_no_number(
    shape: str, window: int, bert: str, texts: list[str], labels: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """In float64, where the padding does not change the forward pass beyond the rounding."""
    monkeypatch.setattr(batches, "WINDOW", window)
    raw: Any = texts
    if shape == "pair":
        raw = list(zip(texts, texts[::-1], strict=True))
    elif shape == "words":
        raw = [text.split() for text in texts]
        labels = [[word if word in ("cat", "dog") else "O" for word in row] for row in raw]
    options: dict[str, Any] = {"dtype": "float64", "keep_features": True}
    alone = run(bert, raw, labels, batch_size=1, **options)
    stats = tx.Stats.from_bytes(alone[STATS])
    for size in (None, 7, 64):
        found = run(bert, raw, labels, batch_size=size, **options)
        np.testing.assert_allclose(found[FEATURES], alone[FEATURES], rtol=0, atol=1e-6)
        own = tx.Stats.from_bytes(found[STATS])
        assert own.n_samples == stats.n_samples
        assert float(own.logme()) == pytest.approx(float(stats.logme()), abs=1e-9)
        assert float(own.score("h_score")) == pytest.approx(float(stats.score("h_score")), abs=1e-9)


def test_features_and_outputs_are_in_the_order_of_the_data(
    texts: list[str], labels: list[str], tmp_path: Path
) -> None:
    path = tiny.bert_classifier(tmp_path / "model")
    cache = tmp_path / "cache"
    ranking = tx.rank_models(
        f"hf:{path}?head=true", (texts, labels), metrics=["logme", "leep"], keep_features=True,
        cache=cache, isolate=False, device="cpu",
    )  # fmt: skip
    assert ranking[0].error is None
    (entry,) = list((cache / "v1").iterdir())
    kept = Cache(cache).get(entry.name, (STATS, FEATURES, OUTPUTS))
    assert kept is not None
    module = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    with torch.no_grad():
        out = [module(**tokenizer(text, return_tensors="pt")).logits[0] for text in texts]
    np.testing.assert_allclose(kept.array(OUTPUTS), torch.stack(out), rtol=0, atol=1e-6)


# --- faults


class Small:
    """Wraps a forward pass in one that has memory for some tokens."""

    def __init__(self, forward: Any, most: int) -> None:
        self.forward, self.most, self.sizes = forward, most, [0]

    def __call__(self, input_ids: Any, **given: Any) -> Any:
        if input_ids.numel() > self.most and len(input_ids) > 1:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
        self.sizes.append(input_ids.numel())
        return self.forward(input_ids=input_ids, **given)


@pytest.fixture
def opened(bert: str) -> Iterator[Any]:
    model = models.open_model(bert, device="cpu", dtype="float64")
    model.is_shared = False
    yield model
    model.close()


@pytest.mark.parametrize("size", [None, 40])
def test_memory_runs_out_in_a_window(
    size: int | None, opened: Any, bert: str, texts: list[str], labels: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(batches, "WINDOW", 50)
    expected = run(bert, texts, labels, dtype="float64", keep_features=True)
    small = Small(opened.module.forward, 200)
    monkeypatch.setattr(opened.module, "forward", small)
    notes: list[str] = []
    monkeypatch.setattr(models, "open_model", lambda *args, **options: opened)
    found = run(bert, texts, labels, notes, batch_size=size, keep_features=True)
    np.testing.assert_allclose(found[FEATURES], expected[FEATURES], rtol=0, atol=1e-6)
    assert max(small.sizes) <= 200
    (note,) = notes
    unit = " rows" if size else " tokens"
    assert note.startswith("batches of ")
    assert unit in note
    assert "for lack of memory (DefaultCPUAllocator" in note


@pytest.mark.parametrize("n_added", [0, 2])
def test_memory_runs_out_in_the_statistics(
    n_added: int, bert: str, texts: list[str], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that was added to some layers or none: the pass begins again, no row is lost."""
    expected = run(bert, texts, labels, layers="all")
    add, calls = LayerRows.add, []

    def fail(self: LayerRows, *given: Any) -> None:
        calls.append(self.layer)
        if len(calls) == n_added + 1:
            raise MemoryError("once")
        add(self, *given)

    monkeypatch.setattr(LayerRows, "add", fail)
    notes: list[str] = []
    found = run(bert, texts, labels, notes, layers="all")
    assert tx.Stats.from_bytes(found[STATS]).n_samples == len(texts)
    one, other = (tx.Stats.from_bytes(files[STATS]).logme() for files in (found, expected))
    assert float(one) == pytest.approx(float(other), rel=1e-4)  # float32, batches pad otherwise
    assert notes[0].startswith("batches of at most ")


def test_what_fails_in_the_thread_is_left_to_the_caller() -> None:
    def collate(batch: RowBatch) -> int:
        if batch.rows[0] in (10, 30):
            raise MemoryError if batch.rows[0] == 10 else ValueError
        return batch.rows[0]

    with contextlib.closing(prepare(plan_batches(50, BatchLimit(10)), collate)) as running:
        assert [ready for _, ready in running] == [0, None, 20, None, 40]


def test_items_that_are_bound_to_a_thread(bert: str, texts: list[str], labels: list[str]) -> None:
    options: dict[str, Any] = {"cache": False, "isolate": False, "device": "cpu"}
    bound = tx.rank_models(bert, (OneThread(texts), labels), **options)[0]
    free = tx.rank_models(bert, (texts, labels), **options)[0]
    assert bound.error is None
    assert float(bound.logme) == pytest.approx(float(free.logme), rel=1e-4)  # float32
    read = read_data((texts, labels), None, None, "auto")
    data = read_item_labels(read, "auto", "strip", ()).data
    broken = replace(data, items=OneThread([*texts[:50], "broken", *texts[51:]]))
    job = Job("m", bert, broken, "d", ExtractionOptions(task="classification"), "")
    model = models.open_model(bert, device="cpu")
    with pytest.raises(DataError, match=r"^data\[50\] cannot .* RuntimeError: this item is broken"):
        ExtractionRun(model, broken, _resolve_options(model, job), lambda *_: None, []).run()


def test_preprocessing_runs_without_gradients() -> None:
    weight = torch.ones(3, requires_grad=True)

    def collate(raw: Any) -> Any:
        return torch.from_numpy(np.array(raw)) * weight

    module = nn.Sequential(nn.Identity())
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    found = run((module, collate), x, [0, 1] * 25, keep_features=True)
    np.testing.assert_array_equal(found[FEATURES], x)


def test_a_text_without_tokens_is_named_by_its_row(
    texts: list[str], labels: list[str], tmp_path: Path
) -> None:
    path = tiny.gpt2(tmp_path / "model")  # adds no token of its own
    options: dict[str, Any] = {"cache": False, "isolate": False, "device": "cpu"}
    raw = [*texts[:40], "", *texts[41:]]
    row = tx.rank_models(f"hf:{path}", (raw, labels), **options)[0]
    assert "data[40], '', has no tokens for this model; drop empty texts" in str(row.error)
    drawn = tx.rank_models(f"hf:{path}", (raw, labels), max_samples=89, seed=1, **options)[0]
    assert "data[40], ''" in str(drawn.error)  # not its place among those drawn


@pytest.mark.parametrize("window", [None, 8])
def test_an_odd_text_is_named_by_its_row(
    window: int | None, bert: str, texts: list[str], labels: list[str]
) -> None:
    options: dict[str, Any] = {"cache": False, "isolate": False, "window": window}
    for odd, message in (
        (None, r"data\[40\] is NoneType; give a str, a pair"),
        (("a", "b"), r"must be alike, and these are: pair \(data\[40\]\), text \(data\[0\]\)"),
    ):
        row = tx.rank_models(bert, ([*texts[:40], odd, *texts[41:]], labels), **options)[0]
        assert re.search(message, str(row.error))


def test_nan_names_the_sample(opened: Any, bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the cat sat on the mat"] * 30 + ["dog"] + ["the cat"] * 30
    dog = opened.collate(["dog"])["input_ids"][0, 1]
    with torch.no_grad():
        opened.module.embeddings.word_embeddings.weight[dog] = torch.nan
    monkeypatch.setattr(models, "open_model", lambda *args, **options: opened)
    with pytest.raises(DataError, match=r"NaN or infinite in batch \d+ \(data\[30\], column "):
        run(bert, texts, [i % 2 for i in range(61)])
    with (
        extract(nn.Identity().eval()) as ex,
        pytest.raises(DataError, match=r"\(sample 7 of the data, column 0: nan\)"),
    ):
        ex.update(torch.tensor([[1.0], [torch.nan]]), [0, 1], samples=[4, 7])


@pytest.mark.parametrize("batch_size", [None, 7])
@pytest.mark.parametrize("options", [{}, {"max_samples": 55}, {"bag": [i % 6 for i in range(60)]}])
def test_nan_names_the_row_of_the_data(batch_size: int | None, options: dict[str, Any]) -> None:
    """Not its place in a batch, among the drawn rows, or where its bag has moved it."""
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    x[41] = np.nan
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    row = tx.rank_models({"m": net}, (x, [i % 2 for i in range(60)]), cache=False, isolate=False,
                         batch_size=batch_size, seed=1, **options)[0]  # fmt: skip
    assert re.search(r"NaN or infinite in batch \d+ \(data\[41\], column 0: nan\)", str(row.error))


class Gradients(nn.Module):
    """Gives the gradient of its energy, as force fields do, and keeps its last input."""

    def __init__(self) -> None:
        super().__init__()
        self.kept: Any = None
        self.inner = nn.Linear(3, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept = x.mul(1)
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            (slope,) = torch.autograd.grad(self.inner(x).square().sum(), x)
        return slope


@pytest.mark.parametrize("is_shared", [True, False])
def test_models_that_compute_gradients(is_shared: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    module = Gradients()
    model = models.open_model((module, lambda raw: torch.from_numpy(np.array(raw))))
    assert model.is_shared  # the caller has it
    model.is_shared = is_shared
    model.default_layer = ""
    monkeypatch.setattr(models, "open_model", lambda *args, **options: model)
    found = run(None, x, [0, 1] * 25, keep_features=True, layers=("",), pool="mean")
    expected = Gradients.forward(module, torch.from_numpy(x)).detach()
    np.testing.assert_allclose(found[FEATURES], expected, rtol=1e-5, atol=1e-6)
    assert not module.kept.is_inference()


def test_what_stays_in_a_module_of_the_user_can_be_trained() -> None:
    class Caches(nn.Module):
        scale: Any = None

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.scale is None:
                self.scale = torch.ones(3) * 2
            return x * self.scale

    module = Caches()
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    options: dict[str, Any] = {"cache": False, "isolate": False, "device": "cpu"}
    assert tx.rank_models({"m": module}, (x, [0, 1] * 25), **options)[0].error is None
    weight = torch.ones(2, 3, requires_grad=True)
    module(weight).sum().backward()
    assert torch.equal(weight.grad, torch.full((2, 3), 2.0))  # type: ignore[arg-type]


# --- torch.compile


def compile_as(monkeypatch: pytest.MonkeyPatch, replaced: Any) -> list[Any]:
    """Replace torch.compile; give the list of the functions that it is called with."""
    asked: list[Any] = []

    def compiler(function: Any, **options: Any) -> Any:
        asked.append(function)
        return replaced(function)

    monkeypatch.setattr(torch, "compile", compiler)
    return asked


def test_blocks_are_compiled_and_restored(
    opened: Any, bert: str, texts: list[str], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(bert, texts, labels, layers="all", keep_features=True, dtype="float64")
    calls: list[int] = []

    def count(function: Any) -> Any:
        def called(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            return function(*args, **kwargs)

        return called

    asked = compile_as(monkeypatch, count)
    monkeypatch.setattr(models, "open_model", lambda *args, **options: opened)
    notes: list[str] = []
    found = run(bert, texts, labels, notes, layers="all", keep_features=True, compile=True)
    np.testing.assert_array_equal(found[FEATURES], expected[FEATURES])
    blocks = [opened.module.get_submodule(f"encoder.layer.{i}") for i in range(3)]
    assert [function.__self__ for function in asked] == blocks
    assert len(calls) >= 3
    assert not notes
    assert not any("forward" in vars(block) for block in blocks)


def test_a_block_with_a_layer_inside_is_not_compiled(
    bert: str, texts: list[str], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = compile_as(monkeypatch, lambda function: function)
    run(bert, texts, labels, layers=("encoder.layer.1.output",), compile=True)
    assert len(asked) == 2
    notes: list[str] = []
    x = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    module = nn.Linear(3, 3)
    run((module, lambda raw: torch.from_numpy(np.array(raw))), x, [0, 1] * 25, notes, compile=True)
    assert len(asked) == 3  # the model itself
    run(lambda items: np.array(items), x, [0, 1] * 25, notes, compile=True)
    assert notes == ["compile has no effect: the model has no blocks between its layers"]


def test_a_compiler_that_fails_is_a_note(
    bert: str, texts: list[str], labels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(function: Any) -> Any:
        def fail(*args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("there is no C++ compiler\nhere")

        return fail

    compile_as(monkeypatch, broken)
    notes: list[str] = []
    found = run(bert, texts, labels, notes, keep_features=True, compile=True)
    expected = run(bert, texts, labels, keep_features=True)
    np.testing.assert_array_equal(found[FEATURES], expected[FEATURES])
    assert notes == [
        "torch.compile failed, and the model ran without it: there is no C++ compiler here"
    ]


# --- words without tokens, and what surrounds a pass


@pytest.mark.parametrize("size", [None, 1])
def test_empty_words_are_not_taken_for_cut_ones(size: int | None, bert: str) -> None:
    """Sorted by length, no text of a batch has padding, by which the two were told apart."""
    words = [["the", "cat", " "]] * 30
    options = {"cache": False, "isolate": False, "device": "cpu", "batch_size": size}
    row = tx.rank_models(bert, (words, [[0, 1, 1]] * 30), **options)[0]
    assert any("30 labelled words have no token of their own" in note for note in row.notes)
    long = [["cat", "the"] * 8] * 30
    row = tx.rank_models(bert, (long, [[0, 1] * 8] * 30), max_length=12, **options)[0]
    assert any("labelled words were cut off with the end" in note for note in row.notes)
    assert not any("no token of their own" in note for note in row.notes)


def test_a_batch_is_pinned_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self + 1)  # needs a CUDA device
    batch = transformers.BatchEncoding({"x": torch.zeros(2), "name": "text"})
    batch.word_of_token = [[0]]
    assert pin_batch(batch) is batch
    assert torch.equal(batch["x"], torch.ones(2))
    assert (batch["name"], batch.word_of_token) == ("text", [[0]])
    assert torch.equal(pin_batch(torch.zeros(1)), torch.ones(1))
    assert pin_batch([1, 2]) == [1, 2]


def test_tokenisers_of_a_subprocess_may_use_threads(
    bert: str, texts: list[str], labels: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TOKENIZERS_PARALLELISM", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "unset")  # restored afterwards
        monkeypatch.delenv(name)
    read = read_data((texts, labels), None, None, "auto")
    data = read_item_labels(read, "auto", "strip", ()).data
    options = ExtractionOptions(task="classification", device="cpu", n_threads=1)
    try:
        run_job_in_subprocess(
            Job("m", bert, data, "d", options, str(tmp_path)), lambda *reported: None
        )
    finally:
        tx.set_num_threads(None)
    assert os.environ["TOKENIZERS_PARALLELISM"] == "true"
    assert os.environ["RAYON_NUM_THREADS"] == "1"


def test_a_forward_pass_of_an_instance_outlives_its_compilation() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    own = module.forward

    def doubled(x: torch.Tensor) -> torch.Tensor:  # as hooks of other libraries replace it
        return own(x) * 2

    module.forward = doubled  # type: ignore[method-assign]
    undo = compile_blocks(module, [], [""])
    assert undo is not None
    assert module.forward is not doubled
    undo()
    assert module.forward is doubled


@pytest.mark.parametrize("kind", ["tensor", "tuple", "mapping"])
def test_a_preprocessing_may_fill_its_batch_again(kind: str) -> None:
    """Batches are prepared while the model runs on the one before."""
    x = np.random.default_rng(0).normal(size=(640, 4)).astype(np.float32)
    labels = (x[:, 0] > 0).astype(np.int64)
    held = torch.empty(32, 4)

    def refill(items: list[Any]) -> Any:
        held[: len(items)] = torch.from_numpy(np.stack(items))
        view = held[: len(items)]
        return {"tensor": view, "tuple": (view,), "mapping": {"input": view}}[kind]

    module = nn.Linear(4, 6)
    pairs = {"refilled": (module, refill), "fresh": module}
    ranking = tx.rank_models(pairs, (x, labels), cache=False, isolate=False)
    assert ranking["refilled"].logme == ranking["fresh"].logme
