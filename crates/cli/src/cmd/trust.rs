//! `sealwire trust`: the peers that this agent knows.

use std::{fmt, path::PathBuf, process::ExitCode};

use sealwire::identity::{AgentId, Comparison, PinnedBy};
use serde::Serialize;

use crate::{
    addresses, agent, cards,
    error::{Exit, Failure},
    home::Home,
    input,
    output::Output,
    text::Plain,
    view::{CardView, PinView},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Pin the agent of a card, which its owner gave you
    Pin {
        /// The card as text, as `sealwire id card` prints it; - reads standard input
        file: PathBuf,
    },
    /// List the pinned agents
    List,
    /// Forget an agent, which is a stranger afterwards
    Remove {
        /// The id of the agent, did:key:…
        did: String,
    },
}

pub(crate) fn run(command: Command, home: &Home, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Pin { file } => pin(home, &file, output)?,
        Command::List => list(home, output)?,
        Command::Remove { did } => remove(home, &did, output)?,
    }
    Ok(Exit::Done.into())
}

#[derive(Serialize)]
struct Pinned {
    #[serde(flatten)]
    card: CardView,
    /// What was pinned before: `nothing`, `same` or `older`.
    before: &'static str,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, before } = self;
        match *before {
            "nothing" => write!(f, "pinned {}", card.id),
            "same" => write!(f, "{} was pinned with this card already", card.id),
            _ => write!(f, "{} is now pinned with card {}", card.id, card.sequence),
        }
    }
}

fn pin(home: &Home, file: &std::path::Path, output: &Output) -> Result<(), Failure> {
    let card = input::card(file)?;
    home.create()?;
    let peers = agent::peers(home)?;
    let now = agent::now(&peers)?;
    let own = cards::read(home, now)?;
    if own.iter().any(|own| own.id() == card.claimed().id()) {
        return Err(Failure::other("this is this agent's own card; pin that of the peer"));
    }
    let card = card.verify(now)?;
    let before = match peers.pin(&card, PinnedBy::OutOfBand, now)? {
        Comparison::Unknown => "nothing",
        Comparison::Same => "same",
        Comparison::Newer => "older",
    };
    output.result(&Pinned { card: card.as_verified().into(), before })
}

#[derive(Serialize)]
struct Listed {
    peers: Vec<PinView>,
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.peers.is_empty() {
            return f.write_str("no pinned agents; pin one with `sealwire trust pin`");
        }
        self.peers.iter().try_for_each(|peer| write!(f, "{peer}"))
    }
}

fn list(home: &Home, output: &Output) -> Result<(), Failure> {
    let mut addresses = addresses::by_agent(home)?;
    let pins = agent::peers(home)?.list()?;
    let views = pins.iter().map(|pin| {
        let addresses = addresses.remove(pin.id().as_str()).unwrap_or_default();
        PinView { addresses, ..pin.into() }
    });
    output.result(&Listed { peers: views.collect() })
}

#[derive(Serialize)]
struct Removed {
    removed: String,
}

impl fmt::Display for Removed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "removed {}", self.removed)
    }
}

fn remove(home: &Home, did: &str, output: &Output) -> Result<(), Failure> {
    let id = AgentId::parse(did)
        .map_err(|error| Failure::new(Exit::Usage, format!("{}: {error}", Plain::new(did))))?;
    if !home.pins().exists() || !agent::peers(home)?.remove(&id)? {
        return Err(Failure::other(format!("{id} is not pinned")));
    }
    addresses::forget(home, &id)?;
    output.result(&Removed { removed: id.to_string() })
}
