//! The stored form of a session: one versioned blob, whose layout is this file's own.
//!
//! ```text
//! version 1 | suite | role | id 16 | h_ad 32 | created u64 | last_used u64
//! revision u64 | sent u64 | received u64 | steps u32
//! prefix | root 32 | next_sending 32 | next_receiving 32 | sending | receiving | kem | skipped
//!
//! prefix    0 | 1, bytes16 | 2, hash 32, ephemeral 32, len u16
//! pair      seed 32 | public 32
//! sending   0, pair | 1, pn u32 | 2, pair, header 32, key 32, n u32, pn u32, nonce 24
//! receiving 0 | 1, number u32, dh 32, header 32, key 32, n u32, epoch u32
//! kem       kind u8, e u32, then by kind:
//!           0 Own | 1 Own, seed 64, ek 1184 | 2 Pending, k 32
//!           3 Await | 4 Await, ek 1184 | 5 Sent, ct 1088, k 32
//! skipped   chains u16 of number u32, header 32, dh 32, epoch u32, oldest first
//!           batches u16 of chain u32, stored u64, received u64, keys u16 of n u32, key 32
//! ```

use sealwire_core::{
    DecodeError, DecodeReason, Suite, Timestamp,
    codec::Reader,
    kem::{CIPHERTEXT_LEN, KemCiphertext, KemPublic, PUBLIC_LEN, SEED_LEN},
    keys::X25519Public,
    secret::{Secret, equal},
};
use zeroize::Zeroizing;

use crate::{
    Error,
    chain_key::ChainKey,
    dh::KeyPair,
    header::HeaderKey,
    kem_ratchet::{EpochSecret, KemPair, KemRatchet},
    limits::{MAX_COUNTER, MAX_OLD_HEADER_KEYS, MAX_SKIPPED_KEYS},
    message_key::MessageKey,
    root_key::RootKey,
    session::{
        KnownPrefix, Prefix, Profile, ReceivingChain, Role, Sending, SendingChain, Session,
        SessionId,
    },
    skipped::{Batch, OldChain, Skipped},
};

/// The version that is written. Older ones, of which there are none, would still be read.
const VERSION: u8 = 1;

/// More than everything but the prefix and skipped keys: a buffer that grows would leave
/// copies of keys behind.
const FIXED_LEN: usize = 2048;
const OLD_CHAIN_LEN: usize = 72;
const BATCH_LEN: usize = 22;
const KEY_LEN: usize = 36;

impl Session {
    /// The session as one opaque blob, keys in clear: whoever stores it seals it, and makes it
    /// durable before a frame that it stands for leaves.
    // RAT-25
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Writer(Zeroizing::new(Vec::with_capacity(self.stored_len())));
        out.u8(VERSION).u8(self.suite.id()).u8(role_id(self.role));
        out.bytes(self.id.as_bytes()).bytes(&self.h_ad);
        out.u64(self.created.as_secs()).u64(self.last_used.as_secs());
        out.u64(self.revision).u64(self.sent).u64(self.received).u32(self.steps);
        self.prefix.write(&mut out);
        out.bytes(self.root.expose());
        out.bytes(self.next_sending.expose()).bytes(self.next_receiving.expose());
        self.sending.write(&mut out);
        match &self.receiving {
            None => {
                out.u8(0);
            }
            Some(chain) => chain.write(out.u8(1)),
        }
        self.kem.write(&mut out);
        self.skipped.write(&mut out);
        out.0
    }

    /// A session that [`Session::to_bytes`] gave.
    ///
    /// # Errors
    /// [`Error::Decode`], which names the version where a newer release wrote it.
    // RAT-25
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("session", bytes);
        let session = Self::read(&mut reader)?;
        if !session.is_consistent() {
            return Err(invalid(&reader, "the parts fit the role").into());
        }
        let error = reader.error(DecodeReason::NonCanonical);
        reader.finish()?;
        // Every field has one encoding; that stays so with this comparison.
        if !equal(&session.to_bytes(), bytes) {
            return Err(error.into());
        }
        Ok(session)
    }
}

impl Session {
    /// Whether the parts are such that steps can have led to them.
    fn is_consistent(&self) -> bool {
        let initiator = self.role == Role::Initiator;
        let kem = match &self.kem {
            KemRatchet::Own(..) | KemRatchet::Pending(..) => initiator,
            KemRatchet::Await(..) | KemRatchet::Sent(..) => !initiator,
        };
        let prefix = match &self.prefix {
            Prefix::Gone | Prefix::Due(_) => initiator,
            Prefix::Known(_) => !initiator,
        };
        let sending = match &self.sending {
            Sending::Waiting { .. } => !initiator && self.receiving.is_none(),
            Sending::Due { .. } => self.receiving.is_some(),
            Sending::Chain(_) => initiator || self.receiving.is_some(),
        };
        kem && prefix && sending
    }

    fn stored_len(&self) -> usize {
        let prefix = self.due_prefix().len();
        let chains = self.skipped.chains.len().saturating_mul(OLD_CHAIN_LEN);
        let batches = self.skipped.batches.len().saturating_mul(BATCH_LEN);
        let keys = self.skipped.len().saturating_mul(KEY_LEN);
        [FIXED_LEN, prefix, chains, batches, keys].iter().sum()
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.version(VERSION)?;
        Ok(Self {
            suite: Suite::from_u8(reader.u8()?)?,
            role: read_role(reader)?,
            profile: Profile::FULL,
            id: SessionId::from_bytes(*reader.array()?),
            h_ad: *reader.array()?,
            created: Timestamp::from_secs(reader.u64()?),
            last_used: Timestamp::from_secs(reader.u64()?),
            revision: reader.u64()?,
            sent: reader.u64()?,
            received: reader.u64()?,
            steps: reader.u32()?,
            prefix: Prefix::read(reader)?,
            root: RootKey::new(secret(reader)?),
            next_sending: HeaderKey::new(secret(reader)?),
            next_receiving: HeaderKey::new(secret(reader)?),
            sending: Sending::read(reader)?,
            receiving: match reader.u8()? {
                0 => None,
                1 => Some(ReceivingChain::read(reader)?),
                _ => return Err(invalid(reader, "a receiving chain is 0 or 1")),
            },
            kem: KemRatchet::read(reader)?,
            skipped: Skipped::read(reader)?,
        })
    }
}

impl Prefix {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Gone => {
                out.u8(0);
            }
            // The length was checked when the session was made.
            Self::Due(prefix) => {
                let len = u16::try_from(prefix.len()).unwrap_or(u16::MAX);
                out.u8(1).u16(len).bytes(prefix);
            }
            Self::Known(KnownPrefix { hash, ephemeral, len }) => {
                out.u8(2).bytes(hash).bytes(ephemeral).u16(*len);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Gone),
            1 => Ok(Self::Due(reader.bytes16(usize::from(u16::MAX))?.to_vec())),
            2 => Ok(Self::Known(KnownPrefix {
                hash: *reader.array()?,
                ephemeral: *reader.array()?,
                len: reader.u16()?,
            })),
            _ => Err(invalid(reader, "a prefix is 0 to 2")),
        }
    }
}

impl KeyPair {
    fn write(&self, out: &mut Writer) {
        out.bytes(self.seed().expose()).bytes(self.public());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_parts(secret(reader)?, *reader.array()?))
    }
}

impl Sending {
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Waiting { prekey } => prekey.write(out.u8(0)),
            Self::Due { pn } => {
                out.u8(1).u32(*pn);
            }
            Self::Chain(SendingChain { pair, header, key, n, pn, nonce }) => {
                pair.write(out.u8(2));
                out.bytes(header.expose()).bytes(key.expose());
                out.u32(*n).u32(*pn).bytes(nonce);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => Ok(Self::Waiting { prekey: KeyPair::read(reader)? }),
            1 => Ok(Self::Due { pn: counter(reader)? }),
            2 => Ok(Self::Chain(SendingChain {
                pair: KeyPair::read(reader)?,
                header: HeaderKey::new(secret(reader)?),
                key: ChainKey::new(secret(reader)?).into_sending(),
                n: counter(reader)?,
                pn: counter(reader)?,
                nonce: *reader.array()?,
            })),
            _ => Err(invalid(reader, "a sending state is 0 to 2")),
        }
    }
}

impl ReceivingChain {
    fn write(&self, out: &mut Writer) {
        let Self { number, dh, header, key, n, epoch } = self;
        out.u32(*number).bytes(dh.as_bytes()).bytes(header.expose()).bytes(key.expose());
        out.u32(*n).u32(*epoch);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            number: counter(reader)?,
            dh: X25519Public::from_bytes(reader.array::<32>()?)?,
            header: HeaderKey::new(secret(reader)?),
            key: ChainKey::new(secret(reader)?).into_receiving(),
            n: counter(reader)?,
            epoch: counter(reader)?,
        })
    }
}

impl KemRatchet {
    // RAT-17
    fn write(&self, out: &mut Writer) {
        match self {
            Self::Own(e, None) => {
                out.u8(0).u32(*e);
            }
            Self::Own(e, Some(pair)) => {
                out.u8(1).u32(*e).bytes(pair.seed().expose()).bytes(pair.public().as_bytes());
            }
            Self::Pending(e, secret) => {
                out.u8(2).u32(*e).bytes(secret.expose());
            }
            Self::Await(e, None) => {
                out.u8(3).u32(*e);
            }
            Self::Await(e, Some(public)) => {
                out.u8(4).u32(*e).bytes(public.as_bytes());
            }
            Self::Sent(e, ciphertext, secret) => {
                out.u8(5).u32(*e).bytes(ciphertext.as_bytes()).bytes(secret.expose());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let kind = reader.u8()?;
        let e = counter(reader)?;
        if e == 0 {
            return Err(invalid(reader, "epochs begin at 1"));
        }
        Ok(match kind {
            0 => Self::Own(e, None),
            1 => {
                let seed = secret::<SEED_LEN>(reader)?;
                let public = KemPublic::from_bytes(reader.array::<PUBLIC_LEN>()?)?;
                Self::Own(e, Some(KemPair::from_parts(seed, public)))
            }
            2 => Self::Pending(e, EpochSecret::new(secret(reader)?)),
            3 => Self::Await(e, None),
            4 => Self::Await(e, Some(KemPublic::from_bytes(reader.array::<PUBLIC_LEN>()?)?)),
            5 => {
                let ciphertext = KemCiphertext::from_bytes(reader.array::<CIPHERTEXT_LEN>()?)?;
                Self::Sent(e, ciphertext, EpochSecret::new(secret(reader)?))
            }
            _ => return Err(invalid(reader, "a KEM state is 0 to 5")),
        })
    }
}

impl Skipped {
    fn write(&self, out: &mut Writer) {
        out.len16(self.chains.len());
        for OldChain { number, header, dh, epoch } in &self.chains {
            out.u32(*number).bytes(header.expose()).bytes(dh.as_bytes()).u32(*epoch);
        }
        out.len16(self.batches.len());
        for Batch { chain, stored, received, keys } in &self.batches {
            out.u32(*chain).u64(stored.as_secs()).u64(*received).len16(keys.len());
            for (n, key) in keys {
                out.u32(*n).bytes(key.expose());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let mut skipped = Self::default();
        for _ in 0..bounded(reader, MAX_OLD_HEADER_KEYS)? {
            skipped.chains.push_back(OldChain {
                number: counter(reader)?,
                header: HeaderKey::new(secret(reader)?),
                dh: X25519Public::from_bytes(reader.array::<32>()?)?,
                epoch: counter(reader)?,
            });
        }
        for _ in 0..bounded(reader, MAX_SKIPPED_KEYS)? {
            let batch = Batch::read(reader)?;
            skipped.batches.push_back(batch);
            if skipped.len() > MAX_SKIPPED_KEYS {
                return Err(reader.error(DecodeReason::TooLong(MAX_SKIPPED_KEYS)));
            }
        }
        Ok(skipped)
    }
}

impl Batch {
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let chain = counter(reader)?;
        let stored = Timestamp::from_secs(reader.u64()?);
        let received = reader.u64()?;
        let mut keys = Vec::new();
        for _ in 0..bounded(reader, MAX_SKIPPED_KEYS)? {
            keys.push((counter(reader)?, MessageKey::new(secret(reader)?)));
        }
        if keys.is_empty() || !keys.is_sorted_by(|(a, _), (b, _)| a < b) {
            return Err(invalid(reader, "skipped keys are there and ascend"));
        }
        Ok(Self { chain, stored, received, keys })
    }
}

fn role_id(role: Role) -> u8 {
    match role {
        Role::Initiator => 0,
        Role::Responder => 1,
    }
}

fn read_role(reader: &mut Reader<'_>) -> Result<Role, DecodeError> {
    match reader.u8()? {
        0 => Ok(Role::Initiator),
        1 => Ok(Role::Responder),
        _ => Err(invalid(reader, "a role is 0 or 1")),
    }
}

fn secret<const N: usize>(reader: &mut Reader<'_>) -> Result<Secret<N>, DecodeError> {
    let bytes = reader.array::<N>()?;
    Ok(Secret::init_with(|out| out.copy_from_slice(bytes)))
}

fn counter(reader: &mut Reader<'_>) -> Result<u32, DecodeError> {
    match reader.u32()? {
        // A chain at its end has the limit itself as its next number.
        counter if counter <= MAX_COUNTER => Ok(counter),
        _ => Err(invalid(reader, "counters end at 2^31")),
    }
}

fn bounded(reader: &mut Reader<'_>, max: usize) -> Result<usize, DecodeError> {
    match usize::from(reader.u16()?) {
        len if len <= max => Ok(len),
        _ => Err(reader.error(DecodeReason::TooLong(max))),
    }
}

fn invalid(reader: &Reader<'_>, rule: &'static str) -> DecodeError {
    reader.error(DecodeReason::Invalid(rule))
}

/// Writes into a buffer that was made long enough and is wiped.
struct Writer(Zeroizing<Vec<u8>>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A number of items, of which every limit is far below 2^16.
    fn len16(&mut self, len: usize) -> &mut Self {
        self.u16(u16::try_from(len).unwrap_or(u16::MAX))
    }
}
