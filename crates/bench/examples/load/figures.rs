//! The figures of suite `relay`.

use std::time::Duration;

use sealwire_bench::{Failure, Request};
use tempfile::TempDir;

use crate::{
    bare, claims,
    crew::Crew,
    fill::{Content, fill_folder},
    plan::{Report, Work},
    server::{self, Server},
};

/// Processes that load a server.
const PROCESSES: u32 = 2;

/// Connections between them, one request at a time on each.
const CONNECTIONS: usize = 512;

/// Mailboxes that frames are left in: they hold a million.
pub(crate) const MAILBOXES: u32 = 1000;

/// Agents whose prekeys are claimed.
const AGENTS: u32 = 1000;

/// Mailboxes with a reader each, when it is measured how long messages take; how many a second
/// are sent, and over how many connections.
const READERS: u32 = 100;
const READ_RATE: f64 = 1000.0;
const READ_CONNECTIONS: usize = 32;

/// Streams on which nothing happens.
const IDLE: u32 = 10_000;

/// Files that a server has open beside streams.
const OTHER_FILES: u64 = 500;

/// How long it is waited after the last stream stands.
const SETTLED: Duration = Duration::from_secs(1);

/// Measures one figure.
pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    let (_, name, peer) = request.key();
    if let ("accept", Some(batch)) = (name, batch(peer)) {
        return bare::measure(batch, request.time);
    }
    let (row, with) = name.split_once(", ").unwrap_or((name, ""));
    let agents = with.strip_suffix(" agents").map(str::parse).transpose()?;
    let rate = with.strip_prefix("p99 at ").and_then(|with| with.strip_suffix("/s"));
    let rate = rate.map(str::parse).transpose()?;
    match (row, with) {
        ("accept", "") => Ok(accepts(&Scene::accepting(peer)?, MAILBOXES, request, None)?.rate()),
        ("accept", "processor time") => {
            let scene = Scene::accepting("")?;
            let work = Work::Messages { mailboxes: MAILBOXES, own: false };
            processor_time(&scene, work, request)
        }
        ("accept", _) if rate.is_some() => {
            let report = accepts(&Scene::accepting(peer)?, MAILBOXES, request, rate)?;
            Ok(millis(report.answers.histogram().per_mille(990)))
        }
        ("accept", _) => {
            let agents = agents.ok_or_else(|| request.unknown())?;
            let content = Content { mailboxes: agents, agents, keys: 1 };
            Ok(accepts(&Scene::with(content)?, agents, request, None)?.rate())
        }
        ("claim", "processor time") => {
            let scene = Scene::with(in_plenty(AGENTS, request)?)?;
            processor_time(&scene, Work::Claims { agents: AGENTS }, request)
        }
        ("claim", "") => claimed(AGENTS, request),
        ("claim", _) => claimed(agents.ok_or_else(|| request.unknown())?, request),
        ("latency", "") => latency(500, request),
        ("latency", "p99") => latency(990, request),
        ("idle", "") => idle(),
        _ => Err(request.unknown()),
    }
}

/// Rows of one transaction of the bare loop.
fn batch(peer: &str) -> Option<u32> {
    match peer.strip_prefix("sqlite")? {
        "" => Some(512),
        batch => batch.strip_prefix(", batch ")?.parse().ok(),
    }
}

/// A server, with its data.
struct Scene {
    server: Server,
    _data: Option<TempDir>,
}

impl Scene {
    /// A relay with mailboxes, or a limit.
    fn accepting(peer: &str) -> Result<Self, Failure> {
        if peer.is_empty() {
            return Self::with(Content { mailboxes: MAILBOXES, ..Content::default() });
        }
        Ok(Self { server: Server::limit(peer)?, _data: None })
    }

    /// A relay that holds all this.
    fn with(content: Content) -> Result<Self, Failure> {
        server::raise_open_files()?;
        let folder = server::folder()?;
        let data = folder.path().join("relay");
        fill_folder(&data, content)?;
        Ok(Self { server: Server::relay(&data)?, _data: Some(folder) })
    }
}

/// Frames that are accepted, with nobody who reads: so many a second, or as fast as they are.
fn accepts(
    scene: &Scene,
    mailboxes: u32,
    request: &Request,
    rate: Option<f64>,
) -> Result<Report, Failure> {
    let work = Work::Messages { mailboxes, own: false };
    let mut crew = Crew::start(scene.server.address, PROCESSES, CONNECTIONS, work)?;
    whole(crew.run(rate, request.time / 4)?)?;
    whole(crew.run(rate, request.time)?)
}

/// Requests that are answered for each second of processor time of the relay.
fn processor_time(scene: &Scene, work: Work, request: &Request) -> Result<f64, Failure> {
    let mut crew = Crew::start(scene.server.address, PROCESSES, CONNECTIONS, work)?;
    whole(crew.run(None, request.time / 4)?)?;
    let before = scene.server.usage()?.busy;
    let report = whole(crew.run(None, request.time)?)?;
    let busy = scene.server.usage()?.busy - before;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let done = report.done as f64;
    Ok(done / busy)
}

/// Agents with a key of each kind for every claim.
fn in_plenty(agents: u32, request: &Request) -> Result<Content, Failure> {
    let mut most = 0_u32;
    for time in [request.time / 4, request.time] {
        most = most.saturating_add(claims::most(time)?.saturating_mul(PROCESSES));
    }
    Ok(Content { mailboxes: 0, agents, keys: most.div_ceil(agents.max(1)) })
}

/// Claims a second, each of a key of each kind.
fn claimed(agents: u32, request: &Request) -> Result<f64, Failure> {
    let scene = Scene::with(in_plenty(agents, request)?)?;
    let work = Work::Claims { agents };
    let mut crew = Crew::start(scene.server.address, PROCESSES, CONNECTIONS, work)?;
    whole(crew.run(None, request.time / 4)?)?;
    Ok(whole(crew.run(None, request.time)?)?.rate())
}

/// How long it takes until a message is read, in milliseconds: so many of a thousand take no
/// longer.
fn latency(per_mille: u64, request: &Request) -> Result<f64, Failure> {
    let scene = Scene::with(Content::default())?;
    let work = Work::Messages { mailboxes: READERS, own: true };
    let mut crew = Crew::start(scene.server.address, PROCESSES, READ_CONNECTIONS, work)?;
    whole(crew.run(Some(READ_RATE), request.time / 4)?)?;
    let report = whole(crew.run(Some(READ_RATE), request.time)?)?;
    if !sealwire_bench::load::Tally::from(crew.end()?.tally).is_good() {
        return Err("a message was lost, or came twice".into());
    }
    Ok(millis(report.deliveries.histogram().per_mille(per_mille)))
}

// attack T24
/// Bytes of the relay's memory for each stream. With all of them open it does its work.
fn idle() -> Result<f64, Failure> {
    let files = server::raise_open_files()?.saturating_sub(OTHER_FILES);
    let streams = IDLE.min(u32::try_from(files).unwrap_or(u32::MAX));
    let scene = Scene::with(Content { mailboxes: streams, ..Content::default() })?;
    let open = |mailboxes| {
        let mut crew = Crew::start(scene.server.address, PROCESSES, 0, Work::Idle { mailboxes })?;
        crew.run(None, SETTLED)?;
        Ok::<_, Failure>((crew, scene.server.usage()?.memory))
    };
    // What all streams share is there after the first ones.
    let (crew, before) = open(streams / 100)?;
    drop(crew);
    let (_crew, after) = open(streams)?;
    let work = Work::Messages { mailboxes: streams, own: false };
    let mut senders = Crew::start(scene.server.address, 1, READ_CONNECTIONS, work)?;
    whole(senders.run(Some(READ_RATE), SETTLED)?)?;
    #[expect(clippy::cast_precision_loss, reason = "below 2^52 bytes")]
    let bytes = after.saturating_sub(before) as f64;
    Ok(bytes / f64::from(streams))
}

/// The report of a phase in which every request was answered as wanted.
fn whole(report: Report) -> Result<Report, Failure> {
    let Report { due, done, refused, unanswered, .. } = &report;
    if done == due {
        return Ok(report);
    }
    Err(format!("of {due} requests {done} were answered, {refused} refused, {unanswered} not")
        .into())
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
