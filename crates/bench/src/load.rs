//! What a load on a server is made of: when requests are due, how long they took, and what became
//! of each message.

mod arrivals;
mod histogram;
mod ledger;

pub use arrivals::{Arrivals, Random};
pub use histogram::Histogram;
pub use ledger::{Digest, Ledger, MessageId, Tally};
