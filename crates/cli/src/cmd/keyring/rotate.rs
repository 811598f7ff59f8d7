//! `sealwire keyring rotate`.

use std::{fmt, path::Path};

use sealwire::{core::Timestamp, custody::system_rng};
use sealwire_custody::kms::KekFile;
use sealwire_envelope::{
    kms::{KeyId, KmsError},
    ring::State,
};
use serde::Serialize;

use super::{Desk, Which, newest};
use crate::{
    error::{Exit, Failure},
    keyring::{Keyring, schedule},
    passphrase,
    storage::{self, KeyName},
    text::{Plain, utc},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
}

pub(super) async fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { which } = args;
    let mut keyring = desk.take(&which)?;
    let name = keyring.kept().name()?;
    let from = match &name {
        KeyName::File(path) => rotate_file(path, &mut keyring, desk).await?,
        _ => rotate_service(&name, &mut keyring, desk).await?,
    };
    keyring.seal(desk.now)?;
    let ring = keyring.ring();
    let until = match ring.entry(&from).map(|entry| entry.state()) {
        Some(State::DecryptOnly { until }) => until,
        _ => desk.now,
    };
    desk.output.result(&Rotated {
        key: keyring.kept().notes.key().to_owned(),
        from: from.version.as_str().to_owned(),
        to: ring.active()?.id().version.as_str().to_owned(),
        until: until.as_secs(),
    })?;
    Ok(Exit::Done)
}

/// The version that wrapped before.
async fn rotate_file(
    path: &Path,
    keyring: &mut Keyring,
    desk: &Desk<'_>,
) -> Result<KeyId, Failure> {
    let schedule = schedule(desk.storage());
    let passphrase = passphrase::ask_for(&Plain::path(path))?;
    let file = KekFile::open(path, &passphrase);
    let mut file = file.map_err(|error| Failure::from(error).at(&Plain::path(path)))?;
    let newest = newest(&file.kms(system_rng())).await?;
    // Of a rotation that did not come to its end the version is there already.
    if let Some(from) = keyring.follow(newest.clone(), &schedule, desk.now)? {
        return Ok(from);
    }
    let version = file.rotate(&passphrase, &mut system_rng())?;
    keyring.follow(KeyId { key: newest.key.clone(), version }, &schedule, desk.now)?;
    Ok(newest)
}

async fn rotate_service(
    name: &KeyName,
    keyring: &mut Keyring,
    desk: &Desk<'_>,
) -> Result<KeyId, Failure> {
    let schedule = schedule(desk.storage());
    let kms = storage::kms(name, desk.storage()).await?;
    let before = newest(kms.as_ref()).await?;
    // It may have been rotated there, by somebody or by itself.
    if let Some(from) = keyring.follow(before.clone(), &schedule, desk.now)? {
        return Ok(from);
    }
    let KeyName::Vault { mount, name } = name else {
        let arn = before.key.key();
        let message = format!("the service has no newer version of the key than {before}");
        return Err(Failure::other(message).hint(format!(
            "make one with `aws kms rotate-key-on-demand --key-id {arn}`, and run this once more \
             when it is there"
        )));
    };
    let version = storage::vault(mount, name, desk.storage()).await?.rotate().await;
    let version = version.map_err(|error| match error {
        KmsError::Denied(_) => Failure::other(error.to_string()).hint(format!(
            "somebody who may can run `vault write -f {mount}/keys/{name}/rotate`, and you this \
             once more after it"
        )),
        error => error.into(),
    })?;
    keyring.follow(KeyId { key: before.key.clone(), version }, &schedule, desk.now)?;
    Ok(before)
}

#[derive(Serialize)]
struct Rotated {
    key: String,
    from: String,
    to: String,
    /// Until when the old version unwraps in any case.
    until: u64,
}

impl fmt::Display for Rotated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, from, to, until } = self;
        let until = utc(Timestamp::from_secs(*until));
        writeln!(f, "{key}")?;
        writeln!(
            f,
            "Version {to} wraps from now on. Version {from} unwraps, until {until} at least."
        )?;
        write!(f, "Next: `sealwire keyring rewrap PLACE`, for each place with objects under it.")?;
        if key.starts_with("file:") {
            write!(
                f,
                "\nCopy the key file anew: a copy from before does not open what is sealed now."
            )?;
        }
        Ok(())
    }
}
