//! The audit logs of several keys, for what is done with objects.

use std::collections::BTreeSet;

use sealwire::core::Timestamp;
use sealwire_envelope::{audit::Event, kms::KeyRef};

use super::{Kept, Keyring};
use crate::{config::StorageConfig, error::Failure, home::Home, output::Output};

/// The logs of those keys of some that have a ring here. No other command changes them meanwhile.
pub(crate) struct Logs {
    rings: Vec<(KeyRef, Keyring)>,
    now: Timestamp,
}

impl Logs {
    /// Takes the logs of these keys, before anything is done that is to be in them.
    pub(crate) fn take(
        keys: &BTreeSet<KeyRef>,
        home: &Home,
        config: &StorageConfig,
        now: Timestamp,
        output: Output,
    ) -> Result<Self, Failure> {
        let mut rings = Vec::new();
        for kept in Kept::all(home)? {
            let key = kept.key()?.clone();
            if keys.contains(&key) {
                let (ring, opened) = kept.lock(home, config, now)?;
                opened.tell(output);
                rings.push((key, ring));
            }
        }
        Ok(Self { rings, now })
    }

    /// Notes what was done with an object under these keys.
    pub(crate) fn note(&mut self, keys: &BTreeSet<KeyRef>, event: &Event) -> Result<(), Failure> {
        let mut rings = self.rings.iter_mut();
        rings.try_for_each(|(key, ring)| match keys.contains(key) {
            true => ring.append(std::slice::from_ref(event), self.now),
            false => Ok(()),
        })
    }

    /// Signs them, and gives the keys that they are of.
    pub(crate) fn finish(self) -> Result<Vec<String>, Failure> {
        let mut names = Vec::new();
        for (_, mut ring) in self.rings {
            ring.seal(self.now)?;
            names.push(ring.kept().notes.key().to_owned());
        }
        Ok(names)
    }
}
