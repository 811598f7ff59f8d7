//! `cargo xtask tidy`: what the compiler does not check about source files.

use crate::files::{self, SourceFile};
use crate::job::{Context, JobResult, Stop};
use crate::rules;

/// A file longer than this holds more than a reader keeps in mind.
const MAX_LINES: usize = 700;

/// Crates that no program of ours has in it.
const HELPS_TESTS: [&str; 2] = ["crates/bench/", "crates/testkit/"];

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
    if path.starts_with("crates/") && !HELPS_TESTS.iter().any(|helps| path.starts_with(helps)) {
        faults.extend(shown_in_panics(file));
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

/// Checks whose panic would show values, outside tests: what they look at may be a secret. Clippy
/// refuses the other ways to panic with a value.
fn shown_in_panics(file: &SourceFile) -> Vec<String> {
    let SourceFile { path, text } = file;
    if is_tests(path) {
        return Vec::new();
    }
    // The tests are at the foot of the file.
    let code = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = (1..).zip(code.lines()).filter(|(_, line)| !line.trim_start().starts_with("//"));
    let shows = lines.filter(|(_, line)| shows_values(line));
    let fault = |number| format!("{path}:{number}: a panic here would show values; give an error");
    shows.map(|(number, _)| fault(number)).collect()
}

/// Whether a line has a check that compares what it then shows, or that says more than fixed words.
fn shows_values(line: &str) -> bool {
    let compares = ["assert_eq!", "assert_ne!"].iter().any(|name| line.contains(name));
    let says = ["assert!(", "unreachable!("].iter().any(|name| {
        let check = line.split_once(name).map(|(_, rest)| rest);
        // A check that goes on in the next line may say anything there.
        check.is_some_and(|check| check.contains('{') || !check.contains(");"))
    });
    compares || (says && !line.contains("const { assert!("))
}

/// Whether a file under src/ holds only tests.
fn is_tests(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.ends_with("/corpus.rs") || path.contains("/tests/")
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
            ("crates/core/src/a.rs", "    assert!(MIN <= number, \"a default\");\n"),
            ("crates/core/src/a.rs", "    const { assert!(N <= 255, \"at most 255\") };\n"),
            ("crates/core/src/a.rs", "/// assert_eq!(key, other);\n"),
            (
                "crates/core/src/a.rs",
                "fn a() {}\n\n#[cfg(test)]\nmod tests {\n    assert_eq!(a, b);\n",
            ),
            ("crates/testkit/src/a.rs", "    assert_eq!(a, b);\n"),
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
            ("crates/core/src/a.rs", "\n    assert_eq!(key, other);\n", ":2: a panic here"),
            ("crates/core/src/a.rs", "    debug_assert_ne!(key, other);\n", ":1: a panic here"),
            ("crates/core/src/a.rs", "    assert!(a == b, \"{a}\");\n", ":1: a panic here"),
            ("crates/core/src/a.rs", "    assert!(\n        a == b,\n", ":1: a panic here"),
            ("crates/core/src/a.rs", "    _ => unreachable!(\"{key:?}\"),\n", ":1: a panic here"),
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
