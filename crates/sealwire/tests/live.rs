//! Two agents over an in-memory connection.

use std::sync::Arc;

use sealwire::{
    Agent, AllowAnyAuthenticated, Handshake, Peer, Source, core::MemoryKeyStore, core::Unverified,
};
use sealwire_testkit::rng::SeededRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

fn agent(seed: u64) -> Agent {
    let keys = MemoryKeyStore::generate(&mut SeededRng::new(seed)).expect("keys");
    Agent::builder(Arc::new(keys)).inbound(AllowAnyAuthenticated).build().expect("agent")
}

#[tokio::test]
async fn strangers_meet_with_xx_and_then_with_ik() {
    let (alice, bob) = (agent(1), agent(2));
    for expected in [Handshake::NoiseXx, Handshake::NoiseIk] {
        let (near, far) = duplex(1 << 16);
        let peer = match expected {
            Handshake::NoiseIk => Peer::Id(bob.id().clone()),
            _ => Peer::Stranger,
        };
        let (at_alice, at_bob) =
            tokio::join!(alice.connect(near, peer), bob.accept(far, Source::shared()));
        let (mut at_alice, mut at_bob) = (at_alice.expect("dial"), at_bob.expect("answer"));
        assert_eq!(at_alice.handshake(), Some(expected));
        assert_eq!(at_alice.channel_binding(), at_bob.channel_binding());
        assert_eq!(at_alice.peer().expect("peer"), bob.id());
        assert_eq!(at_bob.peer().expect("peer"), alice.id());

        at_alice.write_all(b"ping").await.expect("write");
        at_alice.close().await.expect("close");
        let mut text = Vec::new();
        at_bob.read_to_end(&mut text).await.expect("read");
        assert_eq!(text, b"ping");
        at_bob.send(b"pong").await.expect("send");
        at_bob.close().await.expect("close");
        assert_eq!(at_alice.recv().await.expect("recv").as_deref(), Some(&b"pong"[..]));
        assert_eq!(at_alice.recv().await.expect("recv"), None);
    }
    let card = Unverified::new(bob.card().clone());
    assert_eq!(alice.pin(card).expect("pin"), *bob.id());
}
