//! What is kept of keys that wrap data keys: the ring of their versions, how far a rewrap has
//! come, and what was done, in one folder for each key.
//!
//! ```text
//! HOME/keyring/local-archive-3f9a21b4/
//!   ring             versions, states and dates
//!   notes.json       which key it is, where it is used, when its use was audited
//!   audit.jsonl      what was done: a chain of lines, signed
//!   rewrap-….json    how far a rewrap of one place has come
//!   lock             held by a command that changes any of it
//! ```
//!
//! No key is in it. A key of our own is in a file of its own, which [`KeyName::File`] names.

mod log;
mod logs;
mod notes;
mod rewrap;

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags};
use sealwire::{
    core::{KeyStore, Timestamp, kdf::sha256, keys::VerifyingKey},
    custody::{FileKeyStore, atomic},
};
use sealwire_envelope::{
    audit::Event,
    kms::{KeyId, KeyRef},
    ring::{KekRing, Schedule},
};

use self::log::Log;
pub(crate) use self::{
    log::{Expected, Found, Opened, read as read_log},
    logs::Logs,
    notes::{Notes, Signed},
    rewrap::{Saved, Shown, Watcher},
};
use crate::{
    agent, cards,
    config::StorageConfig,
    error::{Exit, Failure},
    home::Home,
    storage::KeyName,
    text::Plain,
};

/// Permission bits of what is kept: for the owner alone.
const MODE: u32 = 0o600;

/// The longest file of notes or of progress, in bytes.
const MAX_NOTES: u64 = 1024 * 1024;

const RING: &str = "ring";
const NOTES: &str = "notes.json";
const AUDIT: &str = "audit.jsonl";
const LOCK: &str = "lock";

/// What is kept of a key, to look at.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    directory: PathBuf,
    pub(crate) ring: KekRing,
    pub(crate) notes: Notes,
}

/// What is kept of a key, to change: no other command does meanwhile.
#[derive(Debug)]
pub(crate) struct Keyring {
    kept: Kept,
    log: Log,
    /// Who signs the log, where this agent has an identity.
    signer: Option<FileKeyStore>,
    keep_days: u32,
    _lock: File,
}

impl Kept {
    /// All keys that there are, in the order of their names.
    pub(crate) fn all(home: &Home) -> Result<Vec<Self>, Failure> {
        let root = root(home);
        let failed = |error: &io::Error| Failure::file("look into", &root, error);
        let entries = match fs::read_dir(&root) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let directory = entry.map_err(|error| failed(&error))?.path();
            // One without a ring is what is left of an `init` that did not come to its end.
            if directory.join(RING).is_file() {
                found.push(Self::read(directory)?);
            }
        }
        found.sort_by(|a, b| a.directory.cmp(&b.directory));
        Ok(found)
    }

    /// The key that is meant: the one that is named, or else the only one.
    pub(crate) fn of(home: &Home, named: Option<&KeyName>) -> Result<Self, Failure> {
        let mut all = Self::all(home)?;
        let Some(named) = named else {
            return match (all.pop(), all.is_empty()) {
                (Some(only), true) => Ok(only),
                (Some(_), false) => Err(Failure::new(Exit::Usage, "there are several keys").hint(
                    "name one with --kms, or set storage.kms; `sealwire keyring status` lists them",
                )),
                (None, _) => Err(Failure::other(format!("there is no key ring in {home}"))
                    .hint("`sealwire keyring init KEY` makes one")),
            };
        };
        let word = word(named)?;
        all.into_iter().find(|kept| kept.notes.key == word).ok_or_else(|| {
            let message = format!("{} has no ring in {home}", Plain::new(&word));
            Failure::other(message)
                .hint(format!("`sealwire keyring init {}` makes one", Plain::new(&word)))
        })
    }

    fn read(directory: PathBuf) -> Result<Self, Failure> {
        let bytes = read_file(&directory.join(RING), KekRing::MAX_LEN as u64)?;
        let path = directory.join(RING);
        let ring = KekRing::from_bytes(&bytes.unwrap_or_default()).map_err(|error| {
            Failure::other(error.to_string()).at(&Plain::path(&path)).hint(DAMAGED)
        })?;
        let notes = Notes::read(&directory.join(NOTES))?;
        Ok(Self { directory, ring, notes })
    }

    /// The key.
    pub(crate) fn key(&self) -> Result<&KeyRef, Failure> {
        Ok(&self.ring.active()?.id().key)
    }

    /// How commands name the key.
    pub(crate) fn name(&self) -> Result<KeyName, Failure> {
        self.notes.key.parse().map_err(|error: String| {
            Failure::other(error).at(&Plain::path(&self.directory.join(NOTES))).hint(DAMAGED)
        })
    }

    pub(crate) fn audit_path(&self) -> PathBuf {
        self.directory.join(AUDIT)
    }

    /// Its log, as it must be by what this agent knows.
    pub(crate) fn expected(&self, home: &Home, now: Timestamp) -> Result<Expected, Failure> {
        let signer = match has_identity(home)? {
            false => None,
            true => {
                let cards = cards::read(home, now)?;
                Some(cards::current(home, &cards)?.identity_key().clone())
            }
        };
        Ok(self.expected_of(signer))
    }

    fn expected_of(&self, signer: Option<VerifyingKey>) -> Expected {
        Expected { signer, kept: self.notes.checkpoint() }
    }

    /// How far a rewrap of a place has come, if one was stopped.
    pub(crate) fn progress(&self, place: &str) -> PathBuf {
        self.directory.join(format!("rewrap-{}.json", short(place)))
    }

    /// Takes what is kept of the key, to change it.
    pub(crate) fn lock(
        self,
        home: &Home,
        config: &StorageConfig,
        now: Timestamp,
    ) -> Result<(Keyring, Opened), Failure> {
        let lock = lock(&self.directory)?;
        // As it is now that nobody changes it.
        Keyring::open(Self::read(self.directory)?, lock, home, config, now)
    }
}

impl Keyring {
    /// Begins to keep what is of a key, with the versions that it has, oldest first. Where the key
    /// has a ring already, under another name, that is what names it from then on: a key file was
    /// moved.
    pub(crate) fn create(
        home: &Home,
        config: &StorageConfig,
        name: &KeyName,
        versions: &[KeyId],
        now: Timestamp,
    ) -> Result<Self, Failure> {
        let (first, later) = versions.split_first().ok_or_else(|| {
            Failure::other("the key has no version").hint("docs/kms.md says how one is made")
        })?;
        let mut ring = KekRing::new(first.clone(), now);
        let schedule = schedule(config);
        later.iter().try_for_each(|next| ring.rotate(next.clone(), &schedule, now))?;
        let directory = root(home).join(folder(&first.key));
        atomic::create_private_directory(&directory)?;
        let lock = lock(&directory)?;
        let word = word(name)?;
        if directory.join(RING).symlink_metadata().is_ok() {
            let mut kept = Kept::read(directory)?;
            if kept.notes.key == word {
                return Err(exists(&first.key));
            }
            kept.notes.key = word;
            let (mut keyring, _) = Self::open(kept, lock, home, config, now)?;
            keyring.seal(now)?;
            return Ok(keyring);
        }
        let notes = Notes::new(word, now);
        let kept = Kept { directory, ring, notes };
        let (mut keyring, _) = Self::open(kept, lock, home, config, now)?;
        keyring.seal(now)?;
        // The ring last: with it the key is there.
        let bytes = keyring.kept.ring.to_bytes();
        atomic::create_atomic(&keyring.kept.directory.join(RING), &bytes, MODE)?;
        Ok(keyring)
    }

    fn open(
        kept: Kept,
        lock: File,
        home: &Home,
        config: &StorageConfig,
        now: Timestamp,
    ) -> Result<(Self, Opened), Failure> {
        let signer = match has_identity(home)? {
            true => Some(agent::unlock(home)?),
            false => None,
        };
        let expected = kept.expected_of(signer.as_ref().map(|keys| keys.identity().clone()));
        let (log, opened) = Log::open(&kept.audit_path(), &expected, now)?;
        let keep_days = config.keep_audit_days.get();
        Ok((Self { kept, log, signer, keep_days, _lock: lock }, opened))
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(crate) fn ring(&self) -> &KekRing {
        &self.kept.ring
    }

    pub(crate) fn notes(&mut self) -> &mut Notes {
        &mut self.kept.notes
    }

    /// Notes that objects under this key are in a place, before anything is done there.
    pub(crate) fn remember(&mut self, place: &str) -> Result<(), Failure> {
        if self.kept.notes.places.insert(place.to_owned()) {
            self.kept.notes.write(&self.kept.directory.join(NOTES))?;
        }
        Ok(())
    }

    /// Adds events to the log.
    pub(crate) fn append(&mut self, events: &[Event], now: Timestamp) -> Result<(), Failure> {
        self.log.append(events, now)
    }

    /// Says what changes in the ring, and then changes it: what was said twice because of a crash
    /// can be seen, what was never said cannot.
    pub(crate) fn change(
        &mut self,
        ring: KekRing,
        event: &Event,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.log.append(std::slice::from_ref(event), now)?;
        atomic::write_atomic(&self.kept.directory.join(RING), &ring.to_bytes(), MODE)?;
        self.kept.ring = ring;
        Ok(())
    }

    /// The ring follows the service: a version that wraps there wraps here. `None` where it did
    /// already, and otherwise the version that did before.
    pub(crate) fn follow(
        &mut self,
        newest: KeyId,
        schedule: &Schedule,
        now: Timestamp,
    ) -> Result<Option<KeyId>, Failure> {
        let from = self.kept.ring.active()?.id().clone();
        if from == newest {
            return Ok(None);
        }
        // Wrapped with that, objects would go back to a version that is to be retired.
        if self.kept.ring.entry(&newest).is_some() {
            let message = format!("{newest} wraps, which is older than {from} of the ring");
            return Err(Failure::new(Exit::Denied, message).hint(
                "a copy of the key from before its last rotation is in use: put back the newest one",
            ));
        }
        let mut ring = self.kept.ring.clone();
        ring.rotate(newest.clone(), schedule, now)?;
        self.change(ring, &Event::Rotated { from: from.clone(), to: newest }, now)?;
        Ok(Some(from))
    }

    /// Ends what was begun: signs the log, lets go what is old in it, and stores the notes.
    pub(crate) fn seal(&mut self, now: Timestamp) -> Result<(), Failure> {
        if let Some(keys) = &self.signer {
            let checkpoint = self.log.checkpoint(keys, now)?;
            self.kept.notes.keep(checkpoint);
        }
        self.kept.notes.write(&self.kept.directory.join(NOTES))?;
        self.log.prune(self.keep_days, now)
    }
}

/// What is in force for rotation.
pub(crate) fn schedule(config: &StorageConfig) -> Schedule {
    Schedule {
        rotation_days: config.rotation_days.get(),
        grace_days: config.grace_days.get(),
        reminder_days: config.reminder_days.get(),
        audit_days: config.audit_days.get(),
    }
}

/// A key as notes name it: a file by its whole path, whatever directory a command runs in.
pub(crate) fn word(name: &KeyName) -> Result<String, Failure> {
    match name {
        KeyName::File(path) => {
            let whole = path.canonicalize().or_else(|_| std::path::absolute(path));
            let whole = whole.map_err(|error| Failure::file("look for", path, &error))?;
            match whole.to_str() {
                Some(text) if !text.chars().any(char::is_control) => Ok(format!("file:{text}")),
                _ => Err(Failure::new(Exit::Usage, "the path of a key file is plain UTF-8 here")),
            }
        }
        other => Ok(other.to_string()),
    }
}

pub(crate) fn exists(key: &KeyRef) -> Failure {
    Failure::other(format!("{key} has a ring already, which is not overwritten"))
        .hint("`sealwire keyring status` shows it")
}

const DAMAGED: &str =
    "put back a whole copy of the directory `keyring`; no key is in it, and none is lost";

fn root(home: &Home) -> PathBuf {
    home.file("keyring")
}

/// A name for people, and the beginning of a hash that no other key has.
fn folder(key: &KeyRef) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let tail = key.key().rsplit('/').next().unwrap_or_default();
    let slug: String = tail.chars().map(plain).take(40).collect();
    format!("{}-{slug}-{}", key.provider().as_str(), short(&key.to_string()))
}

/// The beginning of a hash of a name, in hexadecimal.
fn short(name: &str) -> String {
    let hash = sha256(&[name.as_bytes()]);
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn has_identity(home: &Home) -> Result<bool, Failure> {
    let keys = home.keys();
    keys.try_exists().map_err(|error| Failure::file("look for", &keys, &error))
}

/// Held until the file is closed, by whatever ends the process.
fn lock(directory: &Path) -> Result<File, Failure> {
    let path = directory.join(LOCK);
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or_default();
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(false).mode(MODE).custom_flags(flags);
    let file = options.open(&path).map_err(|error| Failure::file("lock", &path, &error))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(rustix::io::Errno::WOULDBLOCK) => {
            Err(Failure::new(Exit::Later, "another command is at work on this key ring")
                .hint("let it end, or end it: a rewrap goes on where it was ended"))
        }
        Err(error) => Err(Failure::file("lock", &path, &error.into())),
    }
}

/// A whole file of at most so many bytes, if it is there.
fn read_file(path: &Path, most: u64) -> Result<Option<Vec<u8>>, Failure> {
    let mut bytes = Vec::new();
    let read =
        File::open(path).and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() as u64 > most => {
            Err(Failure::other(format!("over {most} bytes long"))
                .at(&Plain::path(path))
                .hint(DAMAGED))
        }
        Ok(_) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::file("read", path, &error)),
    }
}
