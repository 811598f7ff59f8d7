//! A process that does part of the work: it prepares, says so, and then does each phase that it
//! is told, until nobody tells it any more.

use std::io::{self, BufRead as _, Write as _};

use rustix::time::{ClockId, Timespec, clock_gettime};
use sealwire_bench::Failure;
use tokio::{runtime::Builder, task::LocalSet};

use crate::{
    claims::Claims,
    idle::Idle,
    messages::Post,
    plan::{Line, Order, Phase, Plan, Report, Work},
};

enum Worker {
    Messages(Post),
    Claims(Claims),
    Idle(Idle),
}

pub(crate) fn run() -> Result<(), Failure> {
    let mut lines = io::stdin().lock().lines();
    let plan: Plan = serde_json::from_str(&lines.next().ok_or("no plan")??)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    let mut worker = tasks.block_on(&runtime, Worker::new(&plan))?;
    say(&Line::Ready)?;
    for line in lines {
        let before = processor();
        let mut report = match serde_json::from_str(&line?)? {
            Order::Run(phase) => tasks.block_on(&runtime, worker.run(&phase))?,
            Order::End => return say_report(tasks.block_on(&runtime, worker.end())?),
        };
        report.busy = processor() - before;
        say_report(report)?;
    }
    Ok(())
}

impl Worker {
    async fn new(plan: &Plan) -> Result<Self, Failure> {
        Ok(match plan.work {
            Work::Messages { mailboxes, own } => {
                Self::Messages(Post::new(plan, mailboxes, own).await?)
            }
            Work::Claims { agents } => Self::Claims(Claims::new(plan, agents).await?),
            Work::Idle { mailboxes } => Self::Idle(Idle::new(plan, mailboxes).await?),
        })
    }

    async fn run(&mut self, phase: &Phase) -> Result<Report, Failure> {
        match self {
            Self::Messages(post) => post.run(phase).await,
            Self::Claims(claims) => claims.run(phase).await,
            Self::Idle(idle) => idle.run(phase).await,
        }
    }

    async fn end(self) -> Result<Report, Failure> {
        match self {
            Self::Messages(post) => post.end().await,
            Self::Claims(_) | Self::Idle(_) => Ok(Report::default()),
        }
    }
}

fn say_report(report: Report) -> Result<(), Failure> {
    say(&Line::Report(Box::new(report)))
}

fn say(line: &Line) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(line)?)?;
    Ok(stdout.flush()?)
}

/// Seconds of processor time that the process has used.
fn processor() -> f64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::ProcessCPUTime);
    #[expect(clippy::cast_precision_loss, reason = "the seconds of one run")]
    let (seconds, nanos) = (tv_sec as f64, tv_nsec as f64);
    seconds + nanos / 1e9
}
