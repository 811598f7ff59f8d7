//! One caller or sender who wants all there is, and the others who get theirs.

use std::{collections::BTreeSet, time::Duration};

use sealwire_core::Timestamp;
use sealwire_relay::{
    Problem,
    server::{PerMinute, Rates},
    wire::{Body, Kind, MailboxKind, Operation},
};

use crate::{
    connections::until,
    http::Http,
    people::{Agent, Owner, add_page, claim, deposit, page},
    rig::{Rig, frame},
};

async fn stock(rig: &Rig, agent: &Agent, keys: u32) {
    for (kind, most) in [(Kind::X25519, 100), (Kind::MlKem, 100)] {
        for base in (1..=keys).step_by(most) {
            let count = (keys - base + 1).min(100);
            let body = page(base, count, rig.now()).to_bytes();
            rig.ask_signed(agent, &add_page(agent, kind, base), &body).await.is(201);
        }
    }
}

// attack T21: one caller asks for 1000 keys and gets ten; the others get theirs.
#[tokio::test]
async fn one_caller_does_not_drain_a_device() {
    let rig = Rig::with(|settings| {
        settings.rates = Rates { claims_per_address: None, ..Rates::default() };
    })
    .await;
    let bob = rig.agent().await;
    stock(&rig, &bob, 100).await;
    let (mallory, mut connection) = (Agent::new(), rig.connect().await);
    let mut brought = 0;
    for _ in 0..200 {
        let answer = connection.ask(&rig.signed(&mallory, &bob.claim(), &claim())).await;
        if answer.status == 200 {
            brought += 1;
        } else {
            assert_eq!(answer.problem(), Problem::Rate);
            let wait: u64 = answer.header("retry-after").expect("a time").parse().expect("seconds");
            assert!((1..=6).contains(&wait), "{wait}");
        }
    }
    assert_eq!(brought, 10);
    for _ in 0..20 {
        let claimed = rig.claim(&Agent::new(), &bob, &claim()).await;
        assert!(claimed.x25519.is_some() && claimed.kem.is_some());
    }
    // After the time that was told there is one more.
    rig.clock.pass(6);
    rig.claim(&mallory, &bob, &claim()).await;
    let answer = rig.ask_signed(&mallory, &bob.claim(), &claim()).await;
    assert_eq!(answer.problem(), Problem::Rate);
}

// attack T21: many callers ask for the keys of one device.
#[tokio::test]
async fn many_callers_drain_one_device_only_so_fast() {
    let rig = Rig::with(|settings| {
        settings.rates = Rates { claims_per_address: None, ..Rates::default() };
    })
    .await;
    let (bob, carol) = (rig.agent().await, rig.agent().await);
    stock(&rig, &bob, 100).await;
    stock(&rig, &carol, 1).await;
    let mut brought = 0;
    for _ in 0..80 {
        let answer = rig.ask_signed(&Agent::new(), &bob.claim(), &claim()).await;
        brought += usize::from(answer.status == 200);
    }
    assert_eq!(brought, 60);
    rig.claim(&Agent::new(), &carol, &claim()).await;
}

// attack T21: agents are made for nothing, addresses are not.
#[tokio::test]
async fn many_callers_from_one_address_are_limited_together() {
    let limit = Some(PerMinute(5));
    let rig = Rig::with(|settings| {
        settings.rates = Rates { claims_per_address: limit, ..Rates::none() };
        settings.trusted_proxies = vec!["127.0.0.1".parse().expect("a network")];
    })
    .await;
    let bob = rig.agent().await;
    let ask = |from: &str| {
        rig.signed(&Agent::new(), &bob.claim(), &claim()).with("x-forwarded-for", from)
    };
    for (from, allowed) in [
        ("192.0.2.1", 5),
        // What stands before the address that the proxy saw, anyone may write.
        ("198.51.100.1, 192.0.2.1", 0),
        ("192.0.2.2", 5),
        ("2001:db8::1", 5),
        ("2001:db8::2", 0),
        ("2001:db8:0:1::1", 5),
    ] {
        let mut brought = 0;
        for _ in 0..7 {
            brought += usize::from(rig.ask(&ask(from)).await.status == 200);
        }
        assert_eq!(brought, allowed, "{from}");
    }
}

#[tokio::test]
async fn without_a_trusted_proxy_a_forwarded_address_is_not_looked_at() {
    let limit = Some(PerMinute(3));
    let rig = Rig::with(|settings| {
        settings.rates = Rates { claims_per_address: limit, ..Rates::none() };
    })
    .await;
    let bob = rig.agent().await;
    let mut brought = 0;
    for host in 0..6 {
        let ask = rig.signed(&Agent::new(), &bob.claim(), &claim());
        let answer = rig.ask(&ask.with("x-forwarded-for", &format!("192.0.2.{host}"))).await;
        brought += usize::from(answer.status == 200);
    }
    assert_eq!(brought, 3);
}

// attack T21, T22: 64 at once for 50 keys: 50 get one each, 14 the last resort.
#[tokio::test]
async fn no_key_is_given_to_two_callers_however_many_ask_at_once() {
    let rig = Rig::start().await;
    let bob = rig.agent().await;
    stock(&rig, &bob, 50).await;
    let callers: Vec<_> = (0..64).map(|_| (Agent::new(), claim())).collect();
    let all = || {
        futures_util::future::join_all(
            callers.iter().map(|(caller, nonce)| rig.claim(caller, &bob, nonce)),
        )
    };
    let first = all().await;
    let x25519 = first.iter().filter_map(|it| it.x25519.clone());
    let kem = first.iter().filter_map(|it| it.kem.clone());
    for keys in [x25519.collect::<Vec<_>>(), kem.collect()] {
        assert_eq!(keys.len(), 50);
        assert_eq!(keys.iter().map(|key| &key.key).collect::<BTreeSet<_>>().len(), 50);
    }
    // With the same nonces, the same keys.
    assert_eq!(all().await, first);
}

// attack T23: a sender who fills his part leaves the others theirs.
#[tokio::test]
async fn a_flooding_sender_fills_his_own_part_only() {
    let rig = Rig::start().await;
    let mut owner = Owner::new(MailboxKind::Pairwise);
    owner.per_token = 20;
    rig.create(&owner).await.is(201);
    let (flood, other) = (owner.capability(1, rig.now()), owner.capability(2, rig.now()));
    let mut connection = rig.connect().await;
    let mut taken = 0;
    for _ in 0..100 {
        let answer = connection.ask(&deposit(owner.send, &flood, &frame(1))).await;
        if answer.status == 202 {
            taken += 1;
        } else {
            assert_eq!(answer.problem(), Problem::SenderFull);
            assert_eq!(answer.header("retry-after"), Some("60"));
        }
    }
    assert_eq!(taken, 20);
    rig.ask(&deposit(owner.send, &other, &frame(2))).await.is(202);
    // Once the owner has read, there is room again.
    let sequences: Vec<_> =
        rig.fetch(&owner, 0, 100).await.messages.iter().map(|message| message.sequence).collect();
    rig.ack(&owner, &sequences).await;
    connection.ask(&deposit(owner.send, &flood, &frame(1))).await.is(202);
}

// attack T23: what a mailbox holds is bounded.
#[tokio::test]
async fn a_full_mailbox_says_so_until_its_owner_reads() {
    let rig = Rig::start().await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let mut connection = rig.connect().await;
    let big = vec![1; 65_536];
    let mut capability = owner.capability(1, rig.now());
    for number in 0..256 {
        if number % 50 == 0 {
            capability = owner.capability(u8::try_from(number / 50).expect("small"), rig.now());
        }
        connection.ask(&deposit(owner.send, &capability, &big)).await.is(202);
    }
    let answer = connection.ask(&deposit(owner.send, &capability, &frame(1))).await;
    assert_eq!(answer.problem(), Problem::MailboxFull);
    assert_eq!(answer.header("retry-after"), Some("60"));
    // Another mailbox has its own room.
    let other = rig.owner(MailboxKind::Pairwise).await;
    rig.deposit(&other, &frame(1)).await.is(202);
    let first = rig.fetch(&owner, 0, 1).await.messages[0].sequence;
    rig.ack(&owner, &[first]).await;
    connection.ask(&deposit(owner.send, &capability, &big)).await.is(202);
}

// REL-31, attack T23: everybody has the capability of a contact mailbox.
#[tokio::test]
async fn first_messages_from_one_address_are_limited() {
    let limit = Some(PerMinute(10));
    let rig = Rig::with(|settings| {
        settings.rates = Rates { contacts_per_address: limit, ..Rates::none() };
        settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await;
    let contact = rig.owner(MailboxKind::Contact).await;
    let pairwise = rig.owner(MailboxKind::Pairwise).await;
    let leave = |owner: &Owner, from: &str| {
        deposit(owner.send, &owner.capability(1, rig.now()), &frame(1))
            .with("x-forwarded-for", from)
    };
    let mut taken = 0;
    for _ in 0..30 {
        let answer = rig.ask(&leave(&contact, "192.0.2.1")).await;
        match answer.status {
            202 => taken += 1,
            _ => assert_eq!(answer.problem(), Problem::Rate),
        }
    }
    assert_eq!(taken, 10);
    // From elsewhere, and to peers, all goes on.
    rig.ask(&leave(&contact, "192.0.2.2")).await.is(202);
    rig.ask(&leave(&pairwise, "192.0.2.1")).await.is(202);
    // Without a good capability nothing is counted, and nothing is told.
    let guess = deposit(contact.send, &pairwise.capability(1, rig.now()), &frame(1));
    for _ in 0..20 {
        let answer = rig.ask(&guess.clone().with("x-forwarded-for", "192.0.2.3")).await;
        assert_eq!(answer.problem(), Problem::NotFound);
    }
    rig.ask(&leave(&contact, "192.0.2.3")).await.is(202);
}

// attack T23
#[tokio::test]
async fn mailboxes_and_publications_from_one_address_are_limited() {
    let limit = Some(PerMinute(4));
    let rig = Rig::with(|settings| {
        settings.rates = Rates {
            mailboxes_per_address: limit,
            publications_per_address: limit,
            ..Rates::none()
        };
    })
    .await;
    for _ in 0..4 {
        rig.owner(MailboxKind::Pairwise).await;
        rig.agent().await;
    }
    assert_eq!(rig.create(&Owner::new(MailboxKind::Pairwise)).await.problem(), Problem::Rate);
    let agent = Agent::new();
    let answer = rig.publish(&agent, &agent.publish(1, rig.now(), None)).await;
    assert_eq!(answer.problem(), Problem::Rate);
    let body = page(1, 1, rig.now()).to_bytes();
    let answer = rig.ask_signed(&agent, &add_page(&agent, Kind::X25519, 1), &body).await;
    assert_eq!(answer.problem(), Problem::Rate);
    rig.clock.pass(15);
    rig.create(&Owner::new(MailboxKind::Pairwise)).await.is(201);
}

// attack T23: the memory of bodies under way is bounded, and one address has a part of it.
#[tokio::test]
async fn bodies_that_never_end_do_not_take_the_memory_of_others() {
    let rig = Rig::with(|settings| {
        settings.bounds.bodies = 8 * 3 * 65_536;
        settings.times.body = Duration::from_secs(60);
    })
    .await;
    let owner = rig.owner(MailboxKind::Pairwise).await;
    let capability = owner.capability(1, rig.now());
    let big = deposit(owner.send, &capability, &vec![1; 65_536]).to_bytes(&rig.host);
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut connection = rig.connect().await;
        connection.write(&big[..big.len() - 1]).await;
        slow.push(connection);
    }
    until(&rig, "body_bytes", 3 * 65_536).await;
    let answer = rig.deposit(&owner, &frame(1)).await;
    assert_eq!(answer.problem(), Problem::Unavailable);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let other = deposit(owner.send, &capability, &frame(1));
    Http::connect_from([127, 0, 0, 2], rig.address).await.ask(&other).await.is(202);
    for mut connection in slow {
        connection.write(&big[big.len() - 1..]).await;
        connection.answer().await.expect("an answer").is(202);
    }
    rig.deposit(&owner, &frame(1)).await.is(202);
}

#[tokio::test]
async fn expired_messages_make_room() {
    let rig = Rig::start().await;
    let mut owner = Owner::new(MailboxKind::Pairwise);
    (owner.lifetime, owner.per_token) = (3600, 1);
    rig.create(&owner).await.is(201);
    let capability = owner.capability(1, Timestamp::from_secs(rig.now().as_secs() + 9999));
    let leave = || deposit(owner.send, &capability, &frame(1));
    rig.ask(&leave()).await.is(202);
    assert_eq!(rig.ask(&leave()).await.problem(), Problem::SenderFull);
    rig.clock.pass(3600);
    assert_eq!(rig.fetch(&owner, 0, 10).await.messages.len(), 0);
    let close = Operation::CloseMailbox(owner.receive);
    rig.ask_signed(&owner, &close, &[]).await.is(204);
}
