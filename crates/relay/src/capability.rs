//! Deposit capabilities: the right to leave frames in a mailbox, which its owner gives away
//! without asking the relay.

use core::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};
use sealwire_core::{
    DecodeError, DecodeReason, Error, Timestamp, kdf,
    label::Label,
    secret::{Secret, equal},
};

use crate::{Problem, ReceiveId, SendId, Token, limits, store::Entrance};

/// The right to leave frames in one mailbox until a time, in the text
/// `v1.<token>.<expiry>.<MAC>`. Whoever has the text may use it.
///
/// ```
/// use sealwire_core::{Timestamp, secret::Secret};
/// use sealwire_relay::{Capability, SendId, Token};
/// let secret = Secret::from_slice(&[7; 32]).expect("32 bytes");
/// let (send, token) = (SendId::from_bytes([1; 16]), Token::from_bytes([2; 16]));
/// let expiry = Timestamp::from_secs(1_800_000_000);
/// let text = Capability::mint(&secret, &send, &token, expiry).expect("fits").to_text();
/// let capability = Capability::parse(&text).expect("a capability");
/// assert!(capability.check(&secret, &send, expiry));
/// assert!(!capability.check(&secret, &send, expiry.plus(1)));
/// ```
pub struct Capability {
    token: Token,
    expiry: Timestamp,
    mac: Secret<32>,
}

const WHAT: &str = "capability";

/// The length of a token and of a MAC as texts.
const TOKEN_LEN: usize = 22;
const MAC_LEN: usize = 43;

impl Capability {
    /// The longest text, in bytes: `v1`, the token, 19 digits and the MAC, with three dots.
    pub const MAX_LEN: usize = 2 + TOKEN_LEN + 19 + MAC_LEN + 3;

    /// Makes a capability for the mailbox with this secret and this id. It is good up to and
    /// including the second `expiry`.
    ///
    /// # Errors
    /// [`Error::Misuse`] for an expiry beyond [`MAX_NUMBER`](limits::MAX_NUMBER).
    // REL-15
    pub fn mint(
        secret: &Secret<32>,
        send: &SendId,
        token: &Token,
        expiry: Timestamp,
    ) -> Result<Self, Error> {
        if expiry.as_secs() > limits::MAX_NUMBER {
            return Err(Error::Misuse("an expiry below 2^63"));
        }
        Ok(Self { token: *token, expiry, mac: mac(secret, send, token, expiry)? })
    }

    /// Reads the text.
    ///
    /// # Errors
    /// [`DecodeError`] for any other text than [`Capability::to_text`] gives.
    // REL-14
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let error = |reason| DecodeError::new(WHAT, reason);
        if text.len() > Self::MAX_LEN {
            return Err(error(DecodeReason::TooLong(Self::MAX_LEN)));
        }
        let refuse = || error(DecodeReason::Invalid("v1, token, expiry and MAC, between dots"));
        let mut parts = text.split('.');
        let (Some("v1"), Some(token), Some(expiry), Some(mac), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(refuse());
        };
        let seconds: u64 = expiry.parse().map_err(|_| refuse())?;
        if seconds > limits::MAX_NUMBER || seconds.to_string() != expiry {
            return Err(error(DecodeReason::Invalid("an expiry below 2^63, in plain digits")));
        }
        let mac = Secret::try_init_with(|bytes| match Base64UrlUnpadded::decode(mac, bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(()),
            _ => Err(error(DecodeReason::Invalid("a MAC of 43 characters in base64url"))),
        })?;
        Ok(Self { token: Token::parse(token)?, expiry: Timestamp::from_secs(seconds), mac })
    }

    /// The text.
    pub fn to_text(&self) -> String {
        let Self { token, expiry, mac } = self;
        let mac = Base64UrlUnpadded::encode_string(mac.expose());
        format!("v1.{token}.{}.{mac}", expiry.as_secs())
    }

    /// What it is revoked by.
    pub const fn token(&self) -> &Token {
        &self.token
    }

    /// The last second in which it is good.
    pub const fn expiry(&self) -> Timestamp {
        self.expiry
    }

    /// Whether it was made for this mailbox with this secret, and is still good. The time that
    /// this takes does not depend on the MAC.
    // REL-15
    pub fn check(&self, secret: &Secret<32>, send: &SendId, now: Timestamp) -> bool {
        let made = mac(secret, send, &self.token, self.expiry)
            .is_ok_and(|expected| equal(expected.expose(), self.mac.expose()));
        made & (now <= self.expiry)
    }

    /// Whether the mailbox behind `send`, if there is one, lets it in: which one that is.
    ///
    /// # Errors
    /// [`Problem::NotFound`], whatever the reason: no such mailbox, not made for it, expired or
    /// revoked. The same is computed for each.
    // REL-16
    pub fn admit(
        &self,
        entrance: Option<&Entrance>,
        send: &SendId,
        now: Timestamp,
    ) -> Result<ReceiveId, Problem> {
        let nobodys = Secret::init_with(|_| {});
        let (secret, revoked) = match entrance {
            Some(entrance) => (&entrance.secret, entrance.revoked.as_slice()),
            None => (&nobodys, &[][..]),
        };
        let good = self.check(secret, send, now);
        let revoked = revoked.iter().fold(false, |found, token| found | (*token == self.token));
        match entrance {
            Some(entrance) if good && !revoked => Ok(entrance.mailbox),
            _ => Err(Problem::NotFound),
        }
    }
}

fn mac(
    secret: &Secret<32>,
    send: &SendId,
    token: &Token,
    expiry: Timestamp,
) -> Result<Secret<32>, Error> {
    let expiry = expiry.as_secs().to_be_bytes();
    let context =
        Label::RELAY_DEPOSIT.context(None, &[send.as_bytes(), token.as_bytes(), &expiry])?;
    Ok(Secret::init_with(|out| *out = kdf::hmac(secret.expose(), &[context.as_bytes()])))
}

impl fmt::Debug for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Capability(..)")
    }
}
