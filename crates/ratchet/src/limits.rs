//! Every bound on what a peer can make this side store or compute, with its reason.

/// Message keys that one message may make a receiver derive ahead, the old chain's and the new
/// one's together: a burst that is lost whole, and some milliseconds of work.
pub const MAX_SKIP: u32 = 1000;

/// Skipped message keys that a session stores; the oldest goes first. Two bursts of
/// [`MAX_SKIP`].
pub const MAX_SKIPPED_KEYS: usize = 2000;

/// How long a skipped message key is kept, in seconds: 7 days, as long as a relay keeps a
/// message.
pub const SKIPPED_KEY_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// After how many messages received in its session a skipped message key is dropped.
pub const SKIPPED_KEY_RECEIVES: u64 = 1000;

/// Header keys of past receiving chains that are kept while skipped keys of theirs are. Each is
/// one more trial for a message that opens under none.
pub const MAX_OLD_HEADER_KEYS: usize = 64;

/// Counters of messages, chains and epochs refuse at this value, long before they wrap.
pub const MAX_COUNTER: u32 = 1 << 31;

/// Sessions with one peer that are kept to receive after another has taken their place.
pub const MAX_ARCHIVED: usize = 8;

/// How long an archived session is kept, in seconds: 30 days, the longest that a relay keeps a
/// message.
pub const ARCHIVE_LIFETIME: u64 = 30 * 24 * 60 * 60;

/// Diffie-Hellman steps without a new KEM secret after which a session reports that its
/// post-quantum half stands still.
pub const PQ_STALLED_STEPS: u32 = 64;
