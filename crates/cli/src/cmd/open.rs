//! `sealwire open`: what was sealed, checked before it is given away.

use std::{fmt, io, io::IsTerminal, ops::Range, path::PathBuf, process::ExitCode, time::Duration};

use sealwire_envelope::{
    Error, Layout,
    store::{StoreError, StoredObject},
};
use serde::Serialize;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};

use crate::{
    config::Config,
    driver::{self, Stop},
    error::{Exit, Failure},
    home::Home,
    output::Output,
    progress::Transfer,
    storage::{
        KeyName, Place, Unlocked,
        context::{self, Pair},
        look,
        meter::Meter,
        opening::{Key, Wanted},
        sink::{self, OutFile},
    },
    text::Plain,
};

/// So much of a range is opened at a time.
const STEP: u64 = 4 * 1024 * 1024;
/// So much is written at a time: stores give pieces of a few KiB.
const BUFFER: usize = 256 * 1024;
/// How long a reader may take to accept what is left for it when the object has failed.
const FLUSH: Duration = Duration::from_secs(1);

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// Where the sealed object is
    place: Place,
    /// The file to write, which must not be there yet [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file that is there
    #[arg(long, requires = "out")]
    force: bool,
    /// The key to open it with: file:PATH, vault:NAME or an ARN
    #[arg(long, value_name = "KEY")]
    kms: Option<KeyName>,
    /// What the object is bound to and does not show: the tenant, and what was required
    #[arg(long, value_name = "NAME=VALUE")]
    context: Vec<Pair>,
    /// Whose objects are taken, of those that were sealed for this agent [default: those of pinned
    /// agents, and its own]
    #[arg(long, value_name = "PEER", conflicts_with = "kms")]
    from: Vec<String>,
    /// Only these bytes, the first counted as 0 and the last left out: 0..1024, 1024.. or ..1024
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    range: Option<Range<u64>>,
    /// Where the store begins, if it is not the folder of PLACE: its key records are there
    #[arg(long, value_name = "PLACE")]
    store: Option<Place>,
}

/// What was opened.
#[derive(Serialize)]
struct Opened {
    object: String,
    /// Of the object, or of the range.
    bytes: u64,
    chunks: u64,
    place: String,
    keys: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    out: Option<String>,
}

/// The same, where the content is on standard output.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Event {
    Opened(Opened),
}

impl fmt::Display for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object: _, bytes, chunks: _, place, keys: _, out } = self;
        let out = out.as_deref().unwrap_or("standard output");
        write!(f, "opened {place}: {bytes} bytes in {}", Plain::new(out))
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Opened(opened) = self;
        opened.fmt(f)
    }
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let place = args.place.object(args.store.as_ref())?;
    if let Some(out) = &args.out {
        OutFile::check(out, args.force)?;
    }
    let opened = driver::block_on_all(async {
        let look = look::look(&place, &config.storage).await?;
        let required =
            context::of_open(&args.context, look.head.header().stored(), &config.storage)?;
        let mut unlocked = Unlocked::new(home, config);
        let kms = match &args.kms {
            Some(name) => Some(unlocked.kms(name).await?),
            None => None,
        };
        let wanted = Wanted { option: "--kms", kms, from: &args.from };
        let key = Key::find(&wanted, &look, &required, &mut unlocked).await?;
        let object = key.open(&place, &look, &required, config).await?;
        let bytes = write(&object, &args, *output).await?;
        let chunks = Layout::of_plaintext(0, object.len().await?)?.chunks();
        let out = args.out.as_ref().map(|out| out.to_string_lossy().into_owned());
        let (object, place) = (object.object().to_string(), place.to_string());
        Ok(Opened { object, bytes, chunks, place, keys: vec![key.name()], out })
    })?;
    match opened.out {
        Some(_) => output.result(&opened)?,
        None if output.is_json() => output.event(&Event::Opened(opened)),
        None => {}
    }
    Ok(Exit::Done.into())
}

/// Writes what was asked for, and says how much that was.
async fn write(object: &StoredObject, args: &Args, output: Output) -> Result<u64, Failure> {
    let mut stop = Stop::new()?;
    driver::survive_file_limit()?;
    let stopped = || Failure::other("stopped by a signal");
    let total = tokio::select! {
        total = object.len() => total?,
        () = stop.asked() => return Err(stopped()),
    };
    let range = within(args.range.as_ref(), total)?;
    let length = range.as_ref().map_or(total, |range| range.end.saturating_sub(range.start));
    let out = args.out.as_ref().map(|out| OutFile::create(out, args.force)).transpose()?;
    let typed = out.is_none() && io::stdout().is_terminal();
    let writer: Box<dyn AsyncWrite + Unpin + Send> = match &out {
        Some(out) => Box::new(out.writer()?),
        None => sink::stdout(),
    };
    let meter = Meter::new(writer, Transfer::start(output, Some(length), typed));
    let mut writer = BufWriter::with_capacity(BUFFER, meter);
    let copied = tokio::select! {
        copied = copy(object, range, &mut writer) => copied.map_err(Failure::from),
        () = stop.asked() => Err(stopped()),
    };
    let Err(failure) = copied else {
        let written = writer.get_ref().bytes();
        drop(writer);
        if let Some(out) = out {
            driver::blocking(|| out.publish()).await?;
        }
        return Ok(written);
    };
    if out.is_none() {
        // What is authentic is given, unless nobody takes it.
        let _ = tokio::time::timeout(FLUSH, writer.flush()).await;
    }
    let meter = writer.get_mut();
    Err(match (meter.error(), &args.out) {
        (Some(error), Some(path)) => Failure::file("write", path, &error),
        (Some(error), None) => Failure::stdout(&error),
        (None, Some(_)) => failure.and("nothing was written"),
        (None, None) if meter.bytes() == 0 => failure.and("nothing was printed"),
        (None, None) => failure.and("what was printed is authentic and not all of it"),
    })
}

/// The part of a range that an object has.
fn within(range: Option<&Range<u64>>, total: u64) -> Result<Option<Range<u64>>, Failure> {
    match range {
        Some(range) if range.start > total => {
            let message = format!("the object has {total} bytes, and the range begins behind them");
            Err(Failure::new(Exit::Usage, message))
        }
        Some(range) => Ok(Some(range.start..range.end.min(total))),
        None => Ok(None),
    }
}

/// Copies what is authentic: all of it, in order, or a range of it.
async fn copy<W: AsyncWrite + Unpin + Send>(
    object: &StoredObject,
    range: Option<Range<u64>>,
    writer: &mut W,
) -> Result<(), Error> {
    let Some(range) = range else {
        return object.content().copy_to(writer).await.map(drop);
    };
    let failed = |error: io::Error| StoreError::Failed(error.to_string());
    let mut start = range.start;
    while start < range.end {
        let end = start.saturating_add(STEP).min(range.end);
        let piece = object.read_range(start..end).await?;
        writer.write_all(&piece).await.map_err(failed)?;
        start = end;
    }
    writer.flush().await.map_err(failed)?;
    Ok(())
}

fn parse_range(text: &str) -> Result<Range<u64>, &'static str> {
    let (start, end) = text.split_once("..").ok_or("write A..B")?;
    let number = |digits: &str| digits.parse().map_err(|_| "write A..B, with whole numbers");
    let start = if start.is_empty() { 0 } else { number(start)? };
    let end = if end.is_empty() { u64::MAX } else { number(end)? };
    if start <= end { Ok(start..end) } else { Err("the range ends before it begins") }
}
