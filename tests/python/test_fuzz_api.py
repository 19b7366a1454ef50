"""A short run of ``fuzz_api.py``, and what its long runs have found."""

from __future__ import annotations

import collections
import json
import struct
from collections.abc import Callable

import numpy as np
import pytest
from forged_states import sealed
from fuzz_api import CASES, NAMES, input_of, run
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_arrays import Raising

import transferability as tx
from transferability import DataError, DtypeError, Stats

pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

N = 4000


def test_seeded_inputs() -> None:
    """No finding; each function comes up, and neither outcome is rare."""
    counts: collections.Counter[str] = collections.Counter()
    for index in range(N):
        counts[run(input_of(0, index))] += 1
    assert min(counts["refused"], counts["used"]) > N / 10, counts


@settings(max_examples=400, deadline=None)
@given(st.integers(0, len(NAMES) - 1), st.binary(max_size=300))
def test_inputs_that_hypothesis_makes_smaller(name: int, data: bytes) -> None:
    """The same inputs, of which hypothesis finds the smallest that fails."""
    assert run(name.to_bytes(2, "little") + data) in ("refused", "used")


def test_every_public_function_of_arrays_is_a_case() -> None:
    for module in (tx.covariance, tx.health, tx.agreement):
        names = {f"{module.__name__[16:]}.{name}" for name in module.__all__}
        assert {name for name in names if name.rsplit(".", 1)[1].islower()} <= set(CASES)
    assert set(tx.metrics.__all__) <= set(CASES)


X, Y = np.arange(24.0).reshape(12, 2) % 5, np.arange(12) % 2
TEXTS = np.array(["auto", "auto"])  # its comparison with a text is an array
IDS = np.array([1e300, 3e300, *[0.0] * 10])  # cast to integers, they would be one group
FAR = np.array([[0.0, 1e226], [0.0, -1e226]])  # each class has one row, so no residuals
MOMENTS = Stats().update(X, Y).moments()
TARGETS = Stats("regression").update(X, X).moments()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: tx.agreement.relative_accuracy("high", 0.5), "accuracy must be numbers"),
        (lambda: tx.agreement.relative_accuracy(0.5, Raising(X)), "baseline must be numbers"),
        (lambda: tx.agreement.relative_accuracy(1e300, 1e-300), "overflows float64"),
        (lambda: tx.agreement.pearson([1, 2j, 3], [1, 2, 3]), "scores must be numbers.*complex"),
        (lambda: tx.agreement.kendall_tau(Raising(Y), Y), "scores must be numbers: 'not today'"),
        (lambda: tx.agreement.weighted_pearson([1, 2], [1, 2], Raising(Y)), "weights"),
        (lambda: tx.compat.emms.sparsemax(Raising(X)), "z must be numbers"),
        (lambda: tx.compat.emms.sparsemax([1e308, 1e308]), "z reaches 1e"),
        (lambda: tx.tuning.teacher_weights([1j]), "scores must be numbers.*complex"),
        (lambda: tx.gbc(X, Y, task=TEXTS), "task is array"),
        (lambda: tx.cka(X, other_features=X, task=TEXTS), "task is array"),
        (lambda: tx.gbc(X, Y, covariance=TEXTS), "covariance is array"),
        (lambda: tx.rank_ensembles({"a": X, "b": X}, Y, TEXTS, combine="prediction"), "leep"),
        (lambda: tx.knn(X, Y, groups=IDS), r"groups\[0\] is 1e\+300; groups must be 64-bit"),
        (lambda: tx.score(X, Y, groups=-IDS), r"groups\[0\] is -1e\+300"),
        (lambda: tx.pool_bags(X, IDS), r"bags?\[0\] is 1e\+300; ids of bags must be 64-bit"),
        (lambda: tx.score(X, Y, aggregate=TEXTS), "aggregate is array"),
        (lambda: tx.score(X, Y, aggregate=["min"]), "aggregate is .'min'"),
        (lambda: tx.ridge_probe(X, Y, ridges=np.array([1 + 1j])), "ridges is array"),
        (lambda: fitted().predict(X[:, :1]), "f has 1 columns, and was fitted on 2"),
        (lambda: Stats.from_bytes(noted(kind="U", named=True)), "notes do not fit"),
        (lambda: Stats.from_bytes(noted(kind="U")), "notes do not fit"),
        (lambda: Stats.from_bytes(noted(named=True)), "notes do not fit"),
        (lambda: tx.covariance.class_covariances(X * 1e200, Y), "reach .* overflow"),
        (lambda: tx.covariance.class_covariances(FAR, [0, 1]), "reach .*e22.* overflow"),
        (lambda: tx.compat.tllib.transrate(X, Y, eps=None), "eps is None"),
        (lambda: tx.compat.tllib.negative_conditional_entropy(Y, IDS), "beyond 64-bit integers"),
        (lambda: Stats.from_moments({**TARGETS, "columns": 5}), "must be the columns"),
        (lambda: Stats.from_moments({**MOMENTS, "classes": 5}), "must be the classes"),
        (lambda: Stats.from_moments({**MOMENTS, "classes": np.array(3)}), "must be the classes"),
        (lambda: Stats.from_moments({**MOMENTS, "classes": None}), "no 'classes'"),
        (lambda: Stats.from_moments({**MOMENTS, "task": ["auto"]}), r"moments\['task'\] is"),
        (lambda: Stats.from_moments({**MOMENTS, "open": ["int"]}), r"moments\['open'\] is"),
        (lambda: Stats.from_moments({**MOMENTS, "precision": []}), r"moments\['precision'\] is"),
        (lambda: Stats.from_moments({**MOMENTS, "sum": Raising(X)}), r"moments\['sum'\] must be"),
        (lambda: Stats.from_bytes(noted(note=5)), "a note of 5"),
        (lambda: Stats.from_bytes(noted(rows="7")), "a note of .*'7' rows"),
        (lambda: Stats.from_bytes(noted(columns=[[1]])), "targets named"),
    ],
)
def test_errors_are_named(call: Callable[[], object], message: str) -> None:
    with pytest.raises((DataError, DtypeError), match=message):
        call()


def fitted() -> tx.compat.thuml.LogME:
    model = tx.compat.thuml.LogME()
    model.fit(X, Y)
    return model


def noted(**changes: object) -> bytes:
    """Return a sealed state with other notes about its labels."""
    data = Stats().update(X, Y).to_bytes()
    size = struct.unpack_from("<Q", data, 20)[0]
    notes = json.loads(data[28 : 28 + size])
    notes["target"] |= changes
    text = json.dumps(notes).encode()
    rest = struct.pack("<Q", len(text)) + text + data[28 + size :]
    return sealed(data[:12] + struct.pack("<Q", 20 + len(rest)) + rest)


def test_what_was_accepted_is_accepted() -> None:
    assert Stats.from_bytes(noted()).logme() == Stats().update(X, Y).logme()
    assert Stats.from_moments({**TARGETS, "columns": None}).n_samples == 12
    large = [0.0, 2.0**53, 2.0**62] * 4  # whole numbers of 64 bits, as real numbers
    assert tx.pool_bags(X, large).features.shape[0] == 3
    assert tx.agreement.relative_accuracy(["0.9"], [0.6]).shape == (1,)


def test_linear_correlations_of_the_largest_numbers() -> None:
    """Sums of them overflow; a factor changes nothing."""
    scores, truth = np.array([3.0, 1, 2, -4]), np.array([1.0, 2, 3, -1.7])
    for correlate in (tx.agreement.pearson, tx.agreement.weighted_pearson):
        expected = correlate(scores, truth)
        assert correlate(scores * 4e307, truth * 1e307) == pytest.approx(expected, abs=1e-14)
