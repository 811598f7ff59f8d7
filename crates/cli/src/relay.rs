//! A relay in this process, and one elsewhere as its operator sees it.

use std::{
    fmt, fs, io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use sealwire_relay::{
    server::{self, Certificate, Log, PerMinute, Rates, Relay, Settings, StartError},
    store::{SqliteStore, StoreError},
};
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use zeroize::Zeroizing;

use crate::{
    agent,
    config::{Config, Rate, RelayConfig},
    error::{Exit, Failure},
    journal::Journal,
    output::Output,
    text::Plain,
};

/// The longest answer to a question for the status, in bytes.
const MAX_STATUS: u64 = 1024 * 1024;

/// How long the answer may take.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// A relay that runs.
#[derive(Debug)]
pub(crate) struct Running(Relay);

/// The log of a relay, in files.
#[derive(Debug)]
struct Files {
    journal: Journal,
    output: Output,
    /// The last event could not be written, which was told.
    failing: AtomicBool,
}

impl Running {
    /// Starts a relay as it is configured. It takes connections when this returns.
    pub(crate) async fn start(
        config: &Config,
        confirm_clock: bool,
        output: Output,
    ) -> Result<Self, Failure> {
        let relay = &config.relay;
        let settings = settings(relay, confirm_clock)?;
        let store = match u64::from(relay.database_mib.get()) {
            0 => SqliteStore::open(&relay.data),
            mib => SqliteStore::open_limited(&relay.data, mib.saturating_mul(1024 * 1024)),
        };
        let store = store.map_err(store_failure)?;
        let days = config.log.retention_days.get();
        let journal = Journal::open(&config.log.directory, days, agent::wall())?;
        let log = Files { journal, output, failing: AtomicBool::new(false) };
        let clock = Arc::new(server::SystemClock::new());
        let started = Relay::start(Arc::new(store), settings, clock, Arc::new(log)).await;
        Ok(Self(started.map_err(start_failure)?))
    }

    /// Where agents connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Where the operator connects.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.0.admin_address()
    }

    /// What agents take as the relay's address.
    pub(crate) fn url(&self, config: &Config) -> String {
        let scheme = if config.relay.tls_certificate.is_some() { "https" } else { "http" };
        match config.relay.authorities.first() {
            Some(name) => format!("{scheme}://{}", name.as_str()),
            None => format!("{scheme}://{}", self.address()),
        }
    }

    /// Reads the certificate again.
    pub(crate) fn reload_certificate(&self, relay: &RelayConfig) -> Result<(), Failure> {
        match certificate(relay)? {
            Some(certificate) => {
                let reloaded = self.0.reload_certificate(&certificate);
                reloaded.map_err(|error| Failure::other(error.to_string()))
            }
            None => Ok(()),
        }
    }

    /// Ends what was begun, and then the relay.
    pub(crate) async fn shutdown(self) {
        self.0.shutdown().await;
    }
}

fn settings(relay: &RelayConfig, confirm_clock: bool) -> Result<Settings, Failure> {
    let mut settings = Settings {
        listen: relay.listen,
        admin: relay.admin,
        admin_anywhere: relay.admin_anywhere,
        tls: certificate(relay)?,
        plain_http_anywhere: relay.plain_http_anywhere,
        authorities: relay.authorities.iter().map(|name| name.as_str().to_owned()).collect(),
        trusted_proxies: relay.trusted_proxies.iter().map(|proxy| proxy.network).collect(),
        clock_confirmed: confirm_clock,
        rates: rates(relay),
        ..Settings::default()
    };
    let number = |number| usize::try_from(number).unwrap_or(usize::MAX);
    settings.bounds.connections = number(relay.connections.get());
    settings.bounds.connections_per_address = number(relay.connections_per_address.get());
    settings.bounds.bodies = number(relay.body_mib.get()).saturating_mul(1024 * 1024);
    settings.times.drain = Duration::from_secs(relay.drain_seconds.get().into());
    Ok(settings)
}

fn rates(relay: &RelayConfig) -> Rates {
    let rate = |rate: Rate| Some(PerMinute(rate.get())).filter(|rate| rate.0 > 0);
    let rates = relay.rates;
    Rates {
        claims_per_caller: rate(rates.claims_per_caller),
        claims_per_target: rate(rates.claims_per_target),
        claims_per_address: rate(rates.claims_per_address),
        mailboxes_per_address: rate(rates.mailboxes_per_address),
        publications_per_address: rate(rates.publications_per_address),
        contacts_per_address: rate(rates.contacts_per_address),
    }
}

fn certificate(relay: &RelayConfig) -> Result<Option<Certificate>, Failure> {
    let read = |path: &Path| fs::read(path).map_err(|error| Failure::file("read", path, &error));
    match (&relay.tls_certificate, &relay.tls_key) {
        (Some(chain), Some(key)) => {
            Ok(Some(Certificate { chain: read(chain)?, key: Zeroizing::new(read(key)?) }))
        }
        _ => Ok(None),
    }
}

fn start_failure(error: StartError) -> Failure {
    let message = error.to_string();
    match error {
        StartError::Store(error) => store_failure(error),
        StartError::Listen(address, cause) if cause.kind() == io::ErrorKind::AddrInUse => {
            Failure::other(format!("address {address} is in use"))
                .hint("another relay may run there; choose another port with --listen and --admin")
        }
        StartError::Listen(..) => Failure::other(message),
        _ => Failure::new(Exit::Usage, message),
    }
}

/// What a failure of a relay's store means.
pub(crate) fn store_failure(error: StoreError) -> Failure {
    let message = error.to_string();
    match error {
        StoreError::Full => Failure::new(Exit::Later, message).hint("make room and try again"),
        _ => Failure::other(message),
    }
}

impl Log for Files {
    fn event(&self, event: &server::Event) {
        let written = self.journal.write(agent::wall(), &event.to_json());
        // A relay goes on without its log: the disk may be full, and frames still be fetched.
        let failing = self.failing.swap(written.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (written, failing) {
            let message = format!("the log cannot be written: {error}");
            self.output.event(&Event::Warning { message });
        }
    }
}

/// What a relay tells on standard error.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    Listening { address: SocketAddr, admin: Option<SocketAddr>, url: String, data: String },
    CertificateLoaded,
    Warning { message: String },
    Draining,
    Stopped,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { address: _, admin, url, data } => {
                writeln!(
                    f,
                    "the relay listens: agents take agent.relay = \"{}\"",
                    Plain::new(url)
                )?;
                if let Some(admin) = admin {
                    writeln!(f, "the operator looks at http://{admin}/")?;
                }
                write!(f, "its data is in {}", Plain::new(data))
            }
            Self::CertificateLoaded => f.write_str("the certificate was read again"),
            Self::Warning { message } => write!(f, "warning: {}", Plain::new(message)),
            Self::Draining => f.write_str("ending: what was begun is finished"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}

/// What a running relay says of itself to its operator.
pub(crate) async fn status(admin: SocketAddr) -> Result<Value, Failure> {
    let asked = tokio::time::timeout(STATUS_TIMEOUT, ask(admin)).await;
    let answer = asked.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let answer = answer.map_err(|error| match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Failure::new(Exit::Later, format!("no relay runs with {admin} for its operator"))
                .hint("`sealwire relay run` starts one")
        }
        _ => Failure::other(format!("cannot ask the relay at {admin}: {error}")),
    })?;
    let foreign = || Failure::other(format!("what answers at {admin} is no relay"));
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(foreign)?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(foreign());
    }
    serde_json::from_str(body).map_err(|_| foreign())
}

async fn ask(admin: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /status HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.take(MAX_STATUS).read_to_string(&mut answer).await?;
    Ok(answer)
}
