//! What `Debug` and errors show: no key, and no message.

use std::time::Duration;

use sealwire::{
    Error, Peer,
    core::{MemoryKeyStore, keystore::KeySeeds},
};
use sealwire_testkit::{leak::shows, rng::SeededRng};
use tokio::io::duplex;

use crate::live::common::{builder, call, channels, dial, open, with_keys};

/// The private keys of an agent and the agent's builder.
fn known() -> (Vec<u8>, sealwire::AgentBuilder) {
    let seeds = KeySeeds::generate(&mut SeededRng::new(1)).expect("keys");
    let bytes = seeds.to_bytes().to_vec();
    let keys = MemoryKeyStore::from_seeds(&seeds).expect("keys");
    (bytes[3..].to_vec(), with_keys(std::sync::Arc::new(keys)))
}

// attack T34
#[tokio::test(start_paused = true)]
async fn nothing_shows_a_key() {
    let (secret, builder) = known();
    // The control: this is what a leak looks like.
    assert!(shows(&format!("{secret:?}"), &secret));
    let mut texts = vec![format!("{builder:?}"), format!("{builder:#?}")];
    let alice = builder.build().expect("agent");
    let bob = open(2);
    let (at_alice, at_bob) = channels(&alice, Peer::Stranger, &bob).await;
    texts.extend([
        format!("{alice:?} {alice:#?}"),
        format!("{at_alice:?} {at_alice:#?} {at_bob:?}"),
        format!("{:?} {:#?}", at_alice.facts(), at_alice.facts()),
        format!("{:?} {:#?}", alice.peers(), bob.peers()),
    ]);
    let (refused, denied) = dial(&alice, Peer::Stranger, &crate::live::common::closed(3)).await;
    for error in [refused.expect_err("refused"), denied.expect_err("denied"), Error::Oneself] {
        texts.push(format!("{error:?} {error:#?} {error}"));
        texts.push(format!("{:?}", std::io::Error::from(error)));
    }
    for text in texts {
        assert!(!shows(&text, &secret), "{text}");
    }
}

// attack T34
#[tokio::test(start_paused = true)]
async fn a_channel_does_not_show_the_messages_under_way() {
    let (alice, bob) = (builder(1).build().expect("agent"), open(2));
    let (near, far) = duplex(256);
    let (at_alice, at_bob) = call((&alice, Peer::Stranger, near), (&bob, far)).await;
    let (mut at_alice, mut at_bob) = (at_alice.expect("dial"), at_bob.expect("answer"));
    let message: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for _ in 0..2 {
        let stalled = tokio::time::timeout(Duration::ZERO, at_alice.send(&message)).await;
        assert!(stalled.is_err());
        let partial = tokio::time::timeout(Duration::from_secs(1), at_bob.recv()).await;
        assert!(partial.is_err());
    }
    for text in [format!("{at_alice:?} {at_bob:?}"), format!("{at_alice:#?} {at_bob:#?}")] {
        assert!(!shows(&text, &message[..256]), "{text}");
    }
}
