//! Streams on which nothing happens.

use std::{rc::Rc, time::Duration};

use sealwire_bench::Failure;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    people::{self, Owner},
    plan::{Phase, Plan, Report},
    reader::Stream,
};

/// Streams that are being opened at a time.
const OPENERS: usize = 32;

/// Open streams.
pub(crate) struct Idle {
    streams: JoinSet<Failure>,
    open: u64,
}

impl Idle {
    /// Opens a stream of each mailbox of this process.
    pub(crate) async fn new(plan: &Plan, all: u32) -> Result<Self, Failure> {
        let plan = Rc::new(plan.clone());
        let mut streams = JoinSet::new();
        let mut opening = JoinSet::new();
        let mut open = 0_u64;
        for number in people::part(all, plan.number, plan.of) {
            if opening.len() >= OPENERS {
                keep(&mut opening, &mut streams).await?;
            }
            let plan = Rc::clone(&plan);
            opening.spawn_local(async move {
                // No other phase opens so many.
                let nonce = people::nonce(&format!("one of {all} streams"), number);
                Stream::open(plan.address, &Owner::new(number), nonce).await
            });
            open = open.saturating_add(1);
        }
        while !opening.is_empty() {
            keep(&mut opening, &mut streams).await?;
        }
        Ok(Self { streams, open })
    }

    /// Waits, and counts the streams that are open after it.
    pub(crate) async fn run(&mut self, phase: &Phase) -> Result<Report, Failure> {
        tokio::select! {
            () = sleep(phase.time) => {}
            ended = self.streams.join_next() => {
                return Err(ended.ok_or("there are no streams")??);
            }
        }
        let took = Duration::ZERO;
        Ok(Report { due: self.open, done: self.open, took, ..Report::default() })
    }
}

async fn keep(
    opening: &mut JoinSet<Result<Stream, Failure>>,
    streams: &mut JoinSet<Failure>,
) -> Result<(), Failure> {
    let Some(opened) = opening.join_next().await else { return Ok(()) };
    streams.spawn_local(opened??.hold());
    Ok(())
}
