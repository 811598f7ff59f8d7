//! `sealwire relay`: what stands between agents that are not online at the same time.

use std::{fmt, net::SocketAddr, path::PathBuf, process::ExitCode};

use sealwire_relay::store::SqliteStore;
use serde::Serialize;
use serde_json::Value;

use crate::{
    config::Config,
    driver,
    error::{Exit, Failure},
    output::Output,
    relay::{self, Event, Running},
    text::Plain,
};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Run a relay until SIGINT or SIGTERM
    ///
    /// Without configuration it serves the agents of this machine. What was begun is finished
    /// when it ends, and nothing that it has acknowledged is lost when it is killed.
    Run {
        /// Where agents connect; port 0 takes any free port [default: relay.listen]
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
        /// Where the operator connects; port 0 takes any free port [default: relay.admin]
        #[arg(long, value_name = "ADDR")]
        admin: Option<SocketAddr>,
        /// Directory of the database [default: relay.data]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        /// The clock is right, though it is more than a day from what the relay saw last
        #[arg(long)]
        confirm_clock: bool,
    },
    /// Show how a running relay is, from its address for the operator
    Status {
        /// That address [default: relay.admin]
        #[arg(long, value_name = "ADDR")]
        admin: Option<SocketAddr>,
    },
    /// Copy the database of a relay, which may run meanwhile
    Backup {
        /// The copy; a file that is there is replaced once the copy is whole
        to: PathBuf,
    },
    /// Put a copy of a database in the place of a relay's, which must not run
    ///
    /// One-time prekeys that were not claimed when the copy was made are void from then on: they
    /// may have been handed out since. Agents publish others by themselves.
    Restore {
        /// The copy
        from: PathBuf,
    },
}

pub(crate) fn run(command: Command, config: &Config, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Run { listen, admin, data, confirm_clock } => {
            let mut config = config.clone();
            config.relay.listen = listen.unwrap_or(config.relay.listen);
            config.relay.admin = admin.or(config.relay.admin);
            if let Some(data) = data {
                config.keep_relay_in(data);
            }
            driver::raise_open_files();
            driver::block_on_all(serve(&config, confirm_clock, *output))?;
        }
        Command::Status { admin } => status(admin.or(config.relay.admin), *output)?,
        Command::Backup { to } => {
            SqliteStore::backup(&config.relay.data, &to).map_err(relay::store_failure)?;
            output.result(&Copied { to: to.to_string_lossy().into_owned() })?;
        }
        Command::Restore { from } => {
            SqliteStore::restore(&from, &config.relay.data).map_err(relay::store_failure)?;
            output.result(&Restored { data: config.relay.data.to_string_lossy().into_owned() })?;
        }
    }
    Ok(Exit::Done.into())
}

async fn serve(config: &Config, confirm_clock: bool, output: Output) -> Result<(), Failure> {
    // Before anything else, so that no signal ends the relay in another way than this.
    let mut stop = driver::Stop::new()?;
    let mut again = driver::Again::new()?;
    let running = Running::start(config, confirm_clock, output).await?;
    output.event(&Event::Listening {
        address: running.address(),
        admin: running.admin_address(),
        url: running.url(config),
        data: config.relay.data.to_string_lossy().into_owned(),
    });
    loop {
        tokio::select! {
            () = stop.asked() => break,
            () = again.asked() => output.event(&match running.reload_certificate(&config.relay) {
                Ok(()) => Event::CertificateLoaded,
                Err(failure) => Event::Warning { message: failure.message().to_owned() },
            }),
        }
    }
    output.event(&Event::Draining);
    running.shutdown().await;
    output.event(&Event::Stopped);
    Ok(())
}

#[derive(Serialize)]
struct Copied {
    to: String,
}

impl fmt::Display for Copied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "copied to {}, which is as secret as the relay itself", Plain::new(&self.to))
    }
}

#[derive(Serialize)]
struct Restored {
    data: String,
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "restored in {}; one-time prekeys of before are void, and agents publish others",
            Plain::new(&self.data)
        )
    }
}

/// What a relay says of itself.
#[derive(Serialize)]
#[serde(transparent)]
struct Status(Value);

fn status(admin: Option<SocketAddr>, output: Output) -> Result<(), Failure> {
    let admin = admin.ok_or_else(|| {
        Failure::new(Exit::Usage, "this relay has no address for the operator; give --admin")
    })?;
    output.result(&Status(driver::block_on(relay::status(admin))?))
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Value::Object(fields) = &self.0 else { return f.write_str("nothing") };
        for (name, value) in fields {
            let Value::Object(entries) = value else {
                writeln!(f, "{:<42} {}", Plain::new(name), Plain::new(&value.to_string()))?;
                continue;
            };
            writeln!(f, "{}", Plain::new(name))?;
            for (name, value) in entries {
                let shown = match value {
                    Value::Null => "no limit".to_owned(),
                    value => value.to_string(),
                };
                writeln!(f, "  {:<40} {}", Plain::new(name), Plain::new(&shown))?;
            }
        }
        Ok(())
    }
}
