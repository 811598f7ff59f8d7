//! What holds for every input of the decoders of this crate. The fuzz targets of the same names
//! include this file, and the tests at its foot replay the targets' corpora. Each says whether
//! its input was accepted. The first byte picks the decoder.
#![cfg(feature = "hazmat")]
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper that fails fails its test"
)]

use std::sync::LazyLock;

use sealwire_core::{
    KeyStore, MemoryKeyStore, Timestamp, keys::StaticSecret, keystore::KeySeeds, secret::Secret,
};
use sealwire_ratchet::{
    Error, Session, Standing,
    agreement::{FirstMessage, Relation},
    hazmat::{self, Decoder},
    prekey::{
        Bundle, BundlePin, Contact, Kind, PeerKeys, PrekeyId, Prekeys, Publisher, RowKey,
        UnverifiedBundle,
    },
    replay::Replayable,
};
use sealwire_testkit::rng::SeededRng;

const NOW: Timestamp = Timestamp::from_secs(1_800_000_000);

/// What a directory serves: bundles, headers of pages, keys out of pages, and pins of bundles.
pub fn prekeys(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match first {
        0 => again(Decoder::Bundle, bytes),
        1 => again(Decoder::Page, bytes),
        2 => claimed(bytes),
        3 => BundlePin::from_bytes(bytes).is_ok_and(|pin| pin.to_bytes() == bytes),
        _ => false,
    }
}

/// First messages: whole frames, prefixes, and what stands sealed in them, opened.
pub fn first_message(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let read = match first {
        // The padding of a frame is not in the corpus.
        0 => {
            let len = if bytes.len() > 4096 { 16_384 } else { 4096 };
            let mut frame = bytes.to_vec();
            frame.resize(len, 0);
            return FirstMessage::from_frame(&frame).is_ok_and(|read| {
                assert_eq!([read.prefix(), read.message()].concat(), frame);
                true
            });
        }
        1 => FirstMessage::from_prefix(bytes),
        2 => return again(Decoder::Introduction, bytes),
        _ => return false,
    };
    read.is_ok_and(|read| {
        assert_eq!(read.prefix(), bytes);
        assert!(read.message().is_empty());
        assert_eq!(read.relation(bytes), Relation::Same);
        true
    })
}

/// Messages that arrive at a session: any bytes; honest ones with changes, three bytes each;
/// and headers, opened.
pub fn ratchet_message(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match usize::from(*first) {
        0 => again(Decoder::Header, bytes),
        1 => {
            let error = TALK.at_bob().open(NOW, bytes).map(|opened| opened.plaintext.len());
            assert!(matches!(error, Err(Error::Open | Error::Decode(_))), "nobody has the keys");
            false
        }
        number => {
            let honest = &TALK.messages[number % TALK.messages.len()];
            let mut message = honest.clone();
            let (changes, _) = bytes.as_chunks::<3>();
            for [high, low, change] in changes {
                let at = usize::from(u16::from_be_bytes([*high, *low])) % message.len();
                message[at] ^= change;
            }
            let bob = TALK.at_bob();
            let opens = bob.open(NOW, &message).is_ok();
            assert_eq!(opens, message == *honest, "what was sealed opens, and nothing else");
            assert!(*bob.to_bytes() == TALK.bob);
            opens
        }
    }
}

/// Rows of the store: a session, the prekeys and pages of either kind, an entry of the replay
/// cache, a standing, a key of a row.
pub fn ratchet_state(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    match first {
        0 => session(bytes),
        1 => rows(&[(RowKey::Signed, bytes)]),
        2 => rows(&[(RowKey::Signed, &SIGNED), (RowKey::Page(Kind::X25519, FIRST), bytes)]),
        3 => rows(&[(RowKey::Signed, &SIGNED), (RowKey::Page(Kind::MlKem, FIRST), bytes)]),
        4 => Replayable::from_bytes(bytes).is_ok_and(|read| {
            assert_eq!(read.to_bytes(), bytes);
            true
        }),
        5 => Standing::from_bytes(bytes).is_ok_and(|read| {
            assert_eq!(read.to_bytes(), bytes);
            true
        }),
        6 => RowKey::from_bytes(bytes).is_ok_and(|read| {
            assert_eq!(read.to_bytes(), bytes);
            true
        }),
        _ => false,
    }
}

fn again(decoder: Decoder, bytes: &[u8]) -> bool {
    decoder.again(bytes).is_some_and(|written| {
        assert_eq!(written, bytes, "{decoder:?}");
        true
    })
}

/// A key out of a page: length of the header, header, key. Only an honest one is taken.
fn claimed(bytes: &[u8]) -> bool {
    let Some((len, bytes)) = bytes.split_first() else { return false };
    let Some((header, key)) = bytes.split_at_checked(usize::from(*len)) else { return false };
    let x25519 = OWNER.bundle.one_time_x25519(header, key, NOW).is_ok();
    let kem = OWNER.bundle.one_time_kem(header, key, NOW).is_ok();
    assert!(!(x25519 && kem), "a key has one kind");
    x25519 || kem
}

/// A session is read only from the bytes that it is written as. One that was read can be used,
/// whatever it says.
fn session(bytes: &[u8]) -> bool {
    let Ok(mut session) = Session::from_bytes(bytes) else { return false };
    assert_eq!(*session.to_bytes(), bytes);
    if let Ok(sealed) = session.seal(NOW, &mut SeededRng::new(1), b"text") {
        session.apply(sealed.step).expect("fresh");
        let written = session.to_bytes();
        assert_eq!(*Session::from_bytes(&written).expect("own bytes").to_bytes(), *written);
    }
    for message in &TALK.messages {
        if let Ok(opened) = session.open(NOW, message) {
            session.apply(opened.step).expect("fresh");
        }
    }
    true
}

fn rows(rows: &[(RowKey, &[u8])]) -> bool {
    let Ok(prekeys) = Prekeys::from_rows(rows.iter().copied()) else { return false };
    let written = prekeys.rows();
    assert_eq!(written.len(), rows.len());
    assert!(written.iter().zip(rows).all(|((key, row), (of, bytes))| key == of && **row == *bytes));
    true
}

const FIRST: PrekeyId = PrekeyId::MIN;

/// The prekeys of device 0, all ids given out.
static SIGNED: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let prekeys = Prekeys::generate(0, NOW, &mut SeededRng::new(1)).expect("randomness");
    let mut row = prekeys.rows()[0].1.to_vec();
    row[9..17].fill(0xFF);
    row
});

/// The owner of the pages in the corpus.
struct Owner {
    bundle: Bundle,
}

static OWNER: LazyLock<Owner> = LazyLock::new(|| {
    let mut rng = SeededRng::new(2);
    let seeds = KeySeeds::generate(&mut rng).expect("seeds");
    let keys = MemoryKeyStore::from_seeds(&seeds).expect("keys");
    let prekeys = Prekeys::generate(0, NOW, &mut rng).expect("randomness");
    let publisher = Publisher { keys: &keys, id: b"bob", card_hash: [7; 32] };
    let (bundle, _) = prekeys.bundle(&publisher, &Contact::default(), NOW).expect("a bundle");
    let publics = keys.public(keys.newest()).expect("a set");
    let peer = PeerKeys {
        id: b"bob",
        key: keys.identity(),
        static_key: &publics.handshake,
        kx: keys.newest(),
        card_hash: [7; 32],
    };
    let bundle = UnverifiedBundle::from_bytes(&bundle).expect("a bundle");
    Owner { bundle: bundle.verify(&peer, 0, None, NOW).expect("his") }
});

/// A conversation of which Bob has seen a part.
struct Talk {
    bob: Vec<u8>,
    /// Of his newest chain, of the next one, one that he skipped.
    messages: Vec<Vec<u8>>,
}

static TALK: LazyLock<Talk> = LazyLock::new(|| {
    let mut rng = SeededRng::new(3);
    let (at_alice, at_bob, prefix) = hazmat::agreed_pair(&mut rng).expect("randomness");
    let prekey = Secret::random(&mut rng).expect("randomness");
    let public = *StaticSecret::from_seed(&prekey).expect("a key").public();
    let mut alice = Session::initiate(at_alice, &public, prefix.clone(), NOW, &mut rng);
    let alice = alice.as_mut().expect("a session");
    alice.drop_prefix();
    let mut bob = Session::respond(at_bob, &prekey, &prefix, NOW).expect("a session");
    let mut seal = |from: &mut Session| {
        let sealed = from.seal(NOW, &mut rng, b"text").expect("sealed");
        from.apply(sealed.step).expect("fresh");
        sealed.frame
    };
    let pass = |to: &mut Session, message: &[u8]| {
        let opened = to.open(NOW, message).expect("it opens");
        to.apply(opened.step).expect("fresh");
    };
    let [skipped, seen, newest] = [(); 3].map(|()| seal(alice));
    pass(&mut bob, &seen);
    let answer = seal(&mut bob);
    pass(alice, &answer);
    let new = seal(alice);
    Talk { bob: bob.to_bytes().to_vec(), messages: vec![newest, new, skipped] }
});

impl Talk {
    fn at_bob(&self) -> Session {
        Session::from_bytes(&self.bob).expect("own bytes")
    }
}

#[cfg(test)]
mod replay {
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn what_a_directory_serves() {
        replay("prekeys", super::prekeys);
    }

    // attack T32
    #[test]
    fn first_messages() {
        replay("first_message", super::first_message);
    }

    // attack T18, T32
    #[test]
    fn messages_at_a_session() {
        replay("ratchet_message", super::ratchet_message);
    }

    // attack T32
    #[test]
    fn rows_of_the_store() {
        replay("ratchet_state", super::ratchet_state);
    }
}
