"""Label embeddings by functions: no model and no torch is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import transferability as tx
from transferability import DataError, DtypeError


def counts(words: Any) -> Any:
    return np.array([[str(word).count(c) for c in "abcdefgh"] for word in words], dtype=float)


def sizes(words: Any) -> Any:
    return np.array([[len(str(word)), 1.0, len({*str(word)})] for word in words])


@given(st.lists(st.sampled_from(["a", "b", "cat", "dog"]), min_size=1, max_size=9))
def test_rows_follow_labels(labels: list[str]) -> None:
    calls: list[list[str]] = []

    def encoder(words: list[str]) -> Any:
        calls.append(words)
        return counts(words)

    view = tx.label_embeddings(labels, {"x": encoder}, batch_size=2)["x"]
    np.testing.assert_array_equal(view, counts(labels))
    assert sorted(word for words in calls for word in words) == sorted({*labels})


def test_wide_views_are_projected_and_narrow_ones_kept() -> None:
    labels = ["cab", "bad", "face", "egg"]
    views = tx.label_embeddings(labels, [counts, sizes])
    np.testing.assert_array_equal(views["sizes"], sizes(labels))
    again = tx.label_embeddings(labels[::-1], [counts, sizes])
    np.testing.assert_allclose(again["counts"][::-1], views["counts"], rtol=0, atol=1e-14)
    basis = tx.label_embeddings([*"abcdefgh"], [counts], size=3)["counts"]
    np.testing.assert_array_equal(counts([*"abcdefgh"]), np.eye(8))
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-13)
    np.testing.assert_allclose(views["counts"], counts(labels) @ basis, atol=1e-13)
    assert tx.label_embeddings(labels, [counts, sizes], size=2)["sizes"].shape == (4, 2)


def test_classes_and_boxes() -> None:
    by_number = tx.label_embeddings(np.array([1, 0, 1]), [counts], names=["ab", "c"])["counts"]
    np.testing.assert_array_equal(by_number, counts(["c", "ab", "c"]))
    by_name = tx.label_embeddings(["x", "y"], [counts], names={"x": "ab", "y": "c"})["counts"]
    np.testing.assert_array_equal(by_name, counts(["ab", "c"]))
    boxes = np.array([[0.0, 1.0, 2.0, 3.0], [4.0, 5.0, 6.0, 7.0]])
    view = tx.label_embeddings(boxes, {"x": lambda rows: np.array(rows) * 2})["x"]
    np.testing.assert_array_equal(view, boxes * 2)


def test_views_go_into_emms() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    names = ["ace", "bead", "cafe", "badge"]
    views = tx.label_embeddings(labels, [counts, sizes], names=names, size=2)
    features = np.eye(4)[labels] + rng.normal(scale=0.3, size=(200, 4))
    assert tx.emms(features, views) > tx.emms(rng.normal(size=(200, 4)), views)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": []}, DataError, "labels is empty"),
        ({"labels": [0, 1]}, DataError, "labels hold 0, which means nothing to an encoder"),
        ({"labels": [0, 7], "names": ["a"]}, DataError, "names has none for the label 7; it has 1"),
        ({"labels": [-1], "names": ["a"]}, DataError, "names has none for the label -1"),
        ({"labels": np.zeros((2, 2, 2))}, DtypeError, r"dtype float64 and shape \(2, 2, 2\)"),
        ({"encoders": []}, DataError, "encoders is empty"),
        ({"encoders": "st:x"}, DtypeError, "encoders must be a list of encoders"),
        ({"encoders": [counts, counts]}, DataError, "two encoders are called 'counts'"),
        ({"encoders": [lambda words: np.ones(2)]}, DataError, r"an array of shape \(2,\)"),
        ({"encoders": {"x": lambda w: np.full((2, 3), np.nan)}}, DataError, "'x' gives NaN"),
        ({"size": 9}, DataError, r"size is 9, but the view 'counts' has 8 columns; give at most 8"),
        ({"size": 0}, DataError, "size must be at least 1, got 0"),
        ({"batch_size": 0}, DataError, "batch_size must be at least 1, got 0"),
    ],
)
def test_mistakes_are_named(arguments: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        tx.label_embeddings(**{"labels": ["a", "b"], "encoders": [counts], **arguments})


def brightness(files: Any) -> Any:
    image = pytest.importorskip("PIL.Image")
    return np.array([[np.asarray(image.open(file)).mean(), 1.0] for file in files])


brightness.kind = "image"  # type: ignore[attr-defined]


def test_files_are_cached_by_their_contents(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    files = [str(tmp_path / f"{i}.png") for i in range(2)]

    def embed() -> Any:
        return tx.label_embeddings(files, [brightness], cache=tmp_path / "cache")["brightness"]

    for levels in ([10, 20], [30, 20], [30, 20]):
        for file, level in zip(files, levels, strict=True):
            image.fromarray(np.full((2, 2, 3), level, np.uint8)).save(file)
        assert embed()[:, 0].tolist() == levels


def test_the_cache_may_be_switched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRANSFERABILITY_CACHE", str(tmp_path / "own"))
    for cache in (None, False, True, tmp_path / "named"):
        found = tx.label_embeddings(["cab", "bad"], [counts], cache=cache)["counts"]
        np.testing.assert_array_equal(found, counts(["cab", "bad"]))
        assert (tmp_path / "own").exists() == (cache is True or cache == tmp_path / "named")
    assert (tmp_path / "named").is_dir()
    with pytest.raises(DtypeError, match="cache is 3; give True, False, or the path"):
        tx.label_embeddings(["cab"], [counts], cache=3)  # type: ignore[arg-type]
