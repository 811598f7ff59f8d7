//! Entrances of mailboxes that were asked for lately.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use sealwire_core::secret::Secret;

use super::super::Entrance;
use crate::SendId;

/// Entrances of one generation; there are two, so some 20 MB at most.
const GENERATION: usize = 32 * 1024;

/// What was read once is given again until it changes. The one that writes says when.
#[derive(Debug, Default)]
pub(super) struct Entrances(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    young: HashMap<SendId, Entrance>,
    old: HashMap<SendId, Entrance>,
    /// Ascends with each change: what was read before it may be of the time before.
    version: u64,
}

impl Entrances {
    /// One that is known, or the version to read it under.
    pub(super) fn get(&self, id: &SendId) -> Result<Entrance, u64> {
        let mut known = self.lock();
        if let Some(entrance) = known.young.get(id) {
            return Ok(copy(entrance));
        }
        let Some(entrance) = known.old.remove(id) else { return Err(known.version) };
        let found = copy(&entrance);
        known.keep(*id, entrance);
        Ok(found)
    }

    /// Keeps what was read under a version, unless something has changed since.
    pub(super) fn keep(&self, version: u64, id: SendId, entrance: &Entrance) {
        let mut known = self.lock();
        if known.version == version {
            known.keep(id, copy(entrance));
        }
    }

    /// Forgets what has changed.
    pub(super) fn forget(&self, changed: impl ExactSizeIterator<Item = SendId>) {
        if changed.len() == 0 {
            return;
        }
        let mut known = self.lock();
        known.version = known.version.wrapping_add(1);
        for id in changed {
            known.young.remove(&id);
            known.old.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn keep(&mut self, id: SendId, entrance: Entrance) {
        if self.young.len() >= GENERATION {
            self.old = core::mem::take(&mut self.young);
        }
        self.young.insert(id, entrance);
    }
}

fn copy(entrance: &Entrance) -> Entrance {
    let Entrance { mailbox, kind, secret, revoked } = entrance;
    let secret = Secret::init_with(|bytes| bytes.copy_from_slice(secret.expose()));
    Entrance { mailbox: *mailbox, kind: *kind, secret, revoked: revoked.clone() }
}
