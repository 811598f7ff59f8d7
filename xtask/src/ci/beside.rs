//! Jobs beside the others: one after the other, each a process of its own (`xtask ci --only NAME`)
//! whose output is kept until it has ended, so that it can be read in one piece.

use std::io::{self, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::job::Context;
use crate::process;

/// A job that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended {
    /// What it printed, without its summary.
    pub(super) output: String,
    /// Why it failed or was skipped; empty where it passed.
    pub(super) notes: String,
    /// Whether it did not fail.
    pub(super) passed: bool,
}

/// Starts the first of `names`; the others follow. The receiver ends with the last.
pub(super) fn start(context: &Context, names: Vec<&'static str>) -> Receiver<Ended> {
    // Found now: a later job may put another xtask in the place of this one.
    let program = std::env::current_exe().unwrap_or_else(|_| "xtask".into());
    let command = |name| {
        let mut command = process::command(context, &program);
        command.args(["ci", "--only", name]);
        (name, command)
    };
    let commands: Vec<_> = names.into_iter().map(command).collect();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for (name, command) in commands {
            let ended =
                run(name, command).unwrap_or_else(|error| failed("", name, &error.to_string()));
            if sender.send(ended).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Runs a job to its end.
fn run(name: &str, mut command: Command) -> io::Result<Ended> {
    let (mut reader, writer) = io::pipe()?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    drop(command); // With our ends of the pipe: its end is now that of the job.
    let mut printed = Vec::new();
    reader.read_to_end(&mut printed)?;
    let passed = child.wait()?.success();
    Ok(parse(name, &String::from_utf8_lossy(&printed), passed))
}

/// Takes what `xtask ci` printed apart: the job, an empty line, the notes, the summary.
fn parse(name: &str, printed: &str, passed: bool) -> Ended {
    let (output, end) = printed.trim_end().rsplit_once("\n\n").unwrap_or((printed, ""));
    let (notes, summary) = end.rsplit_once('\n').unwrap_or(("", end));
    if !summary.starts_with("ci: ") {
        return failed(printed, name, "it ended without a summary");
    }
    Ended { output: output.to_owned(), notes: notes.to_owned(), passed }
}

fn failed(output: &str, name: &str, why: &str) -> Ended {
    Ended { output: output.to_owned(), notes: format!("FAILED  {name}: {why}"), passed: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSED: &str = "== deny: licences\n$ cargo deny\n-- deny: 1.0 s\n\n";

    #[test]
    fn output_and_notes_are_told_apart() {
        for (notes, passed) in [
            ("", true),
            ("SKIPPED deny: no python3\n        enable it with: apt-get install python3", true),
            ("FAILED  deny: two licences", false),
        ] {
            let line = if notes.is_empty() { "" } else { "\n" };
            let printed = format!("{PASSED}{notes}{line}ci: 1 passed; 1 s\n");
            let output = PASSED.trim_end().to_owned();
            let expected = Ended { output, notes: notes.to_owned(), passed };
            assert_eq!(parse("deny", &printed, passed), expected);
        }
    }

    #[test]
    fn a_job_without_a_summary_has_failed() {
        for printed in ["", PASSED, "== deny: licences\n", "\n\n"] {
            let expected = failed(printed, "deny", "it ended without a summary");
            assert_eq!(parse("deny", printed, true), expected);
        }
    }
}
