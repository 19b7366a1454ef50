"""``Engine``: the values and errors of ``score``, threads, forks, pickles, limits."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability import _core
from transferability._metric.registry import metric_specs
from transferability._scoring import call as calls

pytestmark = pytest.mark.filterwarnings("ignore::transferability.errors.TransferabilityWarning")

RNG = np.random.default_rng(5)
N, D = 80, 6
Y = np.arange(N) % 4
X = RNG.normal(size=(N, D)) + np.eye(4, D)[Y]
PROBS = RNG.dirichlet(np.ones(5), size=N)
VIEWS = RNG.normal(size=(N, 3, 2))
#: Arguments of calls by task.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "classification": {"features": X, "labels": Y},
    "strings": {"features": X.astype(np.float32), "labels": np.array(list("abcd"))[Y]},
    "regression": {"features": X, "labels": X[:, 0] + 0.1 * RNG.normal(size=N)},
    "multilabel": {"features": X, "labels": (RNG.normal(size=(N, 3)) > 0).astype(int)},
    "few rows": {"features": X[:5], "labels": Y[:5]},
    "frames": {"features": X.tolist(), "labels": Y.tolist()},
}
BESIDE = {"source_probs": PROBS, "source_labels": PROBS.argmax(axis=1), "label_embeddings": VIEWS}


def facts(score: Any) -> dict[str, Any]:
    """Return every number of a score, and every text, but for the time."""
    if isinstance(score, tx.Scores):
        return {name: facts(own) for name, own in score.items()} | {"skipped": score.skipped}
    return {name: value for name, value in score.to_dict().items() if name != "seconds"}


class Hidden:
    """An array whose shape is known only once it is converted."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self.values, dtype=dtype)


def beside(arguments: dict[str, Any]) -> dict[str, Any]:
    rows = len(arguments["features"])
    return {name: array[:rows] for name, array in BESIDE.items()}


@pytest.mark.parametrize("kind", ARGUMENTS)
def test_values_are_those_of_score(kind: str) -> None:
    arguments = ARGUMENTS[kind]
    given = {**arguments, **beside(arguments)}
    options = {"task": "classification"} if kind == "few rows" else {}
    engine = tx.Engine("all", **options)
    expected = facts(tx.score(metrics="all", **given, **options, n_threads=1))
    for _ in range(2):  # the second call decides nothing again
        assert facts(engine.score(**given)) == expected


@pytest.mark.parametrize("name", [name for name in tx.metrics.__all__])
def test_every_metric_is_served(name: str) -> None:
    spec = metric_specs()[name]
    kind = next(task for task in ARGUMENTS if task in spec.tasks)
    arguments = {**ARGUMENTS[kind], **BESIDE}
    if name == "alpha_req":  # it fits the eigenvalues from the 11th to the 30th at least
        arguments["features"] = RNG.normal(size=(N, 35))
    assert facts(tx.Engine(name).score(**arguments)) == facts(tx.score(metrics=name, **arguments))


@pytest.mark.parametrize(
    "options",
    [
        {"intercept": True, "standardize": True, "keep_coef": True},
        {"method": "svd"},
        {"precision": "single"},
        {"method": "tridiagonal", "n_threads": 2},
        {"n_threads": None},
    ],
)
def test_options_are_those_of_score(options: dict[str, Any]) -> None:
    features = X.astype(np.float32)
    expected = facts(tx.score(features, Y, "logme", **options))
    assert facts(tx.Engine("logme", **options).score(features, Y)) == expected


def test_targets_are_labels_of_regression() -> None:
    counts = RNG.integers(0, 40, N)  # which as labels may be classes or counts
    engine = tx.Engine()
    assert engine.score(X, targets=counts) == tx.logme(X, counts, task="regression")
    assert engine.score(X, targets=counts).task == "regression"
    assert engine.score(X, Y).task == "classification"
    with pytest.raises(tx.DataError, match="labels and targets were both given; give classes as"):
        engine.score(X, Y, targets=counts)
    with pytest.raises(
        tx.DataError, match="targets were given, and the task of this engine is cla"
    ):
        tx.Engine(task="classification").score(X, targets=counts)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"features": X[:-1], "labels": Y}, "labels has 80 entries but features has 79 rows"),
        ({"features": np.where(X > 2, np.nan, X), "labels": Y}, r"features\[\d+, \d\] is NaN"),
        ({"features": X[0], "labels": Y}, "features must be 2-D"),
        ({"features": X, "labels": np.arange(N)}, "choose task='classification' or"),
        ({"features": X}, "needs labels"),
        ({}, "there is nothing to score"),
        ({"labels": Y}, "needs the features"),
    ],
)
def test_errors_are_those_of_score(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(tx.DataError, match=message) as ours:
        tx.Engine("logme").score(**arguments)
    with pytest.raises(tx.DataError, match=message) as expected:
        tx.score(**{"features": None, "labels": None, **arguments})
    assert str(ours.value) == str(expected.value)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"metrics": "logm"}, tx.DataError, "unknown metric 'logm'"),
        ({"metrics": []}, tx.DataError, "metrics is empty"),
        (
            {"intercpt": True},
            tx.DtypeError,
            r"unknown option 'intercpt' .*'intercept'.*; logme takes",
        ),
        ({"self": 1}, tx.DtypeError, "unknown option 'self'; logme takes"),
        ({"intercept": "no"}, tx.DataError, "intercept is 'no'"),
        ({"task": "clustering"}, tx.DataError, "task is 'clustering'; choose"),
        ({"precision": "half"}, tx.DataError, "precision is 'half'"),
        ({"method": "qr"}, tx.DataError, "method is 'qr'"),
        ({"n_threads": 0}, tx.DataError, "n_threads must be between 1 and 128"),
        ({"n_threads": True}, tx.DataError, "n_threads must be between"),
        ({"metrics": ["gbc", "lin_mse"]}, tx.DataError, "no labels suit all of these metrics: gbc"),
        ({"metrics": "gbc", "task": "regression"}, tx.DataError, "gbc is for classification"),
        ({"metrics": "knn", "leave_out": "group"}, tx.DataError, "no groups to leave out; call tr"),
        ({"max_samples": 0}, tx.DataError, "max_samples is 0; give a whole number of at least 1"),
        ({"max_classes": True}, tx.DataError, "max_classes is True"),
        ({"max_bytes": 1.5}, tx.DtypeError, "max_bytes is 1.5; give a whole number, or None"),
    ],
)
def test_what_is_wrong_whatever_the_data_is_refused_at_once(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        tx.Engine(**arguments)


def test_sixteen_threads_share_an_engine() -> None:
    engine = tx.Engine(["logme", "h_score", "knn"])
    data = [(RNG.normal(size=(60 + i, 8)), np.arange(60 + i) % 3) for i in range(5)]
    expected = [facts(engine.score(*one)) for one in data]

    def work(caller: int) -> int:
        return sum(
            facts(engine.score(*data[(caller + i) % 5])) != expected[(caller + i) % 5]
            for i in range(40)
        )

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(work, range(16))) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_an_engine_goes_on_in_a_forked_process(n_threads: int) -> None:
    # In its own interpreter, because pytest may have threads.
    code = f"""
import os
import numpy as np, transferability as tx
x = np.random.default_rng(0).normal(size=(3000, 96))
y = np.arange(3000) % 5
engine = tx.Engine(["logme", "lda"], n_threads={n_threads})
expected = engine.score(x, y)
codes = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        os._exit(0 if engine.score(x, y) == expected else 1)
    codes.append(os.waitpid(child, 0)[1])
assert engine.score(x, y) == expected
print(codes)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "[0, 0, 0]\n", done.stderr


def test_an_engine_pickles_as_its_arguments() -> None:
    engine = tx.Engine(["logme", "cka"], max_samples=100, intercept=True, precision="single")
    engine.score(X, Y)
    data = pickle.dumps(engine)
    assert b"transferability._" not in data
    twin = pickle.loads(data)
    assert repr(twin) == repr(engine)
    assert facts(twin.score(X, Y)) == facts(engine.score(X, Y))
    with pytest.raises(tx.LimitError, match="max_samples is 100"):
        twin.score(np.zeros((101, 2)), np.zeros(101))
    assert repr(tx.Engine()) == (
        "Engine('logme', task='auto', precision='double', method='auto', n_threads=1)"
    )


@pytest.mark.parametrize(
    ("limits", "arguments", "message"),
    [
        ({"max_samples": 79}, {}, "features has 80 rows, and max_samples is 79; give fewer, or"),
        ({"max_features": 5}, {}, "features has 6 columns, and max_features is 5"),
        ({"max_classes": 3}, {}, "labels has 4 classes, and max_classes is 3"),
        ({"max_samples": 79}, {"features": X.tolist()}, "features has 80 rows"),
        ({"max_features": 5}, {"features": X.tolist()}, "features has 6 columns"),
        ({"max_features": 5}, {"features": Hidden(X)}, "features has 6 columns"),
        (
            {"max_samples": 79},
            {"features": Hidden(X), "labels": Hidden(Y)},
            "call has 80",
        ),
        ({"max_samples": 79}, {"labels": Y.tolist()}, "has 80 rows"),
        ({"max_classes": 3}, {"labels": np.array(list("abcd"))[Y]}, "labels has 4 classes"),
        ({"max_classes": 1}, {"labels": X[:, :2]}, "labels has 2 columns of targets, and max_cla"),
        (
            {"max_features": 6},
            {"source_probs": PROBS[:, [0, 1, 2, 3, 4, 0, 1]]},
            "source_probs has 7",
        ),
        ({"max_features": 6}, {"label_embeddings": np.ones((N, 7, 1))}, "label_embeddings has 7"),
        ({"max_features": 6}, {"label_embeddings": {"a": np.ones((N, 7))}}, r"s\['a'\] has 7"),
        ({"max_features": 6}, {"label_embeddings": Hidden(np.ones((N, 7, 1)))}, r"\['0'\] has 7"),
        ({"max_features": 5}, {"features": list(X)}, "features has 6 columns"),
        ({"max_bytes": 10**5}, {"labels": np.zeros((N, 200), bool)}, "labels as an array would"),
        (
            {"max_bytes": 10**6},
            {},
            "the call, of 80 rows x 6 columns and 4 classes, would take about",
        ),
        (
            {"max_bytes": 1000},
            {"features": X.tolist()},
            "features as an array would take about 3,8",
        ),
    ],
)
def test_limits_are_checked(
    limits: dict[str, int], arguments: dict[str, Any], message: str
) -> None:
    given = {"features": X, "labels": Y, **arguments}
    with pytest.raises(tx.LimitError, match=message) as raised:
        tx.Engine("logme", **limits).score(**given)
    assert isinstance(raised.value, tx.DataError)


def test_calls_within_the_limits_pass() -> None:
    limits = {"max_samples": N, "max_features": D, "max_classes": 4, "max_bytes": 10**8}
    assert tx.Engine("logme", **limits).score(X, Y) == tx.logme(X, Y)


def test_a_limit_stops_a_call_before_the_rows_are_converted() -> None:
    class Wide:
        """Pretends to be an array of a million columns."""

        shape = (10, 1_000_000)

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise AssertionError("it was converted")

    for limits in ({"max_features": 100}, {"max_samples": 9}):
        with pytest.raises(tx.LimitError, match="features has"):
            tx.Engine(**limits).score(Wide(), np.arange(10) % 2)


def needed(engine: tx.Engine, **arguments: Any) -> int:
    """Return the bytes that an engine, of a limit that is too low, says a call would take."""
    with pytest.raises(tx.LimitError, match="the call, of") as raised:
        engine.score(**arguments)
    return int(str(raised.value).split("about ")[1].split(" bytes")[0].replace(",", ""))


def test_memory_counts_what_is_copied(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    features = RNG.normal(size=(20_000, 60))
    labels = np.arange(20_000) % 4
    size = features.nbytes
    frame = pandas.DataFrame(features)
    frame[0] = frame[0].astype(np.float32)  # columns of two dtypes are copied to one array
    path = tmp_path / "features.npy"
    np.save(path, features)
    engine = tx.Engine(max_bytes=2 * 10**6)
    usual = needed(engine, features=features, labels=labels)
    assert needed(engine, features=features[::-1, ::-1], labels=labels) == usual
    assert needed(engine, features=features.astype(">f8"), labels=labels) == usual + size
    assert needed(engine, features=frame, labels=labels) == usual + size
    text = np.array([f"{label:0100d}" for label in labels])
    assert needed(engine, features=features, labels=text) >= usual + text.nbytes / 4 + 50 * 20_000
    # A small file is loaded, and a metric of the samples loads any.
    source = tx.io.open_features(path)
    assert needed(engine, features=source, labels=labels) == usual + 2 * size
    many = np.zeros((20_000, 700), np.float32)
    np.save(path, many)
    source = tx.io.open_features(path)
    in_blocks = needed(engine, features=source, labels=labels)
    loaded = needed(tx.Engine("knn", max_bytes=2 * 10**6), features=source, labels=labels)
    assert source.nbytes > 50_000_000
    assert loaded > 2 * source.nbytes
    assert in_blocks > source.nbytes


def test_plain_calls_remember_decisions_but_no_errors() -> None:
    calls._remember.cache_clear()
    for _ in range(3):
        tx.logme(X, Y)
    found = calls._remember.cache_info()
    assert (found.misses, found.hits) == (1, 2)
    for _ in range(2):
        with pytest.raises(tx.DataError, match="intercept is 1; choose"):
            tx.logme(X, Y, intercept=1)  # equal to True, which is right
    assert tx.logme(X, Y, intercept=True).details["intercept"] is True
    for _ in range(2):
        with pytest.raises(tx.DataError, match="n_threads must be between 1 and 128, got True"):
            tx.logme(X, Y, n_threads=True)
    assert tx.logme(X, Y, n_threads=1) == tx.logme(X, Y)


def test_options_that_may_change_are_read_in_each_call() -> None:
    ridges = [0.1, 1.0]
    first = tx.ridge_probe(X, Y, ridges=ridges)
    ridges.append(10.0)
    second = tx.ridge_probe(X, Y, ridges=ridges)
    assert (len(first.details["ridges"]), len(second.details["ridges"])) == (2, 3)


def test_a_metric_that_is_registered_again_is_used() -> None:
    def make(value: float) -> Any:
        def constant(features: Any, labels: Any) -> float:
            return value

        constant.__qualname__ = "constant"
        return tx.register_metric(constant)

    make(1.0)
    engine = tx.Engine("constant")
    assert tx.score(X, Y, "constant") == engine.score(X, Y) == 1.0
    make(2.0)
    assert tx.score(X, Y, "constant") == engine.score(X, Y) == 2.0
    assert "constant" in tx.score(X, Y, "all")


def test_an_engine_of_all_metrics_has_those_that_are_registered_later() -> None:
    engine, targets = tx.Engine("all"), X[:, 0]
    engine.score(X, targets)

    @tx.register_metric
    def registered_later(features: Any, labels: Any) -> float:
        return 3.0

    assert facts(engine.score(X, targets)) == facts(tx.score(X, targets, "all"))
    assert engine.score(X, targets)["registered_later"] == 3.0


def test_options_that_are_equal_are_not_always_the_same() -> None:
    @tx.register_metric
    def sign_of_option(features: Any, labels: Any, *, shift: float = 0.0) -> float:
        return float(np.copysign(1, shift))

    found = [tx.score(X, Y, "sign_of_option", shift=shift) for shift in (0.0, -0.0, False)]
    assert found == [1, -1, 1]


@pytest.mark.parametrize("ridges", [[0.1, 1.0], np.array([0.1, 1.0])])
def test_options_of_an_engine_stay_as_they_were_given(ridges: Any) -> None:
    metrics = ["ridge_probe"]
    engine = tx.Engine(metrics, ridges=ridges)
    ridges[0] = 70.0
    metrics.append("knn")
    for labels in (Y, X[:, 0]):
        found = engine.score(X, labels)
        assert [*found] == ["ridge_probe"]
        assert found["ridge_probe"].details["ridges"].tolist() == [0.1, 1.0]
    assert pickle.loads(pickle.dumps(engine)).score(X, Y) == engine.score(X, Y)


def test_details_of_one_call_are_not_those_of_another() -> None:
    first, second = tx.logme(X, Y), tx.logme(X, Y)
    assert first.details is not second.details
    with pytest.raises(TypeError):
        first.details["intercept"] = True
    copied = dict(first.details)
    copied["intercept"] = "changed"
    assert tx.logme(X, Y).details["intercept"] is False


def test_warnings_point_at_the_caller_of_the_engine() -> None:
    engine = tx.Engine("logme")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        engine.score(X, np.zeros(N, dtype=int))
    assert caught
    assert {warning.filename for warning in caught} == {__file__}


def test_repeated_calls_map_no_fresh_pages() -> None:
    resource = pytest.importorskip("resource")
    features = RNG.normal(size=(512, 384)).astype(np.float32)
    engine, labels = tx.Engine(), np.arange(512) % 10

    def faults_of(n_calls: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(n_calls):
            engine.score(features, labels)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    faults_of(2)
    # The scatter alone has 288 pages of 4 KB, and is copied more than once.
    assert faults_of(10) < 10 * 100
    _core.release_memory()
    assert engine.score(features, labels) == tx.logme(features, labels)
