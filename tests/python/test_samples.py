"""Metrics of the samples against their definitions, and the laws they obey."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from reference import samples as reference

import transferability as tx
from transferability import DataError, MissingDependencyError, TransferabilityWarning


def problem(
    n: int = 80, d: int = 12, n_classes: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.sort(rng.integers(n_classes, size=n))
    labels[:n_classes] = np.arange(n_classes)
    return rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(n_classes, d))[labels], labels


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(80, 12), (60, 45), (30, 90), (25, 2)])
def test_parc_definition(shape: tuple[int, int], dtype: type) -> None:
    features, labels = problem(*shape, seed=shape[0])
    features = features.astype(dtype)
    assert tx.parc(features, labels) == pytest.approx(reference.parc(features, labels), rel=1e-9)
    assert tx.parc(features, labels, n_components=2) == pytest.approx(
        reference.parc(features, labels, 2), rel=1e-9, abs=1e-9
    )


def test_parc_draws_rows_by_seed() -> None:
    features, labels = problem(300, 20)
    score = tx.parc(features, labels, max_samples=100, seed=3)
    assert len(set(score.rows.tolist())) == 100
    assert score == pytest.approx(
        reference.parc(features[score.rows], labels[score.rows]), rel=1e-9
    )
    assert score == tx.parc(features, labels, max_samples=100, seed=3)
    others = [tx.parc(features, labels, max_samples=100, seed=seed) for seed in range(4, 8)]
    assert len({float(score), *map(float, others)}) == 5
    drawn = np.concatenate(
        [tx.parc(features, labels, max_samples=60, seed=s).rows for s in range(50)]
    )
    assert np.bincount(drawn, minlength=300).min() > 0  # 10 times expected


def test_parc_repeated_rows_and_components_without_variance() -> None:
    features, labels = problem(60, 5)
    features = np.hstack([features, features[:, :2], np.ones((60, 1))])
    assert tx.parc(features, labels) == pytest.approx(reference.parc(features, labels), rel=1e-9)
    assert tx.parc(1e150 * features, labels) == pytest.approx(tx.parc(features, labels), rel=1e-9)
    same = tx.parc(np.tile(features, (2, 1)), np.tile(labels, 2))
    assert -100 <= same <= 100


def test_parc_bad_input() -> None:
    features, labels = problem()
    for wrong, text in [
        (np.zeros_like(labels), "single class"),
        (np.arange(len(labels)), "80 classes"),
    ]:
        with pytest.raises(DataError, match=text):
            tx.parc(features, wrong, task="classification")
    with pytest.raises(DataError, match=r"vary along 1 direction\(s\) of 12"):
        tx.parc(features[:, :1] * np.ones(12), labels)
    with pytest.raises(DataError, match=r"vary along 0 direction\(s\)"):
        tx.parc(np.zeros_like(features), labels)
    with pytest.raises(DataError, match="n_components is 1"):
        tx.parc(features, labels, n_components=1)
    features[5, 3] = np.inf
    with pytest.raises(DataError, match=r"features\[5, 3\] is inf"):
        tx.parc(features, labels)


@pytest.mark.parametrize("tail", ["low", "high"])
@pytest.mark.parametrize("share", [0.005, 0.1, 1.0])
@pytest.mark.parametrize("n", [1, 90, 1000])
def test_energy_definition(n: int, share: float, tail: str) -> None:
    features = 10 * np.random.default_rng(n).normal(size=(n, 7)) + 800  # exp overflows
    score = tx.energy(features, share=share, tail=tail)
    assert score == pytest.approx(reference.energy(features, share, tail), rel=1e-14)
    assert score.n_rows == max(1, round(share * n))
    assert score.task == "unlabelled"


def test_energy_does_not_read_labels() -> None:
    features, labels = problem(400)
    plain = tx.energy(features)
    assert plain == tx.energy(features, labels) == tx.energy(features, labels.astype(float) / 3)
    assert plain + 5 == pytest.approx(tx.energy(features + 5), rel=1e-14)
    assert plain == tx.energy(features, n_threads=1)


def test_energy_bad_input() -> None:
    for share in (0.0, 1.5, np.nan, "half"):
        with pytest.raises(DataError, match="share is"):
            tx.energy(np.ones((5, 2)), share=share)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"features\[1, 0\] is NaN"):
        tx.energy([[1.0, 2.0], [np.nan, 1.0]])


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
@pytest.mark.parametrize("n_components", [0.8, 3, None])
def test_n_leep_definition(n_components: float | None, covariance: str) -> None:
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    features, labels = problem(200, 6, 3)
    reduced = features
    if n_components is not None:
        reduced = PCA(n_components, svd_solver="full").fit_transform(features)
    model = GaussianMixture(6, covariance_type=covariance, random_state=1).fit(reduced)
    score = tx.n_leep(
        features, labels, n_components=n_components, n_mixture=6, covariance=covariance, seed=1
    )
    assert score == pytest.approx(reference.leep(model.predict_proba(reduced), labels), rel=1e-9)
    assert score == pytest.approx(score.per_target @ score.class_counts / 200, rel=1e-12)
    assert "Gaussians" in score.explain()


def test_n_leep_defaults_and_bounds() -> None:
    features, labels = problem(200, 6, 3)
    score = tx.n_leep(features, labels)
    assert score.n_mixture_used == 15
    assert -np.log(3) - 0.1 < score <= 0
    single = tx.n_leep(features, labels, n_mixture=1)
    shares = np.bincount(labels) / 200
    assert single == pytest.approx((shares * np.log(shares)).sum(), rel=1e-9)


def test_n_leep_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = problem()
    with pytest.raises(DataError, match="n_mixture is 81, but there are 80 rows"):
        tx.n_leep(features, labels, n_mixture=81)
    with pytest.raises(DataError, match="single class"):
        tx.n_leep(features, np.zeros(80, int))
    with pytest.raises(DataError, match=r"n_components is 1\.5"):
        tx.n_leep(features, labels, n_components=1.5)
    with pytest.raises(DataError, match="all rows of the features are equal"):
        tx.n_leep(np.ones((80, 3)), labels)
    monkeypatch.setitem(sys.modules, "sklearn.cluster", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'transferability\[sklearn\]'"):
        tx.n_leep(features, labels)


def test_n_leep_says_that_it_has_not_converged() -> None:
    features = np.random.default_rng(0).normal(size=(80, 3))
    features = np.repeat(features[:4], 20, axis=0)  # four places for 20 Gaussians
    with pytest.warns(TransferabilityWarning, match="from scikit-learn"):
        tx.n_leep(features, np.tile([0, 1], 40), n_mixture=20, n_components=None)


def test_n_leep_of_many_features_is_that_of_scikit_learn() -> None:
    """There nearly all responsibilities are exactly zero, and left out of the sums."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture

    features, labels = problem(400, 60, 4)
    reduced = PCA(0.8, svd_solver="full").fit_transform(features)
    model = GaussianMixture(20, random_state=0).fit(reduced)
    probs = model.predict_proba(reduced)
    assert (probs == 0).mean() > 0.5
    assert float(tx.n_leep(features, labels)) == pytest.approx(
        reference.leep(probs, labels), rel=1e-9, abs=1e-12
    )


def test_n_leep_that_cannot_be_fitted_or_does_not_converge_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    features, labels = problem(200, 6, 3)
    with pytest.raises(DataError, match=r"n_leep: the mixture could not be .* not positive def"):
        tx.n_leep(1e140 * features, labels)
    monkeypatch.setattr("transferability.metrics._mixture._MAX_ITERATIONS", 2)
    with pytest.warns(TransferabilityWarning, match="not converged in 2 iterations"):
        tx.n_leep(features, labels, n_mixture=6)


@pytest.mark.parametrize(("prior", "variance"), [(1.0, 100.0), (10.0, 1000.0), (0.1, 10.0)])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_pactran_definition(n_classes: int, prior: float, variance: float) -> None:
    features, labels = problem(90, 5, n_classes)
    score = tx.pactran(features, labels, prior=prior, variance=variance)
    # 1e-10 in the oracle's gradient, over a curvature of 1/(prior N), is 1e-8 in its weights.
    assert score == pytest.approx(reference.pactran(features, labels, prior, variance), rel=1e-7)
    assert score == pytest.approx(-score.loss - score.flatness, rel=1e-14)
    assert score == pytest.approx(tx.pactran(features + 7, labels, prior=prior, variance=variance))


def test_pactran_bad_input() -> None:
    features, labels = problem()
    with pytest.raises(DataError, match="prior is 0"):
        tx.pactran(features, labels, prior=0)
    with pytest.raises(DataError, match="single class"):
        tx.pactran(features, np.zeros(80, int))


def parts(features: np.ndarray, labels: np.ndarray) -> tx.Score:
    with pytest.warns(TransferabilityWarning, match="it is defined among models, by rank"):
        score = tx.ncti(features, labels)
    assert np.isnan(score)
    return score


@pytest.mark.parametrize("scale", [0.1, 0.5, 4.0])  # shrunk twice, and whitened
@pytest.mark.parametrize("shape", [(150, 12, 4), (120, 70, 3), (60, 90, 5), (80, 3, 2)])
def test_ncti_definition(shape: tuple[int, int, int], scale: float) -> None:
    features, labels = problem(*shape)
    score = parts(scale * features, labels)
    expected = reference.ncti(scale * features, labels)
    found = (score.spread, score.posterior, score.within)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    assert "call rank" in score.explain()


def test_ncti_ranks_by_what_is_scaled_over_the_models() -> None:
    features, labels = problem(100, 10)
    rng = np.random.default_rng(5)
    models = {f"{noise:g}": features + noise * rng.normal(size=(100, 10)) for noise in (0, 1, 4)}
    ranking = tx.rank(models, labels, ["ncti", "knn"])
    each = np.array([reference.ncti(models[name], labels) for name in ranking.names])
    scaled = (each - each.min(axis=0)) / np.ptp(each, axis=0)
    expected = scaled @ [1, 1, -1]
    np.testing.assert_allclose([row.ncti for row in ranking], expected, rtol=1e-9, atol=1e-9)
    assert expected.tolist() == sorted(expected, reverse=True)
    assert not ranking.best.notes
    assert "of the ranking" in ranking.best.ncti.explain()
    # Two halves of a ranking, added, are the ranking.
    first = tx.rank({"0": models["0"]}, labels, ["ncti", "knn"])
    assert first.best.ncti == 0
    both = first + tx.rank({k: models[k] for k in ("1", "4")}, labels, ["ncti", "knn"])
    assert [float(row.ncti) for row in both] == [float(row.ncti) for row in ranking]


def test_ncti_is_left_out_of_all_for_a_single_model() -> None:
    features, labels = problem()
    assert tx.score(features, labels, "all").skipped["ncti"].endswith("call rank")


def test_ncti_bad_input() -> None:
    features, labels = problem()
    with pytest.raises(DataError, match="single class"):
        tx.ncti(features, np.zeros_like(labels))
    with pytest.raises(DataError, match="do not vary"):
        tx.ncti(np.ones_like(features), labels)
    with pytest.raises(DataError, match="rows of each class are all alike"):
        tx.ncti(100 * features, np.arange(80), task="classification")
