//! The messages of a stream (operation 13): WebSocket binary messages, canonical CBOR.
//!
//! The upgrade is signed like operation 11, so a stream is of one mailbox, and needs no further
//! credential. The client asks, the server answers, in order; beside answers the server sends
//! [`FromServer::Arrived`] and [`FromServer::PrekeysLow`] when there is news. It says so once
//! and not again before the client has asked: a client that reads slowly costs a relay nothing.
// REL-20

use super::{Acks, Message};
use crate::Problem;

/// What a client sends on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum FromClient {
    /// 1: the oldest messages behind `after`, at most `limit`.
    Fetch {
        /// The sequence behind which to begin, 0 for the oldest.
        after: u64,
        /// The most messages.
        limit: u32,
    },
    /// 2: removes messages for good.
    Ack(Acks),
}

/// What a server sends on a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum FromServer {
    /// 1: the stream stands: what arrives from now on is told. The backlog is to be fetched
    /// after it.
    Ready,
    /// 2: something arrived since the last answer.
    Arrived,
    /// 3: one-time prekeys run low.
    PrekeysLow,
    /// 4: the answer to a fetch.
    Messages {
        /// In the order of their sequence.
        messages: Vec<Message>,
        /// There are more.
        more: bool,
    },
    /// 5: the answer to an acknowledgement.
    Acked {
        /// Messages removed.
        removed: u32,
    },
    /// 6: the request failed.
    Problem(Problem),
}
