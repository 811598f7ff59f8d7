//! `sealwire keys rewrap`: what the state takes to open, as the configuration has it.

use std::{fmt, path::Path, process::ExitCode};

use sealwire::{
    custody::FileKeyStore,
    store::{Error as State, Options, SqliteStore},
};
use sealwire_envelope::kms::Kms;
use serde::Serialize;

use crate::{
    config::Config,
    driver,
    error::{Exit, Failure},
    home::Home,
    offline::{self, Guard, Opening},
    output::Output,
    storage::{self, KeyName},
    text::Plain,
};

/// After a rotation of the key that agent.state_kms names, or of this agent's own, the key of the
/// state is wrapped by the newest. Where the state was guarded otherwise so far, it gets another
/// key, and all of it is sealed anew.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key that guards the state so far, where it is not the one of agent.state_kms: as
    /// file:PATH, vault:NAME or an ARN
    #[arg(long, value_name = "KEY")]
    from: Option<KeyName>,
}

/// What guards the state beside the agent's own keys.
#[derive(Serialize)]
struct Guarded {
    key: Option<String>,
    version: Option<String>,
}

pub(super) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    keys: &FileKeyStore,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let state = home.state();
    let guarded = driver::block_on(async {
        let guard = Guard::default();
        let to = guard.kms(config).await?.map(AsRef::as_ref);
        let options = offline::options(&state, config, Opening::Checked)?;
        match again(&state, keys, to, options.clone()).await {
            Ok(guarded) => Ok(guarded),
            Err(State::KmsNew { .. }) => change(&state, keys, [None, to], options).await,
            Err(error @ (State::KmsMissing { .. } | State::OtherKms { .. })) => {
                let from = args.from.as_ref().ok_or_else(|| sealwire::Error::from(error))?;
                let from = storage::kms(from, &config.storage).await?;
                change(&state, keys, [Some(from.as_ref()), to], options).await
            }
            Err(error) => Err(sealwire::Error::from(error).into()),
        }
    })?;
    output.result(&guarded)?;
    Ok(Exit::Done.into())
}

/// For a state that is guarded by `to` already, or is not there yet and then is.
async fn again(
    state: &Path,
    keys: &FileKeyStore,
    to: Option<&dyn Kms>,
    options: Options,
) -> Result<Guarded, State> {
    let Some(kms) = to else {
        drop(SqliteStore::open(state, keys, options)?);
        return Ok(Guarded { key: None, version: None });
    };
    drop(SqliteStore::open_wrapped(state, keys, kms, options).await?);
    let id = SqliteStore::rewrap(state, keys, kms).await?;
    let version = Some(id.version.as_str().to_owned());
    Ok(Guarded { key: Some(id.key.to_string()), version })
}

async fn change(
    state: &Path,
    keys: &FileKeyStore,
    [from, to]: [Option<&dyn Kms>; 2],
    options: Options,
) -> Result<Guarded, Failure> {
    let changed = SqliteStore::change_kms(state, keys, from, to, options).await;
    changed.map_err(sealwire::Error::from)?;
    let version = match to {
        Some(kms) => Some(kms.version().await?.as_str().to_owned()),
        None => None,
    };
    Ok(Guarded { key: to.map(|kms| kms.key().to_string()), version })
}

impl fmt::Display for Guarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the state takes this agent's keys")?;
        match (&self.key, &self.version) {
            (Some(key), Some(version)) => {
                write!(f, " and {}, version {}", Plain::new(key), Plain::new(version))
            }
            _ => f.write_str(" alone"),
        }
    }
}
