//! Where chunks are sealed and opened: on threads of the caller's runtime, or in the caller's own
//! task where there is no runtime.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use std::thread;

use tokio::{runtime::Handle, task::JoinHandle};

use super::StoreError;
use crate::Error;

/// So many threads are used at most: together they outrun any store, and what they hold stays
/// small beside the parts of an upload.
const MOST: usize = 8;

/// How many threads one object is sealed or opened by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads(usize);

/// Work that was given to a thread, or that is done. Where it is dropped, what has not begun does
/// not begin, and what has begun ends by itself and drops what it holds.
pub(super) enum Job<T> {
    Done(Option<T>),
    Running(JoinHandle<T>),
}

impl Threads {
    /// As many as the machine has cores for.
    pub(super) fn available() -> Self {
        Self::new(thread::available_parallelism().map_or(1, usize::from))
    }

    pub(super) fn new(count: usize) -> Self {
        Self(count.clamp(1, MOST))
    }

    /// How many jobs are worth having under way.
    pub(super) fn count(self) -> usize {
        if self.are_beside() { self.0 } else { 1 }
    }

    /// Whether work runs beside the caller's task.
    pub(super) fn are_beside(self) -> bool {
        self.0 > 1 && Handle::try_current().is_ok()
    }

    /// Does work that only computes: in the caller's task where there is one thread.
    pub(super) fn start<T: Send + 'static>(
        self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        if self.are_beside() { Self::start_waiting(work) } else { Job::Done(Some(work())) }
    }

    /// Does work that waits for a disk: never in the task of a runtime.
    pub(super) fn start_waiting<T: Send + 'static>(
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Job<T> {
        match Handle::try_current() {
            Ok(runtime) => Job::Running(runtime.spawn_blocking(work)),
            Err(_) => Job::Done(Some(work())),
        }
    }
}

impl<T: Unpin> Future for Job<T> {
    type Output = Result<T, Error>;

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Done(done) => {
                Poll::Ready(done.take().ok_or(Error::Unreachable("a job is waited for once")))
            }
            Self::Running(running) => Pin::new(running).poll(task).map_err(|error| {
                if error.is_panic() {
                    return Error::Unreachable("sealing and opening do not panic");
                }
                StoreError::Failed("the runtime is shutting down".to_owned()).into()
            }),
        }
    }
}

impl<T> Drop for Job<T> {
    fn drop(&mut self) {
        if let Self::Running(running) = self {
            running.abort();
        }
    }
}
