//! `cargo xtask tidy`: what the compiler does not check about source files.

use crate::files::{self, SourceFile};
use crate::job::{Context, JobResult, Stop};
use crate::rules;

/// A file longer than this holds more than a reader keeps in mind.
const MAX_LINES: usize = 700;

/// The one crate with a module that may hold unsafe code.
const UNSAFE_ALLOWED_IN: &str = "crates/core/src/lib.rs";

/// Checks every source file of the workspace, then the rule ids.
pub(crate) fn check(context: &mut Context) -> JobResult {
    let mut sources = files::read(&context.root, "crates", "rs")?;
    sources.extend(files::read(&context.root, "xtask", "rs")?);
    let mut wrong: Vec<String> = sources.iter().flat_map(faults).collect();
    println!("tidy: {} source files", sources.len());
    wrong.extend(rules::check(context)?);
    if wrong.is_empty() { Ok(()) } else { Err(Stop::fail(wrong.join("\n"))) }
}

/// What is wrong with one file, a sentence each.
fn faults(file: &SourceFile) -> Vec<String> {
    let SourceFile { path, text } = file;
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_start();
        if line.starts_with("#[ignore") {
            faults.push(format!("{path}:{number}: a test that is ignored tests nothing"));
        }
        if line.starts_with("#[should_panic") {
            faults.push(format!("{path}:{number}: assert on an error, not on a panic"));
        }
    }
    if !path.contains("/src/") {
        return faults;
    }
    let lines = text.lines().count();
    if lines > MAX_LINES && !is_tests(path) {
        faults.push(format!("{path}: {lines} lines; split it, {MAX_LINES} is the limit"));
    }
    if path.ends_with("/mod.rs") {
        faults.push(format!("{path}: name the file after the module, beside its folder"));
    }
    let forbids = text.lines().any(|line| line == "#![forbid(unsafe_code)]");
    if path.ends_with("/src/lib.rs") && path != UNSAFE_ALLOWED_IN && !forbids {
        faults.push(format!("{path}: `#![forbid(unsafe_code)]` is missing"));
    }
    faults
}

/// Whether a file under src/ holds only tests.
fn is_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORBID: &str = "//! Docs.\n#![forbid(unsafe_code)]\n";

    fn faults_of(path: &str, text: &str) -> Vec<String> {
        faults(&SourceFile { path: path.into(), text: text.into() })
    }

    #[test]
    fn good_files_pass() {
        let long = "\n".repeat(MAX_LINES + 1);
        let cases = [
            ("crates/noise/src/lib.rs", FORBID),
            ("crates/core/src/lib.rs", "//! Docs.\n"),
            ("crates/core/src/card/tests.rs", &long),
            ("crates/core/src/tests/vectors.rs", &long),
            ("crates/core/tests/vectors.rs", &long),
            ("crates/core/tests/common/mod.rs", ""),
            ("crates/core/src/a.rs", "// the attribute #[ignore] is refused\n"),
        ];
        for (path, text) in cases {
            assert_eq!(faults_of(path, text), [""; 0], "{path}");
        }
    }

    #[test]
    fn bad_files_are_named() {
        let long = "\n".repeat(MAX_LINES + 1);
        let cases = [
            ("crates/noise/src/lib.rs", "//! Docs.\n", "`#![forbid(unsafe_code)]` is missing"),
            ("crates/core/src/a.rs", &long, "701 lines"),
            ("crates/core/src/a/mod.rs", "", "name the file after the module"),
            ("crates/core/tests/a.rs", "    #[ignore]\n", ":1: a test that is ignored"),
            ("crates/core/src/a.rs", "\n#[should_panic(expected = \"x\")]\n", ":2: assert on"),
        ];
        for (path, text, fault) in cases {
            let faults = faults_of(path, text);
            assert_eq!(faults.len(), 1, "{path}: {faults:?}");
            assert!(faults[0].contains(fault), "{path}: {faults:?}");
        }
    }
}
