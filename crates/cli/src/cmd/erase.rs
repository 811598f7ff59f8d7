//! `sealwire erase`: an object, with every copy of it.

use std::{collections::BTreeSet, fmt, process::ExitCode};

use sealwire_envelope::{Error, audit::Event, kms::KeyRef, store::Store};
use serde::Serialize;

use crate::{
    agent,
    config::{Config, StorageConfig},
    driver,
    error::{Exit, Failure},
    home::Home,
    keyring::Logs,
    output::Output,
    storage::{Place, look::Records},
};

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// The objects
    #[arg(value_name = "PLACE", required = true)]
    places: Vec<Place>,
    /// Where the store begins, if it is not the folder of PLACE: its key records are there
    #[arg(long, value_name = "PLACE")]
    store: Option<Place>,
    /// Also what has no key record any more, as when an erasure was stopped half way
    #[arg(long)]
    without_record: bool,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { places, store, without_record } = args;
    let places = places.iter().map(|place| place.object(store.as_ref()));
    let places = places.collect::<Result<Vec<_>, _>>()?;
    driver::block_on(async {
        let mut objects = Vec::new();
        for place in places {
            objects.push(Object::find(place, without_record, &config.storage).await?);
        }
        let keys = objects.iter().flat_map(|object| object.keys.clone()).collect();
        let mut logs = Logs::take(&keys, home, &config.storage, agent::wall(), *output)?;
        let (mut erased, mut failed) = (Vec::new(), None);
        for object in objects {
            match object.erase(&mut logs).await {
                Ok(done) => erased.push(done),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            }
        }
        let ended = Ended { erased, logs: logs.finish()? };
        if !ended.erased.is_empty() {
            output.result(&ended)?;
        }
        failed.map_or(Ok(Exit::Done.into()), Err)
    })
}

/// An object that is to be erased.
struct Object {
    place: Place,
    store: Store,
    name: String,
    /// Those that its key record names.
    keys: BTreeSet<KeyRef>,
}

impl Object {
    async fn find(
        place: Place,
        without_record: bool,
        config: &StorageConfig,
    ) -> Result<Self, Failure> {
        let (store, name) = place.store(config)?;
        let object = store.object(&name).await.map_err(|error| match error {
            Error::Misuse(_) => Failure::other(format!("{place} is no sealed object"))
                .hint("nothing was erased; `sealwire inspect` says what it is"),
            error => Failure::from(error).at(&place),
        })?;
        match Records::of(&place, config)?.keys(object).await? {
            // Deleting the body alone would leave its copies to open.
            None if !without_record => {
                let message =
                    format!("{place} has no key record beside it, and nothing was erased");
                Err(Failure::other(message).hint(
                    "if its store begins elsewhere, name that with --store; if it was erased half \
                     way, --without-record takes the rest away",
                ))
            }
            keys => Ok(Self { place, store, name, keys: keys.unwrap_or_default() }),
        }
    }

    async fn erase(self, logs: &mut Logs) -> Result<Erased, Failure> {
        let Self { place, store, name, keys } = self;
        let object = store.erase(&name).await.map_err(|error| {
            Failure::from(error).at(&place).hint(
                "what was told is erased; of this one the key record may be gone, and \
                 --without-record takes the rest away",
            )
        })?;
        logs.note(&keys, &Event::Erased { object })
            .map_err(|failure| failure.at(&place).and("it was erased, and that is in no log"))?;
        Ok(Erased { place: place.to_string(), object: object.to_string() })
    }
}

#[derive(Serialize)]
struct Ended {
    erased: Vec<Erased>,
    /// The keys in whose logs that is.
    logs: Vec<String>,
}

#[derive(Serialize)]
struct Erased {
    place: String,
    object: String,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { erased, logs } = self;
        for Erased { place, object } in erased {
            writeln!(f, "erased  {place}")?;
            writeln!(f, "object  {object}")?;
        }
        logs.iter().try_for_each(|key| writeln!(f, "noted   in the log of {key}"))
    }
}
