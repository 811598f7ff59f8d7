//! `sealwire listen`: wait for a peer, then carry standard input and output.

use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

use sealwire::{Agent, AllowAnyAuthenticated, Channel, Clock, SystemClock};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::{
    agent,
    config::Config,
    driver,
    error::{Exit, Failure},
    event::Event,
    home::Home,
    output::Output,
    pipe,
    progress::Progress,
    text::Plain,
};

/// How long to wait when no connection can be accepted: descriptors become free as handshakes
/// end.
const BACK_OFF: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
#[command(after_help = Exit::TABLE)]
pub(crate) struct Args {
    /// Address to listen on, as 127.0.0.1:7000; port 0 takes any free port
    #[arg(value_name = "ADDR")]
    address: String,
    /// Let in whoever proves an identity, and pin it; without this, pinned agents only,
    /// unless the configuration says otherwise
    #[arg(long)]
    allow_any: bool,
}

pub(crate) fn run(
    args: Args,
    home: &Home,
    config: &Config,
    output: &Output,
) -> Result<ExitCode, Failure> {
    let Args { address, allow_any } = args;
    let builder = agent::load(home, config)?;
    let builder = if allow_any { builder.inbound(AllowAnyAuthenticated) } else { builder };
    let agent = builder.build()?;
    driver::raise_open_files();
    driver::block_on(serve(&agent, &address, *output))?;
    Ok(Exit::Done.into())
}

async fn serve(agent: &Agent, address: &str, output: Output) -> Result<(), Failure> {
    let listener = TcpListener::bind(address).await.map_err(|error| unbound(address, &error))?;
    let local = listener.local_addr().map_err(|error| unbound(address, &error))?;
    output.event(&Event::Listening { address: local.to_string(), id: agent.id().to_string() });
    let channel = first_peer(agent, &listener, output).await?;
    drop(listener);
    let progress = Progress::start(output);
    let outcome = pipe::run(channel, &progress).await;
    let (sent, received) = progress.finish();
    outcome?;
    output.event(&Event::Closed { sent, received });
    Ok(())
}

/// Answers connections, each on its own, until a peer is authenticated and admitted.
async fn first_peer(
    agent: &Agent,
    listener: &TcpListener,
    output: Output,
) -> Result<Channel<TcpStream>, Failure> {
    let mut handshakes = JoinSet::new();
    let mut refusals = Refusals::new(output);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, source)) => {
                    let agent = agent.clone();
                    handshakes.spawn(async move { (source, answer(&agent, stream, source).await) });
                }
                // Out of descriptors or memory for now, or a connection that has gone again.
                Err(error) => {
                    refusals.tell(&Event::NotAccepted { reason: error.to_string() });
                    tokio::time::sleep(BACK_OFF).await;
                }
            },
            Some(Ok((source, answered))) = handshakes.join_next() => match answered {
                Ok(channel) => {
                    output.event(&Event::connected(&channel, source.to_string())?);
                    return Ok(channel);
                }
                Err(error) => {
                    let (source, reason) = (source.to_string(), why(error));
                    refusals.tell(&Event::Rejected { source, reason });
                }
            },
        }
    }
}

/// Why a connection came to nothing.
fn why(error: sealwire::Error) -> String {
    Failure::handshake(error).message().to_owned()
}

async fn answer(
    agent: &Agent,
    stream: TcpStream,
    source: SocketAddr,
) -> Result<Channel<TcpStream>, sealwire::Error> {
    stream.set_nodelay(true)?;
    agent.accept(stream, source).await
}

/// Tells of connections that came to nothing, and only so many a second: strangers cause them.
struct Refusals {
    output: Output,
    clock: SystemClock,
    second: u64,
    told: u32,
    untold: u64,
}

impl Refusals {
    /// Lines a second: more than a person reads, too few to fill a disk.
    const PER_SECOND: u32 = 20;

    fn new(output: Output) -> Self {
        Self { output, clock: SystemClock::new(), second: 0, told: 0, untold: 0 }
    }

    fn tell(&mut self, event: &Event) {
        let second = self.clock.elapsed().as_secs();
        if second > self.second {
            (self.second, self.told) = (second, 0);
            if self.untold > 0 {
                self.output.event(&Event::Untold { count: std::mem::take(&mut self.untold) });
            }
        }
        if self.told < Self::PER_SECOND {
            self.told = self.told.saturating_add(1);
            self.output.event(event);
        } else {
            self.untold = self.untold.saturating_add(1);
        }
    }
}

fn unbound(address: &str, error: &io::Error) -> Failure {
    let address = Plain::new(address);
    match error.kind() {
        io::ErrorKind::AddrInUse => Failure::other(format!(
            "address {address} is in use; choose another port or stop the program that holds it"
        )),
        io::ErrorKind::InvalidInput => Failure::new(
            Exit::Usage,
            format!("{address} is not an address: {error}; write it as 127.0.0.1:7000"),
        ),
        _ => Failure::other(format!("cannot listen on {address}: {error}")),
    }
}
