//! What ours and the peers' sessions carry.

/// The payload of every message: with all that ours puts beside it, it fits into the smallest
/// frame.
pub const PAYLOAD: [u8; 700] = [0xA5; 700];
