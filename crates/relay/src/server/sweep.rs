//! Deletes what has expired, and keeps the latest time seen.

use std::sync::Arc;

use tokio::time::sleep;

use super::{Event, Phase, Shared};

/// Rows of each kind that are deleted at a time: few enough that nobody waits long behind them.
const ROWS: u32 = 1000;

/// How far the clock may lie behind the latest time seen before that is an event, in seconds:
/// corrections of a few seconds happen every day.
const BEHIND: u64 = 60;

/// Sweeps now and then until the relay drains.
pub(super) async fn run(shared: Arc<Shared>) {
    let (mut was_ahead, mut was_behind) = (false, false);
    loop {
        tokio::select! {
            () = sleep(shared.settings.times.sweep) => {}
            () = shared.reached(Phase::Draining) => return,
        }
        let observed = shared.time.observe();
        if observed.jumped && !was_ahead {
            shared.log.event(&Event::ClockAhead);
        }
        was_ahead = observed.jumped;
        let behind = shared.time.behind();
        if behind > BEHIND && !was_behind {
            shared.log.event(&Event::ClockBehind { seconds: behind });
        }
        was_behind = behind > BEHIND;
        sweep(&shared).await;
    }
}

/// Deletes by the mark, not by the clock: one that runs years ahead would delete everything at
/// once, for good. What has expired by the clock alone is not handed out, and waits.
async fn sweep(shared: &Shared) {
    let mark = shared.time.mark();
    if let Err(error) = shared.store.mark(mark).await {
        shared.store_failed(&error);
    }
    loop {
        match shared.store.sweep(mark, ROWS).await {
            Ok(true) => tokio::task::yield_now().await,
            Ok(false) => return shared.metrics.sweeps.add(1),
            Err(error) => {
                shared.store_failed(&error);
                return;
            }
        }
    }
}
