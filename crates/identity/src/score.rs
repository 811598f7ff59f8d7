//! A score that one agent gives another, signed.

use core::fmt;

use sealwire_core::{
    DecodeError, DecodeReason, KeyStore, Timestamp, Unverified, Verify,
    codec::{from_cbor, to_cbor},
    label::Label,
    time::MAX_CLOCK_SKEW,
};

use crate::{
    AgentId, Error,
    card::check_expiry,
    signed::{self, Signed},
};

const WHAT: &str = "score";

/// What one agent, the issuer, thinks of another, the subject, until `not_after`.
///
/// # Security
/// A valid statement shows that the issuer said so. Whether the issuer's word counts is for
/// the policy to say, and so is that the subject is the peer which presents the statement.
///
/// # Example
/// ```
/// use sealwire_core::{KeyStore, MemoryKeyStore, Timestamp};
/// use sealwire_identity::{AgentId, ScoreStatement};
/// # fn main() -> Result<(), sealwire_identity::Error> {
/// # let mut rng = getrandom::rand_core::UnwrapErr(getrandom::SysRng);
/// # let auditor = MemoryKeyStore::generate(&mut rng).expect("randomness");
/// # let worker = MemoryKeyStore::generate(&mut rng).expect("randomness");
/// let now = Timestamp::from_secs(1_800_000_000);
/// let worker = AgentId::from_key(worker.identity());
/// let issued = ScoreStatement::issue(&auditor, &worker, 820, now.plus(86_400))?;
///
/// let statement = ScoreStatement::from_bytes(issued.as_bytes())?.verify(now)?;
/// assert_eq!(statement.as_verified().score(), 820);
/// assert_eq!(statement.as_verified().subject(), &worker);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ScoreStatement {
    bytes: Vec<u8>,
    issuer: AgentId,
    subject: AgentId,
    score: u16,
    not_after: Timestamp,
}

#[derive(minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
struct Raw<'b> {
    #[b(0)]
    issuer: &'b str,
    #[b(1)]
    subject: &'b str,
    #[n(2)]
    score: u16,
    #[n(3)]
    not_after: u64,
}

impl ScoreStatement {
    /// The highest score.
    pub const MAX_SCORE: u16 = 1000;

    /// How far ahead a statement may end, in seconds: 90 days. A score is an opinion of its
    /// time, and nothing but expiry withdraws it.
    pub const MAX_LIFETIME: u64 = 90 * 24 * 60 * 60;

    /// The longest statement, in bytes: two ids of 512 bytes, a signature, and the frame.
    pub const MAX_LEN: usize = 1200;

    /// Signs a score with the identity key of `keys`.
    ///
    /// # Errors
    /// [`Error::Misuse`] for a score above [`ScoreStatement::MAX_SCORE`], [`Error::OwnScore`],
    /// [`Error::KeyStore`].
    pub fn issue(
        keys: &dyn KeyStore,
        subject: &AgentId,
        score: u16,
        not_after: Timestamp,
    ) -> Result<Self, Error> {
        let issuer = AgentId::from_key(keys.identity());
        if issuer == *subject {
            return Err(Error::OwnScore);
        }
        if score > Self::MAX_SCORE {
            return Err(Error::Misuse("a score is at most 1000"));
        }
        let body = to_cbor(&Raw {
            issuer: issuer.as_str(),
            subject: subject.as_str(),
            score,
            not_after: not_after.as_secs(),
        });
        let bytes = signed::sign(keys, Label::SCORE, &body)?;
        Ok(Self { bytes, issuer, subject: subject.clone(), score, not_after })
    }

    /// Reads a statement.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything but the canonical encoding.
    pub fn from_bytes(bytes: &[u8]) -> Result<Unverified<Self>, Error> {
        let signed = Signed::from_bytes(WHAT, bytes, Self::MAX_LEN)?;
        // EV-5
        let raw: Raw<'_> = from_cbor(WHAT, signed.body, Self::MAX_LEN)?;
        if raw.score > Self::MAX_SCORE {
            let rule = DecodeReason::Invalid("a score is at most 1000");
            return Err(DecodeError::new(WHAT, rule).into());
        }
        Ok(Unverified::new(Self {
            bytes: bytes.to_vec(),
            issuer: AgentId::parse(raw.issuer)?,
            subject: AgentId::parse(raw.subject)?,
            score: raw.score,
            not_after: Timestamp::from_secs(raw.not_after),
        }))
    }

    /// The statement as received.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Who gives the score.
    pub const fn issuer(&self) -> &AgentId {
        &self.issuer
    }

    /// Who is scored.
    pub const fn subject(&self) -> &AgentId {
        &self.subject
    }

    /// The score, 0 to [`ScoreStatement::MAX_SCORE`].
    pub const fn score(&self) -> u16 {
        self.score
    }

    /// The last second in which the statement is valid.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }
}

impl Verify for ScoreStatement {
    type Error = Error;

    fn verify(&self, now: Timestamp) -> Result<Timestamp, Error> {
        // EV-6
        if self.issuer == self.subject {
            return Err(Error::OwnScore);
        }
        let key = self.issuer.key().ok_or(Error::Unresolvable)?;
        Signed::from_bytes(WHAT, &self.bytes, Self::MAX_LEN)?.verify(Label::SCORE, key)?;
        // EV-8
        if self.not_after.since(now) > Self::MAX_LIFETIME + MAX_CLOCK_SKEW {
            return Err(Error::Lifetime(WHAT));
        }
        check_expiry(WHAT, self.not_after, now)?;
        Ok(self.not_after)
    }
}

impl fmt::Debug for ScoreStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes: _, issuer, subject, score, not_after } = self;
        f.debug_struct("ScoreStatement")
            .field("issuer", issuer)
            .field("subject", subject)
            .field("score", score)
            .field("not_after", not_after)
            .finish_non_exhaustive()
    }
}
