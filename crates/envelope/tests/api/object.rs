//! Objects: what opens, and everything that must not.

use std::convert::Infallible;

use proptest::prelude::*;
use rand_core::{TryCryptoRng, TryRng};
use sealwire_core::{DecodeReason, Suite};
use sealwire_envelope::{
    ChunkRange, Context, Draft, Error, Head, KeyRecord, Layout, ObjectId, Unlocked,
    chunks::{CHUNK_LEN, SLOT_LEN},
};
use sealwire_testkit::rng::{BrokenRng, Fault, FixedRng, SeededRng};

use crate::support::{
    NOW, Stored, content, context, kek, now_or_never, open, seal, tenant, unlock,
};

/// Around the edges of chunks.
const LENGTHS: [usize; 9] = [0, 1, 15, 16_383, 16_384, 16_385, 32_767, 32_768, 40_000];

/// What the opener releases of the chunks of a body, given in pieces, and whether they are whole.
/// As in a stream: it never sees the length.
fn stream(unlocked: &Unlocked, chunks: &[u8], piece: usize) -> (Vec<u8>, bool) {
    let (mut opener, mut out) = (unlocked.opener(), Vec::new());
    let pushed = chunks.chunks(piece).try_for_each(|piece| opener.push(piece, &mut out));
    let whole = pushed.is_ok() && opener.finish(&mut out).is_ok();
    (out, whole)
}

#[test]
fn objects_of_every_length_survive_a_round_trip() {
    let kek = kek(1);
    for suite in Suite::ALL {
        for len in LENGTHS {
            let stored = seal(&kek, suite, 7, &content(len));
            assert_eq!(open(&kek, &stored).unwrap(), content(len), "{suite:?} {len}");
            let (head, _) = Head::split(&stored.body).unwrap();
            let layout = Layout::new(head.encoded_len() as u64, stored.body.len() as u64).unwrap();
            assert_eq!(layout.plaintext_len(), len as u64);
            assert_eq!(layout.body_len(), stored.body.len() as u64);
        }
    }
}

// attack T12
// ENV-11, ENV-12
#[test]
fn an_object_of_three_chunks_cut_at_any_byte_is_refused() {
    let plaintext = content(2 * CHUNK_LEN + 100);
    let kek = kek(1);
    for suite in Suite::ALL {
        let stored = seal(&kek, suite, 7, &plaintext);
        let unlocked = unlock(&kek, &stored, &tenant("acme")).unwrap();
        let head_len = unlocked.head().encoded_len();
        for len in 0..stored.body.len() {
            let body = &stored.body[..len];
            assert_eq!(unlocked.open(body).map(drop), Err(Error::Open), "cut at {len}");
            if len < head_len {
                let cut = Head::split(body).unwrap_err();
                assert_eq!(cut.reason(), DecodeReason::Truncated, "cut at {len}");
                continue;
            }
            // Chunks that are whole are authentic and leave; that the object was cut is said.
            let (out, whole) = stream(&unlocked, &body[head_len..], usize::MAX);
            assert!(!whole, "cut at {len}");
            let released = (len - head_len) / SLOT_LEN * CHUNK_LEN;
            assert!(out == plaintext[..released], "cut at {len}");
        }
    }
}

/// The chunks of a body, each with its tag.
fn slots(body: &[u8], head_len: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (head, chunks) = body.split_at(head_len);
    (head.to_vec(), chunks.chunks(SLOT_LEN).map(<[u8]>::to_vec).collect())
}

// attack T12
// ENV-9, ENV-12
#[test]
fn chunks_that_are_moved_dropped_repeated_or_added_are_refused() {
    type Change = fn(&mut Vec<Vec<u8>>);
    let changes: [(&str, usize, Change); 12] = [
        ("the first two swapped", 0, |slots| slots.swap(0, 1)),
        ("the second and third swapped", 1, |slots| slots.swap(1, 2)),
        ("the last moved to the front", 0, |slots| slots.rotate_right(1)),
        ("the first dropped", 0, |slots| drop(slots.remove(0))),
        ("one in the middle dropped", 1, |slots| drop(slots.remove(1))),
        ("the last dropped", 3, |slots| drop(slots.pop())),
        ("the first repeated", 1, |slots| slots.insert(0, slots[0].clone())),
        ("the last repeated", 3, |slots| slots.push(slots[3].clone())),
        ("a chunk of zeros added", 3, |slots| slots.push(vec![0; SLOT_LEN])),
        ("an empty chunk added", 3, |slots| slots.push(vec![0; 16])),
        ("a byte added", 3, |slots| slots.push(vec![0])),
        ("the last of a shorter object", 2, |slots| drop(slots.remove(2))),
    ];
    let plaintext = content(3 * CHUNK_LEN + 100);
    let kek = kek(1);
    for suite in Suite::ALL {
        let stored = seal(&kek, suite, 7, &plaintext);
        let unlocked = unlock(&kek, &stored, &tenant("acme")).unwrap();
        for (name, authentic, change) in &changes {
            let (head, mut slots) = slots(&stored.body, unlocked.head().encoded_len());
            change(&mut slots);
            let chunks = slots.concat();
            let body = [&head[..], &chunks].concat();
            assert_eq!(unlocked.open(&body).map(drop), Err(Error::Open), "{name}");
            for piece in [usize::MAX, SLOT_LEN, 1_000] {
                let (out, whole) = stream(&unlocked, &chunks, piece);
                assert!(!whole, "{name}");
                assert!(out == plaintext[..authentic * CHUNK_LEN], "{name}: {}", out.len());
            }
        }
    }
}

// ENV-12
#[test]
fn opening_appends_all_of_an_object_or_nothing() {
    let plaintext = content(3 * CHUNK_LEN + 100);
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, &plaintext);
    let draft = Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
    let mut body = b"before".to_vec();
    let sealed = draft.seal_into(&stored.record, &plaintext, &mut body).unwrap();
    assert_eq!(sealed.plaintext_len(), plaintext.len() as u64);
    assert!(body == [b"before", &stored.body[..]].concat());
    // A part of a chunk before the end, and the rest with it.
    let draft = Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
    let mut body = Vec::new();
    let mut sealer = draft.into_sealer(&stored.record, &mut body).unwrap();
    sealer.push(&plaintext[..10], &mut body).unwrap();
    assert_eq!(sealer.finish_with(&plaintext[10..], &mut body), Ok(sealed));
    assert!(body == stored.body);

    let unlocked = unlock(&kek, &stored, &tenant("acme")).unwrap();
    let mut out = b"before".to_vec();
    unlocked.open_into(&stored.body, &mut out).unwrap();
    assert!(out == [b"before", &plaintext[..]].concat());
    for at in [0, stored.body.len() - 1] {
        let mut changed = stored.body.clone();
        changed[at] ^= 1;
        assert_eq!(unlocked.open_into(&changed, &mut out), Err(Error::Open));
        assert_eq!(out.len(), 6 + plaintext.len());
    }
}

// ENV-9, ENV-12
#[test]
fn memory_of_the_right_length_takes_an_object_or_its_content() {
    let kek = kek(1);
    for len in [0, 1, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN] {
        let plaintext = content(len);
        let stored = seal(&kek, Suite::AesGcm, 7, &plaintext);
        let draft = || Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
        let layout = draft().layout(len as u64).unwrap();
        let body_len = usize::try_from(layout.body_len()).unwrap();
        let unlocked = unlock(&kek, &stored, &tenant("acme")).unwrap();
        for (extra, is_right) in [(0, true), (1, false)] {
            let mut body = vec![0xFF; body_len + extra];
            let sealed = draft().seal_to_slice(&stored.record, &plaintext, &mut body);
            assert_eq!(sealed.is_ok(), is_right, "{len}");
            assert_eq!(body == stored.body, is_right, "{len}");
            let mut out = vec![0xFF; len + extra];
            let opened = unlocked.open_to_slice(&stored.body, &mut out);
            assert_eq!(opened.is_ok(), is_right, "{len}");
            assert_eq!(out == plaintext, is_right, "{len}");
        }
        for at in [0, stored.body.len() - 1] {
            let (mut changed, mut out) = (stored.body.clone(), vec![0xFF; len]);
            changed[at] ^= 1;
            assert_eq!(unlocked.open_to_slice(&changed, &mut out), Err(Error::Open));
            assert!(out.iter().all(|byte| [0, 0xFF].contains(byte)), "{len}");
        }
    }
}

// ENV-12
#[test]
fn an_opener_that_has_failed_gives_nothing_more() {
    let plaintext = content(3 * CHUNK_LEN + 100);
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, &plaintext);
    let unlocked = unlock(&kek, &stored, &tenant("acme")).unwrap();
    let mut chunks = stored.body[unlocked.head().encoded_len()..].to_vec();
    chunks[SLOT_LEN] ^= 1;

    let (mut opener, mut out) = (unlocked.opener(), b"before".to_vec());
    assert_eq!(opener.push(&chunks, &mut out), Err(Error::Open));
    assert!(out == [b"before", &plaintext[..CHUNK_LEN]].concat());
    assert!(!out.spare_capacity_mut().is_empty());
    for rest in [&chunks[2 * SLOT_LEN..], &chunks[SLOT_LEN..], &[]] {
        assert_eq!(opener.push(rest, &mut out), Err(Error::Open));
    }
    assert_eq!(out.len(), 6 + CHUNK_LEN);
    assert_eq!(opener.finish(&mut out), Err(Error::Open));
}

// attack T12
// ENV-6, ENV-8
#[test]
fn a_byte_changed_anywhere_before_the_chunks_opens_nothing() {
    let kek = kek(1);
    let plaintext = content(100);
    let stored = seal(&kek, Suite::AesGcm, 7, &plaintext);
    let head_len = unlock(&kek, &stored, &tenant("acme")).unwrap().head().encoded_len();
    for at in 0..head_len {
        for mask in [1, 0x80] {
            let mut body = stored.body.clone();
            body[at] ^= mask;
            let changed = Stored { body, record: stored.record.clone() };
            assert!(open(&kek, &changed).is_err(), "byte {at}");
            // Without what the head says of itself: the keys that were unwrapped are of another.
            if let Ok((head, _)) = Head::split(&changed.body) {
                assert_ne!(head.to_bytes(), stored.body[..head_len]);
                let refused = unlock(&kek, &changed, &tenant("acme")).map(drop);
                assert_eq!(refused, Err(Error::Open), "byte {at}");
            }
        }
    }
}

/// A body with another head in front of the same chunks.
fn with_head(stored: &Stored, from: usize, bytes: &[u8]) -> Stored {
    let mut body = stored.body.clone();
    body[from..from + bytes.len()].copy_from_slice(bytes);
    Stored { body, record: stored.record.clone() }
}

// attack T12
// ENV-2, ENV-6, ENV-15, ENV-20
#[test]
fn each_field_of_the_head_is_bound() {
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, b"content");
    let other = seal(&kek, Suite::AesGcm, 8, b"content");
    let decode = |stored: &Stored| Head::split(&stored.body).map(drop).unwrap_err().to_string();
    for (name, at, bytes, why) in [
        ("magic", 0, &b"\x89sealw\r\n"[..], "object: begins with the bytes of an object"),
        ("version", 8, &[2], "object: unknown version 2; a newer release may read it"),
        ("suite", 9, &[3], "suite: unknown suite id"),
        ("reserved", 10, &[0, 1], "object: the reserved bytes are zero"),
        ("length of the context", 28, &[0, 0, 0x20, 1], "object: longer than 8192 bytes"),
        ("context", 34, &[7], "context: a name has 1 to 128 bytes and no control characters"),
    ] {
        assert_eq!(decode(&with_head(&stored, at, bytes)), why, "{name}");
    }
    let salt_at = Head::split(&stored.body).unwrap().0.header().as_bytes().len();
    for (name, at, bytes) in [
        ("suite", 9, &[2][..]),
        ("object id", 12, &other.body[12..28]),
        ("stored context", 48, b"X"),
        ("salt", salt_at, &other.body[salt_at..salt_at + 24]),
        ("commitment", salt_at + 24, &other.body[salt_at + 24..salt_at + 56]),
        ("salt and commitment", salt_at, &other.body[salt_at..salt_at + 56]),
    ] {
        assert_eq!(open(&kek, &with_head(&stored, at, bytes)), Err(Error::Open), "{name}");
    }
}

// attack T12, T40
// ENV-4, ENV-20
#[test]
fn another_tenant_or_context_opens_nothing() {
    let kek = kek(1);
    let stored = seal(&kek, Suite::AesGcm, 7, b"content");
    let none = sealwire_envelope::Pairs::default();
    let more = sealwire_envelope::Pairs::new([("tenant", "acme"), ("case", "7")]).unwrap();
    let stored_again =
        sealwire_envelope::Pairs::new([("tenant", "acme"), ("content-type", "text/plain")])
            .unwrap();
    for (name, required) in [
        ("another tenant", tenant("other")),
        ("a tenant that begins alike", tenant("acm")),
        ("no tenant", none),
        ("a pair more", more),
        ("a stored pair as a required one", stored_again),
    ] {
        assert_eq!(unlock(&kek, &stored, &required).map(drop), Err(Error::Open), "{name}");
    }
    assert!(unlock(&kek, &stored, &tenant("acme")).is_ok());
}

#[test]
fn pairs_that_are_required_by_name_must_be_known() {
    let kek = kek(1);
    let pairs = [("tenant", "acme"), ("case", "7"), ("type", "text")];
    let context = Context::requiring(&["case"], pairs).unwrap();
    let draft = Draft::new(Suite::AesGcm, &context, &mut SeededRng::new(5)).unwrap();
    let record = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
    let body = draft.seal(&record, b"content").unwrap();
    assert!(!body.windows(4).any(|window| window == b"acme" || window == b"case"));
    let stored = Stored { body, record };

    assert_eq!(open(&kek, &stored), Err(Error::Open));
    let unlocked = unlock(&kek, &stored, context.required()).unwrap();
    assert_eq!(*unlocked.open(&stored.body).unwrap(), b"content");
    assert_eq!(unlocked.head().header().stored().get("type"), Some("text"));
}

// attack T31
// ENV-5
#[test]
fn a_generator_that_fails_gives_zeros_or_repeats_itself_begins_no_object() {
    let one_call = [0, 1].map(Fault::Once);
    for fault in [Fault::Always, Fault::Zero, Fault::Repeating].into_iter().chain(one_call) {
        let begun = Draft::new(Suite::AesGcm, &context(), &mut BrokenRng::new(fault));
        assert_eq!(begun.map(drop).unwrap_err(), Error::Randomness, "{fault:?}");
    }
    // One whose state does not change from call to call.
    let begun = Draft::new(Suite::AesGcm, &context(), &mut Anew);
    assert_eq!(begun.map(drop).unwrap_err(), Error::Randomness);
}

// attack T31: the header would tell what the key begins with.
// ENV-5
#[test]
fn an_id_or_a_salt_that_is_the_beginning_of_the_key_begins_no_object() {
    let key: Vec<u8> = (1..=32).collect();
    for (name, id, salt, sound) in [
        ("the id", &key[..16], [9; 24].as_slice(), false),
        ("the salt", &[8; 16], &key[..24], false),
        ("the id but for its last byte", &[&key[..15], &[8]].concat(), &[9; 24], true),
        ("the salt but for its last byte", &[8; 16], &[&key[..23], &[9]].concat(), true),
    ] {
        let mut rng = FixedRng::new(&[id, &key, salt].concat());
        let begun = Draft::new(Suite::AesGcm, &context(), &mut rng);
        assert_eq!(begun.is_ok(), sound, "{name}");
    }
}

/// Gives the same bytes in each call, and others within one.
struct Anew;

impl TryRng for Anew {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        SeededRng::new(1).try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        SeededRng::new(1).try_next_u64()
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        SeededRng::new(1).try_fill_bytes(out)
    }
}

impl TryCryptoRng for Anew {}

// ENV-5
#[test]
fn no_two_objects_share_an_id_a_key_or_a_salt() {
    let mut rng = SeededRng::new(1);
    let mut draft = || Draft::new(Suite::AesGcm, &context(), &mut rng).unwrap();
    let (one, two) = (draft(), draft());
    assert_ne!(one.object(), two.object());
    assert_ne!(one.dek().expose(), two.dek().expose());
    assert_ne!(one.head().salt(), two.head().salt());
    assert_ne!(one.binding().tenant_digest(), two.binding().tenant_digest());
}

// ENV-13
#[test]
fn a_sealer_that_is_dropped_leaves_what_does_not_open() {
    let kek = kek(1);
    for len in [0, 10, CHUNK_LEN, 3 * CHUNK_LEN + 10] {
        let draft = Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
        let record = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
        let mut body = Vec::new();
        let mut sealer = draft.into_sealer(&record, &mut body).unwrap();
        sealer.push(&content(len), &mut body).unwrap();
        drop(sealer);
        assert_eq!(open(&kek, &Stored { body, record }), Err(Error::Open), "{len}");
    }
}

// ENV-19
#[test]
fn content_is_sealed_only_with_the_record_of_its_object() {
    let kek = kek(1);
    let other = seal(&kek, Suite::AesGcm, 8, b"");
    let draft = Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
    let mut body = Vec::new();
    assert!(matches!(draft.into_sealer(&other.record, &mut body), Err(Error::Misuse(_))));
    assert!(body.is_empty());
}

#[test]
fn runs_of_chunks_are_what_pushing_gives() {
    let kek = kek(1);
    let plaintext = content(5 * CHUNK_LEN + 10);
    let pushed = seal(&kek, Suite::ChaChaPoly, 7, &plaintext);
    let draft = Draft::new(Suite::ChaChaPoly, &context(), &mut SeededRng::new(7)).unwrap();
    let record = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
    let mut body = Vec::new();
    let mut sealer = draft.into_sealer(&record, &mut body).unwrap();

    let runs = [sealer.run(2).unwrap(), sealer.run(0).unwrap(), sealer.run(3).unwrap()];
    assert_eq!([runs[0].first(), runs[1].first(), runs[2].first()], [0, 2, 2]);
    let with_room = |chunks: &[u8]| -> Vec<u8> {
        chunks.chunks(CHUNK_LEN).flat_map(|chunk| [chunk, &[0; 16]].concat()).collect()
    };
    let (first, rest) = plaintext.split_at(2 * CHUNK_LEN);
    let (second, last) = rest.split_at(3 * CHUNK_LEN);
    let parts = std::thread::scope(|scope| {
        let threads = runs.into_iter().zip([first, &[], second]).map(|(run, chunks)| {
            scope.spawn(move || {
                let mut slots = with_room(chunks);
                run.seal(&mut slots).unwrap();
                slots
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    parts.iter().for_each(|part| body.extend_from_slice(part));
    sealer.push(last, &mut body).unwrap();
    assert!(matches!(sealer.run(1), Err(Error::Misuse(_))));
    sealer.finish(&mut body).unwrap();
    assert!(body == pushed.body);
}

#[test]
fn runs_are_sealed_from_one_buffer_to_another_of_the_right_length() {
    let kek = kek(1);
    let plaintext = content(2 * CHUNK_LEN);
    let pushed = seal(&kek, Suite::AesGcm, 7, &plaintext);
    for (content, slots, fits) in [
        (2 * CHUNK_LEN, 2 * SLOT_LEN, true),
        (CHUNK_LEN, 2 * SLOT_LEN, false),
        (2 * CHUNK_LEN, SLOT_LEN, false),
        (2 * CHUNK_LEN, 2 * SLOT_LEN - 1, false),
        (0, 0, false),
    ] {
        let draft = Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
        let record = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
        let mut body = Vec::new();
        let mut sealer = draft.into_sealer(&record, &mut body).unwrap();
        let mut sealed = vec![0; slots];
        let run = sealer.run(2).unwrap().seal_into(&plaintext[..content], &mut sealed);
        assert_eq!(run.is_ok(), fits, "{content} bytes into {slots}");
        if fits {
            body.extend_from_slice(&sealed);
            sealer.finish(&mut body).unwrap();
            assert!(body == pushed.body);
        }
    }
}

// ENV-10
// attack T20
#[test]
fn an_object_that_grew_too_long_cannot_be_completed() {
    let kek = kek(1);
    let draft = Draft::new(Suite::AesGcm, &context(), &mut SeededRng::new(7)).unwrap();
    let record = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
    let mut body = Vec::new();
    let mut sealer = draft.into_sealer(&record, &mut body).unwrap();
    let run = sealer.run((1 << 38) - 1).unwrap();
    assert!(matches!(run.seal(&mut [0; SLOT_LEN]), Err(Error::Misuse(_))));
    let before = body.len();
    let too_long = Err(Error::Misuse("an object over 4 PiB"));
    // One chunk is left, which must be the last.
    sealer.push(&content(CHUNK_LEN), &mut body).unwrap();
    let after = body.len();
    assert_eq!(after, before + SLOT_LEN);
    assert_eq!(sealer.push(&content(CHUNK_LEN), &mut body), too_long);
    assert_eq!(sealer.push(&[], &mut body), Ok(()));
    assert_eq!(sealer.finish(&mut body).map(drop), too_long);
    assert_eq!(body.len(), after);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn pieces_make_no_difference(
        len in 0usize..100_000,
        pieces in proptest::collection::vec(1usize..40_000, 1..8),
        suite in prop_oneof![Just(Suite::AesGcm), Just(Suite::ChaChaPoly)],
    ) {
        let (kek, plaintext) = (kek(1), content(len));
        let whole = seal(&kek, suite, 7, &plaintext);
        let draft = Draft::new(suite, &context(), &mut SeededRng::new(7)).unwrap();
        let mut body = Vec::new();
        let mut sealer = draft.into_sealer(&whole.record, &mut body).unwrap();
        let mut rest = &plaintext[..];
        for piece in pieces.iter().cycle() {
            let (part, behind) = rest.split_at((*piece).min(rest.len()));
            sealer.push(part, &mut body).unwrap();
            rest = behind;
            if rest.is_empty() { break }
        }
        sealer.finish(&mut body).unwrap();
        prop_assert!(body == whole.body);

        let unlocked = unlock(&kek, &whole, &tenant("acme")).unwrap();
        let chunks = &body[unlocked.head().encoded_len()..];
        let (out, complete) = stream(&unlocked, chunks, pieces[0]);
        prop_assert!(complete && out == plaintext);
    }

    // ENV-14
    #[test]
    fn any_range_is_that_part_of_the_content(
        len in 0usize..70_000,
        start in 0u64..80_000,
        end in 0u64..80_000,
    ) {
        let (kek, plaintext) = (kek(1), content(len));
        let stored = seal(&kek, Suite::AesGcm, 7, &plaintext);
        let unlocked = unlock(&kek, &stored, &tenant("acme")).unwrap();
        let layout = unlocked.layout(stored.body.len() as u64).unwrap();
        let found = read(&unlocked, &stored.body, &layout.chunks_of(&(start..end)));
        let expected = to_usize(&(start.min(len as u64)..end.min(len as u64).max(start.min(len as u64))));
        prop_assert!(found == plaintext[expected]);

        let last = layout.last();
        prop_assert!(read(&unlocked, &stored.body, &last).len() as u64 == last.take);
        // A length that is one chunk short makes another chunk the last.
        if len > CHUNK_LEN {
            let shorter = stored.body.len() - SLOT_LEN;
            let layout = unlocked.layout(shorter as u64).unwrap();
            let mut slot = stored.body[to_usize(&layout.last().body)].to_vec();
            let refused = unlocked.key().open_last(layout.last().first, &mut slot);
            prop_assert_eq!(refused, Err(Error::Open));
        }
    }
}

fn to_usize(range: &std::ops::Range<u64>) -> std::ops::Range<usize> {
    usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()
}

/// Reads a range as an adapter does.
fn read(unlocked: &Unlocked, body: &[u8], range: &ChunkRange) -> Vec<u8> {
    let mut slots = body[to_usize(&range.body)].to_vec();
    let full = usize::try_from(range.count).unwrap() - usize::from(range.ends);
    let (whole, last) = slots.split_at_mut(full * SLOT_LEN);
    unlocked.key().open_chunks(range.first, whole).unwrap();
    if range.ends {
        unlocked.key().open_last(range.first + range.count - 1, last).unwrap();
    }
    let plaintext: Vec<u8> =
        slots.chunks(SLOT_LEN).flat_map(|slot| slot[..slot.len() - 16].to_vec()).collect();
    let skip = usize::try_from(range.skip).unwrap();
    plaintext[skip..skip + usize::try_from(range.take).unwrap()].to_vec()
}

#[test]
fn lengths_that_no_object_has_are_refused() {
    let head = 88;
    for len in [0, 87, 88, 103, 88 + 16_400, 88 + 16_415, 88 + 2 * 16_400] {
        assert_eq!(Layout::new(head, len), Err(Error::Open), "{len}");
    }
    for len in [104, 88 + 16_399, 88 + 16_416] {
        assert_eq!(Layout::new(head, len).unwrap().body_len(), len);
    }
    let most = (1u64 << 52) - 1;
    let longest = Layout::of_plaintext(head, most).unwrap();
    assert_eq!((longest.plaintext_len(), longest.chunks()), (most, 1 << 38));
    assert_eq!(Layout::new(head, longest.body_len()), Ok(longest));
    assert!(matches!(Layout::of_plaintext(head, most + 1), Err(Error::Misuse(_))));
    for len in [longest.body_len() + 17, u64::MAX] {
        assert_eq!(Layout::new(head, len), Err(Error::Open), "{len}");
    }
}

// ENV-3
#[test]
fn the_longest_context_fits_and_a_longer_one_does_not() {
    let kek = kek(1);
    let longest = "v".repeat(8 * 1024 - 5);
    let context = Context::new([("n", &*longest)]).unwrap();
    let draft = Draft::new(Suite::AesGcm, &context, &mut SeededRng::new(7)).unwrap();
    let record = now_or_never(KeyRecord::wrap(&draft, &kek, NOW)).unwrap();
    let body = draft.seal(&record, b"content").unwrap();
    assert_eq!(Head::split(&body).unwrap().0.encoded_len(), Head::MAX_LEN);
    let stored = Stored { body, record };
    let none = sealwire_envelope::Pairs::default();
    assert!(unlock(&kek, &stored, &none).is_ok());
    // Together with these they are more than any object has.
    assert_eq!(unlock(&kek, &stored, &tenant("acme")).map(drop), Err(Error::Open));
    assert_eq!(ObjectId::from_hex("00"), None);
}
