//! What processes tell each other: one JSON object a line.

use std::{net::SocketAddr, time::Duration};

use sealwire_bench::load::{Histogram, Tally};
use serde::{Deserialize, Serialize};

/// What one process is to do, among all.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    /// Which one it is.
    pub(crate) number: u32,
    /// Of how many.
    pub(crate) of: u32,
    /// Its connections.
    pub(crate) connections: usize,
    pub(crate) work: Work,
}

/// What it does.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Leaves frames.
    Messages {
        /// In so many mailboxes, all processes together.
        mailboxes: u32,
        /// It makes its part of them, and reads that: then each message is accounted for.
        own: bool,
    },
    /// Claims prekeys of so many devices.
    Claims {
        /// All processes together.
        agents: u32,
    },
    /// Opens streams of so many mailboxes, and waits.
    Idle {
        /// All processes together.
        mailboxes: u32,
    },
}

/// What a process is told after its plan.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum Order {
    Run(Phase),
    /// There is no other phase.
    End,
}

/// What a process says: that it is ready, and what came of each order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    Ready,
    Report(Box<Report>),
}

/// A time of work.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Phase {
    /// How many a second of this process; without one, the next as soon as one is answered.
    pub(crate) rate: Option<f64>,
    pub(crate) time: Duration,
}

/// What came of a phase, in one process or in all.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Requests that were due.
    pub(crate) due: u64,
    /// Answered as wanted.
    pub(crate) done: u64,
    /// Answered in another way.
    pub(crate) refused: u64,
    /// Never answered.
    pub(crate) unanswered: u64,
    /// Until the last answer.
    pub(crate) took: Duration,
    /// From when a request was due to its answer.
    pub(crate) answers: Durations,
    /// From when a message was due until it was read.
    pub(crate) deliveries: Durations,
    /// Of all phases so far.
    pub(crate) tally: Counts,
    /// Seconds of processor time.
    pub(crate) busy: f64,
}

/// A [`Histogram`].
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Durations {
    buckets: Vec<(usize, u64)>,
    longest: Duration,
}

/// A [`Tally`].
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) accepted: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) duplicated: u64,
    pub(crate) redelivered: u64,
    pub(crate) altered: u64,
    pub(crate) unknown: u64,
}

impl Report {
    /// Requests a second that were answered as wanted.
    pub(crate) fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let done = self.done as f64;
        done / self.took.as_secs_f64().max(1e-9)
    }

    /// What came of all processes.
    pub(crate) fn sum(reports: &[Self]) -> Self {
        let mut sum = Self::default();
        let (mut answers, mut deliveries) = (Histogram::new(), Histogram::new());
        let mut tally = Tally::default();
        for report in reports {
            sum.due = sum.due.saturating_add(report.due);
            sum.done = sum.done.saturating_add(report.done);
            sum.refused = sum.refused.saturating_add(report.refused);
            sum.unanswered = sum.unanswered.saturating_add(report.unanswered);
            sum.took = sum.took.max(report.took);
            sum.busy += report.busy;
            report.answers.add_to(&mut answers);
            report.deliveries.add_to(&mut deliveries);
            tally.add(&report.tally.into());
        }
        sum.answers = (&answers).into();
        sum.deliveries = (&deliveries).into();
        sum.tally = tally.into();
        sum
    }
}

impl Durations {
    pub(crate) fn histogram(&self) -> Histogram {
        let mut histogram = Histogram::new();
        self.add_to(&mut histogram);
        histogram
    }

    fn add_to(&self, histogram: &mut Histogram) {
        for (bucket, count) in &self.buckets {
            histogram.add(*bucket, *count, self.longest);
        }
    }
}

impl From<&Histogram> for Durations {
    fn from(histogram: &Histogram) -> Self {
        Self { buckets: histogram.buckets().collect(), longest: histogram.longest() }
    }
}

macro_rules! same_fields {
    ($from:ident, $to:ident) => {
        impl From<$from> for $to {
            fn from(from: $from) -> Self {
                let $from {
                    sent,
                    accepted,
                    delivered,
                    lost,
                    duplicated,
                    redelivered,
                    altered,
                    unknown,
                } = from;
                Self { sent, accepted, delivered, lost, duplicated, redelivered, altered, unknown }
            }
        }
    };
}

same_fields!(Tally, Counts);
same_fields!(Counts, Tally);
