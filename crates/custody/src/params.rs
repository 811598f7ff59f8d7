//! The cost of one guess at a passphrase.

use crate::Error;

/// Parameters of Argon2id (RFC 9106), within bounds.
///
/// ```
/// use sealwire_custody::Params;
/// let params = Params::default();
/// assert_eq!((params.memory_kib(), params.passes(), params.lanes()), (65_536, 3, 4));
/// assert!(Params::new(u32::MAX, 3, 4).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    memory_kib: u32,
    passes: u32,
    lanes: u8,
}

impl Params {
    /// The cheapest that is accepted: 19 MiB, 2 passes, 1 lane, the minimum that OWASP's
    /// Password Storage Cheat Sheet recommends. A file below it would be weak without saying so.
    pub const MIN: Self = Self { memory_kib: 19 * 1024, passes: 2, lanes: 1 };

    /// The dearest that is accepted: 1 GiB, 16 passes, 16 lanes. The header is read before
    /// anything can be authenticated, so this bounds what a file from elsewhere can cost:
    /// memory that a small server has, and time in tens of seconds.
    pub const MAX: Self = Self { memory_kib: 1024 * 1024, passes: 16, lanes: 16 };

    /// The second recommended option of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
    pub const RECOMMENDED: Self = Self { memory_kib: 64 * 1024, passes: 3, lanes: 4 };

    /// Parameters of `memory_kib` KiB of memory, `passes` over it, and `lanes`.
    ///
    /// # Errors
    /// [`Error::Misuse`] outside [`Params::MIN`] to [`Params::MAX`].
    pub const fn new(memory_kib: u32, passes: u32, lanes: u8) -> Result<Self, Error> {
        match Self::bounded(memory_kib, passes, lanes) {
            Ok(params) => Ok(params),
            Err(rule) => Err(Error::Misuse(rule)),
        }
    }

    /// Names the rule that is broken.
    // KEY-5
    pub(crate) const fn bounded(
        memory_kib: u32,
        passes: u32,
        lanes: u8,
    ) -> Result<Self, &'static str> {
        if memory_kib < Self::MIN.memory_kib || memory_kib > Self::MAX.memory_kib {
            return Err("the memory of Argon2id is outside 19 MiB to 1 GiB");
        }
        if passes < Self::MIN.passes || passes > Self::MAX.passes {
            return Err("the passes of Argon2id are outside 2 to 16");
        }
        if lanes < Self::MIN.lanes || lanes > Self::MAX.lanes {
            return Err("the lanes of Argon2id are outside 1 to 16");
        }
        Ok(Self { memory_kib, passes, lanes })
    }

    /// Memory, in KiB.
    pub const fn memory_kib(self) -> u32 {
        self.memory_kib
    }

    /// Passes over the memory.
    pub const fn passes(self) -> u32 {
        self.passes
    }

    /// Lanes. They are computed one after the other here; an attacker may do so in parallel.
    pub const fn lanes(self) -> u8 {
        self.lanes
    }
}

impl Default for Params {
    /// [`Params::RECOMMENDED`].
    fn default() -> Self {
        Self::RECOMMENDED
    }
}
