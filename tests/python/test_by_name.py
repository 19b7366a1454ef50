"""Numbers of models by name: pandas series and frames are taken wherever mappings are."""

from __future__ import annotations

import math
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, DtypeError
from transferability._inputs.by_name import as_mapping

pd = pytest.importorskip("pandas")

NUMBERS = {"a": 70.0, "b": 80.0, "c": 60.0, "d": 65.0}


@pytest.fixture(scope="module")
def data() -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 120)
    sizes = dict(zip(NUMBERS, (1.0, 1.05, 0.4, 0.2), strict=True))
    return {n: s * np.eye(2, 5)[labels] + rng.normal(size=(120, 5)) for n, s in sizes.items()}, (
        labels
    )


def test_what_is_a_mapping() -> None:
    assert as_mapping("x", NUMBERS) is NUMBERS
    assert as_mapping("x", MappingProxyType(NUMBERS)) == NUMBERS
    assert as_mapping("x", pd.Series(NUMBERS)) == NUMBERS
    assert as_mapping("x", pd.DataFrame({"p": NUMBERS})) == {"p": NUMBERS}
    for other in ([1.0, 2.0], np.arange(3), None, "abc", 3):
        assert as_mapping("x", other) is None


@pytest.mark.parametrize("missing", [math.nan, None, pd.NA, pd.NaT])
def test_missing_values_of_a_series_are_left_out(missing: Any) -> None:
    series = pd.Series([1.0, missing], index=["a", "b"], dtype=object)
    assert as_mapping("x", series) == {"a": 1.0}


def test_names_that_occur_twice_are_refused() -> None:
    with pytest.raises(DataError, match=r"the index of prior has 'a' 2 times"):
        as_mapping("prior", pd.Series([1.0, 2.0], index=["a", "a"]))
    with pytest.raises(DataError, match=r"the columns of costs has 'p' 2 times"):
        as_mapping("costs", pd.DataFrame([[1.0, 2.0]], index=["a"], columns=["p", "p"]))


def test_a_series_is_a_prior(data: Any) -> None:
    models, labels = data
    series = pd.Series(NUMBERS)
    given, expected = (tx.rank(models, labels, prior=p) for p in (series, NUMBERS))
    assert [row.value("prior") for row in given] == [row.value("prior") for row in expected]
    plain = tx.rank(models, labels)
    assert plain.shortlist(prior=series).models == plain.shortlist(prior=NUMBERS).models
    stability = plain.stability()
    past = {"flowers": dict(NUMBERS)}
    frame = pd.DataFrame(past)
    found = stability.shortlist(prior=series, past=frame)
    assert found.models == stability.shortlist(prior=NUMBERS, past=past).models
    assert found.models == stability.shortlist(prior=series, past=dict(frame)).models
    partial = pd.Series({"a": 1.0, "b": math.nan})
    assert [
        name
        for name in models
        if tx.rank(models, labels, prior=partial)[name].scores.get("prior") is not None
    ] == ["a"]
    with pytest.raises(DataError, match="prior has no number for b"):
        stability.shortlist(prior=partial)


def test_a_series_is_a_truth_and_costs(data: Any) -> None:
    models, labels = data
    truth = pd.Series(NUMBERS)
    ranking = tx.rank(models, labels, costs=pd.DataFrame({"parameters": NUMBERS}))
    assert ranking.evaluate(truth).to_dict() == ranking.evaluate(NUMBERS).to_dict()
    expected = tx.rank(models, labels, costs={"parameters": NUMBERS}).pareto("parameters")
    assert ranking.pareto("parameters").to_dict() == expected.to_dict()
    assert ranking.pareto(truth).to_dict() == ranking.pareto(NUMBERS).to_dict()


def test_a_series_is_a_truth_of_a_plot(data: Any) -> None:
    pytest.importorskip("matplotlib")
    ranking = tx.rank(*data)
    axes = [tx.plot.scatter(ranking, truth) for truth in (pd.Series(NUMBERS), NUMBERS)]
    assert len({ax.get_title() for ax in axes}) == 1


def test_other_kinds_are_still_refused(data: Any) -> None:
    for wrong in ([1.0, 2.0], pd.Index(["a"]), np.arange(4)):
        with pytest.raises(DtypeError, match="prior must be a mapping"):
            tx.rank(*data, prior=wrong)
