//! `sealwire reseal`: an object, under another data key.

use std::{collections::BTreeSet, fmt, process::ExitCode, sync::Arc};

use sealwire::custody::system_rng;
use sealwire_envelope::{
    Context, Error, KeyRecord, Pairs,
    audit::Event,
    kms::{KeyRef, Kms},
    store::{Resealed, StoreError, StoredObject},
};
use serde::Serialize;

use crate::{
    agent,
    config::Config,
    driver::{self, Stop},
    error::{Exit, Failure},
    home::Home,
    keyring::Logs,
    output::Output,
    storage::{
        KeyName, Place, Unlocked,
        context::{self, Pair},
        look::{self, Look, Records},
        opening::{Key, Wanted},
        sealing::Keys,
    },
    text::Plain,
};

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// The object
    place: Place,
    /// For an agent, from now on, as for seal
    #[arg(long, value_name = "PEER")]
    to: Vec<String>,
    /// For whoever may use this key, from now on: file:PATH, vault:NAME or an ARN [default:
    /// storage.kms, without --to]
    #[arg(long, value_name = "KEY")]
    kms: Vec<KeyName>,
    /// The key to open it with [default: one of --kms, where it was sealed under that; or this
    /// agent's own; or storage.kms]
    #[arg(long, value_name = "KEY")]
    with: Option<KeyName>,
    /// What the object is bound to and does not show: the tenant, and what was required
    #[arg(long, value_name = "NAME=VALUE")]
    context: Vec<Pair>,
    /// Whose object is taken, if it was sealed for this agent [default: those of pinned agents, and
    /// its own]
    #[arg(long, value_name = "PEER", conflicts_with = "with")]
    from: Vec<String>,
    /// Where the store begins, if it is not the folder of PLACE: its key records are there
    #[arg(long, value_name = "PLACE")]
    store: Option<Place>,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let place = args.place.object(args.store.as_ref())?;
    let ended = driver::block_on_all(async {
        let look = look::look(&place, &config.storage).await?;
        let required =
            context::of_open(&args.context, look.head.header().stored(), &config.storage)?;
        let mut unlocked = Unlocked::new(home, config);
        let keys = Keys::find(&args.kms, &args.to, &mut unlocked).await?;
        let kms = opens_with(&args, &keys, &look, &mut unlocked).await?;
        let wanted = Wanted { option: "--with", kms, from: &args.from };
        let key = Key::find(&wanted, &look, &required, &mut unlocked).await?;
        let before = key.open(&place, &look, &required, config).await?;
        let work = Work { place: &place, before: &before, required: &required, keys: &keys };
        work.run(&look, home, config, *output).await
    })?;
    output.result(&ended)?;
    Ok(Exit::Done.into())
}

/// The key that is named to open the object with, or one of those that it is sealed under anew.
async fn opens_with(
    args: &Args,
    keys: &Keys,
    look: &Look,
    unlocked: &mut Unlocked<'_>,
) -> Result<Option<Arc<dyn Kms>>, Failure> {
    if let Some(with) = &args.with {
        return Ok(Some(unlocked.kms(with).await?));
    }
    let Some(record) = look.record.as_ref().filter(|_| args.from.is_empty()) else {
        return Ok(None);
    };
    Ok(keys.kms().iter().find(|kms| record.slot(kms.key()).is_some()).cloned())
}

/// An object that was opened, and those for whom it is sealed anew.
struct Work<'a> {
    place: &'a Place,
    before: &'a StoredObject,
    required: &'a Pairs,
    keys: &'a Keys,
}

impl Work<'_> {
    async fn run(
        self,
        look: &Look,
        home: &Home,
        config: &Config,
        output: Output,
    ) -> Result<Ended, Failure> {
        let Self { place, before, required, keys } = self;
        let slots = look.record.iter().flat_map(KeyRecord::slots);
        let old: BTreeSet<KeyRef> = slots.map(|slot| slot.wrapped().key.clone()).collect();
        let mut all = old.clone();
        all.extend(keys.kms().iter().map(|kms| kms.key().clone()));
        let mut logs = Logs::take(&all, home, &config.storage, agent::wall(), output)?;
        // What was opened says what it is, and not what was looked at before.
        let context = Context::from_parts(before.head().header().stored(), required)?;
        let Resealed { from, to, .. } = self.seal(&context, config).await?;
        let object = to.object();
        logs.note(&all, &Event::Resealed { from, to: object })
            .map_err(|failure| failure.and("the object is sealed anew, and that is in no log"))?;
        let new = Records::of(place, &config.storage)?.keys(object).await;
        let new = new.ok().flatten().unwrap_or_default();
        Ok(Ended {
            place: place.to_string(),
            object: object.to_string(),
            before: from.to_string(),
            bytes: to.plaintext_len(),
            keys: keys.names(),
            left_out: old.difference(&new).map(ToString::to_string).collect(),
            logs: logs.finish()?,
        })
    }

    async fn seal(&self, context: &Context, config: &Config) -> Result<Resealed, Failure> {
        let Self { place, before, keys, .. } = *self;
        let (store, name) = place.store(&config.storage)?;
        let plan = keys.plan(context, config);
        let (now, mut rng) = (agent::wall(), system_rng());
        driver::survive_file_limit()?;
        let mut stop = Stop::new()?;
        let resealed = tokio::select! {
            resealed = store.reseal_opened(&name, before, &plan, now, &mut rng) => resealed,
            () = stop.asked() => return Err(Failure::other("stopped by a signal").hint(UNKNOWN)),
        };
        let error = match resealed {
            Ok(resealed) => return Ok(resealed),
            Err(error) => error,
        };
        let was_changed = matches!(error, Error::Store(StoreError::Changed));
        let failure = Failure::from(error).at(place);
        Err(match store.object(&name).await {
            Ok(object) if object == before.object() => failure.and("the object is as it was"),
            Ok(_) if !was_changed => failure
                .and("it is sealed anew, and copies of the one before open still")
                .hint("`sealwire keyring sweep` deletes the key record of the one before"),
            _ => failure.hint(UNKNOWN),
        })
    }
}

const UNKNOWN: &str = "`sealwire inspect` tells which of the two objects stands there; a key record \
                       that is left over is found by `sealwire keyring sweep`";

#[derive(Serialize)]
struct Ended {
    place: String,
    object: String,
    /// What it was before, which opens no more.
    before: String,
    bytes: u64,
    keys: Vec<String>,
    /// The keys that opened it before, and do not now.
    left_out: Vec<String>,
    /// The keys in whose logs that is.
    logs: Vec<String>,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, object, before, bytes, keys, left_out, logs } = self;
        writeln!(f, "sealed  {place}, {bytes} bytes")?;
        writeln!(f, "object  {object}")?;
        writeln!(f, "before  {before}, which opens no more")?;
        keys.iter().try_for_each(|key| writeln!(f, "for     {}", Plain::new(key)))?;
        left_out.iter().try_for_each(|key| writeln!(f, "not for {}", Plain::new(key)))?;
        logs.iter().try_for_each(|key| writeln!(f, "noted   in the log of {key}"))
    }
}
