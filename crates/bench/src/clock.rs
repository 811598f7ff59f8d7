//! What time is: that which passes, or that which a processor was at work.

use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::{Failure, Request};

/// By what a figure is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "not published")]
pub enum Clock {
    /// The time that passes.
    Wall,
    /// Processor time of this process, and of the commands that it has waited for. Of one thread
    /// that waits for nothing it is what passes on a machine without other work.
    Processor,
}

impl Clock {
    /// By what the figure that is asked for is taken: threads are to save time, not work.
    pub fn of(request: &Request) -> Self {
        if request.name.ends_with(" threads") { Self::Wall } else { Self::Processor }
    }

    /// Seconds since some moment.
    ///
    /// # Errors
    /// Where the kernel does not say it.
    pub fn seconds(self) -> Result<f64, Failure> {
        match self {
            Self::Wall => Ok(passed()),
            Self::Processor => Ok(processor() + commands(&std::fs::read_to_string(STAT)?)?),
        }
    }
}

/// Seconds that have passed since some moment.
pub fn passed() -> f64 {
    seconds(ClockId::Monotonic)
}

/// Seconds of processor time that this process has used, without those of commands.
pub fn processor() -> f64 {
    seconds(ClockId::ProcessCPUTime)
}

fn seconds(clock: ClockId) -> f64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    #[expect(clippy::cast_precision_loss, reason = "the seconds of one run")]
    let (seconds, nanos) = (tv_sec as f64, tv_nsec as f64);
    seconds + nanos / 1e9
}

const STAT: &str = "/proc/self/stat";

/// A hundred a second on every Linux: what the kernel counts the time of others in.
const TICKS: f64 = 100.0;

/// The fields `cutime` and `cstime` of proc(5), which are 16 and 17.
fn commands(stat: &str) -> Result<f64, Failure> {
    // Behind the name, field 2, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').ok_or("no name in its status")?;
    let mut times = fields.split_whitespace().skip(13);
    let mut ticks = || -> Result<f64, Failure> { Ok(times.next().ok_or("no times")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_commands_is_read_behind_the_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 105 2000 0 0 3 4 250 50 20 0 1 0 999";
        assert_eq!(commands(stat).ok(), Some(3.0));
        for wrong in ["", "7 (a) S 1", "7 (a) S 1 7 7 0 -1 4 1 2 0 0 3 4 x 50"] {
            assert!(commands(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn who_sleeps_takes_no_processor() {
        let [wall, processor] = [Clock::Wall, Clock::Processor].map(|clock| {
            let before = clock.seconds().expect("a clock");
            std::thread::sleep(std::time::Duration::from_millis(60));
            clock.seconds().expect("a clock") - before
        });
        assert!(wall >= 0.06 && processor < 0.05, "{wall} {processor}");
    }
}
