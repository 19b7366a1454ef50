"""Items that are longer than a model reads are counted in a note of its row, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models
import torch
import transformers as hf
from one_thread import OneThread

import transferability as tx
from transferability.models import open_model

N = 40
LABELS = [i % 2 for i in range(N)]
RNG = np.random.default_rng(0)
SERIES = [RNG.normal(size=(n, 2)) for n in (*range(7, 27), *range(7, 27))]  # 20 beyond 16 steps
TEXTS = [" ".join(["cat", "dog", "mat"][k % 3] for k in range(n)) for n in range(5, 5 + N)]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def patchtst(folder: Path) -> str:
    torch.manual_seed(0)
    config = hf.PatchTSTConfig(context_length=16, patch_length=8, patch_stride=8, d_model=16,
                               num_input_channels=2, num_hidden_layers=2, num_attention_heads=2,
                               ffn_dim=16)  # fmt: skip
    hf.PatchTSTModel(config).save_pretrained(folder)
    return f"ts:{folder}"


def notes_of(model: Any, items: Any, cache: Any = False, **options: Any) -> tuple[str, ...]:
    given = {"isolate": False, "device": "cpu", "task": "classification", **options}
    row = tx.rank_models(model, (items, LABELS), cache=cache, **given)[0]
    assert row.error is None, row.error
    return row.notes


def longest(row: tuple[str, ...]) -> list[str]:
    return [note for note in row if "longer than" in note]


def test_series_beyond_the_context_are_counted(tmp_path: Path) -> None:
    model = patchtst(tmp_path)
    expected = (
        "20 of 40 series are longer than the 16 steps that this model reads, and only their last "
        "16 count; window=16 averages windows of all steps"
    )
    assert longest(notes_of(model, SERIES)) == [expected]
    assert longest(notes_of(model, SERIES, layers="all", pool="all", batch_size=7)) == [expected]
    assert longest(notes_of(model, SERIES, window=16)) == []
    assert longest(notes_of(model, [own[-16:] for own in SERIES])) == []


def test_the_note_is_in_the_cache_too(tmp_path: Path) -> None:
    model = patchtst(tmp_path / "model")
    first = notes_of(model, SERIES, tmp_path / "cache")
    again = notes_of(model, SERIES, tmp_path / "cache")
    assert again == ("from the cache", *first)
    assert len(longest(again)) == 1


def test_a_race_counts_the_items_of_all_rounds(tmp_path: Path) -> None:
    n = 400
    model = patchtst(tmp_path / "model")
    series = [RNG.normal(size=(17 if i % 2 else 16, 2)) for i in range(n)]
    labels = [int(own[-1, 0] > 0) for own in series]
    race = tx.Race(top=1, first=100, growth=2.0)
    models = {"a": model, "b": f"{model}?pool=max", "c": f"{model}?pool=cls"}
    ranking = tx.rank_models(
        models, (series, labels), cache=tmp_path / "cache", isolate=False, race=race
    )
    for row in ranking:
        n_rows = row.n_samples
        n_cut = sum(1 for own in longest(row.notes) if f" of {n_rows} series are longer" in own)
        assert n_cut == 1, (row.notes, n_rows)


def test_texts_that_are_truncated_are_counted(tmp_path: Path) -> None:
    model = f"hf:{tiny_models.bert(tmp_path / 'bert', max_position_embeddings=24)}"
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "bert")
    n_cut = sum(len(tokenizer(text)["input_ids"]) > 24 for text in TEXTS)
    assert 0 < n_cut < N
    expected = (
        f"{n_cut} of 40 texts are longer than the 24 tokens that this model reads, and are cut off "
        f"there; window=24 averages windows of all tokens"
    )
    assert longest(notes_of(model, TEXTS)) == [expected]
    alike = [" ".join(["cat", "dog"][(i >> k) & 1] for k in range(6)) * 6 for i in range(N)]
    (flat,) = longest(notes_of(model, alike, pool="flatten"))  # not tokenised ahead
    assert flat.startswith("40 of 40 texts are longer than the 24 tokens")
    assert longest(notes_of(model, TEXTS, max_length=10)) == [], "the user has asked for it"
    assert longest(notes_of(model, TEXTS, max_length=99)) == [expected]
    assert longest(notes_of(model, TEXTS, window=24)) == []
    assert longest(notes_of(model, [text[:20] for text in TEXTS])) == []


def test_pairs_that_are_truncated_have_another_remedy(tmp_path: Path) -> None:
    model = f"hf:{tiny_models.bert(tmp_path / 'bert', max_position_embeddings=24)}"
    (note,) = longest(notes_of(model, [(text, "a dog") for text in TEXTS]))
    assert note.endswith("are cut off there; shorten them")


def test_a_tokeniser_in_python_is_asked_again(tmp_path: Path) -> None:
    """It does not say which texts it has truncated."""
    from transferability.models._inputs import Texts

    class Slow:
        """A fast tokeniser without the encodings that say so."""

        def __init__(self, folder: Path) -> None:
            tiny_models.bert(folder)
            self.own = hf.AutoTokenizer.from_pretrained(folder)
            self.pad_token, self.is_fast = "[PAD]", False

        def __call__(self, *columns: Any, **options: Any) -> Any:
            return dict(self.own(*columns, **options))

    texts = Texts(Slow(tmp_path / "bert"), 12)
    encoded = texts.encode(TEXTS)
    assert encoded is not None
    tokenizer = hf.AutoTokenizer.from_pretrained(tmp_path / "bert")
    assert [own.is_cut for own in encoded] == [len(tokenizer(t)["input_ids"]) > 12 for t in TEXTS]
    pairs = texts.encode([(text, "a dog") for text in TEXTS])
    assert pairs is not None
    assert [own.is_cut for own in pairs] == [
        len(tokenizer(text, "a dog")["input_ids"]) > 12 for text in TEXTS
    ]


def test_sentence_transformers_count_too(minilm: Any) -> None:
    folder = Path(minilm[0].auto_model.config._name_or_path)
    limit = minilm.max_seq_length
    long = ["cat " * (limit - 2), "cat " * (limit - 1), "dog " * 3 * limit, "short"]
    (note,) = longest(notes_of(f"st:{folder}", long * 10, batch_size=4))
    assert note.startswith(f"20 of 40 texts are longer than the {limit} tokens")
    assert longest(notes_of(f"st:{folder}", long * 10, max_length=16)) == []


@pytest.mark.parametrize(
    ("make", "seconds", "words"),
    [
        (tiny_models.whisper, 1.0, "the 1 s that"),
        (tiny_models.spectrogram_transformer, (160 * 64 + 399) / 16_000, "the 0.665 s that"),
    ],
)
def test_sounds_are_counted(make: Any, seconds: float, words: str, tmp_path: Path) -> None:
    limit = round(seconds * 16_000)
    sounds = [
        {"array": RNG.normal(size=limit + (i % 4 == 0)).astype(np.float32), "sampling_rate": 16_000}
        for i in range(N)
    ]
    (note,) = longest(notes_of(f"hf:{make(tmp_path)}", sounds))
    assert note.startswith(f"10 of 40 sounds are longer than {words}")
    assert "bag=" in note


def test_a_sound_has_a_limit_where_the_extractor_cuts(tmp_path: Path) -> None:
    """One sample more than the limit changes nothing that the model gets, one less does."""
    for make in (tiny_models.whisper, tiny_models.spectrogram_transformer):
        inputs = open_model(f"hf:{make(tmp_path / make.__name__)}", device="cpu").inputs
        n = round(inputs.reads * 16_000)
        sound = RNG.normal(size=n + 400).astype(np.float32)
        whole, cut, short = (inputs.stack([sound[:m]]) for m in (n + 400, n, n - 400))
        (key,) = (k for k in whole if "input" in k)
        shapes = {tuple(batch[key].shape) for batch in (whole, cut, short)}
        assert len(shapes) == 1
        assert not torch.equal(cut[key], short[key])
        assert inputs.exceeds(sound[: n + 1])
        assert not inputs.exceeds(sound[:n])
    inputs = open_model(f"hf:{tiny_models.wav2vec2(tmp_path / 'wav')}", device="cpu").inputs
    assert inputs.reads is None
    assert not inputs.exceeds(sound)


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("kind", ["texts", "series", "encoder"])
def test_windows_of_items_that_one_thread_may_read(
    kind: str, batch_size: int | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    models: dict[str, Any] = {
        "texts": lambda: f"hf:{tiny_models.bert(tmp_path, max_position_embeddings=24)}",
        "series": lambda: tiny_models.Steps(12).double().eval(),
        "encoder": lambda: patchtst(tmp_path),
    }
    long = [RNG.normal(size=(n, 2)) for n in range(14, 14 + N)]
    items: list[Any] = {"texts": TEXTS, "series": long, "encoder": SERIES}[kind]
    model = models[kind]()
    options: dict[str, Any] = {"window": 12, "stride": 5, "isolate": False, "cache": False}
    options |= {"dtype": "float64", "task": "classification", "batch_size": batch_size}
    bound = tx.rank_models({"m": model}, (OneThread(items), LABELS), **options)[0]
    free = tx.rank_models({"m": model}, (items, LABELS), **options)[0]
    assert bound.error is None, bound.error
    assert float(bound.logme) == pytest.approx(float(free.logme), abs=1e-9)
    assert bound.n_samples == free.n_samples == N


def test_bound_items_are_counted_and_named(tmp_path: Path) -> None:
    model = f"hf:{tiny_models.bert(tmp_path, max_position_embeddings=24)}"
    plain = longest(notes_of(model, TEXTS))
    assert longest(notes_of(model, OneThread(TEXTS))) == plain
    states: list[Any] = []
    notes_of(model, OneThread(TEXTS), window=12, progress=states.append)
    assert max(state.done for state in states if state.stage == "extracting") == N
    # An item that cannot be read at all is named by its row, with windows too.
    broken = [*SERIES[:11], np.full((40, 2), np.inf), *SERIES[12:]]
    row = tx.rank_models(
        patchtst(tmp_path / "ts"), (OneThread(broken), LABELS), window=16, isolate=False,
        cache=False, task="classification",
    )[0]  # fmt: skip
    assert "data[11]: " in str(row.error)


def test_bags_of_windows_of_bound_items(tmp_path: Path) -> None:
    model = f"hf:{tiny_models.bert(tmp_path, max_position_embeddings=24)}"
    bags = [i // 4 for i in range(N)]
    labels = [bag % 2 for bag in bags]
    options: dict[str, Any] = {"window": 12, "isolate": False, "cache": False, "bag": bags}
    options |= {"dtype": "float64", "batch_size": 5}
    bound = tx.rank_models(model, (OneThread(TEXTS), labels), **options)[0]
    free = tx.rank_models(model, (TEXTS, labels), **options)[0]
    assert bound.error is None, bound.error
    assert float(bound.logme) == pytest.approx(float(free.logme), abs=1e-9)
    assert bound.n_samples == 10
