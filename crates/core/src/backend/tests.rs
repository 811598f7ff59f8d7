//! Every vector through every backend that this build has: the same results and the same
//! refusals. With feature `fast` that is both, without it the portable one.

mod aead;
#[cfg(target_os = "linux")]
mod depth;
mod mlkem;
mod x25519;

use crate::{
    aead::{Algorithm, NONCE_LEN, TAG_LEN},
    kem::{CIPHERTEXT_LEN, PUBLIC_LEN, SEED_LEN},
};

/// What the tests ask of a backend, without the wrappers of the public API.
trait Backend: Sync {
    fn name(&self) -> &'static str;

    fn seal(&self, case: &Sealing<'_>, message: &mut [u8]) -> Option<[u8; TAG_LEN]>;

    fn open(&self, case: &Sealing<'_>, message: &mut [u8], tag: &[u8; TAG_LEN]) -> Option<()>;

    /// How much stack sealing takes, once there is a cipher.
    #[cfg(target_os = "linux")]
    fn seal_depth(&self, case: &Sealing<'_>, message: &mut [u8]) -> usize;

    /// The public key of a secret.
    fn exchange_public(&self, secret: &[u8; 32]) -> [u8; 32];

    /// The shared secret, `None` when the backend refuses it.
    fn agree(&self, secret: &[u8; 32], peer: &[u8; 32]) -> Option<[u8; 32]>;

    fn kem_from_seed(&self, seed: &[u8; SEED_LEN]) -> (Box<dyn KemKey>, [u8; PUBLIC_LEN]);

    fn kem_from_expanded(&self, key: &[u8; 2400]) -> Box<dyn KemKey>;

    fn kem_encapsulate(
        &self,
        public: &[u8; PUBLIC_LEN],
        randomness: &[u8; 32],
    ) -> ([u8; CIPHERTEXT_LEN], [u8; 32]);
}

/// The inputs of an AEAD but the message.
struct Sealing<'a> {
    algorithm: Algorithm,
    key: [u8; 32],
    nonce: [u8; NONCE_LEN],
    associated: &'a [u8],
}

trait KemKey {
    fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; 32];

    fn to_expanded(&self) -> [u8; 2400];
}

macro_rules! backend {
    ($name:ident, $module:ident) => {
        struct $name;

        impl Backend for $name {
            fn name(&self) -> &'static str {
                stringify!($module)
            }

            fn seal(&self, case: &Sealing<'_>, message: &mut [u8]) -> Option<[u8; TAG_LEN]> {
                let cipher = super::$module::Cipher::new(case.algorithm, &case.key).expect("a key");
                // From one buffer to another it is the same.
                let (plaintext, mut apart) = (message.to_vec(), message.to_vec());
                let into = cipher.seal_into(&case.nonce, case.associated, &plaintext, &mut apart);
                let tag = cipher.seal(&case.nonce, case.associated, message);
                assert_eq!((into, &*apart), (tag, &*message));
                tag
            }

            fn open(
                &self,
                case: &Sealing<'_>,
                message: &mut [u8],
                tag: &[u8; TAG_LEN],
            ) -> Option<()> {
                let cipher = super::$module::Cipher::new(case.algorithm, &case.key).expect("a key");
                let (sealed, mut apart) = (message.to_vec(), message.to_vec());
                let into = cipher.open_into(&case.nonce, case.associated, &sealed, tag, &mut apart);
                let opened = cipher.open(&case.nonce, case.associated, message, tag);
                assert_eq!(into, opened);
                assert!(opened.is_none() || *apart == *message);
                opened
            }

            #[cfg(target_os = "linux")]
            fn seal_depth(&self, case: &Sealing<'_>, message: &mut [u8]) -> usize {
                let cipher = super::$module::Cipher::new(case.algorithm, &case.key).expect("a key");
                sealwire_testkit::stack::depth(|| {
                    cipher.seal(&case.nonce, case.associated, message)
                })
            }

            fn exchange_public(&self, secret: &[u8; 32]) -> [u8; 32] {
                super::$module::ExchangeKey::from_bytes(secret).expect("a key").1
            }

            fn agree(&self, secret: &[u8; 32], peer: &[u8; 32]) -> Option<[u8; 32]> {
                let (key, _) = super::$module::ExchangeKey::from_bytes(secret).expect("a key");
                let mut shared = [0; 32];
                let contributory = key.agree(peer, &mut shared);
                assert_eq!(contributory, shared != [0; 32], "{}", self.name());
                contributory.then_some(shared)
            }

            fn kem_from_seed(&self, seed: &[u8; SEED_LEN]) -> (Box<dyn KemKey>, [u8; PUBLIC_LEN]) {
                let mut public = [0; PUBLIC_LEN];
                let key = super::$module::KemKey::from_seed(seed, &mut public);
                (Box::new(key), public)
            }

            fn kem_from_expanded(&self, key: &[u8; 2400]) -> Box<dyn KemKey> {
                Box::new(super::$module::KemKey::from_expanded(key))
            }

            fn kem_encapsulate(
                &self,
                public: &[u8; PUBLIC_LEN],
                randomness: &[u8; 32],
            ) -> ([u8; CIPHERTEXT_LEN], [u8; 32]) {
                let (mut ciphertext, mut shared) = ([0; CIPHERTEXT_LEN], [0; 32]);
                super::$module::kem_encapsulate(public, randomness, &mut ciphertext, &mut shared);
                (ciphertext, shared)
            }
        }

        impl KemKey for super::$module::KemKey {
            fn decapsulate(&self, ciphertext: &[u8; CIPHERTEXT_LEN]) -> [u8; 32] {
                let mut shared = [0; 32];
                self.decapsulate(ciphertext, &mut shared);
                shared
            }

            fn to_expanded(&self) -> [u8; 2400] {
                self.to_expanded()
            }
        }
    };
}

backend!(Portable, rustcrypto);
#[cfg(feature = "fast")]
backend!(Fast, aws_lc);

const BACKENDS: &[&dyn Backend] = &[
    &Portable,
    #[cfg(feature = "fast")]
    &Fast,
];

#[test]
fn every_backend_of_this_build_is_tested() {
    let names: Vec<_> = BACKENDS.iter().map(|backend| backend.name()).collect();
    let expected =
        if cfg!(feature = "fast") { &["rustcrypto", "aws_lc"][..] } else { &["rustcrypto"] };
    assert_eq!(names, expected);
}

/// The bytes of a vector's field, as an array.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a field of the right length")
}
