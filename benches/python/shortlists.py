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
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from transferability._uncertainty.choose import make_shortlist
from transferability._uncertainty.stability import Stability

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))

from reference.rankings import KINDS, Simulated, simulate

CONFIDENCES = (0.5, 0.8, 0.9, 0.95)
AGREEMENT = 0.9


def make_stability(case: Simulated, names: list[str], n_units: int = 1000) -> Stability:
    """Return what a shortlist needs of a stability."""
    order = np.argsort(-case.scores, kind="stable")
    member = {
        "scores": case.scores[order],
        "noise": case.noise[:, order],
        "covariance": case.covariance[np.ix_(order, order)],
    }
    unused = np.zeros((len(names), 2))
    return Stability(
        names=tuple(names[i] for i in order),
        metric="logme",
        scores=case.scores[order],
        standard_errors=np.sqrt(np.diag(member["covariance"])),
        intervals=unused,
        ranks=unused.astype(np.int64),
        first={},
        pairwise=unused,
        ties=(),
        replicates=unused,
        bias=unused,
        method="first-order",
        unit="rows",
        n_units=n_units,
        level=0.9,
        members=(member,),
    )


def measure(seed: int) -> tuple[str, NDArray[np.float64]]:
    """Return the kind of a ranking, and for every confidence what was stated and what happened."""
    rng = np.random.default_rng([seed, 5])
    kind = [*KINDS][seed % len(KINDS)]
    n_models = round(math.exp(rng.uniform(math.log(3), math.log(100))))
    case = simulate(kind, n_models, math.exp(rng.uniform(math.log(0.2), math.log(10))), rng)
    names = [f"m{i}" for i in range(n_models)]
    stability = make_stability(case, names)
    best = names[int(case.truth.argmax())]
    spread = case.truth.std()
    own = AGREEMENT * case.truth + math.sqrt(1 - AGREEMENT**2) * spread * rng.normal(size=n_models)
    really = names[int(own.argmax())]
    found = []
    for confidence in CONFIDENCES:
        plain = make_shortlist(stability, confidence, "posterior", None, None, None, seed)
        truth = make_shortlist(stability, confidence, "posterior", None, None, AGREEMENT, seed)
        regret = case.truth.max() - case.truth[names.index(plain.names[0])]
        found.append(
            [
                *(plain.probability, best in plain, really in plain, len(plain)),
                *(truth.probability, really in truth, len(truth)),
                *(plain.regret, regret, regret > plain.worst_regret),
            ]
        )
    return kind, np.array(found, dtype=np.float64)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rankings", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=2)
    chosen = parser.parse_args()
    with Pool(chosen.processes) as pool:
        found = pool.map(measure, range(chosen.rankings), chunksize=8)
    values = np.array([numbers for _, numbers in found])  # (rankings, confidences, numbers)
    kinds = np.array([kind for kind, _ in found])
    print(
        "| confidence | stated | held the best | models | truths held | stated for truths | held |"
    )
    for i, confidence in enumerate(CONFIDENCES):
        m = values[:, i].mean(axis=0)
        print(
            f"| {confidence:.0%} | {m[0]:.1%} | {m[1]:.1%} | {m[3]:.1f} | {m[2]:.1%} | {m[4]:.1%} "
            f"| {m[5]:.1%} | ({m[6]:.1f} models)"
        )
    print("| kind at 90 % | stated | held the best | models | stated for truths | held |")
    for kind in KINDS:
        m = values[kinds == kind, CONFIDENCES.index(0.9)].mean(axis=0)
        print(f"| {kind} | {m[0]:.1%} | {m[1]:.1%} | {m[3]:.1f} | {m[4]:.1%} | {m[5]:.1%} |")
    m = values[:, 0].mean(axis=0)
    print(f"expected regret {m[7]:.3f}, mean regret {m[8]:.3f}, beyond the worst {m[9]:.2%}")


if __name__ == "__main__":
    main()
