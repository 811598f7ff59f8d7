//! The directory of an agent: where its keys, cards, pins and addresses are.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

use sealwire::custody::atomic;

use crate::{error::Failure, text::Plain};

/// The directory of an agent.
#[derive(Clone, Debug)]
pub(crate) struct Home(PathBuf);

impl Home {
    /// The directory that was asked for, else `sealwire` in the user's data directory.
    pub(crate) fn locate(asked: Option<PathBuf>) -> Result<Self, Failure> {
        let set = |name| env::var_os(name).filter(|value| Path::new(value).is_absolute());
        let data = || {
            let user = || Some(Path::new(&set("HOME")?).join(".local/share"));
            Some(set("XDG_DATA_HOME").map(PathBuf::from).or_else(user)?.join("sealwire"))
        };
        asked.or_else(data).map(Self).ok_or_else(|| {
            Failure::other("no directory for this agent: neither HOME nor XDG_DATA_HOME is set")
                .hint("name one with --home or SEALWIRE_HOME")
        })
    }

    /// The directory itself.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Makes the directory, for the owner alone, if it is not there.
    pub(crate) fn create(&self) -> Result<(), Failure> {
        Ok(atomic::create_private_directory(&self.0)?)
    }

    /// Fails with what to do when there is no key file.
    pub(crate) fn require_identity(&self) -> Result<(), Failure> {
        let keys = self.keys();
        match keys.try_exists() {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.no_identity()),
            Err(error) => Err(Failure::file("look for", &keys, &error)),
        }
    }

    fn no_identity(&self) -> Failure {
        let message = format!("no identity in {self}; make one with `sealwire id new`");
        Failure::other(message)
    }

    /// The private keys, sealed under the passphrase.
    pub(crate) fn keys(&self) -> PathBuf {
        self.file("keys")
    }

    /// The cards that this agent has signed and that peers may still hold, newest last.
    pub(crate) fn cards(&self) -> PathBuf {
        self.file("cards")
    }

    /// The peers it knows.
    pub(crate) fn pins(&self) -> PathBuf {
        self.file("pins")
    }

    /// Which peer was met at which address.
    pub(crate) fn addresses(&self) -> PathBuf {
        self.file("addresses")
    }

    /// The state of what passes between this agent and peers that may be away.
    pub(crate) fn state(&self) -> PathBuf {
        self.file("state")
    }

    /// The way into an agent that runs.
    pub(crate) fn socket(&self) -> PathBuf {
        self.file("socket")
    }

    /// Files that are being sent in parts.
    pub(crate) fn sends(&self) -> PathBuf {
        self.file("sends")
    }

    /// Where parts of long messages are put together that go to a command or to standard output.
    pub(crate) fn incoming(&self) -> PathBuf {
        self.file("incoming")
    }

    /// A file or directory in it.
    pub(crate) fn file(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.0.join(name.as_ref())
    }
}

impl std::fmt::Display for Home {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Plain::path(&self.0).fmt(f)
    }
}
