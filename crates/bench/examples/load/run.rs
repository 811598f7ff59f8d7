//! `cargo xtask load`: a relay under a load of messages, each of which is accounted for.

use std::{io::Write as _, thread, time::Duration};

use sealwire_bench::{
    Failure,
    load::{Histogram, Tally},
    now,
};
use serde::{Deserialize, Serialize};

use crate::{
    crew::Crew,
    plan::{Counts, Durations, Report, Work},
    server::{self, Server},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Options {
    seconds: u64,
    /// Mailboxes, each with a reader.
    agents: u32,
    /// Messages a second.
    rate: f64,
    /// Connections on which they are sent.
    connections: usize,
    /// Processes that send and read.
    processes: u32,
    /// Seconds after which the relay is killed and started anew, again and again.
    kill_every: Option<u64>,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    options: Options,
    /// Messages that were due.
    due: u64,
    /// Answered in another way than that the relay has them.
    refused: u64,
    /// Never answered.
    unanswered: u64,
    #[serde(flatten)]
    counts: Counts,
    accepts_per_second: f64,
    /// From when a message was due until the relay said that it has it.
    accept: Times,
    /// From when a message was due until it was read.
    delivery: Times,
    relay: Process,
    load: Load,
    /// Nothing was lost, altered or delivered again.
    good: bool,
}

/// In milliseconds.
#[derive(Debug, Serialize)]
struct Times {
    p50: f64,
    p99: f64,
    longest: f64,
}

#[derive(Debug, Serialize)]
struct Process {
    /// Resident, in bytes, at the end and at most.
    memory: u64,
    peak: u64,
    /// Processor time, in seconds.
    busy: f64,
    /// How often it was killed.
    kills: u32,
}

#[derive(Debug, Serialize)]
struct Load {
    /// Processor time of all its processes, in seconds.
    busy: f64,
}

#[expect(clippy::print_stdout, reason = "the outcome goes to standard output")]
pub(crate) fn run(options: &str) -> Result<(), Failure> {
    let options: Options = serde_json::from_str(options)?;
    server::raise_open_files()?;
    let folder = server::folder()?;
    let mut server = Server::relay(&folder.path().join("relay"))?;
    let work = Work::Messages { mailboxes: options.agents, own: true };
    let mut crew = Crew::start(server.address, options.processes, options.connections, work)?;
    let before = server.usage()?.busy;
    let time = Duration::from_secs(options.seconds);
    crew.begin(Some(options.rate), time)?;
    let (kills, busy) = kill_now_and_then(&mut server, &options)?;
    let report = crew.reports()?;
    let end = crew.end()?;
    let usage = server.usage()?;
    let relay =
        Process { memory: usage.memory, peak: usage.peak, busy: busy + usage.busy - before, kills };
    println!("{}", serde_json::to_string(&Outcome::new(options, &report, &end, relay))?);
    Ok(std::io::stdout().flush()?)
}

// attack T26
/// Kills the relay, as often as is asked for, until the time is over. Gives how often, and the
/// processor time of those that were killed.
fn kill_now_and_then(server: &mut Server, options: &Options) -> Result<(u32, f64), Failure> {
    let (mut kills, mut busy) = (0_u32, 0.0);
    let Some(every) = options.kill_every else { return Ok((kills, busy)) };
    let (start, every) = (now(), Duration::from_secs(every.max(1)));
    let time = Duration::from_secs(options.seconds);
    loop {
        let next = every.saturating_mul(kills.saturating_add(1));
        if next >= time {
            return Ok((kills, busy));
        }
        thread::sleep(next.saturating_sub(start.elapsed()));
        busy += server.usage()?.busy;
        server.kill_and_restart()?;
        kills = kills.saturating_add(1);
    }
}

impl Outcome {
    fn new(options: Options, report: &Report, end: &Report, relay: Process) -> Self {
        Self {
            options,
            due: report.due,
            refused: report.refused,
            unanswered: report.unanswered,
            counts: end.tally,
            accepts_per_second: report.rate(),
            accept: Times::of(&report.answers),
            delivery: Times::of(&report.deliveries),
            relay,
            load: Load { busy: report.busy },
            good: Tally::from(end.tally).is_good(),
        }
    }
}

impl Times {
    fn of(durations: &Durations) -> Self {
        let histogram: Histogram = durations.histogram();
        let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
        Self {
            p50: millis(histogram.per_mille(500)),
            p99: millis(histogram.per_mille(990)),
            longest: millis(histogram.longest()),
        }
    }
}
