//! Of a store as a whole: nonces, sweeps, restarts.

use crate::{
    limits,
    store::{Appended, Outcome, Usage},
    wire::{Kind, Remaining},
};

use super::super::fixtures::*;

// attack T26
pub(crate) async fn a_nonce_is_spent_once(subject: impl Subject) {
    let store = subject.store();
    let spend =
        async |signer, number| store.spend(&caller(signer), &nonce(number), at(120)).await.unwrap();
    assert!(spend(1, 1).await);
    assert!(!spend(1, 1).await);
    assert!(spend(1, 2).await);
    assert!(spend(2, 1).await, "another signer's");
    assert!(!spend(2, 1).await);
    drop(store);
    let Some(subject) = subject.reopen() else { return };
    let store = subject.store();
    assert!(!store.spend(&caller(1), &nonce(1), at(120)).await.unwrap(), "after a restart");
    assert!(store.spend(&caller(1), &nonce(3), at(120)).await.unwrap());
}

pub(crate) async fn the_mark_never_moves_back(subject: impl Subject) {
    let store = subject.store();
    for (now, mark) in [(5, 5), (3, 5), (7, 7)] {
        assert_eq!(store.mark(at(now)).await.unwrap(), at(mark));
    }
    drop(store);
    let Some(subject) = subject.reopen() else { return };
    assert_eq!(subject.store().mark(at(6)).await.unwrap(), at(7));
}

pub(crate) async fn what_there_is_is_counted(subject: impl Subject) {
    let store = subject.store();
    let count = async || {
        let Usage { devices, mailboxes, messages, .. } = store.usage().await.unwrap();
        (devices, mailboxes, messages)
    };
    assert_eq!(count().await, (0, 0, 0));
    boxes(&*store, &[1, 2]).await;
    stocked(&*store, &device(1), 1, 1).await;
    for id in 1..=3 {
        append(&*store, at(0), deposit(1, id)).await;
        append(&*store, at(0), deposit(1, id)).await;
    }
    assert_eq!(count().await, (1, 2, 3));
    store.ack(at(0), &receive(1), &[1]).await.unwrap();
    assert_eq!(count().await, (1, 2, 2));
    store.close(&receive(1)).await.unwrap();
    assert_eq!(count().await, (1, 1, 0));
}

pub(crate) async fn a_sweep_removes_messages_that_have_expired(subject: impl Subject) {
    let store = subject.store();
    let numbers: Vec<u64> = (1..=20).collect();
    boxes(&*store, &numbers).await;
    for number in &numbers {
        let batch: Vec<_> = (1..=5).map(|id| deposit(*number, id)).collect();
        store.append(at(0), &batch).await.unwrap();
        append(&*store, at(10), deposit(*number, 6)).await;
    }
    sweep(&*store, at(LIFETIME - 1), 10).await;
    assert_eq!(store.usage().await.unwrap().messages, 120);
    let steps = sweep(&*store, at(LIFETIME), 10).await;
    assert!(steps >= 5, "in small steps: {steps}");
    assert_eq!(store.usage().await.unwrap().messages, 20);
    for number in numbers {
        assert_eq!(sequences(&*store, at(0), number).await, [6], "whatever the time");
    }
}

pub(crate) async fn a_sweep_removes_mailboxes_that_nobody_reads(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2]).await;
    let end = limits::MAILBOX_LIFETIME;
    append(&*store, at(end - 5), deposit(1, 1)).await;
    assert_eq!(sequences(&*store, at(end / 2), 2).await, [0; 0]);
    sweep(&*store, at(end - 1), 10).await;
    assert_eq!(store.usage().await.unwrap().mailboxes, 2);
    sweep(&*store, at(end), 10).await;
    let Usage { mailboxes, messages, .. } = store.usage().await.unwrap();
    assert_eq!((mailboxes, messages), (1, 0), "one that is written to is not read by that");
    assert!(store.entrance(&send(1)).await.unwrap().is_none());
    assert!(store.entrance(&send(2)).await.unwrap().is_some());
    // It is known within an hour when it was read.
    sweep(&*store, at(end / 2 + end - 3600), 10).await;
    assert_eq!(store.usage().await.unwrap().mailboxes, 1);
    sweep(&*store, at(end / 2 + end), 10).await;
    assert_eq!(store.usage().await.unwrap().mailboxes, 0);
}

pub(crate) async fn a_sweep_removes_devices_and_pages_that_are_over(subject: impl Subject) {
    let store = subject.store();
    let (short, long) = (device(1), device(2));
    let (publish, check) = publication(1, 1);
    for (of, until) in [(&short, at(100)), (&long, at(1000 * DAY))] {
        store.publish(of, &publish, &check, until).await.unwrap();
        let page = page(Kind::X25519, 1, 10, at(200 * DAY));
        store.add_page(at(0), of, Kind::X25519, 1, &page).await.unwrap();
    }
    sweep(&*store, at(99), 10).await;
    assert_eq!(store.usage().await.unwrap().devices, 2);
    sweep(&*store, at(100), 10).await;
    assert_eq!(store.usage().await.unwrap().devices, 1);
    assert_eq!(store.published(&short).await.unwrap(), None);
    assert_eq!(store.remaining(at(100), &short).await.unwrap(), Remaining::default());
    assert_eq!(store.remaining(at(100), &long).await.unwrap().x25519, 10);
    // What was swept can come back, without its pages.
    let again = store.publish(&short, &publish, &check, at(2000 * DAY)).await.unwrap();
    assert_eq!(again, Outcome::Done);
    assert_eq!(store.remaining(at(100), &short).await.unwrap().x25519, 0);
    // A page goes a day after its end, for the sake of claims that are repeated.
    let add = async |now| {
        let page = page(Kind::X25519, 1, 10, now);
        store.add_page(now, &long, Kind::X25519, 1, &page).await.unwrap()
    };
    sweep(&*store, at(201 * DAY), 10).await;
    assert_eq!(add(at(201 * DAY)).await, Outcome::Known);
    sweep(&*store, at(201 * DAY + 1), 10).await;
    assert_eq!(add(at(202 * DAY)).await, Outcome::Done);
}

pub(crate) async fn a_sweep_removes_nonces_that_are_too_old(subject: impl Subject) {
    let store = subject.store();
    for number in 0..25 {
        store.spend(&caller(1), &nonce(number), at(100 + number)).await.unwrap();
    }
    sweep(&*store, at(110), 4).await;
    for number in 0..25 {
        let new = store.spend(&caller(1), &nonce(number), at(200)).await.unwrap();
        assert_eq!(new, number < 10, "{number}: its last second is 1{number:02}");
    }
}

// attack T26
pub(crate) async fn a_restart_changes_nothing(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    stocked(&*store, &of, 5, 5).await;
    let claimed = claim(&*store, at(0), &of, 1, 1).await;
    boxes(&*store, &[1, 2]).await;
    for id in 1..=5 {
        append(&*store, at(0), deposit(1, id)).await;
    }
    store.ack(at(0), &receive(1), &[2, 3]).await.unwrap();
    let revoke = crate::wire::Revoke { tokens: vec![token(8)], secret: Some(secret(4)) };
    store.revoke(&receive(2), &revoke).await.unwrap();
    let (before, usage) = (read(&*store, at(0), 1).await, store.usage().await.unwrap());
    let published = store.published(&of).await.unwrap();
    drop(store);
    let Some(subject) = subject.reopen() else { return };
    let store = subject.store();
    assert_eq!(read(&*store, at(0), 1).await, before);
    let Usage { devices, mailboxes, messages, .. } = store.usage().await.unwrap();
    assert_eq!((devices, mailboxes, messages), (usage.devices, usage.mailboxes, usage.messages));
    assert_eq!(store.published(&of).await.unwrap(), published);
    assert_eq!(keys(&claim(&*store, at(1), &of, 1, 1).await), keys(&claimed));
    assert_eq!(store.remaining(at(1), &of).await.unwrap(), Remaining { x25519: 4, kem: 4 });
    assert_ne!(keys(&claim(&*store, at(1), &of, 2, 1).await), keys(&claimed));
    assert_eq!(append(&*store, at(0), deposit(1, 2)).await, Appended::Known);
    assert_eq!(append(&*store, at(0), deposit(1, 6)).await, Appended::Taken(6));
    let entrance = store.entrance(&send(2)).await.unwrap().unwrap();
    assert!(entrance.secret == secret(4) && entrance.revoked == [token(8)]);
}

// attack T34
pub(crate) async fn debug_shows_nothing_that_is_kept(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    append(&*store, at(0), deposit(1, 1)).await;
    let entrance = store.entrance(&send(1)).await.unwrap();
    let shown = format!("{store:?} {:?} {entrance:?}", deposit(1, 1));
    let frame = &deposit(1, 1).frame;
    assert!(!sealwire_testkit::leak::shows(&shown, frame), "{shown}");
    assert!(!sealwire_testkit::leak::shows(&shown, &[1; 32]), "{shown}");
}
