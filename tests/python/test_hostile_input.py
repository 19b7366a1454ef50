"""Every public function of arrays on every kind of odd array: the right value, or a named error."""

from __future__ import annotations

import inspect
import math
import random
import struct
import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from forged_states import bases, fields, mutate, sealed, use
from metric_tester import MetricTester
from odd_arrays import OTHER, SAME, beyond_unicode

import transferability as tx
from transferability import DataError, DtypeError, InternalError, NumericalError, Stats, _core
from transferability._metric.registry import metric_specs
from transferability.errors import OutOfMemoryError

pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

N = 60
#: Arguments that some functions read as others, under whose name their errors are.
NAMES = {"samples": "labels", "targets": "labels", "source_outputs": "source_probs"}


class Case:
    """A public function and its arrays by argument."""

    def __init__(self, call: Callable[..., Any], given: Mapping[str, Any]) -> None:
        self.call, self.given = call, dict(given)

    def run(self, **other: Any) -> Any:
        return numbers(self.call(**(self.given | other)))


def numbers(result: Any) -> list[float]:
    """Return the numbers of any result, in order."""
    if isinstance(result, tx.Scores):
        return [float(score) for score in result.values()]
    if isinstance(result, Stats):
        return numbers(result.mean())
    if isinstance(result, (bool, int, float, np.number)):
        return [float(result)]
    if isinstance(result, np.ndarray):
        return [float(value) for value in result.ravel()]
    if isinstance(result, (tuple, list)):
        return [value for part in result for value in numbers(part)]
    return []


def rank_one(features: object, labels: object) -> float:
    """Rank one model; its error, which is a part of its row, is raised."""
    row = tx.rank({"features": features}, labels).rows[0]
    if row.error:
        raise DataError(row.error)
    return float(row.logme)


def cases() -> dict[str, Case]:
    """Return every public function that takes arrays, with clean ones."""
    given = MetricTester("logme").inputs("classification")
    features, labels = given["features"], given["labels"]
    both = {"features": features, "labels": labels}
    weights = np.arange(N) % 3
    found = {}
    for name, spec in metric_specs().items():
        function = getattr(tx, name)
        task = next(iter(t for t in spec.tasks if t != "unlabelled"), "unlabelled")
        made = MetricTester(name).inputs("classification" if task == "multilabel" else task)
        taken = inspect.signature(function).parameters
        # Two arguments have names of their own.
        outputs = np.eye(3)[made["source_labels"] % 3]
        made |= {"targets": made["labels"], "samples": np.arange(N) // 2, "source_outputs": outputs}
        found[name] = Case(function, {k: v for k, v in made.items() if k in taken})
    found |= {
        "score": Case(lambda **k: tx.score(metrics="all", **k), given),
        "rank": Case(rank_one, both),
        "Stats.update": Case(lambda **k: Stats().update(**k), {**both, "sample_weight": weights}),
    }
    for module in (tx.covariance, tx.health):
        for name in module.__all__:
            function = getattr(module, name)
            if inspect.isclass(function) or name == "shrunk_covariance":
                continue  # the latter takes a covariance
            taken = inspect.signature(function).parameters
            arrays = {"features": features, "labels": labels, "samples": np.arange(N) // 2}
            if name == "alpha_req":  # needs rank
                arrays["features"] = MetricTester(name).inputs("unlabelled")["features"]
            found[f"{module.__name__[16:]}.{name}"] = Case(
                function, {k: v for k, v in arrays.items() if k in taken}
            )
    return found


CASES = cases()
ARGUMENTS = [(name, argument) for name, case in CASES.items() for argument in case.given]


def check_error(error: Exception, kind: str, *names: str) -> None:
    """Check that an error was raised on purpose, and that it has one of the names."""
    on_purpose = isinstance(error, tx.TransferabilityError) and not isinstance(error, InternalError)
    assert on_purpose, f"{kind}: {error!r}"
    assert "internal error" not in str(error), f"{kind}: {error!r}"
    assert not names or any(name in str(error) for name in names), f"{kind}: {error!r}"


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_the_same_numbers_in_odd_memory(name: str, argument: str) -> None:
    case = CASES[name]
    expected = case.run()
    for kind, make in SAME.items():
        try:
            found = case.run(**{argument: make(case.given[argument])})
        except Exception as error:
            check_error(error, kind, argument, NAMES.get(argument, argument))
        else:
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True), kind


@pytest.mark.parametrize(("name", "argument"), ARGUMENTS)
def test_other_numbers(name: str, argument: str) -> None:
    case = CASES[name]
    nan = sum(np.isnan(case.run()))
    for kind, make in OTHER.items():
        try:
            found = case.run(**{argument: make(case.given[argument])})
        except Exception as error:
            check_error(error, kind)
        else:
            assert sum(np.isnan(found)) <= nan, f"{kind}: {found}"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "features" in case.given])
def test_more_numbers_than_can_be_addressed(name: str) -> None:
    """Broadcast arrays take no memory, and are refused before anything reads them."""
    for dtype, shape in (("i1", (2**31, 2**31)), ("f2", (2**31, 2**30)), ("?", (2**61, 2))):
        with pytest.raises(DataError, match="than can be addressed"):
            CASES[name].run(features=np.broadcast_to(np.zeros((), dtype), shape))


#: Rows of which 8 bytes each are more than a process can address.
TOO_MANY = 2**46
BROADCAST = (0, 1.0, 0.5, True, np.uint8(1), np.float16(1), "a", np.array("a", object))
ONE_PER_ROW = ("labels", "targets", "samples", "source_labels", "sample_weight")


@pytest.mark.parametrize(
    ("name", "argument"), [pair for pair in ARGUMENTS if pair[1] in ONE_PER_ROW]
)
def test_labels_of_more_rows_than_memory(name: str, argument: str) -> None:
    """Broadcast labels take no memory, but reading them takes years, and a copy all memory."""
    for value in BROADCAST:
        for shape in ((TOO_MANY,), (TOO_MANY, 1), (TOO_MANY, 3), (1, TOO_MANY), (TOO_MANY, 3, 2)):
            kind = f"{np.asarray(value).dtype} {shape}"
            with pytest.raises(tx.TransferabilityError) as error:
                CASES[name].run(**{argument: np.broadcast_to(value, shape)})
            check_error(error.value, kind, argument, NAMES.get(argument, argument))


@pytest.mark.parametrize("argument", ["labels", "source_labels", "groups"])
def test_memory_for_labels_is_asked_for_with_its_size(argument: str) -> None:
    given = {"features": np.eye(N), "labels": np.arange(N) % 3}
    for value in BROADCAST:
        with pytest.raises(OutOfMemoryError, match=rf"{argument} needs {8 * TOO_MANY} bytes"):
            tx.score(**(given | {argument: np.broadcast_to(value, TOO_MANY)}))
    with pytest.raises(DataError, match="than can be addressed"):
        tx.score(**(given | {argument: np.broadcast_to(np.uint8(1), 2**61)}))


def test_broadcast_text_is_no_feature_matrix() -> None:
    with pytest.raises(DtypeError, match=r"features\[0, 0\] is the text 'a'"):
        tx.logme(np.broadcast_to("a", (TOO_MANY, 3)), [0, 1])


def test_the_core_takes_no_text_beyond_unicode() -> None:
    """Its strings are UTF-8 by contract; what Python encodes of such text is none."""
    names = beyond_unicode(np.arange(3)).tolist()
    with pytest.raises(DataError, match="not Unicode"):
        _core.Stats().update_labels(np.eye(6), np.arange(6) % 3, names, None, 1)


def odd_columns() -> dict[str, Any]:
    """Return columns that their packages cannot convert to objects of Python, or to NumPy."""
    import pandas
    import polars
    import pyarrow as pa

    late = np.full(N, 2**62)
    return {
        "a zone that nobody knows": pa.array(np.arange(N), pa.timestamp("us", tz="Nowhere/City")),
        "a timestamp of no calendar": pa.array(late, pa.timestamp("s")),
        "a time of no day": pa.Array.from_buffers(
            pa.time64("us"), N, [None, pa.py_buffer(late.tobytes())]
        ),
        "a duration of polars": polars.Series(late).cast(polars.Duration("ms")),
        "a panic of polars": polars.Series(late).cast(polars.Datetime("ms")),
        "128 bits": polars.Series(np.arange(N)).cast(polars.Int128),
        "two levels": pandas.MultiIndex.from_arrays([np.arange(N)] * 2),
    }


def test_columns_that_their_packages_cannot_convert() -> None:
    import polars
    import pyarrow as pa

    given = CASES["logme"].given
    for kind, column in odd_columns().items():
        forms = [column]
        if isinstance(column, pa.Array):
            forms.append(pa.table({"a": column}))
        if isinstance(column, polars.Series):
            forms.append(polars.DataFrame({"a": column}))
        for form in forms:
            for argument in ("features", "labels"):
                try:
                    tx.logme(**{**given, argument: form})
                except Exception as error:
                    check_error(error, f"{kind}, {argument}", argument)


def test_labels_that_are_long_and_full_of_colons() -> None:
    """A list of labels may be a list of files, of which ``file:key`` names an array."""
    with pytest.raises(DataError, match="labels has a string of 3,000,000 characters"):
        tx.rank({"a": np.eye(4)}, [":" * 3_000_000, "b"] * 2)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_arrays_that_another_thread_changes(dtype: str) -> None:
    """A result or a named error, and no crash; NaN, infinity and labels come and go."""
    given = MetricTester("logme").inputs("classification")
    features, labels = given["features"].astype(dtype), given["labels"].copy()
    clean = features.copy()
    stop = threading.Event()

    def change() -> None:
        rng = np.random.default_rng(0)
        while not stop.is_set():
            for value in (np.nan, np.inf, 1e30, 0.0):
                features[rng.integers(N)] = value
            labels[rng.integers(N)] = rng.integers(-5, 50)
            features[:] = clean

    thread = threading.Thread(target=change)
    thread.start()
    n_errors = 0
    try:
        for name in ("logme", "h_score", "gbc", "lda", "knn", "sfda", "transrate", "lfc", "cka"):
            for _ in range(20):
                try:
                    getattr(tx, name)(features, labels)
                except (DataError, DtypeError, NumericalError) as error:
                    check_error(error, name)
                    n_errors += 1
    finally:
        stop.set()
        thread.join()
    assert np.isfinite(tx.logme(clean, given["labels"]))


@pytest.mark.parametrize(
    ("base", "field", "value", "reason"),
    [
        ("ids 40x3 double", "n_samples", 0, "0 samples"),
        ("ids 40x3 double", "n_samples", 2**64 - 1, "samples"),
        ("ids 40x3 double", "class_count", 2**64 - 1, "for 40 samples"),
        ("ids 40x3 double", "scatter", -1.0, r"scatter\[0, 0\] is -1"),
        ("ids 40x3 double", "sum", math.nan, "the sums holds NaN"),
        ("ids 40x3 double", "sum", 1e4, r"sum\[0\] is 1e4"),
        ("ids 40x3 double", "largest", -1.0, "largest magnitude is -1"),
        ("ids 40x3 double", "unit", -8.0, "quartic has the unit -8"),
        ("ids 40x3 double", "quartic", 1e9, "quartic is .*, of at most"),
        ("ids 40x3 double", "cubic", math.inf, r"cubic\[0\] is inf"),
        ("ids 40x3 double", "class_squares", 1e5, "class_squares add up to"),
        ("ids 40x3 double by class", "class_sum", 2.5, "on its own|too much for"),
        ("ids 40x3 double by class", "class_shift", 1e308, "on its own add up"),
        ("ids 6x9 double", "sum", 1e308, r"sum\[0\] is 1e308, and the rows add up to"),
        ("ids 6x9 double", "weights", -1.0, "a row has weight -1"),
        ("ids 6x9 double", "code", 9, "none of the 3 classes"),
        ("regression 6x9 double", "target_rows", 50.0, r"target_sum\[0\] is .* the rows add up"),
        ("regression 40x3 double", "target_shift", 1e200, "reach 1e200, beyond 1e150"),
        ("regression 40x3 double", "cross", 1e4, r"cross\[0, 0\] is 1e4"),
        ("regression 40x3 double", "joint_quartic", math.nan, "joint_quartic is NaN"),
        ("regression 40x3 double", "joint_features", 1e9, r"joint_features\[0\]"),
        ("regression 40x3 double", "joint_targets", -math.inf, r"joint_targets\[0\]"),
        ("regression 40x3 double", "target_cubic", math.inf, r"target_cubic\[0\]"),
        ("regression 40x3 double", "target_products", 0.0, r"target_products"),
    ],
)
def test_what_no_rows_can_have_is_refused_with_its_reason(
    base: str, field: str, value: float, reason: str
) -> None:
    data = bases()[base]
    place = next(found.place for found in fields(data) if found.name == field)
    forged = bytearray(data)
    forged[place : place + 8] = struct.pack("<d" if isinstance(value, float) else "<Q", value)
    with pytest.raises(DataError, match=f"no usable file of statistics: .*(?:{reason})"):
        Stats.from_bytes(sealed(forged))


def test_sums_that_contradict_each_other_only_together() -> None:
    """Each pair of sums could be; all of them together have a direction of negative squares."""
    rng = np.random.default_rng(0)
    ids = np.arange(60) % 3
    features = rng.normal(size=(60, 3)) + 4 * np.eye(3)[ids]
    data = Stats("classification").update(features, ids).to_bytes()
    scatter = [found.place for found in fields(data) if found.name == "scatter"]
    forged = bytearray(data)
    squares = [struct.unpack_from("<d", data, scatter[i])[0] for i in (0, 3, 5)]
    for place, (i, j) in zip((1, 2, 4), ((0, 1), (0, 2), (1, 2)), strict=True):
        product = 0.9 * math.sqrt(squares[i] * squares[j])  # classes as far apart as before
        struct.pack_into("<d", forged, scatter[place], product)
    with pytest.raises(DataError, match="about the class means add up to less than 0"):
        Stats.from_bytes(sealed(forged))
    targets = features @ rng.normal(size=(3, 5))  # more targets than features
    moments = Stats("regression").update(features, targets).moments()
    assert np.isfinite(Stats.from_moments(moments).lin_mse())
    moments["target_square"] = moments["target_square"] * [1, 1, 0.5, 1, 1]
    with pytest.raises(DataError, match=r"cross\[:, 2\] is too much"):
        Stats.from_moments(moments)


def test_forged_states_are_refused_or_harmless() -> None:
    """``forged_states.py`` runs more of them: python tests/python/forged_states.py 100000."""
    rng, known = random.Random(17), bases()
    honest = {name: Stats.from_bytes(data) for name, data in known.items()}
    assert {use(known[name], honest[name])[0] for name in known} == {"used"}
    counts = dict.fromkeys(("refused", "used"), 0)
    for _ in range(1500):
        name = rng.choice(list(known))
        data, said = mutate(known[name], rng)
        outcome, detail = use(data, honest[name])
        assert outcome != "bad", f"{name}: {said}: {detail}"
        counts[outcome] += 1
    assert min(counts.values()) > 300, counts
