//! The threads of a store.
#![expect(clippy::disallowed_methods, reason = "the driver that owns the threads of a store")]

use std::thread::{self, JoinHandle};

/// Has `work` done by a thread.
pub(super) fn start(work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::spawn(work)
}
