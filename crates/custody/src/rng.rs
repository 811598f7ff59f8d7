//! The driver through which the operating system's randomness enters.

#[expect(
    clippy::disallowed_types,
    reason = "the one place of this crate that draws randomness"
)]
use getrandom::SysRng;
use rand_core::TryCryptoRng;

/// The operating system's random number generator.
///
/// Each call asks the kernel: there is no state in this process that a fork could duplicate.
pub fn system_rng() -> impl TryCryptoRng + Send + Sync {
    SysRng
}
