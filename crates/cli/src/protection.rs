//! What keeps the keys in memory from other places: no core dumps, and pages that stay out of
//! the swap space where the system allows it.
//!
//! Best effort: a command works without, and `id show` says what is in force.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// What is in force in this process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Protection {
    /// Whether the system may write this process's memory to a file when it crashes.
    core_dumps: bool,
    memory_locked: bool,
    /// Why the memory is not locked.
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not_locked: Option<String>,
}

impl Protection {
    /// Puts in force what the system allows. Called once, before anything secret is read.
    pub(crate) fn start() -> Self {
        let core_dumps = !without_core_dumps();
        let why_not_locked = lock_memory().err();
        Self { core_dumps, memory_locked: why_not_locked.is_none(), why_not_locked }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { core_dumps, memory_locked: _, why_not_locked } = self;
        let state =
            if *core_dumps { "on: the system does not let them be turned off" } else { "off" };
        writeln!(f, "core dumps     {state}")?;
        match why_not_locked {
            None => write!(f, "memory         locked: it is never written to the swap space"),
            Some(why) => write!(f, "memory         not locked: {why}"),
        }
    }
}

/// Turns core dumps off and says whether they are.
fn without_core_dumps() -> bool {
    // The hard limit too, so that no child gets one either.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = setrlimit(Resource::Core, none).is_ok();
    // The limit does not hold for a program that the kernel hands dumps to; this does, and it
    // keeps debuggers of the same user out.
    undumpable().unwrap_or(limited)
}

/// Whether the process is not dumpable; `None` where systems know nothing of the kind.
#[cfg(target_os = "linux")]
fn undumpable() -> Option<bool> {
    use rustix::process::{DumpableBehavior, dumpable_behavior, set_dumpable_behavior};
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    Some(matches!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable)))
}

#[cfg(not(target_os = "linux"))]
fn undumpable() -> Option<bool> {
    None
}

/// Locks the memory that there is and that will be, page by page as it is used. Only without a
/// limit: under one, memory that is asked for later would be refused, and a limit that is large
/// enough for the key file's 64 MiB is rare.
#[cfg(target_os = "linux")]
fn lock_memory() -> Result<(), String> {
    use rustix::mm::{MlockAllFlags, mlockall};
    if let Some(bytes) = raised_lock_limit() {
        let kib = bytes / 1024;
        return Err(format!("a process may lock {kib} KiB; allow it with `ulimit -l unlimited`"));
    }
    let flags = MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT;
    mlockall(flags).map_err(|error| format!("the system refuses: {error}"))
}

#[cfg(not(target_os = "linux"))]
fn lock_memory() -> Result<(), String> {
    Err("not done on this system".to_owned())
}

/// The limit on locked memory, raised as far as it goes; `None` when there is none.
#[cfg(target_os = "linux")]
fn raised_lock_limit() -> Option<u64> {
    let Rlimit { current: _, maximum } = getrlimit(Resource::Memlock);
    // Without a limit, which takes a privilege; or up to the hard limit, which takes none.
    for limit in [None, maximum] {
        let _ = setrlimit(Resource::Memlock, Rlimit { current: limit, maximum: limit });
        if getrlimit(Resource::Memlock).current.is_none() {
            break;
        }
    }
    getrlimit(Resource::Memlock).current
}
