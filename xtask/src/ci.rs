//! `cargo xtask ci`: every job, in order, and one line that sums them up.

mod beside;

use std::sync::mpsc::Receiver;
use std::time::Instant;

use crate::job::{Context, JobResult, Stop};
use crate::{
    attacks, build, constant_work, deny, edges, fuzz, interop, lint, load, services, strace, test,
    tidy, vectors,
};
use beside::Ended;

/// A step of continuous integration.
struct Job {
    name: &'static str,
    about: &'static str,
    run: fn(&mut Context) -> JobResult,
    /// Whether it may run beside the others: it leaves nothing for the summary, and builds in a
    /// folder of its own, or comes so late that the others build little in theirs.
    beside: bool,
}

const fn job(name: &'static str, about: &'static str, run: fn(&mut Context) -> JobResult) -> Job {
    Job { name, about, run, beside: false }
}

const fn beside(
    name: &'static str,
    about: &'static str,
    run: fn(&mut Context) -> JobResult,
) -> Job {
    Job { beside: true, ..job(name, about, run) }
}

/// In the order in which they run: what fails fast comes first. Those that are `beside` the
/// others have an order of their own, from the first on.
const JOBS: [Job; 22] = [
    job("fmt", "formatting", lint::fmt),
    job("edges", "dependency direction, duplicate cryptography", edges::check),
    job("tidy", "file sizes, forbidden attributes, rule ids", tidy::check),
    job("clippy", "all crates with all features, then each leaf crate with none", lint::clippy),
    job("docs", "documentation with warnings denied", lint::docs),
    job("test-fast", "all tests with the fast backend", test::fast),
    job("test-portable", "tests of the cryptography with the portable backend", test::portable),
    job("doctests", "the examples in the documentation", test::doctests),
    job("vectors", "the count of vectors that the test jobs passed", vectors::count),
    job("leaf-builds", "each core alone, without default features", build::leaves),
    job("load", "a relay killed under load, and what became of each message", load::check),
    job("services", "tests against real servers: key services and object stores", services::job),
    job("strace", "processes killed at some of the system calls that store", strace::check),
    beside("constant-work", "no branch and no address depends on a secret", constant_work::check),
    beside(
        "memory",
        "the search of memory for secrets, in release, on both backends",
        test::memory,
    ),
    beside("fuzz-smoke", "each fuzz target for a few seconds", fuzz::smoke),
    beside("simd-off", "core's tests without SIMD", test::simd_off),
    beside(
        "interop",
        "Noise, the ratchet and objects at rest against others in Python",
        interop::all,
    ),
    beside("package", "each crate builds from its package alone", build::package),
    job("deny", "licences, bans, version floors, sources", deny::check),
    job("lockfile", "the lock files are complete and unchanged", build::lockfile),
    job("attacks", "how many of the forty attacks have a test", attacks::check),
];

/// The names of all jobs, in order.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    JOBS.iter().map(|job| job.name)
}

/// Prints the jobs with what they check.
pub(crate) fn list() {
    for Job { name, about, .. } in &JOBS {
        println!("{name:<14} {about}");
    }
}

/// Runs the jobs named in `only`, or all, to the last one whatever fails, and
/// says whether none did. The summary is the last line it prints.
pub(crate) fn run(context: &mut Context, only: &[String]) -> bool {
    let start = Instant::now();
    let chosen = |job: &&Job| only.is_empty() || only.iter().any(|name| name == job.name);
    let (aside, mut in_turn): (Vec<_>, Vec<_>) =
        JOBS.iter().filter(chosen).partition(|job| job.beside);
    let ended = if in_turn.is_empty() {
        in_turn = aside;
        None
    } else {
        Some(beside::start(context, aside.iter().map(|job| job.name).collect()))
    };
    let mut tally = Tally::default();
    vectors::forget(context); // Of a process that had our number and was ended.
    for job in in_turn {
        println!("== {}: {}", job.name, job.about);
        let begun = Instant::now();
        let result = (job.run)(context);
        let seconds = begun.elapsed().as_secs_f64();
        tally.add(job.name, result, context.ci);
        println!("-- {}: {seconds:.1} s\n", job.name);
        ended.iter().flat_map(Receiver::try_iter).for_each(|ended| tally.add_beside(ended));
    }
    ended.iter().flatten().for_each(|ended| tally.add_beside(ended));
    vectors::forget(context);
    for line in &tally.notes {
        println!("{line}");
    }
    println!("{}", tally.summary(context, start.elapsed().as_secs()));
    tally.failed == 0
}

/// How the jobs ended.
#[derive(Debug, Default)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: usize,
    /// Said again at the end, where they are seen.
    notes: Vec<String>,
}

impl Tally {
    /// Counts a job. In continuous integration nothing may be left out.
    fn add(&mut self, name: &str, result: JobResult, ci: bool) {
        let note = match result {
            Ok(()) => {
                self.passed += 1;
                return;
            }
            Err(Stop::Skip { why, enable }) if !ci => {
                self.skipped += 1;
                format!("SKIPPED {name}: {why}\n        enable it with: {enable}")
            }
            Err(stop) => {
                self.failed += 1;
                format!("FAILED  {name}: {stop}")
            }
        };
        println!("{note}");
        self.notes.push(note);
    }

    /// Shows what a job beside the others has printed, and counts it.
    fn add_beside(&mut self, ended: Ended) {
        println!("{}\n", ended.output);
        match (ended.passed, ended.notes.is_empty()) {
            (true, true) => self.passed += 1,
            (true, false) => self.skipped += 1,
            (false, _) => self.failed += 1,
        }
        self.notes.extend((!ended.notes.is_empty()).then_some(ended.notes));
    }

    fn summary(&self, context: &Context, seconds: u64) -> String {
        let Self { passed, failed, skipped, .. } = self;
        let mut line = format!("ci: {passed} passed, {failed} failed, {skipped} skipped");
        if let Some(vectors) = context.vectors {
            line += &format!("; vectors {vectors}");
        }
        if let Some((tested, all)) = context.attacks {
            line += &format!("; attacks {tested} of {all} tested");
        }
        line + &format!("; {seconds} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            root: "/".into(),
            ci: false,
            vector_log: "/none".into(),
            vectors: Some(23456),
            attacks: Some((14, 40)),
        }
    }

    #[test]
    fn the_summary_is_one_line() {
        let mut tally = Tally::default();
        tally.add("fmt", Ok(()), false);
        tally.add("deny", Err(Stop::skip("no python3", "apt-get install python3")), false);
        tally.add("docs", Err(Stop::fail("a broken link")), false);
        assert_eq!(
            tally.summary(&context(), 612),
            "ci: 1 passed, 1 failed, 1 skipped; vectors 23456; attacks 14 of 40 tested; 612 s"
        );
        let nothing = Context { vectors: None, attacks: None, ..context() };
        assert_eq!(tally.summary(&nothing, 1), "ci: 1 passed, 1 failed, 1 skipped; 1 s");
    }

    #[test]
    fn a_skip_fails_in_continuous_integration() {
        let mut tally = Tally::default();
        tally.add("deny", Err(Stop::skip("no python3", "apt-get install python3")), true);
        assert_eq!((tally.failed, tally.skipped), (1, 0));
        assert_eq!(
            tally.notes,
            ["FAILED  deny: no python3; enable it with: apt-get install python3"]
        );
    }

    #[test]
    fn job_names_are_unique() {
        let mut all: Vec<_> = names().collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), JOBS.len());
    }
}
