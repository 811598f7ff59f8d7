//! What only the relay can tell: whether it is there, its clock, and the prekeys that it has.

use std::sync::Arc;

use sealwire::{core::Timestamp, custody::FileKeyStore, identity::IdentityCard};
use sealwire_relay::client::{Client, ClientError, Probe, Settings};

use super::{Check, judged};
use crate::{
    agent,
    config::{AgentConfig, Config},
    offline,
    prekeys::{self, Prekeys},
};

/// How far clocks may differ before it is worth a word, in seconds: a signature is taken within
/// 60.
const CLOCKS_DIFFER: u64 = 10;

/// The relay, and its clock against this one.
pub(super) async fn relay(config: &AgentConfig) -> Vec<Check> {
    let mut settings = Settings::default();
    settings.plain_http_anywhere = config.plain_http_anywhere;
    match offline::ca_pem(config) {
        Ok(pem) => settings.ca_pem = pem,
        Err(failure) => return vec![Check::failed("relay", &failure)],
    }
    let client = match Client::new(config.relay.clone(), None, settings) {
        Ok(client) => client,
        Err(error) => return vec![unreachable(config, &error)],
    };
    match client.probe().await {
        Ok(probe) => vec![reached(config, &probe), clocks(&probe)],
        Err(error) => vec![unreachable(config, &error)],
    }
}

fn reached(config: &AgentConfig, probe: &Probe) -> Check {
    let tls = match &probe.tls {
        Some(tls) => format!("{} with {}", tls.version, tls.key_exchange),
        None => "without TLS".to_owned(),
    };
    let server = probe.server.as_deref().unwrap_or("a relay that does not say its version");
    let said = format!(
        "{} at {}: {server}, {tls}, in {} ms",
        config.relay,
        probe.address,
        probe.round_trip.as_millis()
    );
    Check::ok("relay", said)
}

fn clocks(probe: &Probe) -> Check {
    let name = "relay's clock";
    let Some(date) = probe.date else {
        return Check::warn(name, "the relay does not tell its time", "ask its operator");
    };
    let wall = agent::wall();
    let apart = wall.since(date).max(date.since(wall));
    let said = match apart {
        0 => "as this one".to_owned(),
        _ => format!("{apart} s from this one"),
    };
    match probe.skew {
        Some(skew) => {
            let said = format!("the clock of this machine is {skew}, and signatures are refused");
            Check::fail(name, said, "set the clock of this machine, or have the relay's set")
        }
        None if apart >= CLOCKS_DIFFER => {
            Check::warn(name, said, "set the clocks before they are a minute apart")
        }
        None => Check::ok(name, said),
    }
}

fn unreachable(config: &AgentConfig, error: &ClientError) -> Check {
    let said = format!("{}: {error}", config.relay);
    let todo = match error {
        ClientError::Unresolved(_) => "correct agent.relay, or the name service of this machine",
        ClientError::Unreachable(_) => {
            "start the relay (`sealwire relay run`), or correct agent.relay"
        }
        ClientError::Untrusted(_) => {
            "if the relay has an authority of its own, set agent.ca_file to its certificate"
        }
        ClientError::Plain => "write https:// in agent.relay, or set agent.plain_http_anywhere",
        ClientError::Protocol(_) => "correct agent.relay: something else answers there",
        _ => "look at the relay's log",
    };
    Check::fail("relay", said, todo)
}

/// The prekeys that the relay hands out for this agent, and the card beside them.
pub(super) async fn prekeys(config: &Config, keys: &Arc<FileKeyStore>) -> Check {
    match prekeys::published(config, keys).await {
        Ok(Some(found)) => judge(&found, agent::wall()),
        Ok(None) => Check::warn(
            "prekeys",
            "none are published: peers cannot write while this agent is away",
            "`sealwire keys publish`, or run `sealwire recv`",
        ),
        Err(failure) => judged("prekeys", &failure),
    }
}

fn judge(found: &Prekeys, now: Timestamp) -> Check {
    let name = "prekeys";
    let Prekeys { card, left } = found;
    let todo = "`sealwire keys publish`, or run `sealwire recv`";
    let stands = IdentityCard::from_bytes(card).and_then(|card| card.verify(now));
    if let Err(error) = stands {
        return Check::fail(name, format!("the card beside them cannot be used: {error}"), todo);
    }
    match Prekeys::are_low(*left) {
        true => Check::warn(name, Prekeys::say(*left), todo),
        false => Check::ok(name, Prekeys::say(*left)),
    }
}
