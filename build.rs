//! Links OpenBLAS: the static pthread flavour where it is installed, else what pkg-config finds.
//!
//! Why static, why pthread, why pinned to one thread: ARCHITECTURE.md, "How BLAS is linked".
//!
//! Found in this order:
//! 1. `TRANSFERABILITY_OPENBLAS_DIR`, a folder that holds a thread-safe static `libopenblas.a`, or
//!    the shared library of the Python package scipy-openblas32 (macOS, Windows, musl);
//! 2. Debian's and Ubuntu's `openblas-pthread` folders, for Linux with glibc;
//! 3. pkg-config's `openblas`, dynamically, with a warning;
//!
//! otherwise the build stops with the command that installs it. All is looked for by the target, not
//! by the machine that builds. The folder of 1. may hold `libgfortran.a` and `libgcc.a`, too.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TRANSFERABILITY_OPENBLAS_DIR");
    println!("cargo:rustc-check-cfg=cfg(openblas_static)");
    println!("cargo:rustc-check-cfg=cfg(openblas_of_scipy)");
    if std::env::var_os("DOCS_RS").is_some() {
        return; // documentation needs no library
    }
    if let Some(dir) = given_folder()
        && SCIPY.iter().any(|name| dir.join(name).exists())
    {
        println!("cargo:rustc-cfg=openblas_of_scipy");
        println!("cargo:rustc-link-search=native={}", dir.display());
        let prefix = if is("OS", "windows") { "lib" } else { "" }; // others prepend it themselves
        println!("cargo:rustc-link-lib=dylib={prefix}scipy_openblas");
        return;
    }
    if let (Some(blas), Some(gfortran)) = (static_openblas(), static_gfortran()) {
        println!("cargo:rustc-cfg=openblas_static");
        println!("cargo:rustc-link-search=native={}", blas.display());
        println!("cargo:rustc-link-lib=static:-bundle=openblas");
        println!("cargo:rustc-link-search=native={}", gfortran.display());
        println!("cargo:rustc-link-lib=static:-bundle=gfortran");
        if is("ARCH", "aarch64") {
            link_atomics(&gfortran);
        }
        // Not libquadmath (LGPL): the few routines LAPACK takes from libgfortran do not reach it.
        println!("cargo:rustc-link-lib=dylib=m");
        return;
    }
    match pkg_config::Config::new().probe("openblas") {
        Ok(library) => println!(
            "cargo:warning=linking the system's OpenBLAS {} dynamically; it must be a thread-safe \
             (pthread or OpenMP) build. For the static build: {}",
            library.version,
            install_command()
        ),
        Err(_) => stop(&format!(
            "OpenBLAS was not found. Install it with:\n\n    {}\n\nor set \
             TRANSFERABILITY_OPENBLAS_DIR to a folder with a thread-safe libopenblas.a",
            install_command()
        )),
    }
}

/// The shared libraries of scipy-openblas32, whose symbols begin with `scipy_`.
const SCIPY: [&str; 3] =
    ["libscipy_openblas.so", "libscipy_openblas.dylib", "libscipy_openblas.lib"];

/// Whether a property of the target, as cargo names it, has this value.
fn is(property: &str, value: &str) -> bool {
    std::env::var(format!("CARGO_CFG_TARGET_{property}")).is_ok_and(|found| found == value)
}

/// The folder that the user names.
fn given_folder() -> Option<PathBuf> {
    let dir = std::env::var_os("TRANSFERABILITY_OPENBLAS_DIR").map(PathBuf::from)?;
    if !dir.join("libopenblas.a").exists() && !SCIPY.iter().any(|name| dir.join(name).exists()) {
        let names = SCIPY.join(", ");
        stop(&format!(
            "TRANSFERABILITY_OPENBLAS_DIR={} holds no libopenblas.a, {names}",
            dir.display()
        ));
    }
    Some(dir)
}

/// The folder of a thread-safe static OpenBLAS. Debian's *serial* flavour is never taken: its
/// LAPACK races under several callers and returns wrong numbers.
fn static_openblas() -> Option<PathBuf> {
    if let Some(dir) = given_folder() {
        return Some(dir);
    }
    if !is("OS", "linux") || !is("ENV", "gnu") {
        return None; // archives for glibc
    }
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").ok()?;
    let dir = PathBuf::from(format!("/usr/lib/{arch}-linux-gnu/openblas-pthread"));
    dir.join("libopenblas.a").exists().then_some(dir)
}

/// The folder of libgfortran.a, which OpenBLAS's LAPACK needs. Without it a shared library still
/// links, and fails when it is loaded.
fn static_gfortran() -> Option<PathBuf> {
    if let Some(dir) = given_folder()
        && dir.join("libgfortran.a").exists()
    {
        return Some(dir);
    }
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").ok()?;
    let cross = format!("{arch}-linux-gnu-gcc");
    let is_native = std::env::var_os("HOST") == std::env::var_os("TARGET");
    let compilers: &[&str] = if is_native { &["gcc", "gfortran", "cc"] } else { &[&cross] };
    let from_compiler = compilers.iter().find_map(|compiler| {
        let output = Command::new(compiler).arg("-print-file-name=libgfortran.a").output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        (path.is_absolute() && path.exists()).then(|| path.parent().map(Path::to_path_buf))?
    });
    let roots = ["gcc", "gcc-cross"].map(|name| format!("/usr/lib/{name}/{arch}-linux-gnu"));
    from_compiler.or_else(|| {
        let folders = roots.iter().filter_map(|root| Path::new(root).read_dir().ok()).flatten();
        let mut versions: Vec<PathBuf> = folders.filter_map(|e| e.ok().map(|e| e.path())).collect();
        versions.sort();
        versions.into_iter().rev().find(|dir| dir.join("libgfortran.a").exists())
    })
}

/// Links gcc's runtime library, which has the atomic operations that OpenBLAS calls on aarch64. Zig's
/// has only some of them, and takes the name `gcc` for its own library.
fn link_atomics(folder: &Path) {
    let Some(out) = std::env::var_os("OUT_DIR").map(PathBuf::from) else { return };
    if std::fs::copy(folder.join("libgcc.a"), out.join("libgcc_runtime.a")).is_ok() {
        println!("cargo:rustc-link-search=native={}", out.display());
        println!("cargo:rustc-link-lib=static:-bundle=gcc_runtime");
    }
}

/// libgfortran.a comes with the compiler's own version: gcc does not find another one's.
fn install_command() -> String {
    let version = Command::new("gcc").arg("-dumpversion").output().ok();
    let version = version.and_then(|output| String::from_utf8(output.stdout).ok());
    let major = version.as_deref().and_then(|v| v.trim().split('.').next()).unwrap_or("12");
    format!("sudo apt-get install -y libopenblas-pthread-dev libgfortran-{major}-dev")
}

fn stop(message: &str) -> ! {
    eprintln!("\ntransferability: {message}\n");
    std::process::exit(1)
}
