//! Job `strace`: the order of the system calls by which a key file is replaced, and processes
//! that are killed at them: while they replace keys, commit state, bring it to another schema,
//! send and receive.

use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process::{cargo, run};
use crate::test;

/// The tests that look at themselves through strace, and how cargo runs them.
const TESTS: [(&str, &str); 4] = [
    ("crates/custody/tests/durability.rs", "--test durability"),
    ("crates/sealwire/tests/state/crash.rs", "--test state crash::"),
    ("crates/sealwire/src/store/sqlite/migration/tests.rs", "--lib migration::"),
    ("crates/sealwire/tests/crash/kill.rs", "--test crash kill::"),
];

/// At some of the system calls.
pub(crate) fn check(context: &mut Context) -> JobResult {
    with(context, "1")
}

/// At each system call.
pub(crate) fn all(context: &Context) -> JobResult {
    with(context, "all")
}

/// Runs them; they do nothing of the kind unless `SEALWIRE_STRACE` is set.
fn with(context: &Context, mode: &str) -> JobResult {
    debian::need(context, &["strace"])?;
    let selection = test::with_fast(context)?;
    for (file, test) in TESTS {
        if !context.root.join(file).is_file() {
            return Err(Stop::fail(format!("{file} does not exist")));
        }
        let arguments = format!("test --quiet {selection} {test}");
        run(cargo(context, &arguments).env("SEALWIRE_STRACE", mode))?;
    }
    Ok(())
}
