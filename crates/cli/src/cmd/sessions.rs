//! `sealwire sessions`: what there is between this agent and peers that may be away.

use std::{fmt, process::ExitCode};

use sealwire::{Agent, SessionInfo};
use serde::Serialize;

use crate::{
    config::Config,
    driver,
    error::{Exit, Failure},
    home::Home,
    offline,
    output::Output,
    text::utc,
    whom,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List the sessions with all peers
    List,
    /// Close the sessions with a peer: their keys are wiped, and the next message begins anew
    ///
    /// Messages of the peer that are on their way do not open any more. It is not told.
    Close {
        /// The peer: its id, or as much of its beginning as is enough
        #[arg(required_unless_present = "all")]
        peer: Option<String>,
        /// Close those with every peer
        #[arg(long, conflicts_with = "peer")]
        all: bool,
    },
}

pub(crate) fn run(
    command: Command,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        Command::List => {
            driver::block_on(async {
                let offline = offline::open(home, config).await?;
                list(&offline.agent, *output).await
            })?;
        }
        Command::Close { peer, all: _ } => {
            let peer = peer.map(|peer| whom::resolve(home, &peer)).transpose()?;
            let only = |session: &SessionInfo| {
                peer.as_ref().is_none_or(|peer| session.peer.agent == *peer)
            };
            driver::block_on(async {
                let offline = offline::open(home, config).await?;
                close(&offline.agent, only, *output).await
            })?;
        }
    }
    Ok(Exit::Done.into())
}

#[derive(Serialize)]
struct View {
    peer: String,
    device: u32,
    session: String,
    active: bool,
    sent: u64,
    received: u64,
    skipped: usize,
    created: u64,
    last_used: u64,
}

#[derive(Serialize)]
struct Listed {
    sessions: Vec<View>,
}

async fn list(agent: &Agent, output: Output) -> Result<(), Failure> {
    let sessions = agent.sessions().await?;
    output.result(&Listed { sessions: sessions.iter().map(View::from).collect() })
}

#[derive(Serialize)]
struct Closed {
    closed: usize,
}

async fn close(
    agent: &Agent,
    only: impl Fn(&SessionInfo) -> bool,
    output: Output,
) -> Result<(), Failure> {
    let mut closed = 0;
    for session in agent.sessions().await?.iter().filter(|session| only(session)) {
        closed += usize::from(agent.close_session(session).await?);
    }
    output.result(&Closed { closed })
}

impl From<&SessionInfo> for View {
    fn from(session: &SessionInfo) -> Self {
        Self {
            peer: session.peer.agent.to_string(),
            device: session.peer.number,
            session: session.id.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect(),
            active: session.active,
            sent: session.sent,
            received: session.received,
            skipped: session.skipped,
            created: session.created.as_secs(),
            last_used: session.last_used.as_secs(),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.sessions.is_empty() {
            return f.write_str("no sessions; the first message to or from a peer begins one");
        }
        self.sessions.iter().try_for_each(|session| write!(f, "{session}"))
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, device, session, active, sent, received, skipped, .. } = self;
        let time = |seconds| utc(sealwire::core::Timestamp::from_secs(seconds));
        writeln!(f, "{peer}")?;
        if *device != 0 {
            writeln!(f, "  device       {device}")?;
        }
        let state = if *active { "messages go there" } else { "set aside, receives only" };
        writeln!(f, "  session      {session}, {state}")?;
        writeln!(f, "  messages     {sent} sent, {received} received, {skipped} awaited")?;
        let (begun, used) = (time(self.created), time(self.last_used));
        writeln!(f, "  begun        {begun}, last used {used}")
    }
}

impl fmt::Display for Closed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.closed {
            1 => f.write_str("closed 1 session"),
            closed => write!(f, "closed {closed} sessions"),
        }
    }
}
