//! all, any, not: their truth tables.

use std::sync::Arc;

use sealwire::{Decision, Error, Peer, TrustPolicy, all, any, not};

use crate::live::common::{Fixed, builder, channels, dial, id_of, introduce, open};

type Policy = Arc<dyn TrustPolicy>;

fn says(allow: bool) -> Policy {
    Arc::new(if allow { Fixed::ALLOW } else { Fixed::DENY })
}

/// Whether an agent with this inbound policy admits a stranger, and with this outbound policy
/// dials one.
async fn outcome(policy: Policy) -> (bool, bool) {
    let bob = builder(2).inbound(any([Arc::clone(&policy)])).build().expect("agent");
    let (_, inbound) = dial(&open(1), Peer::Stranger, &bob).await;
    let alice = builder(1).outbound(any([policy])).build().expect("agent");
    let (outbound, _) = dial(&alice, Peer::Stranger, &open(2)).await;
    (inbound.is_ok(), outbound.is_ok())
}

#[tokio::test(start_paused = true)]
async fn the_truth_tables_hold() {
    let none: [Policy; 0] = [];
    let rows: Vec<(&str, Policy, bool)> = vec![
        ("all()", Arc::new(all(none.clone())), false),
        ("any()", Arc::new(any(none.clone())), false),
        ("all(yes)", Arc::new(all([says(true)])), true),
        ("all(no)", Arc::new(all([says(false)])), false),
        ("all(yes, yes)", Arc::new(all([says(true), says(true)])), true),
        ("all(yes, no)", Arc::new(all([says(true), says(false)])), false),
        ("all(no, yes)", Arc::new(all([says(false), says(true)])), false),
        ("any(no)", Arc::new(any([says(false)])), false),
        ("any(no, no)", Arc::new(any([says(false), says(false)])), false),
        ("any(yes, no)", Arc::new(any([says(true), says(false)])), true),
        ("any(no, yes)", Arc::new(any([says(false), says(true)])), true),
        ("not(yes)", Arc::new(not(says(true))), false),
        ("not(no)", Arc::new(not(says(false))), true),
        ("not(not(yes))", Arc::new(not(Arc::new(not(says(true))))), true),
        ("not(not(no))", Arc::new(not(Arc::new(not(says(false))))), false),
        ("all(yes, any())", Arc::new(all([says(true), Arc::new(any(none.clone()))])), false),
        ("any(yes, all())", Arc::new(any([says(true), Arc::new(all(none))])), true),
    ];
    for (name, policy, expected) in rows {
        assert_eq!(outcome(policy).await, (expected, expected), "{name}");
    }
}

#[test]
fn strangers_are_admitted_only_where_a_policy_can_allow_them() {
    let none: [Policy; 0] = [];
    let closed = || -> Policy { Arc::new(sealwire::KnownPeers) };
    assert!(!all(none.clone()).admits_strangers());
    assert!(!any(none).admits_strangers());
    assert!(!all([says(true), closed()]).admits_strangers());
    assert!(any([says(true), closed()]).admits_strangers());
    assert!(!any([closed()]).admits_strangers());
    assert!(not(closed()).admits_strangers());
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_keeps_the_peer_out_has_no_say_in_its_messages() {
    // One policy admits nobody and has no opinion on messages; the other admits the peer and
    // none of its messages.
    let out = Fixed { accept: Decision::Deny("out"), ..Fixed::ALLOW };
    let mute = Fixed { message: Decision::Deny("mute"), ..Fixed::ALLOW };
    for pair in [[out, mute], [mute, out]] {
        let pair = pair.map(|policy| Arc::new(policy) as Policy);
        let bob = builder(2).inbound(any(pair)).build().expect("agent");
        let (mut at_alice, mut at_bob) = channels(&open(1), Peer::Stranger, &bob).await;
        at_alice.send(b"hello").await.expect("send");
        assert!(matches!(at_bob.recv().await, Err(Error::Denied(_))));
    }
    // All must allow a message.
    let pair = [Fixed::ALLOW, mute].map(|policy| Arc::new(policy) as Policy);
    let bob = builder(2).inbound(all(pair)).build().expect("agent");
    let (mut at_alice, mut at_bob) = channels(&open(1), Peer::Stranger, &bob).await;
    at_alice.send(b"hello").await.expect("send");
    assert!(matches!(at_bob.recv().await, Err(Error::Denied("mute"))));
}

#[tokio::test(start_paused = true)]
async fn all_grants_a_retry_only_where_every_policy_does() {
    use crate::live::common::RETRY;
    let retrying = Fixed { dial: RETRY, ..Fixed::ALLOW };
    for (second, tried) in [(retrying, true), (Fixed::ALLOW, false)] {
        let pair = [retrying, second].map(|policy| Arc::new(policy) as Policy);
        let alice = builder(1).outbound(all(pair)).build().expect("agent");
        let bob = open(2);
        introduce(&alice, &bob);
        // Carol answers in the place of Bob, whose card she cannot use.
        let (at_alice, _) = dial(&alice, id_of(&bob), &open(3)).await;
        assert_eq!(matches!(at_alice, Err(Error::WrongPeer { .. })), tried, "{at_alice:?}");
        assert_eq!(matches!(at_alice, Err(Error::Refused)), !tried, "{at_alice:?}");
    }
}
