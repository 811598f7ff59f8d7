//! How Sealwire and its peers are measured: the same way, in processes of the same shape.
//!
//! `cargo xtask bench` starts a program for one figure, such as `ours handshake XX`, and the
//! peers' program for the figure beside it, in turn, and takes the median of each. A program
//! reads its [`Request`], measures with [`rate`] or [`tcp::throughput`], and prints the one
//! figure with [`Request::answer`].
//!
//! It depends on nothing of Sealwire: the peers' workspace includes it too.
#![forbid(unsafe_code)]

pub mod clock;
pub mod files;
pub mod load;
pub mod ranges;
pub mod ratchet;
pub mod tcp;

use std::{
    error::Error,
    hint::black_box,
    path::PathBuf,
    time::{Duration, Instant},
};

use clock::{passed, processor};

/// An error of whatever kind: a benchmark that fails says why and ends.
pub type Failure = Box<dyn Error + Send + Sync>;

/// Bytes in a KiB.
pub const KIB: usize = 1024;

/// One figure that is asked for.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "not published")]
pub struct Request {
    /// The suite.
    pub suite: String,
    /// The row.
    pub name: String,
    /// Whom to measure; empty in the program that measures ours.
    pub peer: String,
    /// For how long.
    pub time: Duration,
    /// How many bytes to move, where a row moves bytes.
    pub bytes: u64,
    /// Where files may be written, where a row has files.
    pub folder: PathBuf,
}

impl Request {
    /// Reads `SUITE NAME PEER MILLISECONDS BYTES FOLDER` from the command line.
    ///
    /// # Errors
    /// When a word is missing or no number.
    pub fn from_args() -> Result<Self, Failure> {
        let mut words = std::env::args().skip(1);
        let mut word = || words.next().ok_or("usage: SUITE NAME PEER MILLISECONDS BYTES FOLDER");
        Ok(Self {
            suite: word()?,
            name: word()?,
            peer: word()?,
            time: Duration::from_millis(word()?.parse()?),
            bytes: word()?.parse()?,
            folder: word()?.into(),
        })
    }

    /// Suite, name and peer, to match on.
    pub fn key(&self) -> (&str, &str, &str) {
        (&self.suite, &self.name, &self.peer)
    }

    /// The error for a row that the program does not know.
    pub fn unknown(&self) -> Failure {
        let Self { suite, name, peer, .. } = self;
        format!("no row `{name}` of `{peer}` in suite `{suite}`").into()
    }

    /// Prints the figure.
    #[expect(clippy::print_stdout, reason = "the answer goes to standard output")]
    pub fn answer(&self, figure: f64) {
        println!("{{\"value\":{figure}}}");
    }
}

/// How often a second `work` can be done, after a warm-up: the upper decile over short slices
/// of the time, so that slices in which something else had the processor do not count.
///
/// # Errors
/// The first error of `work`.
pub fn rate<R>(time: Duration, work: impl FnMut() -> Result<R, Failure>) -> Result<f64, Failure> {
    rate_by(passed, time, work)
}

/// As [`rate`], for work of one thread that may take longer than a scheduler lets it have the
/// processor, and that waits for nothing: by the processor time that it takes.
///
/// # Errors
/// The first error of `work`.
pub fn busy_rate<R>(
    time: Duration,
    work: impl FnMut() -> Result<R, Failure>,
) -> Result<f64, Failure> {
    rate_by(processor, time, work)
}

fn rate_by<R>(
    clock: fn() -> f64,
    time: Duration,
    mut work: impl FnMut() -> Result<R, Failure>,
) -> Result<f64, Failure> {
    let mut run = |count: u32| -> Result<f64, Failure> {
        let start = clock();
        for _ in 0..count {
            black_box(work()?);
        }
        Ok(clock() - start)
    };
    let warm = now();
    let mut count = 1_u32;
    // The number of repetitions that fill a slice.
    loop {
        let taken = run(count)?;
        if taken < SLICE.as_secs_f64() {
            let grown = SLICE.as_secs_f64() / taken.max(1e-9);
            count = count.saturating_mul(if grown > 1.9 { 2 } else { 1 }).max(1);
        }
        if warm.elapsed() >= time / 4 {
            break;
        }
    }
    let start = now();
    let mut rates = Vec::new();
    while start.elapsed() < time || rates.len() < 3 {
        rates.push(f64::from(count) / run(count)?);
    }
    upper_decile(rates).ok_or_else(|| "nothing was measured".into())
}

/// Long enough that reading the clock does not count, and shorter than what a scheduler gives
/// to one process at a time.
const SLICE: Duration = Duration::from_millis(1);

/// The value that a tenth of all reach.
fn upper_decile(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_mul(9) / 10).copied()
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "to measure is to read the clock")]
pub fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_all_values_reaches_the_decile() {
        let values: Vec<f64> = (0..100).rev().map(f64::from).collect();
        assert_eq!(upper_decile(values), Some(90.0));
        assert_eq!(upper_decile(vec![3.0]), Some(3.0));
        assert_eq!(upper_decile(vec![]), None);
    }

    #[test]
    fn the_rate_of_a_millisecond_is_below_a_thousand() {
        let wait = || {
            let start = now();
            while start.elapsed() < Duration::from_millis(1) {}
            Ok(())
        };
        let rate = rate(Duration::from_millis(40), wait).expect("it does not fail");
        assert!((10.0..=1000.0).contains(&rate), "{rate}");
    }

    #[test]
    fn an_error_ends_the_measurement() {
        let failing = || Err::<(), _>("broken".into());
        let error = rate(Duration::from_millis(1), failing).expect_err("it fails");
        assert_eq!(error.to_string(), "broken");
    }
}
