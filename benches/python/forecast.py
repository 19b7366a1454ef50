"""Errors of forecasts of published learning curves by each law and by the automatic choice.

    python benches/python/forecast.py --write

The curves are test losses of 30 language models after fine-tuning on 200 to 1,638,400 samples of
FLAN and of Gigaword (tests/data/tables). The smaller sizes forecast the larger ones. A table entry
is the median over models of the median relative error over sizes, and the coverage of the 90 %
interval. A second table has the coverage of intervals and plans on synthetic accuracies
(tests/python/reference/learning_curves.py).
``--write`` updates docs/forecasting.md.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "python"))

from reference.learning_curves import NAMES, noisy_curves  # noqa: E402
from reference.tables import curves  # noqa: E402

import transferability as tx  # noqa: E402
from transferability.forecast import FORMS, fit  # noqa: E402

PAGE = ROOT / "docs" / "forecasting.md"
BEGIN, END = "<!-- begin: written by benches/python/forecast.py -->", "<!-- end -->"
#: Numbers of sizes fitted (of the 14 positive ones) and forecast.
CELLS = ((7, 7), (11, 3))
DATA = ("flan", "gigaword")
#: Plans are counted apart where the law rises by less from the largest known size to four times
#: it: the size at which a flat law has its value is arbitrary.
RISE = 0.005


def cell(data: str, fitted: int, form: str, **options: Any) -> tuple[float, float]:
    """Return the median relative error and the coverage of the 90 % interval."""
    errors, hits = [], []
    for sizes, losses in curves(data).values():
        n, true = sizes[1:], losses[1:]
        forecast = fit(n[:fitted], true[:fitted], form, **options)
        errors.append(np.median(np.abs(forecast.predict(n[fitted:]) / true[fitted:] - 1)))
        low, high = forecast.interval(n[fitted:])
        hits += list((low <= true[fitted:]) & (true[fitted:] <= high))
    return float(np.median(errors)), float(np.mean(hits))


def table() -> list[str]:
    """Format the results as Markdown, with the best law first."""
    heads = [f"{data.upper()[:1]}{data[1:]}, {a} to {b}" for data in DATA for a, b in CELLS]
    lines = ["| form | " + " | ".join(heads) + " | inside the 90 % interval |"]
    lines.append("|---|" + "--:|" * (len(heads) + 1))
    found = {form: [cell(data, a, form) for data in DATA for a, _ in CELLS] for form in FORMS}
    weights = np.array([b for _ in DATA for _, b in CELLS])
    for form in sorted(found, key=lambda f: np.mean(np.log([e for e, _ in found[f]]))):
        errors = " | ".join(f"{error:.4f} ({hit:.0%})" for error, hit in found[form])
        inside = np.average([hit for _, hit in found[form]], weights=weights)
        lines.append(f"| {form} | {errors} | {inside:.0%} |")
    return lines


def synthetic_table(n_curves: int = 24, seed: int = 1) -> list[str]:
    """Format the coverage of 90 % intervals and plans on synthetic accuracies as Markdown."""
    lines = [
        "| law | inside the 90 % interval | median width | size inside the plan's 90 % interval | "
        "of flat curves |",
        "|---|--:|--:|--:|--:|",
    ]
    every: dict[str, tuple[list[bool], list[float], list[bool], list[bool]]] = {}
    for name in NAMES:
        hits, widths, planned, flat = every[name] = ([], [], [], [])
        for known, sizes, values, law in noisy_curves(name, n_curves, seed):
            forecast = fit(sizes[:known], values[:known])
            low, high = forecast.interval(sizes[known:])
            hits += list((low <= values[known:]) & (values[known:] <= high))
            widths += list(high - low)
            # The target is the law's own value at four times the data.
            end = 4 * sizes[known - 1]
            last, target = (float(law(np.array(size))) for size in (sizes[known - 1], end))
            first, largest = forecast.plan(target).interval
            (planned if target - last >= RISE else flat).append(first <= end <= largest)
    pooled = [list(chain(*parts)) for parts in zip(*every.values(), strict=True)]
    every["all"] = (pooled[0], pooled[1], pooled[2], pooled[3])
    for name, (hits, widths, planned, flat) in every.items():
        lines.append(
            f"| {name} | {np.mean(hits):.0%} | {np.median(widths):.3f} | "
            f"{sum(planned)} of {len(planned)} | {sum(flat)} of {len(flat)} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the table to the page")
    warnings.simplefilter("ignore", tx.TransferabilityWarning)
    options = parser.parse_args()
    text = "\n".join([*table(), "", *synthetic_table()])
    print(text)
    if options.write:
        page = PAGE.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
