//! The figures of suite `relay`.

use std::time::Duration;

use sealwire_bench::{Failure, Request, load::Tally};
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
    let mut words = name.split(", ");
    let row = words.next();
    let (mut agents, mut figure) = (None, Figure::Rate);
    for word in words {
        if let Some(number) = word.strip_suffix(" agents") {
            agents = Some(number.parse()?);
        } else {
            figure = Figure::parse(word)?.ok_or_else(|| request.unknown())?;
        }
    }
    match row {
        Some("accept") => Scene::accepting(peer, agents)?.measure(figure, request),
        Some("claim") => {
            Scene::claimed(agents.unwrap_or(AGENTS), request)?.measure(figure, request)
        }
        Some("latency") => latency(figure, request),
        Some("idle") => idle(),
        _ => Err(request.unknown()),
    }
}

/// What is said of a load.
#[derive(Clone, Copy, Debug)]
enum Figure {
    /// Requests a second.
    Rate,
    /// Requests for each second of processor time of the server.
    ProcessorTime,
    /// How long the slowest of a hundred takes, at so many a second; as many as there are in a
    /// row that has a rate of its own.
    P99(Option<f64>),
}

impl Figure {
    fn parse(word: &str) -> Result<Option<Self>, Failure> {
        Ok(match word {
            "processor time" => Some(Self::ProcessorTime),
            "p99" => Some(Self::P99(None)),
            _ => {
                let rate = word.strip_prefix("p99 at ").and_then(|word| word.strip_suffix("/s"));
                rate.map(str::parse).transpose()?.map(|rate| Self::P99(Some(rate)))
            }
        })
    }
}

/// Rows of one transaction of the bare loop.
fn batch(peer: &str) -> Option<u32> {
    match peer.strip_prefix("sqlite")? {
        "" => Some(512),
        batch => batch.strip_prefix(", batch ")?.parse().ok(),
    }
}

/// A server with its data, and what it is asked.
struct Scene {
    server: Server,
    work: Work,
    _data: Option<TempDir>,
}

impl Scene {
    /// Frames for a relay with mailboxes that nobody reads, or for a limit.
    fn accepting(peer: &str, agents: Option<u32>) -> Result<Self, Failure> {
        let mailboxes = agents.unwrap_or(MAILBOXES);
        let work = Work::Messages { mailboxes, own: false };
        if !peer.is_empty() {
            return Ok(Self { server: Server::limit(peer)?, work, _data: None });
        }
        Self::with(Content { mailboxes, agents: agents.unwrap_or(0), keys: 1 }, work)
    }

    /// Claims of agents with a key of each kind for every one of them.
    fn claimed(agents: u32, request: &Request) -> Result<Self, Failure> {
        let mut most = 0_u32;
        for time in [warm_up(request), request.time] {
            most = most.saturating_add(claims::most(time)?.saturating_mul(PROCESSES));
        }
        let content = Content { mailboxes: 0, agents, keys: most.div_ceil(agents.max(1)) };
        Self::with(content, Work::Claims { agents })
    }

    /// A relay that holds all this.
    fn with(content: Content, work: Work) -> Result<Self, Failure> {
        server::raise_open_files()?;
        let folder = server::folder()?;
        let data = folder.path().join("relay");
        fill_folder(&data, content)?;
        Ok(Self { server: Server::relay(&data)?, work, _data: Some(folder) })
    }

    fn crew(&self, processes: u32, connections: usize, work: Work) -> Result<Crew, Failure> {
        Crew::start(self.server.address, processes, connections, work)
    }

    fn measure(&self, figure: Figure, request: &Request) -> Result<f64, Failure> {
        let rate = match figure {
            Figure::P99(rate) => Some(rate.ok_or_else(|| request.unknown())?),
            Figure::Rate | Figure::ProcessorTime => None,
        };
        let mut crew = self.crew(PROCESSES, CONNECTIONS, self.work)?;
        whole(crew.run(rate, warm_up(request))?)?;
        let before = self.server.usage()?.busy;
        let report = whole(crew.run(rate, request.time)?)?;
        let busy = self.server.usage()?.busy - before;
        Ok(match figure {
            Figure::Rate => report.rate(),
            Figure::ProcessorTime => report.rate() * report.took.as_secs_f64() / busy,
            Figure::P99(_) => millis(report.answers.histogram().per_mille(990)),
        })
    }
}

fn warm_up(request: &Request) -> Duration {
    request.time / 4
}

/// How long it takes until a message is read, in milliseconds.
fn latency(figure: Figure, request: &Request) -> Result<f64, Failure> {
    let per_mille = match figure {
        Figure::Rate => 500,
        Figure::P99(None) => 990,
        _ => return Err(request.unknown()),
    };
    let work = Work::Messages { mailboxes: READERS, own: true };
    let scene = Scene::with(Content::default(), work)?;
    let mut crew = scene.crew(PROCESSES, READ_CONNECTIONS, work)?;
    whole(crew.run(Some(READ_RATE), warm_up(request))?)?;
    let report = whole(crew.run(Some(READ_RATE), request.time)?)?;
    if !Tally::from(crew.end()?.tally).is_good() {
        return Err("a message was lost, or came twice".into());
    }
    Ok(millis(report.deliveries.histogram().per_mille(per_mille)))
}

// attack T24
/// Bytes of the relay's memory for each stream. With all of them open it does its work.
fn idle() -> Result<f64, Failure> {
    let files = server::raise_open_files()?.saturating_sub(OTHER_FILES);
    let streams = IDLE.min(u32::try_from(files).unwrap_or(u32::MAX));
    let work = Work::Messages { mailboxes: streams, own: false };
    let scene = Scene::with(Content { mailboxes: streams, ..Content::default() }, work)?;
    let open = |mailboxes| {
        let mut crew = scene.crew(PROCESSES, 0, Work::Idle { mailboxes })?;
        crew.run(None, SETTLED)?;
        Ok::<_, Failure>((crew, scene.server.usage()?.memory))
    };
    // What all streams share is there after the first ones.
    let (crew, before) = open(streams / 100)?;
    drop(crew);
    let (_crew, after) = open(streams)?;
    let mut senders = scene.crew(1, READ_CONNECTIONS, work)?;
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
