//! The commands.

mod connect;
mod demo;
mod doctor;
mod erase;
mod id;
mod inspect;
mod keyring;
mod keys;
mod listen;
mod open;
mod pair;
mod recv;
mod relay;
mod reseal;
mod seal;
mod send;
mod sessions;
mod trust;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand, error::ErrorKind};

use crate::{
    config::Config,
    error::{Exit, Failure},
    home::Home,
    output::Output,
    protection::Protection,
};

/// End-to-end encryption between agents
///
/// An agent is a key pair in a directory of its own. Agents pin each other's cards, and then
/// talk over any TCP connection: nothing between them can read or change what they say.
#[derive(Debug, Parser)]
#[command(name = "sealwire", version, after_help = Exit::TABLE)]
struct Cli {
    /// Directory of this agent [default: $XDG_DATA_HOME/sealwire or ~/.local/share/sealwire]
    #[arg(long, global = true, env = "SEALWIRE_HOME", value_name = "DIR", hide_env_values = true)]
    home: Option<PathBuf>,
    /// Configuration [default: sealwire.toml in the directory of this agent, if it is there]
    #[arg(
        long,
        global = true,
        env = "SEALWIRE_CONFIG",
        value_name = "FILE",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// Print JSON: one object as the result, one object a line for events on standard error
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make and show this agent's identity
    #[command(subcommand)]
    Id(id::Command),
    /// Pin, list and remove the peers that this agent knows
    #[command(subcommand)]
    Trust(trust::Command),
    /// Pin each other with a short code and a phrase that both screens show
    ///
    /// Without a code it makes one, for the other side to type. The code only says where to meet at
    /// the relay, which has to be the same: what makes sure of each other is the phrase that both
    /// screens show in the end. Say yes only where it is the same on both, best over the telephone
    /// or side by side. From then on the other agent is pinned.
    ///
    /// Where standard input is no terminal, the phrase of the other screen is read from it, as a
    /// line.
    Pair(pair::Args),
    /// Leave a message of any length for a peer, which may be away
    ///
    /// The peer must be pinned, and must have published prekeys at the relay: `recv` and `keys
    /// publish` do that. What is longer than 29 KiB goes in parts, and is put together again at the
    /// other end. A file that was sent in part goes on where it stopped when the same command is
    /// given again. While `recv` of this agent runs, it sends.
    Send(send::Args),
    /// Take the messages that peers left, and wait for more
    ///
    /// Takes what is at the relay, and publishes prekeys, so that peers can write. A message is
    /// removed once it is printed, is in a file, or a command is done with it, and not before;
    /// after a crash the last one may come a second time.
    Recv(recv::Args),
    /// Show and publish the keys by which peers write to this agent while it is away
    #[command(subcommand)]
    Keys(keys::Command),
    /// Look after the keys that wrap the data keys of sealed files: make, rotate, rewrap, retire
    #[command(subcommand)]
    Keyring(keyring::Command),
    /// Show and close what there is between this agent and peers that may be away
    #[command(subcommand)]
    Sessions(sessions::Command),
    /// Run a relay, and look after it
    #[command(subcommand)]
    Relay(relay::Command),
    /// Wait for a peer, then carry standard input and output to and from it
    Listen(listen::Args),
    /// Dial a peer, then carry standard input and output to and from it
    ///
    /// Whom to expect is remembered from the last time this address was dialled. Without that and
    /// without an option it is a first contact: whoever answers is pinned.
    Connect(connect::Args),
    /// Seal a file into a folder or a bucket, for agents or under a key of a key service
    ///
    /// The object is sealed under a data key of its own, which is drawn here and wrapped for each
    /// key and each agent that is named; any one of them opens it. PLACE is a path, file:///PATH,
    /// s3://BUCKET/NAME, gs://BUCKET/NAME or az://CONTAINER/NAME. Beside the object, in .keys/,
    /// stands its key record, without which it never opens: copy both.
    Seal(seal::Args),
    /// Open a sealed file
    ///
    /// Each byte is authentic before it is written. A file appears when all of it is there, and not
    /// before; on standard output stands at most the beginning of an object that fails, and the
    /// exit code says so. The object is opened with this agent's own key where it was sealed for
    /// it, and else with storage.kms.
    Open(open::Args),
    /// Seal a sealed file anew, under another data key, and for whom it is named for now
    ///
    /// The object is opened, and sealed in its own place under another data key, with the same
    /// context. The key record of the one before is deleted, so that no copy of that opens any
    /// more. This takes the right to read away from keys and agents that are not named again, and
    /// from whoever kept the data key: not from who has read the content, nor from a copy of the
    /// old key record. A reader finds the one or the other, whole.
    Reseal(reseal::Args),
    /// Erase sealed files, so that no copy of them opens any more
    ///
    /// The key record of each object is deleted, and then the object. From then on neither it nor
    /// any copy of it opens, wherever the copies are. That does not reach copies of the key record
    /// itself: in a backup, or as an older version that a bucket keeps; nor whoever has read the
    /// object before, or kept its data key. Nothing is erased unless all that are named
    /// are objects. No key is asked for: which object stands at PLACE is what it says of itself.
    Erase(erase::Args),
    /// Say what a file is: a card, a key file, a sealed file, pins, the start of a connection
    Inspect(inspect::Args),
    /// Say whether everything is in order, and what to do where it is not
    ///
    /// Looks at configuration, keys, card, clock, relay, prekeys, state, anchor and sessions. The
    /// exit code is 1 when something does not work, 0 otherwise.
    Doctor(doctor::Args),
    /// Show in a minute what is protected from whom, on this machine alone
    Demo(demo::Args),
    /// One side of the demo
    #[command(hide = true)]
    DemoPeer(demo::PeerArgs),
}

/// Reads the arguments, runs the command, and tells how it went.
pub(crate) fn main() -> ExitCode {
    let protection = Protection::start();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return usage(&error, arguments.iter().any(|argument| argument == "--json")),
    };
    let output = Output::new(cli.json);
    match run(cli, &output, &protection) {
        Ok(exit) => exit,
        Err(failure) => output.failure(&failure).into(),
    }
}

fn run(cli: Cli, output: &Output, protection: &Protection) -> Result<ExitCode, Failure> {
    let Cli { home, config, json: _, command } = cli;
    let home = || Home::locate(home);
    let config = |home: &Home| Config::load(config, home);
    match command {
        Command::Id(command) => {
            with(home()?, config, |home, config| id::run(command, home, config, output, protection))
        }
        Command::Trust(command) => trust::run(command, &home()?, output),
        Command::Listen(args) => {
            with(home()?, config, |home, config| listen::run(args, home, config, output))
        }
        Command::Connect(args) => {
            with(home()?, config, |home, config| connect::run(args, home, config, output))
        }
        Command::Seal(args) => {
            with(home()?, config, |home, config| seal::run(args, home, config, output))
        }
        Command::Open(args) => {
            with(home()?, config, |home, config| open::run(args, home, config, output))
        }
        Command::Reseal(args) => {
            with(home()?, config, |home, config| reseal::run(args, home, config, output))
        }
        Command::Erase(args) => {
            with(home()?, config, |home, config| erase::run(args, home, config, output))
        }
        Command::Inspect(args) if args.is_place() => {
            with(home()?, config, |_, config| inspect::run_place(args, config, output))
        }
        Command::Inspect(args) => inspect::run(args, output),
        Command::Relay(command) => {
            with(home()?, config, |_, config| relay::run(command, config, output))
        }
        Command::Pair(args) => {
            with(home()?, config, |home, config| pair::run(args, home, config, output))
        }
        Command::Send(args) => {
            with(home()?, config, |home, config| send::run(args, home, config, output))
        }
        Command::Recv(args) => {
            with(home()?, config, |home, config| recv::run(args, home, config, output))
        }
        Command::Keys(command) => {
            with(home()?, config, |home, config| keys::run(command, home, config, output))
        }
        Command::Keyring(command) => {
            with(home()?, config, |home, config| keyring::run(command, home, config, output))
        }
        Command::Sessions(command) => {
            with(home()?, config, |home, config| sessions::run(command, home, config, output))
        }
        Command::Doctor(args) => {
            let home = home()?;
            let config = config(&home);
            doctor::run(args, &home, config, output)
        }
        Command::Demo(args) => demo::run(args, output),
        Command::DemoPeer(args) => demo::run_peer(args, &home()?, output),
    }
}

/// Runs a command that needs the configuration.
fn with(
    home: Home,
    config: impl FnOnce(&Home) -> Result<Config, Failure>,
    command: impl FnOnce(&Home, &Config) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let config = config(&home)?;
    command(&home, &config)
}

/// Help and version are results; everything else that the parser says is wrong usage.
fn usage(error: &clap::Error, json: bool) -> ExitCode {
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if json && !asked {
        let message = error.to_string();
        let message = message.trim().trim_start_matches("error: ");
        return Output::new(true).failure(&Failure::new(Exit::Usage, message)).into();
    }
    // Whether anyone reads the help is not for this command to worry about.
    let _ = error.print();
    if asked { ExitCode::SUCCESS } else { Exit::Usage.into() }
}
