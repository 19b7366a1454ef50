"""Call every public function of arrays with inputs that are drawn from bytes.

``python tests/python/fuzz_api.py 1000000 --seed 1 --jobs 2`` runs that many inputs in child
processes, and prints the count of each outcome and the first cases of each finding. A child that
crashes or hangs is replaced; its input is a finding. ``--one SEED INDEX`` repeats one input here.
``fuzz/api.py`` feeds the same function from atheris, guided by coverage.

A finding is anything but a result or an error that this package raises on purpose: a crash, a hang,
an InternalError, another exception, a NaN that is not documented, an infinite score.
"""

from __future__ import annotations

import argparse
import collections
import copy
import dataclasses
import inspect
import io
import json
import math
import mmap
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from forged_states import sealed
from odd_arrays import OTHER, SAME

import transferability as tx
from transferability import InternalError, OutOfMemoryError, Stats, TransferabilityError, _core
from transferability._metric.registry import metric_specs

#: Seconds after which one input counts as a hang: far beyond the longest, on a busy machine.
LIMIT = 60
SIZES = (40, 120, 250, 500, 900)


class Draw:
    """Read values from the front of the remaining bytes; zeros follow the last one."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place = data, 0

    def take(self, n: int) -> bytes:
        found = self.data[self.place : self.place + n]
        self.place += n
        return found.ljust(n, b"\0")

    def below(self, n: int) -> int:
        """Draw from 0 to n - 1, for n of at most 256."""
        return self.take(1)[0] % n

    def pick(self, values: Sequence[Any]) -> Any:
        return values[self.below(len(values))]

    def one_in(self, n: int) -> bool:
        """Return True for one in n; False once the bytes are used up."""
        return self.below(n) == n - 1


EXTREME = np.array(
    [
        *(0, 1, -1, 1e-160, 1e-110, 1e-30, 1e30, 1e75, 1e110, 1e150, 1e151, 1e308, 5e-324, -1e200),
        *(math.nan, math.inf),
    ]
)
SCALES = (1.0, 1.0, 1.0, 1e-3, 1e-9, 1e6, 1e50, 1e-50)
STYLES = ("small", "small", "small", "offset", "repeats", "constant", "extreme", "bits")
DTYPES = ("f8", "f8", "f8", "f4", "f2", "i8", "i4", "u1", "?")
ROWS = (12, 12, 12, 8, 20, 30, 5, 3, 12, 20, 2, 8, 12, 1, 12, 0)
COLUMNS = (3, 3, 2, 1, 5, 8, 14, 3, 5, 24, 2, 4, 3, 5, 8, 0)


def numbers(draw: Draw, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Draw numbers of one style: small, nearly constant, repeated, extreme, or of any bits."""
    size, style = math.prod(shape), draw.pick(STYLES) if shape else "small"
    if style == "bits":
        return np.frombuffer(draw.take(8 * size), "<f8").reshape(shape)
    if style == "extreme":
        return EXTREME[np.frombuffer(draw.take(size), "u1") % len(EXTREME)].reshape(shape)
    found = np.frombuffer(draw.take(size), "i1").astype("f8").reshape(shape) / 8
    if style == "offset":
        return found * 1e-6 + 1e6
    if style == "repeats" and size:
        return found[np.arange(shape[0]) % (1 + draw.below(3)) % shape[0]]
    if style == "constant":
        return np.broadcast_to(found[:1], shape) if size else found
    return found * draw.pick(SCALES)


def stored(draw: Draw, array: np.ndarray[Any, Any]) -> Any:
    """Convert to one of the dtypes, and seldom to an odd array or a bad one."""
    with np.errstate(all="ignore"):
        array = array.astype(draw.pick(DTYPES))
    if draw.one_in(8):
        return odd(draw, array)
    return array


def odd(draw: Draw, array: Any) -> Any:
    make = draw.pick(tuple({**SAME, **OTHER}.values()))
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return make(array)
    except Exception:  # no such array of this one
        return array


NOTHINGS: tuple[Any, ...] = (None, 3, 2.5, "text", b"bytes", [], {}, object(), True, [[1], [2, 3]])


class Context:
    """Draw the arguments of one call: arrays of the same rows, most of the time."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw
        self.n, self.d = draw.pick(ROWS), draw.pick(COLUMNS)

    def rows(self) -> int:
        return self.draw.pick(ROWS) if self.draw.one_in(16) else self.n

    def features(self) -> Any:
        draw = self.draw
        if draw.one_in(32):
            return draw.pick(NOTHINGS)
        return stored(draw, numbers(draw, (self.rows(), self.d)))

    def labels(self) -> Any:
        draw, n = self.draw, self.rows()
        kind = draw.pick(("ids", "ids", "ids", "names", "targets", "column", "binary", "odd"))
        codes = np.frombuffer(draw.take(n), "u1") % draw.pick((2, 3, 2, 3, 4, 5, 1, 60))
        if kind == "ids":
            return codes.astype(draw.pick(("i8", "i4", "f8", "?")))
        if kind == "names":
            return np.array(["ant", "bee", "", "a b", "é"])[codes % 5]
        if kind == "targets":
            return stored(draw, numbers(draw, (n, draw.pick((1, 2, 4, 9)))))
        if kind == "column":
            return stored(draw, numbers(draw, (n,)))
        if kind == "binary":
            return np.frombuffer(draw.take(3 * n), "u1").reshape(n, 3) % 2
        return odd(draw, codes) if draw.below(2) else draw.pick(NOTHINGS)

    def probs(self) -> Any:
        draw = self.draw
        if draw.one_in(6):
            return self.features()
        shape = (self.rows(), 1 + draw.below(4))
        found = np.frombuffer(draw.take(math.prod(shape)), "u1").reshape(shape) + 1.0
        return found / found.sum(axis=1, keepdims=True)

    def ids(self) -> Any:
        n = self.rows()
        found = np.frombuffer(self.draw.take(n), "u1").astype("i8") % (1 + self.draw.below(6))
        return odd(self.draw, found) if self.draw.one_in(8) else found

    def weights(self) -> Any:
        found = self.ids()
        large = self.draw.one_in(8) and isinstance(found, np.ndarray)
        return found * (2**50) if large and found.dtype == "i8" else found

    def views(self) -> Any:
        draw = self.draw
        if draw.below(2):
            return numbers(draw, (self.rows(), 1 + draw.below(3), 2))
        return {"a": numbers(draw, (self.rows(), 2)), "b": numbers(draw, (self.rows(), 3))}

    def vector(self) -> Any:
        draw = self.draw
        if draw.one_in(10):
            return odd(draw, numbers(draw, (5,)))
        return numbers(draw, (5 if draw.below(4) else draw.pick((6, 4, 3, 2, 1, 0)),))

    def count(self) -> Any:
        return self.draw.pick((1, 2, 3, 5, 0, -1, 10**6, 2**70, 2.5, math.nan, None, "x", True))

    def number(self) -> Any:
        numbers = (0.5, 0.0, 1.0, 1e-4, 1e4, 1e-12, 1e-300, 1e300, -1.0, math.nan, math.inf)
        return self.draw.pick((*numbers, None, "x", 3, True, np.float32(0.1)))

    def flag(self) -> Any:
        return self.draw.pick((True, False, None, "auto", 1, np.bool_(True)))

    def choice(self, name: str) -> Any:
        known = CHOICES.get(name, TEXTS)
        return self.draw.pick(TEXTS if self.draw.one_in(12) else known)

    def metrics(self) -> Any:
        draw = self.draw
        return draw.pick(
            ("logme", *METRICS, "all", list(METRICS[:3]), ["logme", "knn"], [], "x", 3)
        )


#: The values of arguments that are a choice.
CHOICES: dict[str, tuple[Any, ...]] = {
    "task": ("auto", "auto", "classification", "regression", "multilabel"),
    "precision": ("double", "single"),
    "method": ("auto", "svd", "tridiagonal"),
    "estimator": ("unbiased", "biased"),
    "convention": ("rankme", "roy", "transrate", "mcr2"),
    "tail": ("low", "high"),
    "covariance": ("spherical", "diagonal", "full", "diag"),
    "metric": ("l2", "cosine"),
    "leave_out": ("row", "group", None),
    "outputs": ("mean", "sum"),
    "variant": ("paper", "official", "trace"),
    "normalize": ("entropy", "sqrt", None),
    "nan": ("raise", "omit", "last"),
    "pool": ("mean", "max", "sum", "mean+max"),
    "aggregate": ("pooled", "min", "mean", "median", "quantile:0.1"),
    "kind": ("gain", "headroom"),
    "rank": (True, False, "scores", "truth"),
}
#: Wrong for most arguments.
TEXTS: tuple[Any, ...] = (
    *(value for values in CHOICES.values() for value in values),
    *("", "é", None, 1, 0.5, True, b"auto", ["auto"], np.array(["auto", "auto"]), {}),
)
METRICS = tuple(sorted(tx.metrics.__all__))
#: Metrics that are defined among models: NaN by themselves, with their parts.
OF_PARTS = tuple(name for name, spec in metric_specs().items() if spec.pool is not None)

#: How the arguments are drawn, by name; others are texts.
ROLES: dict[str, Callable[[Context], Any]] = {
    **dict.fromkeys(
        ("features", "f", "X", "source_outputs", "embeddings", "other_features", "emp_cov"),
        Context.features,
    ),
    **dict.fromkeys(("labels", "y", "targets", "target_labels"), Context.labels),
    **dict.fromkeys(("samples", "groups", "source_labels", "bags"), Context.ids),
    **dict.fromkeys(("source_probs", "predictions"), Context.probs),
    **dict.fromkeys(("sizes", "values", "scores", "truth", "z", "ridges"), Context.vector),
    **dict.fromkeys(
        ("k", "n_components", "n_mixture", "max_samples", "seed", "block_size", "max_iter"),
        Context.count,
    ),
    **dict.fromkeys(
        (
            *("ridge", "share", "shrinkage", "prior", "variance", "eps", "temperature"),
            *("accuracy", "baseline"),
        ),
        Context.number,
    ),
    **dict.fromkeys(
        (
            *("penalty", "from_logits", "standardize", "keep_coef", "per_class", "intercept"),
            *("assume_centered", "regression", "return_weights"),
        ),
        Context.flag,
    ),
    "sample_weight": Context.weights,
    "label_embeddings": Context.views,
    "metrics": Context.metrics,
    "n_threads": lambda context: context.draw.pick((1, 1, 1, None, 2, 1, 1, 0, -1, "x", 2.5)),
    # Slow ones: each costs a second.
    "reference": lambda context: context.draw.pick((0, 1, 2, -1, None)),
}


ARRAYS = ("labels", "samples", "source_probs", "source_labels", "label_embeddings", "features")


class Case(NamedTuple):
    """A public function: its arguments, and what may come of it."""

    call: Callable[..., Any]
    required: tuple[str, ...]
    optional: tuple[str, ...]
    nan: bool = False  # a NaN is documented
    infinite: bool = False  # an infinite result is documented
    errors: tuple[type[Exception], ...] = (TransferabilityError,)


def case(call: Callable[..., Any], **outcome: Any) -> Case:
    """Read the arguments of a function from its signature."""
    required, optional = [], []
    for name, parameter in inspect.signature(call).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        (required if parameter.default is parameter.empty else optional).append(name)
    return Case(call, tuple(required), tuple(optional), **outcome)


def use_stats(context: Context) -> Any:
    """Accumulate blocks, merge, write, read and score."""
    draw = context.draw
    task = draw.pick(("auto", "auto", "classification", "regression", "multilabel", "unlabelled"))
    make = {"precision": draw.pick(("double", "single")), "class_scatters": bool(draw.below(2))}
    states = []
    for _ in range(1 + draw.below(3)):
        stats = Stats(task, n_threads=1, **make)
        for _ in range(1 + draw.below(2)):
            before = _core.digest(stats._inner)
            labels = None if task == "unlabelled" else context.labels()
            weights = context.weights() if draw.one_in(3) else None
            try:
                stats.update(context.features(), labels, weights)
            except TransferabilityError as error:
                _check_error(error)
                assert _core.digest(stats._inner) == before, "a failed update changed a Stats"
        states.append(stats)
    total = Stats.merge_all(states)
    assert total.n_samples == sum(stats.n_samples for stats in states)
    again = Stats.from_bytes(total.to_bytes())
    assert again.to_bytes() == total.to_bytes()
    if total.n_samples:
        moments = total.moments()
        if np.isfinite([moments["quartic"], *moments["cubic"]]).all():
            assert Stats.from_moments(moments).n_samples == total.n_samples
    results: list[Any] = []
    for call in (
        lambda: again.score(context.metrics()),
        again.mean,
        again.spectrum,
        lambda: again.covariance("oas"),
        again.class_covariances,
    ):
        try:
            results.append(call())
        except TransferabilityError as error:
            _check_error(error)
    return results


def forge_moments(context: Context) -> Any:
    """Replace entries of honest moments, and score what is accepted."""
    draw = context.draw
    moments = dict(draw.pick(MOMENTS))
    for _ in range(1 + draw.below(3)):
        name = draw.pick(tuple(moments))
        old = moments[name]
        if isinstance(old, (int, float, np.ndarray)) and _is_real(old) and draw.below(4):
            array = np.array(old, dtype="f8")
            flat = array.reshape(-1)
            how = draw.below(6)
            if how == 0:
                array = numbers(draw, array.shape)
            elif how == 1 and flat.size:
                flat[draw.below(min(flat.size, 256))] = EXTREME[draw.below(len(EXTREME))]
            elif how == 2:
                array = array * draw.pick((0, -1, 0.5, 2, 1 + 1e-9, 1e-3, 1e100, 1e-100))
            elif how == 3 and flat.size:
                flat[draw.below(min(flat.size, 256))] *= 1 + draw.below(256) / 1000
            elif how == 4:
                array = array[..., None] if draw.below(2) else array.reshape(-1)[:-1]
            else:
                with np.errstate(all="ignore"):
                    array = array.astype(draw.pick(DTYPES))
            moments[name] = array
        elif draw.below(2):
            moments[name] = draw.pick((*NOTHINGS, context.labels(), [None], ["x"] * 3, 2**70))
        else:
            del moments[name]
    return Stats.from_moments(moments).score("all")


def _is_real(value: Any) -> bool:
    return np.asarray(value).dtype.kind in "fiub"


def _honest_moments() -> tuple[dict[str, Any], ...]:
    rng = np.random.default_rng(0)
    features, ids = rng.normal(size=(30, 3)), np.arange(30) % 3
    return tuple(
        stats.moments()
        for stats in (
            Stats("classification").update(features, ids),
            Stats("classification", class_scatters=True).update(features, ids),
            Stats("auto").update(features, np.array(["a", "b", "c"])[ids]),
            Stats("regression").update(features, features[:, :2] + 1),
            Stats("multilabel").update(features, features[:, :2] > 0),
            Stats("unlabelled").update(features),
        )
    )


def read_state(context: Context) -> Any:
    """Read bytes that once were a state."""
    draw = context.draw
    data = bytearray(Stats.from_moments(draw.pick(MOMENTS)).to_bytes())
    if draw.below(2):
        return Stats.from_bytes(_with_notes(draw, data)).score("all")
    for _ in range(1 + draw.below(3)):
        place = int.from_bytes(draw.take(2), "little") % len(data)
        data[place : place + draw.below(9)] = draw.take(draw.below(9))
        if draw.one_in(3):
            del data[place:]
            break
    return Stats.from_bytes(draw.pick((bytes, bytearray, memoryview))(data)).mean()


def _with_notes(draw: Draw, data: bytearray) -> bytes:
    """Replace some of the notes of a state, and seal it again."""
    size = struct.unpack_from("<Q", data, 20)[0]
    notes = json.loads(data[28 : 28 + size])
    for _ in range(1 + draw.below(3)):
        part = notes["target"] if draw.below(2) and isinstance(notes.get("target"), dict) else notes
        part[draw.pick((*part, "other"))] = copy.deepcopy(draw.pick(NOTES))
        if draw.one_in(6):
            part.pop(draw.pick(tuple(part)))
    text = json.dumps(notes).encode() if draw.below(8) else draw.take(20)
    content = struct.pack("<Q", len(text)) + text + data[28 + size : -32]
    head = data[:12] + struct.pack("<Q", 20 + len(content) + 32)
    return sealed(head + content + bytes(32))


NOTES: tuple[Any, ...] = (
    *(None, True, 0, -1, 2.5, 1e308, math.nan, 2**70, "", "é", "auto", "regression", "i", "U"),
    *([], [1], ["a", "b", "c"], [None], {}, {"a": 1}, [[1], [2]], "classification", "unlabelled"),
    *("numbers", "binary", "one-hot", "multilabel", [0, 1], ["x", "y"]),
)


def read_file(context: Context) -> Any:
    """Read a damaged .npy or .npz file: what is ours is the check of its size, and the blocks."""
    draw = context.draw
    with np.errstate(all="ignore"):
        array = numbers(draw, (context.n, context.d)).astype(draw.pick(("f8", "f4", "i2", "f2")))
    if draw.below(2):
        array = np.asfortranarray(array)
    buffer, suffix = io.BytesIO(), draw.pick((".npy", ".npy", ".npz"))
    if suffix == ".npy":
        np.save(buffer, array)
    else:
        np.savez(buffer, a=array)
    data = bytearray(buffer.getvalue())
    for _ in range(draw.below(4)):
        how = draw.below(6)
        place = int.from_bytes(draw.take(2), "little") % max(1, len(data))
        if how < 3:  # within the header
            place %= 90
        if how in (0, 3):
            data[place : place + 1] = draw.take(1)
        elif how == 1:
            parts = (b"-", b"9", b"999999999", b"(", b"'|O'", b"'<U9'", b"'|V0'", b"True", b", 3")
            data[place : place + draw.below(6)] = draw.pick(parts)
        elif how == 2:
            old, new = b"(%d, %d)" % (context.n, context.d), draw.pick(SHAPES)
            data = bytearray(data.replace(old, new))
        elif how == 4:
            del data[place:]
        else:
            data += draw.take(draw.below(20))
    path = FOLDER / f"x{suffix}"
    path.write_bytes(data)
    if draw.below(3) == 0:
        return tx.io.stats_of(path, task="unlabelled", n_threads=1).mean()
    source = tx.io.open_features(path)
    n_rows = sum(len(features) for features, *_ in source)
    assert n_rows == source.n_samples
    return []


SHAPES = (
    *(
        b"(-3, 4)",
        b"(3, -4)",
        b"(0, 4)",
        b"(4, 0)",
        b"(999999999999, 0)",
        b"()",
        b"(7,)",
        b"(2, 3, 4)",
    ),
    *(b"(99999999999999999999999, 3)", b"(True, 3)", b"(1e3, 2)", b"(4611686018427387904, 4)"),
)


def rank_two(context: Context) -> Any:
    """Rank two models; their errors are parts of their rows."""
    ranking = tx.rank(
        {"a": context.features(), "b": context.features()},
        context.labels(),
        context.metrics(),
        n_threads=1,
    )
    for row in ranking.rows:
        assert "internal error" not in (row.error or ""), row.error
    ranking.to_json()
    ranking.to_markdown()
    return []


def use_engine(context: Context) -> Any:
    engine = tx.Engine(context.metrics(), max_samples=15)
    return engine.score(context.features(), context.labels())


def fit_thuml(context: Context) -> Any:
    model = tx.compat.thuml.LogME(regression=bool(context.draw.below(2)))
    found = model.fit(context.features(), context.labels())
    model.predict(context.features())
    return found


def estimate(context: Context) -> Any:
    """Fit and use an estimator; scikit-learn's own checks raise errors of theirs."""
    known = tx.sklearn.__all__
    estimator = getattr(tx.sklearn, context.draw.pick(known))()
    features = context.features()
    estimator.fit(features, context.labels())
    if hasattr(estimator, "predict"):
        estimator.predict(features)
    return []


def _cases() -> dict[str, Case]:
    found: dict[str, Case] = {}
    for name in METRICS:
        call = getattr(tx, name)
        found[name] = case(call, nan=name in OF_PARTS, infinite=name == "logme")
    found["score"] = case(tx.score, nan=True, infinite=True)
    for module in (tx.covariance, tx.health, tx.agreement):
        for name in module.__all__:
            if not inspect.isclass(call := getattr(module, name)):
                # Correlations of constant scores, and means of no norms, are NaN.
                found[f"{module.__name__[16:]}.{name}"] = case(
                    call, nan=module is tx.agreement, infinite=name == "rel_at_k"
                )
    for name in ("log_maximum_evidence", "log_expected_empirical_prediction", "transrate"):
        call = getattr(tx.compat.tllib, name)
        found[f"tllib.{name}"] = case(call, nan=True, infinite=True)
    found["tllib.negative_conditional_entropy"] = case(tx.compat.tllib.negative_conditional_entropy)
    found["emms.sparsemax"] = case(tx.compat.emms.sparsemax)
    found["tuning.teacher_weights"] = case(tx.tuning.teacher_weights)
    found["pool_bags"] = case(tx.pool_bags)
    sklearn = (TransferabilityError, ValueError, TypeError, KeyError)
    for name, call, outcome in (
        ("Stats", use_stats, {"nan": True, "infinite": True}),
        ("Stats.from_moments", forge_moments, {"nan": True, "infinite": True}),
        ("Stats.from_bytes", read_state, {"nan": True, "infinite": True}),
        ("io", read_file, {}),
        ("rank", rank_two, {}),
        ("Engine", use_engine, {"nan": True, "infinite": True}),
        ("thuml.LogME", fit_thuml, {"nan": True, "infinite": True}),
        ("sklearn", estimate, {"errors": sklearn, "infinite": True}),
    ):
        found[name] = Case(call, ("context",), (), **outcome)
    return found


MOMENTS = _honest_moments()
_FOLDER = tempfile.TemporaryDirectory(prefix="fuzz-api-")
FOLDER = Path(_FOLDER.name)
CASES = _cases()
#: Cheap and central ones come more often.
NAMES = (*CASES, *METRICS, "score", *("Stats", "Stats.from_moments", "io", "Stats.from_bytes") * 4)


def _check_error(error: Exception) -> None:
    bad = isinstance(error, (InternalError, OutOfMemoryError)) or "internal error" in str(error)
    if bad or not str(error):
        raise AssertionError(f"{error!r}") from error


def _values(result: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over the numbers of a result, each with the metric that it is of."""
    if isinstance(result, tx.Scores):
        for reason in result.skipped.values():
            if "internal error" in reason or "could not be reserved" in reason:
                raise AssertionError(reason)
        yield from ((name, float(score)) for name, score in result.items())
    elif isinstance(result, tx.Score):
        yield result.metric, float(result)
    elif isinstance(result, (float, np.floating)):
        yield "", float(result)
    elif isinstance(result, np.ndarray) and result.dtype.kind == "f":
        yield "", result
    elif isinstance(result, (tuple, list)):
        for part in result:
            yield from _values(part)
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from _values(getattr(result, field.name))


def _check_result(case: Case, result: Any) -> None:
    for metric, value in _values(result):
        if np.isnan(value).any():
            allowed = case.nan and metric in ("", *OF_PARTS)
            assert allowed, f"{metric} is NaN"
        if np.isinf(value).any():
            allowed = case.infinite and metric in ("", "logme")
            assert allowed, f"{metric} is {value}"


def run(data: bytes) -> str:
    """Run one input; return "refused" or "used", or raise AssertionError with the finding."""
    draw = Draw(data)
    name = NAMES[int.from_bytes(draw.take(2), "little") % len(NAMES)]
    case, context = CASES[name], Context(draw)
    if case.required == ("context",):
        arguments: dict[str, Any] = {"context": context}
    else:
        chosen = [x for x in case.optional if draw.one_in(2 if x in ARRAYS else 6)]
        chosen = [*case.required, *chosen]
        arguments = {option: _draw(option, context) for option in chosen}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", tx.TransferabilityWarning)
            if not case.infinite:
                warnings.simplefilter("error", RuntimeWarning)
            result = case.call(**arguments)
        _check_result(case, result)
    except case.errors as error:
        try:
            _check_error(error)
        except AssertionError as finding:
            raise AssertionError(f"{name}: {finding} {_shown(arguments)}") from error
        return "refused"
    except Exception as error:
        where = "".join(traceback.format_exception(error)[-2:])
        raise AssertionError(f"{name}: {error!r} {_shown(arguments)}\n{where}") from error
    return "used"


def _draw(name: str, context: Context) -> Any:
    draw = ROLES.get(name)
    return context.choice(name) if draw is None else draw(context)


def _shown(arguments: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_repr(value):.120}" for name, value in arguments.items())


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # texts beyond Unicode and integers of 5,000 digits have none
        return f"<{type(value).__name__}: {error}>"


def input_of(seed: int, index: int) -> bytes:
    """Make the bytes of an input, the same for the same seed and index."""
    rng = random.Random(seed << 40 | index)
    return rng.randbytes(rng.choice(SIZES))


def _work(seed: int, start: int, stop: int, state: str) -> None:
    """Run inputs in this process; keep the index of the present one in a file."""
    tx.set_num_threads(1)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends even code that never returns to Python
    with open(state, "r+b") as file, mmap.mmap(file.fileno(), 8) as place:
        for index in range(start, stop):
            struct.pack_into("<q", place, 0, index)
            signal.alarm(LIMIT)
            try:
                outcome = run(input_of(seed, index))
            except AssertionError as finding:
                outcome = f"{index} {finding}"
            signal.alarm(0)
            print(outcome[0] if outcome in ("refused", "used") else repr(outcome), flush=True)


class Totals:
    """Counts of outcomes, and the findings by kind."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.kinds: collections.Counter[str] = collections.Counter()
        self.lock = threading.Lock()

    def add(self, line: str) -> None:
        """Count an outcome as a child prints it; print the first findings of each kind."""
        with self.lock:
            if line in ("r", "u"):
                self.counts["refused" if line == "r" else "used"] += 1
                return
            self.counts["findings"] += 1
            kind = "".join(c for c in line.split(" ", 1)[-1] if not c.isdigit())
            where = kind.rpartition("File ")[2].split(" in ")[-1]  # the last frame
            kind = kind[:60] + " … " + where[:60]
            self.kinds[kind] += 1
            if self.kinds[kind] <= 2:
                print("FINDING", line[:1500].replace("\\n", "\n    "), flush=True)


def campaign(n: int, seed: int, jobs: int) -> Totals:
    """Run inputs 0 to n - 1 of a seed in child processes."""
    totals, share = Totals(), -(-n // jobs)
    threads = [
        threading.Thread(
            target=_follow, args=(totals, seed, share * job, min(n, share * (job + 1)))
        )
        for job in range(jobs)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return totals


def _follow(totals: Totals, seed: int, start: int, stop: int) -> None:
    """Run inputs in a child process, and the rest in another one where it dies."""
    with tempfile.NamedTemporaryFile() as place:
        while start < stop:
            place.seek(0)
            place.write(struct.pack("<q", start))
            place.flush()
            command = [sys.executable, __file__, "--work", str(seed), str(start), str(stop)]
            with subprocess.Popen(
                [*command, place.name], stdout=subprocess.PIPE, text=True
            ) as process:
                assert process.stdout is not None
                for line in process.stdout:
                    totals.add(line.strip())
            if process.returncode == 0:
                return
            place.seek(0)
            start = struct.unpack("<q", place.read(8))[0] + 1
            totals.add(f"{start - 1} the process ended with {process.returncode}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, nargs="?", default=10_000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--one", type=int, nargs=2, metavar=("SEED", "INDEX"))
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        seed, start, stop, state = given.work
        _work(int(seed), int(start), int(stop), state)
        return
    if given.one:
        print(run(input_of(*given.one)))
        return
    seed = random.randrange(2**20) if given.seed is None else given.seed
    print("seed", seed, flush=True)
    began = time.time()
    totals = campaign(given.n, seed, given.jobs)
    seconds = time.time() - began
    print(dict(totals.counts), f"{seconds:.0f} s, {given.n / seconds:.0f} a second")
    for kind, count in totals.kinds.most_common():
        print(count, kind)
    sys.exit(bool(totals.kinds))


if __name__ == "__main__":
    main()
