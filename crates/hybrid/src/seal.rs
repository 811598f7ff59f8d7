//! Sealing to an X-Wing key: HPKE (RFC 9180) in base mode, one message. X-Wing is a KEM of
//! HPKE as it stands (draft-connolly-cfrg-xwing-kem, section 5.6).
//!
//! ```text
//! X-Wing shared secret ── salt ─┐
//!                               ├─ LabeledExtract "secret" ─ secret
//!                       psk = ""┘                              │
//! 0x00 ‖ hash of psk_id = "" ‖ hash of info ─ context ─────────┤ LabeledExpand
//!                                                              ├─ "key"         32 bytes
//!                                                              ├─ "base_nonce"  12 bytes
//!                                                              └─ "exp"  not used here
//! ```

use rand_core::TryCryptoRng;
use sealwire_core::{
    Error,
    aead::{self, AeadKey, Algorithm},
    kdf,
    kem::SharedSecret,
    label::Context,
    secret::Secret,
    wipe,
};
use zeroize::Zeroizing;

use crate::{CIPHERTEXT_LEN, Recipient, XWingCiphertext, XWingPublic};

/// How many bytes longer a sealed message is than its plaintext: the encapsulated key and the
/// tag.
pub const OVERHEAD: usize = CIPHERTEXT_LEN + aead::TAG_LEN;

/// Seals `plaintext` to the holder of `public`.
///
/// HPKE base mode (RFC 9180 section 6.1) with X-Wing 0x647a, HKDF-SHA256 0x0001 and
/// ChaCha20-Poly1305 0x0003. The result is `enc 1120 || ciphertext || tag 16`. Every call has
/// a key of its own, so no nonce is used twice.
///
/// # Errors
/// [`Error::Randomness`]; [`Error::Misuse`] for a plaintext over 2^36 bytes.
///
/// # Security
/// Base mode says nothing about the sender: anyone who has `public` can seal to it. Who sent
/// the message must be settled by a signature or by the protocol around it.
///
/// # Example
/// To a key that stays in its store:
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, label::Label};
/// use sealwire_hybrid::{OVERHEAD, StoredKey, open_from, seal_to};
/// # fn main() -> Result<(), sealwire_core::Error> {
/// # let mut rng = getrandom::SysRng;
/// let keys = MemoryKeyStore::generate(&mut rng)?;
/// let bob = StoredKey::new(&keys, keys.newest())?;
/// let info = Label::RECORD_KEY.context(None, &[b"alice to bob"])?;
///
/// let sealed = seal_to(bob.public(), &info, b"", b"meet at noon", &mut rng)?;
/// assert_eq!(sealed.len(), b"meet at noon".len() + OVERHEAD);
/// assert_eq!(*open_from(&bob, &info, b"", &sealed)?, b"meet at noon");
/// # Ok(())
/// # }
/// ```
pub fn seal_to<R: TryCryptoRng + ?Sized>(
    public: &XWingPublic,
    info: &Context,
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, Error> {
    seal_with_info(public, info.as_bytes(), aad, plaintext, rng)
}

/// Opens what [`seal_to`] gave, under the same `info` and `aad`; its example shows both.
///
/// # Errors
/// [`Error::Open`] for everything that does not open, whatever the reason;
/// [`Error::KeyStore`] when the recipient's key cannot be used now.
pub fn open_from<K: Recipient + ?Sized>(
    recipient: &K,
    info: &Context,
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    open_with_info(recipient, info.as_bytes(), aad, sealed)
}

fn seal_with_info<R: TryCryptoRng + ?Sized>(
    public: &XWingPublic,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
    rng: &mut R,
) -> Result<Vec<u8>, Error> {
    let (enc, shared) = public.encapsulate(rng)?;
    let (key, nonce) = XWING.message_key(&shared, info)?;
    // Full capacity first: growing would leave copies of the plaintext behind.
    let mut message = Zeroizing::new(Vec::with_capacity(plaintext.len().saturating_add(OVERHEAD)));
    message.extend_from_slice(&enc.to_bytes());
    message.extend_from_slice(plaintext);
    let (_enc, text) = message.split_at_mut(CIPHERTEXT_LEN);
    let tag = key.seal_detached(nonce.expose(), aad, text)?;
    message.extend_from_slice(&tag);
    Ok(core::mem::take(&mut *message))
}

fn open_with_info<K: Recipient + ?Sized>(
    recipient: &K,
    info: &[u8],
    aad: &[u8],
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (enc, rest) = sealed.split_at_checked(CIPHERTEXT_LEN).ok_or(Error::Open)?;
    let (text, tag) = rest.split_last_chunk().ok_or(Error::Open)?;
    let enc = XWingCiphertext::from_bytes(enc).map_err(|_| Error::Open)?;
    let shared = recipient.decapsulate(&enc).map_err(opaque)?;
    let (key, nonce) = XWING.message_key(&shared, info)?;
    let mut message = Zeroizing::new(text.to_vec());
    key.open_detached(nonce.expose(), aad, &mut message, tag)?;
    Ok(message)
}

/// Keeps what the recipient's own side lacks and hides what the message lacks.
fn opaque(error: Error) -> Error {
    match error {
        Error::KeyStore(_) | Error::Randomness | Error::Misuse(_) | Error::Unreachable(_) => error,
        _ => Error::Open,
    }
}

/// What RFC 9180 calls a ciphersuite. The KDF is always HKDF-SHA256.
struct Hpke {
    kem_id: u16,
    aead: Algorithm,
}

/// The one ciphersuite in use.
const XWING: Hpke = Hpke { kem_id: 0x647A, aead: Algorithm::ChaCha20Poly1305 };

/// The one KDF: HKDF-SHA256.
const KDF_ID: u16 = 0x0001;
/// Base mode: no pre-shared key, no sender key.
const MODE_BASE: u8 = 0x00;

impl Hpke {
    /// Key and nonce of the first and only message (RFC 9180 section 5.2: the nonce of
    /// message 0 is base_nonce).
    fn message_key(
        &self,
        shared: &SharedSecret,
        info: &[u8],
    ) -> Result<(AeadKey, Secret<{ aead::NONCE_LEN }>), Error> {
        wipe::stack(|| {
            let schedule = self.key_schedule(shared, info);
            let key = AeadKey::new(self.aead, &schedule.expand(b"key"))?;
            Ok((key, schedule.expand(b"base_nonce")))
        })
    }

    /// KeySchedule (RFC 9180 section 5.1) with mode base, psk = "" and psk_id = "".
    fn key_schedule(&self, shared: &SharedSecret, info: &[u8]) -> KeySchedule {
        let suite_id = self.suite_id();
        let psk_id_hash = labeled_extract(suite_id, b"", b"psk_id_hash", b"");
        let info_hash = labeled_extract(suite_id, b"", b"info_hash", info);
        let context = [&[MODE_BASE][..], psk_id_hash.expose(), info_hash.expose()].concat();
        let secret = labeled_extract(suite_id, shared.expose(), b"secret", b"");
        KeySchedule { suite_id, secret, context }
    }

    /// `"HPKE" || kem_id || kdf_id || aead_id`, each id as u16.
    const fn suite_id(&self) -> [u8; 10] {
        let aead_id: u16 = match self.aead {
            Algorithm::Aes256Gcm => 0x0002,
            Algorithm::ChaCha20Poly1305 => 0x0003,
        };
        let ([k0, k1], [d0, d1], [a0, a1]) =
            (self.kem_id.to_be_bytes(), KDF_ID.to_be_bytes(), aead_id.to_be_bytes());
        [b'H', b'P', b'K', b'E', k0, k1, d0, d1, a0, a1]
    }
}

/// `secret` and `key_schedule_context` of RFC 9180 section 5.1.
struct KeySchedule {
    suite_id: [u8; 10],
    secret: Secret<32>,
    context: Vec<u8>,
}

impl KeySchedule {
    fn expand<const N: usize>(&self, label: &[u8]) -> Secret<N> {
        labeled_expand(self.suite_id, &self.secret, label, &self.context)
    }
}

/// RFC 9180 section 4: "labeled_ikm = concat("HPKE-v1", suite_id, label, ikm)". Here `ikm` is
/// never secret: the only secret input is the salt.
fn labeled_extract(suite_id: [u8; 10], salt: &[u8], label: &[u8], ikm: &[u8]) -> Secret<32> {
    kdf::extract(salt, &[b"HPKE-v1", &suite_id[..], label, ikm].concat())
}

/// RFC 9180 section 4: "labeled_info = concat(I2OSP(L, 2), "HPKE-v1", suite_id, label, info)".
fn labeled_expand<const N: usize>(
    suite_id: [u8; 10],
    prk: &Secret<32>,
    label: &[u8],
    info: &[u8],
) -> Secret<N> {
    const { assert!(N <= 255 * kdf::HASH_LEN, "HKDF-SHA256 gives at most 8,160 bytes") };
    #[expect(clippy::cast_possible_truncation, reason = "at most 8,160, asserted above")]
    let len = (N as u16).to_be_bytes();
    kdf::expand(prk, &[&len[..], b"HPKE-v1", &suite_id, label, info].concat())
}

#[cfg(test)]
mod tests {
    use sealwire_testkit::{
        rng::FixedRng,
        vectors::{bytes, json, passed},
    };
    use serde_json::Value;

    use super::*;
    use crate::XWingSecret;

    fn secret<const N: usize>(bytes: &[u8]) -> Secret<N> {
        Secret::from_slice(bytes).unwrap()
    }

    /// The key schedule, every message and every export of one vector.
    fn check_schedule(hpke: &Hpke, vector: &Value) {
        let shared = SharedSecret::new(secret(&bytes(&vector["shared_secret"])));
        let schedule = hpke.key_schedule(&shared, &bytes(&vector["info"]));
        let key = schedule.expand::<32>(b"key");
        let base_nonce = schedule.expand::<12>(b"base_nonce");
        let exporter = schedule.expand::<32>(b"exp");
        assert_eq!(key.expose()[..], bytes(&vector["key"]));
        assert_eq!(base_nonce.expose()[..], bytes(&vector["base_nonce"]));
        assert_eq!(exporter.expose()[..], bytes(&vector["exporter_secret"]));
        if let Some(secret) = vector.get("secret") {
            assert_eq!(schedule.secret.expose()[..], bytes(secret));
            assert_eq!(schedule.context, bytes(&vector["key_schedule_context"]));
        }

        let key = AeadKey::new(hpke.aead, &key).unwrap();
        let messages = vector["encryptions"].as_array().unwrap();
        assert_eq!(messages.len(), 10);
        for (sequence, message) in (0u8..).zip(messages) {
            // RFC 9180 section 5.2, ComputeNonce: base_nonce XOR the sequence number.
            let mut nonce = *base_nonce.expose();
            nonce[11] ^= sequence;
            assert_eq!(nonce[..], bytes(&message["nonce"]));
            let mut text = bytes(&message["pt"]);
            let tag = key.seal_detached(&nonce, &bytes(&message["aad"]), &mut text).unwrap();
            assert_eq!([&text[..], &tag].concat(), bytes(&message["ct"]));
        }

        let exports = vector["exports"].as_array().unwrap();
        assert!(!exports.is_empty());
        for export in exports {
            assert_eq!(export["L"], 32);
            let context = bytes(&export["exporter_context"]);
            let value: Secret<32> = labeled_expand(hpke.suite_id(), &exporter, b"sec", &context);
            assert_eq!(value.expose()[..], bytes(&export["exported_value"]));
        }
    }

    #[test]
    fn key_schedule_gives_the_base_mode_vectors_of_rfc_9180() {
        let vectors = json(include_str!("../tests/vectors/rfc9180.json"));
        let mut count = 0;
        for vector in vectors.as_array().unwrap() {
            if vector["mode"] != 0 {
                continue;
            }
            assert_eq!((&vector["kem_id"], &vector["kdf_id"]), (&0x20.into(), &1.into()));
            let aead = match vector["aead_id"].as_u64() {
                Some(2) => Algorithm::Aes256Gcm,
                Some(3) => Algorithm::ChaCha20Poly1305,
                other => panic!("AEAD {other:?}"),
            };
            check_schedule(&Hpke { kem_id: 0x20, aead }, vector);
            count += 1;
        }
        assert_eq!(count, 2);
        passed("hpke-rfc9180-base", count);
    }

    #[test]
    fn sealing_gives_the_x_wing_vector_of_hpke_pq() {
        let vectors = json(include_str!("../tests/vectors/hpke-pq.json"));
        let mut count = 0;
        for vector in vectors.as_array().unwrap() {
            let ids = [&vector["mode"], &vector["kem_id"], &vector["kdf_id"], &vector["aead_id"]];
            if ids != [0, 0x647A, 1, 3] {
                continue;
            }
            assert_eq!(XWING.suite_id()[..], bytes(&vector["suite_id"]));
            check_schedule(&XWING, vector);

            let recipient = XWingSecret::from_seed(&secret(&bytes(&vector["skRm"]))).unwrap();
            assert_eq!(recipient.public().to_bytes()[..], bytes(&vector["pkRm"]));
            let (enc, shared) = recipient
                .public()
                .encapsulate(&mut FixedRng::new(&bytes(&vector["ikmE"])))
                .unwrap();
            assert_eq!(enc.to_bytes()[..], bytes(&vector["enc"]));
            assert_eq!(shared.expose()[..], bytes(&vector["shared_secret"]));
            assert_eq!(recipient.decapsulate(&enc).unwrap(), shared);

            check_first_message(&recipient, vector);
            count += 1;
        }
        assert_eq!(count, 1);
        passed("hpke-pq-xwing", count);
    }

    /// Single-shot sealing gives the first message of the vector, and opening takes it.
    fn check_first_message(recipient: &XWingSecret, vector: &Value) {
        let first = &vector["encryptions"][0];
        let (info, aad, pt) = (bytes(&vector["info"]), bytes(&first["aad"]), bytes(&first["pt"]));
        let mut rng = FixedRng::new(&bytes(&vector["ikmE"]));
        let sealed = seal_with_info(recipient.public(), &info, &aad, &pt, &mut rng).unwrap();
        assert_eq!(sealed, [bytes(&vector["enc"]), bytes(&first["ct"])].concat());
        assert_eq!(*open_with_info(recipient, &info, &aad, &sealed).unwrap(), pt);
    }
}
