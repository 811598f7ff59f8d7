//! Checks that no branch and no address depends on a secret.
//!
//! Run by `cargo xtask constant-work`, under valgrind; with `--timing`, without. What memcheck may report without harm is
//! listed in verdicts.supp, each with its reason; docs/assurance.md says what is covered.

mod handshake;
mod keys;
mod mark;
mod objects;
mod offline;
mod targets;
mod timing;

use std::process::ExitCode;

use crabgrind::{RunMode, count_errors, run_mode};

use crate::targets::{CONTROL, TARGETS, Target, opened_is_public};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match (arguments.next().as_deref(), arguments.next().map(|seconds| seconds.parse())) {
        (None, _) => check(),
        (Some("timing"), Some(Ok(seconds))) => {
            timing::run(seconds);
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("usage: sealwire-constant-work [timing SECONDS]");
            ExitCode::from(2)
        }
    }
}

/// Every operation under memcheck; fails when one is reported, or when the control is not.
fn check() -> ExitCode {
    if run_mode() == RunMode::Native {
        eprintln!("error: run this with `cargo xtask constant-work`, under valgrind");
        return ExitCode::from(2);
    }
    if !opened_is_public() {
        eprintln!("error: src/opened.c no longer fits how the compiler calls what opens");
        return ExitCode::FAILURE;
    }
    let mut leaking = 0;
    for target in TARGETS {
        let reports = reports(target);
        println!("{:<34} {reports} reports", target.0);
        leaking += usize::from(reports > 0);
    }
    let control = reports(CONTROL);
    println!("{:<34} {control} reports, as it must", CONTROL.0);
    if leaking == 0 && control > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How often memcheck saw a branch or an address that depends on a secret.
fn reports((_, work): Target) -> usize {
    let before = count_errors();
    work();
    count_errors() - before
}
