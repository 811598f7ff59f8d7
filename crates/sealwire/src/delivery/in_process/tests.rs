//! The post office keeps the bounds of a relay.

use super::*;
use crate::Agent;
use sealwire_core::MemoryKeyStore;
use sealwire_ratchet::prekey::PrekeyId;
use sealwire_testkit::rng::SeededRng;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

#[derive(Debug, Default)]
struct Hands(AtomicU64);

impl Clock for Hands {
    fn wall(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}

fn office() -> (Arc<Hands>, InProcess) {
    let clock = Arc::new(Hands::default());
    (Arc::clone(&clock), InProcess::with_clock(clock))
}

fn device() -> Device {
    let keys = MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("keys");
    let agent = Agent::builder(Arc::new(keys)).build().expect("agent").id().clone();
    Device { agent, number: 0 }
}

fn id(number: u64) -> MessageId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    MessageId::from_bytes(bytes)
}

fn page(kind: Kind, first: u8, count: u8) -> PrekeyPage {
    let keys = (first..first + count).map(|key| vec![key]).collect();
    let base = PrekeyId::new(first.into()).expect("not 0");
    PrekeyPage { kind, base, not_after: Timestamp::from_secs(1000), header: vec![first], keys }
}

fn publication(pages: Vec<PrekeyPage>) -> Publication {
    let published = Published { card: b"card".to_vec(), bundle: b"bundle".to_vec() };
    Publication { published, pages, contact: Address::new(b"", b"").expect("short") }
}

#[tokio::test]
async fn only_frames_of_the_four_lengths_are_taken() {
    let (_, office) = office();
    let mailbox = office.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
    for len in [0, 1, 2047, 2049, 4095, 16_385, 65_535, 65_537, 1 << 20] {
        let refused = office.deposit(&mailbox.address, id(1), &vec![0; len]).await;
        assert!(matches!(refused, Err(DeliveryError::Refused(_))), "{len}");
    }
    for (number, len) in (0..).zip(FRAME_CLASSES) {
        office.deposit(&mailbox.address, id(number), &vec![0; len]).await.expect("a class");
    }
    assert_eq!(office.fetch(&mailbox.handle, 10).await.expect("fetch").len(), 4);
}

#[tokio::test]
async fn a_mailbox_takes_frames_with_its_own_capability_only() {
    let (_, office) = office();
    let one = office.open_mailbox(MailboxKind::Contact).await.expect("mailbox");
    let other = office.open_mailbox(MailboxKind::Contact).await.expect("mailbox");
    let address = |mailbox: &OpenedMailbox, capability: &[u8]| {
        Address::new(mailbox.address.mailbox(), capability).expect("short")
    };
    for wrong in [
        address(&one, b""),
        address(&one, other.address.capability()),
        Address::new(b"", one.address.capability()).expect("short"),
    ] {
        let refused = office.deposit(&wrong, id(1), &[0; 2048]).await;
        assert!(matches!(refused, Err(DeliveryError::Gone)));
    }
    assert!(office.fetch(&one.handle, 10).await.expect("fetch").is_empty());
}

#[tokio::test]
async fn frames_stay_until_acknowledged_and_are_not_taken_twice() {
    let (_, office) = office();
    let mailbox = office.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
    for number in [1, 2, 1, 3, 2] {
        office.deposit(&mailbox.address, id(number), &[0; 2048]).await.expect("deposit");
    }
    let fetch = || async { office.fetch(&mailbox.handle, 2).await.expect("fetch") };
    let found = fetch().await;
    assert_eq!(found.iter().map(|one| one.message).collect::<Vec<_>>(), [id(1), id(2)]);
    assert_eq!(fetch().await, found);
    office.ack(&mailbox.handle, &[found[0].sequence, 99]).await.expect("ack");
    office.deposit(&mailbox.address, id(1), &[0; 2048]).await.expect("a late repetition");
    let found = fetch().await;
    assert_eq!(found.iter().map(|one| one.message).collect::<Vec<_>>(), [id(2), id(3)]);
}

#[tokio::test]
async fn a_mailbox_is_bounded_in_messages_and_in_bytes() {
    let (clock, office) = office();
    for (class, most) in [(2048, MAX_MESSAGES), (65_536, 256)] {
        let mailbox = office.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
        let frame = vec![0; class];
        let most = u64::try_from(most).expect("few");
        for number in 0..most {
            office.deposit(&mailbox.address, id(number), &frame).await.expect("room");
        }
        let refused = office.deposit(&mailbox.address, id(most), &frame).await;
        assert!(matches!(refused, Err(DeliveryError::Full)), "{class}");
        let found = office.fetch(&mailbox.handle, 1).await.expect("fetch");
        office.ack(&mailbox.handle, &[found[0].sequence]).await.expect("ack");
        office.deposit(&mailbox.address, id(most), &frame).await.expect("room again");
        clock.0.fetch_add(MESSAGE_LIFETIME + 1, Ordering::SeqCst);
        assert!(office.fetch(&mailbox.handle, 1).await.expect("fetch").is_empty(), "7 days");
        office.deposit(&mailbox.address, id(most + 1), &frame).await.expect("room again");
    }
}

#[tokio::test]
async fn a_closed_mailbox_takes_and_gives_nothing() {
    let (_, office) = office();
    let mailbox = office.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
    office.close_mailbox(&mailbox.handle).await.expect("close");
    office.close_mailbox(&mailbox.handle).await.expect("close again");
    assert!(office.deposit(&mailbox.address, id(1), &[0; 2048]).await.is_err());
    assert!(office.fetch(&mailbox.handle, 1).await.is_err());
}

#[tokio::test]
async fn a_one_time_key_is_handed_out_once_and_the_same_for_one_nonce() {
    let (clock, office) = office();
    let of = device();
    assert_eq!(office.claim(&of, [1; 16]).await.expect("claim"), Claimed::default());
    let pages = vec![page(Kind::X25519, 10, 3), page(Kind::MlKem, 20, 1)];
    let first = publication(pages);
    office.publish(&of, &first).await.expect("publish");
    let claim = |nonce| {
        let (office, of) = (&office, &of);
        async move {
            let claimed = office.claim(of, [nonce; 16]).await.expect("claim");
            let key = |key: Option<ClaimedKey>| key.map(|key| key.key[0]);
            (key(claimed.x25519), key(claimed.kem))
        }
    };
    assert_eq!(claim(1).await, (Some(10), Some(20)));
    assert_eq!(claim(1).await, (Some(10), Some(20)), "the answer was lost");
    assert_eq!(claim(2).await, (Some(11), None), "drained");
    // Published again, as after a lost answer, the page gives nothing a second time.
    office.publish(&of, &first).await.expect("publish");
    assert_eq!(claim(3).await, (Some(12), None));
    assert_eq!(claim(4).await, (None, None));
    let second = publication(vec![page(Kind::X25519, 13, 1), page(Kind::MlKem, 21, 2)]);
    office.publish(&of, &second).await.expect("publish");
    let remaining = office.remaining(&of).await.expect("remaining");
    assert_eq!(remaining, Unclaimed { x25519: 1, kem: 2 });
    clock.0.store(1001, Ordering::SeqCst);
    assert_eq!(claim(5).await, (None, None), "the pages have expired");
    assert_eq!(office.remaining(&of).await.expect("remaining"), Unclaimed { x25519: 0, kem: 0 });
    assert_eq!(office.bundle(&of).await.expect("bundle"), Some(second.published));
}

#[tokio::test]
async fn it_keeps_what_it_saw_only_when_told_to() {
    let office = InProcess::new();
    let of = device();
    office.bundle(&of).await.expect("bundle");
    assert_eq!(office.seen(), []);
    let office = office.recording();
    let mailbox = office.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
    office.claim(&of, [1; 16]).await.expect("claim");
    office.deposit(&mailbox.address, id(1), &[9; 2048]).await.expect("deposit");
    let expected = Seen::Deposited {
        mailbox: mailbox.address.mailbox().to_vec(),
        message: id(1),
        frame: vec![9; 2048],
    };
    assert_eq!(office.seen(), [Seen::Claimed { of }, expected]);
}

// attack T34
#[tokio::test]
async fn debug_shows_no_mailbox_and_no_frame() {
    let office = InProcess::new().recording();
    let mailbox = office.open_mailbox(MailboxKind::Pairwise).await.expect("mailbox");
    let frame: Vec<u8> = (0..2048_u32).map(|byte| byte.to_be_bytes()[3] ^ 0x5a).collect();
    office.deposit(&mailbox.address, id(1), &frame).await.expect("deposit");
    let found = office.fetch(&mailbox.handle, 1).await.expect("fetch");
    let text = format!("{office:?} {mailbox:?} {found:?} {:?}", office.seen());
    for secret in [
        mailbox.handle.as_bytes(),
        mailbox.address.mailbox(),
        mailbox.address.capability(),
        &frame[..32],
    ] {
        assert!(!sealwire_testkit::leak::shows(&text, secret), "{text}");
    }
    assert_eq!(found[0].frame, frame);
}
