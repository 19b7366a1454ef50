"""Pooling: the numbers of sentence-transformers and transformers, masks, shapes and messages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferability.errors import DataError, DtypeError
from transferability.torch import POOLS
from transferability.torch._names import check_pool
from transferability.torch._pooling import pool_rows

OF_TOKENS = ["mean", "cls", "max", "lasttoken", "mean_sqrt_len_tokens", "weightedmean"]
MASKS = {
    "right": [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]],
    "left": [[1, 1, 1, 1, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 1]],
    "mixed": [[0, 1, 1, 1, 0], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1]],
}


@pytest.mark.parametrize("side", MASKS)
@pytest.mark.parametrize("pool", OF_TOKENS)
def test_it_gives_the_numbers_of_sentence_transformers(pool: str, side: str) -> None:
    modules = pytest.importorskip("sentence_transformers.sentence_transformer.modules")
    x, mask = torch.randn(3, 5, 7, dtype=torch.float64), torch.tensor(MASKS[side])
    theirs = modules.Pooling(7, pooling_mode=pool)({"token_embeddings": x, "attention_mask": mask})[
        "sentence_embedding"
    ]
    torch.testing.assert_close(pool_rows(x, pool, mask, "x"), theirs, rtol=1e-12, atol=1e-12)


def test_lasttoken_is_what_transformers_classifies_by() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(
        vocab_size=50, n_embd=16, n_layer=2, n_head=2, n_positions=20, pad_token_id=0, num_labels=3
    )
    model = transformers.GPT2ForSequenceClassification(config).eval()
    ids = torch.tensor([[5, 6, 7, 8], [9, 4, 0, 0], [3, 0, 0, 0]])
    mask = (ids != 0).long()
    with torch.no_grad():
        hidden = model.transformer(ids, attention_mask=mask).last_hidden_state
        logits = model(ids, attention_mask=mask).logits
    torch.testing.assert_close(model.score(pool_rows(hidden, "lasttoken", mask, "h")), logits)


def test_cls_and_spatial_mean_are_what_transformers_pools_by(bert: torch.nn.Module) -> None:
    transformers = pytest.importorskip("transformers")
    ids = torch.randint(5, 60, (3, 6))
    with torch.no_grad():
        out = bert(ids)
        first = pool_rows(out.last_hidden_state, "cls", None, "h")
        torch.testing.assert_close(torch.tanh(bert.pooler.dense(first)), out.pooler_output)
    config = transformers.ResNetConfig(embedding_size=4, hidden_sizes=[4, 8], depths=[1, 1])
    resnet = transformers.ResNetModel(config).eval()
    with torch.no_grad():
        out = resnet(torch.randn(2, 3, 32, 48))
    mean = pool_rows(out.last_hidden_state, "mean", None, "h")
    torch.testing.assert_close(mean, out.pooler_output.flatten(1))


@given(
    left=st.integers(0, 4),
    right=st.integers(0, 4),
    n_tokens=st.integers(1, 6),
    pool=st.sampled_from([*OF_TOKENS, "mean_sqrt_len"]),
    junk=st.sampled_from([0.0, 1e6, np.inf, np.nan]),
)
@settings(max_examples=60, deadline=None)
def test_padding_changes_nothing(
    left: int, right: int, n_tokens: int, pool: str, junk: float
) -> None:
    x = torch.randn(2, n_tokens, 3, dtype=torch.float64)
    padded = torch.full((2, left + n_tokens + right, 3), junk, dtype=torch.float64)
    padded[:, left : left + n_tokens] = x
    mask = torch.zeros(2, left + n_tokens + right)
    mask[:, left : left + n_tokens] = 1
    expected = pool_rows(x, pool, None, "x")
    torch.testing.assert_close(pool_rows(padded, pool, mask, "x"), expected, rtol=1e-12, atol=1e-12)


def test_the_formulas() -> None:
    x = torch.tensor([[[1.0], [2.0], [6.0], [99.0]]])
    mask = torch.tensor([[1, 1, 1, 0]])
    found = {pool: float(pool_rows(x, pool, mask, "x")) for pool in OF_TOKENS}
    assert found == pytest.approx(
        {
            "mean": 3.0,
            "cls": 1.0,
            "max": 6.0,
            "lasttoken": 6.0,
            "mean_sqrt_len_tokens": 9 / 3**0.5,
            "weightedmean": (1 + 4 + 18) / 6,
        }
    )


@pytest.mark.parametrize("pool", [*OF_TOKENS])
def test_a_sample_without_tokens_gives_no_number(pool: str) -> None:
    rows = pool_rows(torch.ones(2, 3, 2), pool, torch.tensor([[1, 1, 1], [0, 0, 0]]), "x")
    assert torch.isfinite(rows[0]).all()
    assert not torch.isfinite(rows[1]).any()


def test_maps_are_pooled_over_space_whichever_side_the_channels_are() -> None:
    x = torch.randn(2, 3, 4, 5)
    last = x.permute(0, 2, 3, 1)
    for kind, values in (("mean", x.mean((2, 3))), ("max", x.amax((2, 3)))):
        torch.testing.assert_close(pool_rows(x, kind, None, "x"), values)
        torch.testing.assert_close(pool_rows(last, f"nhwc_{kind}", None, "x"), values)
    torch.testing.assert_close(pool_rows(x, "nchw_mean", None, "x"), x.mean((2, 3)))
    assert pool_rows(torch.ones(2, 3, 4, 5, 6), "mean", None, "video").shape == (2, 3)


def test_maps_that_look_channel_last_are_not_guessed_at() -> None:
    with pytest.raises(DataError, match=r"looks like \(N, H, W, C\).*nhwc_mean.*nchw_mean"):
        pool_rows(torch.ones(2, 7, 7, 96), "mean", None, "swin")
    assert pool_rows(torch.ones(2, 7, 7, 96), "nhwc_mean", None, "swin").shape == (2, 96)


def test_half_precision_is_summed_in_float32() -> None:
    x = torch.full((1, 4096, 1), 1.0, dtype=torch.float16)
    x[0, 1:] = 2.0**-12  # each is below half a unit of the last place of 1 in float16
    rows = pool_rows(x, "mean", None, "x")
    assert rows.dtype is torch.float32
    assert float(rows * 4096) == pytest.approx(1 + 4095 * 2.0**-12, rel=1e-6)
    assert pool_rows(x.bfloat16(), "cls", None, "x").dtype is torch.float32
    assert pool_rows(x.double(), "cls", None, "x").dtype is torch.float64


@pytest.mark.parametrize(
    ("shape", "pool", "mask", "message"),
    [
        ((2, 3, 4), None, None, r"pool first: pool='mean'"),
        ((2, 3, 4, 5), None, None, r"4-D features of shape \(2, 3, 4, 5\); pool first"),
        ((2, 3, 4, 5), "cls", None, r"pool='cls' does not fit; give 'mean'"),
        ((2, 3, 4), "nhwc_mean", None, r"pool='nhwc_mean' does not fit"),
        ((2, 3, 4), "mean", (2, 7), r"\(2, 3\) \(samples, tokens\).*attention_mask is \(2, 7\)"),
    ],
)
def test_what_does_not_fit_is_refused(
    shape: tuple[int, ...], pool: str | None, mask: tuple[int, ...] | None, message: str
) -> None:
    given_mask = None if mask is None else torch.ones(mask)
    with pytest.raises(DataError, match=message):
        pool_rows(torch.ones(shape), pool, given_mask, "enc")
    with pytest.raises(DataError, match="layer 'enc'"):
        pool_rows(torch.ones(shape), pool, given_mask, "enc")


def test_flat_rows_stay_and_complex_ones_are_refused() -> None:
    x = torch.randn(3, 4)
    for pool in ("mean", "cls", "flatten", None, "none"):
        assert torch.equal(pool_rows(x, pool, None, "x"), x)
    assert pool_rows(torch.ones(3), "mean", None, "x").shape == (3, 1)
    assert pool_rows(torch.ones(2, 3, 4), "flatten", None, "x").shape == (2, 12)
    with pytest.raises(DtypeError, match="complex"):
        pool_rows(x.to(torch.complex64), "mean", None, "x")


def test_unknown_pools_are_refused_with_the_known_ones() -> None:
    with pytest.raises(DataError, match=r"pool is 'avg'; choose from mean, cls"):
        check_pool("avg")
    for pool in POOLS:
        check_pool(pool)
