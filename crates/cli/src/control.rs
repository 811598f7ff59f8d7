//! The way into an agent that runs: `recv` holds the agent's state, and sends for other
//! commands of the same user.
//!
//! A Unix socket in the agent's directory, for its owner alone. A request is one JSON object on
//! a line of its own, followed by the bytes of the message in pieces, each behind its length as a
//! u32, to an empty one. What is answered are JSON objects, one a line, the last of which says how
//! it ended.

use std::{
    convert::Infallible,
    fs,
    io::{self, ErrorKind},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    time::Duration,
};

use sealwire::identity::AgentId;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader, DuplexStream},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{mpsc, watch},
    task::JoinSet,
};
use zeroize::Zeroizing;

use crate::{
    error::{Exit, Failure},
    home::Home,
    mail::Mail,
    outgoing::{Moved, Outgoing, Size},
};

/// The longest line, in bytes: names, numbers and a sentence.
const MAX_LINE: u64 = 16 * 1024;

/// Commands that are served at a time.
const MAX_SERVED: usize = 32;

/// What another command asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    version: u8,
    /// To whom.
    peer: String,
    /// What tells a repetition.
    name: Option<Vec<u8>>,
    /// Whether it goes in parts, and then its length where it is known.
    parts: bool,
    length: Option<u64>,
    /// In seconds.
    patience: u64,
}

/// What a request of any release has.
#[derive(Deserialize)]
struct Release {
    version: u8,
}

/// What it is told.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case", deny_unknown_fields)]
enum Answer {
    Progress { message: String, bytes: u64, length: Option<u64>, waiting: Option<String> },
    Sent { message: String },
    Failed { code: u8, message: String, hint: Option<String> },
}

const VERSION: u8 = 1;

/// Bytes of a message that go in one piece.
const PIECE: usize = 64 * 1024;

/// Serves other commands of the user.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
    /// How many commands are served now.
    serving: watch::Sender<usize>,
}

impl Control {
    /// Takes requests from now on. The caller holds the agent's state, so that no other process
    /// does, and whatever lies in this place is left from one that has ended.
    pub(crate) fn start(home: &Home) -> Result<Self, Failure> {
        let path = home.socket();
        let failed = |error: io::Error| Failure::file("listen at", &path, &error);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&path).map_err(failed)?;
        // The directory keeps others out; this does where somebody has opened it.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, path, serving: watch::Sender::default() })
    }

    /// Whether a command is served now.
    pub(crate) fn is_serving(&self) -> bool {
        *self.serving.borrow() > 0
    }

    /// Waits until none is, while [`Control::serve`] runs.
    pub(crate) async fn is_idle(&self) {
        // The sender lives as long as this.
        let _ = self.serving.subscribe().wait_for(|serving| *serving == 0).await;
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(&self, mail: &Mail) -> Infallible {
        let mut served = JoinSet::new();
        loop {
            self.serving.send_replace(served.len());
            tokio::select! {
                accepted = self.listener.accept(), if served.len() < MAX_SERVED => match accepted {
                    Ok((stream, _)) => {
                        let mail = mail.clone();
                        served.spawn(async move { serve_one(&mail, stream).await });
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = served.join_next() => {}
            }
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // The next one removes it, if this does not.
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve_one(mail: &Mail, stream: UnixStream) {
    let (from, mut to) = stream.into_split();
    let mut from = BufReader::new(from);
    let outgoing = match request(&mut from).await {
        Ok(outgoing) => outgoing,
        Err(failure) => return drop(answer(&mut to, &Answer::failed(&failure)).await),
    };
    let (near, mut far) = tokio::io::duplex(PIECE);
    let (tell, mut told) = mpsc::channel(1);
    let progress = |now: Moved| {
        // What is told is where it is; who reads slowly is told less often.
        let _ = tell.try_send(now);
    };
    let sending = outgoing.send(mail, &mut far, progress);
    let pumping = pump(&mut from, near);
    tokio::pin!(sending, pumping);
    let mut pumped = false;
    let last = loop {
        tokio::select! {
            sent = &mut sending => break match sent {
                Ok(message) => Answer::Sent { message: message.to_string() },
                Err(failure) => Answer::failed(&failure),
            },
            // Without its end a message is not sent: whoever sends it was killed.
            ended = &mut pumping, if !pumped => match ended {
                Ok(()) => pumped = true,
                Err(_) => return,
            },
            Some(Moved { message, bytes, length, waiting }) = told.recv() => {
                let _ = answer(&mut to, &Answer::Progress { message, bytes, length, waiting }).await;
            }
        }
    };
    let _ = answer(&mut to, &last).await;
}

/// Reads a request.
async fn request(from: &mut BufReader<OwnedReadHalf>) -> Result<Outgoing, Failure> {
    let line = line(from).await;
    let line = line.map_err(|error| Failure::other(format!("the request was cut: {error}")))?;
    let other =
        |error: serde_json::Error| Failure::other(format!("this is not a request: {error}"));
    let Release { version } = serde_json::from_str(&line).map_err(other)?;
    if version != VERSION {
        let message = "the agent that runs is of another release than this command";
        return Err(Failure::other(message).hint("start it again"));
    }
    let request: Request = serde_json::from_str(&line).map_err(other)?;
    let Request { version: _, peer, name, parts, length, patience } = request;
    Ok(Outgoing {
        peer: AgentId::parse(&peer)?,
        name,
        size: if parts { Size::Long(length) } else { Size::Short },
        patience: Duration::from_secs(patience),
    })
}

async fn answer(to: &mut OwnedWriteHalf, answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    to.write_all(&line).await
}

async fn line(from: &mut BufReader<OwnedReadHalf>) -> io::Result<String> {
    let mut line = String::new();
    from.take(MAX_LINE).read_line(&mut line).await?;
    match line.ends_with('\n') {
        true => Ok(line),
        false => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Takes pieces to the empty one, which is the end.
async fn pump(from: &mut BufReader<OwnedReadHalf>, mut to: DuplexStream) -> io::Result<()> {
    let mut piece = Zeroizing::new(vec![0; PIECE]);
    loop {
        let len = usize::try_from(from.read_u32().await?).map_err(io::Error::other)?;
        if len == 0 {
            return Ok(());
        }
        let piece = piece.get_mut(..len).ok_or(ErrorKind::InvalidData)?;
        from.read_exact(piece).await?;
        to.write_all(piece).await?;
    }
}

/// An agent that runs, as another command sees it.
#[derive(Debug)]
pub(crate) struct Running(UnixStream);

/// The agent that runs with this directory, if one does.
pub(crate) async fn connect(home: &Home) -> Result<Option<Running>, Failure> {
    let path = home.socket();
    match UnixStream::connect(&path).await {
        Ok(stream) => Ok(Some(Running(stream))),
        // It was never there; its agent was killed; or no agent could listen at so long a path.
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(Failure::file("connect to", &path, &error)),
    }
}

impl Running {
    /// Has it send a message, and gives the id.
    pub(crate) async fn send(
        self,
        outgoing: &Outgoing,
        source: &mut (impl AsyncRead + Unpin + Send),
        mut tell: impl FnMut(Moved) + Send,
    ) -> Result<String, Failure> {
        let (from, mut to) = self.0.into_split();
        let mut from = BufReader::new(from);
        let (parts, length) = match outgoing.size {
            Size::Short => (false, None),
            Size::Long(length) => (true, length),
        };
        let request = Request {
            version: VERSION,
            peer: outgoing.peer.to_string(),
            name: outgoing.name.clone(),
            parts,
            length,
            patience: outgoing.patience.as_secs(),
        };
        let hearing = hear(&mut from, &mut tell);
        let asking = ask(&mut to, &request, source);
        tokio::pin!(hearing, asking);
        tokio::select! {
            heard = &mut hearing => heard,
            asked = &mut asking => match asked {
                Err(Asked::Source(error)) => {
                    Err(Failure::other(format!("the message cannot be read: {error}")))
                }
                // Why it hangs up, it says.
                Ok(()) | Err(Asked::Agent) => hearing.await,
            }
        }
    }
}

/// Why a request could not be made.
enum Asked {
    /// The message could not be read.
    Source(io::Error),
    /// The agent hung up.
    Agent,
}

async fn ask(
    to: &mut OwnedWriteHalf,
    request: &Request,
    source: &mut (impl AsyncRead + Unpin),
) -> Result<(), Asked> {
    let mut line = serde_json::to_vec(request).map_err(|error| Asked::Source(error.into()))?;
    line.push(b'\n');
    to.write_all(&line).await.map_err(|_| Asked::Agent)?;
    let mut piece = Zeroizing::new(vec![0; PIECE]);
    loop {
        let len = source.read(&mut piece).await.map_err(Asked::Source)?;
        let head = u32::try_from(len).map_err(|error| Asked::Source(io::Error::other(error)))?;
        to.write_u32(head).await.map_err(|_| Asked::Agent)?;
        to.write_all(piece.get(..len).unwrap_or_default()).await.map_err(|_| Asked::Agent)?;
        if len == 0 {
            return Ok(());
        }
    }
}

async fn hear(
    from: &mut BufReader<OwnedReadHalf>,
    tell: &mut (impl FnMut(Moved) + Send),
) -> Result<String, Failure> {
    loop {
        let line = line(from).await.map_err(|_| {
            let message = "the agent that runs ended before it said that the message was sent";
            Failure::new(Exit::Later, message).hint(
                "it may be in the outbox; what has a --once key can be sent again, and goes once",
            )
        })?;
        let answer: Answer = serde_json::from_str(&line)
            .map_err(|error| Failure::other(format!("the agent that runs answers: {error}")))?;
        match answer {
            Answer::Progress { message, bytes, length, waiting } => {
                tell(Moved { message, bytes, length, waiting });
            }
            Answer::Sent { message } => return Ok(message),
            Answer::Failed { code, message, hint } => {
                let failure = Failure::new(Exit::from_code(code), message);
                return Err(hint.into_iter().fold(failure, Failure::hint));
            }
        }
    }
}

impl Answer {
    fn failed(failure: &Failure) -> Self {
        Self::Failed {
            code: failure.exit().code(),
            message: failure.message().to_owned(),
            hint: failure.hint_text().map(str::to_owned),
        }
    }
}
