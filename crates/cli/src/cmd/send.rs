//! `sealwire send`: leave a message for a peer that may be away.

use std::{
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use indicatif::BinaryBytes;
use sealwire::{MAX_PAYLOAD_LEN, core::kdf, custody::FileKeyStore, identity::AgentId};
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt};
use zeroize::Zeroizing;

use crate::{
    agent,
    config::Config,
    control::{self, Running},
    driver,
    error::{Exit, Failure},
    home::Home,
    mail::Mail,
    offline::{self, Guard},
    outgoing::{Moved, Outgoing, Size},
    output::Output,
    patience::Patience,
    progress::Moving,
    sends::Sending,
    text::Plain,
    whom,
};

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// The peer: its id, or as much of its beginning as is enough
    peer: String,
    /// The file to send; - reads standard input
    #[arg(default_value = "-")]
    file: PathBuf,
    /// Send it once, however often it is tried under this key: for 7 days the same key and
    /// message give the id of the first
    #[arg(long, value_name = "KEY")]
    once: Option<String>,
    /// How long nothing may move before this command ends; the message stays in the outbox
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u64,
}

/// What is to be sent.
enum Source {
    /// A message that fits into a frame.
    Short(Zeroizing<Vec<u8>>),
    /// Anything longer, to be read from its start.
    File(File, u64),
    /// What was read of a pipe, before the rest of it.
    Pipe(Zeroizing<Vec<u8>>),
}

#[derive(Serialize)]
struct Sent<'a> {
    message: String,
    peer: &'a str,
}

impl fmt::Display for Sent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

/// The end of a message that the relay has.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Accepted { bytes: u64 },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Accepted { bytes } = self;
        write!(f, "the relay has all of it, {}", BinaryBytes(*bytes))
    }
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { peer, file, once, patience } = args;
    let patience = Duration::from_secs(patience);
    home.require_identity()?;
    let peer = whom::resolve(home, &peer)?;
    let opened = match file.as_os_str() == "-" {
        true => None,
        false => Some(Source::open(&file)?),
    };
    let (outgoing, sending, message) = driver::block_on(async {
        // What is typed is not lost for a passphrase that is wrong, and while somebody types
        // the agent's state is free.
        let keys = match control::connect(home).await? {
            Some(_) => None,
            None => Some(Arc::new(agent::unlock(home)?)),
        };
        let source = opened.map_or_else(Source::stdin, Ok)?;
        let way = Way::open(home, config, keys, patience, *output).await?;
        let sending = source.sending(home, &peer, &file, once.as_deref())?;
        let once = once.map(|key| kdf::sha256(&[b"once ", key.as_bytes()]).to_vec());
        let name = once.or_else(|| sending.as_ref().map(|sending| sending.name().to_vec()));
        let outgoing = Outgoing { peer, name, size: source.size(), patience };
        let message = way.send(&outgoing, source.reader(), *output).await?;
        Ok((outgoing, sending, message))
    })?;
    let ended = sending.map_or(Ok(()), |sending| sending.end(home));
    output.result(&Sent { message, peer: outgoing.peer.as_str() })?;
    ended?;
    Ok(Exit::Done.into())
}

/// By whom a message is sent.
enum Way {
    /// By the agent that runs.
    Running(Running),
    /// By this process.
    Own(Mail),
}

impl Way {
    /// Finds the agent that runs, or takes its state. Waits while another command has that.
    async fn open(
        home: &Home,
        config: &Config,
        mut unlocked: Option<Arc<FileKeyStore>>,
        patience: Duration,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut patience = Patience::lasting(patience);
        let moving = Moving::start(output, None);
        let guard = Guard::default();
        loop {
            if let Some(running) = control::connect(home).await? {
                return Ok(Self::Running(running));
            }
            let keys = match unlocked.take() {
                Some(keys) => keys,
                None => Arc::new(agent::unlock(home)?),
            };
            match offline::build(home, config, Arc::clone(&keys), &guard).await {
                Ok(offline) => return Ok(Self::Own(Mail::new(offline, output))),
                Err(failure) => {
                    let waiting = Some(failure.message().to_owned());
                    moving.tell(&Moved { waiting, ..Moved::default() });
                    patience.wait(failure).await?;
                }
            }
            unlocked = Some(keys);
        }
    }

    async fn send(
        self,
        outgoing: &Outgoing,
        reader: impl AsyncRead + Unpin + Send,
        output: Output,
    ) -> Result<String, Failure> {
        let length = match outgoing.size {
            Size::Short => None,
            Size::Long(length) => length,
        };
        let mut counted = Counted { reader, bytes: 0 };
        let moving = Moving::start(output, length);
        let tell = |now: Moved| moving.tell(&now);
        let sent = match self {
            Self::Running(running) => running.send(outgoing, &mut counted, tell).await,
            Self::Own(mail) => {
                let sent = outgoing.send(&mail, &mut counted, tell).await;
                sent.map(|message| message.to_string())
            }
        };
        moving.finish();
        if sent.is_ok() {
            output.event(&Event::Accepted { bytes: counted.bytes });
        }
        sent
    }
}

impl Source {
    /// Opens a file, and reads as much as shows how it goes.
    fn open(path: &Path) -> Result<Self, Failure> {
        let unreadable = |error: io::Error| Failure::file("read", path, &error);
        let mut file = File::open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        if found.is_file() && found.len() > MAX_PAYLOAD_LEN as u64 {
            return Ok(Self::File(file, found.len()));
        }
        let head = head(&mut file).map_err(unreadable)?;
        match head.len() {
            ..=MAX_PAYLOAD_LEN => Ok(Self::Short(head)),
            _ => {
                let message = format!("{} is not a file of one length", Plain::path(path));
                Err(Failure::other(message).hint("for a pipe, give - and redirect"))
            }
        }
    }

    /// Reads standard input, as much as shows how it goes.
    fn stdin() -> Result<Self, Failure> {
        let head = head(&mut io::stdin().lock());
        let head =
            head.map_err(|error| Failure::other(format!("cannot read standard input: {error}")))?;
        Ok(match head.len() {
            ..=MAX_PAYLOAD_LEN => Self::Short(head),
            _ => Self::Pipe(head),
        })
    }

    fn size(&self) -> Size {
        match self {
            Self::Short(_) => Size::Short,
            Self::File(_, length) => Size::Long(Some(*length)),
            Self::Pipe(_) => Size::Long(None),
        }
    }

    /// The name by which a long file goes on, unless the user gave one.
    fn sending(
        &self,
        home: &Home,
        peer: &AgentId,
        path: &Path,
        once: Option<&str>,
    ) -> Result<Option<Sending>, Failure> {
        match (self, once) {
            (Self::File(..), None) => Ok(Some(Sending::begin(home, peer, path, agent::wall())?)),
            _ => Ok(None),
        }
    }

    fn reader(self) -> Box<dyn AsyncRead + Unpin + Send> {
        match self {
            Self::Short(bytes) => Box::new(io::Cursor::new(Wiped(bytes))),
            Self::File(file, _) => Box::new(tokio::fs::File::from_std(file)),
            Self::Pipe(head) => {
                let head = io::Cursor::new(Wiped(head));
                Box::new(AsyncReadExt::chain(head, tokio::io::stdin()))
            }
        }
    }
}

/// Bytes that a cursor reads.
struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// Counts what is read.
struct Counted<R> {
    reader: R,
    bytes: u64,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = std::pin::Pin::new(&mut self.reader).poll_read(context, buffer);
        let read = buffer.filled().len().saturating_sub(before);
        self.bytes = self.bytes.saturating_add(read as u64);
        polled
    }
}

/// A whole message that fits into a frame, or more than one.
fn head(reader: &mut impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    // At full capacity first: growing leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_PAYLOAD_LEN + 1));
    reader.take(MAX_PAYLOAD_LEN as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
