//! How a relay says no.

use core::fmt;

/// Why a request failed: an `application/problem+json` (RFC 9457) whose `type` is
/// `urn:sealwire:problem:` and [`Problem::slug`]. The types are stable.
// REL-8
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Problem {
    /// The request is not as the specification has it.
    Malformed,
    /// A frame that has none of the four sizes.
    FrameSize,
    /// A body that is longer than it may be.
    TooLarge,
    /// A body of another media type.
    MediaType,
    /// The request took too long to arrive.
    TooSlow,
    /// The signature is missing, or does not verify.
    Signature,
    /// The signature is too old, or from the future.
    Stale,
    /// The signature was used before.
    Replayed,
    /// There is nothing here for this caller: unknown, closed, revoked, expired or not his.
    NotFound,
    /// No such operation on this path.
    Method,
    /// The request is for a relay of another name.
    Misdirected,
    /// The directory has a newer card of the same agent, or the mailbox is there with another
    /// content.
    Conflict,
    /// The mailbox is full; it empties when its owner reads.
    MailboxFull,
    /// The sender's part of the mailbox is full.
    SenderFull,
    /// There are as many pages, tokens or mailboxes as are kept.
    Quota,
    /// Too many requests.
    Rate,
    /// The relay cannot store anything now.
    Unavailable,
    /// The relay has a fault.
    Internal,
}

impl Problem {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Malformed,
        Self::FrameSize,
        Self::TooLarge,
        Self::MediaType,
        Self::TooSlow,
        Self::Signature,
        Self::Stale,
        Self::Replayed,
        Self::NotFound,
        Self::Method,
        Self::Misdirected,
        Self::Conflict,
        Self::MailboxFull,
        Self::SenderFull,
        Self::Quota,
        Self::Rate,
        Self::Unavailable,
        Self::Internal,
    ];

    /// What stands before the slug in `type`.
    pub const TYPE_PREFIX: &'static str = "urn:sealwire:problem:";

    /// The HTTP status (RFC 9110; 507 of RFC 4918).
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Signature | Self::Stale | Self::Replayed => 401,
            Self::NotFound => 404,
            Self::Method => 405,
            Self::TooSlow => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::MediaType => 415,
            Self::Misdirected => 421,
            Self::FrameSize => 422,
            Self::Rate => 429,
            Self::Internal => 500,
            Self::Unavailable => 503,
            Self::MailboxFull | Self::SenderFull | Self::Quota => 507,
        }
    }

    /// The end of its `type`.
    pub const fn slug(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::FrameSize => "frame-size",
            Self::TooLarge => "too-large",
            Self::MediaType => "media-type",
            Self::TooSlow => "too-slow",
            Self::Signature => "signature",
            Self::Stale => "stale",
            Self::Replayed => "replayed",
            Self::NotFound => "not-found",
            Self::Method => "method",
            Self::Misdirected => "misdirected",
            Self::Conflict => "conflict",
            Self::MailboxFull => "mailbox-full",
            Self::SenderFull => "sender-full",
            Self::Quota => "quota",
            Self::Rate => "rate",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// What went wrong, as a sentence for whoever sent the request.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Malformed => "the request is malformed",
            Self::FrameSize => "a frame has 2, 4, 16 or 64 KiB",
            Self::TooLarge => "the body is too long",
            Self::MediaType => "the body has another media type than this operation takes",
            Self::TooSlow => "the request took too long to arrive",
            Self::Signature => "the signature is missing or does not verify",
            Self::Stale => "the signature is not of this minute; check the clock",
            Self::Replayed => "the signature was used before",
            Self::NotFound => "there is nothing here for this caller",
            Self::Method => "this path does not take this method",
            Self::Misdirected => "this relay does not answer under this name",
            Self::Conflict => "there is a newer or another one",
            Self::MailboxFull => "the mailbox is full; it empties when its owner reads it",
            Self::SenderFull => "this sender's part of the mailbox is full",
            Self::Quota => "as many as are kept are there already",
            Self::Rate => "too many requests; try again later",
            Self::Unavailable => "nothing can be stored now; try again later",
            Self::Internal => "the relay has a fault",
        }
    }

    /// The body of an answer, as `application/problem+json`.
    pub fn to_json(self) -> String {
        let (prefix, slug) = (Self::TYPE_PREFIX, self.slug());
        let (title, status) = (self.title(), self.status());
        format!(r#"{{"type":"{prefix}{slug}","title":"{title}","status":{status}}}"#)
    }

    /// The problem that such a body has, `None` when it has none that is known. Members beside
    /// the type are not looked at, and a body over 4 KiB is not either.
    pub fn from_json(body: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(body).ok().filter(|text| text.len() <= 4096)?;
        // No text of a relay has the prefix in quotes but the type.
        let (_, rest) = text.split_once("\"urn:sealwire:problem:")?;
        let (slug, _) = rest.split_once('"')?;
        Self::from_slug(slug)
    }

    /// The one with this slug.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|problem| problem.slug() == slug)
    }

    /// Whether the same request can succeed later.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::TooSlow
                | Self::MailboxFull
                | Self::SenderFull
                | Self::Rate
                | Self::Unavailable
                | Self::Internal
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.title())
    }
}
