//! Job `strace`: the order of the system calls by which a key file is
//! replaced, and a process killed at each of them; the same for the commits
//! of stored state.

use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process::{cargo, run};

/// The tests that look at themselves through strace, and how cargo runs them.
const TESTS: [(&str, &str); 2] = [
    ("crates/custody/tests/durability.rs", "--package sealwire-custody --test durability"),
    ("crates/sealwire/tests/state/crash.rs", "--package sealwire --test state crash::"),
];

/// Runs them; they do nothing of the kind unless `SEALWIRE_STRACE` is set.
pub(crate) fn check(context: &mut Context) -> JobResult {
    debian::need(context, &["strace"])?;
    for (file, test) in TESTS {
        if !context.root.join(file).is_file() {
            return Err(Stop::fail(format!("{file} does not exist")));
        }
        run(cargo(context, &format!("test {test}")).env("SEALWIRE_STRACE", "1"))?;
    }
    Ok(())
}
