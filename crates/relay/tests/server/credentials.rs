//! Signatures and names: who may do what, and once.

use sealwire_core::Timestamp;
use sealwire_relay::{
    Nonce, Problem,
    limits::SIGNATURE_WINDOW,
    wire::{Body, Kind, MailboxKind, Operation},
};

use crate::{
    http::Ask,
    people::{Agent, Owner, Signs, add_page, claim, page},
    rig::{Rig, frame},
};

#[tokio::test]
async fn what_needs_a_signature_is_refused_without_a_good_one() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    rig.deposit(&owner, &frame(1)).await.is(202);
    let fetch = owner.fetch(0, 1, 0);
    let good = rig.signed(&owner, &fetch, &[]);
    let other = rig.signed(&owner, &owner.fetch(1, 1, 0), &[]);
    let header = |ask: &Ask, name: &str| {
        ask.headers.iter().find(|(other, _)| other == name).expect("a header").1.clone()
    };
    let swapped = |name: &str, value: &str| good.clone().without(name).with(name, value);
    let elsewhere = owner.ask("relay.example", rig.now(), &fetch, &[]);
    let digest = "sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:";
    let input = header(&good, "signature-input");
    for (name, ask) in [
        ("no signature at all", Ask::new(&fetch, &[])),
        ("no signature", good.clone().without("signature")),
        ("no input", good.clone().without("signature-input")),
        ("no digest", good.clone().without("content-digest")),
        ("two signatures", good.clone().with("signature", &header(&good, "signature"))),
        ("two inputs", good.clone().with("signature-input", &input)),
        ("that of another request", swapped("signature", &header(&other, "signature"))),
        ("another digest", swapped("content-digest", digest)),
        ("another nonce", swapped("signature-input", &header(&other, "signature-input"))),
        ("another label", swapped("signature-input", &input.replace("sig1", "sig2"))),
        ("fewer parts", swapped("signature-input", &input.replace("\"@method\" ", ""))),
        ("another tag", swapped("signature-input", &input.replace("relay-v1", "relay-v2"))),
        ("for another relay", elsewhere),
    ] {
        assert_eq!(rig.ask(&ask).await.problem(), Problem::Signature, "{name}");
    }
    // Nothing of this has used the signature up.
    rig.ask(&good).await.is(200);
}

#[tokio::test]
async fn a_signature_covers_all_of_its_request() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let signed = rig.signed(&owner, &Operation::CloseMailbox(owner.receive), &[]);
    for (name, ask) in [
        ("the query", Ask { target: signed.target.clone() + "?", ..signed.clone() }),
        (
            "the method",
            Ask {
                method: "PUT".to_owned(),
                body: owner.mailbox(),
                ..signed.clone().with("content-type", "application/cbor")
            },
        ),
    ] {
        let problem = rig.ask(&ask).await.problem();
        assert!(matches!(problem, Problem::Signature | Problem::Malformed), "{name}: {problem:?}");
    }
    let acks = Operation::Ack(owner.receive);
    let body = sealwire_relay::wire::Acks { sequences: vec![1] }.to_bytes();
    let other = sealwire_relay::wire::Acks { sequences: vec![2] }.to_bytes();
    let ask = Ask { body: other, ..rig.signed(&owner, &acks, &body) };
    assert_eq!(rig.ask(&ask).await.problem(), Problem::Signature, "the body");
    let fetch = rig.signed(&owner, &owner.fetch(0, 1, 0), &[]);
    let ask = Ask { target: fetch.target.replace("after=0", "after=1"), ..fetch };
    assert_eq!(rig.ask(&ask).await.problem(), Problem::Signature, "the query");
    rig.fetch(&owner, 0, 1).await;
}

// attack T30
#[tokio::test]
async fn a_signature_is_good_for_a_minute_either_way() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let now = rig.now().as_secs();
    for (created, problem) in [
        (now, None),
        (now - SIGNATURE_WINDOW, None),
        (now + SIGNATURE_WINDOW, None),
        (now - SIGNATURE_WINDOW - 1, Some(Problem::Stale)),
        (now + SIGNATURE_WINDOW + 1, Some(Problem::Stale)),
        (0, Some(Problem::Stale)),
        (999_999_999_999_999, Some(Problem::Stale)),
    ] {
        let created = Timestamp::from_secs(created);
        let ask = owner.ask(&rig.host, created, &owner.fetch(0, 1, 0), &[]);
        let answer = rig.ask(&ask).await;
        match problem {
            None => assert_eq!(answer.status, 200),
            Some(problem) => assert_eq!(answer.problem(), problem),
        }
    }
}

// REL-11
#[tokio::test]
async fn a_signature_is_good_once() {
    let rig = Rig::start().await;
    let (owner, agent) = (rig.owner(MailboxKind::Pairwise).await, rig.agent().await);
    let body = page(1, 3, rig.now()).to_bytes();
    let asks: [&dyn Fn() -> Ask; 4] = [
        &|| rig.signed(&owner, &owner.fetch(0, 1, 0), &[]),
        &|| rig.signed(&agent, &Operation::Remaining(agent.device.clone()), &[]),
        &|| rig.signed(&agent, &add_page(&agent, Kind::X25519, 1), &body),
        &|| rig.signed(&agent, &agent.claim(), &claim()),
    ];
    for ask in asks {
        let ask = ask();
        let answer = rig.ask(&ask).await;
        assert!(answer.status < 300, "{answer:?}");
        for _ in 0..2 {
            assert_eq!(rig.ask(&ask).await.problem(), Problem::Replayed, "{}", ask.target);
        }
        // For as long as its time would do, and then the time does not.
        rig.clock.pass(59);
        assert_eq!(rig.ask(&ask).await.problem(), Problem::Replayed, "{}", ask.target);
        rig.clock.pass(2);
        assert_eq!(rig.ask(&ask).await.problem(), Problem::Stale, "{}", ask.target);
    }
    // The nonce of one signer is not that of another.
    let nonce = Nonce::from_bytes([7; 16]);
    let other = rig.owner(MailboxKind::Pairwise).await;
    for who in [&owner, &other] {
        let ask = who.ask_with(&rig.host, rig.now(), &nonce, &who.fetch(0, 1, 0), &[]);
        rig.ask(&ask).await.is(200);
    }
}

#[tokio::test]
async fn the_same_signature_at_the_same_time_is_taken_once() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let ask = rig.signed(&owner, &owner.fetch(0, 1, 0), &[]);
    let answers = futures_util::future::join_all((0..20).map(|_| rig.ask(&ask))).await;
    let taken = answers.iter().filter(|answer| answer.status == 200).count();
    let replayed = answers.iter().filter(|answer| answer.status == 401).count();
    assert_eq!((taken, replayed), (1, 19));
}

#[tokio::test]
async fn nobody_writes_for_another() {
    let rig = Rig::start().await;
    let (alice, mallory) = (rig.agent().await, Agent::new());
    let (owner, thief) = (rig.owner(MailboxKind::Pairwise).await, Owner::new(MailboxKind::Contact));
    let body = alice.publish(2, rig.now(), None).to_bytes();
    let page = page(1, 1, rig.now()).to_bytes();
    for (operation, body) in [
        (Operation::Publish(alice.device.clone()), body.as_slice()),
        (add_page(&alice, Kind::X25519, 1), &page),
        (Operation::Remaining(alice.device.clone()), &[]),
    ] {
        let by_mallory = rig.ask_signed(&mallory, &operation, body).await;
        assert_eq!(by_mallory.problem(), Problem::NotFound, "{operation:?}");
        // The key of a mailbox is no identity.
        let by_owner = rig.ask_signed(&owner, &operation, body).await;
        assert_eq!(by_owner.problem(), Problem::NotFound, "{operation:?}");
    }
    let by_owner = rig.ask_signed(&owner, &alice.claim(), &claim()).await;
    assert_eq!(by_owner.problem(), Problem::NotFound);
    for operation in [
        Operation::CreateMailbox(owner.receive),
        Operation::CloseMailbox(owner.receive),
        Operation::Ack(owner.receive),
        owner.fetch(0, 1, 0),
    ] {
        let body = match operation {
            Operation::CreateMailbox(_) => thief.mailbox(),
            Operation::Ack(_) => sealwire_relay::wire::Acks { sequences: vec![1] }.to_bytes(),
            _ => Vec::new(),
        };
        let by_thief = rig.ask_signed(&thief, &operation, &body).await;
        assert_eq!(by_thief.problem(), Problem::NotFound, "{operation:?}");
        let by_agent = rig.ask_signed(&alice, &operation, &body).await;
        assert_eq!(by_agent.problem(), Problem::NotFound, "{operation:?}");
    }
    rig.fetch(&owner, 0, 1).await;
}

#[tokio::test]
async fn a_mailbox_is_not_made_over_another() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut thief = Owner::new(MailboxKind::Pairwise);
    // Under the id for sending of another: his frames would come here.
    thief.send = owner.send;
    assert_eq!(rig.create(&thief).await.problem(), Problem::Conflict);
    rig.deposit(&owner, &frame(3)).await.is(202);
    assert_eq!(rig.fetch(&owner, 0, 1).await.messages.len(), 1);
}

// REL-11
#[tokio::test]
async fn a_relay_answers_under_its_names_only() {
    let rig = Rig::with(|settings| {
        settings.authorities = vec!["Relay.Example:8443".to_owned(), "relay.example:80".to_owned()];
    })
    .await;
    let owner = Owner::new(MailboxKind::Pairwise);
    let create = Operation::CreateMailbox(owner.receive);
    // What is signed is the name as the settings have it, in small letters, without the port of
    // the scheme; the host of the request may be written otherwise.
    for (host, signed, problem) in [
        ("127.0.0.1", "127.0.0.1", Some(Problem::Misdirected)),
        ("relay.example:8444", "relay.example:8444", Some(Problem::Misdirected)),
        ("evil.example", "relay.example", Some(Problem::Misdirected)),
        ("relay.example:8443", "evil.example", Some(Problem::Signature)),
        ("relay.example", "relay.example:8443", Some(Problem::Signature)),
        ("relay.example:8443", "relay.example:8443", None),
        ("RELAY.example:8443", "relay.example:8443", None),
        ("relay.example", "relay.example", None),
        ("relay.example:80", "relay.example", None),
    ] {
        let ask = owner.ask(signed, rig.now(), &create, &owner.mailbox()).with("host", host);
        let answer = rig.ask(&ask).await;
        match problem {
            Some(problem) => assert_eq!(answer.problem(), problem, "{host}"),
            None => assert!(answer.status < 300, "{host}: {answer:?}"),
        }
    }
    let none = b"GET /v1 HTTP/1.1\r\n\r\n";
    let two = b"GET /v1 HTTP/1.1\r\nhost: relay.example\r\nhost: relay.example\r\n\r\n";
    let other = b"GET http://evil.example/v1 HTTP/1.1\r\nhost: relay.example\r\n\r\n";
    for bytes in [none.as_slice(), two, other] {
        let mut connection = rig.connect().await;
        connection.write(bytes).await;
        assert_eq!(connection.answer().await.expect("an answer").problem(), Problem::Malformed);
    }
    let absolute = b"GET http://relay.example/v1 HTTP/1.1\r\nhost: relay.example\r\n\r\n";
    let mut connection = rig.connect().await;
    connection.write(absolute).await;
    assert_eq!(connection.answer().await.expect("an answer").problem(), Problem::NotFound);
}

#[tokio::test]
async fn a_relay_without_a_name_answers_to_its_address() {
    let rig = Rig::start().await;
    let owner = Owner::new(MailboxKind::Pairwise);
    let create = Operation::CreateMailbox(owner.receive);
    let local = format!("localhost:{}", rig.address.port());
    for host in [rig.host.as_str(), &local] {
        let ask = owner.ask(host, rig.now(), &create, &owner.mailbox()).with("host", host);
        assert!(rig.ask(&ask).await.status < 300, "{host}");
    }
    for host in ["localhost", "127.0.0.1", "relay.example"] {
        let ask = owner.ask(host, rig.now(), &create, &owner.mailbox()).with("host", host);
        assert_eq!(rig.ask(&ask).await.problem(), Problem::Misdirected, "{host}");
    }
}
