"""Rankings of statistics that were collected before."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import transferability as tx


def stats_of(features: NDArray[np.float64], labels: NDArray[np.int64], **options: bool) -> tx.Stats:
    half = len(features) // 2
    first = tx.Stats(**options).update(features[:half], labels[:half])
    return first + tx.Stats(**options).update(features[half:], labels[half:])


def test_it_is_the_ranking_of_the_features(
    features: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    models = {"good": features, "poor": features[::-1]}
    states = {name: stats_of(array, labels) for name, array in models.items()}
    ranking = tx.rank(states, metrics=["logme", "h_score"])
    expected = tx.rank(models, labels, ["logme", "h_score"])
    assert ranking.names == expected.names
    for name in models:
        np.testing.assert_allclose(ranking[name].logme, expected[name].logme, rtol=1e-12)
        np.testing.assert_allclose(ranking[name].h_score, expected[name].h_score, rtol=1e-12)


def test_metrics_of_classes_need_class_scatters(
    features: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    with pytest.raises(tx.DataError, match="class_scatters=True"):
        tx.rank({"a": stats_of(features, labels)}, metrics="transrate")
    states = {"a": stats_of(features, labels, class_scatters=True)}
    expected = tx.transrate(features, labels)
    np.testing.assert_allclose(tx.rank(states, metrics="transrate").best.transrate, expected)


def test_all_skips_what_needs_the_samples(
    features: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    ranking = tx.rank({"a": stats_of(features, labels)}, metrics="all")
    assert "knn" in ranking.skipped
    assert ranking.best.logme == pytest.approx(tx.logme(features, labels))


def test_other_rows_or_classes_are_refused(
    features: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    ours = stats_of(features, labels)
    with pytest.raises(tx.DataError, match=r"'a' and 'b'.*n_samples is 90 and 80"):
        tx.rank({"a": ours, "b": stats_of(features[:80], labels[:80])})
    with pytest.raises(tx.DataError, match="classes is"):
        tx.rank({"a": ours, "b": stats_of(features, np.where(labels == 4, 70, labels))})


@pytest.mark.parametrize(
    ("models", "given", "problem"),
    [
        ("mixed", {}, "mixes Stats"),
        ("stats", {"labels": [1, 2]}, "leave out labels"),
        ("stats", {"source_probs": {}}, "leave out source_probs"),
        ("empty", {}, "hold no rows"),
    ],
)
def test_what_does_not_go_together_is_refused(
    models: str,
    given: dict[str, object],
    problem: str,
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
) -> None:
    ours = stats_of(features, labels)
    chosen = {"mixed": {"a": ours, "b": features}, "stats": {"a": ours}, "empty": {"a": tx.Stats()}}
    with pytest.raises(tx.DataError, match=problem):
        tx.rank(chosen[models], **given)  # type: ignore[arg-type]


def test_arguments_are_honoured_or_refused(
    features: NDArray[np.float64], labels: NDArray[np.int64]
) -> None:
    """Each argument of a ranking of features means the same for statistics, or is an error."""
    models = {"a": features, "b": features[:, :3]}
    states = {name: stats_of(array, labels) for name, array in models.items()}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"baselines": True}, "baselines ridge_probe and knn need rows"),
        ({"precision": "half"}, "precision is 'half'"),
        ({"precision": "single"}, r"of 'a' were collected in 'double'.*collect them in 'single'"),
        ({"method": "qr"}, "method is 'qr'"),
        ({"method": "svd"}, "decomposes rows"),
        ({"aggregate": "min"}, "needs groups"),
        ({"aggregate": "most"}, "aggregate is 'most'"),
        ({"n_threads": -3}, "n_threads must be between 1 and"),
    ]
    for given, problem in refused:
        with pytest.raises(tx.DataError, match=problem):
            tx.rank(states, **given)
    single = {"a": tx.Stats(precision="single").update(features, labels)}
    assert tx.rank(single, precision="single").best.logme == tx.rank(single).best.logme
    plain = tx.rank(states)
    assert tx.rank(states, n_threads=1, method="tridiagonal").best.logme == plain.best.logme
