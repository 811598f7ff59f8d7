//! How far a rewrap of one place has come, on disk and on the screen.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sealwire::{core::Timestamp, custody::atomic};
use sealwire_envelope::{
    ObjectId,
    audit::{Counts, Event},
    kms::{KeyId, Kms},
    store::{Outcome, Progress, Watch},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Notify;

use super::{DAMAGED, Kept, Keyring, MAX_NOTES, MODE, read_file};
use crate::{driver, error::Failure, output::Output, text::Plain};

/// How often a program is told how far a run is.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// So many records that failed are told one by one.
const MAX_TOLD: u32 = 100;

/// A run that was stopped, as it is on disk.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Saved {
    pub(crate) place: String,
    /// Whether each record was compared before it was changed.
    verified: bool,
    progress: Value,
}

/// What is shown of a run that was stopped.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Stopped {
    pub(crate) version: String,
    pub(crate) counts: Counts,
}

impl Saved {
    /// Where a run over a place goes on, if it was stopped and was one to the same version.
    pub(crate) fn resume(
        path: &Path,
        place: &str,
        verified: bool,
        kms: &dyn Kms,
        target: &KeyId,
    ) -> Result<Option<Progress>, Failure> {
        let Some(saved) = Self::read(path)? else { return Ok(None) };
        if saved.place != place || saved.verified != verified {
            return Ok(None);
        }
        let progress = Progress::from_json(&saved.progress.to_string(), kms).ok();
        Ok(progress.filter(|progress| progress.target() == target))
    }

    /// Every run over a place that was stopped.
    pub(crate) fn all(kept: &Kept) -> Result<Vec<Self>, Failure> {
        let saved = kept.notes.places.iter().map(|place| Self::read(&kept.progress(place)));
        Ok(saved.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }

    /// What is shown of it.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        serde_json::from_value(self.progress.clone()).ok()
    }

    fn read(path: &Path) -> Result<Option<Self>, Failure> {
        let Some(bytes) = read_file(path, MAX_NOTES)? else { return Ok(None) };
        let damaged =
            |error: serde_json::Error| Failure::other(error.to_string()).at(&Plain::path(path));
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            damaged(error).hint(format!("{DAMAGED}; or begin the rewrap anew with --fresh"))
        })
    }

    fn write(path: &Path, place: &str, verified: bool, run: &Progress) -> Result<(), Failure> {
        let internal =
            |error: serde_json::Error| Failure::other(format!("internal error: {error}"));
        let progress = serde_json::from_str(&run.to_json()?).map_err(internal)?;
        let saved = Self { place: place.to_owned(), verified, progress };
        let text = serde_json::to_string(&saved).map_err(internal)?;
        Ok(atomic::write_atomic(path, text.as_bytes(), MODE)?)
    }

    /// The run has come to its end.
    pub(crate) fn remove(path: &Path) -> Result<(), Failure> {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failure::file("remove", path, &error))
            }
            _ => Ok(()),
        }
    }
}

/// Keeps and shows how far a run is. What it cannot keep stops the run.
pub(crate) struct Watcher<'a> {
    keyring: &'a mut Keyring,
    saved: PathBuf,
    place: &'a str,
    verified: bool,
    target: KeyId,
    now: Timestamp,
    pending: Vec<Event>,
    failure: Option<Failure>,
    stop: Arc<Notify>,
    shown: Shown,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(
        keyring: &'a mut Keyring,
        place: &'a str,
        verified: bool,
        target: KeyId,
        now: Timestamp,
        output: Output,
    ) -> Self {
        let saved = keyring.kept().progress(place);
        let (pending, stop, shown) = (Vec::new(), Arc::default(), Shown::new(output));
        Self { keyring, saved, place, verified, target, now, pending, failure: None, stop, shown }
    }

    /// Is notified when the run is to stop.
    pub(crate) fn stop(&self) -> Arc<Notify> {
        Arc::clone(&self.stop)
    }

    /// Takes the bar away, and says why the run had to stop, if it had.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        self.shown.bar.finish_and_clear();
        self.failure.map_or(Ok(()), Err)
    }

    fn keep(&mut self, progress: &Progress) -> Result<(), Failure> {
        // What was done is said before the run counts as being behind it.
        if !self.pending.is_empty() {
            self.keyring.append(&self.pending, self.now)?;
            self.pending.clear();
        }
        Saved::write(&self.saved, self.place, self.verified, progress)
    }
}

impl Watch for Watcher<'_> {
    fn record(&mut self, object: ObjectId, outcome: &Outcome) {
        self.shown.record(object, outcome);
        if let Outcome::Rewrapped { from } = outcome {
            let from = KeyId { key: self.target.key.clone(), version: from.clone() };
            self.pending.push(Event::Rewrapped { object, from, to: self.target.clone() });
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if self.failure.is_some() {
            return;
        }
        if let Err(failure) = self.keep(progress) {
            self.failure = Some(failure);
            self.stop.notify_one();
        }
        self.shown.progress(progress.counts());
    }
}

/// A dry run is shown and not kept.
impl Watch for Shown {
    fn record(&mut self, object: ObjectId, outcome: &Outcome) {
        let first: [u8; 2] = object.as_bytes().first_chunk().copied().unwrap_or_default();
        self.bar.set_position(u16::from_be_bytes(first).into());
        let why = match outcome {
            Outcome::Conflict => "somebody else changed it meanwhile".to_owned(),
            Outcome::Failed(error) => error.to_string(),
            _ => return,
        };
        self.told = self.told.saturating_add(1);
        if self.told <= MAX_TOLD {
            let failed = matches!(outcome, Outcome::Failed(_));
            let outcome = if failed { "failed" } else { "conflict" };
            let told = Told::Record { object: object.to_string(), outcome, why };
            self.bar.suspend(|| self.output.event(&told));
        }
    }

    fn progress(&mut self, progress: &Progress) {
        Self::progress(self, progress.counts());
    }
}

/// How far a run is: the ids of objects are drawn at random, so that the first bytes of one say
/// how many come before it.
#[derive(Debug)]
pub(crate) struct Shown {
    bar: ProgressBar,
    output: Output,
    last: Option<tokio::time::Instant>,
    told: u32,
}

impl Shown {
    pub(crate) fn new(output: Output) -> Self {
        let target = match output.is_watched() {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(1 << 16), target);
        if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}%, {msg}") {
            bar.set_style(style);
        }
        Self { bar, output, last: None, told: 0 }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn progress(&mut self, counts: &Counts) {
        self.bar.set_message(format!("{} of {} rewrapped", counts.rewrapped, counts.scanned));
        let due = self.last.is_none_or(|last| driver::now() - last >= TELL_EVERY);
        if self.output.is_json() && due {
            self.last = Some(driver::now());
            self.output.event(&Told::Progress { counts: *counts });
        }
    }
}

/// What a run tells while it is at work.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told {
    Progress {
        #[serde(flatten)]
        counts: Counts,
    },
    Record {
        object: String,
        outcome: &'static str,
        why: String,
    },
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Progress { counts } => {
                write!(f, "{} of {} rewrapped", counts.rewrapped, counts.scanned)
            }
            Self::Record { object, outcome, why } => {
                write!(f, "{object}: {outcome}: {}", Plain::new(why))
            }
        }
    }
}
