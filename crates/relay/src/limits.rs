//! Every bound of a relay, each with its reason. Those that an operator may set are in
//! `server::Settings`; the rest belong to the protocol.

/// The longest card, in bytes: cards have at most 8 KiB (CARD-2).
pub const MAX_CARD_LEN: usize = 8 * 1024;

/// The longest bundle, in bytes (PRE-5).
pub const MAX_BUNDLE_LEN: usize = 2048;

/// The longest page of one-time prekeys as uploaded, in bytes: 100 X25519 keys or 20 ML-KEM
/// keys, with their paths (PRE-9).
pub const MAX_PAGE_LEN: usize = 256 * 1024;

/// The longest header of a page, in bytes (PRE-12).
pub const MAX_PAGE_HEADER_LEN: usize = 256;

/// The longest one-time key with its path, in bytes (PRE-12).
pub const MAX_PAGE_KEY_LEN: usize = 2048;

/// The most keys of a page (PRE-9).
pub const MAX_PAGE_KEYS: usize = 100;

/// Pages with unclaimed keys that a device may have at a time, over both kinds: a few months of
/// refills. As many that are used up are known singly for as long as they could be sent again;
/// older ones by the ids that they lie below.
pub const MAX_PAGES: usize = 64;

/// Pages that a store knows singly for a device, used up or not: what a day of claims at the
/// default limit uses up several times. It bounds what is remembered of claims too.
pub const MAX_KNOWN_PAGES: usize = 1024;

/// Unclaimed one-time keys of a kind below which its owner is told: half of a full page
/// (PRE-18).
pub const LOW_WATER_X25519: u32 = 50;

/// The same for ML-KEM keys.
pub const LOW_WATER_KEM: u32 = 10;

/// The most messages of a mailbox.
pub const MAX_MESSAGES: u32 = 1000;

/// The most bytes of a mailbox: 16 MiB.
pub const MAX_MAILBOX_LEN: u64 = 16 * 1024 * 1024;

/// Message ids that a mailbox remembers after its messages were acknowledged, so that one whose
/// sender only missed the answer is not taken again. They live as long as a message would.
pub const MAX_REMEMBERED: u32 = 4 * MAX_MESSAGES;

/// How long a message is kept by default, in seconds: 7 days.
pub const MESSAGE_LIFETIME: u64 = 7 * 24 * 60 * 60;

/// The longest that the owner of a mailbox may ask for, in seconds: 30 days.
pub const MAX_MESSAGE_LIFETIME: u64 = 30 * 24 * 60 * 60;

/// How long a mailbox is kept that nobody reads, in seconds: 60 days, twice the longest life of
/// a message.
pub const MAILBOX_LIFETIME: u64 = 60 * 24 * 60 * 60;

/// Messages of one answer.
pub const MAX_FETCH: u32 = 100;

/// Bytes of frames in one answer, in bytes: a megabyte, or one frame.
pub const MAX_FETCH_LEN: usize = 1024 * 1024;

/// Sequences that one acknowledgement names: all that a mailbox can hold.
pub const MAX_ACKS: usize = 1000;

/// Tokens of a mailbox that are revoked singly; beyond it the secret is to be changed.
pub const MAX_REVOKED: usize = 256;

/// How long the answer to a claim is remembered for the one who made it, in seconds: a day.
pub const CLAIM_LIFETIME: u64 = 24 * 60 * 60;

/// Nonces that a store keeps at a time: 20,000 signed requests in each second of the time for
/// which one is kept.
pub const MAX_NONCES: usize = 1 << 22;

/// How far the time of a signature may lie from the relay's, in seconds, either way.
pub const SIGNATURE_WINDOW: u64 = 60;

/// The longest time that a request for messages waits for one, in seconds.
pub const MAX_WAIT: u64 = 60;

/// Deposits that are written in one transaction: about a megabyte of small frames.
pub const MAX_BATCH: usize = 512;

/// The highest time, sequence or number of a message: databases keep them in 64 bits with a sign.
pub const MAX_NUMBER: u64 = i64::MAX as u64;
