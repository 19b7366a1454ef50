"""Synthetic learning curves: seven laws by which accuracies saturate, with noise."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

Array = np.ndarray
Law = Callable[[Array], Array]
NAMES = ("pow2", "pow3", "pow4", "exp", "log", "ilog", "mmf", "weibull")
START = 50.0  # the smallest size
_LAST = 2.0**14  # multiple of the smallest size at which "log" arrives at the top


def draw_law(name: str, rng: np.random.Generator) -> Law:
    """Draw the parameters of a law; it maps sizes from 50 on to accuracies."""
    top = rng.uniform(0.7, 0.99)
    low = rng.uniform(0.2, 0.6) * top
    span, b, far = top - low, rng.uniform(0.3, 1.2), START * 10 ** rng.uniform(0.5, 1.7)
    laws: dict[str, Law] = {
        "pow2": lambda n: 1 - (1 - low) * (n / START) ** (-b / 2),
        "pow3": lambda n: top - span * (n / START) ** -b,
        "pow4": lambda n: top - span * ((n + 4 * START) / (5 * START)) ** (-1.2 * b),
        "exp": lambda n: top - span * np.exp(-(n - START) / far),
        "log": lambda n: low + span * np.log(n / START) / np.log(_LAST),
        "ilog": lambda n: top - span * np.log(START) / np.log(n),
        "mmf": lambda n: top - span / (1 + (n / far) ** (1.3 * b)),
        "weibull": lambda n: top - span * np.exp(-((n / far) ** (0.8 * b))),
    }
    return laws[name]


def noisy_curves(
    name: str, n_curves: int, seed: int, later: int = 4
) -> Iterator[tuple[int, Array, Array, Law]]:
    """Yield the number of known sizes, all sizes, accuracies with noise, and the law.

    Each size is twice the one before. Five to ten are known and `later` are not. The noise has a
    standard deviation of 0.0005 to 0.01, and half of the curves are of nested samples: noise at
    sizes n < m has the correlation √(n/m).
    """
    rng = np.random.default_rng([seed, NAMES.index(name)])
    for i in range(n_curves):
        law, known = draw_law(name, rng), 5 + i % 6
        sizes = START * 2.0 ** np.arange(known + later)
        noise = rng.normal(size=len(sizes))
        if i % 2:
            for j in range(1, len(noise)):
                noise[j] = np.sqrt(0.5) * (noise[j - 1] + noise[j])
        sd = 10 ** rng.uniform(np.log10(0.0005), -2)
        yield known, sizes, np.clip(law(sizes) + sd * noise, 0, 0.9999), law
