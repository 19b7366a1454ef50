"""Calibration of shortlists: stated probabilities against simulated rankings with known truth.

    python benches/python/shortlists.py --rankings 2000

Rankings have 3 to 100 models, close or far apart, and true scores of eight kinds
(tests/python/reference/rankings.py). Prints the tables of docs/shortlist.md. "truths" differ from
the metric: they correlate with the true scores at 0.9 over models.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transferability._uncertainty.choose import draw_truths, read_agreement
from transferability._uncertainty.outlook import cover_best
from transferability._uncertainty.posterior import draw_members

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))

from reference.rankings import KINDS, simulate

CONFIDENCES = (0.5, 0.8, 0.9, 0.95)
AGREEMENT = 0.9
KNOWN = 10**6  # units: the covariance of the noise is known here
BANDS = ((3, 7), (8, 29), (30, 100))


def measure(seed: int) -> tuple[str, int, NDArray[np.float64]]:
    """Return kind and size of a ranking, and what was stated and happened for each confidence."""
    rng = np.random.default_rng([seed, 5])
    kind = [*KINDS][seed % len(KINDS)]
    n_models = round(math.exp(rng.uniform(math.log(3), math.log(100))))
    case = simulate(kind, n_models, math.exp(rng.uniform(math.log(0.2), math.log(10))), rng)
    best, spread = int(case.truth.argmax()), case.truth.std()
    own = AGREEMENT * case.truth + math.sqrt(1 - AGREEMENT**2) * spread * rng.normal(size=n_models)
    really = int(own.argmax())
    draws = draw_members([case.member], KNOWN, seed)[0].draws
    truths = draw_truths(draws, read_agreement(AGREEMENT, "logme"), rng)
    found = []
    for confidence in CONFIDENCES:
        plain, stated = cover_best(draws, confidence)
        wide, stated_wide = cover_best(truths, confidence)
        expected = draws.max(axis=1) - draws[:, plain[0]]
        regret = case.truth.max() - case.truth[plain[0]]
        found.append(
            [
                *(stated, best in plain, really in plain, len(plain)),
                *(stated_wide, really in wide, len(wide)),
                *(expected.mean(), regret, regret > np.quantile(expected, 0.99)),
            ]
        )
    return kind, n_models, np.array(found, dtype=np.float64)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rankings", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=math.inf)
    chosen = parser.parse_args()
    start, found = time.monotonic(), []
    with Pool(chosen.processes) as pool:
        for one in pool.imap(measure, range(chosen.rankings), chunksize=8):
            found.append(one)
            if time.monotonic() - start > 60 * chosen.minutes:
                break
    values = np.array([numbers for _, _, numbers in found])  # (rankings, confidences, numbers)
    kinds, sizes = np.array([kind for kind, _, _ in found]), np.array([n for _, n, _ in found])
    print(f"{len(found)} rankings")
    print("| confidence | stated | held the best | models | truths held | told: stated | held |")
    for i, confidence in enumerate(CONFIDENCES):
        m = values[:, i].mean(axis=0)
        print(
            f"| {confidence:.0%} | {m[0]:.1%} | {m[1]:.1%} | {m[3]:.1f} | {m[2]:.1%} | {m[4]:.1%} "
            f"| {m[5]:.1%} | ({m[6]:.1f} models)"
        )
    parts = {kind: kinds == kind for kind in KINDS}
    parts |= {f"{a} to {b} models": (a <= sizes) & (sizes <= b) for a, b in BANDS}
    print("| at 90 % | stated | held the best | models | told: stated | held |")
    for name, own in parts.items():
        m = values[own, CONFIDENCES.index(0.9)].mean(axis=0)
        print(f"| {name} | {m[0]:.1%} | {m[1]:.1%} | {m[3]:.1f} | {m[4]:.1%} | {m[5]:.1%} |")
    m = values[:, 0].mean(axis=0)
    print(f"expected regret {m[7]:.3f}, mean regret {m[8]:.3f}, beyond the worst {m[9]:.2%}")


if __name__ == "__main__":
    main()
