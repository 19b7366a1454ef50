"""B-Tuning without torch: weights, mixed predictives, files; and what a wrong call is told."""

from __future__ import annotations

import contextlib
import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import tuning as naive

import transferability as tx
from transferability.compat.thuml import LogME
from transferability.sklearn import LogMEClassifier, LogMERegressor
from transferability.tuning import Head, TeacherEnsemble, teacher_weights

DATA = Path(__file__).parents[1] / "data"
CASES: list[dict[str, Any]] = json.loads((DATA / "golden_btuning.json").read_text())
ARRAYS = dict(np.load(DATA / "golden_btuning.npz"))


def case_of(case: dict[str, Any]) -> tuple[TeacherEnsemble, list[np.ndarray]]:
    """The ensemble that the recorded numbers come from, and the features of every model."""
    name, n_models = case["name"], case["n_models"]
    heads = {}
    for k in range(n_models):
        mean = ARRAYS[f"{name}__m{k}"]
        heads[f"model{k}"] = Head(case["logme"][k], mean, np.zeros(len(mean)))
    teachers = [f"model{k}" for k in case["teachers"]]
    return TeacherEnsemble(heads, teachers), [ARRAYS[f"{name}__F{k}"] for k in range(n_models)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_recorded_values(case: dict[str, Any]) -> None:
    teachers, features = case_of(case)
    np.testing.assert_allclose(teachers.weights, case["pi_teachers"], atol=1e-6)
    np.testing.assert_allclose(teacher_weights(case["logme"]), case["pi_all"], atol=1e-6)
    batch = {n: features[int(n[-1])][: case["batch"]] for n in teachers.names}
    expected = ARRAYS[f"{case['name']}__teacher_mean"]
    np.testing.assert_allclose(teachers.predictive(batch), expected, atol=1e-6)
    student = ARRAYS[f"{case['name']}__target_batch"]
    distance = teachers.head("model0")(student) - teachers.predictive(batch)
    assert np.mean(distance**2) == pytest.approx(case["mse_regulariser"], rel=1e-6)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_the_authors_fit_leads_there(case: dict[str, Any]) -> None:
    labels = ARRAYS[f"{case['name']}__y"]
    for k in range(case["n_models"]):
        model = LogME()
        score = model.fit(ARRAYS[f"{case['name']}__F{k}"], labels)
        assert score == pytest.approx(case["logme"][k], abs=1e-9)
        np.testing.assert_allclose(model.ms, ARRAYS[f"{case['name']}__m{k}"], atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_against_loops(case: dict[str, Any]) -> None:
    teachers, features = case_of(case)
    rows = {n: features[int(n[-1])][:7] for n in teachers.names}
    means = [teachers.head(n).coef for n in teachers.names]
    scores = [teachers.head(n).score for n in teachers.names]
    expected = naive.predictive(list(rows.values()), means, scores)
    np.testing.assert_allclose(teachers.predictive(rows), expected, rtol=1e-12, atol=1e-12)


@given(
    st.lists(st.floats(-50, 50), min_size=1, max_size=8),
    st.floats(1e-3, 1e3),
    st.floats(-1e3, 1e3),
)
def test_weights_are_a_softmax(scores: list[float], temperature: float, shift: float) -> None:
    found = teacher_weights(scores, temperature)
    np.testing.assert_allclose(found, naive.weights(scores, temperature), rtol=1e-12, atol=1e-300)
    assert found.sum() == pytest.approx(1, abs=1e-14)
    # Adding a constant rounds the scores by up to eps * |shift|, over the temperature.
    moved = teacher_weights([score + shift for score in scores], temperature)
    np.testing.assert_allclose(moved, found, atol=4 * np.finfo(float).eps * 1e3 / temperature)


@pytest.fixture(scope="module")
def ranking() -> tx.Ranking:
    return tx.rank(models(), labels(), ["logme", "h_score"], keep_coef=True)


def labels() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 3, 80)


def models() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    signal = np.eye(3)[labels()] @ rng.normal(size=(3, 9))
    return {f"m{k}": (signal + k * rng.normal(size=(80, 9)))[:, : 9 - k] for k in range(1, 4)}


def test_the_first_models_teach(ranking: tx.Ranking) -> None:
    teachers = ranking.teachers(k=2)
    assert teachers.names == ranking.names[:2]
    scores = [float(ranking[name].logme) for name in teachers.names]
    np.testing.assert_allclose(teachers.weights, teacher_weights(scores), rtol=1e-15)
    assert set(teachers.heads) == set(ranking.names), "anyone may learn"
    flat = ranking.teachers(k=3, temperature=1e9)
    np.testing.assert_allclose(flat.weights, 1 / 3, rtol=1e-6)
    accuracy = (teachers.predictive(models()).argmax(axis=1) == labels()).mean()
    assert accuracy > 0.8


def test_regression_with_an_intercept() -> None:
    features = models()
    targets = features["m1"][:, :2] * 3 + 7 + np.random.default_rng(5).normal(size=(80, 2)) / 9
    teachers = tx.rank(features, targets, keep_coef=True).teachers(k=2)
    found = teachers.predictive(features)
    assert np.corrcoef(found[:, 0], targets[:, 0])[0, 1] > 0.99
    assert abs(found.mean() - targets.mean()) < 0.5, "the offset is there"


def test_a_file_holds_everything(ranking: tx.Ranking, tmp_path: Path) -> None:
    teachers = ranking.teachers(k=2, temperature=0.3)
    teachers.save(tmp_path / "teachers.npz")
    again = TeacherEnsemble.load(tmp_path / "teachers.npz")
    assert (again.names, again.targets, repr(again)) == (
        teachers.names,
        teachers.targets,
        repr(teachers),
    )
    np.testing.assert_array_equal(again.predictive(models()), teachers.predictive(models()))
    assert [path.name for path in tmp_path.iterdir()] == ["teachers.npz"], "nothing is left over"
    (tmp_path / "another").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1, "others may read it as any new file"
    with pytest.raises(tx.DataError, match="not a regular file"):
        teachers.save(tmp_path)


def test_damaged_files_are_refused(ranking: tx.Ranking, tmp_path: Path) -> None:
    path = tmp_path / "teachers.npz"
    ranking.teachers(k=2).save(path)
    whole = path.read_bytes()
    expected = TeacherEnsemble.load(path).predictive(models())
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        with contextlib.suppress(tx.DataError):  # what no reader looks at may differ
            again = TeacherEnsemble.load(path)
            np.testing.assert_array_equal(again.predictive(models()), expected)
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(tx.DataError, match="cannot be read"):
            TeacherEnsemble.load(path)
    np.savez(path, facts=np.array(json.dumps({"format": "another"})))
    with pytest.raises(tx.DataError, match="another version"):
        TeacherEnsemble.load(path)
    with pytest.raises(tx.DataError, match="there is no file"):
        TeacherEnsemble.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("scores", "temperature", "problem"),
    [
        ([], 0.1, "shape"),
        ([[1.0]], 0.1, "shape"),
        ([1.0, np.nan], 0.1, r"scores\[1\] is nan"),
        ([1.0], 0.0, "temperature is 0"),
        ([1.0], -1, "temperature is -1"),
        ([1.0], np.inf, "temperature is inf"),
        (["a"], 0.1, "must be numbers"),
    ],
)
def test_bad_weights(scores: Any, temperature: float, problem: str) -> None:
    with pytest.raises(tx.TransferabilityError, match=problem):
        teacher_weights(scores, temperature)


@pytest.mark.parametrize("k", [0, -1, 1.5, True, "2"])
def test_bad_k(ranking: tx.Ranking, k: Any) -> None:
    with pytest.raises(tx.DataError, match="k is"):
        ranking.teachers(k=k)


def test_what_a_ranking_lacks_is_said(ranking: tx.Ranking) -> None:
    with pytest.raises(tx.DataError, match="k is 4, but LogME could score 3"):
        ranking.teachers(k=4)
    with pytest.raises(tx.DataError, match="keep_coef=True"):
        tx.rank(models(), labels()).teachers(k=1)
    with pytest.raises(tx.DataError, match="rank with logme among"):
        tx.rank(models(), labels(), "h_score").teachers(k=1)
    with pytest.raises(tx.DataError, match="LogME was not fitted to 'gpt'"):
        ranking.teachers(k=1).head("gpt")


def test_wrong_features_are_refused(ranking: tx.Ranking) -> None:
    teachers = ranking.teachers(k=2)
    first, second = teachers.names
    features: dict[str, Any] = dict(models())
    with pytest.raises(tx.DataError, match="nothing of the teacher"):
        teachers.predictive({first: features[first]})
    with pytest.raises(tx.DataError, match="has 79 rows"):
        teachers.predictive({first: features[first], second: features[second][1:]})
    with pytest.raises(tx.DataError, match="columns, but the head"):
        teachers.predictive({**features, first: features[first][:, 1:]})
    bad = features[first].copy()
    bad[5, 2] = np.nan
    with pytest.raises(tx.DataError, match="row 5, holds NaN"):
        teachers.predictive({**features, first: bad})


def test_estimators_teach_like_a_ranking() -> None:
    words = np.array(["cat", "dog", "eel"])[labels()]
    fitted = {name: LogMEClassifier().fit(rows, words) for name, rows in models().items()}
    ours = TeacherEnsemble.from_estimators(fitted, k=2, temperature=0.3)
    ranked = tx.rank(models(), words, keep_coef=True).teachers(k=2, temperature=0.3)
    assert (ours.names, ours.targets) == (ranked.names, ("cat", "dog", "eel"))
    np.testing.assert_allclose(ours.predictive(models()), ranked.predictive(models()), rtol=1e-12)
    fitted["m2"] = LogMEClassifier().fit(models()["m2"], np.array(["cat", "dog", "fox"])[labels()])
    with pytest.raises(tx.DataError, match=r"'m2' was fitted to the classes \['cat', 'dog', 'fox'"):
        TeacherEnsemble.from_estimators(fitted)
    with pytest.raises(tx.DataError, match="LogME could score 3"):
        TeacherEnsemble.from_estimators(fitted | {"m2": fitted["m1"]}, k=4)
    with pytest.raises(tx.DtypeError, match="fitted LogMEClassifier"):
        TeacherEnsemble.from_estimators({"m1": LogMEClassifier()}, k=1)


def test_one_target_of_a_regressor_makes_a_head() -> None:
    regressor = LogMERegressor().fit(models()["m1"], models()["m2"][:, 0])
    teachers = TeacherEnsemble.from_estimators({"m1": regressor}, k=1)
    expected = regressor.predict(models()["m1"])[:, None]
    np.testing.assert_allclose(teachers.predictive(models()), expected, rtol=1e-12)


def test_heads_of_other_labels_do_not_mix() -> None:
    heads = {
        "a": Head(0.0, np.ones((3, 2)), np.zeros(3)),
        "b": Head(0.0, np.ones((4, 2)), np.zeros(4)),
    }
    with pytest.raises(tx.DataError, match="'b' has 4 outputs and 'a' 3"):
        TeacherEnsemble(heads, ["a"])
    with pytest.raises(tx.DataError, match="not fitted to 'c'"):
        TeacherEnsemble(heads, ["c"])
    with pytest.raises(tx.DataError, match="twice"):
        TeacherEnsemble(heads, ["a", "a"])
    with pytest.raises(tx.DataError, match="coef"):
        TeacherEnsemble({"a": Head(0.0, np.ones(3), np.zeros(3))}, ["a"])
    with pytest.raises(tx.DataError, match="NaN"):
        TeacherEnsemble({"a": Head(0.0, np.full((1, 1), np.nan), np.zeros(1))}, ["a"])


def test_scores_of_groups_have_no_head() -> None:
    groups = np.arange(80) // 40
    by_group = tx.rank(models(), labels(), keep_coef=True, groups=groups, aggregate="min")
    with pytest.raises(tx.DataError, match="each group of rows has a head of its own"):
        by_group.teachers(k=1)
    with pytest.raises(tx.DataError, match="keep_coef=True"):
        tx.rank(models(), labels(), groups=groups).teachers(k=1)


def test_why_no_model_can_teach_is_said() -> None:
    with pytest.raises(tx.DataError, match=r"no model .* NaN; every value"):
        tx.rank({"bad": models()["m1"] * np.nan}, labels(), keep_coef=True).teachers(k=1)
    fits = tx.rank({"labels": np.eye(3)[labels()], **models()}, labels(), keep_coef=True)
    with pytest.raises(tx.DataError, match="'labels' has the score inf"):
        fits.teachers(k=2)


@pytest.mark.parametrize("temperature", ["hot", None, [1.0, 2.0]])
def test_a_temperature_that_is_no_number(ranking: tx.Ranking, temperature: Any) -> None:
    with pytest.raises(tx.DtypeError, match="temperature must be"):
        ranking.teachers(k=2, temperature=temperature)


def test_wrong_types_are_named(ranking: tx.Ranking) -> None:
    with pytest.raises(tx.DtypeError, match=r"heads\['a'\] must be a Head, got ndarray"):
        TeacherEnsemble({"a": np.ones((3, 2))}, ["a"])  # type: ignore[dict-item]
    with pytest.raises(tx.DtypeError, match="the head of 'a' must be of numbers"):
        TeacherEnsemble({"a": Head(0.0, np.array([["x"]]), np.array(["y"]))}, ["a"])
    with pytest.raises(tx.DataError, match="teachers must name"):
        TeacherEnsemble({"a": Head(0.0, np.ones((3, 2)), np.zeros(3))}, None)  # type: ignore[arg-type]
    with pytest.raises(tx.DtypeError, match="features must be"):
        ranking.teachers(k=2).predictive([models()["m1"], models()["m2"]])  # type: ignore[arg-type]
