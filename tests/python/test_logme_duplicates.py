"""LogME where rows repeat and features can fit all others; z-scored features."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reference import logme as reference

import transferability as tx

Rows = NDArray[np.float64]
METHODS = ("auto", "tridiagonal", "svd")


def make_models(n: int, seed: int = 0) -> tuple[dict[str, Rows], NDArray[np.int64]]:
    """Models of several widths, each with more or less information on three classes."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % 3)
    models = {}
    for width, size in itertools.product((16, 40, 2 * n, 3 * n), (0.0, 0.6, 1.2, 2.4)):
        centres = np.zeros((3, width))
        centres[:, :10] = size * rng.normal(size=(3, 10)) / np.sqrt(5)
        models[f"{width} {size}"] = rng.normal(size=(n, width)) + centres[labels]
    return models, labels


def repeat(x: Any, rows: NDArray[np.intp], noise: float = 0.0) -> Any:
    """Append rows, with noise."""
    copies = x[rows]
    if noise:
        copies = copies + noise * np.random.default_rng(5).normal(size=copies.shape)
    return np.concatenate([x, copies])


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore warnings, such as that wide features are best explained without noise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tx.TransferabilityWarning)
        yield


def score(x: Any, labels: Any, **options: Any) -> float:
    """LogME, without its warnings."""
    with quiet():
        return float(tx.logme(x, labels, **options))


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
@pytest.mark.parametrize("share", [300, 60, 15, 5])
def test_models_are_ordered_as_by_the_distinct_rows(
    share: int, noise: float, intercept: bool
) -> None:
    n = 150
    models, labels = make_models(n)
    rows = np.random.default_rng(1).permutation(n)[: max(n // share, 1)]
    distinct = [score(x, labels, intercept=intercept) for x in models.values()]
    repeated = [
        score(repeat(x, rows, noise), labels[np.r_[:n, rows]], intercept=intercept)
        for x in models.values()
    ]
    assert np.isfinite(repeated).all()
    assert np.abs(np.subtract(repeated, distinct)).max() < 0.6 * len(rows) / n
    # Pairs keep their order, but for those closer than what a weight of two for these rows moves.
    for a, b in itertools.combinations(range(len(models)), 2):
        gap = distinct[a] - distinct[b]
        if abs(gap) > 0.3 * len(rows) / n:
            assert gap * (repeated[a] - repeated[b]) > 0, (list(models)[a], list(models)[b])
    assert np.ptp(distinct) > 0.5


def test_wide_noise_is_below_narrow_information() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    rows = rng.permutation(280)[:20]
    place = np.r_[:280, rows]
    noise = rng.normal(size=(300, 600))[place]
    narrow = rng.normal(size=(300, 40)) + 0.35 * rng.normal(size=(3, 40))[labels]
    informative = score(narrow[place], labels[place])
    assert score(noise, labels[place]) == pytest.approx(score(noise[:280], labels[:280]), abs=2e-3)
    assert score(noise, labels[place]) < informative - 0.02


def test_one_repeated_row_moves_the_score_by_its_weight_alone() -> None:
    # One of 400 rows: 1/400 of the gain over no features, and of the complexity, at most.
    rng = np.random.default_rng(3)
    labels = np.arange(400) % 4
    for size in (0.3, 0.6, 2.0):
        x = rng.normal(size=(400, 900)) + size * np.eye(4, 900)[labels] * 4
        row = np.array([7])
        expected, found = score(x, labels), score(repeat(x, row), labels[np.r_[:400, row]])
        assert found == pytest.approx(expected, abs=4 / 400)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("width", [90, 45])  # rows are held, and a scatter of rank 39
@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_rows_that_all_occur_twice_score_as_one_of_each(
    width: int, intercept: bool, method: str, kind: str
) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(40, width))
    labels: Any = np.arange(40) % 3
    x[:, :3] += np.eye(3)[labels]
    if kind == "multilabel":
        labels = (x[:, :2] + rng.normal(size=(40, 2)) > 0).astype(int)
    if kind == "regression":
        labels = x[:, :2] + rng.normal(size=(40, 2))
    options: dict[str, Any] = {"task": kind, "intercept": intercept, "method": method}
    twice, again = np.tile(x, (2, 1)), np.concatenate([labels, labels])
    expected = score(x, labels, **options)
    assert score(twice, again, **options) == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("width", [90, 45])
def test_blocks_and_merges_give_the_same(width: int) -> None:
    rng = np.random.default_rng(4)
    labels = np.arange(40) % 3
    x = rng.normal(size=(40, width)) + np.eye(3, width)[labels]
    place = np.r_[:40, 3:20]
    x, labels = x[place], labels[place]
    whole = tx.logme(x, labels)
    assert whole.distinct_rows == 40
    blocks = tx.Stats()
    for start in range(0, 57, 10):
        blocks.update(x[start : start + 10], labels[start : start + 10])
    parts = [tx.Stats().update(x[part], labels[part]) for part in (slice(25), slice(25, None))]
    for stats in (blocks, parts[0] + parts[1], parts[1] + parts[0]):
        found = stats.score("logme")
        assert found == pytest.approx(float(whole), abs=1e-12)
        assert found.distinct_rows == 40


def test_the_score_says_so() -> None:
    rng = np.random.default_rng(5)
    labels = np.arange(30) % 2
    x = rng.normal(size=(30, 50))
    with quiet():
        repeated = tx.logme(repeat(x, np.arange(3)), np.r_[labels, labels[:3]])
    assert "3 of the 33 rows are duplicates" in repeated.explain()
    assert repeated.converged.all()
    with quiet():
        plain = tx.logme(x, labels)
    assert "duplicates" not in plain.explain()
    assert "distinct_rows" not in plain.details


def test_repeated_rows_of_other_labels_are_observations() -> None:
    rng = np.random.default_rng(6)
    labels = np.arange(60) % 2
    x = rng.normal(size=(60, 100)) + 3 * np.eye(2, 100)[labels]
    same = tx.logme(repeat(x, np.arange(9)), np.r_[labels, labels[:9]])
    other = tx.logme(repeat(x, np.arange(9)), np.r_[labels, labels[:8], 1 - labels[8]])
    assert (same.distinct_rows, other.distinct_rows) == (60, 61)
    assert other < same  # a contradiction is evidence of noise


def test_rows_that_are_close_but_not_equal_are_kept() -> None:
    rng = np.random.default_rng(7)
    labels = np.arange(40) % 2
    x = rng.normal(size=(40, 60))
    for noise, told in ((1e-9, True), (1e-7, True), (1e-6, True), (1e-3, False), (0.1, False)):
        with quiet():
            found = tx.logme(repeat(x, np.arange(4), noise), np.r_[labels, labels[:4]])
        assert ("distinct_rows" in found.details) == told, noise
        assert np.isfinite(found)


def test_a_dead_unit_or_a_row_far_away_makes_no_others_equal() -> None:
    rng = np.random.default_rng(8)
    labels = np.arange(30) % 2
    x = rng.normal(size=(30, 40))
    x[:, 3] = 0.0
    close = repeat(x, np.arange(2), 1e-7)  # the dead unit has noise of its own
    assert tx.logme(close, np.r_[labels, labels[:2]]).distinct_rows == 30
    x[4] *= 1e9
    x[5, 7] = 1e12
    assert "distinct_rows" not in tx.logme(x, labels).details


def test_an_exact_fit_of_distinct_rows_is_unbounded_as_before() -> None:
    rng = np.random.default_rng(9)
    labels = np.arange(90) % 3
    x = np.c_[np.eye(3)[labels], rng.normal(size=(90, 9))]
    with pytest.warns(tx.TransferabilityWarning, match="unbounded"):
        assert tx.logme(x, labels) == np.inf
    # More than half as many columns as rows, one of them twice: rows do not limit the rank.
    x = np.c_[np.eye(3)[labels], rng.normal(size=(90, 50))]
    with pytest.warns(tx.TransferabilityWarning, match="unbounded"):
        assert tx.logme(x[:, 1:], labels, intercept=True) == np.inf


@pytest.mark.parametrize("seed", [4, 19])
def test_a_close_fit_by_as_many_columns_as_centred_rows_repeats_no_row(seed: int) -> None:
    """A small column has a large coefficient, beside which the residual looks like rounding."""
    rng = np.random.default_rng(seed)
    features, labels = rng.normal(size=(24, 23)), np.arange(24) % 3
    features[:, -1] *= 1e-4
    for method in METHODS:
        with quiet():
            found = tx.logme(features, labels, method=method)
        assert "distinct_rows" not in found.details
        expected = [reference.evidence(features, labels == c).value for c in range(3)]
        np.testing.assert_allclose(found.per_target, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("width", "copies", "intercept", "standardize"),
    [
        *itertools.product((45,), (3, 7), (False, True), (False,)),
        *itertools.product((60, 100), (5,), (False, True), (False,)),
        *itertools.product((60, 100), (5,), (True,), (True,)),
        *itertools.product((39,), (1.3, 2), (True,), (False, True)),
    ],
)
def test_rows_that_occur_several_times_are_bounded(
    width: int, copies: float, intercept: bool, standardize: bool
) -> None:
    # More rows than columns, so that only statistics tell: 40 distinct rows, of rank 39.
    rng = np.random.default_rng(14)
    labels = np.arange(40) % 3
    x = rng.normal(size=(40, width)) + np.eye(3, width)[labels]
    options: dict[str, Any] = {"intercept": intercept, "standardize": standardize}
    place = np.arange(int(40 * copies)) % 40
    found = tx.logme(x[place], labels[place], **options)
    assert found.distinct_rows == 40
    whole = copies == int(copies)
    assert found == pytest.approx(score(x, labels, **options), abs=1e-8 if whole else 0.1)
    streamed = tx.Stats()
    for start in range(0, len(place), 17):
        streamed.update(x[place[start : start + 17]], labels[place[start : start + 17]])
    assert streamed.score("logme", **options) == pytest.approx(float(found), abs=1e-9)


# Without an intercept z-scores, which have mean 0, do not reproduce shares.
@pytest.mark.parametrize(("intercept", "standardize"), [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize("kind", ["normal", "relu", "float32", "offset", "dependent"])
@pytest.mark.parametrize(("n", "extra"), [(90, 9), (90, 50), (90, 80), (300, 200)])
def test_labels_among_the_features_are_no_repeated_rows(
    n: int, extra: int, kind: str, intercept: int, standardize: int
) -> None:
    # The columns of the labels depend on each other, as do columns of repeated rows.
    rng = np.random.default_rng(15)
    labels = np.arange(n) % 3
    x = np.c_[np.eye(3)[labels], rng.normal(size=(n, extra))]
    if kind == "relu":
        x = np.maximum(x, 0)
    if kind == "float32":
        x = x.astype(np.float32)
    if kind == "offset":
        x = 1e-3 * x + 1e4
    if kind == "dependent":
        x[:, -4:] = 2 * x[:, 4:8]
    options: dict[str, Any] = {"intercept": bool(intercept), "standardize": bool(standardize)}
    with pytest.warns(tx.TransferabilityWarning, match="unbounded"):
        assert tx.logme(x, labels, **options) == np.inf


@pytest.mark.parametrize("kind", ["one norm", "zeros and ones"])
def test_rows_whose_norms_tell_nothing_are_told_by_their_rank(kind: str) -> None:
    rng = np.random.default_rng(16)
    labels = np.arange(60) % 2
    x = rng.normal(size=(60, 90))
    x = x / np.linalg.norm(x, axis=1, keepdims=True) if kind == "one norm" else (x > 0) * 1.0
    twice, again = np.tile(x, (2, 1)), np.tile(labels, 2)
    found = tx.logme(twice, again)
    assert found.distinct_rows == 60
    assert found == pytest.approx(score(x, labels), abs=1e-8)


@pytest.mark.parametrize("width", [4, 40, 90])
@pytest.mark.parametrize("noise", [0.0, 1e-7])
def test_every_metric_is_finite_on_repeated_rows(width: int, noise: float) -> None:
    rng = np.random.default_rng(10)
    n = 45
    labels, sources = np.arange(n) % 3, rng.dirichlet(np.ones(4), n)
    x = rng.normal(size=(n, width)) + np.eye(3, width)[labels]
    for n_copies in (1, 9, n):
        rows = np.arange(n_copies)
        place = np.r_[:n, rows]
        given: dict[str, Any] = {
            "source_probs": {"a": sources[place], "b": sources[place][:, ::-1]},
            "source_labels": dict.fromkeys("ab", sources[place].argmax(1)),
            "label_embeddings": rng.normal(size=(n, 3, 2))[place],
        }
        wide = repeat(x, rows, noise)
        with quiet():
            ranking = tx.rank({"a": wide, "b": wide + 0.1}, labels[place], "all", **given)
        for row in ranking:
            for metric, value in row.scores.items():
                assert np.isfinite(value), (metric, n_copies, float(value))
        assert len(ranking.metrics) > 15


def standardised(x: Rows) -> Rows:
    from sklearn.preprocessing import StandardScaler

    found: Rows = StandardScaler().fit_transform(x)
    return found


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shape", [(200, 10), (60, 59), (60, 60), (50, 120)])
@pytest.mark.parametrize("kind", ["classification", "multilabel", "regression"])
def test_standardize_is_logme_of_z_scores(
    kind: str, shape: tuple[int, int], intercept: bool, method: str
) -> None:
    rng = np.random.default_rng(11)
    scales = 10.0 ** rng.uniform(-3, 3, shape[1])
    x = rng.normal(size=shape) * scales + 5 * scales
    x[:, 1] = 3.3
    labels: Any = np.arange(shape[0]) % 3
    signal = x / scales - 5
    if kind == "multilabel":
        labels = (signal[:, 2:4] + rng.normal(size=(shape[0], 2)) > 0).astype(int)
    if kind == "regression":
        labels = signal[:, 2:4] + rng.normal(size=(shape[0], 2))
    options: dict[str, Any] = {"task": kind, "intercept": intercept, "keep_coef": True}
    with quiet():
        found = tx.logme(x, labels, standardize=True, method=method, **options)
        expected = tx.logme(standardised(x), labels, method=method, **options)
        blocks = tx.Stats(task=kind)
        for start in range(0, shape[0], 17):
            blocks.update(x[start : start + 17], labels[start : start + 17])
        streamed = blocks.score("logme", intercept=intercept, standardize=True)
    assert found == pytest.approx(float(expected), abs=1e-9)
    assert streamed == pytest.approx(float(found), abs=1e-9)
    # Coefficients are those of the features as they are.
    predicted = x @ found.coef.T + found.offset
    np.testing.assert_allclose(
        predicted, standardised(x) @ expected.coef.T + expected.offset, atol=1e-6
    )


def test_standardize_does_not_depend_on_units_and_is_checked() -> None:
    rng = np.random.default_rng(12)
    labels = np.arange(80) % 2
    x = rng.normal(size=(80, 6)) + labels[:, None]
    units = np.array([1e-6, 1e3, 1.0, 7.0, 1e5, 0.3])
    expected = tx.logme(x, labels, standardize=True)
    assert tx.logme(x * units, labels, standardize=True) == pytest.approx(float(expected))
    assert tx.logme(x * units, labels) != pytest.approx(float(tx.logme(x, labels)))
    with pytest.raises(tx.TransferabilityError, match="standardize"):
        tx.logme(x, labels, standardize="yes")  # type: ignore[arg-type]


def test_standardize_counts_repeated_rows_once() -> None:
    rng = np.random.default_rng(13)
    labels = np.arange(40) % 3
    x = (rng.normal(size=(40, 90)) + np.eye(3, 90)[labels]) * 10.0 ** rng.uniform(-3, 3, 90)
    twice = tx.logme(np.tile(x, (2, 1)), np.r_[labels, labels], standardize=True)
    assert twice.distinct_rows == 40
    assert twice == pytest.approx(float(tx.logme(x, labels, standardize=True)), abs=1e-9)
