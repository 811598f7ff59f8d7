//! The runtime, the threads and the process limits: where this program meets the system.
#![expect(clippy::disallowed_methods, reason = "the driver that owns the runtime and its threads")]

use std::{thread, time::Duration};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Runs a future, and what it starts, on all processors.
pub(crate) fn block_on_all<T>(
    future: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Failure::other(format!("cannot start the runtime: {error}")))?;
    let result = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::ZERO);
    result
}

/// The monotonic clock.
pub(crate) fn now() -> tokio::time::Instant {
    tokio::time::Instant::now()
}

/// Runs what may block on a thread of its own, and waits for it.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Failure::other(format!("internal error: {error}"))))
}

/// Starts a thread, which ends with the process at the latest.
pub(crate) fn start_thread(work: impl FnOnce() + Send + 'static) {
    thread::spawn(work);
}

/// The signals by which a process is asked to end.
#[derive(Debug)]
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// Takes both signals from now on, in a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self {
            interrupt: take(SignalKind::interrupt())?,
            terminate: take(SignalKind::terminate())?,
        })
    }

    /// Waits for one of them.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// The signal by which a process is asked to read its files again.
#[derive(Debug)]
pub(crate) struct Again(Signal);

impl Again {
    /// Takes the signal from now on, in a runtime.
    pub(crate) fn new() -> Result<Self, Failure> {
        Ok(Self(take(SignalKind::hangup())?))
    }

    /// Waits for it.
    pub(crate) async fn asked(&mut self) {
        // It gives nothing only when the runtime ends.
        let _ = self.0.recv().await;
    }
}

fn take(kind: SignalKind) -> Result<Signal, Failure> {
    signal(kind).map_err(|error| Failure::other(format!("cannot take signals: {error}")))
}

/// Has a write that would pass the limit on the length of files fail, as on a full disk, in place
/// of ending the process, which then could not clean up. In a runtime.
pub(crate) fn survive_file_limit() -> Result<(), Failure> {
    // It stays taken when this one is dropped.
    take(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Raises the soft limit on open files to the hard one, for a listener that strangers call.
/// Where that is not allowed the old limit stays.
pub(crate) fn raise_open_files() {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
