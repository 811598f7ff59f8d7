//! Of the directory.

use std::collections::HashSet;

use crate::{
    Device, limits,
    store::Outcome,
    wire::{Kind, Remaining},
};
use sealwire_core::Timestamp;
use tokio::task::JoinSet;

use super::super::fixtures::*;

pub(crate) async fn what_is_published_is_handed_out(subject: impl Subject) {
    let store = subject.store();
    let (alice, bob) = (device(1), device(2));
    let (publish, check) = publication(1, 1);
    assert_eq!(store.publish(&alice, &publish, &check, at(DAY)).await.unwrap(), Outcome::Done);
    assert_eq!(store.published(&alice).await.unwrap(), Some(publish.published));
    assert_eq!(store.check(&alice).await.unwrap(), Some(check));
    assert_eq!(store.published(&bob).await.unwrap(), None);
    assert_eq!(store.check(&bob).await.unwrap(), None);
    assert_eq!(store.remaining(at(0), &bob).await.unwrap(), Remaining::default());
    let claimed = store.claim(at(0), &caller(1), &bob, &nonce(1)).await.unwrap();
    assert_eq!(claimed, None);
}

pub(crate) async fn an_older_card_does_not_replace_a_newer_one(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    let other_card = |sequence| {
        let (publish, mut check) = publication(sequence, 1);
        check.card = [0xEE; 32];
        (publish, check)
    };
    for (what, (publish, check), outcome) in [
        ("the first", publication(5, 1), Outcome::Done),
        ("the same", publication(5, 1), Outcome::Known),
        ("an older one", publication(4, 2), Outcome::Conflict),
        ("another one of the same sequence", other_card(5), Outcome::Conflict),
        ("another bundle under the same card", publication(5, 2), Outcome::Done),
        ("the bundle before, which is as new as the card", publication(5, 1), Outcome::Done),
        ("a newer one", publication(7, 1), Outcome::Done),
        ("one between the two", publication(6, 1), Outcome::Conflict),
    ] {
        let before = store.published(&of).await.unwrap();
        let made = store.publish(&of, &publish, &check, at(DAY)).await.unwrap();
        assert_eq!(made, outcome, "{what}");
        let after = store.published(&of).await.unwrap();
        if outcome == Outcome::Done {
            assert_eq!(after, Some(publish.published), "{what}");
            assert_eq!(store.check(&of).await.unwrap(), Some(check), "{what}");
        } else {
            assert_eq!(after, before, "{what}");
        }
    }
}

// attack T40
pub(crate) async fn devices_of_an_agent_are_apart(subject: impl Subject) {
    let store = subject.store();
    let first = device(1);
    let second = Device { number: 1, ..first.clone() };
    stocked(&*store, &first, 3, 0).await;
    assert_eq!(store.published(&second).await.unwrap(), None);
    stocked(&*store, &second, 5, 0).await;
    claim(&*store, at(0), &second, 1, 1).await;
    assert_eq!(store.remaining(at(0), &first).await.unwrap().x25519, 3);
    assert_eq!(store.remaining(at(0), &second).await.unwrap().x25519, 4);
}

pub(crate) async fn a_page_is_taken_once(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    let add = |kind, base, count| {
        let (store, of) = (subject.store(), of.clone());
        async move {
            let page = page(kind, base, count, at(DAY));
            store.add_page(at(0), &of, kind, base, &page).await.unwrap()
        }
    };
    assert_eq!(add(Kind::X25519, 1, 10).await, Outcome::Absent);
    let (publish, check) = publication(1, 1);
    store.publish(&of, &publish, &check, at(DAY)).await.unwrap();
    assert_eq!(add(Kind::X25519, 1, 10).await, Outcome::Done);
    assert_eq!(add(Kind::X25519, 1, 10).await, Outcome::Known);
    assert_eq!(add(Kind::X25519, 1, 20).await, Outcome::Known, "whatever is in it");
    assert_eq!(add(Kind::MlKem, 1, 7).await, Outcome::Done, "the other kind");
    assert_eq!(add(Kind::X25519, 11, 5).await, Outcome::Done);
    let remaining = store.remaining(at(0), &of).await.unwrap();
    assert_eq!(remaining, Remaining { x25519: 15, kem: 7 });
}

pub(crate) async fn a_page_that_is_used_up_stays_known(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    stocked(&*store, &of, 2, 0).await;
    for number in 0..2 {
        claim(&*store, at(0), &of, 1, number).await;
    }
    sweep(&*store, at(2 * DAY), 10).await;
    let again = page(Kind::X25519, 1, 2, at(52 * DAY));
    let added = store.add_page(at(2 * DAY), &of, Kind::X25519, 1, &again).await.unwrap();
    assert_eq!(added, Outcome::Known);
    assert_eq!(store.remaining(at(2 * DAY), &of).await.unwrap().x25519, 0);
}

// attack T23
pub(crate) async fn usable_pages_have_a_bound(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    let (publish, check) = publication(1, 1);
    store.publish(&of, &publish, &check, at(1000 * DAY)).await.unwrap();
    let add = |base: u32| {
        let (store, of) = (subject.store(), of.clone());
        async move {
            let page = page(Kind::X25519, base, 1, at(52 * DAY));
            store.add_page(at(0), &of, Kind::X25519, base, &page).await.unwrap()
        }
    };
    let most = u32::try_from(limits::MAX_PAGES).unwrap();
    for base in 1..=most {
        assert_eq!(add(base).await, Outcome::Done, "{base}");
    }
    assert_eq!(add(most + 1).await, Outcome::Quota);
    assert_eq!(add(1).await, Outcome::Known);
    claim(&*store, at(0), &of, 1, 1).await;
    assert_eq!(add(most + 1).await, Outcome::Done, "one is used up");
    assert_eq!(add(most + 2).await, Outcome::Quota);
}

pub(crate) async fn keys_go_out_in_the_order_of_pages_and_ids(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    let (publish, check) = publication(1, 1);
    store.publish(&of, &publish, &check, at(1000 * DAY)).await.unwrap();
    // The page with the higher ids came first.
    for (base, count) in [(100, 2), (1, 2)] {
        let page = page(Kind::X25519, base, count, at(52 * DAY));
        store.add_page(at(0), &of, Kind::X25519, base, &page).await.unwrap();
    }
    for (number, id, base) in [(1, 100, 100), (2, 101, 100), (3, 1, 1), (4, 2, 1)] {
        let taken = claim(&*store, at(0), &of, 1, number).await;
        let claimed = taken.claimed.x25519.expect("a key");
        assert_eq!(claimed.key, key(Kind::X25519, id));
        assert_eq!(claimed.header, format!("X25519 from {base}").into_bytes());
    }
    assert_eq!(keys(&claim(&*store, at(0), &of, 1, 5).await), (None, None));
}

// attack T22
pub(crate) async fn the_same_nonce_gets_the_same_keys_for_a_day(subject: impl Subject) {
    let store = subject.store();
    let (of, other) = (device(1), device(2));
    stocked(&*store, &of, 10, 10).await;
    stocked(&*store, &other, 10, 10).await;
    let first = claim(&*store, at(0), &of, 1, 7).await;
    let end = limits::CLAIM_LIFETIME;
    for later in [0, 1, end - 1] {
        let again = claim(&*store, at(later), &of, 1, 7).await;
        assert_eq!(keys(&again), keys(&first), "{later}");
    }
    assert_eq!(store.remaining(at(1), &of).await.unwrap(), Remaining { x25519: 9, kem: 9 });
    // Another caller, another nonce, another device.
    let by_another = claim(&*store, at(1), &of, 2, 7).await;
    let with_another = claim(&*store, at(1), &of, 1, 8).await;
    let all: HashSet<_> = [&first, &by_another, &with_another].map(keys).into();
    assert_eq!(all.len(), 3);
    assert_eq!(keys(&claim(&*store, at(1), &other, 1, 7).await), keys(&first), "its own first");
    sweep(&*store, at(end - 1), 10).await;
    assert_eq!(keys(&claim(&*store, at(end - 1), &of, 1, 7).await), keys(&first));
    assert_ne!(keys(&claim(&*store, at(end), &of, 1, 7).await), keys(&first), "a day later");
}

// attack T22: what is left over has to do with the last-resort key.
pub(crate) async fn fifty_keys_are_claimed_once_by_sixty_four_at_a_time(subject: impl Subject) {
    let of = device(1);
    stocked(&*subject.store(), &of, 50, 50).await;
    let mut claims = JoinSet::new();
    for number in 0..64 {
        let (store, of) = (subject.store(), of.clone());
        claims.spawn(async move { keys(&claim(&*store, at(0), &of, number, 1).await) });
    }
    let (mut x25519, mut kem, mut without) = (HashSet::new(), HashSet::new(), 0);
    while let Some(taken) = claims.join_next().await {
        match taken.unwrap() {
            (Some(one), Some(other)) => {
                assert!(x25519.insert(one), "handed out twice");
                assert!(kem.insert(other), "handed out twice");
            }
            (None, None) => without += 1,
            taken => panic!("one of two: {taken:?}"),
        }
    }
    assert_eq!((x25519.len(), kem.len(), without), (50, 50, 14));
    let store = subject.store();
    assert_eq!(store.remaining(at(0), &of).await.unwrap(), Remaining::default());
}

// attack T22
pub(crate) async fn a_repeated_claim_takes_nothing_however_many_repeat_it_at_a_time(
    subject: impl Subject,
) {
    let of = device(1);
    stocked(&*subject.store(), &of, 50, 20).await;
    let mut claims = JoinSet::new();
    for _ in 0..64 {
        let (store, of) = (subject.store(), of.clone());
        claims.spawn(async move { keys(&claim(&*store, at(0), &of, 1, 1).await) });
    }
    let taken: HashSet<_> = claims.join_all().await.into_iter().collect();
    assert_eq!(taken.len(), 1);
    let remaining = subject.store().remaining(at(0), &of).await.unwrap();
    assert_eq!(remaining, Remaining { x25519: 49, kem: 19 });
}

pub(crate) async fn keys_of_an_expired_page_are_not_handed_out(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    let (publish, check) = publication(1, 1);
    store.publish(&of, &publish, &check, at(1000 * DAY)).await.unwrap();
    for (base, not_after) in [(1, at(100)), (11, at(200))] {
        let page = page(Kind::X25519, base, 10, not_after);
        store.add_page(at(0), &of, Kind::X25519, base, &page).await.unwrap();
    }
    let next = |now: Timestamp, number| {
        let (store, of) = (subject.store(), of.clone());
        async move { keys(&claim(&*store, now, &of, 1, number).await).0 }
    };
    assert_eq!(next(at(100), 1).await, Some(key(Kind::X25519, 1)), "in its last second");
    assert_eq!(next(at(101), 2).await, Some(key(Kind::X25519, 11)));
    assert_eq!(store.remaining(at(100), &of).await.unwrap().x25519, 18);
    assert_eq!(store.remaining(at(101), &of).await.unwrap().x25519, 9);
    assert_eq!(next(at(201), 3).await, None);
}

pub(crate) async fn a_claim_brings_what_is_left_of_either_kind(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    stocked(&*store, &of, 1, 2).await;
    let first = claim(&*store, at(0), &of, 1, 1).await;
    assert_eq!(keys(&first), (Some(key(Kind::X25519, 1)), Some(key(Kind::MlKem, 1))));
    assert_eq!(first.remaining, Remaining { x25519: 0, kem: 1 });
    let second = claim(&*store, at(0), &of, 1, 2).await;
    assert_eq!(keys(&second), (None, Some(key(Kind::MlKem, 2))));
    let third = claim(&*store, at(0), &of, 1, 3).await;
    assert_eq!(keys(&third), (None, None));
    // The second stays as it was when there are new ones; the third cost nothing.
    let page = page(Kind::X25519, 2, 5, at(52 * DAY));
    store.add_page(at(0), &of, Kind::X25519, 2, &page).await.unwrap();
    assert_eq!(keys(&claim(&*store, at(0), &of, 1, 2).await), keys(&second));
    assert_eq!(keys(&claim(&*store, at(0), &of, 1, 3).await).0, Some(key(Kind::X25519, 2)));
}

// attack T21
pub(crate) async fn a_drained_device_drains_no_other(subject: impl Subject) {
    let store = subject.store();
    let (victim, other) = (device(1), device(2));
    stocked(&*store, &victim, 20, 20).await;
    stocked(&*store, &other, 20, 20).await;
    for number in 0..1000 {
        let taken = claim(&*store, at(0), &victim, 1, number).await;
        assert_eq!(taken.claimed.x25519.is_some(), number < 20, "{number}");
    }
    assert_eq!(store.remaining(at(0), &other).await.unwrap(), Remaining { x25519: 20, kem: 20 });
    assert!(claim(&*store, at(0), &other, 2, 1).await.claimed.x25519.is_some());
    // What was drained is good again with a new page.
    let page = page(Kind::X25519, 21, 20, at(52 * DAY));
    store.add_page(at(0), &victim, Kind::X25519, 21, &page).await.unwrap();
    let taken = claim(&*store, at(0), &victim, 2, 1).await;
    assert_eq!(keys(&taken).0, Some(key(Kind::X25519, 21)));
}

pub(crate) async fn a_claim_says_whom_to_tell(subject: impl Subject) {
    let store = subject.store();
    let of = device(1);
    stocked(&*store, &of, 5, 5).await;
    assert_eq!(claim(&*store, at(0), &of, 1, 1).await.contact, None);
    let (mut publish, check) = publication(1, 1);
    publish.contact = Some(send(3));
    let published = store.publish(&of, &publish, &check, at(1000 * DAY)).await.unwrap();
    assert_eq!(published, Outcome::Done, "the contact is new");
    let taken = claim(&*store, at(0), &of, 1, 2).await;
    assert_eq!(taken.contact, Some(send(3)));
    assert_eq!(taken.remaining, Remaining { x25519: 3, kem: 3 });
    assert!(taken.remaining.is_low());
}
