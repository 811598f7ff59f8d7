//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether its
//! input was accepted. The first byte picks the decoder.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

use core::future::Future;
use std::sync::{Arc, LazyLock};

use sealwire_core::{KeyStore, MemoryKeyStore, Suite, Timestamp};
use sealwire_envelope::{
    Context, Draft, Error, Head, Header, KeyRecord, Layout, Pairs, Unlocked,
    audit::{AuditLog, Event, Verifier},
    kms::Wrapped,
    local::{LocalKek, LocalKeys},
    ring::KekRing,
};
use sealwire_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Objects: contexts, heads, and an honest object with changes, three bytes each.
pub fn envelope_object(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match first {
        0 => Pairs::from_bytes(bytes).is_ok_and(|pairs| {
            assert_eq!(pairs.to_bytes(), bytes);
            assert!(pairs.len() <= Pairs::MAX);
            true
        }),
        1 => head(bytes),
        2 => {
            let mut body = HONEST.body.clone();
            let (changes, rest) = bytes.as_chunks::<3>();
            for [high, low, change] in changes {
                let at = usize::from(u16::from_be_bytes([*high, *low])) % body.len();
                body[at] ^= change;
            }
            body.truncate(body.len() - rest.len());
            let opened = HONEST.open(&body);
            assert_eq!(opened.is_ok(), body == HONEST.body, "what was sealed opens, nothing else");
            assert!(opened.is_ok() || opened == Err(Error::Open));
            opened.is_ok()
        }
        _ => false,
    }
}

/// A head is read only from the bytes that it is written as; what follows has a layout or none.
fn head(bytes: &[u8]) -> bool {
    let Ok((head, rest)) = Head::split(bytes) else { return false };
    assert_eq!([&head.to_bytes()[..], rest].concat(), bytes);
    assert_eq!(Header::from_bytes(head.header().as_bytes()).as_ref(), Ok(head.header()));
    let (head_len, len) = (head.encoded_len(), bytes.len());
    assert!(head_len <= Head::MAX_LEN && head_len + rest.len() == len);
    let as_u64 = |len: usize| u64::try_from(len).expect("a length");
    if let Ok(layout) = Layout::new(as_u64(head_len), as_u64(len)) {
        assert_eq!(layout.body_len(), as_u64(len));
        let again = Layout::of_plaintext(as_u64(head_len), layout.plaintext_len());
        assert_eq!(again, Ok(layout));
        assert_eq!(layout.last().body.end, as_u64(len));
    }
    true
}

/// Key records, rings and the secret form of local keys; and wraps of a local key.
pub fn envelope_keys(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match first {
        0 => KeyRecord::from_bytes(bytes).is_ok_and(|record| {
            assert_eq!(record.to_bytes(), bytes);
            assert!((1..=KeyRecord::MAX_SLOTS).contains(&record.slots().len()));
            true
        }),
        1 => KekRing::from_bytes(bytes).is_ok_and(|ring| {
            assert_eq!(ring.to_bytes(), bytes);
            ring.active().is_ok()
        }),
        2 => LocalKeys::from_bytes(bytes).is_ok_and(|keys| {
            assert_eq!(*keys.to_bytes(), bytes);
            assert!(keys.versions().is_ok_and(|versions| !versions.is_empty()));
            true
        }),
        3 => {
            let honest = HONEST.record.slots()[0].wrapped();
            let wrapped = Wrapped { ciphertext: bytes.to_vec(), ..honest.clone() };
            let opens = HONEST.kek.unwrap_now(&wrapped, HONEST.record.binding()).is_ok();
            assert_eq!(opens, bytes == honest.ciphertext, "what was wrapped, and nothing else");
            opens
        }
        4 => {
            let Ok(name) = core::str::from_utf8(bytes) else { return false };
            let object = KeyRecord::object_of(name);
            object.is_some_and(|object| {
                assert_eq!(KeyRecord::name(object), name);
                true
            })
        }
        _ => false,
    }
}

/// Lines of an audit log behind its first one. Those that were accepted are accepted again, and
/// what follows a log that was read goes on with it.
pub fn envelope_audit(bytes: &[u8]) -> bool {
    let Ok(text) = core::str::from_utf8(bytes) else { return false };
    let (_, start) = AuditLog::start([7; 16], NOW).expect("a log");
    let mut verifier = Verifier::new(SIGNER.identity().clone(), None);
    verifier.line(&start).expect("its first line");
    let mut accepted = 0;
    for line in text.lines() {
        if verifier.line(line).is_err() {
            return false;
        }
        accepted += 1;
    }
    let report = verifier.clone().finish().expect("it has lines");
    assert_eq!(report.last(), accepted);
    let event = Event::Opened { object: HONEST.record.binding().object() };
    let next = report.resume().append(&event, NOW).expect("a line");
    assert_eq!(verifier.line(&next), Ok(Some(event)));
    accepted > 0
}

static SIGNER: LazyLock<MemoryKeyStore> =
    LazyLock::new(|| MemoryKeyStore::generate(&mut SeededRng::new(1)).expect("keys"));

/// An object of two chunks, and the key that opens it.
struct Honest {
    body: Vec<u8>,
    record: KeyRecord,
    kek: LocalKek<SeededRng>,
    unlocked: Unlocked,
}

static HONEST: LazyLock<Honest> = LazyLock::new(|| {
    let keys = LocalKeys::generate("fuzz", &mut SeededRng::new(2)).expect("keys");
    let kek = LocalKek::new(Arc::new(keys), SeededRng::new(3));
    let context = Context::new([("tenant", "acme"), ("type", "text")]).expect("pairs");
    let draft = Draft::new(Suite::ChaChaPoly, &context, &mut SeededRng::new(4)).expect("a draft");
    let wrapped = kek.wrap_now(draft.dek(), draft.binding()).expect("a wrap");
    let record = KeyRecord::new(*draft.binding(), wrapped, NOW).expect("a record");
    let body = draft.seal(&record, &[5; 17_000]).expect("an object");
    let unlocked = unlock(&kek, &record, &body).expect("it opens");
    Honest { body, record, kek, unlocked }
});

fn unlock(kek: &LocalKek<SeededRng>, record: &KeyRecord, body: &[u8]) -> Result<Unlocked, Error> {
    let (head, _) = Head::split(body).map_err(|_| Error::Open)?;
    let required = Pairs::new([("tenant", "acme")])?;
    let unlocked = record.unlock(kek, &head, &required, &());
    let mut task = core::task::Context::from_waker(core::task::Waker::noop());
    match core::pin::pin!(unlocked).poll(&mut task) {
        core::task::Poll::Ready(unlocked) => unlocked,
        core::task::Poll::Pending => Err(Error::NoSlot),
    }
}

impl Honest {
    /// By its own head, and by the head that is expected: each alone must refuse what changed.
    fn open(&self, body: &[u8]) -> Result<(), Error> {
        let by_its_head = unlock(&self.kek, &self.record, body).and_then(|object| {
            let plaintext = object.open(body)?;
            assert!(*plaintext == [5; 17_000]);
            Ok(())
        });
        assert_eq!(self.unlocked.open(body).map(drop).is_ok(), by_its_head.is_ok());
        by_its_head
    }
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T12, T32
    #[test]
    fn objects() {
        replay("envelope_object", super::envelope_object);
    }

    // attack T32
    #[test]
    fn keys() {
        replay("envelope_keys", super::envelope_keys);
    }

    // attack T32
    #[test]
    fn audit_logs() {
        replay("envelope_audit", super::envelope_audit);
    }
}
