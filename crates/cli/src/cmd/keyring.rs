//! `sealwire keyring`: keys that wrap data keys, from their first day to their last.

mod audit;
mod init;
mod retire;
mod rewrap;
mod rotate;
mod status;
mod sweep;

use std::{fmt, process::ExitCode};

use sealwire::core::Timestamp;
use sealwire_envelope::{
    kms::{KeyId, Kms},
    store::Store,
};
use serde::Serialize;

use crate::{
    agent,
    config::{Config, StorageConfig},
    driver,
    error::{Exit, Failure},
    home::Home,
    keyring::{Kept, Keyring},
    output::Output,
    storage::{KeyName, Place},
    text::Plain,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Begin to use a key: makes a key file, or takes a key of a service
    ///
    /// A file is sealed under a passphrase, and is never overwritten; one that is there is taken
    /// as it is. Of a key service the key must be there, with a right to look at it.
    Init(init::Args),
    /// Make another version of the key wrap from now on, the old one only unwraps
    ///
    /// Of a file and in Vault the version is made here; of AWS KMS it is taken up after it was
    /// made there. Nothing is wrapped anew by this: see rewrap.
    Rotate(rotate::Args),
    /// Wrap the data keys of a store anew, with the newest version of the key
    ///
    /// No object is read or changed, and no key is destroyed. It may be ended at any time, and
    /// goes on where it was. The exit code is 1 where a record failed, or was changed by somebody
    /// else meanwhile.
    Rewrap(rewrap::Args),
    /// Show keys, their versions, what is due, and which versions a store still needs
    Status(status::Args),
    /// Give an old version up, after all stores were looked at and none needs it
    Retire(retire::Args),
    /// Find key records that no object has, and objects without one; delete the records
    ///
    /// They are left behind by a seal that was killed, and by objects that were deleted by other
    /// means: with such a record a copy of the object still opens. No object is deleted, and no
    /// record that is young or may be of something that cannot be read; the exit code is 1 then.
    /// PLACE must be where the store begins, and all its objects in it: what was moved elsewhere
    /// without its key record is lost with that.
    Sweep(sweep::Args),
    /// Show what was done with a key, verify it, or note that its access was audited
    Audit(audit::Args),
}

/// Which key is meant.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// The key: file:PATH, vault:NAME or an ARN [default: storage.kms, or the only one]
    #[arg(long, value_name = "KEY")]
    kms: Option<KeyName>,
}

impl Which {
    fn kept(&self, home: &Home, config: &Config) -> Result<Kept, Failure> {
        Kept::of(home, self.kms.as_ref().or(config.storage.kms.as_ref()))
    }
}

pub(crate) fn run(
    command: Command,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let desk = Desk { home, config, output: *output, now: agent::wall() };
    driver::block_on(async {
        match command {
            Command::Init(args) => init::run(args, &desk).await,
            Command::Rotate(args) => rotate::run(args, &desk).await,
            Command::Rewrap(args) => rewrap::run(args, &desk).await,
            Command::Status(args) => status::run(args, &desk).await,
            Command::Retire(args) => retire::run(args, &desk).await,
            Command::Sweep(args) => sweep::run(args, &desk).await,
            Command::Audit(args) => audit::run(args, &desk),
        }
    })
    .map(ExitCode::from)
}

/// What every one of these commands has at hand.
struct Desk<'a> {
    home: &'a Home,
    config: &'a Config,
    output: Output,
    now: Timestamp,
}

impl Desk<'_> {
    fn storage(&self) -> &StorageConfig {
        &self.config.storage
    }

    /// Takes a key, to change what is kept of it.
    fn take(&self, which: &Which) -> Result<Keyring, Failure> {
        let kept = which.kept(self.home, self.config)?;
        let (keyring, opened) = kept.lock(self.home, self.storage(), self.now)?;
        opened.tell(self.output);
        Ok(keyring)
    }
}

/// A store, and the word for it that stays the same wherever a command runs.
struct Shop {
    word: String,
    store: Store,
}

impl Shop {
    fn open(place: &Place, config: &StorageConfig) -> Result<Self, Failure> {
        let store = place.store_here(config)?;
        let text = place.to_string();
        // No path has a scheme, but for whole ones.
        let is_bucket = text.contains("://") && !text.starts_with('/');
        let word = match is_bucket {
            true => text,
            false => {
                let whole = std::fs::canonicalize(&text);
                let whole =
                    whole.map_err(|error| Failure::file("look for", text.as_ref(), &error))?;
                Plain::path(&whole).to_string()
            }
        };
        Ok(Self { word, store })
    }
}

/// The version of a key that wraps.
async fn newest(kms: &dyn Kms) -> Result<KeyId, Failure> {
    Ok(KeyId { key: kms.key().clone(), version: kms.version().await? })
}

/// What a command tells on its way.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told {
    Followed { from: String, to: String },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Followed { from, to } = self;
        write!(f, "the key was rotated by other means, from version {from} to {to}")
    }
}

/// A failure for nothing but its exit code: what failed was told.
const fn exit(failed: bool) -> Exit {
    if failed { Exit::Failed } else { Exit::Done }
}
