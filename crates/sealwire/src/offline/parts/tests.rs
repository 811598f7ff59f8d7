//! Parts as a peer that keeps to nothing might send them.

use std::sync::Arc;

use proptest::prelude::*;
use sealwire_core::{MemoryKeyStore, kdf::sha256};
use zeroize::Zeroizing;

use super::*;
use crate::{Agent, Limits, delivery::InProcess, store::MemoryStore};

/// An agent, and a peer that sends it parts.
struct Receiver {
    agent: Agent,
    store: Arc<MemoryStore>,
    peer: Device,
    contact: ContactKey,
}

fn agent(store: &Arc<MemoryStore>, limits: Limits) -> Agent {
    let keys = MemoryKeyStore::generate(&mut sealwire_testkit::rng::SeededRng::new(1));
    Agent::builder(Arc::new(keys.expect("keys")))
        .store(store.clone())
        .delivery(Arc::new(InProcess::new()))
        .limits(limits)
        .build()
        .expect("an agent")
}

impl Receiver {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        let store = Arc::new(MemoryStore::new());
        let agent = agent(&store, limits);
        let peer = Device::from(agent.id());
        Self { agent, store, peer, contact: ContactKey::draw().expect("random") }
    }

    fn restart(&mut self) {
        self.agent = agent(&self.store, Limits::default());
    }

    fn key(&self, message: u8) -> LargeKey {
        LargeKey::new(self.contact, MessageId::from_bytes([message; 16]))
    }

    /// Takes a part, and says why it did not.
    fn offer(&self, message: u8, part: &Part) -> Option<NotTaken> {
        let key = self.key(message);
        let inner = &self.agent.inner;
        if is_ended(inner.offline().expect("offline"), &key) {
            return None;
        }
        let mut effects = Effects::new();
        match take(inner, key, &self.peer, part, false, &mut effects).expect("read") {
            Ok(taken) => {
                let _ = self.store.commit(effects).expect("stored");
                taken.committed(inner);
                None
            }
            Err(full) => Some(full),
        }
    }

    fn failures(&self) -> Vec<&'static str> {
        let events = self.agent.inner.offline().expect("offline").events.take();
        let reason = |event| match event {
            Event::LargeFailed { reason, .. } => reason,
            other => panic!("{other:?}"),
        };
        events.into_iter().map(reason).collect()
    }

    /// What the application finds, acknowledged or not.
    async fn take(&self, acknowledge: bool) -> Result<(Vec<u8>, bool), Error> {
        let mut found = (Vec::new(), false);
        for mut large in self.agent.inbox()?.large().await? {
            while let Some(chunk) = large.next().await? {
                found.0.extend_from_slice(chunk.bytes());
                found.1 |= chunk.is_last();
                if !acknowledge {
                    break;
                }
                large.ack(chunk).await?;
            }
        }
        Ok(found)
    }

    fn rows(&self) -> usize {
        self.store.scan(Table::Meta, Rows::prefix(PIECE)).expect("scan").len()
    }
}

fn part(offset: u64, bytes: &[u8]) -> Part {
    Part { offset, length: None, digest: None, bytes: Zeroizing::new(bytes.to_vec()) }
}

fn last(offset: u64, whole: &[u8]) -> Part {
    let start = usize::try_from(offset).expect("short");
    Part { digest: Some(sha256(&[whole])), ..part(offset, &whole[start..]) }
}

const WHOLE: &[u8] = b"abcdefghijkl";

// CON-8, CON-9
#[tokio::test]
async fn parts_in_any_division_and_order_make_the_whole() {
    let table: [(&str, Vec<Part>); 8] = [
        ("in order", vec![part(0, b"abcd"), part(4, b"efgh"), last(8, WHOLE)]),
        ("backwards", vec![last(8, WHOLE), part(4, b"efgh"), part(0, b"abcd")]),
        ("repeated", vec![part(0, b"abcd"), part(0, b"abcd"), last(4, WHOLE), last(4, WHOLE)]),
        ("overlapping", vec![part(0, b"abcd"), part(2, b"cdef"), last(5, WHOLE)]),
        ("around", vec![part(4, b"e"), part(7, b"h"), part(2, b"cdefghij"), last(0, WHOLE)]),
        ("within", vec![part(0, b"abcdefgh"), part(3, b"de"), last(8, WHOLE)]),
        ("in another division", vec![part(0, b"abc"), part(6, b"gh"), last(0, WHOLE)]),
        ("in one", vec![last(0, WHOLE)]),
    ];
    for (name, parts) in table {
        for taking in [false, true] {
            let (receiver, found) = feed(&parts, taking).await;
            assert_eq!((&found.0[..], found.1), (WHOLE, true), "{name}");
            assert_eq!((receiver.rows(), receiver.failures()), (0, vec![]), "{name}");
            for part in &parts {
                assert!(receiver.offer(1, part).is_none(), "{name}: again");
            }
            assert_eq!(receiver.take(true).await.expect("nothing"), (vec![], false), "{name}");
        }
    }
}

/// A receiver that dies after each part, and what its application has found: after each, or at
/// the end.
async fn feed(parts: &[Part], taking: bool) -> (Receiver, (Vec<u8>, bool)) {
    let mut receiver = Receiver::new();
    let mut found = (Vec::new(), false);
    for (number, part) in (1..).zip(parts) {
        assert!(receiver.offer(1, part).is_none());
        receiver.restart();
        if taking || number == parts.len() {
            let (bytes, done) = receiver.take(true).await.expect("well");
            found.0.extend(bytes);
            found.1 |= done;
        }
    }
    (receiver, found)
}

// attack T25
// CON-8
#[tokio::test]
async fn a_hole_is_never_passed() {
    let receiver = Receiver::new();
    for (part, found) in [
        (part(4, b"efgh"), &b""[..]),
        (last(8, WHOLE), b""),
        (part(0, b"ab"), b"ab"),
        (part(3, b"d"), b"ab"),
        (part(2, b"c"), WHOLE),
    ] {
        assert!(receiver.offer(1, &part).is_none());
        let (bytes, done) = receiver.take(false).await.expect("read");
        assert_eq!((&bytes[..], done), (found, found == WHOLE));
    }
}

// CON-8, CON-9
#[tokio::test]
async fn contradictions_end_it_by_name_and_keep_nothing() {
    let other = b"abcdefghijkX";
    let announced = |part: Part, length: u64| Part { length: Some(length), ..part };
    let (length, end, beyond) = (
        "its parts disagree on the length",
        "its parts disagree on the end",
        "a part goes beyond its end",
    );
    for (name, parts, reason) in [
        (
            "another length",
            vec![announced(part(0, b"a"), 12), announced(part(1, b"b"), 13)],
            length,
        ),
        ("a length later", vec![part(0, b"a"), announced(part(1, b"b"), 12)], length),
        ("a length no more", vec![announced(part(0, b"a"), 12), part(1, b"b")], length),
        ("another digest", vec![last(8, WHOLE), last(8, other)], end),
        ("an earlier end", vec![last(8, WHOLE), last(4, &WHOLE[..8])], end),
        ("a later end", vec![last(4, &WHOLE[..8]), last(8, WHOLE)], end),
        ("a part behind the end", vec![last(4, &WHOLE[..8]), part(8, b"i")], beyond),
        ("a part up to the end", vec![last(4, &WHOLE[..8]), part(4, b"efgh")], beyond),
        ("an end before what is here", vec![part(8, b"i"), last(4, &WHOLE[..8])], beyond),
        ("no bytes after all", vec![part(0, b"a"), last(0, b"")], beyond),
    ] {
        let receiver = Receiver::new();
        for part in &parts {
            assert!(receiver.offer(1, part).is_none(), "{name}");
        }
        assert_eq!(receiver.failures(), [reason], "{name}");
        assert_eq!(receiver.take(false).await.expect("read"), (vec![], false), "{name}");
        assert!(receiver.offer(1, &last(0, WHOLE)).is_none(), "{name}: it stays ended");
        tidy(&receiver.agent.inner).expect("tidy");
        assert_eq!((receiver.rows(), receiver.failures()), (0, vec![]), "{name}");
        // Others of this peer are not concerned.
        assert!(receiver.offer(2, &last(0, WHOLE)).is_none(), "{name}");
        assert_eq!(receiver.take(true).await.expect("whole"), (WHOLE.to_vec(), true), "{name}");
    }
}

// CON-8
#[tokio::test]
async fn bytes_that_are_not_what_was_announced_are_not_given_out_as_the_whole() {
    for (name, parts) in [
        ("one byte", vec![part(0, b"aXcd"), last(4, WHOLE)]),
        ("in what overlaps", vec![part(0, b"abcX"), part(2, b"cdef"), last(6, WHOLE)]),
    ] {
        let mut receiver = Receiver::new();
        for part in &parts {
            assert!(receiver.offer(1, part).is_none(), "{name}");
        }
        for _ in 0..2 {
            let refused = receiver.take(true).await.expect_err(name);
            assert!(matches!(refused, Error::LargeMessageDamaged), "{name}: {refused:?}");
            receiver.restart();
        }
        let large = receiver.agent.inbox().expect("inbox").large().await.expect("large").remove(0);
        large.refuse().await.expect("refused");
        assert_eq!(receiver.rows(), 0, "{name}");
    }
}

// attack T16
// CON-13
#[tokio::test]
async fn a_peer_cannot_make_holes_without_end() {
    let receiver = Receiver::new();
    let holes = u64::try_from(MAX_SPANS).expect("few");
    for at in 0..holes {
        assert!(receiver.offer(1, &part(2 * at + 1, b"x")).is_none());
    }
    assert_eq!((receiver.failures(), receiver.rows() > 0), (vec![], true));
    assert!(receiver.offer(1, &part(2 * holes + 1, b"x")).is_none());
    assert_eq!(receiver.failures(), ["too much of it is missing"]);
}

// attack T23
// CON-13
#[tokio::test]
async fn a_peer_has_so_many_large_messages_under_way_and_no_more() {
    let receiver = Receiver::new();
    for message in 0..16 {
        assert!(receiver.offer(message, &part(0, b"a")).is_none());
    }
    assert!(matches!(receiver.offer(16, &part(0, b"a")), Some(NotTaken::Peer)));
    assert!(receiver.offer(3, &part(1, b"b")).is_none(), "those that there are go on");
    assert!(receiver.offer(4, &last(0, WHOLE)).is_none());
    receiver.take(true).await.expect("read");
    assert!(receiver.offer(16, &part(0, b"a")).is_none(), "one has ended");
    end(&receiver.agent.inner, &receiver.key(16)).expect("ended");
    // Of those that ended, so many are remembered.
    for message in 100..=255 {
        assert!(receiver.offer(message, &part(1, b"a")).is_none());
        end(&receiver.agent.inner, &receiver.key(message)).expect("ended");
    }
    let rows = receiver.store.scan(Table::Meta, Rows::prefix(LARGE)).expect("scan").len();
    assert_eq!(rows, 15 + 64);
    assert_eq!(Ledger::load(receiver.store.as_ref()).expect("read").0.len(), rows);
}

// attack T23
// CON-13
#[tokio::test]
async fn room_is_counted_and_what_comes_next_always_has_some() {
    let limits = Limits { large_kib_per_peer: 4, large_kib: 6, ..Limits::default() };
    let mut receiver = Receiver::with(limits);
    let other = ContactKey::draw().expect("random");
    let kib = [7; 1024];
    assert!(receiver.offer(1, &part(0, &kib)).is_none());
    assert!(receiver.offer(1, &part(1024, &kib)).is_none());
    assert!(matches!(receiver.offer(1, &part(2048, &kib)), Some(NotTaken::Peer)));
    for _ in 0..2 {
        assert!(matches!(receiver.offer(1, &part(2048, &kib)), Some(NotTaken::Peer)));
    }
    // The first bytes of another: the application can take them.
    assert!(receiver.offer(2, &part(0, &kib)).is_none());
    // Another peer has some of what is left for all.
    let first = std::mem::replace(&mut receiver.contact, other);
    assert!(receiver.offer(1, &part(0, &kib)).is_none());
    assert!(matches!(receiver.offer(1, &part(1024, &kib)), Some(NotTaken::All)));
    receiver.contact = first;
    receiver.take(true).await.expect("read");
    assert!(receiver.offer(1, &part(2048, &kib)).is_none(), "there is room again");
    assert_eq!(receiver.failures(), [""; 0]);
}

// CON-13
#[tokio::test]
async fn what_keeps_all_room_and_leads_nowhere_is_given_up() {
    let limits = Limits { large_kib_per_peer: 4, ..Limits::default() };
    let receiver = Receiver::with(limits);
    let kib = [7; 1024];
    assert!(receiver.offer(1, &part(1024, &kib)).is_none());
    assert!(receiver.offer(1, &part(2048, &kib)).is_none());
    // No application can take any of it, so that nothing would ever make room.
    assert!(receiver.offer(1, &part(3072, &kib)).is_none());
    assert_eq!(receiver.failures(), ["there is no room for what came before it"]);
    tidy(&receiver.agent.inner).expect("tidy");
    assert!(receiver.offer(2, &part(1024, &kib)).is_none(), "there is room again");
}

#[test]
fn rows_are_read_as_they_were_written() {
    let receiver = Receiver::new();
    let mut large = Large::new(&receiver.peer, &part(4, b"efgh"), Timestamp::from_secs(9));
    for part in [part(4, b"efgh"), part(0, b"a"), last(10, WHOLE)] {
        large.take(&part).expect("well");
    }
    let value = large.to_value();
    let again = Large::from_value(&value).expect("its own");
    assert_eq!(again.to_value(), value);
    assert_eq!(again.spans, large.spans);
    for cut in 0..value.len() {
        let read = Large::from_value(&value[..cut]);
        // A row may end behind any stretch; the store knows that it is whole.
        let whole = (value.len() - cut).is_multiple_of(16) && value.len() - cut <= 48;
        assert_eq!(read.is_ok(), whole, "{cut}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    // attack T17
    // CON-8, CON-9
    #[test]
    fn any_parts_in_any_order_give_each_byte_once(
        cuts in proptest::collection::vec((0..60_usize, 1..20_usize), 0..20),
        takes in proptest::collection::vec(any::<bool>(), 20),
    ) {
        let whole: Vec<u8> = (0..60).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let receiver = Receiver::new();
            let (mut found, mut done) = (Vec::new(), false);
            let at = |at: usize| u64::try_from(at).expect("short");
            let mut parts: Vec<Part> = cuts
                .iter()
                .map(|(start, len)| match start + len < whole.len() {
                    true => part(at(*start), &whole[*start..start + len]),
                    false => last(at(*start), &whole),
                })
                .collect();
            parts.push(last(0, &whole));
            for (part, takes) in parts.iter().zip(takes.into_iter().chain([true])) {
                assert!(receiver.offer(1, part).is_none());
                if takes {
                    let (bytes, ended) = receiver.take(true).await.expect("read");
                    found.extend(bytes);
                    done |= ended;
                }
            }
            let (bytes, ended) = receiver.take(true).await.expect("read");
            found.extend(bytes);
            assert!(done | ended);
            assert_eq!(found, whole);
            assert_eq!((receiver.rows(), receiver.failures()), (0, vec![]));
        });
    }
}
