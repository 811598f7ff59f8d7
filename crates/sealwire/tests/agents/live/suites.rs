//! A peer is never spoken to with less than its card names.

use sealwire::{
    Agent, AllowAnyAuthenticated, Error, Peer, Source,
    core::{KeyStore, Suite, SuiteSet, Unverified},
    identity::{Error as Identity, IdentityCard, NewCard},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use crate::live::common::{
    DAY, NOW, builder, call, closed, dial, id_of, introduce, keys, open, pins,
};
use crate::live::wire::{Fate, Way, wire};

fn weaker(seed: u64, sequence: u64, suite: Suite) -> IdentityCard {
    let keys = keys(seed);
    let suites = SuiteSet::from_bytes(&[suite.id()]).expect("one");
    NewCard::new(sequence, NOW, DAY)
        .suites(suites)
        .sign(keys.as_ref(), keys.newest())
        .expect("card")
}

fn with_card(seed: u64, card: IdentityCard) -> Agent {
    builder(seed).card(card).inbound(AllowAnyAuthenticated).build().expect("agent")
}

// attack T6
#[tokio::test(start_paused = true)]
async fn a_newer_card_with_fewer_suites_is_a_hard_error_when_dialling() {
    let (alice, bob) = (closed(1), open(2));
    introduce(&alice, &bob);
    let before = pins(&alice);
    let newer = weaker(2, bob.card().sequence() + 1, Suite::ChaChaPoly);
    // Handed over: nothing is sent.
    let (near, mut far) = duplex(1 << 16);
    let dialled = alice.connect(near, Peer::Card(Box::new(Unverified::new(newer.clone())))).await;
    assert!(matches!(dialled, Err(Error::Identity(Identity::Downgrade))), "{dialled:?}");
    let mut sent = Vec::new();
    far.read_to_end(&mut sent).await.expect("read");
    assert_eq!(sent, b"");
    // Presented by the peer itself, in IK and in XX.
    let weakened = builder(2)
        .card(bob.card().clone())
        .card(newer.clone())
        .inbound(AllowAnyAuthenticated)
        .build()
        .expect("agent");
    for peer in [id_of(&bob), Peer::Stranger] {
        let (at_alice, at_bob) = dial(&alice, peer, &weakened).await;
        assert!(matches!(at_alice, Err(Error::Identity(Identity::Downgrade))), "{at_alice:?}");
        assert!(at_bob.is_err());
    }
    assert_eq!(pins(&alice), before);
}

// attack T6
#[tokio::test(start_paused = true)]
async fn a_newer_card_with_fewer_suites_is_a_hard_error_when_answering() {
    let (alice, bob) = (open(1), open(2));
    introduce(&bob, &alice);
    let before = pins(&bob);
    let weakened = with_card(1, weaker(1, alice.card().sequence() + 1, Suite::AesGcm));
    introduce(&weakened, &bob);
    for peer in [id_of(&bob), Peer::Stranger] {
        let (_, at_bob) = dial(&weakened, peer, &bob).await;
        assert!(matches!(at_bob, Err(Error::Identity(Identity::Downgrade))), "{at_bob:?}");
    }
    assert_eq!(pins(&bob), before);
}

#[tokio::test(start_paused = true)]
async fn a_card_with_one_suite_is_dialled_with_that_suite() {
    for suite in Suite::ALL {
        for ours in Suite::ALL {
            let bob = with_card(2, weaker(2, 5, suite));
            let alice = builder(1).suite(ours).build().expect("agent");
            introduce(&alice, &bob);
            let (near, far, log) = crate::live::wire::tapped();
            let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
            assert!(at_alice.is_ok() && at_bob.is_ok());
            assert_eq!(log.sent(Way::ToResponder)[1], suite.id());
        }
    }
}

// attack T6
#[tokio::test(start_paused = true)]
async fn a_preamble_with_anything_but_a_hybrid_suite_is_refused() {
    let bob = open(2);
    for suite in (0..=255).filter(|id| ![1, 2].contains(id)) {
        for head in [[1, suite, 1, 1], [1, suite, 2, 1]] {
            let (mut near, far) = duplex(1 << 16);
            near.write_all(&head).await.expect("write");
            near.write_all(&[suite; 2000]).await.expect("write");
            let answered = bob.accept(far, Source::shared()).await;
            assert!(matches!(answered, Err(Error::Noise(_))), "{answered:?}");
            assert_eq!(near.read_u16().await.expect("the refusal"), 0);
        }
    }
}

// attack T6
#[tokio::test(start_paused = true)]
async fn a_list_of_suites_changed_on_the_way_gives_no_channel() {
    let suite = Suite::AesGcm;
    let alice = builder(1).suite(suite).build().expect("agent");
    let bob = open(2);
    introduce(&alice, &bob);
    introduce(&bob, &alice);
    // The list is `1, 2` at 4 and 5, its length at 3: the middle leaves the second out.
    let shortened = |way, at, byte| match (way, at) {
        (Way::ToResponder, 3) => Fate::Pass(1),
        (Way::ToResponder, 5) => Fate::Drop,
        _ => Fate::Pass(byte),
    };
    let before = (pins(&alice), pins(&bob));
    for peer in [Peer::Stranger, id_of(&bob)] {
        let (near, far, _) = wire(shortened);
        let retry = matches!(peer, Peer::Id(_));
        let (at_alice, at_bob) = call((&alice, peer, near), (&bob, far)).await;
        if retry {
            // The refused IK was followed by an XX that nobody changed.
            assert_eq!(at_alice.expect("dial").handshake(), Some(sealwire::Handshake::NoiseXx));
        } else {
            assert!(at_alice.is_err() && at_bob.is_err());
            assert_eq!((pins(&alice), pins(&bob)), before);
        }
    }
    // The other suite in its place, named as the choice as well: the transcript differs.
    let other = |way, at, byte| match (way, at) {
        (Way::ToResponder, 1) => Fate::Pass(2),
        _ => Fate::Pass(byte),
    };
    let (near, far, _) = wire(other);
    let (at_alice, at_bob) = call((&alice, Peer::Stranger, near), (&bob, far)).await;
    assert!(at_alice.is_err() && at_bob.is_err());
}
