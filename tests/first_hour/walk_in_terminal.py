"""Walk in a terminal: run commands in a pseudo-terminal, and read what stands on its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
_SECONDS = 60  # that a command may take
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def run_walk(walk: Path, width: int, place: Path) -> str:
    """Run the commands of a walk in a folder; return what stands on the screen.

    Numbers in full precision keep ten decimals, because processors round the last ones differently.
    """
    make_files(place)
    shown = [
        part
        for line in walk.read_text("utf-8").splitlines()
        for part in ([line] if line.startswith("#") else run_command(line, width, str(place)))
    ]
    return re.sub(r"(\d\.\d{10})\d+", r"\1…", "\n".join(shown))


def make_files(folder: Path) -> None:
    """Write the files of the walks, and the command ``transferability`` of this interpreter."""
    subprocess.run([sys.executable, HERE / "walks" / "files.py"], cwd=folder, check=True)
    command = folder / ".bin" / "transferability"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m transferability "$@"\n')
    command.chmod(0o755)


def run_command(line: str, width: int, folder: str) -> Iterator[str]:
    """Run one command, and iterate over the lines on the screen; an empty one separates parts."""
    if not line.strip():
        yield ""
        return
    yield f"$ {line}"
    code, raw = run_in_terminal(line, width, folder)
    yield from draw_screen(raw, width)
    if code:
        yield f"[exit code {code}]"


def run_in_terminal(line: str, width: int, folder: str) -> tuple[int, str]:
    """Run a command in a pseudo-terminal; return its exit code and all that it wrote."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    own = {"PATH": f"{folder}/.bin:{os.environ['PATH']}", "HOME": folder, "TERM": "xterm"}
    own |= {"TRANSFERABILITY_CACHE": f"{folder}/.cache", "OMP_NUM_THREADS": "1"}
    inherited = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        ["timeout", str(_SECONDS), "sh", "-c", line],
        cwd=folder,
        env={**inherited, **own},
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    written = b""
    try:
        while block := os.read(master, 65536):
            written += block
    except OSError:  # Linux says so at the end
        pass
    os.close(master)
    return process.wait(), written.decode()


def draw_screen(raw: str, width: int) -> Iterator[str]:
    """Iterate over the lines that stand on a screen of this width in the end, without colours."""
    for line in _ESCAPES.sub("", raw).replace("\r\n", "\n").removesuffix("\n").split("\n"):
        cells: list[str] = []
        for part in line.split("\r"):  # progress is written over
            cells[: len(part)] = part
        text = "".join(cells).rstrip()
        yield from [text[i : i + width] for i in range(0, len(text), width)] or [""]
