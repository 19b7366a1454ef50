"""Run walks of the command line in a terminal, and keep what they print as reviewed snapshots.

A walk is ``walks/NAME.sh``, one command a line. Each runs in a pseudo-terminal of 80 and of 120
columns, in a folder with the files of ``walks/files.py``. What stands on the screen, with the exit
codes other than 0, is ``snapshots/NAME.COLUMNS.txt``. Times are written as 0.000.

    python tests/first_hour/terminal.py            # compare
    python tests/first_hour/terminal.py --update   # write the snapshots anew, for review
"""

from __future__ import annotations

import argparse
import difflib
import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
WIDTHS = (80, 120)
_SECONDS = 60  # that a command may take
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def list_walks() -> list[str]:
    """List the names of the walks."""
    return sorted(path.stem for path in (HERE / "walks").glob("*.sh"))


def snapshot(name: str, width: int) -> Path:
    """Return the file of a snapshot."""
    return HERE / "snapshots" / f"{name}.{width}.txt"


def run_walk(name: str, width: int) -> str:
    """Run the commands of a walk in a folder of their own; return what stands on the screen."""
    with tempfile.TemporaryDirectory(prefix="first-hour-") as folder:
        make_files(Path(folder))
        text = (HERE / "walks" / f"{name}.sh").read_text("utf-8")
        shown = [
            part
            for line in text.splitlines()
            for part in ([line] if line.startswith("#") else run_command(line, width, folder))
        ]
    return "\n".join(hide_times(shown)) + "\n"


def hide_times(lines: list[str]) -> Iterator[str]:
    """Iterate over the lines, with 0.000 in the column of seconds of a ranking's table.

    Numbers in full precision keep ten decimals, because processors round the last ones differently.
    """
    end = -1
    for line in lines:
        line = re.sub(r"(\d\.\d{10})\d+", r"\1…", line)
        found = re.match(r"rank .*\bseconds\b", line)
        end = found.end() if found else end if line.strip() else -1
        if end > 0 and re.fullmatch(r"\d+\.\d{3}", line[:end].split(" ")[-1]):
            line = f"{line[: end - 7]}  0.000{line[end:]}"
        yield line


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


def compare(name: str, width: int) -> str:
    """Return the differences between a walk and its snapshot; empty if there are none."""
    path = snapshot(name, width)
    known = path.read_text("utf-8") if path.exists() else ""
    both = (known.splitlines(), run_walk(name, width).splitlines())
    return "\n".join(difflib.unified_diff(*both, str(path), "now", lineterm=""))


def main() -> int:
    """Compare or write the snapshots of all walks, or of those that are named."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="walks; by default all")
    parser.add_argument("--update", action="store_true", help="write the snapshots anew")
    given = parser.parse_args()
    if shutil.which("timeout") is None:
        parser.error("there is no command 'timeout'")
    differences = []
    for name in given.names or list_walks():
        for width in WIDTHS:
            if given.update:
                snapshot(name, width).write_text(run_walk(name, width), "utf-8")
            elif difference := compare(name, width):
                differences.append(difference)
    print("\n".join(differences))
    return bool(differences)


if __name__ == "__main__":
    sys.exit(main())
