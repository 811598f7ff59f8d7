//! `sealwire seal`: a file, sealed into a folder or a bucket.

use std::{
    fmt,
    fs::File,
    io,
    io::IsTerminal,
    path::{Path, PathBuf},
    process::ExitCode,
};

use sealwire::custody::system_rng;
use sealwire_envelope::{Context, Layout, store::SealWriter};
use serde::Serialize;
use tokio::io::AsyncRead;

use crate::{
    agent,
    config::Config,
    driver::{self, Stop},
    error::{Exit, Failure},
    home::Home,
    output::Output,
    progress::Transfer,
    storage::{
        KeyName, Place, Unlocked,
        context::{self, Pair},
        meter::Meter,
        sealing::Keys,
    },
    text::Plain,
};

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// The file to seal; - reads standard input
    source: PathBuf,
    /// Where the sealed object goes, if there is none yet
    place: Place,
    /// For an agent: its id, or as much of its beginning as is enough, or the file of its card.
    /// This agent signs the object then
    #[arg(long, value_name = "PEER")]
    to: Vec<String>,
    /// For whoever may use this key: file:PATH, vault:NAME or an ARN [default: storage.kms, without
    /// --to]
    #[arg(long, value_name = "KEY")]
    kms: Vec<KeyName>,
    /// What the object is said to be, in clear, bound to it; the tenant is bound and not shown
    #[arg(long, value_name = "NAME=VALUE")]
    context: Vec<Pair>,
    /// A name of --context whose value is bound and not stored: who opens the object must know it
    #[arg(long, value_name = "NAME")]
    require: Vec<String>,
    /// Where the store begins, if it is not the folder of PLACE: its key records are there
    #[arg(long, value_name = "PLACE")]
    store: Option<Place>,
}

/// What was sealed.
#[derive(Serialize)]
struct Sealed {
    object: String,
    bytes: u64,
    chunks: u64,
    place: String,
    keys: Vec<String>,
}

impl fmt::Display for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { object, bytes, chunks: _, place, keys } = self;
        writeln!(f, "sealed  {place}, {bytes} bytes")?;
        writeln!(f, "object  {object}")?;
        keys.iter().try_for_each(|key| writeln!(f, "for     {}", Plain::new(key)))
    }
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let place = args.place.object(args.store.as_ref())?;
    let context = context::of_seal(&args.context, &args.require, &config.storage)?;
    let source = Source::open(&args.source)?;
    let sealed = driver::block_on_all(async {
        let keys = Keys::find(&args.kms, &args.to, &mut Unlocked::new(home, config)).await?;
        seal(source, &place, &context, &keys, config, *output).await
    })?;
    output.result(&sealed)?;
    Ok(Exit::Done.into())
}

async fn seal(
    source: Source,
    place: &Place,
    context: &Context,
    keys: &Keys,
    config: &Config,
    output: Output,
) -> Result<Sealed, Failure> {
    let (store, name) = place.store_to_write(&config.storage)?;
    let plan = keys.plan(context, config);
    let (now, mut rng) = (agent::wall(), system_rng());
    let at = |error: sealwire_envelope::Error| Failure::from(error).at(place);
    driver::survive_file_limit()?;
    let mut writer = store.writer(&name, &plan, now, &mut rng).await.map_err(at)?;
    let mut stop = Stop::new()?;
    if let Err(failure) = copy(&mut writer, source, place, &mut stop, output).await {
        return Err(given_up(writer, failure).await);
    }
    let sealed = tokio::select! {
        sealed = writer.finish() => sealed.map_err(at),
        () = stop.asked() => Err(stopped()),
    };
    // A store that does not answer may have done it.
    let sealed = sealed.map_err(|failure| match (failure.exit(), failure.hint_text()) {
        (Exit::Later, _) | (_, None) => {
            failure.hint("`sealwire inspect` tells whether the object stands there all the same")
        }
        _ => failure,
    })?;
    let bytes = sealed.plaintext_len();
    let chunks = Layout::of_plaintext(0, bytes)?.chunks();
    let (object, place) = (sealed.object().to_string(), place.to_string());
    Ok(Sealed { object, bytes, chunks, place, keys: keys.names() })
}

/// Seals all of the source.
async fn copy(
    writer: &mut SealWriter,
    source: Source,
    place: &Place,
    stop: &mut Stop,
    output: Output,
) -> Result<(), Failure> {
    let Source { reader, length, name } = source;
    let typed = io::stdin().is_terminal() && name.as_os_str() == "-";
    let mut reader = Meter::new(reader, Transfer::start(output, length, typed));
    let copied = tokio::select! {
        copied = writer.copy_from(&mut reader) => copied,
        () = stop.asked() => return Err(stopped()),
    };
    match (copied, reader.error()) {
        (Ok(_), _) => Ok(()),
        (Err(_), Some(error)) => Err(Failure::file("read", &name, &error)),
        (Err(error), None) => Err(Failure::from(error).at(place)),
    }
}

/// Takes back what stands in the store of an object that will not be finished.
async fn given_up(writer: SealWriter, failure: Failure) -> Failure {
    let object = writer.object();
    match writer.abort().await {
        Ok(()) if failure.hint_text().is_none() => failure.hint("nothing was sealed"),
        Ok(()) => failure,
        Err(_) => failure.hint(format!(
            "nothing was sealed; the key record of {object}, which opens nothing, may be left, and \
             `sealwire keyring sweep` finds it"
        )),
    }
}

fn stopped() -> Failure {
    Failure::other("stopped by a signal")
}

/// What is sealed.
struct Source {
    reader: Box<dyn AsyncRead + Unpin + Send>,
    length: Option<u64>,
    name: PathBuf,
}

impl Source {
    fn open(path: &Path) -> Result<Self, Failure> {
        let name = path.to_owned();
        if path.as_os_str() == "-" {
            let reader = Box::new(tokio::io::stdin());
            return Ok(Self { reader, length: None, name });
        }
        let unreadable = |error: io::Error| Failure::file("read", path, &error);
        let file = File::open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        if found.is_dir() {
            let message = format!("{} is a folder; an object is one file", Plain::path(path));
            return Err(
                Failure::other(message).hint("for a folder: tar -c FOLDER | sealwire seal - PLACE")
            );
        }
        let length = Some(found.len()).filter(|_| found.is_file());
        Ok(Self { reader: Box::new(tokio::fs::File::from_std(file)), length, name })
    }
}
