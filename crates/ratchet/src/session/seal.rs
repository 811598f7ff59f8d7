//! Sealing a message.

use core::mem;

use rand_core::TryCryptoRng;
use sealwire_core::{
    Timestamp,
    aead::{TAG_LEN, XNONCE_LEN},
    pad,
    secret::{Secret, equal},
    wipe,
};
use zeroize::Zeroizing;

use super::{Change, Profile, Sending, SendingChain, Session, Step};
use crate::{
    Error,
    chain_key::SendingChainKey,
    dh::KeyPair,
    header::{FieldKind, Header, HeaderKey, LEAD},
    kem_ratchet::{EpochSecret, KemDraw, KemRatchet},
    limits::MAX_COUNTER,
    message_key::MessageKey,
    root_key::{RootKey, Turned},
};

/// A sealed message.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "the frame must not leave before the step is applied and stored"]
pub struct Sealed {
    /// The whole frame, prefix included while it is due.
    pub frame: Vec<u8>,
    /// What sealing changed.
    pub step: Step,
}

/// The longest plaintext of a message in a frame of `frame_len` bytes with a prefix of
/// `prefix_len`, `None` when not even an empty one fits.
///
/// ```
/// assert_eq!(sealwire_ratchet::capacity(2048, 0), Some(760));
/// assert_eq!(sealwire_ratchet::capacity(2048, 1200), None);
/// ```
// RAT-4
pub fn capacity(frame_len: usize, prefix_len: usize) -> Option<usize> {
    frame_len.checked_sub(prefix_len)?.checked_sub(Profile::FULL.overhead())
}

/// What a sent message changes.
pub(super) struct Sent {
    /// The sending step, where one was due.
    turn: Option<Turn>,
    /// The chain's next key.
    key: SendingChainKey,
    nonce: [u8; XNONCE_LEN],
    kem: Option<KemRatchet>,
}

/// A sending step.
struct Turn {
    pair: KeyPair,
    root: RootKey,
    next_header: HeaderKey,
    mixed: bool,
}

/// Where a message goes, and under which keys.
struct Place<'a> {
    header_key: &'a HeaderKey,
    dh: &'a [u8; 32],
    pn: u32,
    n: u32,
}

/// Randomness of one message, drawn before anything else.
struct Draws {
    pair: Option<Secret<32>>,
    kem: KemDraw,
    nonce: Secret<XNONCE_LEN>,
}

impl Session {
    /// Seals `plaintext` into a whole frame. Nothing is changed: apply the step and store the
    /// session before the frame leaves.
    ///
    /// # Errors
    /// [`Error::CannotSend`] before a responder has received anything and at the end of a
    /// counter; [`Error::Misuse`] for more plaintext than [`capacity`] gives for the largest
    /// class; [`Error::Randomness`].
    pub fn seal<R: TryCryptoRng + ?Sized>(
        &self,
        now: Timestamp,
        rng: &mut R,
        plaintext: &[u8],
    ) -> Result<Sealed, Error> {
        let frame_len = self.frame_len(plaintext)?;
        let mixed = match &self.sending {
            Sending::Waiting { .. } => {
                return Err(Error::CannotSend("the responder has not received anything yet"));
            }
            Sending::Chain(chain) if chain.n >= MAX_COUNTER => {
                return Err(Error::CannotSend("its chain is at its end"));
            }
            Sending::Chain(_) => None,
            Sending::Due { .. } => self.kem.sending_step()?,
        };
        let (mixed, stepped) = mixed.unzip();
        let draws = self.draw(stepped.as_ref().unwrap_or(&self.kem), rng)?;
        wipe::stack(|| {
            self.seal_drawn(self.clock(now), frame_len, plaintext, mixed, stepped, draws)
        })
    }

    // RAT-10, RAT-15
    fn seal_drawn(
        &self,
        now: Timestamp,
        frame_len: usize,
        plaintext: &[u8],
        mixed: Option<&EpochSecret>,
        stepped: Option<KemRatchet>,
        draws: Draws,
    ) -> Result<Sealed, Error> {
        let Draws { pair, kem, nonce } = draws;
        let prepared = stepped.as_ref().unwrap_or(&self.kem).prepare(self.suite, kem)?;
        let kem = prepared.or(stepped);
        let (turn, (key, message)) = match (&self.sending, pair) {
            (Sending::Chain(chain), None) => (None, chain.key.step()),
            (Sending::Due { .. }, Some(seed)) => {
                let (turn, key) = self.turn(seed, mixed)?;
                (Some(turn), key.step())
            }
            _ => return Err(Error::Unreachable("a key pair is drawn when a step is due")),
        };
        let place = match (&self.sending, &turn) {
            (Sending::Due { pn }, Some(turn)) => {
                Place { header_key: &self.next_sending, dh: turn.pair.public(), pn: *pn, n: 0 }
            }
            (Sending::Chain(chain), _) => Place {
                header_key: &chain.header,
                dh: chain.pair.public(),
                pn: chain.pn,
                n: chain.n,
            },
            _ => return Err(Error::Unreachable("a step is made when it is due")),
        };
        let nonce = *nonce.expose();
        let state = kem.as_ref().unwrap_or(&self.kem);
        let frame = self.write(frame_len, plaintext, &place, state, &nonce, &message)?;
        let sent = Sent { turn, key, nonce, kem };
        Ok(Sealed { frame, step: self.step(now, Change::Sent(Box::new(sent))) })
    }

    /// The length of the frame that `plaintext` goes into.
    // RAT-4
    fn frame_len(&self, plaintext: &[u8]) -> Result<usize, Error> {
        let parts = [self.due_prefix().len(), self.profile.overhead(), plaintext.len()];
        let len = parts.into_iter().try_fold(0usize, usize::checked_add);
        len.and_then(pad::frame_class).ok_or(Error::Misuse("more plaintext than a frame holds"))
    }

    // RAT-2, RAT-26
    fn draw<R: TryCryptoRng + ?Sized>(
        &self,
        kem: &KemRatchet,
        rng: &mut R,
    ) -> Result<Draws, Error> {
        let pair = match &self.sending {
            Sending::Due { .. } => Some(Secret::random(rng)?),
            Sending::Chain(_) | Sending::Waiting { .. } => None,
        };
        let kem = if self.profile.pq { kem.draw(rng)? } else { KemDraw::Nothing };
        let nonce = Secret::random(rng)?;
        let draws = Draws { pair, kem, nonce };
        if draws.repeat_themselves(&self.sending) { Err(Error::Randomness) } else { Ok(draws) }
    }

    fn turn(
        &self,
        seed: Secret<32>,
        mixed: Option<&EpochSecret>,
    ) -> Result<(Turn, SendingChainKey), Error> {
        let pair = KeyPair::from_seed(seed)?;
        let receiving =
            self.receiving.as_ref().ok_or(Error::Unreachable("a step is due after receiving"))?;
        let Turned { root, chain, next_header } =
            self.root.step(self.suite, &pair.agree(&receiving.dh)?, mixed)?;
        Ok((Turn { pair, root, next_header, mixed: mixed.is_some() }, chain.into_sending()))
    }

    /// Writes the frame; the plaintext is sealed where it stands.
    // RAT-1, RAT-3
    fn write(
        &self,
        frame_len: usize,
        plaintext: &[u8],
        place: &Place<'_>,
        kem: &KemRatchet,
        nonce: &[u8; XNONCE_LEN],
        message: &MessageKey,
    ) -> Result<Vec<u8>, Error> {
        let unreachable = Error::Unreachable("the parts of a frame fit into it");
        let (kind, field) =
            if self.profile.pq { kem.field() } else { (FieldKind::Nothing, &[][..]) };
        let mut header = Header::encode(place.dh, place.pn, place.n, kem.epoch(), kind);
        let mut frame = Zeroizing::new(Vec::with_capacity(frame_len));
        frame.extend_from_slice(self.due_prefix());
        frame.extend_from_slice(&LEAD);
        let header_at = frame.len();
        if self.profile.header_encryption {
            place.header_key.seal(nonce, &mut header)?;
            frame.extend_from_slice(nonce);
        }
        frame.extend_from_slice(&header);

        let header = frame.get(header_at..).ok_or(unreachable.clone())?;
        let cipher = message.cipher(self.suite, header)?;
        let associated = self.associated(header);
        let body_at = frame.len();
        frame.extend_from_slice(field);
        frame.resize(body_at.saturating_add(self.profile.field_len()), 0);
        frame.extend_from_slice(plaintext);
        pad::pad(&mut frame, frame_len.saturating_sub(TAG_LEN))?;
        let body = frame.get_mut(body_at..).ok_or(unreachable)?;
        let tag = cipher.key.seal_detached(&cipher.nonce, &associated, body)?;
        frame.extend_from_slice(&tag);
        Ok(mem::take(&mut *frame))
    }

    pub(super) fn apply_sent(&mut self, sent: Sent) {
        let Sent { turn, key, nonce, kem } = sent;
        self.sent = self.sent.saturating_add(1);
        if let Some(kem) = kem {
            self.kem = kem;
        }
        if let Some(Turn { pair, root, next_header, mixed }) = turn {
            self.steps = self.steps_after(mixed);
            self.root = root;
            self.begin(pair, next_header, key, nonce);
        } else if let Sending::Chain(chain) = &mut self.sending {
            chain.key = key;
            chain.nonce = nonce;
            chain.n = chain.n.saturating_add(1);
        }
    }

    /// Begins a chain, of which one message has been sent.
    fn begin(
        &mut self,
        pair: KeyPair,
        next_header: HeaderKey,
        key: SendingChainKey,
        nonce: [u8; XNONCE_LEN],
    ) {
        let pn = match &self.sending {
            Sending::Due { pn } => *pn,
            Sending::Waiting { .. } | Sending::Chain(_) => 0,
        };
        let header = mem::replace(&mut self.next_sending, next_header);
        self.sending = Sending::Chain(SendingChain { pair, header, key, n: 1, pn, nonce });
    }
}

impl Draws {
    /// Whether a generator gave the same twice, also compared with what is still held of
    /// earlier draws: a nonce is public and must tell nothing of a seed.
    fn repeat_themselves(&self, sending: &Sending) -> bool {
        let mut held: Vec<&[u8]> = Vec::with_capacity(5);
        held.push(self.nonce.expose());
        held.extend(self.pair.as_ref().map(|seed| seed.expose().as_slice()));
        held.extend(match &self.kem {
            KemDraw::Nothing => None,
            KemDraw::Seed(seed) => Some(seed.expose().as_slice()),
            KemDraw::Encapsulation(randomness) => Some(randomness.expose().as_slice()),
        });
        if let Sending::Chain(chain) = sending {
            held.extend([chain.pair.seed().expose().as_slice(), &chain.nonce]);
        }
        let starts = held.iter().filter_map(|bytes| bytes.first_chunk::<XNONCE_LEN>());
        starts.clone().enumerate().any(|(index, start)| {
            starts.clone().skip(index.saturating_add(1)).any(|other| equal(start, other))
        })
    }
}
