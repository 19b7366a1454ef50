"""Warnings are collected by thread, and the state of the process comes back.

Kinds: blocks of two threads that overlap, in both orders; a block within a block; a thread without
a block, under each action of a filter; the threads of a ranking.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import transferability as tx
from transferability._util.caught import collect_warnings, drop_warnings


def state() -> tuple[Any, Any, list[Any]]:
    return warnings.showwarning, getattr(warnings, "_showwarnmsg_impl", None), [*warnings.filters]


def texts(found: list[Warning | str]) -> list[str]:
    return [str(one) for one in found]


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("first_out", ["inner", "outer"])
def test_blocks_of_two_threads_that_overlap(first_out: str) -> None:
    before = state()
    entered, leave = threading.Event(), threading.Event()
    theirs: list[str] = []

    def work() -> None:
        with collect_warnings() as found:
            warnings.warn("theirs", stacklevel=1)
            entered.set()
            assert leave.wait(20)
            warnings.warn("theirs, late", stacklevel=1)
        theirs.extend(texts(found))

    with collect_warnings() as found:
        warnings.warn("ours", stacklevel=1)
        thread = in_thread(work)
        assert entered.wait(20)
        if first_out == "inner":
            leave.set()
            thread.join(20)
        warnings.warn("ours, late", stacklevel=1)
    leave.set()
    thread.join(20)
    assert texts(found) == ["ours", "ours, late"]
    assert theirs == ["theirs", "theirs, late"]
    assert state() == before


def test_a_block_within_a_block_and_an_error() -> None:
    before = state()
    with collect_warnings() as outer:
        with contextlib.suppress(ZeroDivisionError), collect_warnings() as inner:
            warnings.warn("inner", stacklevel=1)
            raise ZeroDivisionError
        warnings.warn("outer", stacklevel=1)
    assert (texts(inner), texts(outer)) == (["inner"], ["outer"])
    assert state() == before


@pytest.mark.parametrize(
    ("category", "text", "outcome"),
    [
        (UserWarning, "quiet please", "ignored"),
        (UserWarning, "shown", "shown"),
        (FutureWarning, "strict", "raised"),
        (DeprecationWarning, "of this file", "ignored"),
    ],
)
def test_a_thread_without_a_block_keeps_its_filters(
    category: type[Warning], text: str, outcome: str
) -> None:
    shown: list[str] = []
    got: list[str] = []

    def work() -> None:
        try:
            warnings.warn(text, category, stacklevel=1)
        except FutureWarning:
            got.append("raised")

    with warnings.catch_warnings():
        warnings.resetwarnings()
        warnings.filterwarnings("ignore", message="quiet")
        warnings.filterwarnings("error", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning, module="test_caught")
        warnings.showwarning = lambda message, *_: shown.append(str(message))  # type: ignore[assignment]
        with collect_warnings() as found:
            in_thread(work).join(20)
    assert found == []
    assert got == (["raised"] if outcome == "raised" else [])
    assert shown == ([text] if outcome == "shown" else [])


def test_a_ranking_in_threads_leaves_the_warnings_of_the_process_alone() -> None:
    pytest.importorskip("sklearn")
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 60)
    models = {f"m{i}": rng.normal(size=(60, 3)) for i in range(8)}
    before = state()
    for _ in range(3):
        tx.rank(models, y, "n_leep", n_mixture=3, n_threads=4)
        assert state() == before
    with pytest.warns(UserWarning, match="visible"):
        warnings.warn("visible", UserWarning, stacklevel=1)


def test_evaluations_and_curves_in_threads_leave_the_warnings_of_the_process_alone() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 4))
    ranking = tx.rank({name: x + i for i, name in enumerate("abcd")}, x[:, 0] > 0)
    truth = dict(zip("abcd", [0.9, 0.8, 0.7, 0.5], strict=True))
    before, interval = state(), sys.getswitchinterval()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            ranking.evaluate(truth, n_boot=100).ci()
            tx.forecast.curve(x, x[:, 0] > 0, sizes=[20, 30, 60])
        except BaseException as error:
            errors.append(error)

    sys.setswitchinterval(1e-6)
    try:
        for _ in range(3):
            threads = [in_thread(work) for _ in range(4)]
            for thread in threads:
                thread.join(60)
            assert state() == before
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_warnings_of_one_kind_are_dropped_and_others_issued() -> None:
    with collect_warnings() as found:
        with drop_warnings(DeprecationWarning):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            warnings.warn("kept", UserWarning, stacklevel=1)
        assert texts(found) == ["kept"]


def test_a_block_of_another_thread_that_ends_later_loses_no_warning() -> None:
    entered, other_entered, left = threading.Event(), threading.Event(), threading.Event()

    def collect() -> None:
        with collect_warnings():
            entered.set()
            other_entered.wait(10)
        left.set()

    def catch() -> None:
        entered.wait(10)
        with warnings.catch_warnings():
            other_entered.set()
            left.wait(10)

    with warnings.catch_warnings():  # restores what the threads leave
        for thread in [in_thread(collect), in_thread(catch)]:
            thread.join(20)
        with collect_warnings():
            pass
        with collect_warnings() as found:
            warnings.warn("still here", UserWarning, stacklevel=1)
        assert texts(found) == ["still here"]
        with pytest.warns(UserWarning, match="outside"):
            warnings.warn("outside", UserWarning, stacklevel=1)


def test_filters_of_modules_may_have_flags() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"(?i)TEST_CAUGHT")
        shown: list[str] = []
        warnings.showwarning = lambda message, *rest: shown.append(str(message))  # type: ignore[assignment]
        with collect_warnings():
            in_thread(lambda: warnings.warn("ignored", UserWarning, stacklevel=1)).join(10)
        assert not shown
