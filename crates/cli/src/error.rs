//! How a command fails: a sentence, what to do about it, and an exit code.

use std::{fmt, io, path::Path, process::ExitCode};

use sealwire::{NoRoute, custody, delivery::DeliveryError, identity, noise, ratchet, store};
use sealwire_envelope::{self as envelope, kms::KmsError, store::StoreError};
use serde::Serialize;

use crate::text::Plain;

/// What the exit code says. The table in the help texts is [`Exit::TABLE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    Cut = 3,
    Refused = 4,
    Denied = 5,
    Later = 6,
}

impl Exit {
    pub(crate) const TABLE: &str = "\
Exit codes:
  0  done; of listen and connect: both directions were closed, authenticated
  1  another failure
  2  wrong usage, or a configuration that cannot be used
  3  the connection was cut before the peer's authenticated close: data may be missing
  4  the peer refused
  5  this side refused: by its policy, or because the peer is not the one it must be
  6  nothing is lost, and trying again later can succeed: a relay, peer, store
     or key service is away or busy";

    pub(crate) const fn code(self) -> u8 {
        self as u8
    }

    /// The one of this code; what is unknown has failed.
    pub(crate) fn from_code(code: u8) -> Self {
        let all = [Self::Done, Self::Usage, Self::Cut, Self::Refused, Self::Denied, Self::Later];
        all.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Failed)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    /// Nobody is told: the reader of standard output has left.
    quiet: bool,
}

/// A failure as one JSON object.
#[derive(Serialize)]
pub(crate) struct Report<'a> {
    event: &'static str,
    code: u8,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a str>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, quiet: false }
    }

    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// A handshake that did not lead to a channel.
    pub(crate) fn handshake(error: sealwire::Error) -> Self {
        use sealwire::Error;
        match error {
            Error::Truncated => Self::new(Exit::Cut, "the connection ended during the handshake"),
            Error::Io(error) => {
                let message = format!("the connection failed during the handshake: {error}");
                Self::new(Exit::Cut, message)
            }
            error => error.into(),
        }
    }

    /// What to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what that means for what was to be done.
    pub(crate) fn and(mut self, outcome: &str) -> Self {
        self.message = format!("{}; {outcome}", self.message);
        self
    }

    /// Says where it happened.
    pub(crate) fn at(mut self, place: &dyn fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// A file that cannot be read or written.
    pub(crate) fn file(action: &str, path: &Path, error: &io::Error) -> Self {
        let failure = Self::other(format!("cannot {action} {}: {error}", Plain::path(path)));
        failure.hint_for(error.kind())
    }

    /// Standard output failed. When its reader has left, that is no news to anyone.
    pub(crate) fn stdout(error: &io::Error) -> Self {
        let quiet = error.kind() == io::ErrorKind::BrokenPipe;
        Self { quiet, ..Self::other(format!("cannot write to standard output: {error}")) }
    }

    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn report(&self) -> Report<'_> {
        let Self { exit, message, hint, quiet: _ } = self;
        Report { event: "failed", code: exit.code(), message, hint: hint.as_deref() }
    }

    fn hint_for(self, kind: io::ErrorKind) -> Self {
        use io::ErrorKind as Kind;
        match kind {
            Kind::PermissionDenied | Kind::ReadOnlyFilesystem | Kind::NotADirectory => self.hint(
                "nothing was changed; choose a directory that you can write to with --home or \
                 SEALWIRE_HOME",
            ),
            Kind::StorageFull | Kind::QuotaExceeded => {
                self.hint("nothing was changed; make room and try again")
            }
            _ => self,
        }
    }
}

impl From<custody::Error> for Failure {
    fn from(error: custody::Error) -> Self {
        let failure = Self::other(error.to_string());
        match error {
            custody::Error::Io { cause, .. } => failure.hint_for(cause.kind()),
            custody::Error::Open => failure.hint("nothing was changed; try again"),
            custody::Error::Decode(_) => failure.hint(
                "nothing was changed; put back a whole copy of the file `keys`, or choose another \
                 directory with --home",
            ),
            _ => failure,
        }
    }
}

impl From<identity::Error> for Failure {
    fn from(error: identity::Error) -> Self {
        use identity::Error as Identity;
        let exit = match error {
            Identity::OlderCard { .. }
            | Identity::ForkedCard(_)
            | Identity::IdentityChanged
            | Identity::Downgrade
            | Identity::KeyNumber
            | Identity::IdMismatch
            | Identity::Signature(_) => Exit::Denied,
            _ => Exit::Failed,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<sealwire::Error> for Failure {
    fn from(error: sealwire::Error) -> Self {
        use sealwire::Error;
        let message = error.to_string();
        match error {
            Error::Io(_) | Error::Truncated => Self::new(Exit::Cut, message),
            Error::Identity(error) => error.into(),
            Error::Store(error) => error.into(),
            Error::Noise(error) => noise_failure(&error),
            Error::Refused => Self::new(Exit::Refused, message).hint(
                "the peer must pin this agent's card: `sealwire id card` here, `sealwire trust \
                 pin` there; or it listens with --allow-any",
            ),
            Error::Denied(_) => Self::new(Exit::Denied, message),
            Error::WrongPeer { .. } => Self::new(Exit::Denied, message).hint(
                "if the peer at this address is meant to have changed, compare its id with its \
                 owner and dial with --peer, --card or --stranger",
            ),
            Error::WrongKey => Self::new(Exit::Denied, message),
            Error::State(error) => state_failure(&error),
            Error::Delivery(error) => delivery_failure(&error),
            Error::NoRoute(NoRoute::Offline) => Self::new(
                Exit::Later,
                "the peer has published no prekeys at this relay, so it cannot be written to while \
                 it is away",
            )
            .hint("at the peer, `sealwire keys publish` does so, and so does `sealwire recv`"),
            Error::Rewound | Error::Unanswered => Self::new(Exit::Later, message),
            Error::Ratchet(error) => ratchet_failure(&error),
            Error::Oneself => Self::other(message)
                .hint("give each side a directory of its own with --home or SEALWIRE_HOME"),
            Error::PeersFile { .. } => Self::other(message)
                .hint("put back a whole copy of it, or move it away and pin the peers anew"),
            Error::OwnCardExpired => {
                Self::other("this agent's card has expired while it was running")
                    .hint("start it again, which signs a new card")
            }
            Error::NotPinned(id) => {
                Self::other(format!("{id} is not pinned, so its keys are not known")).hint(
                    "pin its card first with `sealwire trust pin`, or dial with --card or \
                     --stranger",
                )
            }
            _ => Self::other(message),
        }
    }
}

impl From<envelope::Error> for Failure {
    fn from(error: envelope::Error) -> Self {
        use envelope::Error;
        let message = error.to_string();
        match error {
            Error::Open => Self::other(message).hint(
                "it was sealed for another tenant or with another --context --require, or under \
                 another key, or it was changed or cut; `sealwire inspect` shows what it says of \
                 itself",
            ),
            Error::Sealer => Self::new(Exit::Denied, "no accepted agent has signed the object")
                .hint("pin its sealer with `sealwire trust pin`, or name it with --from"),
            Error::Kms(error) => error.into(),
            Error::Store(error) => error.into(),
            Error::Misuse(_) => Self::new(Exit::Usage, message),
            _ => Self::other(message),
        }
    }
}

impl From<KmsError> for Failure {
    fn from(error: KmsError) -> Self {
        let message = error.to_string();
        match error {
            KmsError::Open => envelope::Error::Open.into(),
            KmsError::Throttled(_) | KmsError::Unavailable(_) => Self::new(Exit::Later, message)
                .hint("nothing was changed; try again when the key service answers"),
            KmsError::Settings(_) => Self::new(Exit::Usage, message).hint(
                "docs/kms.md says what a key service is told, and docs/configuration.md where",
            ),
            KmsError::NotFound(_) => Self::other(message)
                .hint("name it as it is spelled there; docs/kms.md has an example"),
            KmsError::Version(_) => Self::other(message)
                .hint("the version was retired or removed; bring it back to open what it wrapped"),
            _ => Self::other(message),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let message = without_queries(&error.to_string());
        match error {
            StoreError::Exists => Self::other("there is an object of this name already")
                .hint("nothing was changed; take another name, or erase that object first"),
            StoreError::Denied(_) => Self::other(message)
                .hint("ask whoever administers the store, or look at the credentials"),
            StoreError::Name(_) => Self::new(Exit::Usage, message),
            StoreError::Unavailable(_) | StoreError::Failed(_)
                if MACHINE.iter().any(|at| message.contains(at)) =>
            {
                Self::other(message).hint(
                    "no credentials for the store are in the environment, and this machine has none \
                     of its own; docs/configuration.md says which variables hold them",
                )
            }
            StoreError::Unavailable(_) => Self::new(Exit::Later, message).hint(
                "try again when the store answers; if it never does, look whether its address is \
                 right; storage.patience_seconds says how long it is asked",
            ),
            StoreError::Failed(_) if message.contains("://") => Self::other(message).hint(
                "look whether the address and the name of the bucket are right; then try again",
            ),
            _ => Self::other(message),
        }
    }
}

/// Where a machine in a cloud asks for its own credentials.
const MACHINE: [&str; 2] = ["//169.254.169.254", "//metadata.google.internal"];

/// A message without what stands behind the `?` of addresses in it: signatures, among others.
fn without_queries(message: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((address, _)) if address.contains("://") => format!("{address}?…"),
        _ => word.to_owned(),
    };
    message.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

fn state_failure(error: &store::Error) -> Failure {
    use store::Error as State;
    let failure = Failure::other(error.to_string());
    match error {
        State::InUse { .. } => {
            let failure = Failure::new(Exit::Later, error.to_string());
            failure.hint("another command of this agent, as `send` or `recv --wait`, holds it; let that one end")
        }
        State::AnchorMissing { .. } | State::AnchorNew { .. } => {
            failure.hint("set agent.anchor, and say it once with `sealwire doctor --change-anchor`")
        }
        State::RolledBack { .. } | State::AnchorMoved => {
            let refused = Failure::new(Exit::Denied, error.to_string());
            refused.hint("if this is the newest state all the same, `sealwire doctor --change-anchor` says so")
        }
        State::KmsMissing { .. } => failure.hint(
            "set agent.state_kms to it; or, to do without, `sealwire keys rewrap --from KEY`, once",
        ),
        State::KmsNew { .. } => {
            failure.hint("`sealwire keys rewrap` has it guarded from now on, once")
        }
        State::OtherKms { .. } => failure.hint(
            "set agent.state_kms to it; or, to go on with the other, `sealwire keys rewrap --from \
             KEY`, once",
        ),
        State::Kms { cause: KmsError::Open, .. } => failure
            .hint("the key service has another key under this name; put back the one that it had"),
        State::Kms { cause, .. } => Failure::from(cause.clone()).at(&"the key of the state"),
        State::AnchorUnavailable(_) => Failure::new(Exit::Later, error.to_string())
            .hint("nothing was lost; try again when it answers"),
        State::Full { .. } => failure.hint("make room and try again"),
        _ => failure,
    }
}

fn delivery_failure(error: &DeliveryError) -> Failure {
    let message = match error {
        DeliveryError::Full => {
            return Failure::new(Exit::Later, "a peer's mailbox is full until it reads");
        }
        // The delivery is the relay, of which it says the same.
        DeliveryError::Unreachable(cause) => cause.to_string(),
        _ => error.to_string(),
    };
    match error.is_retryable() {
        true => Failure::new(Exit::Later, message)
            .hint("`sealwire doctor` says what is wrong with the relay"),
        false => Failure::new(Exit::Refused, message),
    }
}

fn ratchet_failure(error: &ratchet::Error) -> Failure {
    use ratchet::Error as Ratchet;
    let message = format!("the peer's prekeys cannot be used: {error}");
    match error {
        Ratchet::Signature(_)
        | Ratchet::Mismatch(_)
        | Ratchet::Lifetime(_)
        | Ratchet::OlderBundle
        | Ratchet::ForkedBundle => Failure::new(Exit::Denied, message)
            .hint("the relay may be serving others than the peer's: ask the peer over another way"),
        Ratchet::Expired(_) => Failure::new(Exit::Later, message)
            .hint("at the peer, `sealwire keys publish` makes new ones"),
        _ => Failure::other(error.to_string()),
    }
}

fn noise_failure(error: &noise::Error) -> Failure {
    match error {
        noise::Error::Handshake => Failure::other(
            "the handshake failed: an answer does not open; something changed it on the way, or \
             who answers does not have the peer's keys",
        ),
        noise::Error::Proof => Failure::new(
            Exit::Denied,
            "the peer did not prove that it holds the keys of the identity it claims",
        ),
        noise::Error::Record => Failure::other(
            "data was changed on the way and refused; what came before it is authentic",
        ),
        noise::Error::Decode(error) => {
            Failure::other(format!("the other side does not speak this protocol: {error}"))
        }
        other => Failure::other(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_away_is_told_from_what_nobody_has_set_up() {
        let away = |text: &str| Failure::from(StoreError::Unavailable(text.to_owned()));
        let store = away("GET http://127.0.0.1:9/a?X-Amz-Signature=hunter2 in 1s: refused");
        assert_eq!(store.exit(), Exit::Later);
        assert!(!store.message().contains("hunter2"), "{}", store.message());
        for text in [
            "PUT http://169.254.169.254/latest/api/token in 3s: operation timed out",
            "GET http://metadata.google.internal/computeMetadata/v1 in 3s: dns error",
        ] {
            let machine = away(text);
            assert_eq!(machine.exit(), Exit::Failed);
            assert!(machine.hint_text().is_some_and(|hint| hint.contains("no credentials")));
        }
    }
}
