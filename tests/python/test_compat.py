"""Each compatibility module returns its library's recorded numbers, wrong ones included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from reference.golden import cases, inputs

from transferability import DataError, DtypeError, TransferabilityError, TransferabilityWarning
from transferability.compat import thuml, tllib, transformer_ranker

TOLERANCE = 1e-9

# Numbers that consist of rounding errors, with what is still compared. Each implementation itself
# moves that far between kinds of CPU (OPENBLAS_CORETYPE=Haswell and Prescott instead of SkylakeX).
LOOSE: dict[tuple[str, str], float] = {
    # Singular values of features 1e6 away from zero, from their product: half the digits are gone.
    **{
        (implementation, f"cla_offsetbig_{dtype}"): 2e-2
        for implementation in ("thuml_fixed_point", "thuml_icml", "tllib")
        for dtype in ("f4", "f8")
    },
    # No epsilon, and a residual of 1e-29: beta is its reciprocal (30.62 … 30.87).
    ("tllib", "cla_perfect_f8"): 5e-2,
}
# alpha/beta is 7e-6 there, so that singular values which are rounding errors count.
LOOSE_PRECISIONS = {
    ("thuml_fixed_point", "cla_perfect_f8"): 1e-6,
    ("thuml_icml", "cla_perfect_f8"): 1e-6,
}


def run(implementation: str, key: str) -> tuple[float, dict[str, Any]]:
    """Return the score and whatever else the original exposes."""
    features, response = inputs(key)
    regression = cases()[key]["kind"] == "regression"
    if implementation == "tllib":
        score, weights = tllib.log_maximum_evidence(
            features, response, regression, return_weights=True
        )
        return score, {"mnorm": np.linalg.norm(weights, axis=1)}
    if implementation == "transformer_ranker":
        if regression and response.shape[1:] == (1,):  # recorded with the column as a vector
            response = response[:, 0]
        model = transformer_ranker.LogME(regression)
        score = model.fit(embeddings=features, labels=response)
        assert model.score == score
        return score, {}
    original = thuml.LogME(regression)
    fit = original.fit if implementation == "thuml_fixed_point" else original.fit_icml
    score = fit(features, response)
    norms = np.linalg.norm(original.ms, axis=1)
    return score, {"alpha": original.alphas, "beta": original.betas, "mnorm": norms}


def recorded(select: Callable[[dict[str, Any]], bool]) -> list[tuple[str, str]]:
    return [
        (implementation, key)
        for key, case in cases().items()
        for implementation in ("thuml_fixed_point", "thuml_icml", "tllib", "transformer_ranker")
        if select(case["results"][implementation])
    ]


def is_number(result: dict[str, Any]) -> bool:
    return isinstance(result.get("value"), float)


@pytest.mark.parametrize(("implementation", "key"), recorded(is_number))
def test_equals_the_original(implementation: str, key: str) -> None:
    expected = cases()[key]["results"][implementation]
    tolerance = LOOSE.get((implementation, key), TOLERANCE)
    score, exposed = run(implementation, key)
    assert abs(score - expected["value"]) <= tolerance * max(1.0, abs(expected["value"]))
    if key == "cla_perfect_f8" and implementation == "tllib":
        return
    tolerance = LOOSE_PRECISIONS.get((implementation, key), tolerance)
    for name in exposed.keys() & expected.keys():
        values = np.array(expected[name])
        error = np.abs(exposed[name] - values) / np.maximum(1.0, np.abs(values))
        assert error.max() <= tolerance, name


def is_failure(result: dict[str, Any]) -> bool:
    return "error" in result or result["value"] == "nan"


@pytest.mark.parametrize(("implementation", "key"), recorded(is_failure))
def test_named_error_where_the_original_fails(implementation: str, key: str) -> None:
    with pytest.raises(DataError, match=r"ZeroDivisionError|returns nan|is NaN|2-D|expected 1-D"):
        run(implementation, key)


def test_every_recorded_result_is_compared() -> None:
    infinite = recorded(lambda result: result.get("value") == "-inf")
    assert infinite == [("thuml_fixed_point", "cla_zero_f8")]
    assert len(recorded(is_number)) + len(recorded(is_failure)) + 1 == 4 * len(cases())


def test_thuml_scores_zero_features_as_minus_infinity() -> None:
    with pytest.warns(TransferabilityWarning, match="-inf, as in thuml"):
        assert run("thuml_fixed_point", "cla_zero_f8")[0] == -np.inf


@pytest.mark.parametrize("key", ["cla_wide_f8", "cla_very_wide_f4", "reg_wide_f8"])
def test_thuml_inflates_the_score_where_rows_are_fewer_than_features(key: str) -> None:
    n_samples, n_features = cases()[key]["shape"]
    score, exposed = run("thuml_fixed_point", key)
    excess = (n_features - n_samples) * np.mean(np.log(exposed["alpha"])) / (2 * n_samples)
    right = cases()[key]["results"]["REF_eps1e-5_11it"]["value"]
    assert score - excess == pytest.approx(right, rel=TOLERANCE)


@pytest.mark.parametrize(
    "labels",
    [
        np.array([10**5000, 1] * 75, dtype=object),
        np.frombuffer(b"\xff\xff\xff\x7f" * 150, "<U1"),  # a character beyond Unicode
    ],
)
def test_labels_that_no_number_is_made_of_are_refused_by_name(labels: np.ndarray) -> None:
    features, _ = inputs("cla_iris_f8")
    with pytest.raises(DataError, match="cannot be read as numbers"):
        thuml.LogME().fit(features, labels)


def test_thuml_attributes_and_predict() -> None:
    features, labels = inputs("cla_iris_f8")
    model = thuml.LogME()
    assert not model.fitted
    with pytest.raises(RuntimeError, match="call fit"):
        model.predict(features)
    score = model.fit(features, labels)
    assert model.fitted
    assert model.num_dim == len(model.alphas) == len(model.betas) == 3
    assert np.mean(model.predict(features) == labels) > 0.7
    np.testing.assert_array_equal(
        model.predict(features), np.argmax(features @ np.asarray(model.ms).T, axis=1)
    )
    gap = np.where(np.arange(len(features))[:, None] == 7, np.nan, features)
    with pytest.raises(DataError, match=r"f\[7, 0\] is NaN"):
        model.predict(gap)
    with pytest.warns(TransferabilityWarning, match="re-fitting"):
        assert model.fit(features.astype(np.float32), labels) == pytest.approx(score, rel=1e-4)

    targets = np.stack([features[:, 0], 2 * features[:, 1]], axis=1)
    model = thuml.LogME(regression=True)
    model.fit(features, targets)
    assert model.predict(features).shape == targets.shape


def test_thuml_method_is_chosen_as_users_of_the_original_do() -> None:
    class Icml(thuml.LogME):
        _fit = thuml.LogME._fit_icml

    features, labels = inputs("cla_wine_f8")
    assert Icml().fit(features, labels) == thuml.LogME().fit_icml(features, labels)
    assert thuml.LogME()._fit_icml(features, labels) == Icml().fit(features, labels)


def test_transformer_ranker_depends_on_the_order_of_the_classes() -> None:
    features, labels = inputs("cla_digits_raw_f8")
    score = transformer_ranker.LogME().fit(features, labels)
    reversed_ = transformer_ranker.LogME().fit(features, labels.max() - labels)
    assert score != reversed_
    assert score == pytest.approx(reversed_, abs=1e-2)


def test_transformer_ranker_options() -> None:
    class Tensor:
        def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
            return inputs("cla_iris_f8")[0]

    labels = inputs("cla_iris_f8")[1]
    model = transformer_ranker.LogME()
    usual = model.fit(Tensor(), labels.astype(str).astype(float) * 7 - 3, batch_size=3)
    assert usual == model.fit(embeddings=Tensor(), labels=labels)
    assert model.fit(Tensor(), labels, max_iter=1) < usual
    # From a start far off, the same 11 iterations end elsewhere.
    assert model.fit(Tensor(), labels, initial_alpha=1e6, tol=0.0) != usual
    for bad in ({"max_iter": 0}, {"initial_beta": 0.0}, {"initial_alpha": -1.0}):
        with pytest.raises(DataError, match="max_iter must be at least 1"):
            model.fit(Tensor(), labels, **bad)


def test_thuml_takes_a_column_of_class_ids() -> None:
    features, labels = inputs("cla_iris_f8")
    assert thuml.LogME().fit(features, labels[:, None]) == thuml.LogME().fit(features, labels)
    for fit, shape in ((thuml.LogME().fit_icml, (150, 1)), (thuml.LogME().fit, (75, 2))):
        with pytest.raises(DataError, match="expected 1-D"):
            fit(features, labels.reshape(shape))


def test_memory_for_classes_is_bounded() -> None:
    labels = np.array([0, 2_000_000_000])
    for fit in (thuml.LogME().fit, tllib.log_maximum_evidence):
        with pytest.raises(DataError, match=r"2000000001 classes.*return_inverse"):
            fit(np.eye(2), labels)


@pytest.mark.parametrize("score", [thuml.LogME().fit_icml, tllib.log_maximum_evidence])
@pytest.mark.filterwarnings("ignore:re-fitting")
def test_bad_input_is_refused(score: Callable[[object, object], float]) -> None:
    features, labels = (array.copy() for array in inputs("cla_iris_f8"))
    with pytest.raises(DataError, match=r"149 rows, .* 150; give one for each"):
        score(features, labels[:-1])
    with pytest.raises(DataError, match="expected 2-D"):
        score(features[:, 0], labels)
    with pytest.raises(DataError, match="expected 1-D"):
        score(features, features)
    with pytest.raises(DataError, match="classes as 0, 1, 2"):
        score(features, np.array(["setosa"] * 150))
    with pytest.raises(DataError, match="0 … max"):
        score(features, -1 - labels)
    with pytest.raises(DataError, match="labels\\[0\\] is inf"):
        score(features, labels + np.inf)
    with pytest.raises(DtypeError, match="complex"):
        score(features + 1j, labels)
    with pytest.raises(DataError, match="no rows or no columns"):
        score(features[:, :0], labels)
    with pytest.raises(DataError, match="overflow"):
        score(features * 1e200, labels)
    features[7, 2] = np.nan
    with pytest.raises(DataError, match=r"features\[7, 2\] is NaN"):
        score(features, labels)
    assert issubclass(DataError, TransferabilityError)
