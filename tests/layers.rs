//! The layer rule of ARCHITECTURE.md, enforced on the source text.
//!
//! `error → memory → threads → linalg → input → stats → decomp → covariance → metrics`: a module names only
//! modules to its left. `unsafe` lives in `src/linalg/`; only `src/linalg/blas.rs` and `src/linalg/lapack/`
//! name the BLAS and LAPACK crates; nothing in `src/` knows of Python. `src/lib.rs` is the table of
//! contents and names every module.
//!
//! Also that builds with the OpenBLAS of scipy-openblas32, which these tests are not, rename all that is
//! called.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LAYERS: [&str; 9] =
    ["error", "memory", "threads", "linalg", "input", "stats", "decomp", "covariance", "metrics"];
const BLAS_CRATES: [&str; 2] = ["cblas_sys", "lapack_sys"];
const BLAS_CALLERS: [&str; 2] = ["linalg/blas.rs", "linalg/lapack/"];

/// Every breach in one file; `path` is relative to `src/`.
fn breaches(path: &str, source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let code = without_comments(source);
    let lower = source.to_lowercase();
    for word in ["pyo3", "python"] {
        if has_word(&lower, word) {
            found.push(format!("{path}: mentions {word}; the core knows nothing of it"));
        }
    }
    if !path.starts_with("linalg/") && has_word(&code, "unsafe") {
        found.push(format!("{path}: `unsafe` outside linalg/"));
    }
    if !BLAS_CALLERS.iter().any(|caller| path.starts_with(caller)) {
        for name in BLAS_CRATES.iter().filter(|name| has_word(&code, name)) {
            found.push(format!("{path}: names {name}; only {} may", BLAS_CALLERS.join(" and ")));
        }
    }
    let module = path.split(['/', '.']).next().unwrap_or(path);
    if module == "lib" {
        return found;
    }
    let Some(own) = LAYERS.iter().position(|layer| *layer == module) else {
        found.push(format!("{path}: `{module}` has no place in the order of layers"));
        return found;
    };
    for name in named_modules(&code) {
        match LAYERS.iter().position(|layer| *layer == name) {
            Some(layer) if layer > own => {
                found.push(format!("{path}: names `{name}`, a layer to its right"));
            }
            Some(_) => {}
            None => found.push(format!("{path}: `crate::{name}` bypasses the layers")),
        }
    }
    found
}

/// First segments after `crate::`, groups (`crate::{a::X, b}`) included, and layers reached through
/// `super::`.
fn named_modules(code: &str) -> Vec<String> {
    let mut names = Vec::new();
    for (start, _) in code.match_indices("crate::") {
        let before = code[..start].chars().next_back();
        if before.is_some_and(|c| is_word(c) || c == '$') {
            continue; // other_crate:: and a macro's $crate::
        }
        let rest = &code[start + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => names.extend(group_heads(group)),
            None => names.push(first_word(rest)),
        }
    }
    for (start, _) in code.match_indices("super::") {
        let name = first_word(&code[start + "super::".len()..]);
        if LAYERS.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names
}

/// First segments of a `use` group's members, up to the group's closing brace.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut member) = (0, Vec::new(), String::new());
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(std::mem::take(&mut member)),
            _ => {}
        }
        if depth == 0 && c != ',' && c != '}' {
            member.push(c);
        }
    }
    heads.push(member);
    heads.iter().map(|member| first_word(member.trim())).filter(|head| !head.is_empty()).collect()
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn has_word(text: &str, word: &str) -> bool {
    text.split(|c| !is_word(c)).any(|candidate| candidate == word)
}

/// Line comments, documentation included, may speak of anything.
fn without_comments(source: &str) -> String {
    source.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("src/ can be read");
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.expect("an entry can be read").path()) {
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

#[test]
fn the_core_keeps_its_layers() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in rust_files(&root) {
        let path = file.strip_prefix(&root).expect("files lie under src/");
        let path = path.to_string_lossy().replace('\\', "/");
        found.extend(breaches(&path, &fs::read_to_string(&file).expect("a source file is UTF-8")));
    }
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// The routines of BLAS and LAPACK that a source file calls: those of their crates, and those that it
/// declares itself.
fn called_routines(source: &str) -> BTreeSet<String> {
    let code = without_comments(source);
    let after = |start: &str| {
        let calls = code.match_indices(start).map(|(at, _)| first_word(&code[at + start.len()..]));
        calls.collect::<Vec<_>>()
    };
    let of_crates = ["cblas_sys::", "lapack_sys::"].into_iter().flat_map(after);
    let of_crates = of_crates.filter(|name| name.starts_with("cblas_") || name.ends_with('_'));
    let declared = after("    fn ").into_iter();
    let declared = declared.filter(|name| name.ends_with('_') || name.starts_with("openblas_"));
    // In the static build alone.
    of_crates.chain(declared).filter(|name| !name.ends_with("_env")).collect()
}

#[test]
fn every_routine_that_is_called_is_renamed_for_scipy_openblas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/linalg");
    let read = |file: &PathBuf| fs::read_to_string(file).expect("a source file is UTF-8");
    let called: BTreeSet<String> =
        rust_files(&root).iter().flat_map(|file| called_routines(&read(file))).collect();
    let list = read(&root.join("scipy_openblas.rs"));
    let (_, list) = list.split_once("\nrename! {").expect("the list is there");
    let renamed: BTreeSet<String> = list.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(called.contains("cblas_dgemm") && called.contains("dsytrd_"), "{called:?}");
    assert_eq!(called, renamed);
}

#[test]
fn the_checker_can_fail() {
    for (path, source) in [
        ("stats/mod.rs", "use crate::metrics::logme;"),
        ("linalg/blas.rs", "use crate::{error::Error, stats::{Stats, merge}};"),
        ("input/mod.rs", "fn f() -> super::decomp::Dual { todo!() }"),
        ("stats/rows.rs", "use crate::Error;"),
        ("helpers.rs", "fn f() {}"),
        ("metrics/logme/mod.rs", "let x = unsafe { *p };"),
        ("decomp/mod.rs", "use lapack_sys::dsytrd_;"),
        ("linalg/pool.rs", "use lapack_sys::dgesdd_;"),
        ("error.rs", "/// Raised as a Python exception."),
    ] {
        assert_eq!(breaches(path, source).len(), 1, "{path}: {source}");
    }
}

#[test]
fn what_is_allowed_passes() {
    for (path, source) in [
        ("stats/mod.rs", "use crate::{error::Error, linalg::{blas, lapack}, threads};"),
        ("stats/mod.rs", "//! `crate::metrics` calls this.\nuse crate::stats::rows::Rows;"),
        ("linalg/lapack/orthogonal.rs", "use lapack_sys::dgesdd_; // SAFETY: …\nunsafe { f() }"),
        ("metrics/mod.rs", "macro_rules! m { () => { $crate::Error } }\n#![deny(unsafe_code)]"),
        ("lib.rs", "pub use crate::metrics::logme;"),
    ] {
        assert_eq!(breaches(path, source), Vec::<String>::new(), "{path}: {source}");
    }
}
