"""Spectra, effective ranks and shrinkage of the covariances of 22 real text encoders.

The features are those of demo.py: data/deb_impl.npz, 800 rows for each encoder.

    python examples/covariance.py                 # print the effective ranks and shrinkages
    python examples/covariance.py --plots FOLDER  # write two plots; docs/ has those of the page

It needs matplotlib for the plots.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import transferability as tx
from transferability.covariance import ledoit_wolf_shrinkage, oas

DATA = Path(__file__).parent / "data" / "deb_impl.npz"
#: Encoders whose spectra are drawn; an encoder has one colour in both plots.
SHOWN = ("lsa384", "minilm_l6", "w2v300_deb", "charcnn_maint", "tinytf_mlm", "style36")
COLOURS = {name: f"C{i}" for i, name in enumerate(SHOWN)}
#: Encoders whose shrinkage is drawn against the number of rows, from subsets of rows.
SHRUNK = ("lsa384", "minilm_l6", "w2v300_deb", "style36")
SIZES = (10, 15, 30, 50, 80, 100, 150, 250, 400, 600)
DRAWS = 20
RANK_TICKS = (5, 10, 20, 50, 100, 200, 400)
SIZE_TICKS = (10.0, 30.0, 100.0, 250.0, 600.0)
SHRINKAGE_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

Features = NDArray[Any]
ESTIMATES: dict[str, Callable[[Features], float]] = {
    "Ledoit–Wolf": ledoit_wolf_shrinkage,
    "OAS": lambda features: oas(features)[1],
}


def read_features() -> dict[str, Features]:
    """Return the features by encoder."""
    with np.load(DATA) as arrays:
        return {name: arrays[name] for name in arrays.files if not name.startswith("labels")}


def shares_of_variance(features: Features) -> NDArray[np.float64]:
    """Return the eigenvalues of the covariance divided by their sum, largest first."""
    spectrum = tx.Stats("unlabelled").update(features).spectrum()
    shares: NDArray[np.float64] = spectrum[spectrum > 0] / spectrum.sum()
    return shares


def effective_rank(shares: NDArray[np.float64]) -> float:
    """Return the exponential of the entropy of the shares of variance."""
    return float(np.exp(-np.sum(shares * np.log(shares))))


def shrinkage_by_size(
    features: Features, estimate: Callable[[Features], float]
) -> NDArray[np.float64]:
    """Return the shrinkage for each size, as mean over random subsets of the rows."""
    rng = np.random.default_rng(0)
    orders = [rng.permutation(len(features)) for _ in range(DRAWS)]
    found = [[estimate(features[order[:size]]) for order in orders] for size in SIZES]
    return np.mean(found, axis=1)  # type: ignore[no-any-return]


def plot_spectra(features: Mapping[str, Features], path: Path) -> None:
    """Plot the spectra of some encoders, and the effective ranks of all."""
    from matplotlib.figure import Figure

    shares = {name: shares_of_variance(values) for name, values in features.items()}
    ranks = {name: effective_rank(values) for name, values in shares.items()}
    order = sorted(ranks, key=ranks.__getitem__)
    figure = Figure(figsize=(9.5, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    for name in sorted(SHOWN, key=lambda name: -ranks[name]):
        label = f"{name}: {ranks[name]:.0f} of {features[name].shape[1]}"
        places = np.arange(1, len(shares[name]) + 1)
        left.loglog(places, shares[name], color=COLOURS[name], linewidth=1.8, label=label)
    left.set_ylim(1e-6, 1)
    left.set_xticks([1, 10, 100], ["1", "10", "100"])
    left.set_xlabel("eigenvalue, largest first")
    left.set_ylabel("share of the variance")
    left.legend(frameon=False, fontsize=9.5, title="effective rank of D", loc="lower left")
    for place, name in enumerate(order):
        width, colour = features[name].shape[1], COLOURS.get(name, "0.45")
        right.plot([ranks[name], width], [place, place], color="0.85", linewidth=1.2, zorder=0)
        right.plot(width, place, "|", color="0.35", markersize=8)
        right.plot(ranks[name], place, "o", color=colour, markersize=5.5)
    right.set_xscale("log")
    right.set_xticks(RANK_TICKS, [str(tick) for tick in RANK_TICKS])
    right.minorticks_off()
    right.set_yticks(range(len(order)), order, fontsize=8.5)
    right.set_xlabel("effective rank (dot), number of features D (bar)")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def plot_shrinkage(features: Mapping[str, Features], path: Path) -> None:
    """Plot the shrinkage of some encoders against the number of rows."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4.4), layout="constrained")
    axes = figure.subplots()
    for name in SHRUNK:
        for kind, style in zip(ESTIMATES, ("-", "--"), strict=True):
            found = shrinkage_by_size(features[name], ESTIMATES[kind])
            label = f"{name} (D = {features[name].shape[1]})" if style == "-" else None
            axes.loglog(SIZES, found, style, color=COLOURS[name], linewidth=1.8, label=label)
    for kind, style in zip(ESTIMATES, ("-", "--"), strict=True):
        axes.plot([], [], style, color="0.3", label=kind)
    for axis, ticks in ((axes.xaxis, SIZE_TICKS), (axes.yaxis, SHRINKAGE_TICKS)):
        axis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("number of rows N")
    axes.set_ylabel(f"shrinkage (mean of {DRAWS} random subsets)")
    axes.legend(frameon=False, fontsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120)


def main() -> None:
    """Print a table of all encoders, and write the plots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--plots", type=Path, metavar="FOLDER", help="write the plots here")
    options = parser.parse_args()
    features = read_features()
    print(f"{'encoder':<15}{'D':>5}{'effective rank':>16}{'Ledoit–Wolf':>13}{'OAS':>8}")
    for name, values in features.items():
        rank = effective_rank(shares_of_variance(values))
        shrinkages = [estimate(values) for estimate in ESTIMATES.values()]
        print(f"{name:<15}{values.shape[1]:>5}{rank:>16.1f}", end="")
        print("{:>13.4f}{:>8.4f}".format(*shrinkages))
    if options.plots:
        plot_spectra(features, options.plots / "covariance_spectra.png")
        plot_shrinkage(features, options.plots / "covariance_shrinkage.png")


if __name__ == "__main__":
    main()
