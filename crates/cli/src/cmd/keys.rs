//! `sealwire keys`: what peers need to write to this agent while it is away.

mod rewrap;

use std::{fmt, process::ExitCode, sync::Arc};

use sealwire::{
    core::{KeyStore, Timestamp},
    custody::FileKeyStore,
    ratchet::prekey::Unclaimed,
};
use serde::Serialize;

use crate::{
    agent, cards,
    config::Config,
    driver,
    error::{Exit, Failure},
    home::Home,
    mail::Mail,
    offline::{self, Guard},
    output::Output,
    prekeys::{self, Prekeys},
    text::{Plain, utc},
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show which keys there are, and how many one-time prekeys the relay has left
    Status,
    /// Publish prekeys at the relay, so that peers can write while this agent is away
    ///
    /// Does what is due and no more. `recv` does it by itself.
    Publish,
    /// Have the state guarded as `agent.state_kms` says: by that key too, or by none
    Rewrap(rewrap::Args),
}

pub(crate) fn run(
    command: Command,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let keys = Arc::new(agent::unlock(home)?);
    if let Command::Rewrap(args) = command {
        return rewrap::run(args, home, config, &keys, output);
    }
    driver::block_on(async {
        if let Command::Publish = command {
            publish(home, config, &keys, *output).await?;
        }
        output.result(&status(home, config, &keys).await?)
    })?;
    Ok(Exit::Done.into())
}

async fn publish(
    home: &Home,
    config: &Config,
    keys: &Arc<FileKeyStore>,
    output: Output,
) -> Result<(), Failure> {
    let built = offline::build(home, config, Arc::clone(keys), &Guard::default()).await?;
    let mail = Mail::new(built, output);
    mail.publish().await?;
    mail.sync().await?;
    // Where the relay had lost the mailbox that they name.
    mail.publish().await
}

/// What there is.
#[derive(Serialize)]
struct Status {
    id: String,
    device: u32,
    kx_id: u32,
    card: u64,
    card_not_after: u64,
    relay: String,
    published: bool,
    one_time_x25519: u32,
    one_time_ml_kem: u32,
}

/// Asks the relay. The agent's state is not looked at: another process may have it.
async fn status(home: &Home, config: &Config, keys: &Arc<FileKeyStore>) -> Result<Status, Failure> {
    let found = prekeys::published(config, keys).await?;
    let left = found.as_ref().map_or(Unclaimed { x25519: 0, kem: 0 }, |found| found.left);
    let cards = cards::read(home, agent::now(&agent::peers(home)?)?)?;
    let card = cards::current(home, &cards)?;
    Ok(Status {
        id: card.id().to_string(),
        device: config.agent.device.get(),
        kx_id: keys.newest().get(),
        card: card.sequence(),
        card_not_after: card.not_after().as_secs(),
        relay: config.agent.relay.to_string(),
        published: found.is_some(),
        one_time_x25519: left.x25519,
        one_time_ml_kem: left.kem,
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "id             {}", self.id)?;
        writeln!(f, "exchange keys  number {}", self.kx_id)?;
        let end = utc(Timestamp::from_secs(self.card_not_after));
        writeln!(f, "card           {}, valid until {end}", self.card)?;
        writeln!(f, "relay          {}", Plain::new(&self.relay))?;
        if !self.published {
            return write!(f, "prekeys        none; `sealwire keys publish` makes some");
        }
        let left = Unclaimed { x25519: self.one_time_x25519, kem: self.one_time_ml_kem };
        write!(f, "prekeys        {}", Prekeys::say(left))
    }
}
