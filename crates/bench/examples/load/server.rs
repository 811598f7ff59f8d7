//! What is loaded: a relay, or a limit to set it beside, in a process of its own.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};
use sealwire_bench::{Failure, KIB};
use serde_json::Value;
use tempfile::TempDir;

/// How a relay runs under a load: nobody is refused for asking often, or for having many
/// connections from one address.
const CONFIGURATION: [(&str, &str); 9] = [
    ("SEALWIRE_RELAY_CLAIMS_PER_CALLER", "0"),
    ("SEALWIRE_RELAY_CLAIMS_PER_TARGET", "0"),
    ("SEALWIRE_RELAY_CLAIMS_PER_ADDRESS", "0"),
    ("SEALWIRE_RELAY_MAILBOXES_PER_ADDRESS", "0"),
    ("SEALWIRE_RELAY_PUBLICATIONS_PER_ADDRESS", "0"),
    ("SEALWIRE_RELAY_CONTACTS_PER_ADDRESS", "0"),
    ("SEALWIRE_RELAY_CONNECTIONS", "100000"),
    ("SEALWIRE_RELAY_CONNECTIONS_PER_ADDRESS", "100000"),
    ("SEALWIRE_RELAY_BODY_MIB", "1024"),
];

/// A server that runs.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// Of a relay.
    data: Option<PathBuf>,
}

/// What a process takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Resident memory, in bytes.
    pub(crate) memory: u64,
    /// The most that it ever was.
    pub(crate) peak: u64,
    /// Seconds of processor time.
    pub(crate) busy: f64,
}

/// A folder beside the program, for data: one for temporary files may be in memory.
pub(crate) fn folder() -> Result<TempDir, Failure> {
    let program = env::current_exe()?;
    Ok(tempfile::tempdir_in(program.parent().ok_or("no folder")?)?)
}

/// As many open files as the system allows, for this process and those that it starts. Gives how
/// many that is.
pub(crate) fn raise_open_files() -> Result<u64, Failure> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}

impl Server {
    /// Starts a relay over the data in a folder.
    pub(crate) fn relay(data: &Path) -> Result<Self, Failure> {
        Self::relay_at(data, "127.0.0.1:0")
    }

    fn relay_at(data: &Path, listen: &str) -> Result<Self, Failure> {
        let examples = env::current_exe()?;
        let program = examples.ancestors().nth(2).ok_or("no folder")?.join("sealwire");
        let mut command = Command::new(program);
        command.args(["--json", "relay", "run", "--listen", listen, "--admin", "127.0.0.1:0"]);
        command.arg("--data").arg(data).env("SEALWIRE_HOME", data).envs(CONFIGURATION);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let said = child.stderr.take().ok_or("no pipe")?;
        let mut server = Self { child, address: SocketAddr::from(([0; 4], 0)), data: None };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        let event: Value = serde_json::from_str(&line).unwrap_or_default();
        let address = event.get("address").and_then(Value::as_str);
        let address = address.ok_or_else(|| format!("no relay: {line}"))?;
        server.address = address.parse()?;
        server.data = Some(data.to_owned());
        Ok(server)
    }

    /// Starts a limit: `axum` or `memory`.
    pub(crate) fn limit(name: &str) -> Result<Self, Failure> {
        let mut command = Command::new(env::current_exe()?);
        command.args(["serve", name]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let said = child.stdout.take().ok_or("no pipe")?;
        let mut server = Self { child, address: SocketAddr::from(([0; 4], 0)), data: None };
        let mut line = String::new();
        BufReader::new(said).read_line(&mut line)?;
        server.address = line.trim().parse()?;
        Ok(server)
    }

    /// Kills it at once, and starts it anew where it was.
    pub(crate) fn kill_and_restart(&mut self) -> Result<(), Failure> {
        let data = self.data.clone().ok_or("only a relay is started anew")?;
        self.child.kill()?;
        self.child.wait()?;
        *self = Self::relay_at(&data, &self.address.to_string())?;
        Ok(())
    }

    /// What it takes.
    pub(crate) fn usage(&self) -> Result<Usage, Failure> {
        let process = Path::new("/proc").join(self.child.id().to_string());
        let status = fs::read_to_string(process.join("status"))?;
        let kib = |name: &str| -> Result<u64, Failure> {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            Ok(number.ok_or("not in the status of a process")?.parse::<u64>()? * KIB as u64)
        };
        // The name of the program, in parentheses, comes before.
        let stat = fs::read_to_string(process.join("stat"))?;
        let (_, rest) = stat.rsplit_once(')').ok_or("a stat without a name")?;
        let ticks: u32 = rest
            .split_whitespace()
            .skip(USER_TIME)
            .take(2)
            .map(str::parse::<u32>)
            .sum::<Result<_, _>>()?;
        #[expect(clippy::cast_precision_loss, reason = "a hundred")]
        let per_second = clock_ticks_per_second() as f64;
        let busy = f64::from(ticks) / per_second;
        Ok(Usage { memory: kib("VmRSS:")?, peak: kib("VmHWM:")?, busy })
    }
}

/// The place of the processor time as a user in `stat` behind the name; that in the system
/// follows (proc(5)).
const USER_TIME: usize = 11;

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended cannot be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
