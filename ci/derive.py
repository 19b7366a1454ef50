"""Generate ``metrics/__init__.py`` and the README's table of metrics.

The sources are the modules in ``python/transferability/metrics`` and the native table of metrics.
``make derive`` writes both files; with ``--check`` nothing is written, and the exit code is 1 if
one of them is out of date.

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
START, END = "<!-- metrics: derived by make derive -->", "<!-- end of metrics -->"

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


def derived() -> Iterator[tuple[Path, str]]:
    """Iterate over the generated files, with their text."""
    yield MODULES / "__init__.py", module_list(sorted(p.stem for p in MODULES.glob("[a-z]*.py")))
    # The registry reads the list above, which the caller has written by now.
    from transferability._metric.registry import metric_specs

    built_in = {name: spec for name, spec in metric_specs().items() if not spec.origin}
    between = f"{START}\n{table(built_in)}\n{END}"
    text, n_tables = re.subn(
        f"{START}.*?{END}", lambda _: between, README.read_text("utf-8"), flags=re.DOTALL
    )
    if n_tables != 1:
        sys.exit(f"README.md must have one line {START}, and one {END} after it")
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
