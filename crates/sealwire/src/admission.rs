//! Bounds on what strangers can cost before they are known: connections, bytes, handshakes.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Limits on handshakes, channels and the inbox. The defaults suit one agent on a small machine.
///
/// ```
/// use std::time::Duration;
/// use sealwire::Limits;
/// let mut limits = Limits::default();
/// limits.deadline = Duration::from_secs(3);
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in their handshake at a time. One that idles costs a few KiB and ends at
    /// the deadline.
    pub open: usize,
    /// KiB buffered, over all connections, for messages that no gate has passed.
    pub buffered_kib: usize,
    /// Handshakes in their public-key part at a time. Each takes a blocking thread.
    pub pending: usize,
    /// Handshakes a second from one source, and the burst it may save up.
    pub per_source: Rate,
    /// How long a handshake may take.
    pub deadline: Duration,
    /// How old a channel may get before it is closed.
    pub channel_age: Duration,
    /// Messages of offline peers that wait in the inbox. Beyond it no more are taken before the
    /// application has acknowledged some: a peer cannot fill the disk.
    pub inbox: usize,
    /// KiB of one peer's large messages that are kept for the application to take. Beyond it
    /// parts wait in the mailbox, and in the end at the sender. More than a mailbox holds, which
    /// is 16 MiB, so that parts which come out of order find room; with 0 none are taken.
    pub large_kib_per_peer: usize,
    /// KiB of the large messages of all peers.
    pub large_kib: usize,
}

/// A rate with a burst.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "a token bucket has two numbers")]
pub struct Rate {
    /// Tokens a second.
    pub per_second: u32,
    /// The most tokens that are saved up.
    pub burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open: 4096,
            buffered_kib: 64 * 1024,
            pending: 64,
            per_source: Rate { per_second: 100, burst: 400 },
            deadline: Duration::from_secs(10),
            channel_age: Duration::from_secs(3600),
            inbox: 4096,
            large_kib_per_peer: 32 * 1024,
            large_kib: 256 * 1024,
        }
    }
}

/// Where a connection comes from, for the rate limit. Connections without a source share one.
///
/// ```
/// use std::net::SocketAddr;
/// use sealwire::Source;
/// let tcp = Source::from(SocketAddr::from(([192, 0, 2, 1], 7000)));
/// assert_ne!(tcp, Source::shared());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Source(Option<IpAddr>);

impl Source {
    /// No source is known: a Unix socket, a pipe.
    pub const fn shared() -> Self {
        Self(None)
    }
}

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        Self(Some(match address.ip() {
            // One subscriber has a /64: its lower half is free to choose.
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_none() => {
                IpAddr::V6((ip.to_bits() & !u128::from(u64::MAX)).into())
            }
            ip => ip.to_canonical(),
        }))
    }
}

/// Counts what is under way.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    open: Arc<Semaphore>,
    buffered: Arc<Semaphore>,
    pending: Arc<Semaphore>,
    buckets: Mutex<Buckets>,
}

#[derive(Debug, Default)]
struct Buckets {
    map: HashMap<Source, Bucket>,
    /// When full buckets were last looked for.
    swept: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens, in billionths: so fine that a flood of attempts never rounds the refill away.
    tokens: u64,
    updated: Duration,
}

/// Sources that are remembered at a time. Beyond it, sources with full buckets are forgotten
/// and new ones share one bucket.
const MAX_SOURCES: usize = 4096;

/// How often full buckets are looked for: a flood of new sources does not make each one pay
/// for the whole table.
const SWEEP_AFTER: Duration = Duration::from_millis(250);

/// One token, in billionths: what a rate of one a second gains in as many nanoseconds.
const TOKEN: u64 = 1_000_000_000;

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: places(limits.open),
            buffered: places(limits.buffered_kib),
            pending: places(limits.pending),
            buckets: Mutex::default(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes a place for one connection.
    pub(crate) fn open(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.open).try_acquire_owned().map_err(|_| Error::Busy)
    }

    /// Takes room for a message of at most `max` bytes, before any of it is read.
    pub(crate) fn buffer(&self, max: usize) -> Result<OwnedSemaphorePermit, Error> {
        let kib = u32::try_from(max.div_ceil(1024)).map_err(|_| Error::Busy)?;
        Arc::clone(&self.buffered).try_acquire_many_owned(kib).map_err(|_| Error::Busy)
    }

    /// Takes a place for the public-key part of one handshake.
    pub(crate) fn pending(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.pending).try_acquire_owned().map_err(|_| Error::Busy)
    }

    /// Takes one token of `source` at the monotonic time `elapsed`.
    pub(crate) fn take_token(&self, source: Source, elapsed: Duration) -> Result<(), Error> {
        let rate = self.limits.per_source;
        let mut buckets = self.buckets.lock().map_err(|_| Error::Busy)?;
        let source =
            if buckets.has_room(source, rate, elapsed) { source } else { Source::shared() };
        let full = Bucket { tokens: rate.full(), updated: elapsed };
        let bucket = buckets.map.entry(source).or_insert(full);
        let tokens = bucket.refilled(rate, elapsed);
        let left = tokens.checked_sub(TOKEN);
        *bucket = Bucket { tokens: left.unwrap_or(tokens), updated: elapsed };
        left.map(drop).ok_or(Error::Busy)
    }
}

/// A semaphore panics above its own limit, which no number of connections reaches.
fn places(count: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS)))
}

impl Buckets {
    /// Whether `source` has a bucket of its own, or may get one.
    fn has_room(&mut self, source: Source, rate: Rate, elapsed: Duration) -> bool {
        if self.map.contains_key(&source) || self.map.len() < MAX_SOURCES {
            return true;
        }
        if self.swept.is_none_or(|swept| elapsed.saturating_sub(swept) >= SWEEP_AFTER) {
            self.swept = Some(elapsed);
            self.map.retain(|_, bucket| bucket.refilled(rate, elapsed) < rate.full());
        }
        self.map.len() < MAX_SOURCES
    }
}

impl Rate {
    fn full(self) -> u64 {
        u64::from(self.burst).saturating_mul(TOKEN)
    }
}

impl Bucket {
    fn refilled(&self, rate: Rate, elapsed: Duration) -> u64 {
        let passed = elapsed.saturating_sub(self.updated).as_nanos();
        let passed = u64::try_from(passed).unwrap_or(u64::MAX);
        let gained = passed.saturating_mul(u64::from(rate.per_second));
        self.tokens.saturating_add(gained).min(rate.full())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> Source {
        SocketAddr::from(([192, 0, 2, last], 1)).into()
    }

    #[test]
    fn a_source_gets_its_burst_and_then_its_rate() {
        let limits = Limits { per_source: Rate { per_second: 2, burst: 3 }, ..Limits::default() };
        let admission = Admission::new(limits);
        let take = |source, millis| admission.take_token(source, Duration::from_millis(millis));
        for _ in 0..3 {
            assert!(take(source(1), 0).is_ok());
        }
        assert!(matches!(take(source(1), 0), Err(Error::Busy)));
        assert!(take(source(2), 0).is_ok(), "another source is not affected");
        assert!(matches!(take(source(1), 499), Err(Error::Busy)));
        assert!(take(source(1), 500).is_ok());
        assert!(matches!(take(source(1), 500), Err(Error::Busy)));
    }

    #[test]
    fn a_flood_of_attempts_does_not_round_the_refill_away() {
        let limits = Limits { per_source: Rate { per_second: 10, burst: 1 }, ..Limits::default() };
        let admission = Admission::new(limits);
        let attempts = (0..20_000_u64).map(|step| Duration::from_micros(100 * step));
        let taken = attempts.filter(|now| admission.take_token(source(1), *now).is_ok()).count();
        assert!((20..=21).contains(&taken), "two seconds at ten a second: {taken}");
    }

    #[test]
    fn limits_beyond_every_machine_do_not_panic() {
        let limits = Limits { open: usize::MAX, pending: usize::MAX, ..Limits::default() };
        assert!(Admission::new(limits).open().is_ok());
    }

    #[test]
    fn sources_are_bounded() {
        let admission = Admission::new(Limits::default());
        let sources = u32::try_from(3 * MAX_SOURCES).expect("few");
        for number in 0..sources {
            let _ = admission
                .take_token(SocketAddr::from((number.to_be_bytes(), 1)).into(), Duration::ZERO);
        }
        assert!(admission.buckets.lock().expect("lock").map.len() <= MAX_SOURCES + 1);
        // Once the buckets of the flood are full again, they make room.
        let later = Duration::from_secs(10);
        assert!(admission.take_token(source(1), later).is_ok());
        assert_eq!(admission.buckets.lock().expect("lock").map.len(), 1);
    }

    #[test]
    fn one_ipv6_subscriber_is_one_source() {
        let address = |text: &str| Source::from(SocketAddr::new(text.parse().expect("ip"), 1));
        assert_eq!(address("2001:db8::1"), address("2001:db8::ffff:2"));
        assert_ne!(address("2001:db8::1"), address("2001:db8:0:1::1"));
        assert_eq!(address("::ffff:192.0.2.1"), source(1));
    }

    #[test]
    fn room_is_given_back() {
        let admission = Admission::new(Limits { buffered_kib: 40, ..Limits::default() });
        let first = admission.buffer(40 * 1024).expect("room");
        assert!(matches!(admission.buffer(1), Err(Error::Busy)));
        drop(first);
        assert!(admission.buffer(1).is_ok());
    }
}
