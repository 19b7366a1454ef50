"""Rows of positions of maps: which, with which label, of which image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import transferability as tx
from transferability.errors import DataError
from transferability.torch import extract
from transferability.torch._dense import resample_labels


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


def test_a_function_reshapes_tokens_to_maps() -> None:
    """As of a vision transformer, whose tokens are a class token and a grid of patches."""
    _, labels = scene()
    tokens = torch.randn(12, 1 + 2 * 3, 8)
    model = torch.nn.Identity().eval()

    def grid(tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        return tokens[:, 1:].transpose(1, 2).reshape(len(tokens), -1, 2, 3)

    with extract(model, "", grid, keep_features=True, ignore=[255]) as ex:
        ex.update(tokens, labels)
    (features,) = ex.features.values()
    at = labels[:, 2::4, 2::4]
    np.testing.assert_array_equal(features, tokens[:, 1:].reshape(12, 2, 3, 8)[at != 255])
    with (
        extract(model, "", "none") as ex,
        pytest.raises(DataError, match=r"gives \(12, 7, 8\), and labels of pixels need maps"),
    ):
        ex.update(tokens, labels)


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
    np.testing.assert_array_equal(resample_labels(labels.numpy(), small, other), expected[0])
