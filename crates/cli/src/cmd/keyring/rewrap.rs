//! `sealwire keyring rewrap`.

use std::fmt;

use sealwire_envelope::{
    self as envelope,
    audit::{Counts, Event},
    kms::KeyId,
    store::{Progress, Rewrap},
};
use serde::Serialize;

use super::{Desk, Shop, Told, Which, exit, newest};
use crate::{
    error::{Exit, Failure},
    keyring::{Keyring, Saved, Shown, Watcher, schedule},
    storage::{self, Place},
    text::Plain,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The store: a folder, s3://BUCKET/PATH, gs://BUCKET/PATH or az://CONTAINER/PATH
    place: Place,
    #[command(flatten)]
    which: Which,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Unwrap what was wrapped before and after and compare it, before a record is changed. Needs
    /// the right to unwrap
    #[arg(long)]
    verify: bool,
    /// Begin anew, not where the last run was ended
    #[arg(long)]
    fresh: bool,
}

pub(super) async fn run(args: Args, desk: &Desk<'_>) -> Result<Exit, Failure> {
    let Args { place, which, dry_run, verify, fresh } = args;
    let shop = Shop::open(&place, desk.storage())?;
    let (target, resumed, progress) = match dry_run {
        true => {
            let kept = which.kept(desk.home, desk.config)?;
            let kms = storage::kms(&kept.name()?, desk.storage()).await?;
            let target = newest(kms.as_ref()).await?;
            let mut shown = Shown::new(desk.output);
            let run = Rewrap::new(kms.as_ref()).dry();
            let ended = shop.store.rewrap_all(&run, None, desk.now, &mut shown).await;
            shown.finish();
            (target, false, ended.map_err(|error| Failure::from(error).at(&shop.word))?)
        }
        false => {
            let mut keyring = desk.take(&which)?;
            wrap_anew(&mut keyring, &shop, verify, fresh, desk).await?
        }
    };
    let Counts { conflict, failed, .. } = *progress.counts();
    desk.output.result(&Ended {
        key: target.key.to_string(),
        version: target.version.as_str().to_owned(),
        place: shop.word,
        dry_run,
        resumed,
        counts: *progress.counts(),
    })?;
    Ok(exit(conflict > 0 || failed > 0))
}

async fn wrap_anew(
    keyring: &mut Keyring,
    shop: &Shop,
    verify: bool,
    fresh: bool,
    desk: &Desk<'_>,
) -> Result<(KeyId, bool, Progress), Failure> {
    let kms = storage::kms(&keyring.kept().name()?, desk.storage()).await?;
    let target = newest(kms.as_ref()).await?;
    if let Some(from) = keyring.follow(target.clone(), &schedule(desk.storage()), desk.now)? {
        let (from, to) = (from.version, target.version.clone());
        let (from, to) = (from.as_str().to_owned(), to.as_str().to_owned());
        desk.output.event(&Told::Followed { from, to });
    }
    keyring.remember(&shop.word)?;
    let saved = keyring.kept().progress(&shop.word);
    let resume = match fresh {
        true => None,
        false => Saved::resume(&saved, &shop.word, verify, kms.as_ref(), &target)?,
    };
    let resumed = resume.is_some();
    let run = Rewrap::new(kms.as_ref());
    let run = if verify { run.verified() } else { run };
    let mut watcher =
        Watcher::new(keyring, &shop.word, verify, target.clone(), desk.now, desk.output);
    let stop = watcher.stop();
    let ended = tokio::select! {
        ended = shop.store.rewrap_all(&run, resume, desk.now, &mut watcher) => Some(ended),
        () = stop.notified() => None,
    };
    watcher.finish()?;
    let ended = ended.ok_or_else(|| Failure::other("internal error: stopped for no reason"))?;
    let progress = ended.map_err(|error| stopped(error).at(&shop.word))?;
    keyring.append(&[Event::RewrapEnded(*progress.counts())], desk.now)?;
    keyring.seal(desk.now)?;
    // It came to its end: what failed in it is found anew by the next one.
    Saved::remove(&saved)?;
    Ok((target, resumed, progress))
}

/// The run goes on from where it is.
fn stopped(error: envelope::Error) -> Failure {
    let failure = Failure::from(error);
    failure.hint("what was done is kept; the same command goes on from there")
}

#[derive(Serialize)]
struct Ended {
    key: String,
    version: String,
    place: String,
    dry_run: bool,
    /// Whether it went on from where another run was ended; the counts are those of both.
    resumed: bool,
    #[serde(flatten)]
    counts: Counts,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, version, place, dry_run, resumed, counts } = self;
        let Counts { current, rewrapped, conflict, excluded, failed, scanned } = counts;
        writeln!(f, "{}, version {version}", Plain::new(key))?;
        writeln!(f, "{place}")?;
        writeln!(
            f,
            "scanned    {scanned:>8}{}",
            if *resumed { "  with those of the run before" } else { "" }
        )?;
        writeln!(f, "current    {current:>8}  had the newest version")?;
        let done = if *dry_run { "would be wrapped anew" } else { "were wrapped anew" };
        writeln!(f, "rewrapped  {rewrapped:>8}  {done}")?;
        writeln!(f, "excluded   {excluded:>8}  have no slot of this key")?;
        writeln!(f, "conflict   {conflict:>8}  were changed meanwhile: run it again")?;
        write!(f, "failed     {failed:>8}  are as they were")
    }
}
