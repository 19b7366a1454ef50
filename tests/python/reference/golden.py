"""The recorded values of `tests/data`, with the inputs that they belong to."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[2] / "data"


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    """Every case by its key."""
    text = (DATA / "golden_logme.json").read_text(encoding="utf-8")
    return {case["key"]: case for case in json.loads(text)["cases"]}


@functools.cache
def arrays() -> dict[str, np.ndarray]:
    """Every array by its name."""
    with np.load(DATA / "golden_logme.npz") as file:
        return dict(file)


def inputs(key: str) -> tuple[np.ndarray, np.ndarray]:
    """Features and labels or targets of a case."""
    labels = arrays().get(f"{key}__y")
    return arrays()[f"{key}__F"], arrays()[f"{key}__Y"] if labels is None else labels


def converged(key: str) -> dict[str, Any]:
    """The converged float64 reference, over the classes that occur."""
    kind = "present_classes_" if cases()[key]["kind"] == "classification" else ""
    return cases()[key]["results"][f"REF_{kind}converged"]


@functools.cache
def shipped(name: str) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Cases by their key and arrays by their name of `golden_{name}`."""
    text = (DATA / f"golden_{name}.json").read_text(encoding="utf-8")
    with np.load(DATA / f"golden_{name}.npz") as file:
        return {case["key"]: case for case in json.loads(text)["cases"]}, dict(file)
