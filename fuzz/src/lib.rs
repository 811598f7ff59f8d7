//! What each fuzz target checks: the very functions which the ordinary tests of the crates run
//! on the corpus.
//!
//! A target is run with `cargo xtask fuzz`, or alone with `cargo +nightly fuzz run NAME`. Only
//! the files `corpus/*/seed-*` are kept in the repository; `cargo run --example seeds` writes
//! them. An input that found a fault is kept too, under a name which begins with `seed-`.
#![forbid(unsafe_code)]

#[path = "../../crates/ratchet/tests/model/main.rs"]
pub mod agents;
#[path = "../../crates/cli/src"]
pub mod cli {
    //! Files of the command.

    mod books;
    mod cards {
        pub(crate) mod file;
    }
    mod corpus;

    /// See `corpus`.
    pub fn command_files(bytes: &[u8]) -> bool {
        corpus::command_files(bytes)
    }
}
#[path = "../../crates/sealwire/tests/agents"]
pub mod conversations {
    //! Whole agents that are not online at the same time.

    #[expect(dead_code, reason = "the tests beside it use the rest")]
    mod common;
    mod offline {
        #[expect(dead_code, reason = "the tests beside it use the rest")]
        mod common;
        pub(super) mod played;
        #[expect(dead_code, reason = "the tests beside it use it")]
        mod relay;
    }

    /// See `played`.
    pub fn conversation(bytes: &[u8]) -> bool {
        offline::played::conversation(bytes)
    }
}
#[path = "../../crates/core/tests/corpus.rs"]
pub mod core;
#[path = "../../crates/custody/tests/corpus.rs"]
pub mod custody;
#[path = "../../crates/envelope/tests/corpus.rs"]
pub mod envelope;
#[path = "../../crates/hybrid/tests/corpus.rs"]
pub mod hybrid;
#[path = "../../crates/identity/tests/corpus.rs"]
pub mod identity;
#[path = "../../crates/noise/tests/corpus/main.rs"]
pub mod noise;
#[path = "../../crates/ratchet/tests/corpus.rs"]
pub mod ratchet;
#[path = "../../crates/relay/tests/corpus.rs"]
pub mod relay;
#[path = "../../crates/sealwire/tests/corpus.rs"]
pub mod sealwire;
