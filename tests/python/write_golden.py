"""Write ``tests/data/golden_naive.json``: values of the naive references, for every metric.

``make golden`` runs it. The inputs are the classification cases of ``golden_logme.npz`` that are
small enough for references which build one matrix a row. A value that the reference cannot compute
is written as null. What other authors' code returned is in the other goldens and is not rewritten.
"""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from reference import NAIVE, golden

PATH = Path(__file__).parents[1] / "data" / "golden_naive.json"
MOST_NUMBERS, MOST_CLASSES = 5000, 5


def keys() -> list[str]:
    """Return the cases that are small enough."""
    found = []
    for key, case in golden.cases().items():
        features, labels = golden.inputs(key)
        small = features.size <= MOST_NUMBERS and len(np.unique(labels)) <= MOST_CLASSES
        if case["kind"] == "classification" and small and np.isfinite(features).all():
            found.append(key)
    return found


def values(key: str) -> dict[str, float | None]:
    """Compute every naive reference on one case."""
    features, labels = golden.inputs(key)
    found: dict[str, float | None] = {}
    for metric, naive in sorted(NAIVE.items()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                value = float(naive(features, labels))
            except (ArithmeticError, ValueError, np.linalg.LinAlgError):
                value = math.nan
        found[metric] = value if math.isfinite(value) else None
    return found


def main() -> None:
    """Write the file."""
    cases: dict[str, Any] = {key: values(key) for key in keys()}
    PATH.write_text(json.dumps(cases, indent=1) + "\n", encoding="utf-8")
    print(f"{PATH.name}: {len(cases)} cases of {len(NAIVE)} metrics")


if __name__ == "__main__":
    main()
