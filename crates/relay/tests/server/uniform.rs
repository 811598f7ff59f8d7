//! Whatever is wrong about a mailbox has one answer, and costs the same.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use sealwire_core::secret::Secret;
use sealwire_relay::{
    Problem, SendId, Token,
    store::MemoryStore,
    wire::{Body, MailboxKind, Operation, Revoke},
};

use crate::{
    faults::Wrapped,
    http::{Answer, Ask},
    people::{Owner, Signs, deposit},
    rig::{Rig, frame, settings},
};

/// An answer but for the second in which it was made.
fn faceless(answer: &Answer) -> Answer {
    let mut answer = answer.clone();
    answer.headers.retain(|(name, _)| name != "date");
    answer
}

/// A deposit into each kind of mailbox that is not open to its sender.
async fn shut_doors(rig: &Rig) -> Vec<(&'static str, Ask)> {
    let now = rig.now();
    let frame = frame(1);
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let contact = rig.owner(MailboxKind::Contact).await;
    let good = owner.capability(1, now.plus(60));
    let unknown = Owner::new(MailboxKind::Pairwise);
    let closed = rig.owner(MailboxKind::Pairwise).await;
    rig.ask_signed(&closed, &Operation::CloseMailbox(closed.receive), &[]).await.is(204);
    let revoked = rig.owner(MailboxKind::Pairwise).await;
    let revoke = Revoke { tokens: vec![Token::from_bytes([1; 16])], secret: None };
    let operation = Operation::Revoke(revoked.receive);
    rig.ask_signed(&revoked, &operation, &revoke.to_bytes()).await.is(204);
    let renewed = rig.owner(MailboxKind::Pairwise).await;
    let secret = Some(Secret::from_slice(&[9; 32]).expect("32 bytes"));
    let revoke = Revoke { tokens: Vec::new(), secret };
    let operation = Operation::Revoke(renewed.receive);
    rig.ask_signed(&renewed, &operation, &revoke.to_bytes()).await.is(204);
    let past = sealwire_core::Timestamp::from_secs(now.as_secs() - 1);
    let mut nobodys = Owner::new(MailboxKind::Pairwise);
    nobodys.secret = Secret::from_slice(&[0; 32]).expect("32 bytes");
    let with = |owner: &Owner, capability: &str| deposit(owner.send, capability, &frame);
    let bare = |ask: Ask| ask.without(sealwire_relay::wire::CAPABILITY);
    vec![
        ("unknown", with(&unknown, &unknown.capability(1, now.plus(60)))),
        ("unknown, with the secret of nobody", with(&nobodys, &nobodys.capability(1, now))),
        ("closed", with(&closed, &closed.capability(1, now.plus(60)))),
        ("revoked singly", with(&revoked, &revoked.capability(1, now.plus(60)))),
        ("of an old secret", with(&renewed, &renewed.capability(1, now.plus(60)))),
        ("expired", with(&owner, &owner.capability(1, past))),
        ("of another mailbox", with(&contact, &good)),
        ("of another, at an unknown one", with(&unknown, &good)),
        ("by the id for receiving", {
            let send = SendId::from_bytes(*owner.receive.as_bytes());
            deposit(send, &good, &frame)
        }),
        ("no capability", bare(with(&owner, &good))),
        ("no capability, unknown", bare(with(&unknown, &good))),
        ("not a capability", with(&owner, "v1.a.b.c")),
        ("not a capability, unknown", with(&unknown, "v1.a.b.c")),
        (
            "the MAC of another expiry",
            with(&owner, &{
                let (others, mac) = (owner.capability(1, now.plus(61)), good.rsplit('.').next());
                let (start, _) = others.rsplit_once('.').expect("a MAC");
                format!("{start}.{}", mac.expect("a MAC"))
            }),
        ),
        ("an id that is none", {
            let mut ask = with(&owner, &good);
            ask.target = ask.target.replace(&owner.send.to_string(), "AAAA");
            ask
        }),
    ]
}

// REL-16, attack T40: unknown, closed, revoked, expired and foreign look the same.
#[tokio::test]
async fn a_mailbox_that_is_not_open_to_a_sender_is_not_there() {
    let rig = Rig::start().await;
    let doors = shut_doors(&rig).await;
    let nowhere = rig.ask(&Ask { target: "/v1/nowhere".to_owned(), ..doors[0].1.clone() }).await;
    assert_eq!(nowhere.problem(), Problem::NotFound);
    for (name, ask) in doors {
        let answer = rig.ask(&ask).await;
        assert_eq!(faceless(&answer), faceless(&nowhere), "{name}");
        // A frame that no mailbox would take is refused as that, whatever the mailbox.
        let small = Ask { body: vec![1; 100], ..ask };
        if name != "an id that is none" {
            assert_eq!(rig.ask(&small).await.problem(), Problem::FrameSize, "{name}");
        }
    }
}

// REL-3, attack T40: the same for whoever reads.
#[tokio::test]
async fn a_mailbox_of_another_is_not_there() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let closed = rig.owner(MailboxKind::Pairwise).await;
    rig.ask_signed(&closed, &Operation::CloseMailbox(closed.receive), &[]).await.is(204);
    let (unknown, thief) =
        (Owner::new(MailboxKind::Pairwise), rig.owner(MailboxKind::Contact).await);
    let mut answers = BTreeSet::new();
    for (who, whose) in [
        (&unknown, &unknown),
        (&closed, &closed),
        (&thief, &owner),
        (&thief, &unknown),
        (&thief, &closed),
    ] {
        let acks = sealwire_relay::wire::Acks { sequences: vec![1] }.to_bytes();
        let revoke = Revoke { tokens: Vec::new(), secret: None }.to_bytes();
        for (operation, body) in [
            (whose.fetch(0, 10, 0), Vec::new()),
            (whose.fetch(0, 10, 60), Vec::new()),
            (Operation::Ack(whose.receive), acks),
            (Operation::Revoke(whose.receive), revoke),
            (Operation::CloseMailbox(whose.receive), Vec::new()),
            (Operation::Stream(whose.receive), Vec::new()),
        ] {
            let answer = rig.ask_signed(who, &operation, &body).await;
            assert_eq!(answer.problem(), Problem::NotFound, "{operation:?}");
            answers.insert(format!("{:?}", faceless(&answer)));
        }
    }
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// How many calls of the store each request costs.
async fn cost(rig: &Rig, calls: &AtomicUsize, ask: &Ask) -> usize {
    let before = calls.load(Ordering::SeqCst);
    rig.ask(ask).await;
    calls.load(Ordering::SeqCst) - before
}

// attack T40: what is done for a request does not depend on whose mailbox there is.
#[tokio::test]
async fn a_shut_door_costs_the_same_whatever_is_behind_it() {
    let store = Arc::new(Wrapped::new(MemoryStore::new()));
    let mut settings = settings();
    // The store is not swept meanwhile.
    settings.times.sweep = std::time::Duration::from_secs(3600);
    let calls = Arc::clone(&store.calls);
    let rig = Rig::over(store, settings).await;
    let doors = shut_doors(&rig).await;
    // What was remembered of any of them is forgotten.
    rig.clock.pass(10);
    let mut seen = BTreeSet::new();
    for (name, ask) in &doors {
        // Those that are no capability, or no id, are told without any mailbox.
        if name.starts_with("no") || name.starts_with("an id") {
            continue;
        }
        let again = [cost(&rig, &calls, ask).await, cost(&rig, &calls, ask).await];
        assert!(again[0] <= 1 && again[1] == 0, "{name}: {again:?}");
        if seen.insert(ask.target.clone()) {
            assert_eq!(again[0], 1, "{name}");
        }
    }
    let (owner, thief) = (rig.owner(MailboxKind::Pairwise).await, Owner::new(MailboxKind::Contact));
    let unknown = Owner::new(MailboxKind::Pairwise);
    for whose in [&owner, &unknown] {
        let ask = thief.ask(&rig.host, rig.now(), &whose.fetch(0, 1, 0), &[]);
        assert_eq!(cost(&rig, &calls, &ask).await, 0);
    }
}
