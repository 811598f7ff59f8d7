//! What tests need and nobody else may use: agreements from bare bytes, the classical ratchet
//! for runs against other implementations of it, and decoders that stand behind a signature or
//! a key, to fuzz them.

use rand_core::TryCryptoRng;
use sealwire_core::{Suite, Timestamp, keys::X25519Public, secret::Secret};

use crate::{
    Agreed, Error,
    agreement::Introduced,
    header::Header,
    prekey::{UnverifiedBundle, header_again},
    session::{Profile, Session},
};

/// The ratchet without KEM and with headers in clear: `dh | pn | n`, five zeros behind.
///
/// A message is `01 02 | header 45 | body`, the body that of a full session without the field.
const CLASSICAL: Profile = Profile { pq: false, header_encryption: false };

/// An agreement with this secret and this H_AD.
pub fn agreed(suite: Suite, sk: Secret<32>, h_ad: [u8; 32]) -> Agreed {
    Agreed { suite, sk, h_ad }
}

/// The two sides of one agreement, and a prefix for its first message.
///
/// # Errors
/// [`Error::Randomness`].
pub fn agreed_pair<R: TryCryptoRng + ?Sized>(
    rng: &mut R,
) -> Result<(Agreed, Agreed, Vec<u8>), Error> {
    let sk = Secret::random(rng)?;
    let copy = Secret::from_slice(sk.expose())?;
    let prefix = Secret::<1200>::random(rng)?;
    let h_ad = *Secret::random(rng)?.expose();
    let [one, other] = [sk, copy].map(|sk| agreed(Suite::AesGcm, sk, h_ad));
    Ok((one, other, prefix.expose().to_vec()))
}

/// As [`Session::initiate`], for the classical ratchet.
///
/// # Errors
/// As [`Session::initiate`].
pub fn initiate_classical<R: TryCryptoRng + ?Sized>(
    agreed: Agreed,
    prekey: &X25519Public,
    prefix: Vec<u8>,
    now: Timestamp,
    rng: &mut R,
) -> Result<Session, Error> {
    Session::initiate_as(CLASSICAL, agreed, prekey, prefix, now, rng)
}

/// As [`Session::respond`], for the classical ratchet.
///
/// # Errors
/// As [`Session::respond`].
pub fn respond_classical(
    agreed: Agreed,
    prekey: &Secret<32>,
    prefix: &[u8],
    now: Timestamp,
) -> Result<Session, Error> {
    Session::respond_as(CLASSICAL, agreed, prekey, prefix, now)
}

/// What each decoder reads, written again; `None` for what it refuses.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_enums, reason = "for tests only")]
pub enum Decoder {
    /// A bundle.
    Bundle,
    /// The header of a page.
    Page,
    /// What an initiator says of itself, opened.
    Introduction,
    /// The header of a message, opened.
    Header,
}

impl Decoder {
    /// Reads `bytes` and writes them again.
    pub fn again(self, bytes: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Bundle => UnverifiedBundle::from_bytes(bytes).ok().map(|read| read.to_bytes()),
            Self::Page => header_again(bytes),
            Self::Introduction => Introduced::from_bytes(bytes).ok().map(|read| read.to_bytes()),
            Self::Header => Header::decode(bytes).map(|header| {
                let Header { dh, pn, n, epoch, kind } = header;
                Header::encode(dh.as_bytes(), pn, n, epoch, kind)
            }),
        }
    }
}

/// An introduction as it is before it is sealed.
pub fn introduction(introduced: &Introduced) -> Vec<u8> {
    introduced.to_bytes()
}
