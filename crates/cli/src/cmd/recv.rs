//! `sealwire recv`: take the messages that peers left.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use crate::{
    agent,
    config::Config,
    control::Control,
    driver,
    error::{Exit, Failure},
    home::Home,
    mail::Mail,
    offline::{self, Guard},
    output::Output,
    receive::{End, Event, Outlet, Receiver, Sink},
    text::Plain,
};

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// Go on with messages as they come, until SIGINT or SIGTERM. Once a day, and at SIGHUP, the
    /// agent is built anew, which signs a card that is due
    #[arg(long)]
    wait: bool,
    /// Write each message to a file in this directory, which must be there; a long one appears
    /// when it is whole
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Give each message to this command of the shell on its standard input, with SEALWIRE_FROM
    /// and SEALWIRE_MESSAGE_ID in its environment. A message is kept, and tried again, when the
    /// command does not end with 0
    #[arg(long, value_name = "COMMAND", conflicts_with = "out")]
    exec: Option<String>,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { wait, out, exec } = args;
    home.require_identity()?;
    if let Some(directory) = &out {
        check(directory)?;
    }
    let sink = match (out, exec) {
        (Some(directory), _) => Sink::Files(directory),
        (None, Some(command)) => Sink::Command(command),
        (None, None) => Sink::Print,
    };
    let keys = Arc::new(agent::unlock(home)?);
    driver::block_on(async {
        let guard = Guard::default();
        loop {
            let built = offline::build(home, config, Arc::clone(&keys), &guard).await?;
            let mail = Mail::new(built, *output);
            let outlet = Outlet { sink: &sink, home, output: *output };
            let mut receiver = Receiver::new(mail, config.agent.relay.to_string(), outlet);
            let control = control(home, *output);
            if !wait {
                return receiver.once(control.as_ref()).await;
            }
            if receiver.wait(control.as_ref()).await? == End::Stopped {
                return Ok(());
            }
        }
    })?;
    Ok(Exit::Done.into())
}

fn check(directory: &Path) -> Result<(), Failure> {
    if directory.is_dir() {
        return Ok(());
    }
    let message = format!("{} is not a directory", Plain::path(directory));
    Err(Failure::new(Exit::Usage, message).hint("make it first"))
}

/// The way in for other commands. Without it messages come all the same.
fn control(home: &Home, output: Output) -> Option<Control> {
    let started = Control::start(home);
    let told = |failure: &Failure| {
        let message = format!("other commands cannot send meanwhile: {}", failure.message());
        output.event(&Event::Warning { message });
    };
    started.inspect_err(told).ok()
}
