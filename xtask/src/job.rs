//! What every job is given and how it ends.

use std::fmt;
use std::path::{Path, PathBuf};

/// Why a job did not pass.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Something is wrong with the workspace.
    Fail(String),
    /// The job needs a tool that is not here.
    Skip {
        /// What is missing.
        why: String,
        /// The exact command which enables the job.
        enable: String,
    },
}

/// A job passes or stops.
pub(crate) type JobResult = Result<(), Stop>;

impl Stop {
    /// A failure, in a sentence.
    pub(crate) fn fail(message: impl Into<String>) -> Self {
        Self::Fail(message.into())
    }

    /// A skip, with the command which enables the job.
    pub(crate) fn skip(why: impl Into<String>, enable: impl Into<String>) -> Self {
        Self::Skip { why: why.into(), enable: enable.into() }
    }

    /// A failure of the operating system, with what was being done.
    pub(crate) fn io(doing: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self::Fail(format!("{doing}: {error}"))
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fail(message) => f.write_str(message),
            Self::Skip { why, enable } => write!(f, "{why}; enable it with: {enable}"),
        }
    }
}

/// The workspace, and what the jobs learn for the summary.
#[derive(Debug)]
pub(crate) struct Context {
    /// The folder of the root Cargo.toml.
    pub(crate) root: PathBuf,
    /// Whether this is continuous integration, where a skip is a failure.
    pub(crate) ci: bool,
    /// The file to which tests append `name count` for vectors passed.
    pub(crate) vector_log: PathBuf,
    /// Vectors passed, once counted.
    pub(crate) vectors: Option<u64>,
    /// Attacks with a test and attacks in all, once counted.
    pub(crate) attacks: Option<(usize, usize)>,
}

impl Context {
    /// Finds the workspace and reads the environment.
    pub(crate) fn new() -> Result<Self, Stop> {
        let log = format!("sealwire-vectors-{}.log", std::process::id());
        Ok(Self {
            root: find_root()?,
            ci: std::env::var_os("CI").is_some_and(|value| value == "true"),
            vector_log: std::env::temp_dir().join(log),
            vectors: None,
            attacks: None,
        })
    }
}

/// The nearest folder, from this crate or else from the current directory
/// upwards, that holds `xtask/Cargo.toml`. Found at run time, so that a
/// checkout can be moved without a rebuild.
fn find_root() -> Result<PathBuf, Stop> {
    let here = std::env::current_dir().map_err(Stop::io("the current directory"))?;
    let start = std::env::var_os("CARGO_MANIFEST_DIR").map_or(here, PathBuf::from);
    start
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file())
        .map(Path::to_path_buf)
        .ok_or_else(|| Stop::fail("run this inside the workspace: no xtask/Cargo.toml above"))
}
