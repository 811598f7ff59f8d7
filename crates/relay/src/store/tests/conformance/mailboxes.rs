//! Of mailboxes.

use std::collections::HashSet;

use crate::{
    Token, limits,
    store::{Appended, Deposit, Outcome, Store},
    wire::{MailboxKind, NewMailbox, Revoke},
};
use tokio::task::JoinSet;

use super::super::fixtures::*;

pub(crate) async fn a_mailbox_is_made_once(subject: impl Subject) {
    let store = subject.store();
    let was = || mailbox(1);
    for (what, id, new, outcome) in [
        ("the first", 1, was(), Outcome::Done),
        ("the same", 1, was(), Outcome::Known),
        ("another send id", 1, NewMailbox { send: send(2), ..was() }, Outcome::Conflict),
        ("another secret", 1, NewMailbox { secret: secret(2), ..was() }, Outcome::Conflict),
        ("another kind", 1, NewMailbox { kind: MailboxKind::Contact, ..was() }, Outcome::Conflict),
        ("another lifetime", 1, NewMailbox { lifetime: 1, ..was() }, Outcome::Conflict),
        ("another bound", 1, NewMailbox { per_token: 1, ..was() }, Outcome::Conflict),
        ("another key with the same send id", 2, was(), Outcome::Conflict),
        ("another one", 2, mailbox(2), Outcome::Done),
    ] {
        let made = store.create(at(0), &receive(id), &new).await.unwrap();
        assert_eq!(made, outcome, "{what}");
    }
    let entrance = store.entrance(&send(1)).await.unwrap().expect("a mailbox");
    assert_eq!((entrance.mailbox, entrance.kind), (receive(1), MailboxKind::Pairwise));
    assert!(entrance.secret == secret(1) && entrance.revoked.is_empty());
    assert_eq!(store.usage().await.unwrap().mailboxes, 2);
}

async fn revoke(store: &dyn Store, tokens: &[u64], new: Option<u8>) -> Outcome {
    let tokens = tokens.iter().map(|number| token(*number)).collect();
    let revoke = Revoke { tokens, secret: new.map(secret) };
    store.revoke(&receive(1), &revoke).await.unwrap()
}

async fn revoked(store: &dyn Store) -> Vec<Token> {
    store.entrance(&send(1)).await.unwrap().expect("a mailbox").revoked
}

pub(crate) async fn an_entrance_follows_revocations(subject: impl Subject) {
    let store = subject.store();
    assert!(store.entrance(&send(1)).await.unwrap().is_none());
    assert_eq!(revoke(&*store, &[1], None).await, Outcome::Absent);
    boxes(&*store, &[1, 2]).await;
    assert_eq!(revoked(&*store).await, []);
    assert_eq!(revoke(&*store, &[1, 2], None).await, Outcome::Done);
    assert_eq!(revoked(&*store).await, [token(1), token(2)]);
    assert_eq!(revoke(&*store, &[2, 3], None).await, Outcome::Done);
    assert_eq!(revoked(&*store).await, [token(1), token(2), token(3)]);
    assert_eq!(revoke(&*store, &[9], Some(5)).await, Outcome::Done);
    assert_eq!(revoked(&*store).await, [token(9)], "those under the old secret are forgotten");
    assert!(store.entrance(&send(1)).await.unwrap().unwrap().secret == secret(5));
    let other = store.entrance(&send(2)).await.unwrap().unwrap();
    assert!(other.secret == secret(1) && other.revoked.is_empty());
}

// attack T23
pub(crate) async fn single_revocations_have_a_bound(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    let all: Vec<u64> = (0..limits::MAX_REVOKED as u64).collect();
    assert_eq!(revoke(&*store, &all, None).await, Outcome::Done);
    assert_eq!(revoke(&*store, &[5], None).await, Outcome::Done, "one of them");
    assert_eq!(revoke(&*store, &[5, 1000], None).await, Outcome::Quota);
    assert_eq!(revoked(&*store).await.len(), all.len(), "nothing has changed");
    assert_eq!(revoke(&*store, &[1000], Some(2)).await, Outcome::Done);
    assert_eq!(revoked(&*store).await, [token(1000)]);
}

pub(crate) async fn a_batch_is_answered_one_by_one_in_order(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2]).await;
    let batch = [
        deposit(1, 1),
        deposit(9, 2),
        deposit(2, 1),
        deposit(1, 3),
        deposit(1, 1),
        Deposit { message: message(4), ..deposit(1, 4) },
    ];
    let answers = store.append(at(0), &batch).await.unwrap();
    assert_eq!(
        answers,
        [
            Appended::Taken(1),
            Appended::Gone,
            Appended::Taken(1),
            Appended::Taken(2),
            Appended::Known,
            Appended::Taken(3),
        ]
    );
    let found = read(&*store, at(0), 1).await.unwrap();
    let expected = [1, 3, 4].iter().zip(1..);
    let expected: Vec<_> = expected
        .map(|(id, sequence)| (sequence, message(*id), format!("frame {id}").into_bytes()))
        .collect();
    assert_eq!(found, expected);
    assert!(store.append(at(0), &[]).await.unwrap().is_empty());
}

pub(crate) async fn sequences_ascend_from_one_and_are_never_given_again(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    for id in 1..=3 {
        assert_eq!(append(&*store, at(0), deposit(1, id)).await, Appended::Taken(id));
    }
    assert_eq!(store.ack(at(0), &receive(1), &[1, 2, 3]).await.unwrap(), Some(3));
    assert_eq!(append(&*store, at(0), deposit(1, 4)).await, Appended::Taken(4));
    // The last one expires, and is swept.
    sweep(&*store, at(LIFETIME), 10).await;
    assert_eq!(append(&*store, at(LIFETIME), deposit(1, 5)).await, Appended::Taken(5));
    drop(store);
    let Some(subject) = subject.reopen() else { return };
    let store = subject.store();
    assert_eq!(store.ack(at(LIFETIME), &receive(1), &[5]).await.unwrap(), Some(1));
    drop(store);
    let subject = subject.reopen().expect("as before");
    assert_eq!(append(&*subject.store(), at(LIFETIME), deposit(1, 6)).await, Appended::Taken(6));
}

// attack T26: the sender missed the answer, and sends again.
pub(crate) async fn a_message_id_is_taken_once(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2]).await;
    assert_eq!(append(&*store, at(0), deposit(1, 1)).await, Appended::Taken(1));
    let other = Deposit { frame: b"other".to_vec(), token: token(7), ..deposit(1, 1) };
    assert_eq!(append(&*store, at(1), other.clone()).await, Appended::Known);
    assert_eq!(append(&*store, at(1), deposit(2, 1)).await, Appended::Taken(1), "elsewhere");
    assert_eq!(store.ack(at(1), &receive(1), &[1]).await.unwrap(), Some(1));
    assert_eq!(append(&*store, at(2), other).await, Appended::Known, "after it was acknowledged");
    assert_eq!(sequences(&*store, at(2), 1).await, [0; 0]);
    drop(store);
    let Some(subject) = subject.reopen() else { return };
    assert_eq!(append(&*subject.store(), at(3), deposit(1, 1)).await, Appended::Known);
}

pub(crate) async fn an_id_is_remembered_as_long_as_its_message_would_have_lived(
    subject: impl Subject,
) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    append(&*store, at(0), deposit(1, 1)).await;
    append(&*store, at(0), deposit(1, 2)).await;
    store.ack(at(0), &receive(1), &[1]).await.unwrap();
    for id in [1, 2] {
        let appended = append(&*store, at(LIFETIME - 1), deposit(1, id)).await;
        assert_eq!(appended, Appended::Known, "{id}");
    }
    for (id, sequence) in [(1, 3), (2, 4)] {
        let appended = append(&*store, at(LIFETIME), deposit(1, id)).await;
        assert_eq!(appended, Appended::Taken(sequence), "{id}");
        let appended = append(&*store, at(LIFETIME), deposit(1, id)).await;
        assert_eq!(appended, Appended::Known, "{id} again");
    }
}

// attack T23
pub(crate) async fn remembered_ids_have_a_bound_and_the_oldest_go(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    let most = u64::from(limits::MAX_REMEMBERED);
    let mut next = 1;
    while next <= most + 1 {
        let ids: Vec<u64> = (next..=(next + 499).min(most + 1)).collect();
        let batch: Vec<_> = ids.iter().map(|id| deposit(1, *id)).collect();
        let taken = store.append(at(0), &batch).await.unwrap();
        assert!(taken.iter().all(|taken| matches!(taken, Appended::Taken(_))), "{taken:?}");
        store.ack(at(0), &receive(1), &ids).await.unwrap();
        next += 500;
    }
    assert_eq!(append(&*store, at(0), deposit(1, 2)).await, Appended::Known);
    assert_eq!(append(&*store, at(0), deposit(1, most + 1)).await, Appended::Known);
    let forgotten = append(&*store, at(0), deposit(1, 1)).await;
    assert_eq!(forgotten, Appended::Taken(most + 2), "the oldest is forgotten");
}

// attack T23
pub(crate) async fn a_mailbox_of_a_thousand_messages_is_full_and_no_other(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2]).await;
    let most = u64::from(limits::MAX_MESSAGES);
    let batch: Vec<_> = (1..=most + 10).map(|id| deposit(1, id)).collect();
    let answers = store.append(at(0), &batch).await.unwrap();
    let taken = answers.iter().filter(|answer| matches!(answer, Appended::Taken(_))).count();
    assert_eq!(taken as u64, most);
    assert_eq!(answers[most as usize..], [Appended::Full; 10]);
    assert_eq!(append(&*store, at(0), deposit(2, 1)).await, Appended::Taken(1), "the other one");
    assert_eq!(append(&*store, at(0), deposit(1, 5)).await, Appended::Known, "what it has");
    store.ack(at(0), &receive(1), &[7]).await.unwrap();
    let refused = most + 3;
    assert_eq!(append(&*store, at(0), deposit(1, refused)).await, Appended::Taken(most + 1));
    assert_eq!(append(&*store, at(0), deposit(1, refused + 1)).await, Appended::Full);
    assert_eq!(sequences(&*store, at(0), 1).await.len() as u64, most);
}

// attack T23
pub(crate) async fn a_mailbox_of_sixteen_mebibytes_is_full(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    const FRAME: usize = 64 * 1024;
    let large = |id| Deposit { frame: vec![id as u8; FRAME], ..deposit(1, id) };
    let most = limits::MAX_MAILBOX_LEN / FRAME as u64;
    for first in (1..=most).step_by(64) {
        let batch: Vec<_> = (first..first + 64).map(large).collect();
        let taken = store.append(at(0), &batch).await.unwrap();
        assert!(taken.iter().all(|taken| matches!(taken, Appended::Taken(_))), "{taken:?}");
    }
    assert_eq!(append(&*store, at(0), deposit(1, 1000)).await, Appended::Full, "a short one too");
    store.ack(at(0), &receive(1), &[1]).await.unwrap();
    assert_eq!(append(&*store, at(0), large(1001)).await, Appended::Taken(most + 1));
    assert_eq!(append(&*store, at(0), deposit(1, 1002)).await, Appended::Full);
}

// attack T23
pub(crate) async fn a_token_has_a_bound_and_starves_no_other(subject: impl Subject) {
    let store = subject.store();
    let new = NewMailbox { per_token: 3, ..mailbox(1) };
    store.create(at(0), &receive(1), &new).await.unwrap();
    let by = |by, id| Deposit { token: token(by), ..deposit(1, id) };
    let batch: Vec<_> = (1..=5).map(|id| by(1, id)).collect();
    let answers = store.append(at(0), &batch).await.unwrap();
    assert_eq!(answers[3..], [Appended::TokenFull; 2]);
    assert_eq!(append(&*store, at(0), by(2, 6)).await, Appended::Taken(4), "another sender");
    assert_eq!(append(&*store, at(0), by(1, 7)).await, Appended::TokenFull);
    store.ack(at(0), &receive(1), &[4]).await.unwrap();
    assert_eq!(append(&*store, at(0), by(1, 7)).await, Appended::TokenFull, "not one of its own");
    store.ack(at(0), &receive(1), &[2]).await.unwrap();
    assert_eq!(append(&*store, at(0), by(1, 7)).await, Appended::Taken(5));
    assert_eq!(append(&*store, at(0), by(1, 8)).await, Appended::TokenFull);
}

// attack T23: one is flooded from many sides at a time, the others go on.
pub(crate) async fn a_flooded_mailbox_starves_no_other(subject: impl Subject) {
    boxes(&*subject.store(), &[1, 2]).await;
    let mut senders = JoinSet::new();
    for sender in 0..16 {
        let store = subject.store();
        senders.spawn(async move {
            for number in 0..20 {
                let first = 1_000_000 * (sender + 1) + 1000 * number;
                let batch: Vec<_> = (first..first + 32).map(|id| deposit(1, id)).collect();
                store.append(at(0), &batch).await.unwrap();
            }
        });
    }
    let store = subject.store();
    for id in 1..=50 {
        assert_eq!(append(&*store, at(0), deposit(2, id)).await, Appended::Taken(id));
        assert_eq!(sequences(&*store, at(0), 2).await, [id]);
        assert_eq!(store.ack(at(0), &receive(2), &[id]).await.unwrap(), Some(1));
    }
    senders.join_all().await;
    let flooded = sequences(&*store, at(0), 1).await;
    assert_eq!(flooded, (1..=u64::from(limits::MAX_MESSAGES)).collect::<Vec<_>>());
}

pub(crate) async fn an_answer_has_a_hundred_messages_or_a_mebibyte(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2, 3]).await;
    let batch: Vec<_> = (1..=250).map(|id| deposit(1, id)).collect();
    store.append(at(0), &batch).await.unwrap();
    for (after, limit, found, more) in [
        (0, 10, 1..11, true),
        (10, 10, 11..21, true),
        (0, 1000, 1..101, true),
        (150, 100, 151..251, false),
        (149, 100, 150..250, true),
        (249, 100, 250..251, false),
        (250, 100, 0..0, false),
        (u64::MAX, 100, 0..0, false),
    ] {
        let answer = store.fetch(at(0), &receive(1), after, limit).await.unwrap().unwrap();
        let sequences: Vec<u64> = answer.0.iter().map(|message| message.sequence).collect();
        assert_eq!((sequences, answer.1), (found.collect(), more), "after {after}, {limit}");
    }
    assert_eq!(store.fetch(at(0), &receive(3), 0, 100).await.unwrap(), Some((vec![], false)));
    assert_eq!(store.fetch(at(0), &receive(4), 0, 100).await.unwrap(), None);
    // 15 frames of 64 KiB and one of 60 are within a mebibyte, 17 are not.
    let large = |id, len| Deposit { frame: vec![1; len], ..deposit(2, id) };
    let batch: Vec<_> = (1..=20).map(|id| large(id, 64 * 1024)).collect();
    store.append(at(0), &batch).await.unwrap();
    let (messages, more) = store.fetch(at(0), &receive(2), 0, 100).await.unwrap().unwrap();
    assert_eq!((messages.len(), more), (limits::MAX_FETCH_LEN / (64 * 1024), true));
    let all = sequences(&*store, at(0), 2).await;
    assert_eq!(all, (1..=20).collect::<Vec<_>>());
}

pub(crate) async fn messages_are_there_for_their_lifetime(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1]).await;
    let short = NewMailbox { lifetime: 10, per_token: 1, ..mailbox(2) };
    store.create(at(0), &receive(2), &short).await.unwrap();
    for (now, mailbox, id) in [(0, 1, 1), (5, 1, 2), (0, 2, 1)] {
        let taken = append(&*store, at(now), deposit(mailbox, id)).await;
        assert!(matches!(taken, Appended::Taken(_)), "{taken:?}");
    }
    assert_eq!(sequences(&*store, at(9), 2).await, [1]);
    assert_eq!(append(&*store, at(9), deposit(2, 2)).await, Appended::TokenFull);
    assert_eq!(sequences(&*store, at(10), 2).await, [0; 0]);
    assert_eq!(store.ack(at(10), &receive(2), &[1]).await.unwrap(), Some(0), "it was not there");
    assert_eq!(append(&*store, at(10), deposit(2, 2)).await, Appended::Taken(2), "there is room");
    assert_eq!(sequences(&*store, at(LIFETIME), 1).await, [2]);
    assert_eq!(sequences(&*store, at(LIFETIME + 5), 1).await, [0; 0]);
    let (messages, more) = store.fetch(at(LIFETIME), &receive(1), 0, 1).await.unwrap().unwrap();
    assert_eq!((messages.len(), more), (1, false), "what has expired is no reason for more");
}

// attack T40
pub(crate) async fn an_acknowledgement_is_of_one_mailbox(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2]).await;
    for id in 1..=5 {
        append(&*store, at(0), deposit(1, id)).await;
        append(&*store, at(0), deposit(2, id)).await;
    }
    let ack = async |mailbox, sequences: &[u64]| {
        store.ack(at(0), &receive(mailbox), sequences).await.unwrap()
    };
    assert_eq!(ack(1, &[2, 4, 2, 99]).await, Some(2));
    assert_eq!(ack(1, &[2, 4]).await, Some(0));
    assert_eq!(ack(1, &[]).await, Some(0));
    assert_eq!(ack(3, &[1]).await, None);
    assert_eq!(sequences(&*store, at(0), 1).await, [1, 3, 5]);
    assert_eq!(sequences(&*store, at(0), 2).await, [1, 2, 3, 4, 5]);
}

// attack T40
pub(crate) async fn a_closed_mailbox_is_gone(subject: impl Subject) {
    let store = subject.store();
    boxes(&*store, &[1, 2]).await;
    for id in 1..=3 {
        append(&*store, at(0), deposit(1, id)).await;
        append(&*store, at(0), deposit(2, id)).await;
    }
    assert!(store.entrance(&send(1)).await.unwrap().is_some());
    assert!(store.close(&receive(1)).await.unwrap());
    assert!(!store.close(&receive(1)).await.unwrap());
    assert!(store.entrance(&send(1)).await.unwrap().is_none());
    assert_eq!(read(&*store, at(0), 1).await, None);
    assert_eq!(append(&*store, at(0), deposit(1, 9)).await, Appended::Gone);
    assert_eq!(store.ack(at(0), &receive(1), &[1]).await.unwrap(), None);
    assert_eq!(sequences(&*store, at(0), 2).await, [1, 2, 3]);
    assert_eq!(store.usage().await.unwrap().messages, 3);
    // A new one under the same ids has nothing of it.
    let other = NewMailbox { secret: secret(9), ..mailbox(1) };
    assert_eq!(store.create(at(0), &receive(1), &other).await.unwrap(), Outcome::Done);
    assert_eq!(read(&*store, at(0), 1).await, Some(vec![]));
    assert!(store.entrance(&send(1)).await.unwrap().unwrap().secret == secret(9));
    assert!(matches!(append(&*store, at(0), deposit(1, 1)).await, Appended::Taken(_)));
}

pub(crate) async fn senders_at_a_time_get_sequences_without_gaps(subject: impl Subject) {
    boxes(&*subject.store(), &[1]).await;
    let mut senders = JoinSet::new();
    for sender in 0..32_u64 {
        let store = subject.store();
        senders.spawn(async move {
            let mut given = Vec::new();
            for number in 0..10 {
                let id = 1000 * (sender + 1) + number;
                match append(&*store, at(0), deposit(1, id)).await {
                    Appended::Taken(sequence) => given.push((sequence, message(id))),
                    other => panic!("{other:?}"),
                }
            }
            given
        });
    }
    let given: HashSet<_> = senders.join_all().await.into_iter().flatten().collect();
    let found = read(&*subject.store(), at(0), 1).await.unwrap();
    let found_sequences: Vec<u64> = found.iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(found_sequences, (1..=320).collect::<Vec<_>>());
    let found: HashSet<_> = found.into_iter().map(|(sequence, id, _)| (sequence, id)).collect();
    assert_eq!(found, given);
}
