//! `sealwire connect`: dial a peer, then carry standard input and output.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use base64ct::{Base64, Base64Unpadded, Base64Url, Base64UrlUnpadded, Encoding};
use sealwire::{Agent, Channel, Peer, core::keys::StaticPublic, identity::AgentId};
use tokio::net::TcpStream;

use crate::{
    addresses, agent,
    config::Config,
    driver,
    error::{Exit, Failure},
    event::Event,
    home::Home,
    input,
    output::Output,
    pipe,
    progress::Progress,
    text::Plain,
    view::SuiteName,
};

/// How long the address may take to answer.
const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// Address to dial, as 127.0.0.1:7000
    #[arg(value_name = "ADDR")]
    address: String,
    #[command(flatten)]
    expected: Expected,
    /// The suite to seal with [default: that of the configuration]
    #[arg(long, value_enum)]
    suite: Option<SuiteName>,
}

/// Who has to answer.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct Expected {
    /// This pinned agent must answer
    #[arg(long, value_name = "DID")]
    peer: Option<String>,
    /// The agent of this card must answer
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// The holder of this X25519 exchange key must answer; in hexadecimal or base64
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Anyone may answer, whoever was met at this address before
    #[arg(long)]
    stranger: bool,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { address, expected, suite } = args;
    home.require_identity()?;
    let peer = expected.peer(home, &address)?;
    let builder = agent::load(home, config)?;
    let builder = match suite {
        Some(suite) => builder.suite(suite.into()),
        None => builder,
    };
    driver::block_on(dial(&builder.build()?, &address, peer, home, *output))?;
    Ok(Exit::Done.into())
}

async fn dial(
    agent: &Agent,
    address: &str,
    peer: Peer,
    home: &Home,
    output: Output,
) -> Result<(), Failure> {
    let stream = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|error| unreachable_at(address, &error))?;
    stream.set_nodelay(true).map_err(sealwire::Error::from)?;
    let stranger = matches!(peer, Peer::Stranger);
    let channel = agent.connect(stream, peer).await.map_err(|error| refused(error, stranger))?;
    output.event(&Event::connected(&channel, address.to_owned())?);
    remember(home, address, &channel, output)?;
    let progress = Progress::start(output);
    let outcome = pipe::run(channel, &progress).await;
    let (sent, received) = progress.finish();
    outcome?;
    output.event(&Event::Closed { sent, received });
    Ok(())
}

/// What a failed handshake means. A listener for pinned peers does not answer who does not say
/// whom it wants.
fn refused(error: sealwire::Error, stranger: bool) -> Failure {
    let refused = matches!(error, sealwire::Error::Refused);
    let failure = Failure::handshake(error);
    if refused && stranger {
        failure.hint(
            "pin each other's cards (`sealwire id card` prints one, `sealwire trust pin` takes \
             it) and dial with --peer; or the peer listens with --allow-any",
        )
    } else {
        failure
    }
}

/// Notes who answered at this address. The channel stands whether that succeeds or not.
fn remember<T>(
    home: &Home,
    address: &str,
    channel: &Channel<T>,
    output: Output,
) -> Result<(), Failure> {
    if let Err(failure) = addresses::remember(home, address, channel.peer()?) {
        let message = format!("the address is not remembered: {}", failure.message());
        output.event(&Event::Warning { message });
    }
    Ok(())
}

impl Expected {
    /// Whom to dial, from the options or the address book.
    fn peer(self, home: &Home, address: &str) -> Result<Peer, Failure> {
        let Self { peer, card, key, stranger } = self;
        if let Some(did) = peer {
            let id = AgentId::parse(&did);
            return Ok(Peer::Id(id.map_err(|error| bad_option("--peer", &did, &error))?));
        }
        if let Some(file) = card {
            return Ok(Peer::Card(Box::new(input::card(&file)?)));
        }
        if let Some(key) = key {
            return Ok(Peer::StaticKey(parse_key(&key)?));
        }
        let known = if stranger { None } else { addresses::lookup(home, address)? };
        Ok(known.map_or(Peer::Stranger, Peer::Id))
    }
}

/// Reads a key of 32 bytes in hexadecimal or in base64 of any kind.
fn parse_key(text: &str) -> Result<StaticPublic, Failure> {
    let bytes = hexadecimal(text).or_else(|| {
        [Base64::decode_vec, Base64Unpadded::decode_vec]
            .into_iter()
            .chain([Base64Url::decode_vec, Base64UrlUnpadded::decode_vec])
            .find_map(|decode| decode(text).ok())
    });
    let bytes =
        bytes.ok_or_else(|| bad_option("--key", text, &"neither hexadecimal nor base64"))?;
    StaticPublic::from_bytes(&bytes).map_err(|error| bad_option("--key", text, &error))
}

fn hexadecimal(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .chars()
        .map(|digit| digit.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.filter(|digits| digits.len() == 64)?;
    let pair = |pair: &[u8]| pair.iter().fold(0, |byte, digit| (byte << 4) | digit);
    Some(digits.chunks(2).map(pair).collect())
}

fn bad_option(option: &str, value: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::new(Exit::Usage, format!("{option} {}: {why}", Plain::new(value)))
}

fn unreachable_at(address: &str, error: &io::Error) -> Failure {
    let address = Plain::new(address);
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::other(format!("nobody listens at {address}"))
            .hint("start `sealwire listen` there, or correct the address"),
        io::ErrorKind::TimedOut => Failure::other(format!("{address} does not answer")),
        io::ErrorKind::InvalidInput => Failure::new(
            Exit::Usage,
            format!("{address} is not an address: {error}; write it as 127.0.0.1:7000"),
        ),
        _ => Failure::other(format!("cannot reach {address}: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_every_common_form() {
        // Its base64 has the characters in which the alphabets differ.
        let key: [u8; 32] = std::array::from_fn(|index| if index == 31 { 0x3f } else { 0xfb });
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        for text in [
            hex.to_uppercase(),
            hex,
            Base64::encode_string(&key),
            Base64Unpadded::encode_string(&key),
            Base64Url::encode_string(&key),
            Base64UrlUnpadded::encode_string(&key),
        ] {
            assert_eq!(parse_key(&text).expect("a key").as_bytes(), &key, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_wrong_usage() {
        for text in ["", "x", "00", &"0".repeat(64), &"g".repeat(64), "\u{1b}[2J"] {
            let failure = parse_key(text).expect_err(text);
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(!failure.message().contains('\u{1b}'));
        }
    }
}
