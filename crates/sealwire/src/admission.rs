//! Bounds on what strangers can cost before they are known: connections, bytes, handshakes.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// Limits on handshakes. The defaults suit one agent on a small machine.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connections in their handshake at a time. One that idles costs a few KiB and ends at
    /// the deadline.
    pub open: usize,
    /// KiB buffered, over all connections, for messages that no gate has passed.
    pub buffered_kib: usize,
    /// Handshakes in their public-key part at a time.
    pub pending: usize,
    /// Handshakes a second from one source, and the burst it may save up.
    pub per_source: Rate,
    /// How long a handshake may take.
    pub deadline: Duration,
    /// How old a channel may get before it is closed.
    pub channel_age: Duration,
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
        }
    }
}

/// Where a connection comes from, for the rate limit. Connections without a source share one.
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
    buckets: Mutex<HashMap<Source, Bucket>>,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens, in thousandths.
    tokens: u64,
    updated: Duration,
}

/// Sources that are remembered at a time. Beyond it, sources with full buckets are forgotten
/// and new ones share one bucket.
const MAX_SOURCES: usize = 4096;

impl Admission {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            open: Arc::new(Semaphore::new(limits.open)),
            buffered: Arc::new(Semaphore::new(limits.buffered_kib)),
            pending: Arc::new(Semaphore::new(limits.pending)),
            buckets: Mutex::new(HashMap::new()),
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
        let mut source = source;
        if !buckets.contains_key(&source) && buckets.len() >= MAX_SOURCES {
            buckets.retain(|_, bucket| bucket.refilled(rate, elapsed) < rate.full());
            if buckets.len() >= MAX_SOURCES {
                source = Source::shared();
            }
        }
        let full = Bucket { tokens: rate.full(), updated: elapsed };
        let bucket = buckets.entry(source).or_insert(full);
        let tokens = bucket.refilled(rate, elapsed);
        let left = tokens.checked_sub(1000);
        *bucket = Bucket { tokens: left.unwrap_or(tokens), updated: elapsed };
        left.map(drop).ok_or(Error::Busy)
    }
}

impl Rate {
    fn full(self) -> u64 {
        u64::from(self.burst).saturating_mul(1000)
    }
}

impl Bucket {
    fn refilled(&self, rate: Rate, elapsed: Duration) -> u64 {
        let passed = elapsed.saturating_sub(self.updated).as_millis();
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
    fn sources_are_bounded() {
        let admission = Admission::new(Limits::default());
        for number in 0..3 * MAX_SOURCES as u32 {
            let _ = admission
                .take_token(SocketAddr::from((number.to_be_bytes(), 1)).into(), Duration::ZERO);
        }
        assert!(admission.buckets.lock().expect("lock").len() <= MAX_SOURCES + 1);
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
