//! The relay itself: HTTP/1.1 and HTTP/2, with TLS or behind something that ends it.
//!
//! ```text
//!  accept ──▶ connection ──▶ request: name, body ──▶ operation ──▶ answer
//!  caps       TLS, h1, h2     bounds, memory          │    ▲
//!                                                     ▼    │
//!                               signature, capability, rates
//!                                                     │    ▲
//!                     deposits gathered ──▶ store ◀───┘    │
//!                                            │             │
//!                                            └─▶ who waits: long poll, stream
//! ```
//!
//! All that a stranger can make it keep is bounded before it is kept: connections, memory of
//! bodies, frames that wait, readers, buckets of rates. Nothing is acknowledged before the store
//! has it. What can be wrong about a mailbox has one answer.

mod accept;
mod address;
mod admin;
mod answer;
mod api;
mod budget;
mod clock;
mod connection;
mod connections;
mod deposit;
mod directory;
mod driver;
mod entrances;
mod log;
mod mailbox;
mod metrics;
mod rate;
mod request;
mod settings;
mod socket;
mod stream;
mod subscribers;
mod sweep;
mod tls;

use core::{fmt, net::SocketAddr, time::Duration};
use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicU64, Ordering},
};

use rustls::ServerConfig;
use sealwire_core::Timestamp;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinHandle,
    time::timeout,
};

pub use address::{Network, NotANetwork};
pub use clock::Clock;
pub use driver::SystemClock;
pub use log::{Event, Log, NoLog};
pub use rate::PerMinute;
pub use settings::{Bounds, Certificate, Rates, Settings, StartError, Times};
pub use tls::TlsError;

use crate::{
    Problem,
    store::{Store, StoreError},
};
use answer::Refusal;
use clock::Time;
use connections::Connections;
use entrances::Entrances;
use metrics::Metrics;
use rate::Limiter;
use subscribers::Subscribers;

/// How long what is cut off is given to end.
const CUT_OFF: Duration = Duration::from_secs(1);

/// A relay that runs.
///
/// ```no_run
/// use std::sync::Arc;
/// use sealwire_relay::{server::{NoLog, Relay, Settings, SystemClock}, store::MemoryStore};
/// # async fn run() -> Result<(), sealwire_relay::server::StartError> {
/// let (store, clock) = (Arc::new(MemoryStore::new()), Arc::new(SystemClock::new()));
/// let relay = Relay::start(store, Settings::default(), clock, Arc::new(NoLog)).await?;
/// println!("agents connect to http://{}", relay.address());
/// // Until somebody presses Ctrl-C:
/// relay.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct Relay {
    shared: Arc<Shared>,
    phase: watch::Sender<Phase>,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    /// What accepts and sweeps, which ends when the relay drains.
    fronts: Vec<JoinHandle<()>>,
    /// What stores deposits, which ends when nothing waits any more.
    deposits: JoinHandle<()>,
}

/// What a relay is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    /// No connection and no stream begins; what is going on comes to its end.
    Draining,
    /// What is still going on is cut off.
    Ended,
}

/// What all requests use.
struct Shared {
    store: Arc<dyn Store>,
    settings: Settings,
    /// The settings' names, as they are compared.
    names: Vec<String>,
    time: Time,
    log: Arc<dyn Log>,
    /// The second of the last event that comes in numbers, and one more.
    logged: AtomicU64,
    metrics: Metrics,
    limiters: Limiters,
    connections: Arc<Connections>,
    entrances: Entrances,
    subscribers: Arc<Subscribers>,
    deposits: mpsc::Sender<deposit::Waiting>,
    tls: RwLock<Option<Arc<ServerConfig>>>,
    phase: watch::Receiver<Phase>,
}

#[derive(Debug)]
struct Limiters {
    claims_per_caller: Limiter,
    claims_per_target: Limiter,
    claims_per_address: Limiter,
    mailboxes_per_address: Limiter,
    publications_per_address: Limiter,
    contacts_per_address: Limiter,
}

impl Relay {
    /// Starts a relay over a store. When this returns, connections are taken.
    ///
    /// # Errors
    /// [`StartError`] says what to change.
    pub async fn start(
        store: Arc<dyn Store>,
        settings: Settings,
        clock: Arc<dyn Clock>,
        log: Arc<dyn Log>,
    ) -> Result<Self, StartError> {
        settings.check()?;
        let tls = settings.tls.as_ref().map(tls::config).transpose()?;
        let listener = listen(settings.listen).await?;
        let admin = match settings.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let kept = store.mark(Timestamp::default()).await?;
        let time = Time::new(clock, kept, settings.clock_confirmed);
        let (deposits, queue) = deposit::queue(settings.bounds.waiting_deposits);
        let (phase, phases) = watch::channel(Phase::Running);
        let shared = Shared {
            store,
            names: names(&settings),
            time,
            log,
            logged: AtomicU64::new(0),
            metrics: Metrics::default(),
            limiters: Limiters::new(&settings.rates),
            connections: Connections::new(settings.bounds),
            entrances: Entrances::default(),
            subscribers: Arc::default(),
            deposits,
            tls: RwLock::new(tls),
            phase: phases,
            settings,
        };
        Ok(Self::run(Arc::new(shared), phase, listener, admin, queue))
    }

    fn run(
        shared: Arc<Shared>,
        phase: watch::Sender<Phase>,
        listener: (TcpListener, SocketAddr),
        admin: Option<(TcpListener, SocketAddr)>,
        queue: deposit::Queue,
    ) -> Self {
        use connection::Side;
        let (listener, address) = listener;
        let front = |listener, connections, side| {
            driver::start(accept::run(Arc::clone(&shared), listener, connections, side))
        };
        let mut fronts = vec![front(listener, Arc::clone(&shared.connections), Side::Agents)];
        let (admin, admin_address) = admin.unzip();
        if let Some(listener) = admin {
            // Agents cannot take the operator's places.
            let connections = Connections::new(Bounds { connections: 64, ..Bounds::default() });
            fronts.push(front(listener, connections, Side::Operator));
        }
        fronts.push(driver::start(sweep::run(Arc::clone(&shared))));
        let deposits = driver::start(deposit::store_all(Arc::clone(&shared), queue));
        shared.log.event(&Event::Started { tls: shared.tls().is_some() });
        Self { shared, phase, address, admin: admin_address, fronts, deposits }
    }

    /// Where agents connect: the port is there when the settings left it open.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the operator connects.
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// Serves another certificate from the next connection on. Without TLS so far there will be
    /// none: whoever knows the URL knows whether it has TLS.
    ///
    /// # Errors
    /// [`TlsError`], and the old one goes on.
    pub fn reload_certificate(&self, certificate: &Certificate) -> Result<(), TlsError> {
        let config = tls::config(certificate)?;
        let mut tls = self.shared.tls.write().unwrap_or_else(PoisonError::into_inner);
        if tls.is_some() {
            *tls = Some(config);
            self.shared.log.event(&Event::CertificateLoaded);
        }
        Ok(())
    }

    /// Ends: takes no connections, answers what has arrived, closes streams, and cuts off what
    /// is not over within [`Times::drain`]. What was acknowledged is in the store.
    pub async fn shutdown(self) {
        let Self { shared, phase, fronts, deposits, .. } = self;
        shared.log.event(&Event::Draining);
        phase.send_replace(Phase::Draining);
        for front in fronts {
            // One that panicked has ended too.
            let _ = front.await;
        }
        let drained = timeout(shared.settings.times.drain, shared.connections.ended()).await;
        let cut_off = if drained.is_ok() { 0 } else { shared.connections.count() };
        phase.send_replace(Phase::Ended);
        let _ = timeout(CUT_OFF, shared.connections.ended()).await;
        let _ = deposits.await;
        if let Err(error) = shared.store.mark(shared.time.mark()).await {
            shared.store_failed(&error);
        }
        shared.log.event(&Event::Stopped { cut_off });
    }
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Shared {
    /// What handshakes are answered with.
    fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until the relay drains, or ends. One that is dropped ends at once.
    async fn reached(&self, phase: Phase) {
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }

    /// Notes that the store failed, and gives what the request is answered with.
    fn store_failed(&self, error: &StoreError) -> Refusal {
        self.metrics.store_failures.add(1);
        self.log_now_and_then(|| Event::StoreFailed { reason: error.to_string() });
        Problem::Unavailable.into()
    }

    /// Logs an event that may come thousands of times, once a second.
    fn log_now_and_then(&self, event: impl FnOnce() -> Event) {
        let second = self.time.elapsed().as_secs().saturating_add(1);
        if self.logged.swap(second, Ordering::Relaxed) != second {
            self.log.event(&event());
        }
    }

    /// Ports that the scheme of this relay's URL implies.
    fn default_ports(&self) -> &'static [&'static str] {
        default_ports(&self.settings)
    }
}

impl Limiters {
    fn new(rates: &Rates) -> Self {
        Self {
            claims_per_caller: Limiter::new(rates.claims_per_caller),
            claims_per_target: Limiter::new(rates.claims_per_target),
            claims_per_address: Limiter::new(rates.claims_per_address),
            mailboxes_per_address: Limiter::new(rates.mailboxes_per_address),
            publications_per_address: Limiter::new(rates.publications_per_address),
            contacts_per_address: Limiter::new(rates.contacts_per_address),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |error| StartError::Listen(address, error);
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// The names in the settings, as a URL has them in its shortest form.
fn names(settings: &Settings) -> Vec<String> {
    let ports = default_ports(settings);
    let name = |name: &String| request::without_port(name, ports).to_ascii_lowercase();
    settings.authorities.iter().map(name).collect()
}

/// Behind a proxy the scheme is the proxy's.
fn default_ports(settings: &Settings) -> &'static [&'static str] {
    match (&settings.tls, settings.plain_http_anywhere) {
        (Some(_), _) => &[":443"],
        (None, false) => &[":80"],
        (None, true) => &[":443", ":80"],
    }
}
