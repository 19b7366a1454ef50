"""Draw docs/readme.png: a session in a terminal, and beside it the plot of the same ranking.

The text is what the command prints, run here, and the plot is `tx.plot.ranking`. The file keeps the
text (in the chunk "Description"), so that a test can tell whether the picture is still true.

Usage: python ci/draw_readme.py
"""

from __future__ import annotations

import io
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np

import transferability as tx

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "examples" / "data"
FILE = ROOT / "docs" / "readme.png"
COMMAND = "transferability rank deb_impl.npz --labels deb_impl.npz --shortlist"
WIDTH = 62  #: columns of the terminal

# Light, with a border of its own: pages show it on white and on black.
CARD, BORDER, TERMINAL, TEXT, PROMPT = "#f6f8fa", "#d0d7de", "#1b1f24", "#e6edf3", "#7ee787"


def transcript() -> str:
    """Return the command and what it prints, as a terminal of WIDTH columns shows it."""
    command = [sys.executable, "-m", *COMMAND.split()]
    done = subprocess.run(
        command, cwd=DATA, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    lines = [f"$ {COMMAND}", *done.stdout.rstrip("\n").splitlines()]
    # A line of a table is shorter, so that its spaces are kept.
    return "\n".join(line if len(line) <= WIDTH else textwrap.fill(line, WIDTH) for line in lines)


def draw() -> bytes:
    """Return the picture as a PNG file."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import FancyBboxPatch
    from PIL import Image, PngImagePlugin

    text = transcript()
    with np.load(DATA / "deb_impl.npz") as data:
        models = {name: data[name] for name in data.files if not name.startswith("labels")}
        ranking = tx.rank(models, data["labels"])

    figure = pyplot.figure(figsize=(12.0, 5.45), facecolor="white")
    width, height = figure.get_size_inches()

    def box(left: float, bottom: float, right: float, top: float, colour: str, edge: str) -> None:
        """Draw a box with round corners, in inches."""
        patch = FancyBboxPatch(
            (left, bottom),
            right - left,
            top - bottom,
            boxstyle="round,pad=0,rounding_size=0.12",
            facecolor=colour,
            edgecolor=edge,
            transform=figure.dpi_scale_trans,
            zorder=-1,  # below the Axes
        )
        figure.add_artist(patch)

    figure.patch.set_alpha(0)
    box(0.03, 0.03, width - 0.03, height - 0.03, CARD, BORDER)
    box(0.2, 0.2, 5.4, height - 0.2, TERMINAL, TERMINAL)
    for i, line in enumerate(text.splitlines()):
        colour = PROMPT if i == 0 or (i == 1 and not line.startswith("deb_impl.npz:")) else TEXT
        figure.text(
            0.38 / width,
            (height - 0.42 - 0.212 * i) / height,
            line,
            family="DejaVu Sans Mono",
            size=8.9,
            color=colour,
            va="top",
        )
    axes = figure.add_axes((6.8 / width, 0.62 / height, 3.7 / width, (height - 1.1) / height))
    tx.plot.ranking(ranking, ranking.stability(), ax=axes)
    axes.set_title("22 text encoders, 800 rows", size=10)
    axes.set_facecolor("white")
    axes.tick_params(labelsize=8.5)

    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=160, transparent=False, facecolor=(1, 1, 1, 0))
    pyplot.close(figure)
    picture = Image.open(drawn).quantize(128, method=Image.Quantize.FASTOCTREE)
    about = PngImagePlugin.PngInfo()
    about.add_itxt("Description", text)
    file = io.BytesIO()
    picture.save(file, "png", optimize=True, pnginfo=about)
    return file.getvalue()


if __name__ == "__main__":
    FILE.write_bytes(draw())
    print(f"{FILE.relative_to(ROOT)}: {FILE.stat().st_size / 1e3:.0f} kB")
