"""Rows match by position; a pandas index that says otherwise is refused, never ignored.

Kinds: the same entries in another order; words or dates that stand in other rows; in every pair of
arguments. Unrelated indexes say nothing, as that of a new frame.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import DataError, Stats
from transferability._data.read import read_data

pd = pytest.importorskip("pandas")

RNG = np.random.default_rng(0)
Y = np.repeat([0, 1, 2], 20)
X = RNG.normal(size=(60, 5))
X[:, 0] += Y
ORDER = RNG.permutation(60)
LOGME = float(tx.logme(X, Y))
WORDS = [f"r{i}" for i in range(60)]
LEVELS = pd.MultiIndex.from_product([range(6), list("abcdefghij")])
FRAME, LABELS = pd.DataFrame(X), pd.Series(Y)


@pytest.mark.parametrize(
    "index",
    [
        None,
        WORDS,
        pd.date_range("2020", periods=60),
        LEVELS,
        np.arange(60.0),
        [*WORDS[:30], *range(30)],
        RNG.permutation(1000)[:60],
    ],
    ids=["default", "words", "dates", "levels", "floats", "mixed", "integers"],
)
def test_the_same_index_in_another_order(index: Any) -> None:
    features = FRAME if index is None else FRAME.set_axis(index)
    labels = LABELS if index is None else LABELS.set_axis(index)
    assert tx.logme(features, labels) == LOGME
    both = tx.logme(features.iloc[ORDER], labels.iloc[ORDER])
    assert both == pytest.approx(LOGME, rel=1e-12)
    shuffled = labels.iloc[ORDER]
    remedy = r"pass labels.loc\[features.index\] if .*, or labels.to_numpy\(\) if rows match by"
    with pytest.raises(DataError, match=f"labels has the index of features in another.*{remedy}"):
        tx.logme(features, shuffled)
    assert tx.logme(features, shuffled.loc[features.index]) == LOGME
    by_position = float(tx.logme(features, shuffled.to_numpy()))
    assert by_position == float(tx.logme(X, Y[ORDER])) != LOGME


def test_the_first_row_that_moved_is_named() -> None:
    labels = LABELS.set_axis(WORDS).iloc[[0, 2, 1, *range(3, 60)]]
    with pytest.raises(DataError, match="'r1' is row 1 of features and row 2 of labels"):
        tx.logme(FRAME.set_axis(WORDS), labels)


def test_an_index_that_repeats() -> None:
    index = [*range(30)] * 2  # of two frames, one after the other
    assert tx.logme(FRAME.set_axis(index), LABELS.set_axis(index)) == LOGME
    with pytest.raises(DataError, match="pass labels in the order of features if the index"):
        tx.logme(FRAME.set_axis(index), LABELS.set_axis(sorted(index)))
    gone = [np.nan] * 60
    assert tx.logme(FRAME.set_axis(gone), LABELS.set_axis(gone)) == LOGME


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (range(60), range(100, 160)),
        (range(60), RNG.permutation(90)[:60]),  # labels of a random split, features made anew
        (range(60), WORDS),
        (WORDS, [*WORDS[:59], "new"]),
        (WORDS, [f"y_{word}" for word in WORDS]),
        (range(60), [0] * 60),
    ],
)
def test_unrelated_indexes_match_by_position(ours: Any, theirs: Any) -> None:
    assert tx.logme(FRAME.set_axis(ours), LABELS.set_axis(theirs)) == LOGME


def test_words_in_other_rows_are_refused() -> None:
    shifted = LABELS.set_axis([*WORDS[1:], "new"])
    with pytest.raises(DataError, match=r"'r1' is row 1 .* row 0 of labels.*intersection"):
        tx.logme(FRAME.set_axis(WORDS), shifted)


def test_every_pair_of_arguments() -> None:
    shuffled = LABELS.iloc[ORDER]
    table = pd.DataFrame({"text": WORDS, "label": Y})
    by_word = LABELS.set_axis(WORDS)
    probs = pd.DataFrame(np.full((60, 2), 0.5)).iloc[ORDER]
    for call, name in (
        (lambda: Stats().update(FRAME, shuffled), "labels"),
        (lambda: Stats().update(FRAME, shuffled.to_frame()), "labels"),
        (lambda: Stats().update(FRAME, Y, shuffled + 1), "sample_weight"),
        (lambda: tx.score(FRAME, LABELS, groups=shuffled), "groups"),
        (lambda: tx.score(FRAME, by_word, groups=by_word.iloc[ORDER]), "groups"),
        (lambda: tx.score(X, by_word, groups=by_word.iloc[ORDER]), "groups"),
        (lambda: tx.score(by_word.to_frame(), LABELS, groups=by_word.iloc[ORDER]), "groups"),
        (lambda: tx.score(None, LABELS, "nce", source_labels=shuffled), "source_labels"),
        (lambda: tx.score(None, LABELS, "leep", source_probs=probs), "source_probs"),
        (lambda: tx.emms(X, {"a": FRAME, "b": FRAME.iloc[ORDER]}), r"label_embeddings\['b'\]"),
        (lambda: tx.rank({"m": X}, LABELS, groups=shuffled), "groups"),
        (lambda: tx.rank({"m": FRAME}, shuffled).best, "m: features"),
        (lambda: tx.rank({"a": FRAME, "b": FRAME.iloc[ORDER]}, Y), r"models\['b'\]"),
        (lambda: tx.rank({"a": FRAME, "b": FRAME.iloc[ORDER]}, by_word), r"models\['b'\]"),
        (lambda: tx.rank({"m": FRAME}, by_word, groups=shuffled), "groups"),
        (lambda: tx.rank({"m": FRAME, "n": FRAME}, Y).stability(groups=shuffled), "groups"),
        (lambda: tx.rank({"m": X, "n": X}, LABELS).shortlist(1, groups=shuffled), "groups"),
        (lambda: tx.rank_ensembles({"a": FRAME, "b": FRAME}, shuffled), r"models\['a'\]"),
        (lambda: tx.rank_ensembles({"a": FRAME, "b": FRAME.iloc[ORDER]}, Y), r"models\['b'\]"),
        (lambda: tx.pool_bags(FRAME, shuffled), "bags"),
        (lambda: tx.pool_bags(X, LABELS, labels=shuffled), "labels"),
        (lambda: tx.forecast.curve(FRAME, shuffled, "h_score"), "labels"),
        (lambda: read_data((FRAME, shuffled)), "labels"),
        (lambda: read_data((FRAME, Y), bag=shuffled), "bag"),
        (lambda: read_data((X, LABELS), bag=shuffled), "bag"),
        (lambda: read_data(table, "label", "text", bag=shuffled), "bag"),
        (lambda: read_data({**table}, "label", "text", bag=shuffled), "bag"),
        (lambda: read_data({"known": FRAME[0].astype(str), "label": shuffled}), "label"),
    ):
        with pytest.raises(DataError, match=f"{name} has the index of .* in another order"):
            call()
    scores = pd.Series([1.0, 2.0, 3.0], index=["resnet", "vit", "clip"])
    truth = pd.Series([0.3, 0.1, 0.2], index=["clip", "resnet", "vit"])
    assert tx.agreement.kendall_tau(scores, truth.loc[scores.index]) == 1
    with pytest.raises(DataError, match=r"truth has the index of scores in another order.*truth.l"):
        tx.agreement.kendall_tau(scores, truth)
    ranking = tx.rank({"bad": FRAME.iloc[ORDER], "good": FRAME, "array": X}, LABELS)
    assert {row.name for row in ranking.rows if row.error} == {"bad"}


def test_an_unrelated_index_between_two_hides_nothing() -> None:
    """Rows of words, then of dates, then of the same words in another order."""
    words, dates = (
        pd.Series(np.arange(60) % 3, WORDS),
        LABELS.set_axis(pd.date_range("2020", periods=60)),
    )
    frame = FRAME.set_axis(WORDS)
    assert tx.score(frame, dates, groups=words) == tx.score(X, Y, groups=np.arange(60) % 3)
    with pytest.raises(DataError, match="groups has the index of features in another order"):
        tx.score(frame, dates, groups=words.iloc[ORDER])
    with pytest.raises(DataError, match="sample_weight has the index of features in another"):
        Stats().update(frame, dates, words.iloc[ORDER] + 1)


def test_names_of_models_in_two_series() -> None:
    """Names that overlap are of the same models; others say nothing, as of two naming schemes."""
    scores = pd.Series([1.0, 2.0, 3.0], index=["resnet", "vit", "clip"])
    with pytest.raises(DataError, match=r"same models; clip, dino are in one.*give arrays if"):
        tx.agreement.kendall_tau(scores, scores.set_axis(["resnet", "vit", "dino"]))
    for other in (["a", "b", "c"], [0, 1, 2]):
        assert tx.agreement.kendall_tau(scores, scores.set_axis(other)) == 1
    assert tx.agreement.kendall_tau(scores, [1.0, 2.0, 3.0]) == 1
