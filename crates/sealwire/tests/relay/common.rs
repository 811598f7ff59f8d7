//! A relay on a port, and agents that use it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use sealwire::{
    Agent, AllowAnyAuthenticated, SystemClock,
    core::MemoryKeyStore,
    delivery::{RelayDelivery, RelaySettings},
    relay::{
        client::RelayUrl,
        server::{NoLog, Rates, Relay, Settings, SystemClock as RelayClock},
        store::MemoryStore as Kept,
    },
    store::MemoryStore,
};
use sealwire_testkit::rng::SeededRng;

/// A relay that can be stopped, and what it keeps.
pub(crate) struct Rig {
    kept: Arc<Kept>,
    relay: Option<Relay>,
    address: SocketAddr,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let kept = Arc::new(Kept::new());
        let relay = start(&kept, SocketAddr::from(([127, 0, 0, 1], 0))).await;
        let address = relay.address();
        Self { kept, relay: Some(relay), address }
    }

    pub(crate) async fn stop(&mut self) {
        self.relay.take().expect("it runs").shutdown().await;
    }

    /// Starts again where it was, with what it kept.
    pub(crate) async fn restart(&mut self) {
        self.relay = Some(start(&self.kept, self.address).await);
    }

    pub(crate) fn url(&self) -> RelayUrl {
        RelayUrl::parse(&format!("http://{}", self.address)).expect("a URL")
    }

    pub(crate) fn delivery(&self, keys: &Arc<MemoryKeyStore>) -> RelayDelivery {
        self.delivery_with(keys, |_| {})
    }

    pub(crate) fn delivery_with(
        &self,
        keys: &Arc<MemoryKeyStore>,
        change: impl FnOnce(&mut RelaySettings),
    ) -> RelayDelivery {
        let mut settings = RelaySettings::new(self.url());
        settings.client.deadline = Duration::from_secs(2);
        settings.client.pause = Duration::from_millis(20);
        change(&mut settings);
        RelayDelivery::new(settings, keys.clone(), Arc::new(SystemClock::new())).expect("delivery")
    }

    pub(crate) fn agent(&self, seed: u64) -> Agent {
        let keys = keys(seed);
        agent(&keys, self.delivery(&keys))
    }
}

pub(crate) fn agent(keys: &Arc<MemoryKeyStore>, delivery: RelayDelivery) -> Agent {
    Agent::builder(keys.clone())
        .store(Arc::new(MemoryStore::new()))
        .delivery(Arc::new(delivery))
        .inbound(AllowAnyAuthenticated)
        .build()
        .expect("an agent")
}

async fn start(kept: &Arc<Kept>, listen: SocketAddr) -> Relay {
    let settings = Settings { listen, admin: None, rates: Rates::none(), ..Settings::default() };
    let clock = Arc::new(RelayClock::new());
    Relay::start(kept.clone(), settings, clock, Arc::new(NoLog)).await.expect("a relay")
}

pub(crate) fn keys(seed: u64) -> Arc<MemoryKeyStore> {
    Arc::new(MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys"))
}

/// What is in the inbox, acknowledged.
pub(crate) async fn read(agent: &Agent) -> Vec<Vec<u8>> {
    let inbox = agent.inbox().expect("inbox");
    let mut found = Vec::new();
    while let Some(message) = inbox.next().await.expect("read") {
        found.push(message.payload().to_vec());
        inbox.ack(&message).await.expect("ack");
    }
    found
}

/// Sends, delivers and reads one message.
pub(crate) async fn say(from: &Agent, to: &Agent, payload: &[u8]) {
    from.send(to.id(), payload).await.expect("send");
    from.sync().await.expect("deliver");
    to.sync().await.expect("fetch");
    assert_eq!(read(to).await, [payload]);
}
