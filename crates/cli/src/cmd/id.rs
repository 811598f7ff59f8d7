//! `sealwire id`: this agent's own identity.

use std::{fmt, process::ExitCode};

use sealwire::{
    core::Timestamp,
    custody::{self, FileKeyStore},
    identity::IdentityCard,
};
use serde::Serialize;

use crate::{
    agent,
    cards::{self, Named},
    config::Config,
    error::{Exit, Failure},
    home::Home,
    output::Output,
    passphrase,
    protection::Protection,
    text::{Plain, utc},
    view::{CardView, list},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Draw the keys of a new agent and sign its first card
    ///
    /// Asks for a passphrase, which seals the keys, or takes it from SEALWIRE_PASSPHRASE.
    /// Existing keys are never overwritten.
    New,
    /// Show this agent's id and card, and how its keys are protected in memory
    Show,
    /// Print this agent's card, to hand to peers
    ///
    /// The card is public. It is renewed when less than half of its life is left, which needs
    /// the passphrase; peers accept the old one until it ends.
    Card {
        /// Sign a new card in any case
        #[arg(long)]
        renew: bool,
    },
}

pub(crate) fn run(
    command: Command,
    home: &Home,
    config: &Config,
    output: &Output,
    protection: &Protection,
) -> Result<ExitCode, Failure> {
    let relay = Named::As(config.agent.public_relay.as_ref());
    match command {
        Command::New => new(home, relay, output)?,
        Command::Show => show(home, output, protection)?,
        Command::Card { renew } => card(home, relay, renew, output)?,
    }
    Ok(Exit::Done.into())
}

#[derive(Serialize)]
struct Created {
    id: String,
    home: String,
    not_after: u64,
}

impl fmt::Display for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, home, not_after: _ } = self;
        writeln!(f, "{id}")?;
        writeln!(f, "Its keys are in {home}, sealed under your passphrase; keep both.")?;
        write!(f, "Print the card for your peers with `sealwire id card`.")
    }
}

fn new(home: &Home, relay: Named<'_>, output: &Output) -> Result<(), Failure> {
    let path = home.keys();
    // Asked before the passphrase is; the key store makes sure of it when it writes.
    if path.symlink_metadata().is_ok() {
        return Err(exists(custody::Error::Exists(path)));
    }
    let now = agent::wall();
    cards::refuse_leftover(home, now)?;
    let passphrase = passphrase::ask_new()?;
    let keys = FileKeyStore::create(&path, &passphrase, &mut custody::system_rng());
    let cards = cards::renew(home, &keys.map_err(exists)?, now, relay, false)?;
    let card = cards::current(home, &cards)?;
    output.result(&Created {
        id: card.id().to_string(),
        home: home.to_string(),
        not_after: card.not_after().as_secs(),
    })
}

fn exists(error: custody::Error) -> Failure {
    match error {
        custody::Error::Exists(path) => Failure::other(format!(
            "there is an identity already: {} is not overwritten",
            Plain::path(&path)
        ))
        .hint("show it with `sealwire id show`, or choose another directory with --home"),
        error => error.into(),
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    card: CardView,
    home: String,
    /// Exchange keys that peers may use, newest first.
    kx_ids: Vec<u32>,
    expired: bool,
    /// Of this process, and so of every other command in the same place.
    protection: &'a Protection,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, home, kx_ids, expired, protection } = self;
        let end = utc(Timestamp::from_secs(card.not_after));
        let state = if *expired { "expired on" } else { "valid until" };
        writeln!(f, "id             {}", card.id)?;
        writeln!(f, "home           {home}")?;
        writeln!(f, "exchange keys  number {}", list(kx_ids))?;
        writeln!(f, "card           {}, {state} {end}", card.sequence)?;
        write!(f, "{protection}")
    }
}

fn show(home: &Home, output: &Output, protection: &Protection) -> Result<(), Failure> {
    home.require_identity()?;
    let now = agent::wall();
    let cards = cards::read(home, now)?;
    let card = cards::current(home, &cards)?;
    let standing = cards.iter().rev().filter(|card| now <= card.not_after());
    let mut kx_ids: Vec<u32> = standing.map(|card| card.kx_id().get()).collect();
    kx_ids.dedup();
    output.result(&Shown {
        card: card.into(),
        home: home.to_string(),
        kx_ids,
        expired: now > card.not_after(),
        protection,
    })
}

#[derive(Serialize)]
struct Printed {
    #[serde(flatten)]
    view: CardView,
    card: String,
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.card)
    }
}

fn card(home: &Home, relay: Named<'_>, renew: bool, output: &Output) -> Result<(), Failure> {
    home.require_identity()?;
    let peers = agent::peers(home)?;
    let now = agent::now(&peers)?;
    let mut cards = cards::read(home, now)?;
    let stands = |card: &IdentityCard| !cards::is_due(card, now) && relay.is_in(card);
    if renew || !cards.last().is_some_and(stands) {
        cards = cards::renew(home, &agent::unlock(home)?, now, relay, renew)?;
    }
    let card = cards::current(home, &cards)?;
    output.result(&Printed { view: card.into(), card: card.to_text() })
}
