//! `cargo xtask`: every check of this workspace, on a laptop as in continuous
//! integration. `cargo xtask ci` runs them all; most are commands of their own.

mod attacks;
mod bench;
mod build;
mod cache;
mod ci;
mod constant_work;
mod crash;
mod debian;
mod deny;
mod edges;
mod files;
mod flags;
mod fuzz;
mod interop;
mod job;
mod lint;
mod load;
mod metadata;
mod mutants;
mod npm;
mod process;
mod python;
mod rules;
mod services;
mod strace;
mod test;
mod tidy;
mod vectors;

use std::process::ExitCode;

use crate::flags::Command;
use crate::job::{Context, Stop};

fn main() -> ExitCode {
    let command = match flags::parse(std::env::args().skip(1)) {
        Ok(command) => command,
        Err(message) => {
            eprintln!("error: {message}\n\n{}", flags::USAGE);
            return ExitCode::from(2);
        }
    };
    match dispatch(command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(stop) => {
            eprintln!("error: {stop}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all is well; false where the command has already said what is not.
fn dispatch(command: Command) -> Result<bool, Stop> {
    let mut context = Context::new()?;
    match command {
        Command::Help => println!("{}", flags::USAGE),
        Command::Ci { list: true, .. } => ci::list(),
        Command::Ci { only, list: false } => return Ok(ci::run(&mut context, &only)),
        Command::Edges => edges::check(&mut context)?,
        Command::Tidy => tidy::check(&mut context)?,
        Command::Attacks => attacks::check(&mut context)?,
        Command::Test => test::all(&mut context)?,
        Command::Fuzz { minutes } => fuzz::run_for(&mut context, minutes.saturating_mul(60))?,
        Command::ConstantWork { minutes: None } => constant_work::check(&mut context)?,
        Command::ConstantWork { minutes: Some(minutes) } => {
            constant_work::timing(&mut context, minutes)?;
        }
        Command::Mutants(options) => mutants::check(&mut context, &options)?,
        Command::Crash => crash::run_all(&context)?,
        Command::Bench(options) => bench::run(&mut context, &options)?,
        Command::Load(options) => return load::run(&context, &options),
        Command::InteropNoise => interop::noise(&mut context)?,
        Command::InteropRatchet => interop::ratchet(&mut context)?,
        Command::InteropEnvelope => interop::envelope(&mut context)?,
        Command::Services { action, names } => return services::act(&context, &action, &names),
    }
    Ok(true)
}
