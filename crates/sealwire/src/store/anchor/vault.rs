//! An anchor in Vault or OpenBao, in the KV engine, version 2.

use core::fmt;
use std::{
    sync::mpsc::{self, Receiver, Sender},
    thread,
};

use sealwire_custody::kms::{VaultCell, VaultSettings};
use sealwire_envelope::kms::KmsError;
use tokio::runtime::{Builder, Runtime};

use super::{Anchor, AnchorState};
use crate::store::Error;

/// An anchor in the KV engine of Vault or OpenBao, version 2, moved by check-and-set.
///
/// It costs one request for each transaction of the state. While the server does not answer,
/// nothing of what was committed leaves, and the state has to be opened again.
///
/// Each state has a path of its own, [`VaultSettings::key`] in the engine
/// [`VaultSettings::mount`]. The token needs `create`, `read` and `update` on `MOUNT/data/PATH`, and
/// nothing else: with `delete`, or on `MOUNT/destroy`, the anchor could be made to be forgotten.
///
/// ```no_run
/// use std::sync::Arc;
/// use sealwire::custody::kms::{VaultSettings, VaultToken};
/// use sealwire::store::{Options, VaultAnchor};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let token = VaultToken::File("/run/agent/vault-token".into());
/// let mut settings = VaultSettings::new("https://vault.example:8200", "agents/alice", token);
/// settings.mount = "secret".to_owned();
/// let options = Options::new().anchor(Arc::new(VaultAnchor::new(settings)?));
/// # Ok(())
/// # }
/// ```
///
/// # Security
/// Whoever has a token that may write to the path can put an older anchor there, the agent itself
/// first of all. It guards against a state that is put back, not against a machine that is taken.
pub struct VaultAnchor {
    name: String,
    jobs: Sender<Job>,
}

/// What is asked, and where the answer goes.
enum Job {
    Read(Sender<Result<Option<AnchorState>, Error>>),
    Advance(Option<AnchorState>, AnchorState, Sender<Result<(), Error>>),
}

impl VaultAnchor {
    /// The anchor at this place. The server is not asked yet.
    ///
    /// # Errors
    /// [`Error::Anchor`] for settings that are wrong.
    pub fn new(settings: VaultSettings) -> Result<Self, Error> {
        let cell = VaultCell::new(settings).map_err(failed)?;
        let name = cell.name().to_owned();
        let ended = |error| Error::Anchor(format!("it cannot be asked: {error}"));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ended)?;
        let (jobs, waiting) = mpsc::channel();
        // Whoever calls may be within a runtime, in which nobody may wait for another one.
        let thread = thread::Builder::new().name("anchor".to_owned());
        thread
            .spawn(move || Holder { cell, known: None }.work(&runtime, &waiting))
            .map_err(ended)?;
        Ok(Self { name, jobs })
    }

    /// Where it is: `secret/agents/alice`.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn ask<T>(&self, job: impl FnOnce(Sender<Result<T, Error>>) -> Job) -> Result<T, Error> {
        let (sender, answer) = mpsc::channel();
        let ended = || Error::Unreachable("the thread of an anchor ends after it");
        self.jobs.send(job(sender)).map_err(|_| ended())?;
        answer.recv().map_err(|_| ended())?
    }
}

// STA-25
impl Anchor for VaultAnchor {
    fn read(&self) -> Result<Option<AnchorState>, Error> {
        self.ask(Job::Read)
    }

    fn advance(&self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        self.ask(|answer| Job::Advance(from, to, answer))
    }
}

/// The thread's own.
struct Holder {
    cell: VaultCell,
    /// What was there last, and its version: a version is never written twice.
    known: Option<(u64, AnchorState)>,
}

impl Holder {
    /// Ends with the anchor.
    fn work(mut self, runtime: &Runtime, jobs: &Receiver<Job>) {
        for job in jobs {
            // Who does not wait for an answer any more needs none.
            match job {
                Job::Read(answer) => {
                    let found = runtime.block_on(self.look()).map(|(_, state)| state);
                    drop(answer.send(found));
                }
                Job::Advance(from, to, answer) => {
                    drop(answer.send(runtime.block_on(self.advance(from, to))));
                }
            }
        }
    }

    async fn look(&self) -> Result<(u64, Option<AnchorState>), Error> {
        let (version, value) = self.cell.read().await.map_err(failed)?;
        let state = value.map(|bytes| AnchorState::from_bytes(&bytes)).transpose();
        let malformed = |error| Error::Anchor(format!("{}: {error}", self.cell.name()));
        Ok((version, state.map_err(malformed)?))
    }

    async fn advance(&mut self, from: Option<AnchorState>, to: AnchorState) -> Result<(), Error> {
        let version = match self.known.take() {
            Some((version, state)) if Some(state) == from => version,
            _ => {
                let (version, state) = self.look().await?;
                if state != from {
                    return Err(Error::AnchorMoved);
                }
                version
            }
        };
        if !self.cell.write(version, &to.to_bytes()).await.map_err(failed)? {
            return Err(Error::AnchorMoved);
        }
        self.known = Some((version.saturating_add(1), to));
        Ok(())
    }
}

fn failed(error: KmsError) -> Error {
    match error.is_temporary() {
        true => Error::AnchorUnavailable(error.to_string()),
        false => Error::Anchor(error.to_string()),
    }
}

impl fmt::Debug for VaultAnchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, jobs: _ } = self;
        f.debug_struct("VaultAnchor").field("name", name).finish_non_exhaustive()
    }
}
