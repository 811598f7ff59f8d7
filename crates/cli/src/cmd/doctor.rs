//! `sealwire doctor`: whether everything is in order, and what to do where it is not.

use std::{fmt, process::ExitCode};

use serde::Serialize;

use crate::{
    config::{Config, Effective, Origin},
    doctor::{self, Check, State},
    driver,
    error::{Exit, Failure},
    home::Home,
    output::Output,
    text::Plain,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Take the state as it is, once, whatever its anchor says: for the first anchor of a state
    /// that had none, for another one, and to give an anchor up. Only you can know that this is
    /// the newest state
    #[arg(long)]
    change_anchor: bool,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: Result<Config, Failure>,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { change_anchor } = args;
    let checks = match &config {
        Ok(config) => {
            driver::block_on(async { Ok(doctor::examine(home, config, change_anchor).await) })?
        }
        Err(failure) => vec![Check::failed("configuration", failure)],
    };
    let fails = checks.iter().any(|check| check.state == State::Fail);
    let values = config.as_ref().map(|config| config.effective().iter().map(Value::from).collect());
    output.result(&Report {
        healthy: !fails,
        checks,
        configuration: values.unwrap_or_default(),
    })?;
    Ok(if fails { Exit::Failed } else { Exit::Done }.into())
}

#[derive(Serialize)]
struct Report {
    healthy: bool,
    checks: Vec<Check>,
    configuration: Vec<Value>,
}

/// A value that is in force, and the variable that would stand over it.
#[derive(Serialize)]
struct Value {
    #[serde(flatten)]
    effective: Effective,
    variable: String,
}

impl From<&Effective> for Value {
    fn from(effective: &Effective) -> Self {
        Self { effective: effective.clone(), variable: effective.variable() }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for check in &self.checks {
            let Check { name, state, said, todo } = check;
            let mark = match state {
                State::Ok => "ok  ",
                State::Warn => "warn",
                State::Fail => "FAIL",
            };
            writeln!(f, "{mark}  {name:<14} {}", Plain::new(said))?;
            if let Some(todo) = todo {
                writeln!(f, "      {:<14} -> {}", "", Plain::new(todo))?;
            }
        }
        if !self.configuration.is_empty() {
            writeln!(f, "\nThe configuration that is in force:")?;
        }
        self.configuration.iter().try_for_each(|value| {
            let Effective { key, value: shown, origin } = &value.effective;
            let line = format!("{key} = {shown}");
            match origin {
                Origin::Default => writeln!(f, "  {line:<56} # default"),
                Origin::File { line: number } => {
                    writeln!(f, "  {line:<56} # line {number} of the file")
                }
                Origin::Environment => writeln!(f, "  {line:<56} # {}", value.variable),
            }
        })
    }
}
