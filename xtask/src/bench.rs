//! `cargo xtask bench`: our figures beside those of peers.
//!
//! Ours and theirs are programs of the same shape, which print one figure. They run in turn,
//! A B A B, so that what else the machine does falls on both, and the medians are compared.

mod html;
mod plan;
mod row;
mod scratch;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::debian;
use crate::job::{Context, JobResult, Stop};
use crate::process;
use crate::python;
use crate::test;
use plan::{Figure, Program, Suite};
use row::Row;
use scratch::Scratch;

pub(crate) use plan::names;

/// What is asked for on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The suite.
    pub(crate) suite: String,
    /// One JSON object a line instead of a table.
    pub(crate) json: bool,
    /// Less time and less volume.
    pub(crate) quick: bool,
    /// Where to write a page with plots.
    pub(crate) html: Option<PathBuf>,
}

/// Builds both programs, measures every row of the suite and prints it as soon as it stands.
pub(crate) fn run(context: &mut Context, options: &Options) -> JobResult {
    let suite = plan::find(&options.suite)
        .ok_or_else(|| Stop::fail(format!("there is no suite `{}`", options.suite)))?;
    let programs = Programs::build(context, suite)?;
    let mut rows = Vec::new();
    for figure in suite.figures.iter().filter(|figure| !(options.quick && figure.slow)) {
        for row in measure(context, &programs, suite, figure, options.quick)? {
            if options.json {
                println!("{}", row.to_json());
            } else {
                println!("{row}");
            }
            rows.push(row);
        }
    }
    if let Some(path) = &options.html {
        std::fs::write(path, html::page(suite.name, &rows)).map_err(Stop::io(path.display()))?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

/// The rows of one figure: a line for each peer, or one without.
fn measure(
    context: &Context,
    programs: &Programs,
    suite: &Suite,
    figure: &'static Figure,
    quick: bool,
) -> Result<Vec<Row>, Stop> {
    let rounds = if quick { figure.rounds.min(3) } else { figure.rounds };
    let bytes = if quick { figure.bytes / 16 } else { figure.bytes };
    let millis: u32 = if quick { 300 } else { 1500 };
    let scratch = figure.files.then(|| Scratch::new(context, bytes)).transpose()?;
    let ask = |program, name: &str, peer: &str| -> Result<f64, Stop> {
        let numbers = [millis.to_string(), bytes.to_string()];
        let mut command = programs.command(context, suite, program);
        command.args([suite.name, name, peer]).args(numbers);
        value(command.arg(scratch.as_ref().map_or(Path::new(""), Scratch::path)))
    };
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); figure.peers.len()];
    for _ in 0..rounds {
        ours.push(ask(Program::Ours, figure.name, "")?);
        for (values, peer) in theirs.iter_mut().zip(figure.peers) {
            if programs.missing.contains(&peer.program) {
                continue;
            }
            values.push(match peer.program {
                // The same program with another row: how a figure of ours grows.
                Program::Ours => ask(Program::Ours, peer.name, "")?,
                program => ask(program, figure.name, peer.name)?,
            });
        }
    }
    let volume = (figure.bytes > 0).then_some(bytes);
    Ok(row::rows(suite.name, figure, volume, ours, theirs))
}

/// Runs a program that prints `{"value":…}`.
fn value(command: &mut Command) -> Result<f64, Stop> {
    let text = process::output(command)?;
    let answer: Option<Value> = serde_json::from_str(&text).ok();
    answer
        .and_then(|answer| answer["value"].as_f64())
        .filter(|value| value.is_finite() && *value > 0.0)
        .ok_or_else(|| Stop::fail(format!("a benchmark printed `{}`", text.trim())))
}

/// Where the programs stand.
struct Programs {
    ours: PathBuf,
    x_wing: PathBuf,
    peers: PathBuf,
    /// The interpreter, with [`PACKAGES`]; empty where no figure asks for it.
    python: PathBuf,
    /// Whom this machine does not have.
    missing: Vec<Program>,
}

/// What the peers in Python stand on.
const PACKAGES: [&str; 9] = [
    "DoubleRatchet==1.3.0",
    "cryptography==50.0.2",
    "cffi==2.1.1",
    "pycparser==3.12",
    "pydantic==2.14.3",
    "pydantic_core==2.50.4",
    "annotated-types==0.8.0",
    "typing_extensions==4.16.0",
    "typing-inspection==0.4.5",
];

impl Programs {
    /// Builds what the suite needs. Cargo writes to standard error; standard output is for
    /// rows, and pip is quiet.
    fn build(context: &Context, suite: &Suite) -> Result<Self, Stop> {
        let target = test::target_folder(context)?;
        let peers = target.join("peers");
        build(context, "--package sealwire-bench --examples", &target)?;
        if suite.example == "load" {
            build(context, "--package sealwire-cli", &target)?;
        }
        if suite.asks(Program::Peers) {
            build(context, "--locked --manifest-path crates/bench/peers/Cargo.toml", &peers)?;
        }
        let python = if suite.asks(Program::Python) {
            python::tools(context, &PACKAGES)?.join("python")
        } else {
            PathBuf::new()
        };
        let missing = missing(context, suite)?;
        Ok(Self {
            missing,
            ours: target.join("release/examples").join(suite.example),
            x_wing: target.join("release/examples/x_wing"),
            peers: peers.join("release/sealwire-bench-peers"),
            python,
        })
    }

    fn command(&self, context: &Context, suite: &Suite, program: Program) -> Command {
        let path = match program {
            Program::Ours | Program::Limit => &self.ours,
            Program::XWing => &self.x_wing,
            Program::Peers | Program::Debian(_) => &self.peers,
            Program::Python => &self.python,
        };
        let mut command = process::command(context, path);
        if program == Program::Python {
            // No compiled modules in the checkout.
            command.arg("-B").arg(format!("crates/bench/peers/{}.py", suite.name));
        }
        command
    }
}

/// Debian packages that neither are here nor may be installed: their rows are left out, which is
/// said.
fn missing(context: &Context, suite: &Suite) -> Result<Vec<Program>, Stop> {
    let mut missing = Vec::new();
    for package in suite.packages() {
        match debian::need(context, &[package]) {
            Err(skip @ Stop::Skip { .. }) if !context.ci => {
                eprintln!("rows are left out: {skip}");
                missing.push(Program::Debian(package));
            }
            other => other?,
        }
    }
    Ok(missing)
}

pub(crate) fn build(context: &Context, arguments: &str, target: &Path) -> JobResult {
    let mut command = process::cargo(context, &format!("build --quiet --release {arguments}"));
    command.arg("--target-dir").arg(target).stdout(Stdio::null());
    let status = command.status().map_err(Stop::io("cargo build"))?;
    if status.success() { Ok(()) } else { Err(Stop::fail("what is to be measured does not build")) }
}
