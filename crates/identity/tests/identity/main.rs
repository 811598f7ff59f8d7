//! The public interface of the crate, against `docs/spec/card.md`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failing test fails"
)]

mod agent_id;
mod card;
mod card_keys;
mod card_text;
mod common;
mod evidence;
mod pin;
mod properties;
mod score;
mod snapshots;
