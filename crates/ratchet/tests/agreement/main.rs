//! Prekeys and the agreement, driven through the public API as users and attackers drive them.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test that fails panics")]

mod agree;
mod bundle;
mod common;
mod forge;
mod identity;
mod leaks;
mod owner;
mod page;
mod randomness;
mod replay;
mod tamper;
mod vectors;
