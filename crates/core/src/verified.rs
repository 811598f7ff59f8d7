//! `Unverified<T>` parses; `Verified<T>` comes only from verification.

use core::fmt;

use crate::Timestamp;

/// A value that someone claims, not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Unverified<T>(T);

/// A value that passed [`Verify::verify`], with what that check established.
///
/// There is no other way to make one, and no way to change what is inside:
///
/// ```compile_fail,E0423
/// use sealwire_core::Verified;
/// // attack T37: the fields are private, so nothing is verified by assertion.
/// let forged = Verified("a card", ());
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T> {
    value: T,
    not_after: Timestamp,
    verified_at: Timestamp,
}

/// A type that can be verified. The type's own crate decides what that takes.
pub trait Verify: Sized {
    /// Why verification failed.
    type Error;

    /// Checks signature, lifetime and inner consistency, and gives the time after which the
    /// value must not be used.
    ///
    /// # Errors
    /// The first rule that the value breaks.
    fn verify(&self, now: Timestamp) -> Result<Timestamp, Self::Error>;
}

/// Knows whether a verified value still stands: expiry, pins, revocation.
pub trait Standing<T> {
    /// Why the value no longer stands.
    type Error;

    /// Checks `value` once more, at the time of use.
    ///
    /// # Errors
    /// The reason that the value must not be used now.
    fn check(&self, value: &T, not_after: Timestamp, now: Timestamp) -> Result<(), Self::Error>;
}

impl<T> Unverified<T> {
    /// Wraps a value that was parsed and no more.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// What is claimed. Nothing in it has been checked.
    pub const fn claimed(&self) -> &T {
        &self.0
    }
}

impl<T: Verify> Unverified<T> {
    /// Verifies at `now`.
    ///
    /// # Errors
    /// The first rule that the value breaks.
    pub fn verify(self, now: Timestamp) -> Result<Verified<T>, T::Error> {
        let not_after = self.0.verify(now)?;
        Ok(Verified { value: self.0, not_after, verified_at: now })
    }
}

impl<T> Verified<T> {
    /// The value, after `standing` has checked that it still stands at `now`.
    ///
    /// # Errors
    /// The reason that it must not be used now.
    pub fn check<S: Standing<T>>(&self, now: Timestamp, standing: &S) -> Result<&T, S::Error> {
        standing.check(&self.value, self.not_after, now)?;
        Ok(&self.value)
    }

    /// The value as it was verified, for display and comparison. To act on it, use
    /// [`Verified::check`].
    pub const fn as_verified(&self) -> &T {
        &self.value
    }

    /// After this time the value must not be used.
    pub const fn not_after(&self) -> Timestamp {
        self.not_after
    }

    /// When it was verified.
    pub const fn verified_at(&self) -> Timestamp {
        self.verified_at
    }

    /// Forgets that it was verified, as storing it does.
    pub fn into_unverified(self) -> Unverified<T> {
        Unverified(self.value)
    }
}

impl<T: fmt::Debug> fmt::Debug for Unverified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unverified").field(&self.0).finish()
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.value).finish()
    }
}
