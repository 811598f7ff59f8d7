//! `sealwire keyring sweep`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use sealwire::core::Timestamp;
use sealwire_envelope::{self as envelope, ObjectId, audit::Event, kms::KeyRef, store::Orphans};
use serde::Serialize;

use super::{Desk, Shop, exit};
use crate::{
    error::{Exit, Failure},
    keyring::Logs,
    storage::{Place, look::Records},
    text::{Plain, utc},
};

const DAY: u64 = 24 * 60 * 60;

/// So many key records are read at a time.
const CONCURRENT: usize = 16;

/// So many of each kind are shown to people.
const MAX_SHOWN: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store, from where it begins: a folder, s3://BUCKET/PATH, gs://BUCKET/PATH or
    /// az://CONTAINER/PATH
    place: Place,
    /// Delete them. Without this it is only told which they are
    #[arg(long)]
    delete: bool,
    /// Only those that were written so many days ago: longer than any object takes to be sealed
    #[arg(long, value_name = "DAYS", default_value_t = 7)]
    older_than: u32,
}

pub(super) async fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { place, delete, older_than } = args;
    let shop = Shop::open(&place, desk.storage())?;
    let at = |error: envelope::Error| Failure::from(error).at(&shop.word);
    let orphans = shop.store.orphans().await.map_err(at)?;
    let keys = keys(&orphans, &Records::of(&place.here(), desk.storage())?).await?;
    let age = Duration::from_secs(u64::from(older_than).saturating_mul(DAY));
    let is_old = |written: Timestamp| written.plus(age.as_secs()) < desk.now;
    // Nothing is deleted while a record may be of something that cannot be read.
    let ended = if delete && orphans.unread.is_empty() {
        let all = keys.values().flatten().cloned().collect();
        let mut logs = Logs::take(&all, desk.home, desk.storage(), desk.now, desk.output)?;
        let swept = shop.store.sweep(age, desk.now).await.map_err(at)?;
        for object in &swept.deleted {
            let keys = keys.get(object).cloned().unwrap_or_default();
            logs.note(&keys, &Event::Erased { object: *object })?;
        }
        let is_deleted = |object, _| swept.deleted.contains(&object);
        let logs = logs.finish()?;
        Ended { logs, dry_run: false, ..Ended::new(&shop, &orphans, &keys, older_than, is_deleted) }
    } else {
        Ended::new(&shop, &orphans, &keys, older_than, |_, written| is_old(written))
    };
    let failed = !ended.unread.is_empty();
    desk.output.result(&ended)?;
    Ok(exit(failed))
}

/// For whom each record is that no object has.
async fn keys(orphans: &Orphans, records: &Records) -> Result<Keys, Failure> {
    let reads = orphans.records.keys().map(|object| async move {
        Ok((*object, records.keys(*object).await?.unwrap_or_default()))
    });
    stream::iter(reads.collect::<Vec<_>>()).buffered(CONCURRENT).try_collect().await
}

type Keys = BTreeMap<ObjectId, BTreeSet<KeyRef>>;

#[derive(Serialize)]
struct Ended {
    place: String,
    dry_run: bool,
    older_than: u32,
    /// Key records that no object has, and that were deleted; in a dry run, would be.
    records: Vec<Alone>,
    /// Those that stay: an object may be on its way to them.
    young: Vec<Alone>,
    /// What has no key record and opens for nobody.
    bodies: Vec<String>,
    /// What is no object.
    foreign: Vec<String>,
    unread: Vec<String>,
    /// The keys in whose logs that is.
    logs: Vec<String>,
}

/// A key record that no object has.
#[derive(Serialize)]
struct Alone {
    object: String,
    written: u64,
    keys: Vec<String>,
}

impl Ended {
    fn new(
        shop: &Shop,
        orphans: &Orphans,
        keys: &Keys,
        older_than: u32,
        is_swept: impl Fn(ObjectId, Timestamp) -> bool,
    ) -> Self {
        let (mut records, mut young) = (Vec::new(), Vec::new());
        for (object, written) in &orphans.records {
            let keys = keys.get(object).into_iter().flatten().map(ToString::to_string).collect();
            let alone = Alone { object: object.to_string(), written: written.as_secs(), keys };
            let group = if is_swept(*object, *written) { &mut records } else { &mut young };
            group.push(alone);
        }
        let names = |names: &BTreeSet<String>| names.iter().cloned().collect();
        Self {
            place: shop.word.clone(),
            dry_run: true,
            older_than,
            records,
            young,
            bodies: names(&orphans.bodies),
            foreign: names(&orphans.foreign),
            unread: names(&orphans.unread),
            logs: Vec::new(),
        }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, dry_run, older_than, records, young, bodies, foreign, unread, logs } =
            self;
        writeln!(f, "{place}")?;
        let done = if *dry_run { "would be deleted" } else { "were deleted" };
        show(f, "records", records, &format!("that no object has: {done}"))?;
        let why = format!("the same, not older than {older_than} days: stay");
        show(f, "young", young, &why)?;
        show(f, "bodies", bodies, "without a key record, open for nobody: stay")?;
        // There may be anything, in any number.
        writeln!(f, "foreign  {:>8}  are no objects: stay", foreign.len())?;
        show(f, "unread", unread, "cannot be read: while there are any, nothing is deleted")?;
        logs.iter().try_for_each(|key| writeln!(f, "noted in the log of {key}"))
    }
}

/// How many there are, and which.
fn show(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    all: &[impl fmt::Display],
    why: &str,
) -> fmt::Result {
    writeln!(f, "{what:<8} {:>8}  {why}", all.len())?;
    all.iter().take(MAX_SHOWN).try_for_each(|one| writeln!(f, "                    {one}"))?;
    match all.len().saturating_sub(MAX_SHOWN) {
        0 => Ok(()),
        more => writeln!(f, "                    and {more} more; --json has all"),
    }
}

impl fmt::Display for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, written, keys } = self;
        write!(f, "{object}, written {}", utc(Timestamp::from_secs(*written)))?;
        keys.iter().try_for_each(|key| write!(f, ", for {}", Plain::new(key)))
    }
}
