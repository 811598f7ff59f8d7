//! The KEM ratchet: ML-KEM secrets that enter the root, one an epoch.
//!
//! The initiator (A) owns every encapsulation key, the responder (B) answers each.
//!
//! ```text
//!        A                          field of every message                       B
//! Own(e)      seed at first send  ---------- ek(e) ---------->  Await(e), keeps ek(e)
//! Own(e)      derives k_e         <--------- ct(e) -----------  encapsulates: Sent(e)
//! Pending(e)  next sending step mixes k_e
//! Own(e+1)                        ------ a chain with E = e -->  mixes k_e: Await(e+1)
//! ```
//!
//! E = e - 1 secrets are in the root before k_e is. A field is repeated in every message, so
//! that no loss of single messages stops the exchange.

use sealwire_core::{
    Suite, kdf,
    kem::{
        CIPHERTEXT_LEN, KemCiphertext, KemPublic, KemSecret, PUBLIC_LEN, SEED_LEN, SharedSecret,
    },
    label::Label,
    secret::Secret,
};

use crate::{Error, header::FieldKind, limits::MAX_COUNTER, session::Role};

/// The field in every message, in bytes: an encapsulation key, a ciphertext and zeros, or zeros.
pub(crate) const FIELD_LEN: usize = PUBLIC_LEN;

/// k_e, the secret of one epoch.
pub(crate) struct EpochSecret(Secret<32>);

impl EpochSecret {
    pub(crate) fn new(secret: Secret<32>) -> Self {
        Self(secret)
    }

    // RAT-14
    fn derive(
        suite: Suite,
        epoch: u32,
        public: &KemPublic,
        ciphertext: &KemCiphertext,
        shared: &SharedSecret,
    ) -> Result<Self, Error> {
        let public = kdf::sha256(&[public.as_bytes()]);
        let ciphertext = kdf::sha256(&[ciphertext.as_bytes()]);
        let epoch = u64::from(epoch).to_be_bytes();
        let fields: [&[u8]; 3] = [&epoch, &public, &ciphertext];
        let info = Label::RATCHET_KEM.context(Some(suite), &fields)?;
        Ok(Self(kdf::hkdf(&[0; kdf::HASH_LEN], shared.expose(), &info)))
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }
}

/// A's key pair of one epoch, stored as its seed beside the public bytes.
pub(crate) struct KemPair {
    seed: Secret<SEED_LEN>,
    public: KemPublic,
    /// As for [`KeyPair`](crate::dh::KeyPair).
    key: Option<KemSecret>,
}

impl KemPair {
    pub(crate) fn from_seed(seed: Secret<SEED_LEN>) -> Self {
        let key = KemSecret::from_seed(&seed);
        Self { seed, public: key.public().clone(), key: Some(key) }
    }

    pub(crate) fn from_parts(seed: Secret<SEED_LEN>, public: KemPublic) -> Self {
        Self { seed, public, key: None }
    }

    pub(crate) fn seed(&self) -> &Secret<SEED_LEN> {
        &self.seed
    }

    pub(crate) fn public(&self) -> &KemPublic {
        &self.public
    }

    fn decapsulate(&self, ciphertext: &KemCiphertext) -> SharedSecret {
        match &self.key {
            Some(key) => key.decapsulate(ciphertext),
            None => KemSecret::from_seed(&self.seed).decapsulate(ciphertext),
        }
    }
}

/// Where one side stands. The number is e, the epoch that is being agreed on.
pub(crate) enum KemRatchet {
    /// A has no answer yet, and no key before its first send.
    Own(u32, Option<KemPair>),
    /// A has the secret and mixes it at its next sending step.
    Pending(u32, EpochSecret),
    /// B has not answered; the key when it has come.
    Await(u32, Option<KemPublic>),
    /// B has answered and waits for a chain that has the secret in its root.
    Sent(u32, KemCiphertext, EpochSecret),
}

/// Randomness that the next message needs.
pub(crate) enum KemDraw {
    Nothing,
    Seed(Secret<SEED_LEN>),
    Encapsulation(Secret<32>),
}

impl KemRatchet {
    pub(crate) fn start(role: Role) -> Self {
        match role {
            Role::Initiator => Self::Own(1, None),
            Role::Responder => Self::Await(1, None),
        }
    }

    /// E: secrets in the root so far.
    pub(crate) fn epoch(&self) -> u32 {
        let (Self::Own(e, _) | Self::Pending(e, _) | Self::Await(e, _) | Self::Sent(e, ..)) = self;
        e.saturating_sub(1)
    }

    /// A sending step: the secret that it mixes and the state behind it.
    // RAT-15
    pub(crate) fn sending_step(&self) -> Result<Option<(&EpochSecret, Self)>, Error> {
        match self {
            Self::Pending(e, secret) => {
                let next =
                    next_epoch(*e).ok_or(Error::CannotSend("its epochs are at their end"))?;
                Ok(Some((secret, Self::Own(next, None))))
            }
            Self::Own(..) | Self::Await(..) | Self::Sent(..) => Ok(None),
        }
    }

    /// A receiving step into a chain with this E.
    ///
    /// # Errors
    /// [`Error::Open`] for an E that the chain cannot have.
    // RAT-16
    pub(crate) fn receiving_step(&self, epoch: u32) -> Result<Option<(&EpochSecret, Self)>, Error> {
        match self {
            Self::Sent(e, _, secret) if *e == epoch => {
                let next = next_epoch(*e).ok_or(Error::Open)?;
                Ok(Some((secret, Self::Await(next, None))))
            }
            _ if self.epoch() == epoch => Ok(None),
            _ => Err(Error::Open),
        }
    }

    /// Draws what [`Self::prepare`] needs.
    pub(crate) fn draw(
        &self,
        rng: &mut (impl rand_core::TryCryptoRng + ?Sized),
    ) -> Result<KemDraw, Error> {
        Ok(match self {
            Self::Own(_, None) => KemDraw::Seed(Secret::random(rng)?),
            Self::Await(_, Some(_)) => KemDraw::Encapsulation(Secret::random(rng)?),
            Self::Own(_, Some(_)) | Self::Await(_, None) | Self::Pending(..) | Self::Sent(..) => {
                KemDraw::Nothing
            }
        })
    }

    /// What a message that is sent now makes of this state, when it changes it.
    pub(crate) fn prepare(&self, suite: Suite, draw: KemDraw) -> Result<Option<Self>, Error> {
        match (self, draw) {
            (Self::Own(e, None), KemDraw::Seed(seed)) => {
                Ok(Some(Self::Own(*e, Some(KemPair::from_seed(seed)))))
            }
            (Self::Await(e, Some(public)), KemDraw::Encapsulation(randomness)) => {
                let (ciphertext, shared) = public.encapsulate_with(randomness);
                let secret = EpochSecret::derive(suite, *e, public, &ciphertext, &shared)?;
                Ok(Some(Self::Sent(*e, ciphertext, secret)))
            }
            _ => Ok(None),
        }
    }

    /// What the field of a message holds; zeros follow.
    pub(crate) fn field(&self) -> (FieldKind, &[u8]) {
        match self {
            Self::Own(_, Some(pair)) => (FieldKind::EncapsulationKey, pair.public().as_bytes()),
            Self::Sent(_, ciphertext, _) => (FieldKind::Ciphertext, ciphertext.as_bytes()),
            Self::Own(_, None) | Self::Pending(..) | Self::Await(..) => (FieldKind::Nothing, &[]),
        }
    }

    /// What the field of a message that opened makes of this state, when it changes it. E is
    /// that of the message's chain, so that a late field is told from one that is awaited.
    ///
    /// # Errors
    /// [`Error::Open`] for a key that FIPS 203 refuses.
    // RAT-15
    pub(crate) fn receive(
        &self,
        suite: Suite,
        epoch: u32,
        kind: FieldKind,
        field: &[u8; FIELD_LEN],
    ) -> Result<Option<Self>, Error> {
        if epoch != self.epoch() {
            return Ok(None);
        }
        match (self, kind) {
            (Self::Own(e, Some(pair)), FieldKind::Ciphertext) => {
                let (ciphertext, _) = field.split_at(CIPHERTEXT_LEN);
                let ciphertext = KemCiphertext::from_bytes(ciphertext)?;
                let shared = pair.decapsulate(&ciphertext);
                let secret = EpochSecret::derive(suite, *e, pair.public(), &ciphertext, &shared)?;
                Ok(Some(Self::Pending(*e, secret)))
            }
            (Self::Await(e, None), FieldKind::EncapsulationKey) => {
                let public = KemPublic::from_bytes(field).map_err(|_| Error::Open)?;
                Ok(Some(Self::Await(*e, Some(public))))
            }
            _ => Ok(None),
        }
    }
}

/// Whether a field holds what its kind says and nothing else, and comes from the right side.
pub(crate) fn is_well_formed(kind: FieldKind, sender: Role, field: &[u8; FIELD_LEN]) -> bool {
    let filler = match (kind, sender) {
        (FieldKind::Nothing, _) => field.as_slice(),
        (FieldKind::EncapsulationKey, Role::Initiator) => &[],
        (FieldKind::Ciphertext, Role::Responder) => field.split_at(CIPHERTEXT_LEN).1,
        (FieldKind::EncapsulationKey, Role::Responder)
        | (FieldKind::Ciphertext, Role::Initiator) => return false,
    };
    filler.iter().all(|byte| *byte == 0)
}

fn next_epoch(e: u32) -> Option<u32> {
    e.checked_add(1).filter(|next| *next <= MAX_COUNTER)
}
