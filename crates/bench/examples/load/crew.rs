//! The processes that do the work, as the one sees them that tells them what to do.

use std::{
    env,
    io::{BufRead as _, BufReader, Write as _},
    net::SocketAddr,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use sealwire_bench::Failure;

use crate::plan::{Line, Order, Phase, Plan, Report, Work};

/// Processes with the same work.
#[derive(Debug)]
pub(crate) struct Crew(Vec<Worker>);

#[derive(Debug)]
struct Worker {
    child: Child,
    orders: ChildStdin,
    lines: BufReader<ChildStdout>,
}

impl Crew {
    /// Starts so many processes with so many connections between them. They have prepared when
    /// this returns.
    pub(crate) fn start(
        address: SocketAddr,
        of: u32,
        connections: usize,
        work: Work,
    ) -> Result<Self, Failure> {
        let connections = connections.div_ceil(usize::try_from(of)?.max(1));
        let plan = |number| Plan { address, number, of, connections, work };
        let workers = (0..of).map(|number| Worker::start(&plan(number)));
        let mut crew = Self(workers.collect::<Result<_, _>>()?);
        for worker in &mut crew.0 {
            match worker.line()? {
                Line::Ready => {}
                Line::Report(_) => return Err("a report of nothing".into()),
            }
        }
        Ok(crew)
    }

    /// Has them work for a time, at so many a second between them or as fast as they can.
    pub(crate) fn run(&mut self, rate: Option<f64>, time: Duration) -> Result<Report, Failure> {
        self.begin(rate, time)?;
        self.reports()
    }

    /// Tells them to; [`Crew::reports`] waits for what comes of it.
    pub(crate) fn begin(&mut self, rate: Option<f64>, time: Duration) -> Result<(), Failure> {
        #[expect(clippy::cast_precision_loss, reason = "a few processes")]
        let of = self.0.len().max(1) as f64;
        self.tell(Order::Run(Phase { rate: rate.map(|rate| rate / of), time }))
    }

    /// Has them look for what should not be there, and gives the sums of all phases.
    pub(crate) fn end(mut self) -> Result<Report, Failure> {
        self.tell(Order::End)?;
        self.reports()
    }

    /// What came of the last order.
    pub(crate) fn reports(&mut self) -> Result<Report, Failure> {
        let mut reports = Vec::new();
        for worker in &mut self.0 {
            match worker.line()? {
                Line::Report(report) => reports.push(*report),
                Line::Ready => return Err("a process began anew".into()),
            }
        }
        Ok(Report::sum(&reports))
    }

    fn tell(&mut self, order: Order) -> Result<(), Failure> {
        for worker in &mut self.0 {
            writeln!(worker.orders, "{}", serde_json::to_string(&order)?)?;
            worker.orders.flush()?;
        }
        Ok(())
    }
}

impl Worker {
    fn start(plan: &Plan) -> Result<Self, Failure> {
        let mut command = Command::new(env::current_exe()?);
        let mut child = command.arg("work").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (orders, lines) = (child.stdin.take(), child.stdout.take());
        let mut orders = orders.ok_or("no pipe")?;
        writeln!(orders, "{}", serde_json::to_string(plan)?)?;
        Ok(Self { child, orders, lines: BufReader::new(lines.ok_or("no pipe")?) })
    }

    fn line(&mut self) -> Result<Line, Failure> {
        let mut line = String::new();
        if self.lines.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            return Err(format!("a process of the load ended with {status}").into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended cannot be ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
