"""Check wheels and an sdist as their users meet them.

A wheel: what it holds, which symbols and libraries it asks the machine for, and whether it works
on every CPython found here that it is for, with OpenBLAS and libgfortran hidden. The sdist: whether
pip builds it and the result works, with --every on every CPython. Prints one line for each part and
stops at the first failure.

Usage: python ci/check_wheel.py [--every] dist/NAME.whl ... dist/NAME.tar.gz
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

SMOKE = Path(__file__).with_name("smoke.py")

# Symbols with a version are the C library's or libgcc's; without one only Python's may be missing.
ALLOWED_SYMBOL = re.compile(r"_?Py\w+$|\w+@+(GLIBC|GCC)_[\w.]+$")
ALLOWED_LIBRARY = re.compile(
    r"(libc|libm|libgcc_s|libpthread|libdl|librt|libutil|ld-linux[\w-]*)\.so"
)
EXPECTED = (
    "transferability/_core.pyi",
    "transferability/py.typed",
    "transferability/report/page.css",
    "licenses/LICENSE-MIT",
    "licenses/LICENSE-APACHE",
    "licenses/LICENSES/OpenBLAS.txt",
    "licenses/LICENSES/LAPACK.txt",
    "licenses/LICENSES/GPL-3.0.txt",
    "licenses/LICENSES/GCC-exception-3.1.txt",
    "licenses/LICENSES/Rust-crates.txt",
    "sboms/transferability-python.cyclonedx.json",
)
#: Wheels by their tag: the native module, and the interpreters as :func:`pythons` names them.
KINDS = {
    "-cp310-abi3-manylinux": (r"_core\.abi3\.so$", r"3\.\d+$"),
    "-cp314-cp314t-manylinux": (r"_core\.cpython-314t-[\w-]+\.so$", r"3\.14t$"),
}

# Hides the shared libraries a development machine has and a user's machine has not.
HIDE = r"""
shopt -s nullglob
for path in /usr/lib*/libopenblas* /usr/lib*/*/libopenblas* /usr/lib*/*/openblas* \
            /usr/lib*/libgfortran* /usr/lib*/*/libgfortran* /usr/lib*/*/libquadmath*; do
    path=$(readlink -f "$path")
    if [ -d "$path" ]; then mount -t tmpfs none "$path"; else mount --bind /dev/null "$path"; fi
done
exec "$@"
"""


def output(*command: str | Path) -> str:
    """Run a command and return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def kind_of(wheel: Path) -> tuple[str, str]:
    """Return the entry of KINDS for a wheel."""
    for tag, kind in KINDS.items():
        if tag in wheel.name:
            return kind
    sys.exit(f"{wheel.name} is no wheel for {' or '.join(KINDS)}")


def check_wheel(wheel: Path, folder: Path) -> None:
    """Look at the files, the tag, and the native module's symbols and libraries."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        archive.extractall(folder)
    for suffix in EXPECTED:
        if not any(name.endswith(suffix) for name in names):
            sys.exit(f"{wheel.name} lacks {suffix}")
    libraries = [name for name in names if re.search(r"\.so[.\d]*$", name)]
    if len(libraries) != 1 or not re.search(kind_of(wheel)[0], libraries[0]):
        sys.exit(f"{wheel.name} holds the libraries {libraries}")

    module = folder / libraries[0]
    if b"quadmath" in module.read_bytes():
        sys.exit(f"{module.name} holds parts of libquadmath, whose licence is not in the wheel")
    # A shared library links with undefined symbols and fails when it is loaded. Weak ones may be
    # missing: they are newer services of the C library, asked for at run time.
    exported = []
    for line in output("readelf", "--wide", "--dyn-syms", module).splitlines():
        symbol = re.match(r"\s*\d+: \S+ +\S+ +\S+ +(\w+) +\w+ +(\w+) (\S+)", line)
        if symbol is None:
            continue
        binding, section, name = symbol.groups()
        if section != "UND":
            exported.append(name)
        elif binding == "GLOBAL" and not ALLOWED_SYMBOL.match(name):
            sys.exit(f"{module.name} needs {name} from elsewhere")
    if exported != ["PyInit__core"]:
        sys.exit(f"{module.name} exports {exported}: it may clash with another library's BLAS")
    needed = re.findall(r"NEEDED.*\[(.*)\]", output("readelf", "-d", module))
    if foreign := [name for name in needed if not ALLOWED_LIBRARY.match(name)]:
        sys.exit(f"{module.name} needs {foreign}")
    size = wheel.stat().st_size / 1e6
    print(f"wheel: {wheel.name}, {size:.1f} MB, no foreign symbols, needs {', '.join(needed)}")


def check_sdist(sdist: Path) -> None:
    """Look for what does not belong: a loose pattern packs a whole virtual environment."""
    with tarfile.open(sdist) as archive:
        names = archive.getnames()
    loose = re.compile(r"/\.(?!cargo/config\.toml$)|/target/|site-packages|\.so$")
    if strays := [name for name in names if loose.search(name)]:
        sys.exit(f"{sdist.name} holds {strays[:3]}")
    for suffix in (
        "/Cargo.lock",
        "/.cargo/config.toml",
        "/build.rs",
        "/LICENSES/OpenBLAS.txt",
        "/README.md",
    ):
        if not any(name.endswith(suffix) for name in names):
            sys.exit(f"{sdist.name} lacks {suffix}")


def pythons() -> Iterator[tuple[str, Path]]:
    """One interpreter for each CPython >= 3.10 on this machine, the running one first.

    Its name is the version, "3.14t" if it is free-threaded.
    """
    candidates = [Path(sys.executable)]
    for minor in range(10, 20):
        for name in (f"python3.{minor}", f"python3.{minor}t"):
            if found := shutil.which(name):
                candidates.append(Path(found))
        for root in (os.environ.get("PYENV_ROOT"), Path.home() / ".pyenv"):
            if root:
                candidates += sorted(Path(root, "versions").glob(f"3.{minor}.*/bin/python"))
    probe = (
        "import sys, sysconfig, venv; free = sysconfig.get_config_var('Py_GIL_DISABLED');"
        "t = free and 't' or ''; print(sys.implementation.name, '%d.%d' % sys.version_info[:2] + t)"
    )
    seen = set()
    for path in candidates:
        try:
            name, version = output(path, "-c", probe).split()
        except (OSError, subprocess.CalledProcessError):
            continue  # a version manager's shim of a version that is not active
        if (
            name == "cpython"
            and int(version.rstrip("t").split(".")[1]) >= 10
            and version not in seen
        ):
            seen.add(version)
            yield version, path


def hiding() -> list[str]:
    """Return a command prefix that hides OpenBLAS, or nothing where that is not allowed."""
    prefix = ["unshare", "--map-root-user", "--mount", "bash", "-eu", "-c", HIDE, "hide"]
    try:
        allowed = subprocess.run([*prefix, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        allowed = False
    return prefix if allowed else []


def install_and_use(python: Path, artefact: Path, prefix: list[str]) -> None:
    """Install into a throw-away environment and run smoke.py there."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([python, "-m", "venv", "--without-pip", folder], check=True)
        inside = Path(folder, "bin", "python")
        pip = [sys.executable, "-m", "pip", "--python", str(inside), "install", "--quiet"]
        # The sdist's dependencies are compiled already: they are the checkout's.
        env = {"CARGO_TARGET_DIR": str(Path("target").resolve())} | os.environ
        subprocess.run([*pip, str(artefact)], check=True, env=env)
        used = subprocess.run([*prefix, inside, SMOKE.resolve()], cwd=folder)
        if used.returncode:
            sys.exit(f"{artefact.name}: {SMOKE.name} failed under {python}")


def main() -> None:
    """Run every check on the files named on the command line."""
    artefacts = [Path(argument) for argument in sys.argv[1:] if argument != "--every"]
    prefix = hiding()
    hidden = "with OpenBLAS hidden" if prefix else "(OpenBLAS not hidden: no mount namespaces here)"
    for wheel in (path for path in artefacts if path.suffix == ".whl"):
        with tempfile.TemporaryDirectory() as folder:
            check_wheel(wheel, Path(folder))
        used = []
        is_for_here = f"_{platform.machine()}.whl" in wheel.name
        for version, python in pythons():
            if is_for_here and re.match(kind_of(wheel)[1], version):
                install_and_use(python, wheel, prefix)
                used.append(version)
        if used:
            print(f"wheel: installed and used on CPython {', '.join(used)} {hidden}")
        else:
            print(f"wheel: not used, since no interpreter for {wheel.name} is here")
    for sdist in (path for path in artefacts if path.suffix == ".gz"):
        check_sdist(sdist)
        found = [*pythons()] if "--every" in sys.argv else [next(pythons())]
        for _, python in found:
            install_and_use(python, sdist, prefix)
        size, built = sdist.stat().st_size / 1e6, ", ".join(version for version, _ in found)
        print(
            f"sdist: {sdist.name}, {size:.1f} MB, built by pip and used on CPython {built} {hidden}"
        )


if __name__ == "__main__":
    main()
