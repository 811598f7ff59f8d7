//! Prekeys: what an agent publishes so that others can write to it while it is offline.
//!
//! The owner keeps the private halves in [`Prekeys`], which signs bundles and pages. A claimer
//! reads an [`UnverifiedBundle`], verifies it into a [`Bundle`], and each one-time key that
//! comes with it into a [`OneTime`].
//!
//! ```text
//!  owner                                        claimer
//!  Prekeys ── bundle ─────────▶ directory ────▶ UnverifiedBundle ── verify ─▶ Bundle
//!     └────── refill: pages ──▶    └──────────▶ header, key ── one_time_* ─▶ OneTime
//! ```

mod bundle;
mod merkle;
mod owner;
mod page;
mod rows;

use core::num::NonZeroU32;

use sealwire_core::{DecodeError, DecodeReason};

pub use bundle::{Bundle, BundlePin, PeerKeys, UnverifiedBundle};
pub(crate) use bundle::{MAX_CAPABILITY, MAX_MAILBOX};
pub use owner::{
    Change, Contact, Found, PageUpload, Prekeys, Publisher, Refill, Rotation, RowKey, Unclaimed,
    Used,
};
#[cfg(any(test, feature = "hazmat"))]
pub(crate) use page::header_again;
pub use page::{OneTime, OneTimeKeys};

/// Numbers the prekeys of one device and kind: from 1, ascending, never reused.
// PRE-2
pub type PrekeyId = NonZeroU32;

/// A kind of one-time prekey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new kind is a new version for every match")]
#[repr(u8)]
pub enum Kind {
    /// X25519, 32 bytes.
    X25519 = 1,
    /// ML-KEM-768, 1,184 bytes.
    MlKem = 2,
}

impl Kind {
    /// The kind with this id.
    ///
    /// # Errors
    /// [`DecodeError`] for any but 1 and 2.
    pub fn from_u8(id: u8) -> Result<Self, DecodeError> {
        match id {
            1 => Ok(Self::X25519),
            2 => Ok(Self::MlKem),
            _ => Err(DecodeError::new("prekey", DecodeReason::Invalid("an unknown kind"))),
        }
    }

    /// The id on the wire.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// How many one-time keys of this kind an agent has published at a time, and the most that
    /// a page holds. An ML-KEM key is 37 times as long.
    // PRE-9, PRE-18
    pub const fn published(self) -> u16 {
        match self {
            Self::X25519 => 100,
            Self::MlKem => 20,
        }
    }
}

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// How long after its creation a signed prekey and its KEM prekey may be used, in seconds.
// PRE-15
pub const SIGNED_LIFETIME: u64 = 14 * DAY;
/// After how long new ones take their place, in seconds: a bundle that a sender holds is good
/// for a week at least.
// PRE-15
pub const ROTATE_AFTER: u64 = 7 * DAY;
/// How long after its creation the keys of a page may be used, in seconds.
// PRE-17
pub const PAGE_LIFETIME: u64 = 52 * DAY;
/// The longest that a contact mailbox keeps a message, in seconds.
pub const CONTACT_TTL: u64 = 7 * DAY;

/// How long after its creation the private half of a signed prekey is kept, in seconds.
// PRE-16
pub const SIGNED_KEPT: u64 = 21 * DAY + HOUR;
/// How long after its creation an unused private half of a page is kept, in seconds.
// PRE-17
pub const PAGE_KEPT: u64 = 59 * DAY + HOUR;

/// Private halves of signed prekeys that are kept at a time. In [`SIGNED_KEPT`] at most four
/// fall due; the others are room for those that a flood of first messages forces.
pub const MAX_SIGNED: usize = 16;
/// With so many kept none is made out of turn, so that a flood leaves the room that those which
/// fall due need.
pub const MAX_FORCED: usize = 12;

/// Pages of one kind whose private halves are kept. Whoever claims keys and never uses them
/// fills it with at most 1.2 MiB; from then on senders get the last-resort key.
pub const MAX_PAGES: usize = 256;

/// The longest upload of a page, header and keys together, in bytes.
// PRE-9
pub const MAX_PAGE_UPLOAD: usize = 256 * 1024;

// A first message that was sent in a key's last second, and lay as long as it may, still opens.
const _: () = {
    assert!(SIGNED_KEPT == SIGNED_LIFETIME + CONTACT_TTL + HOUR);
    assert!(PAGE_KEPT == PAGE_LIFETIME + CONTACT_TTL + HOUR);
    assert!(ROTATE_AFTER + CONTACT_TTL <= SIGNED_LIFETIME);
    assert!(SIGNED_KEPT / ROTATE_AFTER < (MAX_SIGNED - MAX_FORCED) as u64);
    assert!(page::MAX_HEADER_LEN + 100 * page::MAX_CLAIMED_LEN <= MAX_PAGE_UPLOAD);
};
