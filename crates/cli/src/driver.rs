//! The runtime, the threads and the process limits: where this program meets the system.
#![expect(clippy::disallowed_methods, reason = "the driver that owns the runtime and its threads")]

use std::{thread, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::Failure;

/// Runs a future on this thread. One thread is enough: what costs time is sealing, and a
/// channel is sealed in order.
pub(crate) fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::other(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(future);
    // A thread that still waits for standard input does not hold up the end.
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

/// Starts a thread, which ends with the process at the latest.
pub(crate) fn start_thread(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

/// Raises the soft limit on open files to the hard one, for a listener that strangers call.
/// Where that is not allowed the old limit stays.
pub(crate) fn raise_open_files() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
