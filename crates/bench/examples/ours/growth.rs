//! What grows with channels, handshakes and known peers.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use sealwire::{
    Agent, AllowAnyAuthenticated, Channel, Clock, KnownPeers, Limits, Peer, Peers, Source,
    SystemClock,
    core::{KeyStore, MemoryKeyStore, Suite, SuiteSet},
    custody::system_rng,
    identity::{IdentityCard, NewCard, PinStore, PinnedBy},
    noise::{frame, initiator},
};
use sealwire_bench::{Failure, KIB, Request, rate};
use tokio::{
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
};

use crate::{memory::resident, side::Side};

pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    match request.name.as_str() {
        // Two channels are kept of each pair.
        "memory per idle channel" => Ok(memory(idle_channels)? / 2.0),
        "memory per pending handshake" => memory(pending_handshake),
        "accepts, 1 pinned" => accepts(request, 1),
        "accepts, 100 pinned" => accepts(request, 100),
        "accepts, 10000 pinned" => accepts(request, 10_000),
        _ => Err(request.unknown()),
    }
}

fn keys() -> Result<Arc<MemoryKeyStore>, Failure> {
    Ok(Arc::new(MemoryKeyStore::generate(&mut system_rng())?))
}

/// Limits under which no source is throttled.
fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.per_source.per_second = 1_000_000;
    limits.per_source.burst = 1_000_000;
    limits.deadline = Duration::from_secs(60);
    limits
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

/// How many of something are kept at a time to weigh one.
const KEPT: u32 = 500;

/// Resident bytes that one more of `make`'s values takes: the difference over [`KEPT`] of them,
/// after as many were made and dropped, so that what they share is there already.
fn memory<R, F: Future<Output = Result<R, Failure>>>(
    make: impl Fn(Arc<Scene>) -> F,
) -> Result<f64, Failure> {
    runtime()?.block_on(async {
        let scene = Arc::new(Scene::new().await?);
        drop(make(Arc::clone(&scene)).await?);
        let before = resident()?;
        let mut kept = Vec::new();
        for _ in 0..KEPT {
            kept.push(make(Arc::clone(&scene)).await?);
        }
        let after = resident()?;
        drop(kept);
        Ok(f64::from(after.saturating_sub(before)) * 1024.0 / f64::from(KEPT))
    })
}

/// Two agents and a socket that listens.
struct Scene {
    alice: Agent,
    bob: Agent,
    stranger: Side,
    listener: TcpListener,
}

impl Scene {
    async fn new() -> Result<Self, Failure> {
        let agent = || -> Result<Agent, Failure> {
            let builder = Agent::builder(keys()?).inbound(AllowAnyAuthenticated);
            Ok(builder.limits(limits()).build()?)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self { alice: agent()?, bob: agent()?, stranger: Side::new()?, listener })
    }

    async fn connection(&self) -> Result<(TcpStream, TcpStream), Failure> {
        let dialled = TcpStream::connect(self.listener.local_addr()?).await?;
        Ok((dialled, self.listener.accept().await?.0))
    }
}

/// A pair of channels over which messages went each way.
async fn idle_channels(scene: Arc<Scene>) -> Result<[Channel<TcpStream>; 2], Failure> {
    let (dialled, accepted) = scene.connection().await?;
    let source = accepted.peer_addr()?;
    let (dialled, accepted) = tokio::join!(
        scene.alice.connect(dialled, Peer::Stranger),
        scene.bob.accept(accepted, source)
    );
    let (mut dialled, mut accepted) = (dialled?, accepted?);
    for _ in 0..2 {
        dialled.send(b"a short message").await?;
        accepted.recv().await?;
        accepted.send(b"a short answer").await?;
        dialled.recv().await?;
    }
    Ok([dialled, accepted])
}

/// An XX handshake whose responder has written message 2 and waits for message 3, which does
/// not come. Of the initiator only the connection is kept.
async fn pending_handshake(scene: Arc<Scene>) -> Result<(TcpStream, JoinSet<()>), Failure> {
    let (mut dialled, accepted) = scene.connection().await?;
    let source = accepted.peer_addr()?;
    let mut accepting = JoinSet::new();
    let bob = scene.bob.clone();
    accepting.spawn(async move {
        drop(bob.accept(accepted, source).await);
    });
    let local = scene.stranger.local();
    let (preamble, message1, _) =
        initiator::start_xx(local, Suite::AesGcm, SuiteSet::all(), &mut system_rng())?;
    frame::write_first(&mut dialled, &preamble, &message1).await?;
    frame::read_message(&mut dialled, usize::from(u16::MAX)).await?;
    Ok((dialled, accepting))
}

/// IK handshakes of a pinned peer with an agent that has pinned `count` peers in a file, both
/// sides in one thread.
fn accepts(request: &Request, count: u32) -> Result<f64, Failure> {
    let folder = tempfile::tempdir()?;
    let dialling = Agent::builder(keys()?).limits(limits()).build()?;
    let file = folder.path().join("peers");
    std::fs::write(&file, pins(dialling.card(), count)?.to_bytes())?;
    let answering = Agent::builder(keys()?)
        .inbound(KnownPeers)
        .peers(Arc::new(Peers::open(file)?))
        .limits(limits())
        .build()?;
    let card = IdentityCard::from_bytes(answering.card().as_bytes())?;
    let runtime = runtime()?;
    rate(request.time, || {
        runtime.block_on(async {
            let (near, far) = tokio::io::duplex(64 * KIB);
            let peer = Peer::Card(Box::new(card.clone()));
            let (dialled, accepted) =
                tokio::join!(dialling.connect(near, peer), answering.accept(far, Source::shared()));
            Ok((dialled?, accepted?))
        })
    })
}

/// `count` pins, that of `card` among them.
fn pins(card: &IdentityCard, count: u32) -> Result<PinStore, Failure> {
    let now = SystemClock::new().wall();
    let mut pins = PinStore::new();
    let mut pin = |card: &IdentityCard| -> Result<(), Failure> {
        let card = IdentityCard::from_bytes(card.as_bytes())?.verify(now)?;
        pins.pin(&card, PinnedBy::OutOfBand, now)?;
        Ok(())
    };
    pin(card)?;
    for _ in 1..count {
        let keys = keys()?;
        pin(&NewCard::new(1, now, 24 * 60 * 60).sign(keys.as_ref(), keys.newest())?)?;
    }
    Ok(pins)
}
