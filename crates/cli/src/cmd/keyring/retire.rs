//! `sealwire keyring retire`.

use std::{collections::BTreeSet, fmt, path::Path};

use sealwire::custody::system_rng;
use sealwire_custody::kms::KekFile;
use sealwire_envelope::{
    self as envelope,
    audit::Event,
    census::Census,
    kms::{KeyId, KeyVersion},
    ring::{KekRing, State},
};
use serde::Serialize;

use super::{Desk, Shop, Which, exit};
use crate::{
    error::{Exit, Failure},
    keyring::{Kept, Keyring},
    passphrase,
    storage::{KeyName, Place},
    text::{Plain, utc},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A store with objects under the key, as for rewrap
    place: Place,
    /// The version [default: each one whose grace has ended]
    version: Option<String>,
    /// Another store with objects under it: all that there are must be named
    #[arg(long, value_name = "PLACE")]
    also: Vec<Place>,
    /// A place that a rewrap has seen and that is gone for good
    #[arg(long, value_name = "PLACE")]
    gone: Vec<String>,
    /// Take the version out of the key file, once it is retired. What it wrapped opens no more
    #[arg(long)]
    destroy: bool,
    #[command(flatten)]
    which: Which,
}

pub(super) async fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { place, version, also, gone, destroy, which } = args;
    let mut keyring = desk.take(&which)?;
    let name = keyring.kept().name()?;
    if destroy && !matches!(name, KeyName::File(_)) {
        return Err(Failure::new(Exit::Usage, "--destroy is for key files").hint(
            "what a service has retired it destroys by its own means; docs/kms.md says how",
        ));
    }
    let shops = std::iter::once(&place).chain(&also);
    let shops = shops.map(|place| Shop::open(place, desk.storage()));
    let shops = shops.collect::<Result<Vec<_>, _>>()?;
    for place in &gone {
        if !keyring.notes().places.remove(place) {
            let message = format!("no rewrap has seen {}", Plain::new(place));
            return Err(Failure::new(Exit::Usage, message)
                .hint("`sealwire keyring status` shows the places of a key"));
        }
    }
    require_all_places(&keyring, &shops)?;
    let versions = candidates(keyring.kept(), version.as_deref(), destroy, desk)?;
    let mut censuses = Vec::new();
    for shop in &shops {
        let census = shop.store.census(desk.now).await;
        censuses.push(census.map_err(|error| Failure::from(error).at(&shop.word))?);
    }
    let (mut retired, mut refused) = (Vec::new(), Vec::new());
    for id in versions {
        match retire(&mut keyring, &id, &censuses, destroy, desk) {
            Ok(()) => retired.push(id.version),
            Err(failure) => {
                let (version, why) = (text(&id.version), failure.message().to_owned());
                refused.push(Refused { version, why });
            }
        }
    }
    keyring.seal(desk.now)?;
    let destroyed = match &name {
        KeyName::File(path) if destroy => remove(path, &retired)?,
        _ => Vec::new(),
    };
    let failed = !refused.is_empty();
    desk.output.result(&Ended {
        key: keyring.kept().notes.key().to_owned(),
        retired: retired.iter().map(text).collect(),
        destroyed,
        refused,
        next: next(&name, destroy),
    })?;
    Ok(exit(failed))
}

/// Fails where a rewrap has seen a place at which nobody looks now, and where it has not seen one
/// of those that are named: in a folder that was misspelt nothing refers to any version.
fn require_all_places(keyring: &Keyring, shops: &[Shop]) -> Result<(), Failure> {
    let looked_at: BTreeSet<&str> = shops.iter().map(|shop| shop.word.as_str()).collect();
    let places = &keyring.kept().notes.places;
    if let Some(missed) = places.iter().find(|place| !looked_at.contains(place.as_str())) {
        let message = format!("{missed} has objects under this key too, and was not looked at");
        return Err(Failure::other(message)
            .hint(format!("add --also {missed}; or --gone {missed}, if it is gone for good")));
    }
    match looked_at.into_iter().find(|place| !places.contains(*place)) {
        None => Ok(()),
        Some(unseen) => Err(Failure::other(format!("no rewrap has seen {unseen}"))
            .hint(format!("run `sealwire keyring rewrap {unseen}` first"))),
    }
}

/// The versions that are asked for.
fn candidates(
    kept: &Kept,
    version: Option<&str>,
    destroy: bool,
    desk: &Desk<'_>,
) -> Result<Vec<KeyId>, Failure> {
    let key = kept.key()?;
    if let Some(version) = version {
        let id = KeyId { key: key.clone(), version: KeyVersion::new(version)? };
        return match kept.ring.entry(&id) {
            Some(_) => Ok(vec![id]),
            None => Err(Failure::new(Exit::Usage, format!("the ring has no version {version}"))
                .hint("`sealwire keyring status` shows those that it has")),
        };
    }
    let mut versions: Vec<KeyId> = kept.ring.retirable(key, desk.now).cloned().collect();
    if destroy {
        let retired = kept.ring.entries().iter();
        let retired = retired.filter(|entry| matches!(entry.state(), State::Retired { .. }));
        versions.extend(retired.map(|entry| entry.id().clone()));
    }
    match versions.is_empty() {
        false => Ok(versions),
        true => Err(nothing_to_retire(&kept.ring)),
    }
}

fn nothing_to_retire(ring: &KekRing) -> Failure {
    let failure = Failure::other("no version can be retired now");
    let next = ring.entries().iter().find_map(|entry| match entry.state() {
        State::DecryptOnly { until } => Some((entry.id(), until)),
        _ => None,
    });
    match next {
        Some((id, until)) => failure.hint(format!(
            "the grace of version {} ends on {}",
            Plain::new(id.version.as_str()),
            utc(until)
        )),
        None => failure.hint("there is no old version: `sealwire keyring rotate` makes one of it"),
    }
}

/// Retires a version that every census is clean of. One that is retired already stays so, as long
/// as nothing has come to refer to it since.
// ENV-31
fn retire(
    keyring: &mut Keyring,
    id: &KeyId,
    censuses: &[Census],
    destroy: bool,
    desk: &Desk<'_>,
) -> Result<(), Failure> {
    let state = keyring.ring().entry(id).map(|entry| entry.state());
    if destroy && matches!(state, Some(State::Retired { .. })) {
        return match censuses.iter().map(|census| census.references(id)).sum() {
            0_u64 => Ok(()),
            _ => Err(envelope::Error::Retire("key records refer to it; rewrap them").into()),
        };
    }
    let mut retired = keyring.ring().clone();
    for census in censuses {
        retired = keyring.ring().clone();
        retired.retire(id, census, desk.now)?;
    }
    keyring.change(retired, &Event::Retired { key: id.clone() }, desk.now)
}

/// Takes retired versions out of a key file; those that it has not are gone already.
fn remove(path: &Path, versions: &[KeyVersion]) -> Result<Vec<String>, Failure> {
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    let passphrase = passphrase::ask_for(&Plain::path(path))?;
    let file = KekFile::open(path, &passphrase);
    let mut file = file.map_err(|error| Failure::from(error).at(&Plain::path(path)))?;
    let there = file.kms(system_rng()).keys().versions()?;
    let mut removed = Vec::new();
    for version in versions.iter().filter(|version| there.contains(version)) {
        file.remove(version, &passphrase, &mut system_rng())?;
        removed.push(text(version));
    }
    Ok(removed)
}

/// What is left to do with what was retired.
fn next(name: &KeyName, destroyed: bool) -> Option<String> {
    match name {
        KeyName::File(_) if destroyed => None,
        KeyName::File(_) => Some("--destroy takes out of the key file what is retired".to_owned()),
        KeyName::Vault { mount, name } => Some(format!(
            "`vault write {mount}/keys/{name}/config min_decryption_version=N` refuses them there"
        )),
        KeyName::Aws(_) => None,
    }
}

fn text(version: &KeyVersion) -> String {
    version.as_str().to_owned()
}

#[derive(Serialize)]
struct Ended {
    key: String,
    retired: Vec<String>,
    /// Of those, what was taken out of the key file.
    destroyed: Vec<String>,
    refused: Vec<Refused>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Serialize)]
struct Refused {
    version: String,
    why: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, retired, destroyed, refused, next } = self;
        writeln!(f, "{key}")?;
        for version in retired {
            let gone = if destroyed.contains(version) { ", and out of the key file" } else { "" };
            writeln!(f, "Version {} is retired{gone}.", Plain::new(version))?;
        }
        for Refused { version, why } in refused {
            writeln!(f, "Version {} stays: {}.", Plain::new(version), Plain::new(why))?;
        }
        match next {
            Some(next) if !retired.is_empty() => writeln!(f, "Next: {next}."),
            _ => Ok(()),
        }
    }
}
