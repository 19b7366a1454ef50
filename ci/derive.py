"""Generate ``metrics/__init__.py`` and the README's tables of metrics and of speed.

The sources are the modules in ``python/transferability/metrics``, the native table of metrics, and
docs/benchmarks.md, which ``make bench`` writes. ``make derive`` writes both files; with ``--check``
nothing is written, and the exit code is 1 if one of them is out of date.

Usage: python ci/derive.py [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transferability._metric.spec import MetricSpec

ROOT = Path(__file__).resolve().parents[1]
MODULES = ROOT / "python/transferability/metrics"
README = ROOT / "README.md"
BENCHMARKS = ROOT / "docs/benchmarks.md"

#: Shapes of the README's table of speed: the smallest call, and two of common size.
SHAPES = ("64x16x2", "10000x768x100", "50000x1024x10")

#: Labels of the table's rows by the needs of metrics, from the least to the most; diagnostics last.
SOURCES = {
    frozenset({"stats"}): "one pass (`Stats`)",
    frozenset({"stats", "class_scatters"}): "one pass that keeps every class",
    frozenset({"stats", "samples"}): "one pass, and the samples once more",
    frozenset({"samples"}): "the samples",
    frozenset({"source"}): "the source model's own head",
    frozenset({"diagnostic"}): 'one pass; diagnostics, not in "all"',
}


def module_list(names: list[str]) -> str:
    """Return the text of ``metrics/__init__.py``."""
    imports = "\n".join(f"from .{name} import {name}" for name in names)
    listed = "\n".join(f'    "{name}",' for name in names)
    return f'''"""The metrics: one module each, with the function of the same name.

Written by ``make derive``. A new module is a new metric.
"""

from __future__ import annotations

from .._util.public import present
{imports}

__all__ = [
{listed}
]

present(globals())
'''


def table(specs: Mapping[str, MetricSpec]) -> str:
    """Return the README's table of metrics: one row for each entry of `SOURCES`."""
    rows: dict[str, dict[str, list[str]]] = {label: {} for label in SOURCES.values()}
    for name, spec in specs.items():
        needs = {"source" if need.startswith("source_") else need for need in spec.needs}
        beside = "through scikit-learn " if spec.requires == "sklearn" else ""
        if "label_embeddings" in needs:
            beside = "with label embeddings "
        if spec.diagnostic:
            needs = {"diagnostic"}
        label = SOURCES[frozenset(needs - {"label_embeddings"})]
        rows[label].setdefault(beside, []).append(f"`{name}`")
    lines = ["| from | metrics |", "|---|---|"]
    for label, parts in rows.items():
        cells = [beside + ", ".join(names) for beside, names in sorted(parts.items())]
        lines.append(f"| {label} | {'; '.join(cells)} |")
    return "\n".join(lines)


def speed(benchmarks: str) -> str:
    """Return the README's table of LogME's times: rows of the first table of the benchmarks."""
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in benchmarks.partition("## LogME")[2].partition("\n## ")[0].splitlines()
        if line.startswith("|")
    ]
    header, times = rows[0], {row[0]: row for row in rows[2:]}
    columns = [i for i, cell in enumerate(header) if cell.endswith(", ms")]
    names = [header[i].removesuffix(", ms").replace("ours", "transferability") for i in columns]
    lines = [
        f"| rows x features x classes | {' | '.join(names)} |",
        "|---|" + "--:|" * len(columns),
    ]
    for shape in SHAPES:
        label = " x ".join(f"{int(size):,}" for size in shape.split("x"))
        lines.append(f"| {label} | {' | '.join(times[shape][i] for i in columns)} |")
    return "\n".join(lines)


def replace_table(text: str, name: str, table: str) -> str:
    """Return a text with the table between the comments of that name replaced."""
    start, end = f"<!-- {name}: derived by make derive -->", f"<!-- end of {name} -->"
    between = f"{start}\n{table}\n{end}"
    text, n_tables = re.subn(f"{start}.*?{end}", lambda _: between, text, flags=re.DOTALL)
    if n_tables != 1:
        sys.exit(f"README.md must have one line {start}, and one {end} after it")
    return text


def derived() -> Iterator[tuple[Path, str]]:
    """Iterate over the generated files, with their text."""
    yield MODULES / "__init__.py", module_list(sorted(p.stem for p in MODULES.glob("[a-z]*.py")))
    # The registry reads the list above, which the caller has written by now.
    from transferability._metric.registry import metric_specs

    built_in = {name: spec for name, spec in metric_specs().items() if not spec.origin}
    text = replace_table(README.read_text("utf-8"), "metrics", table(built_in))
    text = replace_table(text, "speed", speed(BENCHMARKS.read_text("utf-8")))
    yield README, text


def main() -> None:
    """Write the files that are out of date, or with ``--check`` only name them."""
    only_check, stale = "--check" in sys.argv, False
    for path, text in derived():
        if path.read_text("utf-8") != text:
            stale = True
            print(path.relative_to(ROOT))
            if not only_check:
                path.write_text(text, "utf-8")
    if stale and only_check:
        sys.exit("out of date: run make derive")


if __name__ == "__main__":
    main()
