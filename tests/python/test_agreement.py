"""Agreement with truth: conventions, trouble, laws, evaluations, the command line."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import transferability as tx
from transferability import DataError, DtypeError, TransferabilityWarning, agreement
from transferability.agreement._csv import read_columns, read_ranking, read_truth
from transferability.agreement._evaluation import evaluate_scores
from transferability.cli import main

CORRELATIONS = ("weighted_tau", "kendall_tau", "spearman", "pearson", "weighted_pearson")
PICKS = ("rel_at_k", "recall_at_k", "regret", "rel_acc")
SCORES, TRUTH = [0.9, 0.2, 0.4, 0.4, 0.7], [80.0, 60.0, 75.0, 90.0, 85.0]

# Few different values, so that ties are common.
values = st.integers(0, 6).map(float)
pairs = st.lists(st.tuples(values, values), min_size=2, max_size=9).filter(
    lambda p: all(len(set(column)) > 1 for column in zip(*p, strict=True))
)


def naive_tau(x: Any, y: Any, order: Any) -> float:
    """Vigna's weighted tau, pair by pair, for models listed from first to last rank."""
    weight = {model: 1 / (1 + r) for r, model in enumerate(order)}
    top = left = right = 0.0
    for i, j in itertools.combinations(range(len(x)), 2):
        w = weight[i] + weight[j]
        top += w * np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
        left += w * (x[i] != x[j])
        right += w * (y[i] != y[j])
    return float(top / math.sqrt(left * right))


def by(first: Any, second: Any) -> list[int]:
    return sorted(range(len(first)), key=lambda i: (-first[i], -second[i]))


@settings(deadline=None)
@given(pairs)
def test_weighted_tau_is_the_mean_over_both_orders(pair: Any) -> None:
    x, y = zip(*pair, strict=True)
    both = (naive_tau(x, y, by(x, y)) + naive_tau(x, y, by(y, x))) / 2
    assert agreement.weighted_tau(x, y) == pytest.approx(both, abs=1e-12)
    assert agreement.weighted_tau(x, y) == pytest.approx(stats.weightedtau(x, y).statistic)
    assert agreement.weighted_tau(x, y) == pytest.approx(agreement.weighted_tau(y, x), abs=1e-12)


@settings(deadline=None)
@given(pairs)
def test_weighted_tau_by_truth_ranks_by_truth_then_score(pair: Any) -> None:
    x, y = zip(*pair, strict=True)
    found = agreement.weighted_tau(x, y, rank="truth")
    assert found == pytest.approx(naive_tau(x, y, by(y, x)), abs=1e-12)


def test_the_conventions_differ() -> None:
    x, y = [0.8, 0.7, 0.9, 0.1], [95, 90, 80, 70]
    assert agreement.weighted_tau(x, y) == pytest.approx(0.2)
    assert agreement.weighted_tau(x, y, rank="truth") == pytest.approx(23 / 75)
    assert agreement.weighted_tau(y, x, rank="truth") == pytest.approx(7 / 75)


@settings(deadline=None)
@given(st.integers(3, 6), st.integers(1, 3), st.integers(0, 2**31))
def test_grouped_is_the_mean_of_equal_tasks_without_ties(n: int, tasks: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2, tasks, n))
    groups = np.repeat([f"task{i}" for i in range(tasks)], n)
    shuffled = rng.permutation(n * tasks)
    found = agreement.weighted_tau(
        x.ravel()[shuffled], y.ravel()[shuffled], rank="grouped", groups=groups[shuffled]
    )
    taus = [agreement.weighted_tau(a, b) for a, b in zip(x, y, strict=True)]
    assert found == pytest.approx(np.mean(taus), abs=1e-12)


def test_grouped_pools_ties_into_one_ratio() -> None:
    x, y = [3, 3, 3, 1, 2], [1, 2, 4, 0, 3]
    top = left = right = 0.0
    for order in (by(x, y), by(y, x)):
        w = {model: 1 / (1 + r) for r, model in enumerate(order)}
        for i, j in itertools.combinations(range(5), 2):
            top += (w[i] + w[j]) * np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
            left += (w[i] + w[j]) * (x[i] != x[j])
            right += (w[i] + w[j]) * (y[i] != y[j])
    found = agreement.weighted_tau(x, y, rank="grouped", groups=[0] * 5)
    assert found == pytest.approx(top / math.sqrt(left * right), abs=1e-12)
    assert abs(found - agreement.weighted_tau(x, y)) > 1e-4


@settings(deadline=None)
@given(pairs, st.sampled_from(CORRELATIONS), st.permutations(range(9)))
def test_correlations_do_not_depend_on_the_order_given(pair: Any, name: str, order: Any) -> None:
    order = [i for i in order if i < len(pair)]
    x, y = zip(*pair, strict=True)
    measure = getattr(agreement, name)
    turned = measure([x[i] for i in order], [y[i] for i in order])
    assert turned == pytest.approx(measure(x, y), abs=1e-12)
    assert -1 <= turned <= 1


@settings(deadline=None)
@given(pairs, st.sampled_from(PICKS), st.permutations(range(9)))
def test_picks_do_not_depend_on_the_order_given(pair: Any, name: str, order: Any) -> None:
    order = [i for i in order if i < len(pair)]
    x, y = zip(*pair, strict=True)
    y = tuple(v + 1 for v in y)  # Rel@k needs a positive best
    measure = getattr(agreement, name)
    assert measure([x[i] for i in order], [y[i] for i in order]) == measure(x, y)


@settings(deadline=None)
@given(pairs)
def test_plain_correlations_are_scipys(pair: Any) -> None:
    x, y = zip(*pair, strict=True)
    assert agreement.kendall_tau(x, y) == pytest.approx(stats.kendalltau(x, y).statistic)
    assert agreement.spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert agreement.pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic)
    ones = np.ones(len(x))
    assert agreement.weighted_pearson(x, y, ones) == pytest.approx(stats.pearsonr(x, y).statistic)


def test_integer_weights_of_pearson_repeat_models() -> None:
    weights = [2, 1, 3, 0, 1]
    repeated = [np.repeat(v, weights) for v in (SCORES, TRUTH)]
    expected = stats.pearsonr(*repeated).statistic
    assert agreement.weighted_pearson(SCORES, TRUTH, weights) == pytest.approx(expected)
    default = agreement.weighted_pearson([1, 2, 3, 5], [4, 4, 3, 1])
    assert default == pytest.approx(
        agreement.weighted_pearson([1, 2, 3, 5], [4, 4, 3, 1], [0.75, 0.75, 1 / 3, 0.25])
    )


def test_picks_by_hand() -> None:
    assert agreement.rel_at_k(SCORES, TRUTH) == 80 / 90
    assert agreement.rel_at_k(SCORES, TRUTH, 2) == 85 / 90
    assert agreement.rel_at_k(SCORES, TRUTH, 3) == 85 / 90  # of the tie, the worse one
    assert agreement.rel_at_k(SCORES, TRUTH, 4) == 1
    assert agreement.recall_at_k(SCORES, TRUTH, 2) == 0.5
    assert agreement.recall_at_k(SCORES, TRUTH, 3) == 2 / 3
    assert agreement.recall_at_k([1, 2, 3], [5, 5, 4], 1) == 0
    assert agreement.recall_at_k([1, 3, 2], [5, 5, 4], 1) == 1  # as good as the best
    assert agreement.regret(SCORES, TRUTH) == 10
    assert agreement.rel_acc(SCORES, TRUTH) == 20 / 30
    losses = [-t for t in TRUTH]
    chosen = int(np.argmax(SCORES))
    paper = (max(losses) - losses[chosen]) / (max(losses) - min(losses))
    assert agreement.rel_acc(SCORES, TRUTH) == paper
    assert agreement.regret([1, 1, 1], [3.0, 5.0, 4.0]) == 2  # no luck for constant scores


def test_relative_accuracy() -> None:
    assert agreement.relative_accuracy([0.9, 0.5], [0.6, 0.5]).tolist() == pytest.approx([0.5, 0])
    assert agreement.relative_accuracy(0.9, [0.6, 0.8], "headroom") == pytest.approx([0.75, 0.5])
    with pytest.raises(DataError, match="baseline, which is 0"):
        agreement.relative_accuracy(0.9, 0)
    with pytest.raises(DataError, match="no headroom"):
        agreement.relative_accuracy(90, 60, "headroom")
    with pytest.raises(DataError, match="one a task"):
        agreement.relative_accuracy([0.9, 0.8], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", CORRELATIONS)
def test_constant_inputs_are_nan_with_a_warning(name: str) -> None:
    for x, y in (([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [1, 1, 1])):
        with pytest.warns(TransferabilityWarning, match="no order"):
            assert math.isnan(getattr(agreement, name)(x, y))


@pytest.mark.parametrize("name", [*CORRELATIONS, *PICKS])
def test_nan_is_refused_omitted_or_last(name: str) -> None:
    measure = getattr(agreement, name)
    x, y = [0.9, math.nan, 0.4, 0.5, 0.7], TRUTH
    with pytest.raises(DataError, match=r"scores\[1\] is NaN"):
        measure(x, y)
    with pytest.raises(DataError, match=r"truth\[1\] is NaN"):
        measure(y, x, nan="last")
    kept = measure([0.9, 0.4, 0.5, 0.7], [80.0, 75.0, 90.0, 85.0])
    assert measure(x, y, nan="omit") == kept
    if "pearson" in name:
        with pytest.raises(DataError, match="NaN"):
            measure(x, y, nan="last")
    else:
        assert measure(x, y, nan="last") == measure([0.9, -1e9, 0.4, 0.5, 0.7], y)


def test_infinite_scores_have_an_order_only() -> None:
    x = [-math.inf, 0.5, math.inf]
    assert agreement.weighted_tau(x, [1, 2, 3]) == pytest.approx(1)
    assert agreement.spearman(x, [1, 2, 3]) == pytest.approx(1)
    with pytest.raises(DataError, match="no distance"):
        agreement.pearson(x, [1, 2, 3])


def test_names_match_and_wrong_input_says_so() -> None:
    scores, truth = {"a": 1.0, "b": 2.0, "c": 3.0}, {"c": 3.0, "a": 1.0, "b": 2.0}
    assert agreement.weighted_tau(scores, truth) == pytest.approx(1)
    with pytest.raises(DataError, match="d is in one of them only"):
        agreement.kendall_tau(scores, {**truth, "d": 1})
    with pytest.raises(DtypeError, match="both as mappings"):
        agreement.kendall_tau(scores, [1, 2, 3])
    with pytest.raises(DtypeError, match="must be numbers"):
        agreement.spearman(["a", "b"], [1, 2])
    with pytest.raises(DataError, match="3 models but truth has 2"):
        agreement.spearman([1, 2, 3], [1, 2])
    with pytest.raises(DataError, match="two models at least"):
        agreement.spearman([1], [1])
    with pytest.raises(DataError, match="one number a model"):
        agreement.spearman([[1, 2]], [[1, 2]])
    with pytest.raises(DataError, match="from 1 to 2"):
        agreement.rel_at_k([1, 2], [1, 2], 3)
    with pytest.raises(DataError, match="use regret"):
        agreement.rel_at_k([1, 2], [-1, -2])
    with pytest.raises(DataError, match="both or neither"):
        agreement.weighted_tau([1, 2], [1, 2], rank="grouped")
    with pytest.raises(DataError, match="positive for two models"):
        agreement.weighted_pearson([1, 2], [1, 2], [1, 0])
    with pytest.raises(DataError, match="rank"):
        agreement.weighted_tau([1, 2], [1, 2], rank="scores")


# --- evaluations ----------------------------------------------------------------------------------


@pytest.fixture
def columns() -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """A metric that knows the truth, one that guesses, of 12 models."""
    rng = np.random.default_rng(3)
    truth = {f"m{i}": float(v) for i, v in enumerate(rng.uniform(0.5, 1, 12))}
    good = {name: value + 0.01 * rng.normal() for name, value in truth.items()}
    guess = {name: float(rng.normal()) for name in truth}
    return {"good": good, "guess": guess}, truth


def test_an_evaluation_measures_its_first_metric(columns: Any) -> None:
    scores, truth = columns
    evaluation = evaluate_scores(scores, truth, n_boot=200)
    for name in ("weighted_tau", "kendall_tau", "spearman", "pearson", "regret", "rel_acc"):
        measure = getattr(agreement, name)
        assert getattr(evaluation, name) == measure(scores["good"], truth)
        assert getattr(evaluation["guess"], name) == measure(scores["guess"], truth)
    assert evaluation.rel_at(3) == agreement.rel_at_k(scores["good"], truth, 3)
    assert evaluation.recall_at(3) == agreement.recall_at_k(scores["good"], truth, 3)
    without = evaluation.leave_one_out("kendall_tau")
    rest = [{k: v for k, v in d.items() if k != "m4"} for d in (scores["good"], truth)]
    assert without["m4"] == agreement.kendall_tau(*rest)
    by_truth = evaluate_scores(scores, truth, n_boot=200, rank="truth")
    assert by_truth.weighted_tau == agreement.weighted_tau(scores["good"], truth, rank="truth")
    with pytest.raises(AttributeError, match="it measures weighted_tau"):
        _ = evaluation.tau
    with pytest.raises(DataError, match="there are good, guess"):
        evaluation.compare("good", "logme")


def test_intervals_are_percentiles_of_resampled_models(columns: Any) -> None:
    scores, truth = columns
    evaluation = evaluate_scores(scores, truth, n_boot=300, seed=5)
    x, y = np.array(list(scores["guess"].values())), np.array(list(truth.values()))
    draws = np.random.default_rng(5).integers(0, 12, size=(300, 12))
    taus = [stats.kendalltau(x[rows], y[rows]).statistic for rows in draws]
    low, high = evaluation["guess"].ci("kendall_tau", 0.8)
    assert [low, high] == pytest.approx(np.quantile(taus, [0.1, 0.9]))
    assert low < evaluation["guess"].kendall_tau < high


def test_a_difference_that_the_interval_supports_is_told_from_one_it_does_not(columns: Any) -> None:
    scores, truth = columns
    twin = {name: value + 1e-4 * i for i, (name, value) in enumerate(scores["good"].items())}
    evaluation = evaluate_scores({**scores, "twin": twin}, truth, n_boot=300)
    told = evaluation.compare("good", "guess")
    assert told.supported
    assert told.low > 0
    assert "differently" in str(told)
    same = evaluation.compare("good", "twin")
    assert not same.supported
    assert "good and twin are not told apart" in repr(evaluation)
    # Paired: the interval of the difference is narrower than those of the metrics.
    low, high = evaluation.ci()
    assert same.high - same.low < high - low


def test_bootstrap_intervals_cover() -> None:
    """The 90 % interval of Kendall's tau holds the population's value in about 90 % of samples."""
    rng = np.random.default_rng(0)
    big = rng.normal(size=(2, 4000))
    big[1] += big[0]
    true = stats.kendalltau(*big).statistic
    hits = 0
    for seed in range(60):
        x = rng.normal(size=30)
        y = x + rng.normal(size=30)
        names = [f"m{i}" for i in range(30)]
        pair = dict(zip(names, x, strict=True)), dict(zip(names, y, strict=True))
        low, high = evaluate_scores({"a": pair[0]}, pair[1], n_boot=100, seed=seed).ci(
            "kendall_tau", 0.9
        )
        hits += low <= true <= high
    assert 46 <= hits <= 60  # of Binomial(60, 0.9), 4 standard deviations below the mean


def test_rankings_evaluate_with_failed_and_unmatched_models(features: Any, labels: Any) -> None:
    models = {
        "good": features,
        "poor": features[::-1],
        "bad": np.full((90, 2), np.nan),
        "noise": np.random.default_rng(0).normal(size=(90, 4)),
    }
    ranking = tx.rank(models, labels, ["logme", "knn"])
    truth = {"good": 0.9, "poor": 0.5, "bad": 0.6, "other": 0.1}
    with pytest.warns(TransferabilityWarning) as caught:
        evaluation = ranking.evaluate(truth, n_boot=100)
    assert set(evaluation.models) == {"good", "poor", "bad"}
    assert set(evaluation.unmatched) == {"noise", "other"}
    assert any("knn has no score for bad" in str(w.message) for w in caught)
    last = agreement.weighted_tau([2, 1, 0], [0.9, 0.5, 0.6])
    assert evaluation.weighted_tau == pytest.approx(last)
    assert evaluation.pearson == pytest.approx(1)  # of the two that have scores
    with pytest.raises(DataError, match="agreement needs 3"):
        ranking.evaluate({"good": 1.0, "other": 2.0})
    with pytest.raises(DataError, match="truth of 'good' is nan"):
        ranking.evaluate({**truth, "good": math.nan})
    with pytest.raises(DataError, match="metrics of this ranking are logme, knn"):
        ranking.evaluate(truth, metrics=["h_score"])


def test_close_values_keep_their_digits() -> None:
    """Differences of 2^-30 about 2^20 are exact: the correlation is that without the offset."""
    x, y = np.array([14.0, 13.0, 13.0, 12.0, 15.0]), np.array([14.25, 13.125, 12.5, 14.25, 13.125])
    for offset, unit in ((2.0**20, 2.0**-30), (-(2.0**40), 2.0**-12), (0.0, 1e-200)):
        for scores, truth in ((offset + unit * x, y), (y, offset + unit * x)):
            found = agreement.pearson(scores, truth)
            assert found == pytest.approx(np.corrcoef(x, y)[0, 1], rel=1e-14)


def test_constant_scores_are_noted_not_raised() -> None:
    truth = {"a": 1.0, "b": 2.0, "c": 3.0}
    with pytest.warns(TransferabilityWarning, match="same for all models"):
        evaluation = evaluate_scores({"flat": dict.fromkeys(truth, 1.0)}, truth, n_boot=100)
    assert math.isnan(evaluation.weighted_tau)
    assert all(math.isnan(end) for end in evaluation.ci())
    assert evaluation.to_dict()["metrics"]["flat"]["weighted_tau"] is None
    assert "nan" in repr(evaluation)


def test_infinite_scores_are_evaluated_without_pearson() -> None:
    truth = {"a": 1.0, "b": 2.0, "c": 3.0}
    scores = {"a": -math.inf, "b": 0.5, "c": math.inf}
    evaluation = evaluate_scores({"unbounded": scores}, truth, n_boot=100)
    assert evaluation.spearman == pytest.approx(1)
    assert math.isnan(evaluation.pearson)
    assert evaluation.to_dict()["metrics"]["unbounded"]["pearson"] is None
    assert "nan" in repr(evaluation)


# --- the command line -----------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, columns: Any) -> tuple[str, str]:
    scores, truth = columns
    ranking = tmp_path / "ranking.csv"
    lines = [f"{i},{m},{scores['good'][m]!r},{scores['guess'][m]!r},9,"
             for i, m in enumerate(truth)]  # fmt: skip
    ranking.write_text("\n".join(["rank,model,good,guess,seconds,notes", *lines]) + "\n")
    known = tmp_path / "truth.csv"
    rows = [f"{m},{v!r},text" for m, v in truth.items()] + ["extra,0.3,text", "unknown,,text"]
    known.write_text("\n".join(["# a comment", "name,accuracy,remark", *rows]) + "\n")
    return str(ranking), str(known)


def test_eval_prints_what_python_gives(files: Any, columns: Any) -> None:
    result = CliRunner().invoke(main, ["eval", *files, "--n-boot", "100", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    with pytest.warns(TransferabilityWarning, match="extra"):
        expected = evaluate_scores(columns[0], {**columns[1], "extra": 0.3}, n_boot=100)
    assert found == json.loads(json.dumps(expected.to_dict()))
    assert "extra" in result.stderr
    table = CliRunner().invoke(main, ["eval", *files, "--metrics", "guess", "--n-boot", "100"])
    assert table.exit_code == 0
    assert "guess" in table.stdout
    assert "good" not in table.stdout


def test_eval_by_loss_and_by_truth(files: Any, columns: Any) -> None:
    options = ["--lower-is-better", "--rank", "truth", "--n-boot", "100", "--json", "-q"]
    result = CliRunner().invoke(main, ["eval", *files, *options])
    assert result.stderr == ""
    scores, truth = columns
    losses = {name: -value for name, value in truth.items()}
    expected = agreement.weighted_tau(scores["good"], losses, rank="truth")
    assert json.loads(result.stdout)["metrics"]["good"]["weighted_tau"] == pytest.approx(expected)


def test_eval_reads_what_rank_writes(tmp_path: Path, features: Any, labels: Any) -> None:
    ranking = tx.rank({"a": features, "b": features[::-1]}, labels, ["logme", "knn"])
    path = tmp_path / "r.csv"
    path.write_text(ranking.to_csv())
    read = read_ranking(str(path))
    assert read == {m: {row.name: row.value(m) for row in ranking} for m in ("logme", "knn")}


def test_eval_says_what_is_wrong_with_files(tmp_path: Path) -> None:
    cases = {
        "model,a\nx,1\nx,2\n": "more than once",
        "model,a\nx,1\ny\n": "entry 3: 1 values for 2 columns",
        "who,a\nx,1\n": "needs a first line",
        "model,a,b\nx,1,2\n": "name the one",
        "model,a\nx,hello\n": "no column of numbers only",
        "": "needs a first line",
    }
    for text, message in cases.items():
        path = tmp_path / "t.csv"
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            read_truth(str(path))
    path.write_text("model,a\nx,1\n")
    with pytest.raises(DataError, match="no column of numbers 'b'"):
        read_truth(str(path), "b")
    result = CliRunner().invoke(main, ["eval", str(path), str(path)])
    assert result.exit_code == 3
    assert "agreement needs 3" in result.stderr
    assert CliRunner().invoke(main, ["eval", "nowhere.csv", str(path)]).exit_code == 2


def test_columns_that_are_numbers_in_part_are_named(tmp_path: Path) -> None:
    path = tmp_path / "ranking.csv"
    path.write_text("model,logme,knn,family\na,1,0.5,x\nb,2,91%,y\nc,3,,z\n")
    with pytest.warns(TransferabilityWarning, match="'knn' was left out, because '91%' of 'b'"):
        assert set(read_ranking(str(path))) == {"logme"}
    path.write_text("model,family\na,x\n")
    with pytest.raises(DataError, match="no column of numbers only"):
        read_truth(str(path))


def test_intervals_of_few_models_say_that_they_are_narrow() -> None:
    names = [f"m{i}" for i in range(8)]
    scores = {"good": {name: float(i) for i, name in enumerate(names)}}
    three = {"good": dict(zip(names[:3], range(3), strict=True))}
    few = evaluate_scores(three, three["good"], n_boot=100)
    assert few.ci() == (1.0, 1.0)
    assert "3 models are few" in repr(few)
    many = evaluate_scores(scores, dict(zip(names, range(8), strict=True)), n_boot=100)
    assert not any("few" in note for note in many.notes)


def test_the_number_of_features_is_a_baseline() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60)
    models = {
        f"m{d}": rng.normal(size=(60, d)) + shift * labels[:, None]
        for d, shift in {3: 2.0, 5: 1.0, 9: 0.0}.items()
    }
    truth = {"m3": 0.9, "m5": 0.8, "m9": 0.5}
    evaluation = tx.rank(models, labels).evaluate(truth, metrics=["logme", "n_features"])
    assert evaluation.weighted_tau == pytest.approx(1.0)
    assert evaluation["n_features"].weighted_tau == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("header", "rows", "known"),
    [
        ("model,acc,acc", ["a,.9,.1", "b,.8,.2"], []),
        ("model,acc,acc,other", ["a,.9,.1,5", "b,.8,.2,6"], ["other"]),
        ("model,acc,acc", ["a,.9,.9", "b,.8,.8"], ["acc"]),
    ],
)
def test_columns_of_one_name_with_other_numbers_are_left_out(
    tmp_path: Path, header: str, rows: list[str], known: list[str]
) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("\n".join([header, *rows]))
    if known == ["acc"]:
        assert read_truth(str(path)) == {"a": 0.9, "b": 0.8}
        return
    with pytest.warns(TransferabilityWarning, match="2 columns 'acc' differ and were left out"):
        assert [*read_columns(str(path))] == known


def test_two_columns_of_models_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "truth.csv"
    path.write_text("model,model,acc\na,b,.9\nb,a,.8\n")
    with pytest.raises(DataError, match="2 columns 'model'; name the models once"):
        read_truth(str(path))


def test_a_copy_with_another_seed_draws_anew() -> None:
    names = "abcdefg"
    rng = np.random.default_rng(0)
    scores = {m: dict(zip(names, rng.normal(size=7).tolist(), strict=True)) for m in ("s", "t")}
    truth = dict(zip(names, rng.normal(size=7).tolist(), strict=True))
    first = evaluate_scores(scores, truth, n_boot=100)
    before = first.ci()
    second = evaluate_scores(scores, truth, n_boot=100, seed=5)
    assert replace(first, seed=5).ci() == second.ci() != before
    assert first["t"]._drawn is first._drawn  # metrics share the draws


def test_the_csv_of_a_race_is_evaluated_without_the_models_that_it_dropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3000, 6))
    models = {f"m{i}": x + i * rng.normal(size=x.shape) for i in range(9)}
    ranking = tx.rank(models, x[:, 0] > 0, race=tx.Race(top=2), progress=False)
    assert any(row.dropped for row in ranking)
    path = tmp_path / "ranking.csv"
    path.write_text(ranking.to_csv())
    scores = read_ranking(str(path))
    assert scores == {"logme": {row.name: row.value("logme") for row in ranking.compared}}
    assert {*read_columns(str(path))["n_samples"]} == {*ranking.names}


@pytest.mark.parametrize("missing", [None, math.nan])
def test_groups_without_a_name_are_refused(missing: Any) -> None:
    scores, truth = [1, 2, 3, 1, 2, 3], [1, 2, 3, 3, 2, 1]
    for groups in ([missing] * 3 + ["a"] * 3, [0.0, 0.0, 0.0] + [missing] * 3):
        with pytest.raises(DataError, match="groups has 3 missing values"):
            agreement.weighted_tau(scores, truth, "grouped", groups=groups)
    tau = agreement.weighted_tau(scores, truth, "grouped", groups=list("aaabbb"))
    assert tau == pytest.approx(0, abs=1e-15)
