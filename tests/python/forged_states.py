"""Forge state files: change single fields, seal them again, and use whatever is read.

``python tests/python/forged_states.py 100000`` runs that many mutations from a fresh seed, and
prints the count of each outcome and the first cases of each bad one.
"""

from __future__ import annotations

import collections
import hashlib
import math
import random
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

import transferability as tx
from transferability import InternalError, OutOfMemoryError, Stats, TransferabilityError

#: Values of a float field that no data, or only extreme data, give.
FLOATS = (0.0, -1.0, 1.0, 1e308, -1e308, 1e154, 1e-154, 1e-308, 5e-324, math.nan, math.inf, -0.0)
COUNTS = (0, 1, 2, 2**31, 2**32, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)
HEAD = 20  # mark, version, length


class Field(NamedTuple):
    """A number in a file of statistics: its name, its place, and whether it is a float."""

    name: str
    place: int
    is_float: bool


class _Walk:
    """Read the fields of a file in the order of ``src/stats/fields.rs``."""

    def __init__(self, data: bytes) -> None:
        self.data, self.place, self.fields = data, HEAD, list[Field]()
        self.text("notes")
        self.statistics("")
        assert self.place == len(data) - 32, "the walk does not follow fields.rs"

    def byte(self, name: str) -> int:
        self.place += 1
        return self.data[self.place - 1]

    def count(self, name: str) -> int:
        self.fields.append(Field(name, self.place, is_float=False))
        self.place += 8
        return int(struct.unpack_from("<Q", self.data, self.place - 8)[0])

    def floats(self, name: str, n: int) -> None:
        self.fields += [Field(name, self.place + 8 * i, is_float=True) for i in range(n)]
        self.place += 8 * n

    def text(self, name: str) -> None:
        size = struct.unpack_from("<Q", self.data, self.place)[0]
        self.place += 8 + size

    def name(self, name: str) -> None:
        if self.byte(name) == 0:
            self.count(name)
        else:
            self.text(name)

    def fourth(self, prefix: str, n: int) -> None:
        self.floats(prefix + "cubic", n)
        self.floats(prefix + "quartic", 1)
        self.floats(prefix + "unit", 1)

    def statistics(self, prefix: str) -> None:
        self.byte("precision")
        classes = self.byte("whether classes") == 1
        d = struct.unpack_from("<Q", self.data, self.place)[0]
        self.place += 8
        if d == 0:
            return
        self.count(prefix + "n_samples")
        for name in ("shift", "sum"):
            self.floats(prefix + name, d)
        self.floats(prefix + "largest", 1)
        n_rows = 0
        if self.byte("second") == 0:
            n_rows = struct.unpack_from("<Q", self.data, self.place)[0]
            self.place += 8
            self.floats(prefix + "rows", n_rows * d)
            self.floats(prefix + "weights", n_rows)
        else:
            self.floats(prefix + "scatter", d * (d + 1) // 2)
            self.fourth(prefix, d)
        self.held(prefix, d, n_rows)
        if classes:
            n = struct.unpack_from("<Q", self.data, self.place)[0]
            self.place += 8
            for _ in range(n):
                self.name("class")
                self.statistics("class_")

    def held(self, prefix: str, d: int, n_rows: int) -> None:
        kind = self.byte("held")
        n = 0
        if kind:
            n = struct.unpack_from("<Q", self.data, self.place)[0]
            self.place += 8
        if kind == 1:
            for _ in range(n):
                self.name("class")
            for _ in range(n):
                self.count("class_count")
            for _ in range(n_rows):
                self.count("code")
            self.floats("class_sums", 0 if n_rows else n * d)
            self.floats("class_squares", n * self.byte("squares"))
        elif kind == 2:
            for name in ("target_shift", "target_sum", "target_square"):
                self.floats(name, n)
            self.floats("target_rows", n_rows * n)
            self.floats("cross", 0 if n_rows else d * n)
            if self.byte("joint"):
                self.floats("joint_quartic", 1)
                self.floats("joint_features", d)
                self.floats("joint_targets", n)
                if self.byte("own"):
                    self.floats("target_products", n * (n + 1) // 2)
                    self.fourth("target_", n)


def fields(data: bytes) -> list[Field]:
    """Return every number of a file that may be changed without changing its form."""
    return _Walk(data).fields


def sealed(data: bytes | bytearray) -> bytes:
    """Return the bytes with the checksum that belongs to them."""
    head = bytes(data[:-32])
    return head + hashlib.sha256(head).digest()


def bases() -> dict[str, bytes]:
    """Return honest states of every form: labels, rows or scatter, classes, precision."""
    rng = np.random.default_rng(5)
    found = {}
    for shape in ((40, 3), (40, 6), (6, 9)):
        n, d = shape
        ids = np.arange(n) % 3
        features = rng.normal(size=shape) + np.eye(3, d)[ids] + 2.0
        values = features[:, :2] + rng.normal(size=(n, 2))
        for kind, labels in (
            ("ids", ids),
            ("names", np.array(["ant", "bee", "cat"])[ids]),
            ("regression", values),
            ("one target", values[:, 0]),
            ("multilabel", (values > 1.5).astype(int)),
            ("unlabelled", None),
        ):
            for precision in ("double", "single"):
                for scatters in (False, True) if kind in ("ids", "names") else (False,):
                    task = "unlabelled" if labels is None else "auto"
                    stats = Stats(task, precision, class_scatters=scatters)
                    weights = np.arange(n) % 3 + 1 if kind == "names" else None
                    stats.update(features, labels, weights)
                    name = f"{kind} {n}x{d} {precision}{' by class' * scatters}"
                    found[name] = stats.to_bytes()
    return found | _odd_bases(rng)


def _odd_bases(rng: np.random.Generator) -> dict[str, bytes]:
    """Return honest states of extreme data, and of moments."""
    ids = np.arange(40) % 3
    features = rng.normal(size=(40, 4)) + np.eye(3, 4)[ids]
    wide = rng.normal(size=(40, 6))
    far = Stats().update(features[:20], ids[:20]).update(features[20:] + 1e4, ids[20:])
    moments = Stats("regression").update(features, wide[:, :2]).moments()
    fewer = {k: v for k, v in moments.items() if not k.startswith(("joint", "target_p"))}
    del fewer["target_cubic"], fewer["target_quartic"]
    classes = Stats("classification").update(features, ids).moments()
    del classes["class_squares"]
    scattered = Stats("classification", class_scatters=True).update(features, ids).moments()
    states = {
        "more targets than features": Stats("regression").update(features, wide),
        "scales": Stats().update(features * [1e-6, 1.0, 1e6, 0.0] + [0, 1e6, 0, 3], ids),
        "rank one": Stats().update(features[:, :1] * [1, 2, 3], features[:, 0]),
        "far apart": far,
        "merged": far + Stats().update(features - 1e3, ids),
        "one class": Stats("classification").update(features, ids * 0),
        "many classes": Stats("classification").update(features, np.arange(40) // 2),
        "labels as targets": Stats("regression").update(features, ids),
        "large": Stats().update(features * 1e100, wide[:, :2] * 1e100),
        "small": Stats().update(features * 1e-100, wide[:, :2] * 1e-100),
        "repeats": Stats().update(np.repeat(features[:2], 2, 0), [0, 0, 1, 1]),
        "moments": Stats.from_moments(moments),
        "fewer moments": Stats.from_moments(fewer),
        "moments of classes": Stats.from_moments(classes),
        "moments by class": Stats.from_moments(scattered),
    }
    return {name: stats.to_bytes() for name, stats in states.items()}


def mutate(data: bytes, random: random.Random) -> tuple[bytes, str]:
    """Change one or a few fields; return the sealed bytes, and the change in words."""
    known, forged, said = fields(data), bytearray(data), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        field = random.choice(known)
        place = slice(field.place, field.place + 8)
        before = bytes(forged[place])
        if not field.is_float:
            count = struct.unpack("<Q", before)[0]
            value: Any = random.choice((*COUNTS, (count + 1) % 2**64, (count - 1) % 2**64))
            after = struct.pack("<Q", value)
        else:
            number = struct.unpack("<d", before)[0]
            hows = ("value", "sign", "scale", "scale", "near", "swap", "bit", "copy")
            how = random.choice(hows)
            value = number
            if how == "value":
                value = random.choice(FLOATS)
            elif how == "sign":
                value = -number
            elif how == "scale":
                value = number * 10.0 ** random.uniform(-4, 4)
            elif how == "near":
                value = number * (1 + 10.0 ** random.uniform(-12, -1))
            after = struct.pack("<d", value)
            if how == "bit":
                bits = int.from_bytes(before, "little") ^ 1 << random.randrange(64)
                after = bits.to_bytes(8, "little")
            elif how in ("swap", "copy"):
                other = random.choice([f for f in known if f.is_float])
                after = bytes(forged[other.place : other.place + 8])
                if how == "swap":
                    forged[other.place : other.place + 8] = before
                    said.append(f"swapped with {other.name}@{other.place}")
            value = struct.unpack("<d", after)[0]
        forged[place] = after
        said.append(f"{field.name}@{field.place} = {value!r}")
    return sealed(forged), ", ".join(said)


def uses(stats: Stats, honest: Stats) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Return everything that a user does with statistics, by name."""
    yield "all", lambda: stats.score("all")
    if stats.task in ("classification", "regression", "multilabel", "auto"):
        yield "logme intercept", lambda: stats.logme(intercept=True, keep_coef=True)
        yield "logme standardize", lambda: stats.logme(standardize=True, keep_coef=True)
        yield "cka", lambda: stats.cka(estimator="unbiased")
    if stats.task == "auto":
        yield "as regression", lambda: stats.replace(task="regression").score("all")
        yield "as classes", lambda: stats.replace(task="classification").score("all")
    yield "mean", stats.mean
    yield "covariance", lambda: stats.covariance_and_shrinkage("ledoit-wolf")
    yield "oas", lambda: stats.covariance_and_shrinkage("oas")
    yield "spectrum", stats.spectrum
    yield "class_covariances", stats.class_covariances
    yield "coding_rate", stats.coding_rate
    yield "coding_rate_reduction", stats.coding_rate_reduction
    yield "moments", stats.moments
    yield "merge", lambda: (honest + stats).score("all")
    yield "merge other way", lambda: (stats + honest).score("all")
    yield "twice", lambda: (stats + stats).score("all")
    yield (
        "bytes",
        lambda: Stats.from_bytes(stats.to_bytes()).to_bytes() == stats.to_bytes() or 1 / 0,
    )
    yield "repr", lambda: repr(stats)


def _arrays(result: Any) -> Iterator[Any]:
    """Return the numbers of covariances, spectra and coding rates."""
    if isinstance(result, (float, np.ndarray)) and not isinstance(result, tx.Score):
        yield result
    elif isinstance(result, tuple):
        for part in result:
            yield from _arrays(part)


class Hang(BaseException):
    """Raised where one use takes longer than allowed."""


def _hang(*_: Any) -> None:
    raise Hang


def use(data: bytes, honest: Stats, seconds: int = 20) -> tuple[str, str]:
    """Load and use a forged state; return "refused", "used", or "bad", and the details."""
    signal.signal(signal.SIGALRM, _hang)
    what = "load"
    try:
        try:
            stats = Stats.from_bytes(data)
        except tx.DataError as error:
            return "refused", str(error)
        for what, call in uses(stats, honest):
            signal.alarm(seconds)
            try:
                result = call()
            except InternalError as error:
                return "bad", f"{what}: {error!r}"
            except OutOfMemoryError as error:
                return "bad", f"{what}: {error!r}"
            except TransferabilityError:
                continue
            finally:
                signal.alarm(0)
            if isinstance(result, tx.Scores):
                for name, reason in result.skipped.items():
                    if "internal error" in reason or "bytes, which could not" in reason:
                        return "bad", f"{what}: {name} {reason}"
                for name, score in result.items():
                    if math.isnan(score) or (math.isinf(score) and name != "logme"):
                        return "bad", f"{what}: {name} is {float(score)} {score.warnings}"
            elif not all(np.isfinite(array).all() for array in _arrays(result)):
                return "bad", f"{what}: not finite"
        return "used", ""
    except Hang:
        return "bad", f"{what}: hang"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        return "bad", f"{what}: {''.join(traceback.format_exception(error)[-3:])}"


def main() -> None:
    n = int(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    warnings.simplefilter("ignore")
    tx.set_num_threads(1)
    known = bases()
    honest = {name: Stats.from_bytes(data) for name, data in known.items()}
    for name, data in known.items():
        print(name, use(data, honest[name]))
    counts: collections.Counter[str] = collections.Counter()
    kinds: collections.Counter[str] = collections.Counter()
    start = time.time()
    for i in range(n):
        name = rng.choice(list(known))
        data, said = mutate(known[name], rng)
        outcome, detail = use(data, honest[name])
        counts[outcome] += 1
        if outcome == "bad":
            key = detail.split("@")[0][:160]
            kinds[key] += 1
            if kinds[key] <= 3:
                print(f"[{i}] {name}: {said}\n      {detail[:400]}", flush=True)
    print(counts, f"{time.time() - start:.0f} s")
    for key, count in kinds.most_common():
        print(count, key)


if __name__ == "__main__":
    main()
