//! `sealwire pair`: two people pin each other's agents with a short code and a phrase.

use std::{cell::Cell, fmt, io, io::IsTerminal, process::ExitCode, time::Duration};

use sealwire::{
    Agent, Error,
    custody::system_rng,
    pairing::{self, Code, Meeting, Paired, Role},
};
use sealwire_relay::client::{Client, Settings};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::{
    agent,
    config::{AgentConfig, Config},
    driver::{self, Stop},
    error::{Exit, Failure},
    home::Home,
    offline,
    output::Output,
};

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// The code that the other side shows
    code: Option<String>,
    /// How long to wait for the other side, an hour at most
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 600,
        value_parser = clap::value_parser!(u64).range(1..=3600)
    )]
    timeout: u64,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { code, timeout } = args;
    home.require_identity()?;
    let (code, role) = match code {
        Some(text) => (parse(&text)?, Role::Joiner),
        None => (Code::generate(&mut system_rng()).map_err(failed)?, Role::Creator),
    };
    let client = client(&config.agent)?;
    let agent = agent::load(home, config)?.build()?;
    let limit = Duration::from_secs(timeout);
    driver::block_on(async {
        let mut stop = Stop::new()?;
        let meeting = Meeting::open(&client, code, role).await.map_err(refused)?;
        if role == Role::Creator {
            output.event(&Event::Code { code: code.to_string() });
        }
        let paired = meet(meeting, &agent, limit, &mut stop).await?;
        compare(&agent, paired, &mut stop, *output).await
    })?;
    Ok(Exit::Done.into())
}

/// A client that signs nothing with the identity: who pairs is not the relay's business.
fn client(config: &AgentConfig) -> Result<Client, Failure> {
    let mut settings = Settings::default();
    settings.plain_http_anywhere = config.plain_http_anywhere;
    settings.ca_pem = offline::ca_pem(config)?;
    settings.deadline = DEADLINE;
    Client::new(config.relay.clone(), None, settings)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// How long one call is repeated by itself: a relay that is not there is told soon.
const DEADLINE: Duration = Duration::from_secs(5);

fn parse(text: &str) -> Result<Code, Failure> {
    Code::parse(text).map_err(|error| {
        let failure = Failure::new(Exit::Usage, error.to_string());
        failure.hint("type the code as the other side shows it")
    })
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    /// What the other side types.
    Code { code: String },
    /// What both sides show.
    Phrase { phrase: String, peer: String },
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code } => {
                writeln!(f, "At the other side, type:  sealwire pair {code}")?;
                write!(f, "Waiting for it…")
            }
            Self::Phrase { phrase, peer } => {
                writeln!(f, "The other side is {peer}")?;
                writeln!(f, "Both screens have to show:  {phrase}")?;
                write!(f, "Does the other one? Type yes, or what it shows:")
            }
        }
    }
}

#[derive(Serialize)]
struct Pinned {
    id: String,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pinned {}", self.id)
    }
}

async fn meet(
    meeting: Meeting,
    agent: &Agent,
    limit: Duration,
    stop: &mut Stop,
) -> Result<Paired, Failure> {
    let signalled = Cell::new(false);
    let end = async {
        tokio::select! {
            () = tokio::time::sleep(limit) => {}
            () = stop.asked() => signalled.set(true),
        }
    };
    let met = meeting.pair(agent, end).await;
    met.map_err(|error| if signalled.get() { stopped() } else { refused(error) })
}

/// Shows the phrase, and pins who is there when a human says that it is the same.
async fn compare(
    agent: &Agent,
    paired: Paired,
    stop: &mut Stop,
    output: Output,
) -> Result<(), Failure> {
    let (phrase, peer) = (paired.phrase().to_string(), paired.peer().to_string());
    output.event(&Event::Phrase { phrase: phrase.clone(), peer: peer.clone() });
    let answer = tokio::select! {
        answer = read_answer() => answer?,
        () = stop.asked() => return Err(stopped()),
    };
    if !says_yes(&answer, io::stdin().is_terminal()) && !is_same(&answer, &phrase) {
        let message = "the phrases differ, or nobody said that they are the same; nothing was \
                       pinned";
        return Err(Failure::new(Exit::Denied, message)
            .hint("somebody may be between you: try again, and compare over another way"));
    }
    agent.pin(paired.confirm())?;
    output.result(&Pinned { id: peer })
}

/// The longest answer that is read, in bytes: a phrase many times over.
const MAX_ANSWER_LEN: u64 = 1024;

async fn read_answer() -> Result<String, Failure> {
    let mut answer = Vec::new();
    let mut stdin = BufReader::new(tokio::io::stdin().take(MAX_ANSWER_LEN));
    let read = stdin.read_until(b'\n', &mut answer).await;
    read.map_err(|error| Failure::other(format!("cannot read the answer: {error}")))?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A word of yes, from who was asked. A program has to give the phrase: one that says yes to
/// whatever it is shown would make the phrase worthless.
fn says_yes(answer: &str, asked: bool) -> bool {
    asked && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Whether a phrase was typed, in whatever case and grouping.
fn is_same(answer: &str, phrase: &str) -> bool {
    let plain = |text: &str| -> String {
        let kept = text.trim().chars().filter(|character| !matches!(character, ' ' | '-'));
        kept.map(|character| character.to_ascii_lowercase()).collect()
    };
    !plain(phrase).is_empty() && plain(answer) == plain(phrase)
}

fn stopped() -> Failure {
    Failure::other("the pairing was ended; nothing was pinned")
}

fn refused(error: Error) -> Failure {
    match error {
        Error::Pairing(error) => failed(error),
        error => error.into(),
    }
}

fn failed(error: pairing::Error) -> Failure {
    use pairing::Error as Pairing;
    let message = error.to_string();
    match error {
        Pairing::Nobody => Failure::new(Exit::Later, message).hint(
            "`sealwire pair` without a code has to be waiting at the other side, at the same \
             relay; it shows the code",
        ),
        Pairing::Stopped => Failure::new(Exit::Later, message).hint("begin anew, with a new code"),
        Pairing::Ended => {
            let failure = Failure::new(Exit::Refused, message);
            failure.hint("it gave up, or met somebody else: begin anew, with a new code")
        }
        Pairing::Oneself => Failure::other(message)
            .hint("give each side a directory of its own with --home or SEALWIRE_HOME"),
        Pairing::Keys | Pairing::Core(_) => Failure::other(message),
        _ => Failure::new(Exit::Denied, format!("the pairing failed: {message}"))
            .hint("begin anew, with a new code: somebody else may have used this one"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yes_counts_from_a_person_and_a_phrase_from_anyone() {
        let phrase = "bam-kod-lun-rif";
        for (answer, person, program) in [
            ("y\n", true, false),
            ("Yes\r\n", true, false),
            ("bam-kod-lun-rif\n", true, true),
            (" BAM KOD LUN RIF", true, true),
            ("bamkodlunrif", true, true),
            ("bam-kod-lun-rib\n", false, false),
            ("bam-kod-lun\n", false, false),
            ("bam-kod-lun-rif no\n", false, false),
            ("bam-kod-lun-rif?\n", false, false),
            ("n\n", false, false),
            ("", false, false),
            ("\n", false, false),
            ("yy\n", false, false),
        ] {
            let confirms = |asked| says_yes(answer, asked) || is_same(answer, phrase);
            assert_eq!((confirms(true), confirms(false)), (person, program), "{answer:?}");
        }
        assert!(!is_same("", "") && !is_same("-", "-"));
    }
}
