//! The preamble in clear before message 1, the prologue over it, and the gate.
//!
//! ```text
//! version 1 | suite 1 | pattern 1 | count 1 | offered suites | kx_id u32 |
//!     IK only: ML-KEM ciphertext 1088 | gate 32
//! ```

use sealwire_core::{
    DecodeError, DecodeReason, Suite, SuiteSet,
    codec::{Reader, Writer},
    kdf,
    kem::{CIPHERTEXT_LEN, KemCiphertext, KemPublic},
    keystore::KxId,
    label::{Context, Label},
    secret::equal,
};

use crate::{Error, Pattern};

const VERSION: u8 = 1;
const GATE_LEN: usize = 32;

/// A parsed preamble.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preamble {
    suite: Suite,
    offered: SuiteSet,
    route: Route,
}

/// What differs between the patterns.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Route {
    Xx,
    Ik { kx: KxId, ciphertext: KemCiphertext, gate: [u8; GATE_LEN] },
}

impl Preamble {
    /// Length of the part that tells the length of the rest, in bytes.
    pub const HEAD_LEN: usize = 4;
    /// The longest preamble, in bytes: IK with 8 offered suites.
    pub const MAX_LEN: usize = Self::HEAD_LEN + SuiteSet::MAX + 4 + CIPHERTEXT_LEN + GATE_LEN;

    /// How many bytes follow the head.
    ///
    /// # Errors
    /// [`DecodeError`] for an unknown version, suite or pattern, or a suite count out of
    /// bounds: all that can be refused before more is read.
    pub fn rest_len(head: &[u8; Self::HEAD_LEN]) -> Result<usize, DecodeError> {
        // HS-2
        let mut reader = Reader::new("preamble", head);
        reader.version(VERSION)?;
        Suite::from_u8(reader.u8()?)?;
        let pattern = Pattern::from_u8(reader.u8()?)?;
        let count = usize::from(reader.u8()?);
        if count == 0 || count > SuiteSet::MAX {
            return Err(reader.error(DecodeReason::Invalid("offers 1 to 8 suites")));
        }
        let fields = match pattern {
            Pattern::Xx => 4,
            Pattern::Ik => 4 + CIPHERTEXT_LEN + GATE_LEN,
        };
        Ok(count.saturating_add(fields))
    }

    /// Decodes a whole preamble.
    ///
    /// # Errors
    /// [`DecodeError`] that says what is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new("preamble", bytes);
        reader.version(VERSION)?;
        let suite = Suite::from_u8(reader.u8()?)?;
        let pattern = Pattern::from_u8(reader.u8()?)?;
        let count = usize::from(reader.u8()?);
        // HS-3
        let offered = SuiteSet::from_bytes(reader.take(count)?)?;
        if !offered.contains(suite) {
            return Err(reader.error(DecodeReason::Invalid("the suite is among those offered")));
        }
        let kx = KxId::new(reader.u32()?);
        let route = match (pattern, kx) {
            (Pattern::Xx, None) => Route::Xx,
            (Pattern::Ik, Some(kx)) => Route::Ik {
                kx,
                ciphertext: KemCiphertext::from_bytes(reader.take(CIPHERTEXT_LEN)?)?,
                gate: *reader.array()?,
            },
            _ => return Err(reader.error(DecodeReason::Invalid("kx_id is 0 in XX only"))),
        };
        reader.finish()?;
        Ok(Self { suite, offered, route })
    }

    /// The suite of the handshake.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// The suites that the initiator could have used.
    pub fn offered(&self) -> &SuiteSet {
        &self.offered
    }

    /// The pattern.
    pub fn pattern(&self) -> Pattern {
        match self.route {
            Route::Xx => Pattern::Xx,
            Route::Ik { .. } => Pattern::Ik,
        }
    }

    /// The responder's set of exchange keys that the initiator used, in IK.
    pub fn kx(&self) -> Option<KxId> {
        match &self.route {
            Route::Xx => None,
            Route::Ik { kx, .. } => Some(*kx),
        }
    }

    /// The ciphertext to the responder's static ML-KEM key, in IK.
    pub(crate) fn ciphertext(&self) -> Option<&KemCiphertext> {
        match &self.route {
            Route::Xx => None,
            Route::Ik { ciphertext, .. } => Some(ciphertext),
        }
    }

    /// A preamble for XX.
    pub(crate) fn xx(suite: Suite, offered: SuiteSet) -> Result<Self, Error> {
        if !offered.contains(suite) {
            return Err(Error::Misuse("the suite is not among those offered"));
        }
        Ok(Self { suite, offered, route: Route::Xx })
    }

    /// A preamble for IK. The gate is filled in by [`Preamble::close_gate`].
    pub(crate) fn ik(
        suite: Suite,
        offered: SuiteSet,
        kx: KxId,
        ciphertext: KemCiphertext,
    ) -> Result<Self, Error> {
        if !offered.contains(suite) {
            return Err(Error::Misuse("the suite is not among those offered"));
        }
        Ok(Self { suite, offered, route: Route::Ik { kx, ciphertext, gate: [0; GATE_LEN] } })
    }

    /// The bytes up to the gate.
    fn before_gate(&self) -> Vec<u8> {
        let offered = self.offered.to_bytes();
        let mut writer = Writer::with_capacity(Self::MAX_LEN);
        writer.u8(VERSION).u8(self.suite.id()).u8(self.pattern().id());
        writer.u8(u8::try_from(offered.len()).unwrap_or(0)).bytes(&offered);
        match &self.route {
            Route::Xx => writer.u32(0),
            Route::Ik { kx, ciphertext, .. } => writer.u32(kx.get()).bytes(ciphertext.as_bytes()),
        };
        writer.into_bytes()
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.before_gate();
        if let Route::Ik { gate, .. } = &self.route {
            bytes.extend_from_slice(gate);
        }
        bytes
    }

    /// The Noise prologue: everything up to the gate, labelled.
    pub(crate) fn prologue(&self) -> Result<Context, Error> {
        // HS-4
        Ok(Label::NOISE_PROLOGUE.context(Some(self.suite), &[&self.before_gate()])?)
    }

    /// Computes and fills in the gate over message 1.
    pub(crate) fn close_gate(&mut self, key: &GateKey, message1: &[u8]) {
        let tag = key.tag(&self.before_gate(), message1);
        if let Route::Ik { gate, .. } = &mut self.route {
            *gate = tag;
        }
    }

    /// Whether the gate was made for this key, over this preamble and message 1. One HMAC:
    /// it stands before every public-key operation.
    ///
    /// # Errors
    /// [`Error::Gate`].
    pub fn check_gate(&self, key: &GateKey, message1: &[u8]) -> Result<(), Error> {
        // HS-5
        match &self.route {
            Route::Ik { gate, .. } if equal(gate, &key.tag(&self.before_gate(), message1)) => {
                Ok(())
            }
            _ => Err(Error::Gate),
        }
    }
}

/// The key of the gate. Whoever knows the responder's card can compute it: the gate keeps
/// floods away, it authenticates nobody.
#[derive(Clone)]
pub struct GateKey([u8; 32]);

impl GateKey {
    /// The gate key of a responder with this static ML-KEM key.
    ///
    /// # Errors
    /// [`Error::Misuse`] only, which a key of fixed length never causes.
    pub fn new(responder: &KemPublic) -> Result<Self, Error> {
        let context = Label::NOISE_GATE.context(None, &[responder.as_bytes()])?;
        Ok(Self(kdf::sha256(&[context.as_bytes()])))
    }

    fn tag(&self, before_gate: &[u8], message1: &[u8]) -> [u8; GATE_LEN] {
        kdf::hmac(&self.0, &[before_gate, message1])
    }
}

impl core::fmt::Debug for GateKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("GateKey(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ik() -> Preamble {
        let ciphertext = KemCiphertext::from_bytes(&[7; CIPHERTEXT_LEN]).expect("length");
        Preamble::ik(Suite::AesGcm, SuiteSet::all(), KxId::MIN, ciphertext).expect("offered")
    }

    fn xx() -> Preamble {
        Preamble::xx(Suite::ChaChaPoly, SuiteSet::all()).expect("offered")
    }

    #[test]
    fn round_trips_and_every_cut_is_refused() {
        for preamble in [ik(), xx()] {
            let bytes = preamble.to_bytes();
            assert_eq!(Preamble::from_bytes(&bytes), Ok(preamble));
            let (head, rest) = bytes.split_first_chunk().expect("a head");
            assert_eq!(Preamble::rest_len(head), Ok(rest.len()));
            for cut in 0..bytes.len() {
                assert!(Preamble::from_bytes(&bytes[..cut]).is_err(), "{cut}");
            }
            assert!(Preamble::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        }
    }

    // A preamble that offers anything but a hybrid suite is an error.
    // attack T6, T32
    #[test]
    fn bad_preambles_are_refused() {
        for (name, bytes) in [
            ("version 0", [0, 1, 1, 1, 1, 0, 0, 0, 0].as_slice()),
            ("version 2", &[2, 1, 1, 1, 1, 0, 0, 0, 0]),
            ("suite 0", &[1, 0, 1, 1, 1, 0, 0, 0, 0]),
            ("unknown suite", &[1, 3, 1, 1, 3, 0, 0, 0, 0]),
            ("pattern 0", &[1, 1, 0, 1, 1, 0, 0, 0, 0]),
            ("unknown pattern", &[1, 1, 3, 1, 1, 0, 0, 0, 0]),
            ("nothing offered", &[1, 1, 1, 0, 0, 0, 0, 0]),
            ("offered twice", &[1, 1, 1, 2, 1, 1, 0, 0, 0, 0]),
            ("offered descending", &[1, 1, 1, 2, 2, 1, 0, 0, 0, 0]),
            ("suite not offered", &[1, 1, 1, 1, 2, 0, 0, 0, 0]),
            ("nine offered", &[1, 1, 1, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 0, 0, 0]),
            ("kx_id in XX", &[1, 1, 1, 1, 1, 0, 0, 0, 1]),
            ("no kx_id in IK", &[1, 1, 2, 1, 1, 0, 0, 0, 0]),
        ] {
            assert!(Preamble::from_bytes(bytes).is_err(), "{name}");
        }
        assert!(Preamble::from_bytes(&[1, 1, 1, 1, 1, 0, 0, 0, 0]).is_ok());
    }

    // HS-2: the head alone says how much follows, and the most of it is what a reader makes room
    // for.
    #[test]
    fn the_head_says_how_much_follows() {
        for (name, head, rest) in [
            ("XX, one suite", [1, 1, 1, 1], 1 + 4),
            ("XX, eight suites", [1, 1, 1, 8], 8 + 4),
            ("IK, one suite", [1, 1, 2, 1], 1 + 4 + 1088 + 32),
            ("IK, eight suites", [1, 1, 2, 8], 8 + 4 + 1088 + 32),
        ] {
            assert_eq!(Preamble::rest_len(&head), Ok(rest), "{name}");
            assert!(4 + rest <= Preamble::MAX_LEN, "{name}");
        }
        assert_eq!(Preamble::MAX_LEN, 4 + 8 + 4 + 1088 + 32);
        for count in [0, 9] {
            let refused = Preamble::rest_len(&[1, 1, 1, count]).expect_err("no such count");
            assert_eq!(refused.reason(), DecodeReason::Invalid("offers 1 to 8 suites"));
        }
    }

    #[test]
    fn the_gate_covers_every_byte_before_it_and_message_1() {
        let key = GateKey([9; 32]);
        let mut preamble = ik();
        preamble.close_gate(&key, b"message 1");
        assert_eq!(preamble.check_gate(&key, b"message 1"), Ok(()));
        assert_eq!(preamble.check_gate(&key, b"message 2"), Err(Error::Gate));
        assert_eq!(preamble.check_gate(&GateKey([8; 32]), b"message 1"), Err(Error::Gate));
        let bytes = preamble.to_bytes();
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            let opens = Preamble::from_bytes(&changed)
                .is_ok_and(|preamble| preamble.check_gate(&key, b"message 1").is_ok());
            assert!(!opens, "byte {index}");
        }
        assert_eq!(xx().check_gate(&key, b"message 1"), Err(Error::Gate));
    }

    proptest! {
        // attack T32
        #[test]
        fn whatever_decodes_encodes_to_the_same_bytes(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(preamble) = Preamble::from_bytes(&bytes) {
                prop_assert_eq!(preamble.to_bytes(), bytes);
            }
        }
    }
}
