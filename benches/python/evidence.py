"""Figures of docs/evidence.md: agreement in published tables, static lists, pictures.

    python benches/python/evidence.py [--tables FOLDER] --write

The page has three parts that this script writes. The first is a summary of docs/realdata.md, which
benches/python/realdata.py writes. The second is recomputed from the published tables in
tests/data/tables. The third needs tables that are not shipped: ``--tables FOLDER`` has them, and
evidence_pools.py says where they are from. Without them that part of the page stays as it is. Taus
and regrets are those of `transferability.agreement`.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benches" / "python"))

import realdata  # noqa: E402
from evidence_pools import (  # noqa: E402
    LIST,
    LISTS,
    OBVIOUS,
    PROBES,
    PUBLISHED_TAUS,
    SHIPPED,
    TITLES,
    Measured,
    Pool,
    interval,
    measure,
    model_spider,
    random_regret,
    rank_elsewhere,
    read_pool,
    read_rows,
)

import transferability as tx  # noqa: E402

DOCS = ROOT / "docs"


# --- published tables that are shipped -----------------------------------------------------------


def published_rows(pool: Pool) -> Iterator[str]:
    """Yield the table of one pool: the list, the metrics, and a random order."""
    sets = len(pool.truth)
    yield f"**{pool.title}**: {pool.sizes} models, {sets} data sets."
    yield ""
    yield "| metric | weighted tau | 95 % | by data set | more than the list | regret |"
    yield "|---|--:|:-:|:-:|:-:|--:|"
    listed = measure(rank_elsewhere(pool.truth), pool.truth)
    found = {LIST: listed}
    found |= {title: measure(scores, pool.truth) for title, scores in pool.scores.items()}
    for title in sorted(found, key=lambda title: -found[title].tau):
        one = found[title]
        taus = [tau for tau in one.taus.values() if np.isfinite(tau)]
        name = f"**{title}**" if title == LIST else title
        name += f" ({len(taus)} of {sets} sets)" if len(taus) < sets else ""
        more = "" if title == LIST else interval(one.draws - listed.draws)
        spread = f"{min(taus):.2f} to {max(taus):.2f}"
        cells = [name, f"{one.tau:.2f}", interval(one.draws), spread, more, f"{one.regret:.2f}"]
        yield f"| {' | '.join(cells)} |"
    yield f"| random order | 0.00 | | | | {random_regret(pool.truth):.2f} |"
    yield ""


def published_part() -> str:
    lines = [line for make in SHIPPED for line in published_rows(make())]
    pool, reduced = model_spider(), model_spider(OBVIOUS)
    taus = [measure(one.scores["LogME"], one.truth) for one in (pool, reduced)]
    lines += [
        f"LogME's mean on the ten networks is {taus[0].tau:.2f} ({interval(taus[0].draws)}); "
        "without "
        f"{', '.join(OBVIOUS[:-1])} and {OBVIOUS[-1]} it is {taus[1].tau:.2f} "
        f"({interval(taus[1].draws)}).",
        "",
    ]
    single = {}
    for name, known in pool.truth.items():
        one = realdata.evaluate({"LogME": pool.scores["LogME"][name]}, known)
        single[name] = one.weighted_tau, *one.ci()
    wide, narrow = (
        pick(single, key=lambda name: single[name][2] - single[name][1]) for pick in (max, min)
    )
    shown = [
        f"{single[name][1]:.2f} to {single[name][2]:.2f} on {name} (tau {single[name][0]:.2f})"
        for name in (wide, narrow)
    ]
    lines.append(f"On one data set alone its 95 % interval over the ten is {' and '.join(shown)}.")
    return "\n".join(lines) + "\n"


# --- summary of the shipped tasks ----------------------------------------------------------------

#: Metrics of the summary. The picture has all with default options.
SUMMARY = (
    "**recommended**",
    "Ridge probe",
    "LogME",
    "GBC",
    "H-score",
    "k-NN",
    "N-LEEP",
    "TransRate",
    realdata.WIDTH,
    realdata.RANDOM,
)


def read_tables() -> dict[str, list[dict[str, str]]]:
    """Return the rows of docs/realdata.md for the shipped tasks, by task."""
    text = realdata.PAGE.read_text(encoding="utf-8")
    text = text.split(realdata.BEGIN)[1].split(realdata.END)[0]
    found: dict[str, list[dict[str, str]]] = {}
    for part in text.split("### ")[1:]:
        title, _, rest = part.partition("\n")
        cells = [
            [cell.strip() for cell in line.split("|")[1:-1]]
            for line in rest.splitlines()
            if line.startswith("| ")
        ]
        # The two columns of intervals have the same name.
        header = [f"{cells[0][j - 1]} {h}" if h == "95 %" else h for j, h in enumerate(cells[0])]
        found[title] = [dict(zip(header, row, strict=True)) for row in cells[1:]]
    return found


def summary_part() -> str:
    tables = read_tables()
    by_column: dict[str, dict[str, tuple[str, str]]] = {}
    for title, rows in tables.items():
        for head in [head for head in rows[0] if head.startswith(("linear", "fine"))][::2]:
            name = f"{title.partition(':')[0]}, {head}"
            by_column[name] = {
                row["metric"].partition(" (1 ")[0]: (row[head], row[f"{head} 95 %"]) for row in rows
            }
    lines = [f"| metric | {' | '.join(by_column)} |", "|---|" + "--:|" * len(by_column)]
    for metric in SUMMARY:
        cells = [
            f"{tau} ({ends})" for tau, ends in (column[metric] for column in by_column.values())
        ]
        lines.append(f"| {metric.strip('*')} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n\n" + comparison_text()


def comparison_text() -> str:
    """Count the metrics that the bootstrap tells apart from the number of features."""
    sentences = []
    for task in realdata.read_tasks():
        scores = {title: values for title, values, _ in realdata.orders(task)}
        for kind, truth in (("the probe", task.probe), ("fine-tuning", task.tuned)):
            evaluation = realdata.evaluate(scores, truth)
            found = [
                evaluation.compare(title, realdata.WIDTH)
                for title in scores
                if title != realdata.WIDTH
            ]
            better = [one for one in found if one.supported and one.difference > 0]
            worse = [one for one in found if one.supported and one.difference < 0]
            sentences.append(
                f"| {task.name}, {kind} ({len(truth)} models) | {len(better)} | {len(worse)} "
                f"| {len(found) - len(better) - len(worse)} |"
            )
    head = [
        "| metrics, with their options, against the number of features | better | worse | open |",
        "|---|--:|--:|--:|",
    ]
    return "\n".join([*head, *sentences]) + "\n"


# --- static lists, from tables that are not shipped ----------------------------------------------


def over_sets(values: Sequence[float], statistic: Callable[..., Any] = np.mean) -> str:
    """Format a statistic over data sets, with its bootstrap interval over them."""
    x = np.array(values)
    draws = np.random.default_rng(0).integers(0, len(x), size=(10_000, len(x)))
    low, high = np.quantile(statistic(x[draws], axis=1), [0.025, 0.975])
    return f"{statistic(x):.2f} ({low:.2f} to {high:.2f})"


def list_part(folder: Path, picture: Path | None) -> str:
    lines = [
        "| models | data sets | weighted tau | by data set "
        "| regret, mean | median | largest | at random |",
        "|---|--:|--:|:-:|--:|--:|--:|--:|",
    ]
    drawn: dict[str, Measured] = {}
    chance = {}
    for source in LISTS:
        pool = read_pool(folder, source)
        one = drawn[source.title] = measure(rank_elsewhere(pool.truth), pool.truth)
        taus, regrets = list(one.taus.values()), list(one.regrets.values())
        chance[source.title] = random_regret(pool.truth)
        cells = [
            f"{source.title} ({source.origin})",
            str(len(taus)),
            f"{one.tau:.2f} ({interval(one.draws)})",
            f"{min(taus):.2f} to {max(taus):.2f}",
            over_sets(regrets),
            f"{np.median(regrets):.1f}",
            f"{max(regrets):.1f}",
            f"{chance[source.title]:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| models | metric, as published | data sets | weighted tau |",
        "|---|---|--:|--:|",
    ]
    for title, file in PUBLISHED_TAUS:
        by_method: dict[str, list[float]] = {}
        sets: list[str] = []
        for row in read_rows(folder / file):
            method = row["method"].replace("+Ours", " with PED")
            method = TITLES.get(method, method)
            by_method.setdefault(method, []).append(float(row["tau_w"]))
            sets.append(row["dataset"])
        # One table says "VOC", the other "voc2007".
        here = [
            tau
            for name, tau in drawn[title].taus.items()
            if name.lower().startswith(tuple(other.lower() for other in sets))
        ]
        found = {f"**{LIST}**": here, **by_method}
        for method in sorted(found, key=lambda method: -float(np.mean(found[method]))):
            lines.append(
                f"| {title} | {method} | {len(found[method])} | {over_sets(found[method])} |"
            )
    cnns, heads = read_pool(folder, LISTS[0]), read_pool(folder, PROBES)
    probe = list(measure(heads.truth, cnns.truth, n_boot=1).taus.values())
    lines.append(
        f"| {LISTS[0].title} | accuracy of a linear probe | {len(probe)} | {over_sets(probe)} |"
    )
    if picture:
        draw_lists(drawn, chance, picture)
    return "\n".join(lines) + "\n"


# --- pictures ------------------------------------------------------------------------------------


def draw_agreement(path: Path) -> None:
    """Draw the metrics with default options on the shipped tasks, with intervals and baselines."""
    from matplotlib.figure import Figure

    tables = read_tables()
    names = [row["metric"] for row in next(iter(tables.values()))]
    bare = [name.partition(" (1 ")[0] for name in names if "(" not in name]
    columns_of = {
        title: {row["metric"].partition(" (1 ")[0]: row for row in rows}
        for title, rows in tables.items()
    }
    heads = {
        t: [h for h in rows[0] if h.startswith(("linear", "fine"))] for t, rows in tables.items()
    }

    def mean_tau(name: str) -> float:
        return sum(float(columns_of[t][name][heads[t][0]]) for t in tables)

    shown = sorted((n for n in bare if n not in (realdata.TOP, realdata.RANDOM)), key=mean_tau)
    figure = Figure(figsize=(9, 0.27 * len(shown) + 2), layout="constrained", facecolor="white")
    axes = figure.subplots(1, len(tables), sharey=True)
    for ax, (title, rows) in zip(axes, columns_of.items(), strict=True):
        probe, tuned = heads[title][0], heads[title][2]
        ends = [
            map(float, rows[realdata.RANDOM][f"{h} 95 %"].split(" to ")) for h in (probe, tuned)
        ]
        ax.axvspan(*ends[0], color="0.92", label="95 % of random orders, probe")
        for i, end in enumerate(ends[1]):
            label = "95 % of random orders, fine-tuned" if i else None
            ax.axvline(end, color="C1", linewidth=1, linestyle=":", label=label)
        ax.axvline(0, color="0.6", linewidth=0.8)
        for head, shift, color, marker in ((probe, 0.13, "C0", "o"), (tuned, -0.2, "C1", "s")):
            taus = np.array([float(rows[name][head]) for name in shown])
            ends = np.array([[*map(float, rows[n][f"{head} 95 %"].split(" to "))] for n in shown])
            places = np.arange(len(shown)) + shift
            ax.hlines(places, ends[:, 0], ends[:, 1], color=color, linewidth=1.2, alpha=0.6)
            ax.plot(taus, places, marker, color=color, markersize=4.5, label=head)
        name, _, size = title.partition(":")
        ax.set_title(f"{name}:{size.rpartition(',')[0]}", fontsize=10)
        ax.set_xlim(-1.02, 1.02)
        ax.set_ylim(-0.7, len(shown) - 0.3)
        ax.set_xlabel("weighted Kendall tau with the true accuracies")
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=2, fontsize=8)
    axes[0].set_yticks(range(len(shown)), [name.replace("**", "") for name in shown], fontsize=9)
    for label in axes[0].get_yticklabels():
        if label.get_text() in ("recommended", realdata.WIDTH):
            label.set_fontweight("bold")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def draw_lists(drawn: Mapping[str, Measured], chance: Mapping[str, float], path: Path) -> None:
    """Draw tau and regret of the static list for every data set of each pool."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 0.5 * len(drawn) + 1.6), layout="constrained", facecolor="white")
    left, right = figure.subplots(1, 2, sharey=True)
    names = list(drawn)[::-1]
    for i, name in enumerate(names):
        one = drawn[name]
        taus, regrets = list(one.taus.values()), np.array(list(one.regrets.values()))
        left.plot(taus, [i] * len(taus), "o", color="C0", alpha=0.35, markersize=5)
        low, high = np.nanquantile(one.draws, [0.025, 0.975])
        left.hlines(i - 0.25, low, high, color="black", linewidth=1.5)
        left.plot(one.tau, i - 0.25, "D", color="black", markersize=5)
        first = i == 0
        points = (
            ("a data set", regrets, i, {"marker": "o", "color": "C0", "alpha": 0.35}),
            ("mean", one.regret, i - 0.25, {"marker": "D", "color": "black"}),
            (
                "median",
                np.median(regrets),
                i - 0.25,
                {"marker": "|", "color": "black", "mew": 2, "markersize": 10},
            ),
            ("random model", chance[name], i + 0.25, {"marker": "x", "color": "C3"}),
        )
        for label, x, y, style in points:
            x = np.atleast_1d(x)
            kept = {"linestyle": "", "markersize": 5, "label": label if first else None} | style
            right.plot(x, [y] * len(x), **kept)
    left.axvline(0, color="0.6", linewidth=0.8)
    left.set_yticks(range(len(names)), names)
    left.set_xlim(-0.5, 1.02)
    left.set_xlabel("weighted Kendall tau")
    left.set_title("Order of the list", fontsize=10)
    right.set_xscale("symlog", linthresh=1)
    right.set_xticks([0, 1, 10, 100], ["0", "1", "10", "100"])
    right.set_xlim(-0.1, 110)
    right.set_xlabel("regret of the list's first model, points")
    right.set_title("Its first model", fontsize=10)
    figure.legend(
        *right.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=8
    )
    figure.savefig(path, dpi=120, metadata={"Software": None})


# --- the page ------------------------------------------------------------------------------------

PARTS = ("summary", "published tables", "static lists")


def marks(part: str) -> tuple[str, str]:
    """Return the lines between which a part of the page lies."""
    return f"<!-- begin {part}: written by benches/python/evidence.py -->", f"<!-- end {part} -->"


def write(part: str, text: str, page: Path) -> None:
    begin, end = marks(part)
    before, rest = page.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    page.write_text(f"{before}{begin}\n\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, help="folder of the tables that are not shipped")
    parser.add_argument("--write", action="store_true", help="write docs/evidence.md, its pictures")
    options = parser.parse_args()
    warnings.simplefilter("ignore", tx.TransferabilityWarning)
    texts = {"summary": summary_part(), "published tables": published_part()}
    if options.write:
        draw_agreement(DOCS / "evidence_agreement.png")
    if options.tables:
        picture = DOCS / "evidence_lists.png" if options.write else None
        texts["static lists"] = list_part(options.tables, picture)
    for part, text in texts.items():
        print(f"{part}\n\n{text}")
        if options.write:
            write(part, text, DOCS / "evidence.md")


if __name__ == "__main__":
    main()
