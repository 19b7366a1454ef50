"""Rows of words, tokens and positions: which, with which label, of which sample."""

from __future__ import annotations

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
from transferability.torch._dense import resampled
from transferability.torch._tokens import select_words, strip_bio

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
        strip_bio(np.array([0, 3]), names)
    assert strip_bio(np.array(["B-52-X", "Boeing", "U-ORG"]), None).tolist() == [
        "52-X", "Boeing", "ORG"
    ]  # fmt: skip


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
    assert len(expected) + chosen.n_lost == 5 * len(word_ids)


class Maps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fine = nn.Conv2d(3, 6, 2, stride=2)
        self.coarse = nn.Conv2d(6, 8, 2, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.coarse(self.fine(x))


def scene(n: int = 12) -> tuple[torch.Tensor, np.ndarray]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(n, 3, 8, 12, generator=generator)
    labels = np.kron(x[:, 0, ::4, ::4].numpy() > 0, np.ones((1, 4, 4))).astype(np.int64)
    labels[:, 0, :] = 255
    return x, labels


def test_pixels_labels_come_to_each_map_and_each_position_is_a_row() -> None:
    (x, labels), model = scene(), Maps().eval()
    with extract(model, ["fine", "coarse"], "none", keep_features=True, ignore=[255]) as ex:
        for start in range(0, 12, 5):
            ex.update(x[start : start + 5], labels[start : start + 5])
    fine = model.fine(x).detach()
    at = labels[:, 1::2, 1::2]  # the pixel at, or next after, the middle of each cell of two
    rows = np.moveaxis(fine.numpy(), 1, -1)[at != 255]
    np.testing.assert_allclose(ex.features["fine"], rows, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(ex.labels["fine"], at[at != 255])
    np.testing.assert_array_equal(ex.groups["fine"], np.nonzero(at != 255)[0])
    assert ex.features["coarse"].shape == (12 * 2 * 3, 8)
    expected = tx.logme(ex.features["fine"], ex.labels["fine"])
    assert ex.compute()["fine"] == pytest.approx(expected, rel=1e-10)


def test_positions_are_sampled_by_seed_and_image_not_by_batch() -> None:
    (x, labels), model = scene(), Maps().eval()

    def sampled(size: int, seed: int) -> Any:
        with extract(model, "fine", "none", keep_features=True, positions=4, seed=seed) as ex:
            for start in range(0, 12, size):
                ex.update(x[start : start + size], labels[start : start + size])
        return ex

    one, other, reseeded = sampled(12, 0), sampled(5, 0), sampled(12, 1)
    assert one.groups["fine"].tolist() == np.repeat(np.arange(12), 4).tolist()
    np.testing.assert_allclose(one.features["fine"], other.features["fine"], rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(one.labels["fine"], other.labels["fine"])
    assert not np.array_equal(one.features["fine"], reseeded.features["fine"])


def test_maps_with_the_channels_last_and_depths_as_targets() -> None:
    x = torch.randn(6, 4, 5, 3)
    depth = np.random.default_rng(0).normal(size=(6, 8, 10))
    depth[0, 4:, :] = np.nan
    with extract(
        nn.Identity().eval(), pool="nhwc_none", task="regression", keep_features=True
    ) as ex:
        ex.update(x, depth)
    left = ~np.isnan(depth[:, 1::2, 1::2])
    np.testing.assert_array_equal(ex.features[""], x.numpy()[left])
    np.testing.assert_array_equal(ex.labels[""], depth[:, 1::2, 1::2][left])


def test_a_function_may_make_maps_of_tokens() -> None:
    labels, pool = scene()[1], lambda x, mask: x[:, 1:].transpose(1, 2).unflatten(2, (2, 3))
    tokens = torch.randn(12, 7, 5)
    with extract(nn.Identity().eval(), pool=pool, keep_features=True) as ex:
        ex.update(tokens, labels)
    assert ex.features[""].shape == (12 * 6, 5)
    np.testing.assert_array_equal(ex.features[""].reshape(12, 6, 5), tokens[:, 1:])


def test_labels_of_pixels_must_be_maps() -> None:
    with (
        extract(Maps().eval(), "fine", "none") as ex,
        pytest.raises(DataError, match=r"labels has shape \(12,\), but the maps are \(12, 4, 6\)"),
    ):
        ex.update(scene()[0], np.zeros(12))


@given(full=st.integers(1, 20), small=st.integers(1, 20), other=st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_resampling_is_torchs_nearest_exact(full: int, small: int, other: int) -> None:
    labels = torch.arange(full * 7, dtype=torch.float64).reshape(1, full, 7)
    expected = nn.functional.interpolate(labels[None], size=(small, other), mode="nearest-exact")
    np.testing.assert_array_equal(resampled(labels.numpy(), small, other), expected[0])
