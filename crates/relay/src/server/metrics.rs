//! What a relay counts, in the text format of Prometheus. No label names anybody.

use core::{
    fmt::{self, Write},
    time::Duration,
};
use std::sync::atomic::{AtomicU64, Ordering};

use super::api::NAMES;
use crate::Problem;

/// The media type of the text format.
pub(super) const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Ends of the buckets of the time that answers took, in microseconds.
const BUCKETS: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 60_000_000,
];

/// How a request ended: with success, or with one of the problems.
const OUTCOMES: usize = 1 + Problem::ALL.len();

/// Counts since the start.
#[derive(Debug, Default)]
pub(super) struct Metrics {
    operations: [Counts; NAMES.len()],
    /// Connections that were not taken because there were too many.
    pub(super) refused: Count,
    /// TLS handshakes that failed or took too long.
    pub(super) handshakes_failed: Count,
    /// Transactions of deposits.
    pub(super) batches: Count,
    /// Frames that they held.
    pub(super) batched: Count,
    /// Streams.
    pub(super) streams: Gauge,
    /// Claims that brought no key of one kind.
    pub(super) drained: Count,
    /// Sweeps.
    pub(super) sweeps: Count,
    /// Failures of the store.
    pub(super) store_failures: Count,
}

#[derive(Debug, Default)]
struct Counts {
    outcomes: [Count; OUTCOMES],
    buckets: [Count; BUCKETS.len()],
    microseconds: Count,
}

/// A number that only rises.
#[derive(Debug, Default)]
pub(super) struct Count(AtomicU64);

/// A number that rises and falls.
#[derive(Debug, Default)]
pub(super) struct Gauge(AtomicU64);

/// One more for as long as it is there.
#[derive(Debug)]
pub(super) struct Counted<'a>(&'a Gauge);

impl Count {
    pub(super) fn add(&self, number: usize) {
        self.0.fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Gauge {
    pub(super) fn count(&self) -> Counted<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self)
    }

    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Metrics {
    /// Counts an answer to the operation with this number in [`NAMES`].
    pub(super) fn answered(&self, operation: usize, problem: Option<Problem>, took: Duration) {
        let Some(counts) = self.operations.get(operation) else { return };
        if let Some(outcome) = counts.outcomes.get(outcome_of(problem)) {
            outcome.add(1);
        }
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        counts.microseconds.0.fetch_add(took, Ordering::Relaxed);
        let bucket = BUCKETS.iter().position(|end| took <= *end);
        if let Some(bucket) = bucket.and_then(|index| counts.buckets.get(index)) {
            bucket.add(1);
        }
    }

    /// Answers of an operation, and how many of them were problems.
    pub(super) fn totals(&self, operation: usize) -> (u64, u64) {
        let Some(counts) = self.operations.get(operation) else { return (0, 0) };
        let all = counts.outcomes.iter().map(Count::read).sum();
        let good = counts.outcomes.first().map_or(0, Count::read);
        (all, all.saturating_sub(good))
    }

    /// Requests by operation and outcome, and how long they took.
    pub(super) fn write_requests(&self, text: &mut Text) {
        text.head("sealwire_requests_total", "counter", "Requests by operation and outcome.");
        for (name, counts) in NAMES.iter().zip(&self.operations) {
            for (index, outcome) in counts.outcomes.iter().enumerate() {
                let value = outcome.read();
                if value > 0 || index == 0 {
                    let slug = slug_of(index);
                    text.sample(
                        "sealwire_requests_total",
                        &format!("operation=\"{name}\",outcome=\"{slug}\""),
                        value,
                    );
                }
            }
        }
        text.head("sealwire_request_seconds", "histogram", "Time until the answer was ready.");
        for (name, counts) in NAMES.iter().zip(&self.operations) {
            counts.write_histogram(text, name);
        }
    }
}

impl Counts {
    fn write_histogram(&self, text: &mut Text, name: &str) {
        let all: u64 = self.outcomes.iter().map(Count::read).sum();
        if all == 0 {
            return;
        }
        let mut below = 0_u64;
        for (end, bucket) in BUCKETS.iter().zip(&self.buckets) {
            below = below.saturating_add(bucket.read());
            let labels = format!("operation=\"{name}\",le=\"{}\"", Seconds(*end));
            text.sample("sealwire_request_seconds_bucket", &labels, below);
        }
        let labels = format!("operation=\"{name}\",le=\"+Inf\"");
        text.sample("sealwire_request_seconds_bucket", &labels, all);
        let labels = format!("operation=\"{name}\"");
        text.sample("sealwire_request_seconds_sum", &labels, Seconds(self.microseconds.read()));
        text.sample("sealwire_request_seconds_count", &labels, all);
    }
}

fn outcome_of(problem: Option<Problem>) -> usize {
    let index = problem.and_then(|problem| Problem::ALL.iter().position(|other| *other == problem));
    index.map_or(0, |index| index.saturating_add(1))
}

fn slug_of(outcome: usize) -> &'static str {
    let problem = outcome.checked_sub(1).and_then(|index| Problem::ALL.get(index));
    problem.map_or("ok", |problem| problem.slug())
}

/// Metrics as they are written.
#[derive(Debug, Default)]
pub(super) struct Text(pub(super) String);

impl Text {
    /// A metric that has one value.
    pub(super) fn single(&mut self, name: &str, kind: &str, help: &str, value: u64) {
        self.head(name, kind, help);
        let _: fmt::Result = writeln!(self.0, "{name} {value}");
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail.
        let _: fmt::Result = write!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl fmt::Display) {
        let _: fmt::Result = writeln!(self.0, "{name}{{{labels}}} {value}");
    }
}

/// Microseconds, shown as seconds.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_operation_and_outcome() {
        let metrics = Metrics::default();
        metrics.answered(0, None, Duration::from_micros(700));
        metrics.answered(0, Some(Problem::Rate), Duration::from_millis(30));
        metrics.answered(0, None, Duration::from_secs(100));
        assert_eq!(metrics.totals(0), (3, 1));
        let mut text = Text::default();
        metrics.write_requests(&mut text);
        let name = NAMES[0];
        for line in [
            format!("sealwire_requests_total{{operation=\"{name}\",outcome=\"ok\"}} 2"),
            format!("sealwire_requests_total{{operation=\"{name}\",outcome=\"rate\"}} 1"),
            format!("sealwire_request_seconds_bucket{{operation=\"{name}\",le=\"0.000500\"}} 0"),
            format!("sealwire_request_seconds_bucket{{operation=\"{name}\",le=\"0.001000\"}} 1"),
            format!("sealwire_request_seconds_bucket{{operation=\"{name}\",le=\"0.050000\"}} 2"),
            format!("sealwire_request_seconds_bucket{{operation=\"{name}\",le=\"60.000000\"}} 2"),
            format!("sealwire_request_seconds_bucket{{operation=\"{name}\",le=\"+Inf\"}} 3"),
            format!("sealwire_request_seconds_sum{{operation=\"{name}\"}} 100.030700"),
            format!("sealwire_request_seconds_count{{operation=\"{name}\"}} 3"),
        ] {
            assert!(text.0.lines().any(|other| other == line), "{line} in {}", text.0);
        }
    }

    #[test]
    fn every_problem_has_an_outcome_of_its_own() {
        for problem in Problem::ALL {
            assert_eq!(slug_of(outcome_of(Some(problem))), problem.slug());
        }
        assert_eq!(slug_of(outcome_of(None)), "ok");
    }
}
