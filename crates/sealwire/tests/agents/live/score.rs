//! Policy by score.

use std::sync::Arc;

use sealwire::{
    Agent, Clock, Error, Peer, ScoreAtLeast,
    core::{KeyStore, Timestamp, label::Label},
    identity::{AgentId, Evidence, EvidenceKind, EvidenceList, ScoreStatement},
};
use tokio::io::{AsyncReadExt, duplex};

use crate::live::common::{
    DAY, HOUR, NOW, TestClock, builder, call, channels, dial, id_of, introduce, keys, open, pins,
};
use crate::live::wire::{Way, tapped};

const ISSUER: u64 = 50;

fn issuer() -> AgentId {
    open(ISSUER).id().clone()
}

fn score(by: u64, of: &AgentId, score: u16, not_after: Timestamp) -> ScoreStatement {
    ScoreStatement::issue(keys(by).as_ref(), of, score, not_after).expect("a statement")
}

fn list(statement: &[u8], bound: bool) -> EvidenceList {
    let item = Evidence::new(EvidenceKind::Score, bound, statement).expect("evidence");
    EvidenceList::new(vec![item]).expect("a list")
}

/// Bob, who admits a score of 700 by the issuer.
fn picky() -> Agent {
    builder(2).inbound(ScoreAtLeast::new(700, [issuer()])).build().expect("agent")
}

/// Whether Bob admits Alice when she presents this.
async fn admitted(evidence: EvidenceList) -> bool {
    let alice = builder(1).evidence(evidence).build().expect("agent");
    let bob = picky();
    let (_, xx) = dial(&alice, Peer::Stranger, &bob).await;
    let stranger_pinned = !pins(&bob).is_empty();
    let bob = picky();
    introduce(&alice, &bob);
    let (_, ik) = dial(&alice, id_of(&bob), &bob).await;
    assert_eq!((xx.is_ok(), ik.is_ok()), (stranger_pinned, stranger_pinned), "{xx:?} {ik:?}");
    stranger_pinned
}

#[tokio::test(start_paused = true)]
async fn a_sufficient_score_by_a_trusted_issuer_admits() {
    let alice = open(1).id().clone();
    for (points, expected) in [(0, false), (699, false), (700, true), (1000, true)] {
        let statement = score(ISSUER, &alice, points, NOW.plus(DAY));
        assert_eq!(admitted(list(statement.as_bytes(), true)).await, expected, "{points}");
    }
    assert!(!admitted(EvidenceList::default()).await, "without a score");
}

#[tokio::test(start_paused = true)]
async fn the_lowest_of_several_statements_decides() {
    let alice = open(1).id().clone();
    let items = [900, 100].map(|points| {
        let statement = score(ISSUER, &alice, points, NOW.plus(DAY));
        Evidence::new(EvidenceKind::Score, true, statement.as_bytes()).expect("evidence")
    });
    assert!(!admitted(EvidenceList::new(items.to_vec()).expect("a list")).await);
}

#[tokio::test(start_paused = true)]
async fn a_score_by_an_untrusted_issuer_is_ignored() {
    let alice = open(1).id().clone();
    let statement = score(51, &alice, 1000, NOW.plus(DAY));
    assert!(!admitted(list(statement.as_bytes(), true)).await);
}

#[tokio::test(start_paused = true)]
async fn an_expired_statement_is_ignored() {
    let alice = open(1).id().clone();
    let statement = score(ISSUER, &alice, 1000, Timestamp::from_secs(NOW.as_secs() - 1));
    assert!(!admitted(list(statement.as_bytes(), true)).await);
}

#[tokio::test(start_paused = true)]
async fn a_statement_about_somebody_else_is_ignored() {
    let statement = score(ISSUER, open(3).id(), 1000, NOW.plus(DAY));
    assert!(!admitted(list(statement.as_bytes(), true)).await);
}

#[tokio::test(start_paused = true)]
async fn a_forged_statement_is_ignored() {
    let alice = open(1).id().clone();
    let statement = score(ISSUER, &alice, 1000, NOW.plus(DAY));
    for offset in (0..statement.as_bytes().len()).step_by(11) {
        let mut bytes = statement.as_bytes().to_vec();
        bytes[offset] ^= 1;
        assert!(!admitted(list(&bytes, true)).await, "byte {offset}");
    }
}

#[tokio::test(start_paused = true)]
async fn unbound_evidence_never_raises_a_decision() {
    let alice = open(1).id().clone();
    let statement = score(ISSUER, &alice, 1000, NOW.plus(DAY));
    assert!(!admitted(list(statement.as_bytes(), false)).await);
}

/// A lesson from a shipping peer: it took the score that the peer gave itself.
#[tokio::test(start_paused = true)]
async fn the_score_that_a_peer_claims_for_itself_is_ignored() {
    let keys = keys(1);
    let alice = open(1).id().clone();
    // Alice's own statement in the issuer's name, signed with her key.
    let honest = score(ISSUER, &alice, 100, NOW.plus(DAY));
    assert!(ScoreStatement::issue(keys.as_ref(), &alice, 1000, NOW.plus(DAY)).is_err());
    let bytes = honest.as_bytes();
    let signature = bytes.len() - 64;
    let body = &bytes[5..signature - 2];
    let claim = body.to_vec();
    let context = Label::SCORE.context(None, &[&claim]).expect("context");
    let own = keys.sign(&context).expect("sign");
    let mut forged = bytes.to_vec();
    forged[signature..].copy_from_slice(own.as_bytes());
    assert!(!admitted(list(&forged, true)).await);
    // Nor is Alice an issuer of hers, even for a policy that trusts her about others.
    let bob = builder(2).inbound(ScoreAtLeast::new(1, [alice.clone()])).build().expect("agent");
    let (_, at_bob) = dial(&open(1), Peer::Stranger, &bob).await;
    assert!(at_bob.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_dial_below_the_threshold_sends_not_one_byte() {
    let bob = open(2);
    let alice = || {
        let policy = ScoreAtLeast::new(700, [issuer()]);
        let alice = builder(1).outbound(policy).build().expect("agent");
        introduce(&alice, &bob);
        alice
    };
    let add = |alice: &Agent, by, of: &AgentId, points| {
        let statement = score(by, of, points, NOW.plus(DAY));
        let statement = ScoreStatement::from_bytes(statement.as_bytes()).expect("a statement");
        alice.peers().add_score(statement.verify(NOW).expect("sound"));
    };
    let low = alice();
    add(&low, ISSUER, bob.id(), 699);
    let untrusted = alice();
    add(&untrusted, 51, bob.id(), 1000);
    let other = alice();
    add(&other, ISSUER, open(3).id(), 1000);
    for alice in [alice(), low, untrusted, other] {
        for peer in [id_of(&bob), Peer::Stranger] {
            let (near, mut far) = duplex(1 << 16);
            assert!(matches!(alice.connect(near, peer).await, Err(Error::Denied(_))));
            let mut sent = Vec::new();
            far.read_to_end(&mut sent).await.expect("the other end");
            assert_eq!(sent, b"");
        }
    }
    let high = alice();
    add(&high, ISSUER, bob.id(), 699);
    add(&high, ISSUER, bob.id(), 700);
    let _channels = channels(&high, id_of(&bob), &bob).await;
}

#[tokio::test(start_paused = true)]
async fn a_kept_score_ends_with_its_statement() {
    let clock = TestClock::at(NOW);
    let bob = open(2);
    let alice = builder(1)
        .outbound(ScoreAtLeast::new(700, [issuer()]))
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .build()
        .expect("agent");
    introduce(&alice, &bob);
    let statement = score(ISSUER, bob.id(), 900, NOW.plus(HOUR));
    let statement = ScoreStatement::from_bytes(statement.as_bytes()).expect("a statement");
    alice.peers().add_score(statement.verify(NOW).expect("sound"));
    clock.pass(HOUR);
    let _channels = channels(&alice, id_of(&bob), &bob).await;
    clock.pass(1);
    let (at_alice, _) = dial(&alice, id_of(&bob), &bob).await;
    assert!(matches!(at_alice, Err(Error::Denied(_))));
}

#[tokio::test(start_paused = true)]
async fn inbound_below_the_threshold_nothing_but_the_refusal_is_sent() {
    let alice = open(1);
    let bob = picky();
    introduce(&alice, &bob);
    // IK: before message 2. The retry by XX shows message 2 and no record.
    let (near, far, log) = tapped();
    let (at_alice, at_bob) = call((&alice, id_of(&bob), near), (&bob, far)).await;
    assert!(matches!(at_bob, Err(Error::Denied(_))));
    let mut channel = at_alice.expect("message 3 ends the handshake of the initiator");
    assert!(matches!(channel.recv().await, Err(Error::Refused)));
    let seen = log.sent(Way::ToInitiator);
    assert_eq!(seen[..2], [0, 0]);
    let message2 = 4 + usize::from(u16::from_be_bytes([seen[2], seen[3]]));
    assert_eq!(seen[message2..], [0, 0]);
    assert_eq!(pins(&bob), []);
}
