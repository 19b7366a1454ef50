"""Run the benchmarks of speed, print their tables, and write docs/benchmarks.md with its plots.

    python benches/python/suite.py [--from RESULTS.json] [--results RESULTS.json]

`make bench` runs it. Peers are found by environment variables; peers.py lists them. The machine
must be idle. With `--from` the page is written again from earlier results.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
#: Name of a part and its command.
PARTS: dict[str, list[str]] = {
    "logme": ["bench_logme.py"],
    "metrics": ["bench_metrics.py"],
    "growth": ["bench_growth.py"],
    "rank": ["bench_rank.py"],
    "latency": ["bench_latency.py"],
}

Row = dict[str, Any]


def run(parts: Sequence[str], results: Path | None) -> dict[str, Any]:
    """Run each part in a process of its own, and keep the results of all so far in a file.

    A part that fails stops the suite.
    """
    found: dict[str, Any] = {"machine": describe_machine()}
    for name in parts:
        print(f"{name}: running", file=sys.stderr)
        command = [sys.executable, *PARTS[name], "--json"]
        result = subprocess.run(command, cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
        found[name] = json.loads(result.stdout)
        if results:
            results.write_text(json.dumps(found, indent=1), encoding="utf-8")
    return found


def describe_machine() -> Row:
    import numpy as np

    import transferability as tx

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "coretype": os.environ.get("OPENBLAS_CORETYPE", "as detected"),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "transferability": tx.__version__,
    }


def markdown(names: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    """Yield a table, without the bars, which are ours, and columns that no row has."""
    shown = [
        name
        for name in names
        if not name.endswith("bar") and any(row.get(name) is not None for row in rows)
    ]
    yield "| " + " | ".join(shown) + " |"
    yield "|" + "|".join("---" if i == 0 else "--:" for i in range(len(shown))) + "|"
    for row in rows:
        yield "| " + " | ".join(shorten(row.get(name)) for name in shown) + " |"
    yield ""


def shorten(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def seconds_of(row: Row) -> dict[str, float]:
    """Return the seconds of each side of a row of `logme`, by its name."""
    sides = {name[:-2]: row[name] for name in row if name.endswith("_s")}
    return {name: taken for name, taken in sides.items() if taken is not None}


def write_page(found: dict[str, Any], folder: Path) -> None:
    """Write benchmarks.md and its plots."""
    machine = found["machine"]
    lines = [
        "# Benchmarks",
        "",
        "`make bench` measures this and writes the page. Peers are found by `LOGME_REPO` and",
        "`TLLIB_REPO`, checkouts of thuml/LogME and tllib, and `TRANSFORMER_RANKER_PYTHON`, an",
        "interpreter with transformer-ranker; without its variable a peer is left out.",
        "Answers are checked before times are taken. The sides of a table take turns in one run,",
        "and times are medians. Compare ratios between machines, not seconds.",
        "",
        f"Measured on {machine['cpu']}, {machine['cores']} cores, 2 threads, OpenBLAS kernels"
        f" {machine['coretype']}, Python {machine['python']}, NumPy {machine['numpy']}.",
        "",
    ]
    if "logme" in found:
        lines += write_logme(found["logme"], folder)
    if "metrics" in found:
        lines += write_metrics(found["metrics"])
    if "growth" in found:
        lines += write_growth(found["growth"], folder)
    if "rank" in found:
        lines += write_rank(found["rank"])
    if "latency" in found:
        lines += write_latency(found["latency"])
    (folder / "benchmarks.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def columns(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(name for row in rows for name in row))


def write_logme(rows: list[Row], folder: Path) -> list[str]:
    plot_ratios(rows, folder / "benchmarks_logme.png")
    table = [
        {
            "N x D x C": row["shape"],
            **{
                f"{name}, ms": 1e3 * taken
                for name, taken in seconds_of(row).items()
                if name != "limit"
            },
            "times as fast": row.get("ratio"),
            "bar": row.get("bar"),
            "single": row.get("single_ratio"),
            "single bar": row.get("single_bar"),
            "of the limit": row["of_limit"],
            "limit bar": row["limit_bar"],
            "of BLAS peak": row["of_peak"],
        }
        for row in rows
    ]
    return [
        "## LogME",
        "",
        'float32 features in memory, one call. "Times as fast" is against the fastest peer;',
        '"single" the same with `precision="single"`. The limit is one float64 Gram product of the',
        'smaller side and its tridiagonal form; "of the limit" is our time as a multiple of it.',
        "The BLAS peak is that of a square float64 product. For N < D, thuml/LogME and",
        "transformer-ranker have a wrong determinant; there their numbers are checked against",
        "those of `compat.thuml`.",
        "",
        *markdown(columns(table), table),
        "![Peers in times LogME's seconds, and the share of the BLAS peak](benchmarks_logme.png)",
        "",
    ]


def write_metrics(rows: list[Row]) -> list[str]:
    table = [
        {
            "N x D x C": row["shape"],
            "LogME, s": row["logme_s"],
            "all, s": row["all_s"],
            "all by LogME": row["of_logme"],
            "bar": row["bar"],
            "four, s": row["four_s"],
            "four by tllib, s": row.get("tllib_s"),
            "times as fast": row.get("ratio"),
            "times bar": row.get("times_bar"),
        }
        for row in rows
    ]
    return [
        "## All metrics from one pass",
        "",
        'All classification metrics of statistics together, and LogME alone ("all by LogME" is the',
        "ratio); and four metrics (LogME, H-score with and without shrinkage, TransRate), compared",
        "with those of tllib.",
        "",
        *markdown(columns(table), table),
    ]


def write_growth(found: dict[str, list[Row]], folder: Path) -> list[str]:
    lines = ["## Growth", ""]
    if "growth" in found:
        plot_growth(found["growth"], folder / "benchmarks_growth.png")
        table = [
            {
                "size": row["size"],
                "from": f"{row['sizes'][0]:,}",
                "to": f"{row['sizes'][-1]:,}",
                "exponent": row["exponent"],
                "bar": row["bar"],
            }
            for row in found["growth"]
        ]
        lines += [
            "Exponents of LogME's time in samples, features and classes.",
            "",
            *markdown(columns(table), table),
            "![LogME's time by size](benchmarks_growth.png)",
            "",
        ]
    if "classes" in found:
        rows = found["classes"]
        lines += [f"Metrics at {rows[0]['shape']} (N x D x C), in times LogME:", ""]
        table = [
            {"metric": r["metric"], "s": r["seconds"], "by LogME": r.get("of_logme")} for r in rows
        ]
        lines += markdown(columns(table), table)
    return lines


def write_rank(rows: list[Row]) -> list[str]:
    table = [
        {
            "models": row["models"],
            "threads": row["threads"],
            "rank, s": row["rank_seconds"],
            "processes, s": row["processes_seconds"],
            "rank, MB": row["rank_extra_mb"],
            "processes, MB": row["processes_extra_mb"],
            "throughput": row["throughput"],
            "bar": row["bar"],
        }
        for row in rows
    ]
    return [
        "## Many models",
        "",
        "`rank` over files of 5,000 x 768 float32 features, compared with as many independent",
        "processes of one thread as `rank` has threads. Throughput is that of `rank` in times",
        "theirs.",
        "",
        *markdown(columns(table), table),
    ]


def write_latency(rows: list[Row]) -> list[str]:
    sides = {"ours": "ours", "product": "product", "thuml": "thuml/LogME"}
    table = [
        {
            "N x D x C": row["shape"],
            "metrics": "all of the core" if row["metrics"] == "Stats" else row["metrics"],
            **{
                f"{side}, {text}": row.get(f"{name}_{key}")
                for name, side in sides.items()
                for key, text in (("us", "median"), ("p99", "99 %"), ("p99.9", "99.9 %"))
            },
        }
        for row in rows
    ]
    return [
        "## Latency",
        "",
        "Warm calls of `Engine.score` on one thread, in µs, compared with a bare NumPy product of",
        "about the same duration and with thuml/LogME: medians, and 99th and 99.9th percentiles",
        "of 10,000 calls. All of the core are the classification metrics that it computes from",
        "statistics alone.",
        "",
        *markdown(columns(table), table),
    ]


def plot_ratios(rows: list[Row], path: Path) -> None:
    """Plot how many times as long each peer takes, by shape, and our share of the BLAS peak."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    ratios = [
        {name: taken / row["ours_s"] for name, taken in seconds_of(row).items() if name != "ours"}
        for row in rows
    ]
    sides = list(dict.fromkeys(name for ratio in ratios for name in ratio))
    figure, (axes, shares) = plt.subplots(
        1, 2, figsize=(10, 4), layout="constrained", sharey=True, width_ratios=[3, 1]
    )
    height = 0.8 / len(sides)
    for i, side in enumerate(sides):
        places = [k + (i - (len(sides) - 1) / 2) * height for k in range(len(rows))]
        lengths = [ratio.get(side, float("nan")) for ratio in ratios]
        color = "0.75" if side == "limit" else f"C{i}"
        axes.barh(places, lengths, height, label=side, color=color)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("times the seconds of transferability")
    axes.set_yticks(range(len(rows)), [row["shape"].replace("x", " x ") for row in rows])
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8)
    shares.barh(range(len(rows)), [100 * row["of_peak"] for row in rows], 0.4, color="C0")
    shares.set_xlabel("% of the BLAS peak")
    for panel in (axes, shares):
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def plot_growth(rows: list[Row], path: Path) -> None:
    """Plot seconds by samples, features and classes, with the fitted exponent."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = {"N": "samples", "D": "features", "C": "classes"}
    figure, panels = plt.subplots(1, len(rows), figsize=(9, 3), layout="constrained")
    for axes, row in zip(panels, rows, strict=True):
        axes.loglog(row["sizes"], row["seconds"], "o-")
        axes.set_xticks(row["sizes"], [f"{size:,}" for size in row["sizes"]])
        ends = min(row["seconds"]), max(row["seconds"])
        axes.set_yticks(ends, [shorten(taken) for taken in ends])
        axes.minorticks_off()
        axes.set_xlabel(names[row["size"]])
        axes.set_title(f"exponent {row['exponent']:.2f}", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("seconds")
    figure.savefig(path, dpi=120, metadata={"Software": None})
    plt.close(figure)


def missed(found: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each bar that was not met."""
    for row in found.get("logme", []):
        for name, bar, least in (
            ("ratio", "bar", True),
            ("single_ratio", "single_bar", True),
            ("of_limit", "limit_bar", False),
        ):
            if row.get(name) is None or row.get(bar) is None:
                continue
            if (row[name] < row[bar]) if least else (row[name] > row[bar]):
                yield f"{row['shape']}: {name} {row[name]:.3g}, bar {row[bar]:.3g}"
    for row in found.get("metrics", []):
        if row.get("ratio") is not None and row["ratio"] < row["times_bar"]:
            yield f"{row['shape']}, four: {row['ratio']:.3g}, bar {row['times_bar']:.3g}"
    for row in found.get("rank", []):
        if row["throughput"] < row["bar"]:
            yield f"{row['models']} models: {row['throughput']:.3g}, bar {row['bar']:.3g}"
    for row in found.get("latency", []):
        if not row["met"]:
            yield f"{row['shape']}, {row['metrics']}: p99 is {row['p99/median']:.3g} medians"
    rows = found.get("metrics", []) + [r for part in found.get("growth", {}).values() for r in part]
    for row in rows:
        value = row.get("of_logme", row.get("exponent"))
        if value is not None and row.get("bar") is not None and value > row["bar"]:
            what = row.get("metric", row.get("size", "all metrics"))
            yield f"{row.get('shape', 'growth')}, {what}: {value:.3g}, bar {row['bar']:.3g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=f"default: all of {', '.join(PARTS)}")
    parser.add_argument("--from", dest="earlier", type=Path, help="results of an earlier run")
    parser.add_argument("--results", type=Path, help="write the results here")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    options = parser.parse_args()
    if options.earlier:
        found = json.loads(options.earlier.read_text(encoding="utf-8"))
    else:
        found = run(options.parts or list(PARTS), options.results)
    write_page(found, options.docs)
    print((options.docs / "benchmarks.md").read_text(encoding="utf-8"))
    for line in missed(found):
        print(f"missed: {line}")


if __name__ == "__main__":
    main()
