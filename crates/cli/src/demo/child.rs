//! Child processes of this same binary: each agent of the demo is one.

use std::{
    ffi::OsStr,
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{ChildStderr, Command},
};

/// How long a child may take for one step. All of them together stay far below.
const PATIENCE: Duration = Duration::from_secs(10);

/// This binary, and the secret that seals the demo's key files.
#[derive(Clone)]
pub(super) struct Binary {
    path: PathBuf,
    passphrase: String,
}

/// A child that runs. It is killed when it is dropped.
pub(super) struct Child {
    process: tokio::process::Child,
    events: Lines<BufReader<ChildStderr>>,
}

/// How a child ended.
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) events: Vec<Value>,
}

impl Binary {
    pub(super) fn new(passphrase: String) -> io::Result<Self> {
        Ok(Self { path: std::env::current_exe()?, passphrase })
    }

    /// What seals the demo's key files.
    pub(super) fn passphrase(&self) -> &str {
        &self.passphrase
    }

    /// Starts a child with `--json` in the state directory `home`.
    pub(super) fn start(
        &self,
        home: &Path,
        arguments: &[&str],
        stdin: Option<&Path>,
        stdout: &Path,
    ) -> io::Result<Child> {
        let input = match stdin {
            Some(path) => Stdio::from(File::open(path)?),
            None => Stdio::null(),
        };
        let mut command = Command::new(&self.path);
        // What the user has configured is none of the demo's business.
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
            command.env_remove(name);
        }
        let mut process = command
            .arg("--json")
            .arg("--home")
            .arg(home)
            .args(arguments)
            .env("SEALWIRE_PASSPHRASE", &self.passphrase)
            .stdin(input)
            .stdout(File::create(stdout)?)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let events = process.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Child { process, events: BufReader::new(events).lines() })
    }

    /// Runs a command to its end and gives the JSON that it printed.
    pub(super) async fn run(&self, home: &Path, arguments: &[&str]) -> io::Result<Value> {
        let out = home.with_extension("out");
        let ended = self.start(home, arguments, None, &out)?.finish().await?;
        let printed = std::fs::read(&out)?;
        std::fs::remove_file(&out)?;
        if ended.code != Some(0) {
            return Err(io::Error::other(format!("{arguments:?} failed: {}", ended.failure())));
        }
        serde_json::from_slice(&printed).map_err(io::Error::other)
    }
}

fn is_ours(variable: &OsStr) -> bool {
    variable.as_encoded_bytes().starts_with(b"SEALWIRE_")
}

impl Child {
    /// Waits for an event and gives it.
    pub(super) async fn event(&mut self, name: &str) -> io::Result<Value> {
        let wait = async {
            while let Some(line) = self.events.next_line().await? {
                let event: Value = serde_json::from_str(&line).unwrap_or_default();
                match event.get("event").and_then(Value::as_str) {
                    Some(found) if found == name => return Ok(event),
                    Some("failed") => break,
                    _ => {}
                }
            }
            Err(io::Error::other(format!("a child ended before it was {name}")))
        };
        tokio::time::timeout(PATIENCE, wait).await?
    }

    /// Kills it, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> io::Result<()> {
        self.process.kill().await
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) -> io::Result<()> {
        let id = self.process.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let id = id.ok_or_else(|| io::Error::other("the child has ended"))?;
        Ok(kill_process(id, Signal::TERM)?)
    }

    /// Waits for the end.
    pub(super) async fn finish(mut self) -> io::Result<Ended> {
        let wait = async {
            let mut events = Vec::new();
            while let Some(line) = self.events.next_line().await? {
                events.extend(serde_json::from_str(&line));
            }
            Ok(Ended { code: self.process.wait().await?.code(), events })
        };
        tokio::time::timeout(PATIENCE, wait).await?
    }
}

impl Ended {
    /// A field of the first event with this name.
    pub(super) fn field(&self, event: &str, field: &str) -> Option<&str> {
        let named = |found: &&Value| found.get("event").and_then(Value::as_str) == Some(event);
        self.events.iter().find(named)?.get(field)?.as_str()
    }

    /// What the child said of its failure, if it failed.
    pub(super) fn failure(&self) -> &str {
        self.field("failed", "message").unwrap_or("it said nothing")
    }
}
