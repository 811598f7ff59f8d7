//! `sealwire demo`: what is protected from whom, shown on this machine alone.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use sealwire::{core::secret::Secret, custody, identity::IdentityCard};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::{
    demo::{
        self,
        impostor::{Impostor, Loot},
    },
    error::{Exit, Failure},
    home::Home,
    output::Output,
    passphrase,
};

/// The largest file, in bytes: all that crosses the wire is kept in memory and searched.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// What is moved when there is no file: enough text that finding a piece of it means something.
const DEFAULT_TEXT: &str = "\
Agents talk through relays, brokers, gateways and buckets that nobody should have to trust.
What Alice and Bob say to one another here is read by Alice and by Bob, and by nobody else.
";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file to move both ways, at most 16 MiB [default: README.md in this directory]
    file: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct PeerArgs {
    /// What the impostor has
    #[arg(long)]
    loot: Loot,
    /// The card it shows
    #[arg(long)]
    card: PathBuf,
}

#[derive(Serialize)]
struct Verdict {
    all_hold: bool,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.all_hold {
            "every check holds"
        } else {
            "a check failed: please report this with the lines above"
        })
    }
}

pub(crate) fn run(args: Args, output: &Output) -> Result<ExitCode, Failure> {
    let Args { file } = args;
    let content = content(file.as_deref())?;
    let directory = tempfile::Builder::new().prefix("sealwire-demo-").tempdir();
    let directory = directory
        .map_err(|error| Failure::other(format!("cannot make a temporary directory: {error}")))?;
    let secret = Secret::<16>::random(&mut custody::system_rng())
        .map_err(|error| Failure::other(error.to_string()))?;
    let passphrase = secret.expose().iter().map(|byte| format!("{byte:02x}")).collect();
    let played = crate::driver::block_on(demo::play(directory.path(), passphrase, content, output));
    let closed = directory.close();
    let all_hold = played?;
    closed.map_err(|error| Failure::other(format!("cannot remove the demo's files: {error}")))?;
    output.result(&Verdict { all_hold })?;
    Ok(if all_hold { Exit::Done } else { Exit::Failed }.into())
}

fn content(file: Option<&Path>) -> Result<Vec<u8>, Failure> {
    let readme = Path::new("README.md");
    let path = match file {
        Some(path) => path,
        None if readme.is_file() => readme,
        None => return Ok(DEFAULT_TEXT.as_bytes().to_vec()),
    };
    let unreadable = |error| Failure::file("read", path, &error);
    let length = fs::metadata(path).map_err(unreadable)?.len();
    if length == 0 || length > MAX_FILE {
        let message = format!("the demo moves a file of 1 byte to 16 MiB, and this has {length}");
        return Err(Failure::other(message).hint("choose another file"));
    }
    fs::read(path).map_err(unreadable)
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event {
    Listening { address: String },
    Answered { believed: &'static str },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { address } => write!(f, "listening on {address}"),
            Self::Answered { believed } => write!(f, "taken for the owner of the card: {believed}"),
        }
    }
}

/// Answers one connection as an impostor.
pub(crate) fn run_peer(args: PeerArgs, home: &Home, output: &Output) -> Result<ExitCode, Failure> {
    let PeerArgs { loot, card } = args;
    let text = fs::read_to_string(&card).map_err(|error| Failure::file("read", &card, &error))?;
    let card = IdentityCard::from_text(&text)?.claimed().clone();
    let passphrase = passphrase::ask()?;
    let impostor = Impostor::new(loot, &card, &home.keys(), &passphrase)
        .map_err(|error| Failure::other(error.to_string()))?;
    crate::driver::block_on(async {
        let failed = |error: std::io::Error| Failure::other(error.to_string());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        output.event(&Event::Listening { address });
        let (mut stream, _) = listener.accept().await.map_err(failed)?;
        let haul = impostor.answer(&mut stream).await;
        let believed = if haul.is_ok_and(|haul| haul.believed) { "yes" } else { "no" };
        output.event(&Event::Answered { believed });
        Ok(Exit::Done.into())
    })
}
