"""Statistics on a device give the host's numbers: on the CPU, and on a GPU where there is one."""

from __future__ import annotations

import contextlib
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from transferability import Stats, logme
from transferability._inputs.target import read_block, read_target, unlabelled
from transferability._metric.registry import metric_specs
from transferability.errors import DataError
from transferability.torch import extract
from transferability.torch._device import DeviceMoments
from transferability.torch._finite import FiniteCheck
from transferability.torch._precision import full_precision

DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here"),
    ),
]
METRICS = [
    name
    for name, spec in metric_specs().items()
    if spec.needs == ("stats",) and "classification" in spec.tasks
    if name != "alpha_req"  # which refuses the 20 features of these problems
]


def problem(
    n: int = 300, d: int = 20, offset: float = 0.0, spread: float = 2.0
) -> tuple[torch.Tensor, Any]:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    labels = np.array(["a", "b", "c"])[x[:, :3].argmax(1).numpy()]
    return x * torch.logspace(-spread, spread, d, dtype=torch.float64) + offset, labels


def moments_of(
    x: torch.Tensor, labels: Any, block: int = 64, dtype: torch.dtype = torch.float64, **kind: Any
) -> DeviceMoments:
    held = DeviceMoments(dtype)
    for start in range(0, len(x), block):
        stop = start + block
        held.add(x[start:stop], read_target(labels[start:stop], kind.get("task", "classification")))
    return held


@pytest.mark.parametrize("device", DEVICES)
def test_features_without_labels(device: str) -> None:
    x, _ = problem(offset=5.0, spread=0.5)
    held, expected = DeviceMoments(torch.float64), Stats("unlabelled").update(x)
    for rows in x.to(device).split(64):
        held.add(rows, unlabelled(len(rows)))
    with extract(torch.nn.Identity().eval(), accumulate="device", dtype="float64") as ex:
        for rows in x.to(device).split(50):
            ex.update(rows)
    for stats in (held.to_stats(), *ex.stats.values()):
        assert (stats.task, stats.n_samples) == ("unlabelled", len(x))
        for shrinkage in (None, "ledoit-wolf", "oas"):
            found, wanted = (s.covariance(shrinkage) for s in (stats, expected))
            assert np.abs(found - wanted).max() < 1e-12 * np.abs(wanted).max()


@pytest.mark.parametrize("device", DEVICES)
def test_moments_are_what_they_say(device: str) -> None:
    x, labels = problem(offset=5.0)
    found = moments_of(x.to(device), labels).moments()
    z = x.numpy() - found["shift"]
    square = (z * z).sum(1)
    for name, expected in {
        "sum": z.sum(0),
        "scatter": z.T @ z,
        "cubic": square @ z,
        "quartic": square @ square,
        "largest": np.abs(z).max(),
        "class_counts": [(labels == c).sum() for c in "abc"],
        "class_sums": np.stack([z[labels == c].sum(0) for c in "abc"]),
        "class_squares": [square[labels == c].sum() for c in "abc"],
    }.items():
        # Sums of 300 terms: within 300 roundings of the sum of their absolute values.
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, atol=1e-13 * scale)
    assert found["n_samples"] == 300
    assert found["classes"] == ("a", "b", "c")
    np.testing.assert_allclose(found["shift"], x[:64].numpy().mean(0), rtol=1e-13)


def test_moments_of_targets_are_what_they_say() -> None:
    x, _ = problem()
    y = np.stack([x[:, 0].numpy() + 1e4, x[:, 1].numpy()], axis=1)
    found = moments_of(x, y, task="regression").moments()
    z, v = x.numpy() - found["shift"], y - found["target_shift"]
    np.testing.assert_allclose(found["target_sum"], v.sum(0), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(found["target_square"], (v * v).sum(0), rtol=1e-12)
    np.testing.assert_allclose(found["cross"], z.T @ v, rtol=1e-11, atol=1e-9)
    q, r = (z * z).sum(1), (v * v).sum(1)
    for name, expected in {
        "joint_quartic": q @ r,
        "joint_features": r @ z,
        "joint_targets": q @ v,
        "target_products": v.T @ v,
        "target_cubic": r @ v,
        "target_quartic": r @ r,
    }.items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, atol=1e-12 * scale)


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")  # n <= d
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("n", [12, 20, 21, 300])
def test_scores_are_those_of_the_host(n: int, device: str) -> None:
    # Variances within a factor of 100, or rounding alone would be more than the tolerance.
    x, labels = problem(n, offset=10.0, spread=0.5)
    found = moments_of(x.to(device), labels, block=7).to_stats().score(METRICS)
    expected = Stats().update(x.numpy(), labels).score(METRICS)
    for metric in METRICS:
        assert found[metric] == pytest.approx(expected[metric], rel=1e-10, abs=1e-10), metric
        assert found[metric].classes == expected[metric].classes
        assert found[metric].task_note == "classification, as asked"


@pytest.mark.parametrize("device", DEVICES)
def test_scores_of_targets_are_those_of_the_host(device: str) -> None:
    x, _ = problem()
    y = (x[:, 3] + 2 * x[:, 5]).numpy() + np.random.default_rng(0).normal(size=300)
    for targets in (y, np.stack([y, y**2], axis=1)):
        found = moments_of(x.to(device), targets, task="regression").to_stats()
        expected = Stats("regression").update(x.numpy(), targets)
        for metric in ("logme", "cka"):
            assert found.score(metric) == pytest.approx(expected.score(metric), rel=1e-10), metric


def test_more_targets_than_features_are_accumulated() -> None:
    x, _ = problem(d=4)
    y = np.random.default_rng(0).normal(size=(300, 6))
    found = moments_of(x, y, task="regression")
    assert "target_products" not in found.moments()
    expected = Stats("regression").update(x.numpy(), y).score("logme")
    assert found.to_stats().score("logme") == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scale", [1e-25, 1.0, 1e25])
def test_single_precision_has_its_digits_at_any_scale(scale: float, device: str) -> None:
    x, labels = problem()
    x = (x * scale).float()
    held = moments_of(x.to(device), labels, dtype=torch.float32)
    z = x.double().numpy() - held.moments()["shift"]
    expected = z.T @ z
    # n float32 products added in float32: at most n roundings, in effect their square root.
    bound = 300**0.5 * 2.0**-24 * np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert (np.abs(held.moments()["scatter"] - expected) <= 4 * bound).all()
    found, native = held.to_stats(), Stats().update(x.numpy(), labels)
    for metric, error in (
        *(("logme", 1e-6), ("regularized_h_score", 1e-6), ("h_score", 1e-5)),
        ("cka", 1e-6),
    ):
        assert found.score(metric) == pytest.approx(native.score(metric), rel=error, abs=error)


@pytest.mark.parametrize("device", DEVICES)
def test_an_offset_costs_no_digits(device: str) -> None:
    x, labels = problem()
    far = moments_of((x + 1e8).to(device), labels).to_stats().score("h_score")
    near = moments_of(x.to(device), labels).to_stats().score("h_score")
    # x + 1e8 itself is rounded to 1e-8 of the smallest column's deviation, 1e-2.
    assert far == pytest.approx(near, rel=1e-5)
    constant = x.clone()
    constant[:, 4] = 0.1
    found = moments_of(constant.to(device), labels).moments()
    assert (found["scatter"][4] == 0).all()


@given(cuts=st.lists(st.integers(1, 299), max_size=6), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_any_split_gives_the_same(cuts: list[int], seed: int) -> None:
    x, labels = problem()
    order = np.random.default_rng(seed).permutation(300)
    held = DeviceMoments(torch.float64)
    edges = [0, *sorted(set(cuts)), 300]
    for start, stop in itertools.pairwise(edges):
        rows = order[start:stop]
        held.add(x[rows], read_target(labels[rows], "classification"))
    found = held.moments()
    mean = found["shift"] + found["sum"] / 300
    np.testing.assert_allclose(mean, x.numpy().mean(0), rtol=1e-9, atol=1e-9)
    centred = found["scatter"] - np.outer(found["sum"], found["sum"]) / 300
    z = x.numpy() - x.numpy().mean(0)
    scale = np.sqrt(np.outer(*[(z * z).sum(0)] * 2))
    assert (np.abs(centred - z.T @ z) <= 1e-12 * scale).all()


@pytest.mark.parametrize("device", DEVICES)
def test_memory_on_the_device_is_bounded(device: str) -> None:
    d = 256
    held = DeviceMoments(torch.float32)
    for _ in range(6):
        held.add(torch.randn(128, d, device=device), read_target([0, 1] * 64, "classification"))
        assert held.nbytes <= 2 * d * d * 8
    assert held.nbytes < 1.1 * d * d * 8  # the scatter, and little else


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_products_are_exact_and_flags_are_left_alone(precision: str, device: str) -> None:
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision(precision)
        x = torch.randn(64, 64, device=device)
        exact = x.double() @ x.double()
        with torch.autocast(device, dtype=torch.bfloat16):
            with full_precision(torch.device(device)):
                product = x @ x
            assert (x @ x).dtype is torch.bfloat16  # autocast is on again
        assert product.dtype is torch.float32
        assert float((product - exact).abs().max()) < 1e-4  # TF32 and bfloat16 are off by 1e-2
        assert torch.get_float32_matmul_precision() == precision
        assert torch.backends.cuda.matmul.allow_tf32 == (precision != "highest")
    finally:
        torch.set_float32_matmul_precision(before)


def test_flags_come_back_after_an_error() -> None:
    flags = getattr(torch.backends.mkldnn, "matmul", None)
    if not hasattr(flags, "fp32_precision"):
        pytest.skip("this torch has no flags of its own for the CPU's products")
    before = flags.fp32_precision
    try:
        flags.fp32_precision = "bf16"
        during = []
        with contextlib.suppress(ZeroDivisionError), full_precision(torch.device("cpu")):
            during.append(flags.fp32_precision)
            during.append(1 / 0)
        assert during == ["ieee"]
        assert flags.fp32_precision == "bf16"
    finally:
        flags.fp32_precision = before


def test_a_flag_that_follows_a_wider_one_follows_it_again() -> None:
    if not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this torch has no flag for all products")
    flags = torch.backends.mkldnn.matmul
    before, own = torch.backends.fp32_precision, flags.fp32_precision
    try:
        flags.fp32_precision = "none"
        torch.backends.fp32_precision = "tf32"
        with full_precision(torch.device("cpu")):
            assert flags.fp32_precision == "ieee"
        assert flags.fp32_precision == "tf32"
        torch.backends.fp32_precision = "ieee"
        assert flags.fp32_precision == "ieee"
    finally:
        torch.backends.fp32_precision = before
        flags.fp32_precision = own


def test_columns_must_stay_the_same() -> None:
    held = moments_of(*problem())
    with pytest.raises(DataError, match="features has 5 columns, expected 20"):
        held.add(torch.ones(2, 5), read_target(["a", "b"], "classification"))


def test_what_a_device_finds_later_is_named_by_batch() -> None:
    bad = FiniteCheck(later=True)
    for batch in range(15):
        bad.inspect("fine", torch.ones(2, 2))
        bad.inspect("l1", torch.full((2, 2), torch.inf if batch in (4, 9) else 1.0))
        bad.end_of_batch()
    found = r"layer 'l1' gives features that are NaN.* in batch 4;"
    bad.inspect("l1", torch.ones(2, 2))
    with pytest.raises(DataError, match=found):
        bad.end_of_batch()  # the 16th
    with pytest.raises(DataError, match=found):
        bad.check()


def test_a_device_of_finite_numbers_is_let_be() -> None:
    bad = FiniteCheck(later=True)
    for _ in range(40):
        bad.inspect("l1", torch.ones(2, 2))
        bad.end_of_batch()
    bad.check()


#: Labels of blocks that follow each other, which decide only together.
BLOCKS: dict[str, list[Any]] = {
    "whole floats": [np.arange(8) % 3.0] * 6,
    "ids": [np.arange(8) % 7] * 6,
    "a late fraction": [np.arange(8) % 3.0] * 5 + [np.array([0.5])],
    "many whole floats": [np.arange(8.0) + 8 * i + 1e6 for i in range(7)],
    "ids, then floats": [np.arange(8) % 3] * 4 + [np.arange(8) % 3 + 0.5],
    "booleans, then ids": [np.arange(8) % 2 == 0] * 4 + [np.arange(8) % 3] * 3,
    "0 and 1, then targets": [np.eye(2)[[0, 1] * 4]] * 4 + [np.full((8, 2), 0.5)],
    "a constant, then another": [np.full(8, 7.0)] * 4 + [np.full(8, 7.5)],
}


@pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")  # n <= d
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("d", [3, 20, 80])  # the rows are held to the end, for a while, not at all
@pytest.mark.parametrize("kind", BLOCKS)
def test_the_task_is_decided_by_all_blocks(kind: str, d: int, device: str) -> None:
    x, _ = problem(60, d, spread=0.5)
    held, host, start, parts = DeviceMoments(torch.float64), Stats(), 0, []
    for labels in BLOCKS[kind]:
        rows = x[start : start + len(labels)]
        start += len(labels)
        held.add(rows.to(device), read_block(labels, "auto", held.described))
        host.update(rows.numpy(), labels)
        parts.append(labels)
    whole = logme(x[:start].numpy(), np.concatenate(parts))
    for stats in (held.to_stats(), host, held.to_stats() + Stats()):
        found = stats.score("logme")
        assert (found.task, found.classes) == (whole.task, whole.classes)
        assert found.per_target == pytest.approx(whole.per_target, rel=1e-9, abs=1e-9)


def test_labels_of_other_kinds_are_refused() -> None:
    x, labels = problem(6, 3)
    for first, second in [(labels, np.arange(6)), (labels, np.arange(6) + 0.5)]:
        held = DeviceMoments(torch.float64)
        held.add(x, read_block(first, "auto", None))
        with pytest.raises(DataError, match="one kind for all"):
            held.add(x, read_block(second, "auto", held.described))
