//! How it asks: signatures, headers, and what shares a connection with what.

use std::time::Duration;

use sealwire_core::{Timestamp, secret::Secret};
use sealwire_relay::{
    Problem, ReceiveId, SendId,
    client::Client,
    signature::{self, RequestParts, SignatureHeaders, Signer},
    wire::{
        Acked, Acks, Body, CAPABILITY, CBOR, Check, Claimed, Credential, FRAME, Kind, MESSAGE_ID,
        MailboxKind, Messages, NewMailbox, Operation, Page, Publish, Published, Remaining, Revoke,
    },
};

use crate::scripted::{
    NOW, Reply, Scripted, Seen, accepted, agent, answer, answer_with, capability, deposit, device,
    is_frame, mailbox_key, nonce, problem,
};

/// A relay that answers each of the operations.
fn willing(seen: &Seen) -> Reply {
    let body = |body: Vec<u8>| answer(200, CBOR, &body);
    match seen.operation() {
        Operation::Published(_) => body(published().to_bytes()),
        Operation::Remaining(_) => body(Remaining { x25519: 3, kem: 4 }.to_bytes()),
        Operation::Claim(_) => body(Claimed::default().to_bytes()),
        Operation::Check(_) => {
            body(Check { card: [1; 32], bundle: [2; 32], sequence: 3 }.to_bytes())
        }
        Operation::AddPage { .. } | Operation::CreateMailbox(_) => answer_with(201, "", b""),
        Operation::Publish(_) | Operation::CloseMailbox(_) | Operation::Revoke(_) => {
            answer_with(204, "", b"")
        }
        Operation::Deposit(_) => accepted(),
        Operation::Fetch { .. } => body(Messages::default().to_bytes()),
        Operation::Ack(_) => body(Acked { removed: 2 }.to_bytes()),
        Operation::Stream(_) => problem(Problem::NotFound),
    }
}

fn published() -> Published {
    Published { card: vec![1; 3000], bundle: vec![2; 1500] }
}

fn new_mailbox() -> NewMailbox {
    NewMailbox {
        send: SendId::from_bytes([9; 16]),
        kind: MailboxKind::Pairwise,
        secret: Secret::from_slice(&[3; 32]).expect("32 bytes"),
        lifetime: 604_800,
        per_token: 1000,
    }
}

/// Everything that a client can ask for.
async fn ask_all(client: &Client) {
    let (of, key) = (device(), mailbox_key(7));
    let publish = Publish { published: published(), contact: None };
    client.publish(&of, &publish).await.expect("publish");
    assert_eq!(client.bundle(&of).await.expect("bundle"), Some(published()));
    let page = Page { not_after: NOW, header: vec![1; 100], keys: vec![vec![2; 60]] };
    assert!(client.add_page(&of, Kind::MlKem, 21, &page).await.expect("page"));
    let remaining = client.remaining(&of).await.expect("remaining");
    assert_eq!(remaining, Some(Remaining { x25519: 3, kem: 4 }));
    let claimed = client.claim(&of, nonce(5)).await.expect("claim");
    assert_eq!(claimed, Some(Claimed::default()));
    assert_eq!(client.check(&of).await.expect("check").expect("one").sequence, 3);
    assert!(client.create_mailbox(&key, &new_mailbox()).await.expect("create"));
    client.revoke(&key, &Revoke { tokens: Vec::new(), secret: None }).await.expect("revoke");
    deposit(client, 9, 1).await.expect("deposit");
    let found = client.fetch(&key, 5, 10, Duration::ZERO).await.expect("fetch");
    assert_eq!(found, Messages::default());
    let acked = client.ack(&key, &Acks { sequences: vec![6, 7] }).await.expect("ack");
    assert_eq!(acked, Acked { removed: 2 });
    assert!(client.close_mailbox(&key).await.expect("close"));
}

#[tokio::test]
async fn each_operation_is_signed_by_whom_it_asks_for_and_by_nobody_else() {
    let relay = Scripted::new(willing).await;
    ask_all(&relay.client()).await;
    let seen = relay.seen();
    assert_eq!(seen.len(), 12);
    let mut nonces = Vec::new();
    for seen in seen {
        let operation = seen.operation();
        let signed = verify(&seen, relay.port);
        let signer = signed.as_ref().map(|(signer, _)| signer.clone());
        let expected = match operation.credential() {
            Credential::Nothing | Credential::Capability(_) => None,
            Credential::Agent(_) | Credential::Caller => Some(Signer::Identity(agent())),
            Credential::Mailbox(id) => {
                assert_eq!(id, ReceiveId::of(mailbox_key(7).public()));
                Some(Signer::Mailbox(mailbox_key(7).public().clone()))
            }
        };
        assert_eq!(signer, expected, "{operation:?}");
        nonces.extend(signed.map(|(_, nonce)| nonce));
        assert_eq!(seen.header("content-type"), operation.body().map(|(media, _)| media));
        assert_eq!(seen.header("host"), Some(format!("127.0.0.1:{}", relay.port).as_str()));
        for telling in ["user-agent", "accept", "accept-language", "cookie", "authorization"] {
            assert_eq!(seen.header(telling), None, "{operation:?} shows nothing of its client");
        }
    }
    let count = nonces.len();
    nonces.sort();
    nonces.dedup();
    assert_eq!(nonces.len(), count, "each signature has a nonce of its own");
}

fn verify(seen: &Seen, port: u16) -> Option<(Signer, [u8; 16])> {
    let fields = seen.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let headers = SignatureHeaders::collect(fields).ok()?;
    let (path, query) = match seen.target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (seen.target.as_str(), None),
    };
    let authority = format!("127.0.0.1:{port}");
    let parts =
        RequestParts { method: &seen.method, authority: &authority, path, query, body: &seen.body };
    let verified = signature::verify(&parts, &headers, NOW).expect("a good signature");
    assert_eq!(verified.created, Timestamp::from_secs(NOW.as_secs()));
    Some((verified.signer, *verified.nonce.as_bytes()))
}

#[tokio::test]
async fn a_deposit_has_the_frame_as_its_body_and_the_rest_in_headers() {
    let relay = Scripted::new(willing).await;
    deposit(&relay.client(), 9, 1).await.expect("deposit");
    let seen = &relay.seen()[0];
    let to = SendId::from_bytes([9; 16]);
    assert_eq!(seen.operation(), Operation::Deposit(to));
    assert!(is_frame(seen), "{FRAME}");
    assert_eq!(seen.body, [0x5a; 2048]);
    assert_eq!(seen.header(MESSAGE_ID), Some("AQEBAQEBAQEBAQEBAQEBAQ"));
    assert_eq!(seen.header(CAPABILITY), Some(capability(to).to_text().as_str()));
}

// REL-34
// attack T34
#[tokio::test]
async fn what_a_relay_could_join_never_shares_a_connection() {
    let relay = Scripted::new(willing).await;
    let client = relay.client();
    for _ in 0..3 {
        // In any order, and at a time.
        let (of, first, second) = (device(), mailbox_key(7), mailbox_key(8));
        let again = client.clone();
        let at_a_time = async {
            deposit(&again, 1, 1).await.expect("deposit");
            again.fetch(&first, 0, 1, Duration::ZERO).await.expect("fetch");
            again.claim(&of, nonce(1)).await.expect("claim");
        };
        let in_turn = async {
            client.bundle(&of).await.expect("bundle");
            client.remaining(&of).await.expect("remaining");
            client.fetch(&first, 0, 1, Duration::ZERO).await.expect("fetch");
            client.fetch(&second, 0, 1, Duration::ZERO).await.expect("fetch");
            deposit(&client, 1, 1).await.expect("deposit");
            deposit(&client, 2, 2).await.expect("deposit");
            client.ack(&first, &Acks { sequences: vec![1] }).await.expect("ack");
            client.create_mailbox(&second, &new_mailbox()).await.expect("create");
        };
        tokio::join!(at_a_time, in_turn);
    }
    let seen = relay.seen();
    let party = |seen: &Seen| match seen.operation().credential() {
        Credential::Nothing => "anybody".to_owned(),
        Credential::Agent(_) | Credential::Caller => "the agent".to_owned(),
        Credential::Mailbox(id) => format!("the owner of {id}"),
        Credential::Capability(id) => format!("whoever writes to {id}"),
    };
    let mut parties = Vec::new();
    for one in &seen {
        for other in seen.iter().filter(|other| other.connection == one.connection) {
            assert_eq!(party(one), party(other));
        }
        parties.push(party(one));
    }
    parties.sort();
    parties.dedup();
    assert_eq!(parties.len(), 6);
    let connections = seen.iter().map(|seen| seen.connection).max().expect("some") + 1;
    assert!(connections <= 9, "connections are used again: {connections} of {}", seen.len());
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let relay = Scripted::new(|_| problem(Problem::NotFound)).await;
    let (client, of, key) = (relay.client(), device(), mailbox_key(7));
    assert_eq!(client.bundle(&of).await.expect("bundle"), None);
    assert_eq!(client.check(&of).await.expect("check"), None);
    assert_eq!(client.remaining(&of).await.expect("remaining"), None);
    assert_eq!(client.claim(&of, nonce(1)).await.expect("claim"), None);
    assert!(!client.close_mailbox(&key).await.expect("close"));
}

#[tokio::test]
async fn what_is_known_already_is_told_apart_from_what_is_new() {
    let relay = Scripted::new(|_| answer_with(200, "", b"")).await;
    let page = Page { not_after: NOW, header: vec![1; 100], keys: vec![vec![2; 60]] };
    let client = relay.client();
    assert!(!client.add_page(&device(), Kind::X25519, 1, &page).await.expect("page"));
    assert!(!client.create_mailbox(&mailbox_key(7), &new_mailbox()).await.expect("create"));
}
