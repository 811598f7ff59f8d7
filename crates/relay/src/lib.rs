//! What stands between agents that are not online at the same time: a directory of prekeys,
//! and mailboxes. A relay sees only ciphertext, and as little else as possible.
//!
//! It is trusted with nothing but to deliver: bundles, pages and frames are signed or sealed,
//! and are checked by whoever receives them. It holds no accounts. Three credentials open it:
//!
//! | for | credential |
//! |---|---|
//! | writing to the directory, claiming prekeys | a signature with the agent's identity key  |
//! | reading, acknowledging and closing a mailbox | a signature with that mailbox's own key |
//! | leaving a frame in a mailbox | a capability that its owner minted offline  |
//!
//! # Modules
//!
//! - [`wire`]: the thirteen operations, their paths, headers and bodies; [`Problem`], how they fail
//! - [`signature`]: how requests are signed; [`Capability`]
//! - [`store`]: the traits of what keeps it all, the store in memory, and the one in SQLite
//!   (feature `sqlite`)
//! - `server` (feature `server`): the relay itself
//! - `client` (feature `client`): what an agent uses
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::string_slice, reason = "a panic would show the text"))]

mod capability;
#[cfg(feature = "client")]
pub mod client;
mod ids;
pub mod limits;
mod problem;
#[cfg(feature = "server")]
pub mod server;
pub mod signature;
pub mod store;
pub mod wire;

pub use capability::Capability;
pub use ids::{Caller, Device, MessageId, Nonce, ReceiveId, SendId, Token};
pub use problem::Problem;
