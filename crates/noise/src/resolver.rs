//! snow's cryptography, answered by `sealwire-core`.
//!
//! snow 0.10 asks for two DH objects, the static one first, and calls `set` on that one only:
//! the static key is a handle into a [`KeyStore`]. Everything random is drawn before snow is
//! called and waits in [`Prepared`]; snow's own generator always fails.

use std::sync::{Arc, Mutex, OnceLock};

use sealwire_core::{
    KeyStore,
    aead::{AeadKey, Algorithm, TAG_LEN},
    kdf::Sha256,
    kem::{CIPHERTEXT_LEN, KemCiphertext, KemPublic, KemSecret, PUBLIC_LEN, SharedSecret},
    keys::{EphemeralSecret, StaticPublic, X25519Public},
    keystore::{KeyUse, KxId},
    secret::Secret,
};
use snow::{
    Error as SnowError,
    params::{CipherChoice, DHChoice, HashChoice, KemChoice},
    resolvers::CryptoResolver,
    types::{Cipher, Dh, Hash, Kem, Random},
};

/// The static key of this side, wherever its private half lives.
#[derive(Clone)]
pub(crate) struct StaticHandle {
    pub(crate) keys: Arc<dyn KeyStore>,
    pub(crate) kx: KxId,
    pub(crate) public: StaticPublic,
}

/// What was drawn for one handshake, each used once.
pub(crate) struct Prepared {
    pub(crate) ephemeral: EphemeralSecret,
    pub(crate) kem: PreparedKem,
}

/// The KEM part of [`Prepared`].
pub(crate) enum PreparedKem {
    /// The initiator's key pair, whose public half is token `e1`.
    Own(KemSecret),
    /// The responder's randomness for token `ekem1`.
    Randomness(Secret<32>),
    /// A classical handshake, for interoperability tests.
    #[cfg(any(test, feature = "hazmat"))]
    None,
}

/// Names the static key where snow wants private bytes. The length is that of a key.
pub(crate) const STATIC_HANDLE: [u8; 32] = *b"sealwire: static key stays home.";

pub(crate) struct Resolver {
    handle: StaticHandle,
    ephemeral: Slot<EphemeralSecret>,
    kem: Slot<PreparedKem>,
}

/// A value that waits to be taken once.
type Slot<T> = Arc<Mutex<Option<T>>>;

fn take<T>(slot: &Mutex<Option<T>>) -> Option<T> {
    slot.lock().ok()?.take()
}

impl Resolver {
    pub(crate) fn new(handle: StaticHandle, prepared: Prepared) -> Self {
        Self {
            handle,
            ephemeral: Arc::new(Mutex::new(Some(prepared.ephemeral))),
            kem: Arc::new(Mutex::new(Some(prepared.kem))),
        }
    }
}

impl CryptoResolver for Resolver {
    fn resolve_rng(&self) -> Option<Box<dyn Random>> {
        Some(Box::new(NoRandom))
    }

    fn resolve_dh(&self, choice: &DHChoice) -> Option<Box<dyn Dh>> {
        matches!(choice, DHChoice::Curve25519).then(|| -> Box<dyn Dh> {
            Box::new(Exchange {
                handle: self.handle.clone(),
                prepared: Arc::clone(&self.ephemeral),
                key: ExchangeKey::Unset,
            })
        })
    }

    fn resolve_hash(&self, choice: &HashChoice) -> Option<Box<dyn Hash>> {
        matches!(choice, HashChoice::SHA256)
            .then(|| -> Box<dyn Hash> { Box::new(NoiseHash(Sha256::new())) })
    }

    fn resolve_cipher(&self, choice: &CipherChoice) -> Option<Box<dyn Cipher>> {
        let algorithm = match choice {
            CipherChoice::AESGCM => Algorithm::Aes256Gcm,
            CipherChoice::ChaChaPoly => Algorithm::ChaCha20Poly1305,
        };
        Some(Box::new(NoiseCipher { algorithm, key: None, expanded: OnceLock::new() }))
    }

    fn resolve_kem(&self, _choice: &KemChoice) -> Option<Box<dyn Kem>> {
        Some(Box::new(NoiseKem {
            prepared: Arc::clone(&self.kem),
            own: None,
            public: [0; PUBLIC_LEN],
        }))
    }
}

/// The randomness that snow gets: none.
struct NoRandom;

impl Random for NoRandom {
    fn try_fill_bytes(&mut self, _dest: &mut [u8]) -> Result<(), SnowError> {
        Err(SnowError::Rng)
    }
}

/// X25519 as snow sees it: the static key or the ephemeral one.
struct Exchange {
    handle: StaticHandle,
    prepared: Slot<EphemeralSecret>,
    key: ExchangeKey,
}

enum ExchangeKey {
    Unset,
    Static,
    Ephemeral(EphemeralSecret),
}

impl Exchange {
    fn agree(&self, peer: &X25519Public) -> Result<SharedSecret, SnowError> {
        match &self.key {
            ExchangeKey::Unset => Err(SnowError::Dh),
            ExchangeKey::Static => self
                .handle
                .keys
                .agree(self.handle.kx, KeyUse::Handshake, peer)
                .map_err(|_| SnowError::Dh),
            ExchangeKey::Ephemeral(secret) => secret.agree(peer).map_err(|_| SnowError::Dh),
        }
    }
}

impl Dh for Exchange {
    fn name(&self) -> &'static str {
        "25519"
    }

    fn pub_len(&self) -> usize {
        32
    }

    fn priv_len(&self) -> usize {
        32
    }

    fn set(&mut self, privkey: &[u8]) {
        // Only the handle is ever passed: anything else leaves the object without a key, and
        // the first DH fails.
        if privkey == STATIC_HANDLE {
            self.key = ExchangeKey::Static;
        }
    }

    fn generate(&mut self, _rng: &mut dyn Random) -> Result<(), SnowError> {
        // Installed once; a second call finds the slot empty.
        self.key = ExchangeKey::Ephemeral(take(&self.prepared).ok_or(SnowError::Rng)?);
        Ok(())
    }

    fn pubkey(&self) -> &[u8] {
        match &self.key {
            ExchangeKey::Unset => &[0; 32],
            ExchangeKey::Static => self.handle.public.as_bytes(),
            ExchangeKey::Ephemeral(secret) => secret.public().as_bytes(),
        }
    }

    fn privkey(&self) -> &[u8] {
        // snow asks for it only to generate key pairs, which is not done here.
        &[0; 32]
    }

    fn dh(&self, pubkey: &[u8], out: &mut [u8]) -> Result<(), SnowError> {
        // HS-15. snow hands in its whole buffer; the key is the first 32 bytes.
        let peer = pubkey.get(..32).ok_or(SnowError::Dh)?;
        let peer = X25519Public::from_bytes(peer).map_err(|_| SnowError::Dh)?;
        let shared = self.agree(&peer)?;
        out.get_mut(..32).ok_or(SnowError::Dh)?.copy_from_slice(shared.expose());
        Ok(())
    }
}

struct NoiseHash(Sha256);

impl Hash for NoiseHash {
    fn name(&self) -> &'static str {
        "SHA256"
    }

    fn block_len(&self) -> usize {
        64
    }

    fn hash_len(&self) -> usize {
        32
    }

    fn reset(&mut self) {
        self.0 = Sha256::new();
    }

    fn input(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    fn result(&mut self, out: &mut [u8]) {
        let digest = self.0.finalize();
        if let Some(start) = out.first_chunk_mut() {
            *start = digest;
        }
    }
}

/// snow sets a key with every secret that it mixes in, and uses half of them: one is expanded
/// when it is first used.
struct NoiseCipher {
    algorithm: Algorithm,
    key: Option<Secret<32>>,
    expanded: OnceLock<AeadKey>,
}

impl NoiseCipher {
    /// The key; `None` when none was set.
    fn key(&self) -> Option<&AeadKey> {
        if let Some(key) = self.expanded.get() {
            return Some(key);
        }
        let key = AeadKey::new(self.algorithm, self.key.as_ref()?).ok()?;
        Some(self.expanded.get_or_init(|| key))
    }

    /// Noise section 12: ChaChaPoly takes the counter little-endian, AESGCM big-endian.
    fn nonce(&self, counter: u64) -> [u8; 12] {
        let counter = match self.algorithm {
            Algorithm::Aes256Gcm => counter.to_be_bytes(),
            Algorithm::ChaCha20Poly1305 => counter.to_le_bytes(),
        };
        let mut nonce = [0; 12];
        if let Some(end) = nonce.last_chunk_mut() {
            *end = counter;
        }
        nonce
    }

    fn seal(
        &self,
        counter: u64,
        associated: &[u8],
        plaintext: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let (message, rest) = out.split_at_mut_checked(plaintext.len())?;
        let (tag, _) = rest.split_first_chunk_mut::<TAG_LEN>()?;
        message.copy_from_slice(plaintext);
        *tag = self.key()?.seal_detached(&self.nonce(counter), associated, message).ok()?;
        plaintext.len().checked_add(TAG_LEN)
    }

    fn open(
        &self,
        counter: u64,
        associated: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Option<usize> {
        let (sealed, tag) = ciphertext.split_last_chunk::<TAG_LEN>()?;
        let message = out.get_mut(..sealed.len())?;
        message.copy_from_slice(sealed);
        self.key()?.open_detached(&self.nonce(counter), associated, message, tag).ok()?;
        Some(sealed.len())
    }
}

impl Cipher for NoiseCipher {
    fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Aes256Gcm => "AESGCM",
            Algorithm::ChaCha20Poly1305 => "ChaChaPoly",
        }
    }

    fn set(&mut self, key: &[u8; 32]) {
        self.key = Some(Secret::init_with(|out| *out = *key));
        self.expanded = OnceLock::new();
    }

    fn encrypt(&self, nonce: u64, authtext: &[u8], plaintext: &[u8], out: &mut [u8]) -> usize {
        // snow hands in room enough and a key; without them nothing is written, and the peer
        // refuses the empty field.
        self.seal(nonce, authtext, plaintext, out).unwrap_or(0)
    }

    fn decrypt(
        &self,
        nonce: u64,
        authtext: &[u8],
        ciphertext: &[u8],
        out: &mut [u8],
    ) -> Result<usize, SnowError> {
        self.open(nonce, authtext, ciphertext, out).ok_or(SnowError::Decrypt)
    }
}

/// ML-KEM-768 behind snow's KEM tokens.
struct NoiseKem {
    prepared: Slot<PreparedKem>,
    own: Option<KemSecret>,
    public: [u8; PUBLIC_LEN],
}

impl Kem for NoiseKem {
    fn name(&self) -> &'static str {
        "MLKEM768"
    }

    fn pub_len(&self) -> usize {
        PUBLIC_LEN
    }

    fn ciphertext_len(&self) -> usize {
        CIPHERTEXT_LEN
    }

    fn shared_secret_len(&self) -> usize {
        32
    }

    fn generate(&mut self, _rng: &mut dyn Random) {
        // Installed once. Without a prepared key pair the secret stays absent and the
        // ciphertext that comes back is refused.
        self.own = match take(&self.prepared) {
            Some(PreparedKem::Own(secret)) => Some(secret),
            _ => None,
        };
        if let Some(secret) = &self.own {
            self.public = *secret.public().as_bytes();
        }
    }

    fn pubkey(&self) -> &[u8] {
        &self.public
    }

    fn encapsulate(
        &self,
        pubkey: &[u8],
        shared_secret_out: &mut [u8],
        ciphertext_out: &mut [u8],
    ) -> Result<(usize, usize), SnowError> {
        let Some(PreparedKem::Randomness(randomness)) = take(&self.prepared) else {
            return Err(SnowError::Kem);
        };
        let public = KemPublic::from_bytes(pubkey).map_err(|_| SnowError::Kem)?;
        let (ciphertext, shared) = public.encapsulate_with(randomness);
        shared_secret_out.get_mut(..32).ok_or(SnowError::Kem)?.copy_from_slice(shared.expose());
        ciphertext_out
            .get_mut(..CIPHERTEXT_LEN)
            .ok_or(SnowError::Kem)?
            .copy_from_slice(ciphertext.as_bytes());
        Ok((32, CIPHERTEXT_LEN))
    }

    fn decapsulate(
        &self,
        ciphertext: &[u8],
        shared_secret_out: &mut [u8],
    ) -> Result<usize, SnowError> {
        let secret = self.own.as_ref().ok_or(SnowError::Kem)?;
        let ciphertext = KemCiphertext::from_bytes(ciphertext).map_err(|_| SnowError::Kem)?;
        let shared = secret.decapsulate(&ciphertext);
        shared_secret_out.get_mut(..32).ok_or(SnowError::Kem)?.copy_from_slice(shared.expose());
        Ok(32)
    }
}

#[cfg(test)]
mod tests;
