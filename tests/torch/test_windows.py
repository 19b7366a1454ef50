"""Windows of texts and series that are longer than a model reads, beside naive transcriptions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import transformers as hf
from numpy.typing import NDArray

import transferability as tx
from transferability import models
from transferability.errors import DataError, DtypeError
from transferability.models._windows import cut_windows, open_windows

WORDS = ["the", "cat", "sat", "on", "a", "mat", "dog", "unknown", "pieces", "of", "them"]


def spans(length: int, window: int, stride: int) -> list[tuple[int, int]]:
    return [(part.start, part.stop) for part in cut_windows(length, window, stride)]


@pytest.mark.parametrize(
    ("length", "window", "stride", "expected"),
    [
        (0, 4, 2, [(0, 0)]),
        (4, 4, 2, [(0, 4)]),
        (5, 4, 4, [(0, 4), (1, 5)]),  # the last one ends with the item, as long as the others
        (8, 4, 4, [(0, 4), (4, 8)]),
        (9, 4, 2, [(0, 4), (2, 6), (4, 8), (5, 9)]),
        (10, 4, 3, [(0, 4), (3, 7), (6, 10)]),
        (3, 1, 1, [(0, 1), (1, 2), (2, 3)]),
    ],
)
def test_where_windows_are(
    length: int, window: int, stride: int, expected: list[tuple[int, int]]
) -> None:
    assert spans(length, window, stride) == expected


def test_windows_cover_everything() -> None:
    for length in range(1, 40):
        for window in range(1, 12):
            for stride in range(1, window + 1):
                found = spans(length, window, stride)
                assert {i for a, b in found for i in range(a, b)} == set(range(length))
                assert len({b - a for a, b in found}) == 1
                assert found == sorted(set(found))


@pytest.fixture(scope="module")
def texts() -> tuple[list[str], list[str]]:
    """Texts of 1 to 60 words, in no order of length."""
    rng = np.random.default_rng(7)
    found = [" ".join(rng.choice(WORDS, size=rng.integers(1, 60))) for _ in range(60)]
    return found, ["yes" if "cat" in text.split()[:4] else "no" for text in found]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: Any) -> dict[str, str]:
    root = tmp_path_factory.mktemp("models")
    made = {
        "bert": tiny_models.bert(root / "bert", max_position_embeddings=40),
        "roberta": tiny_models.roberta(root / "roberta"),  # a limit of 32 tokens
        "gpt2": tiny_models.gpt2(root / "gpt2"),  # padded on the left, no special tokens
        "t5": tiny_models.t5(root / "t5"),  # no limit
    }
    return {name: str(path) for name, path in made.items()}


def naive_rows(folder: str, texts: list[str], window: int, stride: int, pool: str) -> Any:
    """Tokenise without special tokens, cut, add the special tokens, run one window at a time."""
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    model = hf.AutoModel.from_pretrained(folder).double().eval()
    model = model.get_encoder() if model.config.is_encoder_decoder else model
    rows = []
    for text in texts:
        whole = tokenizer(text)["input_ids"]
        plain = tokenizer(text, add_special_tokens=False)["input_ids"]
        begin = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
        before, after = whole[:begin], whole[begin + len(plain) :]
        content = window - len(before) - len(after)
        step = min(stride, content)
        starts = [0]
        while starts[-1] + content < len(plain):
            starts.append(min(starts[-1] + step, len(plain) - content))
        of_windows = []
        for start in starts:
            ids = torch.tensor([[*before, *plain[start : start + content], *after]])
            with torch.no_grad():
                x = model(input_ids=ids).last_hidden_state[0]
            of_windows.append(
                {"mean": x.mean(0), "cls": x[0], "lasttoken": x[-1], "max": x.amax(0)}[pool]
            )
        rows.append(torch.stack(of_windows).mean(0).numpy())
    return np.array(rows)


def ranked(model: Any, data: Any, cache: Any = False, **options: Any) -> tx.Row:
    fixed = {"isolate": False, "n_threads": 1, "dtype": "float64"}
    row = tx.rank_models(model, data, cache=cache, **{**fixed, **options})[0]
    assert row.error is None, row.error
    return row


def kept(root: Path, layer: str) -> Any:
    """The features that a sweep kept of a layer."""
    from transferability._util.cache import Cache

    [entry] = [e for e in Cache(root).entries() if e.meta["layer"] == layer]
    return entry.array("features.npy")


@pytest.mark.parametrize("name", ["bert", "roberta", "gpt2", "t5"])
@pytest.mark.parametrize("pool", ["mean", "cls", "lasttoken", "max"])
def test_windows_of_texts_are_those_of_a_transcription(
    folders: Any, texts: Any, name: str, pool: str, tmp_path: Path
) -> None:
    window, stride = 16, 7
    row = ranked(f"hf:{folders[name]}", texts, tmp_path, window=window, stride=stride, pool=pool)
    expected = naive_rows(folders[name], texts[0], window, stride, pool)
    score = tx.logme(expected, texts[1])
    assert float(row.logme) == pytest.approx(float(score), abs=1e-9)
    assert row.n_samples == len(texts[0])


@pytest.mark.parametrize("batch_size", [None, 1, 5, 64])
def test_rows_of_windows_for_any_batch_size(
    folders: Any, texts: Any, batch_size: int | None, tmp_path: Path
) -> None:
    """Float32 features are kept: 6e-8 of each."""
    ranked(
        f"hf:{folders['bert']}", texts, tmp_path, window=12, stride=5, keep_features=True,
        batch_size=batch_size,
    )  # fmt: skip
    expected = naive_rows(folders["bert"], texts[0], 12, 5, "mean")
    np.testing.assert_allclose(kept(tmp_path, "last_hidden_state"), expected, rtol=1e-6, atol=1e-6)


def test_a_window_of_every_token_is_the_text(folders: Any, texts: Any) -> None:
    short = ([text[:60] for text in texts[0]], texts[1])
    whole = ranked(f"hf:{folders['bert']}", short)
    assert float(ranked(f"hf:{folders['bert']}", short, window=40).logme) == pytest.approx(
        float(whole.logme), abs=1e-9
    )


def test_a_model_that_reads_less_has_shorter_windows(folders: Any, texts: Any) -> None:
    row = ranked(f"hf:{folders['roberta']}", texts, window=500, stride=500)
    assert "windows of 32, as many as this model reads at once" in row.notes
    expected = naive_rows(folders["roberta"], texts[0], 32, 32, "mean")
    assert float(row.logme) == pytest.approx(float(tx.logme(expected, texts[1])), abs=1e-9)
    limited = ranked(f"hf:{folders['bert']}", texts, window=30, max_length=20)
    assert "windows of 20, as many as this model reads at once" in limited.notes


def test_windows_then_bags(folders: Any, texts: Any) -> None:
    """Documents of several texts, each of several windows."""
    inputs = texts[0]
    docs = [f"doc {i}" for i in np.random.default_rng(4).integers(0, 20, size=len(inputs))]
    labels = ["yes" if int(doc[4:]) % 3 else "no" for doc in docs]
    rows = naive_rows(folders["bert"], inputs, 14, 9, "mean")
    for pool in ("mean", "max", "mean_std"):
        row = ranked(f"hf:{folders['bert']}", (inputs, labels), window=14, stride=9, bag=docs,
                     bag_pool=pool, pool=["mean", "cls"])  # fmt: skip
        pooled, ids, of_docs = tx.pool_bags(rows, docs, pool, labels=labels)
        score = row.layers["last_hidden_state/mean"]["logme"]
        assert float(score) == pytest.approx(float(tx.logme(pooled, of_docs)), abs=1e-9)
        assert row.n_samples == len(ids)


def test_bags_of_texts_sorted_by_length(folders: Any, texts: Any) -> None:
    inputs = texts[0]
    docs = list(np.random.default_rng(4).integers(0, 20, size=len(inputs)))
    labels = [int(doc) % 3 for doc in docs]
    rows = naive_rows(folders["bert"], inputs, 40, 40, "mean")
    row = ranked(f"hf:{folders['bert']}", (inputs, labels), bag=docs, window=40,
                 task="classification")  # fmt: skip
    pooled = tx.pool_bags(rows, docs, labels=labels)
    score = tx.logme(pooled.features, pooled.labels, task="classification")
    assert float(row.logme) == pytest.approx(float(score), abs=1e-9)


def test_sentence_transformers(minilm: Any) -> None:
    """The mean of the embeddings of the windows, computed by the library itself."""
    texts = ["the cat sat on the mat " * n for n in (1, 30, 7, 12)] + ["a dog"] * 3
    model = models.open_model(_as_st(minilm), device="cpu")
    windows = open_windows(model, 20, 10)
    cut = windows.cut(texts, str)
    assert cut.items == sorted(cut.items)
    tokenizer = minilm.tokenizer
    found: dict[int, list[Any]] = {}
    for encoded, item in zip(cut.inputs, cut.items, strict=True):
        text = tokenizer.decode(encoded.tokens["input_ids"], skip_special_tokens=True)
        found.setdefault(item, []).append(minilm.encode(text))
    layer = model.default_layer
    rows: list[Any] = []
    hook = model.module.get_submodule(layer).register_forward_hook(
        lambda module, args, output: rows.append(output)
    )
    with torch.no_grad():
        model.run(windows.collate(cut.inputs))
    hook.remove()
    ours = tx.pool_bags(rows[-1].numpy(), cut.items).features
    theirs = np.array([np.mean(found[item], axis=0) for item in range(len(texts))])
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def _as_st(minilm: Any) -> Any:
    return f"st:{Path(minilm[0].auto_model.config._name_or_path)}"


@pytest.fixture(scope="module")
def series() -> tuple[list[NDArray[np.float64]], list[int]]:
    rng = np.random.default_rng(1)
    found = [rng.normal(size=(rng.integers(24, 90), 2)) for _ in range(40)]
    return found, [int(own[0, 0] > 0) for own in found]


def patches(folder: Path) -> str:
    """A PatchTST of series of two channels, with a context of 16 steps."""
    torch.manual_seed(0)
    config = hf.PatchTSTConfig(context_length=16, patch_length=8, patch_stride=8, d_model=16,
                               num_input_channels=2, num_hidden_layers=2, num_attention_heads=2,
                               ffn_dim=16)  # fmt: skip
    hf.PatchTSTModel(config).save_pretrained(folder)
    return f"ts:{folder}"


def test_windows_of_series_are_those_of_a_transcription(series: Any) -> None:
    torch.manual_seed(0)
    module = tiny_models.Steps(24).double().eval()
    row = ranked({"steps": module}, series, window=24, stride=11, task="classification")
    rows = []
    for own in series[0]:
        of_windows = [
            module.features(torch.tensor(own[a:b].T[None])).mean(2)[0].detach().numpy()
            for a, b in spans(len(own), 24, 11)
        ]
        rows.append(np.mean(of_windows, axis=0))
    score = tx.logme(np.array(rows), series[1], task="classification")
    assert float(row.logme) == pytest.approx(float(score), abs=1e-9)


def test_windows_of_an_encoder_of_series(series: Any, tmp_path: Path) -> None:
    """Windows of no more than the context, which nothing is cut off."""
    row = ranked(patches(tmp_path), series, window=99, stride=6, task="classification")
    assert "windows of 16, as many as this model reads at once" in row.notes
    theirs = hf.PatchTSTModel.from_pretrained(tmp_path).double().eval()
    rows = []
    for own in series[0]:
        windows = np.stack([own[a:b] for a, b in spans(len(own), 16, 6)]).astype(np.float32)
        with torch.no_grad():
            x = theirs(torch.tensor(windows).double()).last_hidden_state
        rows.append(x.mean(dim=(0, 1, 2)).numpy())
    score = tx.logme(np.array(rows), series[1], task="classification")
    assert float(row.logme) == pytest.approx(float(score), abs=1e-9)


def test_windows_are_part_of_the_key(folders: Any, texts: Any, tmp_path: Path) -> None:
    options: list[dict[str, Any]] = [
        {},
        {"window": 12},
        {"window": 12, "stride": 5},
        {"window": 14},
    ]
    scores = [float(ranked(f"hf:{folders['bert']}", texts, tmp_path, **o).logme) for o in options]
    assert len(set(scores)) == 4
    again = [float(ranked(f"hf:{folders['bert']}", texts, tmp_path, **o).logme) for o in options]
    assert again == scores


def test_memory_that_runs_out_counts_no_window_twice(series: Any) -> None:
    torch.manual_seed(0)

    class Hungry(tiny_models.Steps):
        def forward(self, x: Any) -> Any:
            if len(x) > 3:
                raise MemoryError("no room")
            return super().forward(x)

    module = Hungry(24).double().eval()
    row = ranked(
        {"steps": module}, series, window=24, stride=11, task="classification", batch_size=16
    )
    calm = tiny_models.Steps(24).double().eval()
    calm.load_state_dict(module.state_dict())
    expected = ranked({"steps": calm}, series, window=24, stride=11, task="classification")
    assert float(row.logme) == pytest.approx(float(expected.logme), abs=1e-9)
    assert any("for lack of memory" in note for note in row.notes)


def test_windows_in_a_gap_are_left_out(series: Any, tmp_path: Path) -> None:
    """A window without a value says nothing of its series, which has others."""
    model = patches(tmp_path)
    rng = np.random.default_rng(3)
    whole = rng.normal(size=(48, 2))
    with_gap = np.concatenate([whole[:16], np.full((16, 2), np.nan), whole[32:]])
    without = [np.concatenate([whole[:16], whole[32:]]), *series[0]]
    labels = [0, *series[1]]
    options: dict[str, Any] = {"window": 16, "task": "classification"}
    expected = ranked(model, (without, labels), **options)
    found = ranked(model, ([with_gap, *series[0]], labels), **options)
    assert float(found.logme) == pytest.approx(float(expected.logme), abs=1e-9)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.full((40, 2), np.nan), "has no values but NaN"),
        (np.full((40, 2), np.inf), "has infinite values"),
        (np.zeros((40, 1)), "has 1 channels, and this model reads 2"),
        (np.zeros((0, 2)), r"has shape \(0, 2\)"),
    ],
)
def test_a_series_that_is_refused_is_named_by_its_row(
    wrong: Any, message: str, series: Any, tmp_path: Path
) -> None:
    """Not by its place among the windows, which are sorted by length."""
    items = [*series[0][:11], wrong, *series[0][12:]]
    options: dict[str, Any] = {"isolate": False, "cache": False, "task": "classification"}
    for more in ({"window": 16}, {}):
        row = tx.rank_models(patches(tmp_path), (items, series[1]), **options, **more)[0]
        assert re.search(rf"data\[11\]: .*{message}", str(row.error))


def test_windows_side_by_side_have_one_key(folders: Any, texts: Any, tmp_path: Path) -> None:
    name = f"hf:{folders['bert']}"
    first = ranked(name, texts, tmp_path, window=12)
    assert not first.from_cache
    for options in ({"window": 12, "stride": 12}, {"window": np.int64(12)}):
        again = tx.rank_models(name, texts, cache=tmp_path, isolate=False, n_threads=1,
                               dtype="float64", **options)[0]  # fmt: skip
        assert again.from_cache, again.error
        assert float(again.logme) == float(first.logme)


def test_progress_after_a_second_pass_reaches_all_rows(
    folders: Any, texts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory runs out when the first window is added, so that the pass begins again."""
    from transferability.torch._bags import BagRows

    add, states, calls = BagRows.add, [], []

    def fail(self: BagRows, *given: Any) -> None:
        calls.append(self.layer)
        if len(calls) == 1:
            raise MemoryError("once")
        add(self, *given)

    monkeypatch.setattr(BagRows, "add", fail)
    row = ranked(f"hf:{folders['bert']}", texts, window=12, progress=states.append)
    assert any("for lack of memory" in note for note in row.notes)
    assert max(state.done for state in states if state.stage == "extracting") == len(texts[0])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 0}, DataError, "window must be at least 1, got 0"),
        ({"window": 8.0}, DtypeError, "window must be a whole number"),
        ({"window": 8, "stride": 0}, DataError, "stride must be at least 1"),
        ({"window": 8, "stride": 9}, DataError, "stride is 9 and window 8; give a window of at"),
        ({"stride": 9}, DataError, "stride is 9 and window None"),
    ],
)
def test_wrong_windows(texts: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tx.rank_models({"m": tiny_models.Steps(24)}, texts, isolate=False, **options)


def test_what_has_no_windows(folders: Any, texts: Any, tmp_path: Path) -> None:
    words = ([["the", "cat"], ["a", "dog"]], [["x", "y"], ["x", "y"]])
    with pytest.raises(DataError, match="window cuts texts and series; leave it out for pictures"):
        tx.rank_models(f"hf:{folders['bert']}", words, window=8)
    sounds = ([{"array": np.zeros(90, np.float32), "sampling_rate": 16_000}] * 4, [0, 1, 0, 1])
    with pytest.raises(DataError, match="leave it out for pictures and sounds"):
        tx.rank_models(f"hf:{folders['bert']}", sounds, window=8)
    pairs = ([("the cat", "a dog")] * 10, ["a", "b"] * 5)
    for data, message in (
        (pairs, r"data\[0\] is tuple, and window cuts single texts"),
        (texts, "window is 2, and 2 tokens of each text are special"),
    ):
        row = tx.rank_models(
            f"hf:{folders['bert']}", data, window=2 if data is texts else 8, isolate=False,
            cache=False,
        )[0]  # fmt: skip
        assert row.error is not None
        assert re.search(message, str(row.error)), row.error
    own = {"f": lambda items: np.zeros((len(items), 2))}
    own["f"].kind = "text"  # type: ignore[attr-defined]
    row = tx.rank_models(own, texts, window=8, isolate=False, cache=False)[0]
    assert "has no tokeniser here; leave window out" in str(row.error)
    np.save(tmp_path / "m.npy", np.ones((60, 3)))
    row = tx.rank_models(f"features:{tmp_path / 'm.npy'}", texts, window=8, isolate=False)[0]
    assert "reads items of 'saved'; leave window out" in str(row.error)
