//! `sealwire inspect`: what a file is, without secrets.

mod object;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use sealwire::{
    core::{Timestamp, Unverified},
    custody::KeyFile,
    identity::{IdentityCard, PinStore},
    noise::{Pattern, Preamble},
};
use sealwire_envelope::{Head, KeyRecord, MAGIC};
use serde::Serialize;

use self::object::{ObjectView, RecordView};
use crate::{
    agent, cards,
    config::{Config, StorageConfig},
    driver,
    error::{Exit, Failure},
    input,
    output::Output,
    storage::{Place, look},
    text::Plain,
    view::{CardView, PinView, SuiteName, list, suites},
};

/// What is read of a file: the longest pins file is shorter, and of a captured connection the
/// start is enough.
const MAX_READ: u64 = 16 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A card, a key file, a pins file, a sealed object or its key record, also in a bucket as
    /// s3://BUCKET/NAME, or the bytes that begin a connection; - reads standard input
    file: PathBuf,
}

impl Args {
    /// Whether it is a place that is reached over the network, or written as one.
    pub(crate) fn is_place(&self) -> bool {
        self.file.to_str().is_some_and(|text| text.contains("://"))
    }
}

pub(crate) fn run(args: Args, output: &Output) -> Result<ExitCode, Failure> {
    let Args { file } = args;
    let bytes = input::read(&file, MAX_READ)?;
    let found = match bytes.starts_with(&MAGIC) {
        true => object_file(&file, &bytes)?,
        false => recognise(&bytes, agent::wall()).map_err(|tried| unknown(&file, &tried))?,
    };
    output.result(&found)?;
    Ok(Exit::Done.into())
}

/// Of what is in a store.
pub(crate) fn run_place(args: Args, config: &Config, output: &Output) -> Result<ExitCode, Failure> {
    let Args { file } = args;
    let place = Place::parse(&file.to_string_lossy())?;
    let found = driver::block_on_all(in_store(&place, &config.storage))?;
    output.result(&found)?;
    Ok(Exit::Done.into())
}

async fn in_store(place: &Place, config: &StorageConfig) -> Result<Found, Failure> {
    let start = look::start(place, KeyRecord::MAX_LEN.saturating_add(1), config).await?;
    if let Ok(record) = KeyRecord::from_bytes(&start.bytes) {
        return Ok(Found::KeyRecord(RecordView::from(&record)));
    }
    let (head, _) = Head::split(&start.bytes).map_err(|error| {
        Failure::other(format!("{place} is no sealed object and no key record: {error}"))
    })?;
    let record = look::record(place, &head, config).await?;
    Ok(Found::Object(ObjectView::new(&head, Some(start.len), record.as_ref())))
}

/// A sealed object in a folder, in which its key record is too if that is its store.
fn object_file(file: &Path, bytes: &[u8]) -> Result<Found, Failure> {
    let (head, _) = Head::split(bytes).map_err(|error| {
        let message = format!("{} begins as a sealed object does: {error}", Plain::path(file));
        Failure::other(message)
    })?;
    let len = fs::metadata(file).ok().filter(fs::Metadata::is_file).map(|found| found.len());
    let record = file.parent().map(|folder| folder.join(KeyRecord::name(head.header().object())));
    let record = record.filter(|record| record.is_file());
    let record = record.and_then(|record| input::read(&record, MAX_READ).ok());
    let record = record.and_then(|bytes| KeyRecord::from_bytes(&bytes).ok());
    Ok(Found::Object(ObjectView::new(&head, len, record.as_ref())))
}

/// What a file is.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Found {
    Card { encoding: &'static str, cards: Vec<JudgedCard> },
    KeyFile { version: u8, kdf: &'static str, memory_kib: u32, passes: u32, lanes: u8 },
    Pins { pins: Vec<PinView> },
    Object(ObjectView),
    KeyRecord(RecordView),
    Preamble(PreambleView),
}

/// A card, and whether it stands.
#[derive(Debug, Serialize)]
struct JudgedCard {
    #[serde(flatten)]
    card: CardView,
    valid: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    why_not: Option<String>,
}

#[derive(Debug, Serialize)]
struct PreambleView {
    version: u8,
    pattern: &'static str,
    suite: SuiteName,
    offered: Vec<SuiteName>,
    /// The responder's exchange keys that the caller used, in IK.
    kx_id: Option<u32>,
    bytes: usize,
    /// Length of the handshake message that follows, if it does.
    message_bytes: Option<u16>,
}

/// Tries every kind; else what was tried, and why it is not that.
fn recognise(bytes: &[u8], now: Timestamp) -> Result<Found, Vec<String>> {
    let mut tried = Vec::new();
    match std::str::from_utf8(bytes).map(cards::parse) {
        Ok(Ok(cards)) if !cards.is_empty() => return Ok(judged("text", cards, now)),
        Ok(Ok(_)) => tried.push("card text: it is empty".to_owned()),
        Ok(Err(error)) => tried.push(error.to_string()),
        Err(_) => tried.push("card text: it is not text".to_owned()),
    }
    match KeyFile::from_bytes(bytes) {
        Ok(file) => return Ok(key_file(&file, bytes)),
        Err(error) => tried.push(error.to_string()),
    }
    match IdentityCard::from_bytes(bytes) {
        Ok(card) => return Ok(judged("binary", vec![card], now)),
        Err(error) => tried.push(error.to_string()),
    }
    match PinStore::from_bytes(bytes) {
        Ok(pins) => return Ok(Found::Pins { pins: pins.iter().map(PinView::from).collect() }),
        Err(error) => tried.push(error.to_string()),
    }
    match KeyRecord::from_bytes(bytes) {
        Ok(record) => return Ok(Found::KeyRecord(RecordView::from(&record))),
        Err(error) => tried.push(error.to_string()),
    }
    match preamble(bytes) {
        Ok(preamble) => return Ok(Found::Preamble(preamble)),
        Err(why) => tried.push(why),
    }
    Err(tried)
}

fn unknown(file: &Path, tried: &[String]) -> Failure {
    let tried = tried.join("; ");
    Failure::other(format!(
        "{} is not a card, key file, pins file, sealed object, key record or start of a connection: \
         {tried}",
        Plain::path(file)
    ))
}

fn judged(encoding: &'static str, cards: Vec<Unverified<IdentityCard>>, now: Timestamp) -> Found {
    let judge = |card: Unverified<IdentityCard>| {
        let view = card.claimed().into();
        let why_not = card.verify(now).err().map(|error| error.to_string());
        JudgedCard { card: view, valid: why_not.is_none(), why_not }
    };
    Found::Card { encoding, cards: cards.into_iter().map(judge).collect() }
}

fn key_file(file: &KeyFile, bytes: &[u8]) -> Found {
    let params = file.params();
    Found::KeyFile {
        // It follows the eight bytes by which a key file is known.
        version: bytes.get(8).copied().unwrap_or_default(),
        kdf: "argon2id",
        memory_kib: params.memory_kib(),
        passes: params.passes(),
        lanes: params.lanes(),
    }
}

fn preamble(bytes: &[u8]) -> Result<PreambleView, String> {
    let head = bytes.first_chunk().ok_or("preamble: the input ends too early")?;
    let rest = Preamble::rest_len(head).map_err(|error| error.to_string())?;
    let len = Preamble::HEAD_LEN.saturating_add(rest);
    let (whole, after) = bytes.split_at_checked(len).ok_or("preamble: the input ends too early")?;
    let preamble = Preamble::from_bytes(whole).map_err(|error| error.to_string())?;
    Ok(PreambleView {
        version: head.first().copied().unwrap_or_default(),
        pattern: match preamble.pattern() {
            Pattern::Xx => "XX",
            Pattern::Ik => "IK",
        },
        suite: preamble.suite().into(),
        offered: suites(preamble.offered()),
        kx_id: preamble.kx().map(|kx| kx.get()),
        bytes: len,
        message_bytes: after.first_chunk().map(|len| u16::from_be_bytes(*len)),
    })
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Card { encoding, cards } => {
                cards.iter().try_for_each(|card| write!(f, "card, as {encoding}\n{card}"))
            }
            Self::KeyFile { version, kdf, memory_kib, passes, lanes } => {
                writeln!(f, "key file, version {version}")?;
                let memory = memory_kib / 1024;
                write!(f, "sealed with {kdf}: {memory} MiB, {passes} passes, {lanes} lanes")
            }
            Self::Pins { pins } => {
                writeln!(f, "pins file, {} pinned", pins.len())?;
                pins.iter().try_for_each(|pin| write!(f, "{pin}"))
            }
            Self::Object(object) => object.fmt(f),
            Self::KeyRecord(record) => record.fmt(f),
            Self::Preamble(preamble) => preamble.fmt(f),
        }
    }
}

impl fmt::Display for JudgedCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { card, valid: _, why_not } = self;
        write!(f, "{card}")?;
        let state = why_not.as_deref().unwrap_or("the signature and the times are right");
        writeln!(f, "verified       {}", Plain::new(state))
    }
}

impl fmt::Display for PreambleView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, pattern, suite, offered, kx_id, bytes, message_bytes } = self;
        writeln!(f, "start of a connection: preamble of {bytes} bytes, version {version}")?;
        writeln!(f, "handshake      {pattern}, hybrid X25519 and ML-KEM-768")?;
        writeln!(f, "suite          {suite}")?;
        writeln!(f, "offered        {}", list(offered))?;
        if let Some(kx_id) = kx_id {
            writeln!(f, "exchange keys  number {kx_id} of the responder")?;
        }
        match message_bytes {
            Some(len) => writeln!(f, "message 1      {len} bytes"),
            None => Ok(()),
        }
    }
}
