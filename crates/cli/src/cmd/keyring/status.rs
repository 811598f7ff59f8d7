//! `sealwire keyring status`.

use std::fmt;

use sealwire::core::Timestamp;
use sealwire_envelope::{
    audit::Counts,
    census::Census,
    ring::{Due, Entry, State},
};
use serde::Serialize;

use super::{Desk, Shop};
use crate::{
    error::{Exit, Failure},
    keyring::{Kept, Saved, schedule},
    storage::{KeyName, Place},
    text::{Plain, span, utc},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A store whose key records are counted by the versions that they refer to
    place: Option<Place>,
    /// This key alone: file:PATH, vault:NAME or an ARN
    #[arg(long, value_name = "KEY")]
    kms: Option<KeyName>,
}

pub(super) async fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { place, kms } = args;
    let kept = match &kms {
        Some(named) => vec![Kept::of(desk.home, Some(named))?],
        None => Kept::all(desk.home)?,
    };
    let census = match &place {
        Some(place) => {
            let shop = Shop::open(place, desk.storage())?;
            let census = shop.store.census(desk.now).await;
            let census = census.map_err(|error| Failure::from(error).at(&shop.word))?;
            Some((census, shop.word))
        }
        None => None,
    };
    let keys = kept.iter().map(|kept| KeyView::new(kept, census.as_ref(), desk));
    let keys = keys.collect::<Result<Vec<_>, _>>()?;
    let store = census.map(|(census, place)| StoreView::new(&census, place, &kept));
    desk.output.result(&Shown { now: desk.now.as_secs(), keys, store })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Shown {
    now: u64,
    keys: Vec<KeyView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreView>,
}

#[derive(Serialize)]
struct KeyView {
    key: String,
    /// What key records call it.
    name: String,
    versions: Vec<VersionView>,
    rotation: DueView,
    access_audit: DueView,
    /// Those whose grace has ended.
    retirable: Vec<String>,
    places: Vec<String>,
    stopped_rewraps: Vec<StoppedView>,
    /// Key records in the store that have an older version than the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    outdated: Option<u64>,
}

#[derive(Serialize)]
struct VersionView {
    version: String,
    #[serde(flatten)]
    state: StateView,
    since: u64,
    /// Key records in the store that refer to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    references: Option<u64>,
}

#[derive(Clone, Copy, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum StateView {
    Active,
    DecryptOnly { until: u64 },
    Retired { at: u64 },
}

/// A date, and how it stands.
#[derive(Serialize)]
struct DueView {
    at: u64,
    due: &'static str,
}

#[derive(Serialize)]
struct StoppedView {
    place: String,
    version: String,
    counts: Counts,
}

/// What the key records of a store refer to.
#[derive(Serialize)]
struct StoreView {
    place: String,
    records: u64,
    /// Of keys that have no ring here.
    others: Vec<OtherView>,
}

#[derive(Serialize)]
struct OtherView {
    key: String,
    version: String,
    references: u64,
}

impl KeyView {
    fn new(
        kept: &Kept,
        census: Option<&(Census, String)>,
        desk: &Desk<'_>,
    ) -> Result<Self, Failure> {
        let (schedule, now) = (schedule(desk.storage()), desk.now);
        let key = kept.key()?;
        let active = kept.ring.active()?.id();
        let stopped = Saved::all(kept)?.into_iter().filter_map(|saved| {
            let stopped = saved.stopped()?;
            Some(StoppedView {
                place: saved.place,
                version: stopped.version,
                counts: stopped.counts,
            })
        });
        let outdated =
            |(census, _): &(Census, String)| census.outdated(active).map(|(_, count)| count).sum();
        let versions = kept.ring.entries().iter();
        Ok(Self {
            key: kept.notes.key().to_owned(),
            name: key.key().to_owned(),
            versions: versions.map(|entry| VersionView::new(entry, census)).collect(),
            rotation: kept.ring.rotation_due(&schedule, now)?.into(),
            access_audit: schedule.audit_due(kept.notes.audited(), now).into(),
            retirable: kept
                .ring
                .retirable(key, now)
                .map(|id| id.version.as_str().to_owned())
                .collect(),
            places: kept.notes.places.iter().cloned().collect(),
            stopped_rewraps: stopped.collect(),
            outdated: census.map(outdated),
        })
    }
}

impl VersionView {
    fn new(entry: &Entry, census: Option<&(Census, String)>) -> Self {
        let state = match entry.state() {
            State::Active => StateView::Active,
            State::DecryptOnly { until } => StateView::DecryptOnly { until: until.as_secs() },
            State::Retired { at } => StateView::Retired { at: at.as_secs() },
        };
        Self {
            version: entry.id().version.as_str().to_owned(),
            state,
            since: entry.since().as_secs(),
            references: census.map(|(census, _)| census.references(entry.id())),
        }
    }
}

impl From<Due> for DueView {
    fn from(due: Due) -> Self {
        let (at, due) = match due {
            Due::Later(at) => (at, "later"),
            Due::Soon(at) => (at, "soon"),
            Due::Now(at) => (at, "now"),
        };
        Self { at: at.as_secs(), due }
    }
}

impl StoreView {
    fn new(census: &Census, place: String, kept: &[Kept]) -> Self {
        let unknown =
            census.iter().filter(|(id, _)| kept.iter().all(|kept| kept.ring.entry(id).is_none()));
        let others = unknown.map(|(id, references)| OtherView {
            key: id.key.to_string(),
            version: id.version.as_str().to_owned(),
            references,
        });
        Self { place, records: census.records(), others: others.collect() }
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { now, keys, store } = self;
        if keys.is_empty() {
            writeln!(f, "There is no key ring. `sealwire keyring init KEY` makes one.")?;
        }
        for key in keys {
            key.show(*now, f)?;
        }
        let Some(StoreView { place, records, others }) = store else { return Ok(()) };
        writeln!(f, "{place}: {records} key records")?;
        for OtherView { key, version, references } in others {
            let key = Plain::new(key);
            writeln!(
                f,
                "  {references:>8}  by version {} of {key}, of no ring here",
                Plain::new(version)
            )?;
        }
        Ok(())
    }
}

impl KeyView {
    fn show(&self, now: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, name, versions, rotation, access_audit, .. } = self;
        writeln!(f, "{key}")?;
        writeln!(f, "  called     {}", Plain::new(name))?;
        for VersionView { version, state, since, references } in versions {
            let at = |seconds: &u64| utc(Timestamp::from_secs(*seconds));
            let state = match state {
                StateView::Active => "wraps".to_owned(),
                StateView::DecryptOnly { until } if *until <= now => {
                    "only unwraps, and may be retired".to_owned()
                }
                StateView::DecryptOnly { until } => format!("only unwraps, until {}", at(until)),
                StateView::Retired { at: retired } => format!("retired on {}", at(retired)),
            };
            let version = Plain::new(version);
            write!(f, "  version {version}: {state}; since {}", at(since))?;
            match references {
                Some(count) => writeln!(f, "; {count} key records refer to it")?,
                None => writeln!(f)?,
            }
        }
        writeln!(f, "  rotation   {}", rotation.show(now))?;
        writeln!(f, "  audit      {}", access_audit.show(now))?;
        for place in &self.places {
            writeln!(f, "  place      {place}")?;
        }
        for StoppedView { place, version, counts } in &self.stopped_rewraps {
            writeln!(
                f,
                "  stopped    a rewrap to version {} of {place}, after {} records: \
                 `sealwire keyring rewrap` goes on",
                Plain::new(version),
                counts.scanned
            )?;
        }
        match self.outdated {
            Some(0) | None => Ok(()),
            Some(count) => writeln!(f, "  rewrap     {count} key records have an older version"),
        }
    }
}

impl DueView {
    fn show(&self, now: u64) -> String {
        let Self { at, due } = self;
        let date = utc(Timestamp::from_secs(*at));
        match *due {
            "now" => format!("due since {date}"),
            _ => format!("due on {date}, in {}", span(at.saturating_sub(now))),
        }
    }
}
