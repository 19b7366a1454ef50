"""The estimators follow scikit-learn's rules and LogME's numbers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

import transferability as tx

pytest.importorskip("sklearn", minversion="1.6")

from sklearn.utils.estimator_checks import parametrize_with_checks

from transferability.sklearn import LogMEClassifier, LogMERegressor


@parametrize_with_checks([LogMEClassifier(), LogMEClassifier(intercept=True), LogMERegressor()])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_rules(estimator: Any, check: Any) -> None:
    check(estimator)


def test_classifier_has_the_evidence_of_logme(features: Any, labels: Any) -> None:
    names = np.array(["a", "b", "c"])[np.unique(labels, return_inverse=True)[1]]
    model = LogMEClassifier().fit(features, names)
    assert model.evidence_ == pytest.approx(tx.logme(features, names), rel=1e-12)
    assert model.coef_.shape == (3, 6)
    assert model.score(features, names) > 0.8
    assert (model.intercept_ == 0).all()
    clone = pickle.loads(pickle.dumps(model))
    assert (clone.predict(features) == model.predict(features)).all()


def test_warnings_of_the_score_are_issued(features: Any) -> None:
    targets = features @ np.arange(1.0, 7)
    with pytest.warns(tx.TransferabilityWarning, match="1 target") as caught:
        model = LogMERegressor().fit(features, targets)
    assert caught[0].filename == __file__
    model.coef_ *= 2  # the user's own, unlike the arrays of a Score


def test_estimators_are_found_at_the_root() -> None:
    assert tx.LogMEClassifier is LogMEClassifier
    assert tx.LogMERegressor is LogMERegressor


def test_weights_are_those_of_ridge_regression(features: Any) -> None:
    ridge = pytest.importorskip("sklearn.linear_model").Ridge
    targets = features[:, :2] @ [[1.0, 2.0], [0.5, 0.0]] + 5 + np.sin(np.arange(180)).reshape(90, 2)
    model = LogMERegressor().fit(features, targets)
    for k in range(2):
        expected = ridge(alpha=model.alpha_[k] / model.beta_[k]).fit(features, targets[:, k])
        np.testing.assert_allclose(model.coef_[k], expected.coef_, rtol=1e-8)
        np.testing.assert_allclose(model.intercept_[k], expected.intercept_, rtol=1e-8)
    single = LogMERegressor().fit(features, targets[:, 0])
    assert single.coef_.shape == (6,)
    np.testing.assert_allclose(single.predict(features), model.predict(features)[:, 0])
