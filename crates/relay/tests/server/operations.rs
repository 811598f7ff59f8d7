//! Each of the thirteen operations, as it should go.

use sealwire_core::{kdf, secret::Secret};
use sealwire_relay::{
    MessageId, Problem, Token,
    wire::{
        Body, CBOR, Check, Kind, MailboxKind, Messages, Operation, Published, Remaining, Revoke,
    },
};

use crate::{
    connections::until,
    http::Ask,
    people::{Agent, Owner, add_page, claim, deposit, deposit_as, page},
    rig::{Rig, frame},
};

// REL-29
#[tokio::test]
async fn a_card_and_bundle_are_published_and_found() {
    let rig = Rig::start().await;
    let agent = Agent::new();
    let find = Ask::new(&Operation::Published(agent.device.clone()), &[]);
    assert_eq!(rig.ask(&find).await.problem(), Problem::NotFound);
    let publish = agent.publish(1, rig.now(), None);
    let answer = rig.publish(&agent, &publish).await;
    assert_eq!((answer.is(204).body.len(), answer.header("content-type")), (0, None));
    // Again, as after an answer that was lost.
    rig.publish(&agent, &publish).await.is(204);
    let found = rig.ask(&find).await;
    assert_eq!(found.header("content-type"), Some(CBOR));
    assert_eq!(Published::from_bytes(&found.is(200).body).expect("a body"), publish.published);
    let check = rig.ask(&Ask::new(&Operation::Check(agent.device.clone()), &[])).await;
    let expected = Check {
        card: kdf::sha256(&[&publish.published.card]),
        bundle: kdf::sha256(&[&publish.published.bundle]),
        sequence: 1,
    };
    assert!(Check::from_bytes(&check.is(200).body).expect("a body") == expected);
}

// REL-25
#[tokio::test]
async fn a_newer_card_takes_the_place_of_an_older_one_and_not_the_other_way_round() {
    let rig = Rig::start().await;
    let agent = Agent::new();
    rig.publish(&agent, &agent.publish(2, rig.now(), None)).await.is(204);
    let older = rig.publish(&agent, &agent.publish(1, rig.now(), None)).await;
    assert_eq!(older.problem(), Problem::Conflict);
    let other = rig.publish(&agent, &agent.publish(2, rig.now().plus(1), None)).await;
    assert_eq!(other.problem(), Problem::Conflict);
    rig.publish(&agent, &agent.publish(3, rig.now(), None)).await.is(204);
}

#[tokio::test]
async fn one_time_keys_are_uploaded_counted_and_claimed_each_once() {
    let rig = Rig::start().await;
    let bob = rig.agent().await;
    for (kind, keys) in [(Kind::X25519, 3), (Kind::MlKem, 2)] {
        let page = page(1, keys, rig.now()).to_bytes();
        rig.ask_signed(&bob, &add_page(&bob, kind, 1), &page).await.is(201);
        rig.ask_signed(&bob, &add_page(&bob, kind, 1), &page).await.is(200);
    }
    let count = Operation::Remaining(bob.device.clone());
    let remaining = rig.ask_signed(&bob, &count, &[]).await;
    let remaining = Remaining::from_bytes(&remaining.is(200).body).expect("a body");
    assert_eq!(remaining, Remaining { x25519: 3, kem: 2 });

    let alice = Agent::new();
    let nonce = claim();
    let first = rig.claim(&alice, &bob, &nonce).await;
    assert_eq!(rig.claim(&alice, &bob, &nonce).await, first, "the same claim again");
    let second = rig.claim(&alice, &bob, &claim()).await;
    let third = rig.claim(&alice, &bob, &claim()).await;
    let key = |claimed: Option<sealwire_relay::wire::ClaimedKey>| claimed.map(|it| it.key);
    assert_eq!(key(first.x25519), Some(b"key 1".to_vec()));
    assert_eq!(key(second.x25519), Some(b"key 2".to_vec()));
    assert_eq!(key(second.kem), Some(b"key 2".to_vec()));
    // What is drained brings nothing, and is no problem.
    assert_eq!((key(third.x25519), key(third.kem)), (Some(b"key 3".to_vec()), None));
}

#[tokio::test]
async fn frames_go_through_a_mailbox_in_their_order_until_they_are_acknowledged() {
    let rig = Rig::start().await;
    let owner = Owner::new(MailboxKind::Pairwise);
    rig.create(&owner).await.is(201);
    rig.create(&owner).await.is(200);
    for (class, length) in [2048, 4096, 16_384, 65_536].into_iter().enumerate() {
        let byte = u8::try_from(class).expect("four");
        let answer = rig.deposit(&owner, &vec![byte; length]).await;
        assert_eq!(answer.is(202).body.len(), 0);
    }
    let all = rig.fetch(&owner, 0, 100).await;
    assert!(!all.more && !all.prekeys_low);
    let lengths: Vec<_> = all.messages.iter().map(|message| message.frame.len()).collect();
    assert_eq!(lengths, [2048, 4096, 16_384, 65_536]);
    assert!(all.messages.iter().zip(0..).all(|(message, byte)| message.frame[7] == byte));
    let sequences: Vec<_> = all.messages.iter().map(|message| message.sequence).collect();
    assert!(sequences.is_sorted());
    let two = rig.fetch(&owner, sequences[0], 2).await;
    assert_eq!((two.messages, two.more), (all.messages[1..3].to_vec(), true));
    assert_eq!(rig.ack(&owner, &sequences[..3]).await, 3);
    assert_eq!(rig.ack(&owner, &sequences[..3]).await, 0);
    let rest = rig.fetch(&owner, 0, 100).await;
    assert_eq!(rest.messages, all.messages[3..]);
}

#[tokio::test]
async fn a_frame_that_is_sent_again_is_taken_once() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let ask = deposit_as(MessageId::from_bytes([9; 16]), owner.send, &capability, &frame(1));
    for _ in 0..3 {
        rig.ask(&ask).await.is(202);
    }
    let fetched = rig.fetch(&owner, 0, 100).await.messages;
    assert_eq!((fetched.len(), fetched[0].id), (1, MessageId::from_bytes([9; 16])));
    rig.ack(&owner, &[fetched[0].sequence]).await;
    // Its sender may only have missed the answer.
    rig.ask(&ask).await.is(202);
    assert_eq!(rig.fetch(&owner, 0, 100).await.messages.len(), 0);
}

#[tokio::test]
async fn a_mailbox_is_closed() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    rig.deposit(&owner, &frame(1)).await.is(202);
    let close = Operation::CloseMailbox(owner.receive);
    rig.ask_signed(&owner, &close, &[]).await.is(204);
    assert_eq!(rig.deposit(&owner, &frame(1)).await.problem(), Problem::NotFound);
    assert_eq!(rig.ask_signed(&owner, &close, &[]).await.problem(), Problem::NotFound);
    // Another may be made in its place, and is empty. It is open at once.
    rig.create(&owner).await.is(201);
    assert_eq!(rig.fetch(&owner, 0, 1).await.messages.len(), 0);
    rig.deposit(&owner, &frame(1)).await.is(202);
}

#[tokio::test]
async fn capabilities_are_revoked_singly_or_all_at_once_and_from_then_on() {
    let rig = Rig::start().await;
    let mut owner = rig.owner(MailboxKind::Pairwise).await;
    let (one, two) = (owner.capability(1, rig.now()), owner.capability(2, rig.now()));
    let leave = |capability: &str| deposit(owner.send, capability, &frame(0));
    rig.ask(&leave(&one)).await.is(202);
    let revoke = Revoke { tokens: vec![Token::from_bytes([1; 16])], secret: None };
    let operation = Operation::Revoke(owner.receive);
    rig.ask_signed(&owner, &operation, &revoke.to_bytes()).await.is(204);
    assert_eq!(rig.ask(&leave(&one)).await.problem(), Problem::NotFound);
    rig.ask(&leave(&two)).await.is(202);
    let secret = Some(Secret::from_slice(&[9; 32]).expect("32 bytes"));
    let revoke = Revoke { tokens: Vec::new(), secret };
    rig.ask_signed(&owner, &operation, &revoke.to_bytes()).await.is(204);
    assert_eq!(rig.ask(&leave(&two)).await.problem(), Problem::NotFound);
    owner.secret = Secret::from_slice(&[9; 32]).expect("32 bytes");
    let three = owner.capability(1, rig.now());
    rig.ask(&deposit(owner.send, &three, &frame(0))).await.is(202);
}

#[tokio::test]
async fn a_fetch_waits_for_what_arrives() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut reader = rig.connect().await;
    let wait = rig.signed(&owner, &owner.fetch(0, 10, 60), &[]);
    reader.write(&wait.to_bytes(&rig.host)).await;
    until(&rig, "readers", 1).await;
    rig.deposit(&owner, &frame(5)).await.is(202);
    let answer = reader.answer().await.expect("an answer");
    let messages = Messages::from_bytes(&answer.is(200).body).expect("messages").messages;
    assert_eq!((messages.len(), messages[0].frame[0]), (1, 5));
    // What is there is given at once, and when nothing comes the answer is empty.
    let at_once = rig.ask_signed(&owner, &owner.fetch(0, 10, 60), &[]).await;
    assert_eq!(Messages::from_bytes(&at_once.is(200).body).expect("a body").messages.len(), 1);
    let later = owner.fetch(messages[0].sequence, 10, 1);
    let nothing = rig.ask_signed(&owner, &later, &[]).await;
    assert_eq!(Messages::from_bytes(&nothing.is(200).body).expect("a body").messages.len(), 0);
}

// REL-28
#[tokio::test]
async fn the_owner_is_told_when_keys_run_low() {
    let rig = Rig::start().await;
    let (owner, bob) = (rig.owner(MailboxKind::Contact).await, Agent::new());
    rig.publish(&bob, &bob.publish(1, rig.now(), Some(owner.send))).await.is(204);
    let page = page(1, 52, rig.now()).to_bytes();
    rig.ask_signed(&bob, &add_page(&bob, Kind::X25519, 1), &page).await.is(201);
    let page = crate::people::page(1, 20, rig.now()).to_bytes();
    rig.ask_signed(&bob, &add_page(&bob, Kind::MlKem, 1), &page).await.is(201);
    let alice = Agent::new();
    rig.claim(&alice, &bob, &claim()).await;
    assert!(!rig.fetch(&owner, 0, 1).await.prekeys_low);
    // The next takes the last but 50.
    rig.claim(&alice, &bob, &claim()).await;
    assert!(rig.fetch(&owner, 0, 1).await.prekeys_low);
    assert!(!rig.fetch(&owner, 0, 1).await.prekeys_low, "told once");
    // Whoever waits is told at once.
    let mut reader = rig.connect().await;
    reader.write(&rig.signed(&owner, &owner.fetch(0, 1, 60), &[]).to_bytes(&rig.host)).await;
    until(&rig, "readers", 1).await;
    rig.claim(&alice, &bob, &claim()).await;
    let answer = reader.answer().await.expect("an answer");
    assert!(Messages::from_bytes(&answer.is(200).body).expect("messages").prekeys_low);
}

#[tokio::test]
async fn many_requests_go_over_one_connection() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let mut connection = rig.connect().await;
    // All are sent before the first answer is read.
    for byte in 0..50 {
        let ask = deposit(owner.send, &capability, &frame(byte));
        connection.write(&ask.to_bytes(&rig.host)).await;
    }
    for _ in 0..50 {
        connection.answer().await.expect("an answer").is(202);
    }
    assert_eq!(rig.fetch(&owner, 0, 100).await.messages.len(), 50);
}

#[tokio::test]
async fn answers_say_when_and_by_what_they_were_made() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let good = rig.deposit(&owner, &frame(1)).await;
    let bad = rig.deposit(&owner, &[1]).await;
    for answer in [good, bad] {
        let server = concat!("sealwire/", env!("CARGO_PKG_VERSION"));
        assert_eq!(answer.header("server"), Some(server));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert!(answer.header("date").is_some_and(|date| date.ends_with(" GMT")));
    }
}

#[tokio::test]
async fn the_operations_are_described_for_machines() {
    let rig = Rig::start().await;
    let ask = |method: &str| Ask {
        method: method.to_owned(),
        target: "/v1/openapi.json".to_owned(),
        headers: Vec::new(),
        body: Vec::new(),
    };
    let answer = rig.ask(&ask("GET")).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.is(200).body, sealwire_relay::wire::OPENAPI.as_bytes());
    assert_eq!(rig.ask(&ask("POST")).await.problem(), Problem::NotFound);
}
