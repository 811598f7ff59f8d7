//! One bit, changed on the way, at many places.

use sealwire::{Agent, Error, Peer};
use tokio::io::AsyncReadExt;

use crate::live::common::{acquainted, call, id_of, open, pins};
use crate::live::wire::{Way, flipping, tapped};

/// The start of a flight byte by byte, then a byte in every so many, and its last one.
fn offsets(length: usize) -> impl Iterator<Item = usize> {
    let step = (length / 40).max(1);
    (0..20).chain((20..length).step_by(step)).chain([length - 1]).filter(move |at| *at < length)
}

/// How many bytes go each way in a clean handshake.
async fn lengths(alice: &Agent, peer: Peer, bob: &Agent) -> [usize; 2] {
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((alice, peer, near), (bob, far)).await;
    assert!(at_alice.is_ok() && at_bob.is_ok());
    [Way::ToResponder, Way::ToInitiator].map(|way| log.sent(way).len())
}

/// Flips a bit of what goes to the responder: it never gets a channel, and remembers nobody.
async fn responder_refuses(make: fn() -> (Agent, Agent), peer: fn(&Agent) -> Peer) {
    let (alice, bob) = make();
    let [length, _] = lengths(&alice, peer(&bob), &bob).await;
    let (alice, bob) = make();
    let before = pins(&bob);
    for offset in offsets(length) {
        let (near, far, _) = flipping(Way::ToResponder, offset);
        let (at_alice, at_bob) = call((&alice, peer(&bob), near), (&bob, far)).await;
        assert!(at_bob.is_err(), "byte {offset}");
        assert_eq!(pins(&bob), before, "byte {offset}");
        // The last message of the initiator is its own; what it reads then is a refusal.
        if let Ok(mut channel) = at_alice {
            let read = channel.read(&mut [0; 8]).await.map_err(Error::from);
            assert!(matches!(read, Err(Error::Refused | Error::Truncated)), "{offset}: {read:?}");
        }
    }
}

/// Flips a bit of what goes to the initiator: neither side gets a channel.
async fn initiator_refuses(make: fn() -> (Agent, Agent), peer: fn(&Agent) -> Peer) {
    let (alice, bob) = make();
    let [_, length] = lengths(&alice, peer(&bob), &bob).await;
    let (alice, bob) = make();
    let before = pins(&alice);
    for offset in offsets(length) {
        let (near, far, _) = flipping(Way::ToInitiator, offset);
        let (at_alice, at_bob) = call((&alice, peer(&bob), near), (&bob, far)).await;
        assert!(at_alice.is_err() && at_bob.is_err(), "byte {offset}");
        assert_eq!(pins(&alice), before, "byte {offset}");
    }
}

fn strangers() -> (Agent, Agent) {
    (open(1), open(2))
}

// attack T6
#[tokio::test(start_paused = true)]
async fn a_bit_changed_in_the_preamble_message_1_or_3_of_xx_gives_no_channel() {
    responder_refuses(strangers, |_| Peer::Stranger).await;
}

#[tokio::test(start_paused = true)]
async fn a_bit_changed_in_message_2_of_xx_gives_no_channel() {
    initiator_refuses(strangers, |_| Peer::Stranger).await;
}

// attack T6
#[tokio::test(start_paused = true)]
async fn a_bit_changed_in_the_preamble_message_1_or_confirmation_of_ik_gives_no_channel() {
    responder_refuses(acquainted, id_of).await;
}

#[tokio::test(start_paused = true)]
async fn a_bit_changed_in_message_2_of_ik_gives_no_channel() {
    initiator_refuses(acquainted, id_of).await;
}

#[tokio::test(start_paused = true)]
async fn a_bit_changed_in_a_record_releases_nothing_of_it() {
    let (alice, bob) = acquainted();
    let [handshake, _] = lengths(&alice, id_of(&bob), &bob).await;
    // A message of 12 bytes behind its length, in one record, and the close.
    let records = (2 + 4 + 12 + 17) + (2 + 1 + 17);
    for offset in handshake..handshake + records {
        let (near, far, _) = flipping(Way::ToResponder, offset);
        let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
        let (mut at_alice, mut at_bob) = (at_alice.expect("dial"), at_bob.expect("answer"));
        at_alice.send(b"twelve bytes").await.expect("send");
        at_alice.close().await.expect("close");
        // Wait for what the flipped length leaves to wait for.
        drop(at_alice);
        let first = at_bob.recv().await;
        if offset < handshake + 35 {
            assert!(first.is_err(), "byte {offset}: {first:?}");
        } else {
            assert_eq!(first.expect("it was not touched").as_deref(), Some(&b"twelve bytes"[..]));
        }
        assert!(at_bob.recv().await.is_err(), "byte {offset}: never a clean end");
    }
}
