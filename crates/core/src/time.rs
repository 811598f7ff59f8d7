//! Time as a parameter: whole seconds, and a high-water mark against clocks that jump.

use core::time::Duration;

/// Whole seconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The time `seconds` after the Unix epoch.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since the Unix epoch.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// This time and `seconds` more; stays at the end of time instead of wrapping.
    #[must_use]
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this time, 0 when `earlier` is later.
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// How far in the future a signed object may lie, in seconds: clocks of honest machines differ
/// by less.
pub const MAX_CLOCK_SKEW: u64 = 5 * 60;

/// How far one start of the process may move the mark beyond monotonic time, in seconds.
///
/// A clock set years ahead would otherwise expire everything at once, for good.
pub const MAX_MARK_JUMP: u64 = 24 * 60 * 60;

/// The latest time ever seen, so that a clock set back revives nothing that has expired.
///
/// ```
/// use core::time::Duration;
/// use sealwire_core::time::{HighWater, Timestamp};
///
/// let mut mark = HighWater::new(Timestamp::from_secs(1_000_000));
/// // The clock was set back: the mark holds.
/// let seen = mark.observe(Timestamp::from_secs(999_000), Duration::from_secs(1));
/// assert_eq!(seen.now, Timestamp::from_secs(1_000_000));
/// assert!(!seen.jumped);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HighWater {
    start: Timestamp,
    mark: Timestamp,
}

/// What [`HighWater::observe`] makes of a reading of the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    /// The time to judge expiry by.
    pub now: Timestamp,
    /// The clock ran further ahead than [`MAX_MARK_JUMP`] allows: nothing may be deleted for
    /// its age until someone confirms the time.
    pub jumped: bool,
}

impl HighWater {
    /// Starts from the stored mark.
    pub const fn new(stored: Timestamp) -> Self {
        Self { start: stored, mark: stored }
    }

    /// The mark to store.
    pub const fn mark(&self) -> Timestamp {
        self.mark
    }

    /// Takes a reading of the wall clock and the monotonic time since the start, and gives
    /// max(now, mark). The mark moves at most [`MAX_MARK_JUMP`] beyond monotonic time.
    pub fn observe(&mut self, wall: Timestamp, elapsed: Duration) -> Observed {
        let limit = self.start.plus(elapsed.as_secs()).plus(MAX_MARK_JUMP);
        // A mark of zero has never been set: the first reading sets it.
        let jumped = self.start != Timestamp::default() && wall > limit;
        self.mark = self.mark.max(if jumped { limit } else { wall });
        Observed { now: wall.max(self.mark), jumped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn at(day: u64) -> Timestamp {
        Timestamp::from_secs(day * DAY)
    }

    // attack T30: a clock set back, and one that runs years ahead.
    #[test]
    fn the_mark_never_moves_back_and_never_jumps() {
        let mut mark = HighWater::new(at(100));
        assert_eq!(mark.observe(at(99), Duration::ZERO), Observed { now: at(100), jumped: false });
        let far = mark.observe(at(100 + 3650), Duration::from_secs(10));
        assert_eq!(far, Observed { now: at(3750), jumped: true });
        assert_eq!(mark.mark(), at(101).plus(10));
        let back = mark.observe(at(100), Duration::from_secs(20));
        assert_eq!(back, Observed { now: at(101).plus(10), jumped: false });
    }

    #[test]
    fn times_stop_at_both_ends() {
        let end = Timestamp::from_secs(u64::MAX);
        assert_eq!(at(1).plus(5), Timestamp::from_secs(DAY + 5));
        assert_eq!((end.plus(1), end.as_secs()), (end, u64::MAX));
        assert_eq!((at(3).since(at(1)), at(1).since(at(3))), (2 * DAY, 0));
    }

    // CARD-14 allows honest clocks five minutes: more would let a card be used before its time.
    #[test]
    fn clocks_differ_by_five_minutes_at_most() {
        assert_eq!(MAX_CLOCK_SKEW, 300);
    }

    // attack T30: a day beyond monotonic time is believed, and a second more is not.
    #[test]
    fn a_clock_may_run_ahead_by_a_day() {
        let elapsed = Duration::from_secs(10);
        let limit = at(101).plus(10);
        let mut mark = HighWater::new(at(100));
        assert_eq!(mark.observe(limit, elapsed), Observed { now: limit, jumped: false });
        assert_eq!(mark.mark(), limit);
        let over = limit.plus(1);
        let mut mark = HighWater::new(at(100));
        assert_eq!(mark.observe(over, elapsed), Observed { now: over, jumped: true });
        assert_eq!(mark.mark(), limit);
    }

    #[test]
    fn the_first_reading_sets_the_mark() {
        let mut mark = HighWater::new(Timestamp::default());
        assert_eq!(mark.observe(at(20_000), Duration::ZERO).now, at(20_000));
        assert_eq!(mark.mark(), at(20_000));
    }
}
