//! The relay of the demo: a process of its own, which is killed and started again.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sealwire_relay::client::RelayUrl;
use serde_json::Value;

use super::child::{Binary, Child};

/// No limits by the minute: all that happens here happens within one.
const CONFIGURATION: &str = "\
[relay]
claims_per_caller = 0
claims_per_target = 0
claims_per_address = 0
mailboxes_per_address = 0
publications_per_address = 0
contacts_per_address = 0
";

pub(super) struct Office {
    binary: Binary,
    home: PathBuf,
    listening: Listening,
    process: Child,
}

/// Where it listens: for agents, the same after each start, and for its operator.
struct Listening {
    address: String,
    admin: String,
}

impl Office {
    /// Starts a relay on a free port, with its data in `home`.
    pub(super) async fn open(binary: Binary, home: PathBuf) -> io::Result<Self> {
        fs::create_dir(&home)?;
        fs::write(home.join("sealwire.toml"), CONFIGURATION)?;
        let (process, listening) = start(&binary, &home, "127.0.0.1:0").await?;
        Ok(Self { binary, home, listening, process })
    }

    /// Where agents find it.
    pub(super) fn url(&self) -> io::Result<RelayUrl> {
        RelayUrl::parse(&format!("http://{}", self.listening.address)).map_err(io::Error::other)
    }

    /// Kills it, as a power cut would, and starts it again.
    pub(super) async fn kill_and_restart(&mut self) -> io::Result<()> {
        self.process.kill().await?;
        let address = self.listening.address.clone();
        (self.process, self.listening) = start(&self.binary, &self.home, &address).await?;
        Ok(())
    }

    /// How many messages it has, as it says itself.
    pub(super) async fn messages(&self) -> io::Result<u64> {
        let arguments = ["relay", "status", "--admin", &self.listening.admin];
        let status = self.binary.run(&self.home.join("status"), &arguments).await?;
        let messages = status.get("now").and_then(|now| now.get("messages")?.as_u64());
        messages.ok_or_else(|| io::Error::other("the relay does not say how many messages it has"))
    }

    /// Ends it in good order, and gives every byte that it leaves on disk: database and log.
    pub(super) async fn close(self) -> io::Result<(usize, Vec<u8>)> {
        let Self { home, process, .. } = self;
        process.terminate()?;
        let ended = process.finish().await?;
        if ended.code != Some(0) {
            return Err(io::Error::other(format!("the relay failed: {}", ended.failure())));
        }
        let mut found = (0, Vec::new());
        collect(&home.join("relay"), &mut found)?;
        Ok(found)
    }
}

async fn start(binary: &Binary, home: &Path, listen: &str) -> io::Result<(Child, Listening)> {
    let arguments = ["relay", "run", "--listen", listen, "--admin", "127.0.0.1:0"];
    let out = home.with_extension("out");
    let mut process = binary.start(home, &arguments, None, &out)?;
    let event = process.event("listening").await?;
    let field = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    let (Some(address), Some(admin)) = (field("address"), field("admin")) else {
        return Err(io::Error::other("the relay listens nowhere"));
    };
    Ok((process, Listening { address, admin }))
}

/// Reads all files of a directory, and of those in it.
fn collect(directory: &Path, found: &mut (usize, Vec<u8>)) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            collect(&entry.path(), found)?;
        } else {
            found.0 += 1;
            found.1.extend(fs::read(entry.path())?);
        }
    }
    Ok(())
}
