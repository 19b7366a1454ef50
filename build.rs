//! Links OpenBLAS: the static pthread flavour where it is installed, else what pkg-config finds.
//!
//! Why static, why pthread, why pinned to one thread: ARCHITECTURE.md, "How BLAS is linked".
//!
//! Found in this order:
//! 1. `TRANSFERABILITY_OPENBLAS_DIR`, a folder that holds a thread-safe static `libopenblas.a`;
//! 2. Debian's and Ubuntu's `openblas-pthread` folders;
//! 3. pkg-config's `openblas`, dynamically, with a warning;
//!
//! otherwise the build stops with the command that installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TRANSFERABILITY_OPENBLAS_DIR");
    println!("cargo:rustc-check-cfg=cfg(openblas_static)");
    if std::env::var_os("DOCS_RS").is_some() {
        return; // documentation needs no library
    }
    if let (Some(blas), Some(gfortran)) = (static_openblas(), static_gfortran()) {
        println!("cargo:rustc-cfg=openblas_static");
        println!("cargo:rustc-link-search=native={}", blas.display());
        println!("cargo:rustc-link-lib=static:-bundle=openblas");
        println!("cargo:rustc-link-search=native={}", gfortran.display());
        println!("cargo:rustc-link-lib=static:-bundle=gfortran");
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

/// The folder of a thread-safe static OpenBLAS. Debian's *serial* flavour is never taken: its
/// LAPACK races under several callers and returns wrong numbers.
fn static_openblas() -> Option<PathBuf> {
    if let Some(dir) = std::env::var_os("TRANSFERABILITY_OPENBLAS_DIR").map(PathBuf::from) {
        if !dir.join("libopenblas.a").exists() {
            stop(&format!("TRANSFERABILITY_OPENBLAS_DIR={} holds no libopenblas.a", dir.display()));
        }
        return Some(dir);
    }
    let arch = std::env::var("CARGO_CFG_TARGET_ARCH").ok()?;
    let dir = PathBuf::from(format!("/usr/lib/{arch}-linux-gnu/openblas-pthread"));
    dir.join("libopenblas.a").exists().then_some(dir)
}

/// The folder of libgfortran.a, which OpenBLAS's LAPACK needs. Without it a shared library still
/// links, and fails when it is loaded.
fn static_gfortran() -> Option<PathBuf> {
    let from_gcc = ["gcc", "cc"].iter().find_map(|compiler| {
        let output = Command::new(compiler).arg("-print-file-name=libgfortran.a").output().ok()?;
        let path = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        (path.is_absolute() && path.exists()).then(|| path.parent().map(Path::to_path_buf))?
    });
    from_gcc.or_else(|| {
        let arch = std::env::var("CARGO_CFG_TARGET_ARCH").ok()?;
        let root = PathBuf::from(format!("/usr/lib/gcc/{arch}-linux-gnu"));
        let mut versions: Vec<PathBuf> =
            root.read_dir().ok()?.filter_map(|e| e.ok().map(|e| e.path())).collect();
        versions.sort();
        versions.into_iter().rev().find(|dir| dir.join("libgfortran.a").exists())
    })
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
