//! Signatures of requests: one narrow profile of RFC 9421.
//!
//! ```text
//! content-digest: sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:
//! signature-input: sig1=("@method" "@authority" "@path" "@query" "content-digest")
//!     ;created=1800000000;nonce="AQEBAQEBAQEBAQEBAQEBAQ";keyid="did:key:z6Mk…"
//!     ;tag="sealwire-relay-v1"
//! signature: sig1=:…:
//! ```
//!
//! Everything in it is fixed but time, nonce and key, so that a reader needs no parser of
//! structured fields: what is not written as [`sign`] writes it is refused.
//!
//! ```
//! use sealwire_core::{Timestamp, keys::SigningKey, secret::Secret};
//! use sealwire_relay::{Nonce, signature::{self, RequestParts, SignatureHeaders, Signer}};
//! let key = SigningKey::from_seed(&Secret::from_slice(&[7; 32]).expect("32 bytes"));
//! let now = Timestamp::from_secs(1_800_000_000);
//! let request = RequestParts {
//!     method: "GET",
//!     authority: "relay.example",
//!     path: "/v1/mailboxes/BwcHBwcHBwcHBwcHBwcHBw/stream",
//!     query: None,
//!     body: &[],
//! };
//! let signer = Signer::Mailbox(key.public().clone());
//! let nonce = Nonce::from_bytes([1; 16]);
//! let signed = signature::sign(&request, now, &nonce, &signer.key_id(), |base| Ok(key.sign(base)))
//!     .expect("plain texts");
//! let headers = SignatureHeaders::collect(signed.fields()).expect("all three");
//! let verified = signature::verify(&request, &headers, now).expect("just signed");
//! assert_eq!((verified.signer, verified.nonce), (signer, nonce));
//! ```

use core::fmt;

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use sealwire_core::{
    Error, Timestamp, kdf,
    keys::{Signature, VerifyingKey},
    label::Context,
};
use sealwire_identity::AgentId;

use crate::{Nonce, Problem, limits::SIGNATURE_WINDOW};

/// The header with the hash of the body (RFC 9530).
pub const CONTENT_DIGEST: &str = "content-digest";
/// The header that says what was signed (RFC 9421, section 4.1).
pub const SIGNATURE_INPUT: &str = "signature-input";
/// The header with the signature (RFC 9421, section 4.2).
pub const SIGNATURE: &str = "signature";

/// What is covered, in this order, and how the header begins that says so.
const COMPONENTS: [&str; 5] = ["@method", "@authority", "@path", "@query", CONTENT_DIGEST];
const INPUT_START: &str =
    r#"sig1=("@method" "@authority" "@path" "@query" "content-digest");created="#;
const TAG: &str = "sealwire-relay-v1";

/// The longest `signature-input`, in bytes: the longest key id, and what stands around it.
const MAX_INPUT_LEN: usize = AgentId::MAX_LEN + 256;

/// The highest integer of a structured field (RFC 9651, section 3.3.1).
const MAX_INTEGER: u64 = 999_999_999_999_999;

/// A request, as both sides see it.
#[derive(Clone, Copy)]
#[expect(clippy::exhaustive_structs, reason = "what a signature covers")]
pub struct RequestParts<'a> {
    /// The method, in capitals.
    pub method: &'a str,
    /// The host, and the port unless it is the scheme's own, as the request names them.
    pub authority: &'a str,
    /// The path, as it is in the request line.
    pub path: &'a str,
    /// What stands behind the `?`, if it is there.
    pub query: Option<&'a str>,
    /// The body, empty where there is none.
    pub body: &'a [u8],
}

/// The values of the three headers of a signed request.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "the profile has these three")]
pub struct SignedHeaders {
    /// Of [`CONTENT_DIGEST`].
    pub content_digest: String,
    /// Of [`SIGNATURE_INPUT`].
    pub signature_input: String,
    /// Of [`SIGNATURE`].
    pub signature: String,
}

impl SignedHeaders {
    /// Names and values.
    pub fn fields(&self) -> [(&'static str, &[u8]); 3] {
        let Self { content_digest, signature_input, signature } = self;
        [
            (CONTENT_DIGEST, content_digest.as_bytes()),
            (SIGNATURE_INPUT, signature_input.as_bytes()),
            (SIGNATURE, signature.as_bytes()),
        ]
    }
}

/// The three headers as they arrived, each once.
#[derive(Clone, Copy)]
pub struct SignatureHeaders<'a> {
    content_digest: &'a str,
    signature_input: &'a str,
    signature: &'a str,
}

impl<'a> SignatureHeaders<'a> {
    /// Picks them out of the header fields of a request.
    ///
    /// # Errors
    /// [`Problem::Signature`] when one is missing, is there twice, or is not ASCII.
    // REL-9
    pub fn collect(fields: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Result<Self, Problem> {
        let (mut content_digest, mut signature_input, mut signature) = (None, None, None);
        for (name, value) in fields {
            let place = match name {
                _ if name.eq_ignore_ascii_case(CONTENT_DIGEST) => &mut content_digest,
                _ if name.eq_ignore_ascii_case(SIGNATURE_INPUT) => &mut signature_input,
                _ if name.eq_ignore_ascii_case(SIGNATURE) => &mut signature,
                _ => continue,
            };
            let value = core::str::from_utf8(value).map_err(|_| Problem::Signature)?;
            if place.replace(value).is_some() {
                return Err(Problem::Signature);
            }
        }
        match (content_digest, signature_input, signature) {
            (Some(content_digest), Some(signature_input), Some(signature)) => {
                Ok(Self { content_digest, signature_input, signature })
            }
            _ => Err(Problem::Signature),
        }
    }
}

/// Who signed a request.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum Signer {
    /// An agent, with its identity key.
    Identity(AgentId),
    /// The owner of a mailbox, with the key of that mailbox.
    Mailbox(VerifyingKey),
}

impl Signer {
    /// The `keyid`: a DID, or the key in base64url without padding.
    // REL-10
    pub fn key_id(&self) -> String {
        match self {
            Self::Identity(agent) => agent.as_str().to_owned(),
            Self::Mailbox(key) => Base64UrlUnpadded::encode_string(key.as_bytes()),
        }
    }

    fn parse(key_id: &str) -> Option<Self> {
        if key_id.starts_with("did:") {
            return AgentId::parse(key_id).ok().map(Self::Identity);
        }
        let mut bytes = [0; 32];
        let decoded = Base64UrlUnpadded::decode(key_id, &mut bytes).ok()?;
        // Not of small order, and canonical: other signatures would verify under such a key.
        VerifyingKey::from_bytes(decoded).ok().map(Self::Mailbox)
    }

    /// The key, if the key id tells it: that of an agent may have to be looked up.
    fn key(&self) -> Option<&VerifyingKey> {
        match self {
            Self::Identity(agent) => agent.key(),
            Self::Mailbox(key) => Some(key),
        }
    }
}

/// What a good signature says. Whether it was used before, only a relay's
/// [`Nonces`](crate::store::Nonces) know.
#[derive(Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "what the parameters of the profile say")]
pub struct Verified {
    /// The `keyid`.
    pub key_id: String,
    /// Whose key it is.
    pub signer: Signer,
    /// What makes it one of its kind.
    pub nonce: Nonce,
    /// When it was made, by the clock of the signer.
    pub created: Timestamp,
}

macro_rules! hidden {
    ($($name:ident $(<$life:lifetime>)?),*) => {$(
        // Logs show nobody.
        impl fmt::Debug for $name $(<$life>)? {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

hidden!(RequestParts<'_>, SignatureHeaders<'_>, SignedHeaders, Signer, Verified);

/// Signs a request with whatever key `sign` has; `key_id` is [`Signer::key_id`].
///
/// # Errors
/// [`Error::Misuse`] for a part of the request that is not plain ASCII, a key id that names no
/// key, or a time of more than 15 digits; the error of `sign`.
pub fn sign(
    request: &RequestParts<'_>,
    created: Timestamp,
    nonce: &Nonce,
    key_id: &str,
    sign: impl FnOnce(&Context) -> Result<Signature, Error>,
) -> Result<SignedHeaders, Error> {
    let signature_input = input(created, nonce, key_id);
    let parameters = Parameters::parse(&signature_input)
        .ok_or(Error::Misuse("a key id that names a key, and a time of at most 15 digits"))?;
    let content_digest = digest(request.body);
    let base = request
        .signature_base(&content_digest, parameters.text)
        .ok_or(Error::Misuse("a request in plain ASCII"))?;
    let signature = sign(&Context::http_signature_base(&base)?)?;
    let signature = Base64::encode_string(signature.as_bytes());
    Ok(SignedHeaders { content_digest, signature: format!("sig1=:{signature}:"), signature_input })
}

/// Verifies the signature of a request.
///
/// # Errors
/// [`Problem::Stale`] when it was not made within [`SIGNATURE_WINDOW`] of `now`, and
/// [`Problem::Signature`] for everything else that is wrong with it.
// REL-9, REL-11
pub fn verify(
    request: &RequestParts<'_>,
    headers: &SignatureHeaders<'_>,
    now: Timestamp,
) -> Result<Verified, Problem> {
    let parameters = Parameters::parse(headers.signature_input).ok_or(Problem::Signature)?;
    let Parameters { created, nonce, key_id, signer, text } = parameters;
    if now.since(created) > SIGNATURE_WINDOW || created.since(now) > SIGNATURE_WINDOW {
        return Err(Problem::Stale);
    }
    let digest = digest(request.body);
    if digest != headers.content_digest {
        return Err(Problem::Signature);
    }
    let signature = read_signature(headers.signature).ok_or(Problem::Signature)?;
    let base = request.signature_base(&digest, text).ok_or(Problem::Signature)?;
    let base = Context::http_signature_base(&base).map_err(|_| Problem::Signature)?;
    let key = signer.key().ok_or(Problem::Signature)?;
    key.verify(&base, &signature).map_err(|_| Problem::Signature)?;
    Ok(Verified { key_id: key_id.to_owned(), signer, nonce, created })
}

/// The value of `signature-input`.
fn input(created: Timestamp, nonce: &Nonce, key_id: &str) -> String {
    let created = created.as_secs();
    format!(r#"{INPUT_START}{created};nonce="{nonce}";keyid="{key_id}";tag="{TAG}""#)
}

/// The parameters of a signature.
struct Parameters<'a> {
    created: Timestamp,
    nonce: Nonce,
    key_id: &'a str,
    signer: Signer,
    /// Components and parameters as they were written, behind the label.
    text: &'a str,
}

impl<'a> Parameters<'a> {
    /// Reads what [`input`] writes.
    fn parse(value: &'a str) -> Option<Self> {
        if value.len() > MAX_INPUT_LEN {
            return None;
        }
        let (seconds, rest) = value.strip_prefix(INPUT_START)?.split_once(";nonce=\"")?;
        let (nonce, rest) = rest.split_once("\";keyid=\"")?;
        let (key_id, _) = rest.split_once("\";tag=\"")?;
        let created = seconds.parse().ok().filter(|created| *created <= MAX_INTEGER)?;
        let created = Timestamp::from_secs(created);
        let nonce = Nonce::parse(nonce).ok()?;
        // One spelling, and nothing behind the tag.
        if input(created, &nonce, key_id) != value {
            return None;
        }
        let (_, text) = value.split_once('=')?;
        Some(Self { created, nonce, key_id, signer: Signer::parse(key_id)?, text })
    }
}

impl RequestParts<'_> {
    /// What is signed. `None` when a part has a byte that is not visible ASCII: a line break
    /// would begin another component.
    fn signature_base(&self, digest: &str, parameters: &str) -> Option<String> {
        // RFC 9421, section 2.2.7: without a query, the value is a lone question mark.
        let query = format!("?{}", self.query.unwrap_or_default());
        // Section 2.2.3: the host is written in small letters.
        let authority = self.authority.to_ascii_lowercase();
        let values = [self.method, &authority, self.path, &query, digest];
        if !values.iter().all(|value| value.bytes().all(|byte| byte.is_ascii_graphic())) {
            return None;
        }
        let lines: Vec<(&str, &str)> = COMPONENTS.into_iter().zip(values).collect();
        Some(signature_base(&lines, parameters))
    }
}

/// The signature base of RFC 9421, section 2.5, of components that have no parameters.
fn signature_base(components: &[(&str, &str)], parameters: &str) -> String {
    let mut base = String::with_capacity(512);
    for (name, value) in components {
        base.extend(["\"", name, "\": ", value, "\n"]);
    }
    base.extend(["\"@signature-params\": ", parameters]);
    base
}

/// The value of `content-digest`: RFC 9530, with the one algorithm of the profile.
fn digest(body: &[u8]) -> String {
    format!("sha-256=:{}:", Base64::encode_string(&kdf::sha256(&[body])))
}

/// Reads the value of `signature`.
fn read_signature(value: &str) -> Option<Signature> {
    let text = value.strip_prefix("sig1=:")?.strip_suffix(':')?;
    // 64 bytes are 86 characters and two for padding.
    if text.len() != 88 {
        return None;
    }
    let mut bytes = [0; 64];
    Signature::from_bytes(Base64::decode(text, &mut bytes).ok()?).ok()
}

#[cfg(test)]
mod tests;
