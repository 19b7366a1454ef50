"""Rows of words and tokens: which, with which label, of which sample."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import transferability as tx
from transferability.errors import DataError, TransferabilityWarning
from transferability.torch import extract
from transferability.torch._tokens import ChunkTags, name_tags, select_words

#: [CLS] a b1 b2 [SEP] and [CLS] c1 c2 c3 d — the second is cut off after four sub-words.
WORD_IDS = [[None, 0, 1, 1, None], [None, 0, 0, 0, 1]]


def taken(labels: Any, pool: str, x: torch.Tensor, **options: Any) -> Any:
    with extract(nn.Identity().eval(), pool=pool, keep_features="float64", **options) as ex:
        ex.update(x, labels, word_ids=WORD_IDS)
    return ex


def test_a_word_is_its_first_its_last_or_all_its_sub_words() -> None:
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    labels = [["A", "B"], ["A", "C"]]
    for pool, rows in {
        "first_subword": [x[0, 1], x[0, 2], x[1, 1], x[1, 4]],
        "last_subword": [x[0, 1], x[0, 3], x[1, 3], x[1, 4]],
        "mean": [x[0, 1], x[0, 2:4].mean(0), x[1, 1:4].mean(0), x[1, 4]],
    }.items():
        ex = taken(labels, pool, x, task="classification")
        np.testing.assert_allclose(ex.features[""], torch.stack(rows), rtol=1e-14)
        assert ex.labels[""].tolist() == ["A", "B", "A", "C"]
        assert ex.groups[""].tolist() == [0, 0, 1, 1]
        assert ex.n_samples == 2


def test_none_and_minus_100_make_no_row() -> None:
    x = torch.randn(2, 5, 3)
    ex = taken([["A", None], [None, "B"]], "first_subword", x, task="classification")
    np.testing.assert_array_equal(ex.features[""], torch.stack([x[0, 1], x[1, 4]]))
    ex = taken([[3, -100], np.array([-100, 4])], "first_subword", x, task="classification")
    assert ex.labels[""].tolist() == [3, 4]
    ex = taken([[0.5, None], [-100.0, 2.5]], "mean", x, task="regression")
    assert ex.labels[""].tolist() == [0.5, 2.5]
    ex = taken([[[1.0, 2.0], None], [[3.0, 4.0], [5.0, 6.0]]], "mean", x, task="regression")
    assert ex.labels[""].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_words_that_were_cut_off_are_counted_and_said() -> None:
    x = torch.randn(2, 5, 3)
    with pytest.warns(TransferabilityWarning, match="3 labelled words were cut off"):
        ex = taken([["A", "B"], ["A", "C", "D", "E", "F"]], "mean", x, task="classification")
    assert ex.labels[""].tolist() == ["A", "B", "A", "C"]


def test_bio_is_stripped_or_kept() -> None:
    x, tags = torch.randn(2, 5, 3), [["B-PER", "I-PER"], ["O", "S-LOC"]]
    kept = taken(tags, "mean", x, task="classification")
    assert kept.labels[""].tolist() == ["B-PER", "I-PER", "O", "S-LOC"]
    stripped = taken(tags, "mean", x, task="classification", bio="strip")
    assert stripped.labels[""].tolist() == ["PER", "PER", "O", "LOC"]
    names = ["O", "B-PER", "I-PER"]
    by_id = taken([[1, 2], [0, -100]], "mean", x, task="classification", bio="strip",
                  tag_names=names)  # fmt: skip
    assert by_id.labels[""].tolist() == ["PER", "PER", "O"]
    with pytest.raises(DataError, match="needs tags as strings, or tag_names"):
        taken([[1, 2], [0, 0]], "mean", x, bio="strip")
    with pytest.raises(DataError, match="labels go from 0 to 3, but there are 3 tag_names"):
        name_tags(np.array([0, 3]), names)


class Tag(str, Enum):
    BEGIN = "B-PER"
    INSIDE = "I-PER"
    OUT = "O"


def test_members_of_a_str_enum_are_their_text() -> None:
    x = torch.randn(2, 5, 3)
    tags = [[Tag.BEGIN, Tag.INSIDE], [Tag.OUT, Tag.OUT]]
    kept = taken(tags, "mean", x, task="classification")
    assert kept.labels[""].tolist() == ["B-PER", "I-PER", "O", "O"]
    stripped = taken(tags, "mean", x, task="classification", bio="strip")
    assert stripped.labels[""].tolist() == ["PER", "PER", "O", "O"]
    by_id = taken([[0, 1], [2, 2]], "mean", x, task="classification", bio="strip",
                  tag_names=[*Tag])  # fmt: skip
    assert by_id.labels[""].tolist() == ["PER", "PER", "O", "O"]
    with extract(nn.Identity().eval(), pool="mean") as ex:
        ex.update(x, [["A", "B"], ["A", "A"]], word_ids=WORD_IDS, groups=[Tag.BEGIN, Tag.INSIDE])
    assert ex.groups[""].tolist() == ["B-PER", "B-PER", "I-PER", "I-PER"]


SENTENCES = ["B-PER I-PER O", "O O", "B-LOC", "I-LOC S-ORG O"] * 400  # 2,800 words


@pytest.mark.parametrize("size", [1, 7, 1600])
def test_the_scheme_does_not_depend_on_the_batch(size: int) -> None:
    tags = [sentence.split() for sentence in SENTENCES]
    with extract(nn.Identity().eval(), pool="mean", bio="strip", keep_features=True) as ex:
        for start in range(0, len(tags), size):
            part = tags[start : start + size]
            ids = [[*range(len(text)), None, None, None][:3] for text in part]
            x = torch.randn(len(part), 3, 2, generator=torch.Generator().manual_seed(start))
            ex.update(x, part, word_ids=ids)
    assert ex.stats[""].classes == ("LOC", "O", "ORG", "PER")
    assert ex.stats[""].class_counts == (800, 1600, 400, 800)
    assert "the tags are a BIOES scheme, whose prefixes B-, I-, S- were" in ex.stats[""].task_note
    flat = [tag.partition("-")[2] or tag for text in tags for tag in text]
    assert ex.labels[""].tolist() == flat


def test_tags_that_contradict_the_earlier_ones_are_refused() -> None:
    first, later = np.array(["B-PER", "I-PER", "O"]), np.array(["B-PER", "Boeing"])
    chunks = ChunkTags(None)
    assert chunks.read(np.array(["O", "O"]))[0].tolist() == ["O", "O"]  # decides nothing
    assert chunks.read(first)[0].tolist() == ["PER", "PER", "O"]
    assert chunks.read(np.array(["B-LOC", "S-LOC"]))[0].tolist() == ["LOC", "LOC"]
    with pytest.raises(DataError, match="the tag 'Boeing' contradicts the earlier ones, which are"):
        chunks.read(later)
    chunks = ChunkTags(None)
    chunks.read(np.array(["E-mail", "S-Bahn"]))
    with pytest.raises(DataError, match="no chunk scheme; give all tags as tag_names"):
        chunks.read(first)
    names = ["B-PER", "I-PER", "O", "Boeing"]
    chunks = ChunkTags(names)
    assert chunks.read(first)[0].tolist() == first.tolist()
    assert chunks.read(later)[0].tolist() == later.tolist()
    assert "'Boeing' is no tag of the chunk scheme" in ChunkTags(names).read(first)[1]


def test_names_of_all_tags_decide_the_scheme() -> None:
    x = torch.randn(2, 5, 3)
    names = ["O", "NAME-B", "NAME-M", "NAME-E"]
    for tags in ([["NAME-B", "NAME-E"], ["O", "NAME-B"]], [[1, 3], [0, 1]]):
        ex = taken(tags, "mean", x, task="classification", bio="strip", tag_names=names)
        assert ex.labels[""].tolist() == ["NAME", "NAME", "O", "NAME"]
        assert "a BMES scheme, whose suffixes -B, -M, -E" in ex.stats[""].task_note
    names = ["O", "E-mail", "S-Bahn", "letter"]
    ex = taken([[1, 2], [3, 0]], "mean", x, task="classification", bio="strip", tag_names=names)
    assert ex.labels[""].tolist() == ["E-mail", "S-Bahn", "letter", "O"]


def test_words_without_tokens_are_told_from_those_cut_off() -> None:
    x = torch.randn(2, 5, 3)
    ids = [[None, 0, 2, 2, None], [None, 0, 1, None, None]]  # the second is padded
    labels = [["A", "B", "A", "B"], ["A", "B", "A"]]
    with (
        pytest.warns(TransferabilityWarning) as caught,
        extract(nn.Identity().eval(), pool="mean", task="classification") as ex,
    ):
        ex.update(x, labels, word_ids=ids)
    messages = [str(warning.message) for warning in caught]
    assert any("1 labelled words were cut off with the end" in text for text in messages)
    assert any("2 labelled words have no token of their own" in text for text in messages)


def test_one_column_of_labels_is_one_target() -> None:
    x = torch.randn(60, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    scores = []
    for labels in (y, y[:, None], y[:, None].float(), y[:, None].numpy()):
        with extract(nn.Identity().eval(), pool=None) as ex:
            ex.update(x[:20], labels[:20])
            ex.update(x[20:], labels[20:])
        scores.append(float(ex.compute("logme")[""]))
        assert ex.stats[""].task == "classification"
        scores.append(float(tx.logme(x, labels)))
    assert scores[::2] == [scores[0]] * 4
    assert scores[1::2] == [scores[1]] * 4


@pytest.mark.parametrize(
    ("labels", "pool", "message"),
    [
        ([["A", "B"]], "mean", "labels has 1 entries but word_ids has 2"),
        ([["A"], ["B", "C"]], "mean", r"labels\[0\] has 1 entries but word_ids\[0\] knows word 1"),
        ([["A", "B"], ["B", "C"]], "cls", "pool='cls' does not make one row for each word"),
    ],
)
def test_labels_that_do_not_fit_words_are_refused(labels: Any, pool: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        taken(labels, pool, torch.randn(2, 5, 3))


def test_word_ids_must_fit_the_tokens() -> None:
    with pytest.raises(DataError, match=r"word_ids\[0\] has 5 entries but there are 6 tokens"):
        taken([["A", "B"], ["B", "C"]], "mean", torch.randn(2, 6, 3))
    with (
        extract(nn.Identity().eval(), pool="first_subword") as ex,
        pytest.raises(DataError, match="rows of words need word_ids"),
    ):
        ex.update(torch.randn(2, 5, 3), [["A"], ["B"]])


def test_labels_of_tokens_without_words() -> None:
    x = torch.randn(2, 4, 3)
    labels = torch.tensor([[-100, 1, 2, -100], [1, 1, -100, 7]])
    mask = torch.tensor([[1, 1, 1, 0], [1, 1, 1, 0]])
    with extract(nn.Identity().eval(), pool="none", keep_features=True) as ex:
        ex.update(x, labels, attention_mask=mask)
    np.testing.assert_array_equal(
        ex.features[""], torch.stack([x[0, 1], x[0, 2], x[1, 0], x[1, 1]])
    )
    assert ex.labels[""].tolist() == [1, 2, 1, 1]
    assert ex.groups[""].tolist() == [0, 0, 1, 1]
    with (
        extract(nn.Identity().eval(), pool="none") as ex,
        pytest.raises(DataError, match=r"labels\[0\] has 3 entries but there are 4 tokens; .*-100"),
    ):
        ex.update(x, [[1, 2, 3], [1, 2, 3]])
    for labels_of_samples in ([0, 1], ["c", "d"]):
        with (
            extract(nn.Identity().eval(), pool="none") as ex,
            pytest.raises(DataError, match="each of its tokens makes a row; give a list of label"),
        ):
            ex.update(x, labels_of_samples)


def test_each_layer_keeps_the_tokens_of_its_own_mask() -> None:
    """As in an encoder and a decoder whose sequences have one length."""
    model = nn.Sequential(nn.Identity(), nn.Identity()).eval()
    masks = {"0": torch.tensor([[1, 1, 0], [1, 0, 0]]), "1": torch.tensor([[1, 0, 0], [1, 1, 1]])}
    x = torch.randn(2, 3, 4)
    with extract(model, ["0", "1"], pool="none", keep_features=True) as ex:
        ex.update(x, torch.tensor([[1, 2, 3], [4, 5, 6]]), attention_mask=masks)
    assert ex.labels["0"].tolist() == [1, 2, 4]
    assert ex.labels["1"].tolist() == [1, 4, 5, 6]
    np.testing.assert_array_equal(ex.features["1"], x[masks["1"].bool()])


def test_real_word_ids_of_a_fast_tokeniser(minilm: Any) -> None:
    words = [["unbelievably", "good"], ["a", "transferability", "score", "of", "0.5"]]
    tokenizer = minilm.tokenizer
    encoded = tokenizer(words, is_split_into_words=True, padding=True, return_tensors="pt")
    ids = [encoded.word_ids(i) for i in range(2)]
    labels = [["X", "Y"], ["O", "X", None, "O", "Y"]]
    model = next(m for m in minilm.modules() if type(m).__name__ == "BertModel")
    with extract(model, "encoder.layer.2", keep_features=True, pool="mean") as ex:
        ex.update(encoded, labels, word_ids=ids)
    with torch.no_grad():
        hidden = model(**encoded, output_hidden_states=True).hidden_states[3]
    first = hidden[0, 1:-1][[i for i, w in enumerate(ids[0][1:-1]) if w == 0]].mean(0)
    np.testing.assert_allclose(ex.features["encoder.layer.2"][0], first, atol=1e-5)
    assert len(ex.features["encoder.layer.2"]) == 6
    assert ex.groups["encoder.layer.2"].tolist() == [0, 0, 1, 1, 1, 1]


def test_groups_may_be_given() -> None:
    x = torch.randn(2, 5, 3)
    with extract(nn.Identity().eval(), pool="mean") as ex:
        ex.update(x, [["A", "B"], ["A", "A"]], word_ids=WORD_IDS, groups=["doc7", "doc9"])
    assert ex.groups[""].tolist() == ["doc7", "doc7", "doc9", "doc9"]
    with extract(nn.Identity().eval(), pool="cls") as ex:
        ex.update(x, [0, 1], groups=[4, 5])
    assert ex.groups[""].tolist() == [4, 5]


@given(
    st.lists(
        st.lists(st.one_of(st.none(), st.integers(0, 4)), min_size=6, max_size=6),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=50, deadline=None)
def test_every_labelled_word_that_is_there_makes_one_row(word_ids: list[list[Any]]) -> None:
    labels = [[10 * i + w for w in range(5)] for i in range(len(word_ids))]
    expected = [
        10 * i + w
        for i, ids in enumerate(word_ids)
        for w in sorted({w for w in ids if w is not None})
    ]
    chosen = select_words(labels, word_ids, 6, "mean")
    assert chosen.labels is not None
    assert chosen.labels.tolist() == expected
    assert chosen.counted.sum() == sum(w is not None for ids in word_ids for w in ids)
    assert len(expected) + chosen.n_lost + chosen.n_empty == 5 * len(word_ids)
