//! `sealwire keyring init`.

use std::{fmt, path::Path};

use sealwire::{core::rng::draw, custody::system_rng};
use sealwire_custody::kms::KekFile;
use sealwire_envelope::{
    self as envelope,
    kms::{KeyId, Kms as _},
};
use serde::Serialize;

use super::Desk;
use crate::{
    error::{Exit, Failure},
    keyring::{self, Kept, Keyring},
    passphrase,
    storage::{self, KeyName},
    text::Plain,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key: file:PATH, vault:NAME, vault:MOUNT/NAME or arn:aws:kms:REGION:ACCOUNT:key/ID
    key: KeyName,
    /// What key records call the key of a new file; no two keys may have one name [default: that
    /// of the file, and random digits]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

pub(super) async fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { key, name } = args;
    refuse_known(&key, desk)?;
    let mut made = false;
    let versions = match &key {
        KeyName::File(path) => {
            made = path.symlink_metadata().is_err();
            match made {
                true => make(path, name.as_deref())?,
                false => open(path, name.as_deref())?,
            }
        }
        _ if name.is_some() => {
            let message = "--name is for new key files: a service has named its key";
            return Err(Failure::new(Exit::Usage, message));
        }
        _ => {
            let kms = storage::kms(&key, desk.storage()).await?;
            vec![KeyId { key: kms.key().clone(), version: kms.version().await? }]
        }
    };
    let keyring = Keyring::create(desk.home, desk.storage(), &key, &versions, desk.now)?;
    let active = keyring.ring().active()?.id();
    desk.output.result(&Made {
        key: keyring.kept().notes.key().to_owned(),
        name: active.key.key().to_owned(),
        version: active.version.as_str().to_owned(),
        made,
    })?;
    Ok(Exit::Done)
}

/// Before a key is drawn for it.
fn refuse_known(key: &KeyName, desk: &Desk<'_>) -> Result<(), Failure> {
    let word = keyring::word(key)?;
    for kept in Kept::all(desk.home)? {
        if kept.notes.key() == word {
            return Err(keyring::exists(kept.key()?));
        }
    }
    Ok(())
}

/// Draws a key for a new file.
fn make(path: &Path, name: Option<&str>) -> Result<Vec<KeyId>, Failure> {
    let name = match name {
        Some(name) => name.to_owned(),
        None => {
            let drawn = draw::<8>(&mut system_rng()).map_err(envelope::Error::from)?;
            let digits = drawn.expose().iter().map(|byte| format!("{byte:02x}"));
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
            let plain = |letter: char| if letter.is_alphanumeric() { letter } else { '-' };
            let stem: String = stem.unwrap_or_default().chars().map(plain).take(64).collect();
            format!("{stem}-{}", digits.collect::<String>())
        }
    };
    let passphrase = passphrase::ask_new()?;
    versions(&KekFile::create(path, &name, &passphrase, &mut system_rng())?)
}

/// Takes a key whose file is there: of a backup, or of an `init` that did not come to its end.
fn open(path: &Path, name: Option<&str>) -> Result<Vec<KeyId>, Failure> {
    let passphrase = passphrase::ask_for(&Plain::path(path))?;
    let file = KekFile::open(path, &passphrase);
    let file = file.map_err(|error| Failure::from(error).at(&Plain::path(path)))?;
    let versions = versions(&file)?;
    let other = |name: &&str| versions.iter().any(|id| id.key.key() != *name);
    if let Some(name) = name.filter(other) {
        let path = Plain::path(path);
        let message = format!("{path} is there already, and its key is not {}", Plain::new(name));
        return Err(Failure::other(message).hint("leave --name out, or name another file"));
    }
    Ok(versions)
}

fn versions(file: &KekFile) -> Result<Vec<KeyId>, Failure> {
    let kms = file.kms(system_rng());
    let versions = kms.keys().versions()?;
    Ok(versions.into_iter().map(|version| KeyId { key: kms.key().clone(), version }).collect())
}

#[derive(Serialize)]
struct Made {
    key: String,
    name: String,
    version: String,
    /// Whether a key file was made.
    made: bool,
}

impl fmt::Display for Made {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, name, version, made } = self;
        writeln!(f, "{key}")?;
        write!(f, "Version {version} wraps. Key records call the key {name}.")?;
        if *made {
            write!(
                f,
                "\nKeep a copy of the file and the passphrase in another place: without them \
                 nothing\nthat it wrapped opens."
            )?;
        }
        Ok(())
    }
}
