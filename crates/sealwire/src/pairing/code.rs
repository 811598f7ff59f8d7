//! The code by which two agents meet, and where that is.

use core::fmt;

use rand_core::TryCryptoRng;
use sealwire_core::{
    DecodeError, DecodeReason, kdf::hkdf, label::Label, rng::draw, secret::Secret,
};

use super::{Error, Role};

/// Crockford's base 32: digits and letters without I, L, O and U.
pub(super) const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// A code by which two agents meet: eight characters, of which one side tells the other.
///
/// It is the name of a meeting place, for a few minutes, and no secret: see the
/// [module](super#security). It has 40 bits, so that nobody comes by chance.
///
/// ```
/// use sealwire::pairing::Code;
/// let code = Code::parse("4k7m-2qxd")?;
/// assert_eq!(code.to_string(), "4K7M-2QXD");
/// // As it is read, heard and typed.
/// assert_eq!(Code::parse(" o1l-i 0AaB")?, Code::parse("0111-0AAB")?);
/// # Ok::<(), sealwire::pairing::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Code([u8; 5]);

/// Where the two meet: a mailbox for what the creator reads, and one for what the joiner reads.
/// Whoever knows the code can make either, and leave messages in both.
#[expect(clippy::exhaustive_structs, reason = "there are two sides")]
pub struct Rendezvous {
    /// Where the creator reads.
    pub creator: MeetingBox,
    /// Where the joiner reads.
    pub joiner: MeetingBox,
}

/// What a mailbox of a relay is made of.
#[expect(clippy::exhaustive_structs, reason = "a relay makes a mailbox of these three")]
pub struct MeetingBox {
    /// Seed of the Ed25519 key that makes and reads it.
    pub seed: Secret<32>,
    /// The id for sending.
    pub send: [u8; 16],
    /// The secret that deposit capabilities are made with.
    pub deposit: Secret<32>,
}

impl Code {
    /// Characters, without what separates them.
    const CHARS: usize = 8;
    /// The longest text that is looked at.
    const MAX_TEXT_LEN: usize = 64;

    /// Draws a code.
    ///
    /// # Errors
    /// [`Error::Core`] when randomness fails.
    // PAIR-1
    pub fn generate<R: TryCryptoRng + ?Sized>(rng: &mut R) -> Result<Self, Error> {
        Ok(Self(*draw(rng)?.expose()))
    }

    /// Reads a code as a human typed it: in either case, with or without dashes and spaces, with
    /// O for 0 and I or L for 1.
    ///
    /// # Errors
    /// [`Error::Decode`] for anything else than eight characters of the alphabet.
    // PAIR-2
    pub fn parse(text: &str) -> Result<Self, Error> {
        let error = |reason| Error::from(DecodeError::new("pairing code", reason));
        if text.len() > Self::MAX_TEXT_LEN {
            return Err(error(DecodeReason::TooLong(Self::MAX_TEXT_LEN)));
        }
        let (mut bits, mut count) = (0_u64, 0_usize);
        for character in text.bytes().filter(|byte| !matches!(byte, b' ' | b'\t' | b'-')) {
            let character = match character.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let digit = (0_u64..).zip(ALPHABET).find(|(_, symbol)| **symbol == character);
            let (digit, _) =
                digit.ok_or(error(DecodeReason::Invalid("it has digits, and letters but U")))?;
            bits = bits << 5 | digit;
            count = count.saturating_add(1);
        }
        if count != Self::CHARS {
            return Err(error(DecodeReason::Invalid("it has eight characters")));
        }
        let [_, _, _, code @ ..] = bits.to_be_bytes();
        Ok(Self(code))
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Where the two meet.
    // PAIR-3
    pub fn rendezvous(&self) -> Result<Rendezvous, Error> {
        Ok(Rendezvous {
            creator: self.mailbox(Role::Creator)?,
            joiner: self.mailbox(Role::Joiner)?,
        })
    }

    fn mailbox(&self, reader: Role) -> Result<MeetingBox, Error> {
        let info = Label::PAIRING_RENDEZVOUS.context(None, &[&[reader.to_byte()]])?;
        let all: Secret<80> = hkdf(&[0; 32], &self.0, &info);
        let (seed, rest) = all.expose().split_at(32);
        let (send, deposit) = rest.split_at(16);
        let mut id = [0; 16];
        id.copy_from_slice(send);
        Ok(MeetingBox {
            seed: Secret::from_slice(seed)?,
            send: id,
            deposit: Secret::from_slice(deposit)?,
        })
    }
}

impl Rendezvous {
    /// Where this side reads, and where it leaves its messages.
    pub fn of(&self, role: Role) -> (&MeetingBox, &MeetingBox) {
        match role {
            Role::Creator => (&self.creator, &self.joiner),
            Role::Joiner => (&self.joiner, &self.creator),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e] = self.0;
        let bits = u64::from_be_bytes([0, 0, 0, a, b, c, d, e]);
        for at in 0..Self::CHARS {
            if at == Self::CHARS / 2 {
                f.write_str("-")?;
            }
            let shift = Self::CHARS.saturating_sub(at).saturating_sub(1).saturating_mul(5);
            let digit = usize::try_from(bits >> shift & 31).unwrap_or_default();
            write!(f, "{}", char::from(ALPHABET.get(digit).copied().unwrap_or_default()))?;
        }
        Ok(())
    }
}

// Whoever reads it in a log could come too.
impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Code(..)")
    }
}

impl fmt::Debug for Rendezvous {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rendezvous(..)")
    }
}

impl fmt::Debug for MeetingBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MeetingBox(..)")
    }
}
