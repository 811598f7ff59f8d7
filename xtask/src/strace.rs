//! Job `strace`: the order of the system calls by which a key file is
//! replaced, and a process killed at each of them.

use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process::{cargo, run};

/// The test of custody that looks at itself through strace.
const TEST: &str = "crates/custody/tests/durability.rs";

/// Runs it; the test does nothing of the kind unless `SEALWIRE_STRACE` is set.
pub(crate) fn check(context: &mut Context) -> JobResult {
    if !context.root.join(TEST).is_file() {
        return Err(Stop::fail(format!("{TEST} does not exist")));
    }
    debian::need(context, &["strace"])?;
    run(cargo(context, "test --package sealwire-custody --test durability")
        .env("SEALWIRE_STRACE", "1"))
}
