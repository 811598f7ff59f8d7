//! Requests over a number of connections, when they are due.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use sealwire_bench::{
    Failure,
    load::{Arrivals, Histogram, Random},
    now,
};
use tokio::{
    task::JoinSet,
    time::{sleep, sleep_until},
};

use crate::{
    http::{Answer, Http},
    plan::{Phase, Report},
};

/// How long what was due is still sent after a phase.
const GRACE: Duration = Duration::from_secs(20);

/// How long a connection waits before it is opened again.
const PAUSE: Duration = Duration::from_millis(20);

/// What is asked.
pub(crate) trait Traffic: 'static {
    /// What is kept of a request until it is answered.
    type Ticket;

    /// Writes the next request, which was due so long after the start; none when there are no
    /// more.
    fn write(&self, due: Duration, request: &mut Vec<u8>) -> Result<Option<Self::Ticket>, Failure>;

    /// Whether the answer is as wanted.
    fn answered(&self, ticket: Self::Ticket, answer: &Answer<'_>) -> bool;
}

/// Connections, one request at a time on each.
#[derive(Debug)]
pub(crate) struct Connections {
    address: SocketAddr,
    open: Vec<Option<Http>>,
}

impl Connections {
    pub(crate) async fn open(address: SocketAddr, count: usize) -> Result<Self, Failure> {
        let mut open = Vec::with_capacity(count);
        for _ in 0..count {
            open.push(Some(Http::connect(address).await?));
        }
        Ok(Self { address, open })
    }

    /// Sends what is due in a phase. A free connection takes the next request and waits until
    /// that is due; when none is free the request waits, and its answer counts from when it was
    /// due all the same.
    pub(crate) async fn drive<T: Traffic>(
        &mut self,
        traffic: &Rc<T>,
        phase: &Phase,
        seed: u64,
    ) -> Result<Report, Failure> {
        let round = Rc::new(Round::new(phase, seed, self.address));
        let mut senders = JoinSet::new();
        for http in self.open.drain(..) {
            senders.spawn_local(send(Rc::clone(traffic), Rc::clone(&round), http));
        }
        while let Some(ended) = senders.join_next().await {
            self.open.push(ended??);
        }
        Ok(round.report())
    }
}

/// One phase.
struct Round {
    address: SocketAddr,
    start: Instant,
    end: Duration,
    schedule: RefCell<Schedule>,
    due: Cell<u64>,
    done: Cell<u64>,
    refused: Cell<u64>,
    unanswered: Cell<u64>,
    last: Cell<Duration>,
    answers: RefCell<Histogram>,
}

enum Schedule {
    /// At random around a rate.
    Open(Arrivals),
    /// The next when one is answered.
    Closed,
}

impl Round {
    fn new(phase: &Phase, seed: u64, address: SocketAddr) -> Self {
        let schedule = match phase.rate {
            Some(rate) => Schedule::Open(Arrivals::new(Random::new(seed), rate, phase.time)),
            None => Schedule::Closed,
        };
        Self {
            address,
            start: now(),
            end: phase.time,
            schedule: RefCell::new(schedule),
            due: Cell::default(),
            done: Cell::default(),
            refused: Cell::default(),
            unanswered: Cell::default(),
            last: Cell::default(),
            answers: RefCell::default(),
        }
    }

    /// When the next request is due.
    fn next(&self) -> Option<Duration> {
        match &mut *self.schedule.borrow_mut() {
            Schedule::Open(arrivals) => arrivals.next(),
            Schedule::Closed => Some(self.start.elapsed()).filter(|now| *now < self.end),
        }
    }

    async fn wait_until(&self, due: Duration) {
        if let Some(at) = self.start.checked_add(due).filter(|at| *at > now()) {
            sleep_until(at.into()).await;
        }
    }

    fn is_over(&self) -> bool {
        self.start.elapsed() > self.end.saturating_add(GRACE)
    }

    fn answered(&self, due: Duration, as_wanted: bool) {
        let elapsed = self.start.elapsed();
        self.last.set(elapsed);
        self.answers.borrow_mut().record(elapsed.saturating_sub(due));
        count(if as_wanted { &self.done } else { &self.refused });
    }

    fn report(&self) -> Report {
        Report {
            due: self.due.get(),
            done: self.done.get(),
            refused: self.refused.get(),
            unanswered: self.unanswered.get(),
            took: self.last.get(),
            answers: (&*self.answers.borrow()).into(),
            ..Report::default()
        }
    }
}

fn count(counter: &Cell<u64>) {
    counter.set(counter.get().saturating_add(1));
}

async fn send<T: Traffic>(
    traffic: Rc<T>,
    round: Rc<Round>,
    mut http: Option<Http>,
) -> Result<Option<Http>, Failure> {
    let mut request = Vec::with_capacity(4 * 1024);
    while let Some(due) = round.next() {
        round.wait_until(due).await;
        if round.is_over() {
            count(&round.due);
            count(&round.unanswered);
            continue;
        }
        let Some(ticket) = traffic.write(due, &mut request)? else { break };
        count(&round.due);
        let (traffic, round) = (&traffic, &round);
        let answered = move |answer: &Answer<'_>| {
            round.answered(due, traffic.answered(ticket, answer));
        };
        if !ask(round, &mut http, &request, answered).await {
            count(&round.unanswered);
        }
    }
    Ok(http)
}

/// Asks until there is an answer: a connection that ends is opened again, and the same is asked
/// there. False when the time for it is over.
async fn ask(
    round: &Round,
    http: &mut Option<Http>,
    request: &[u8],
    answered: impl FnOnce(&Answer<'_>),
) -> bool {
    loop {
        if round.is_over() {
            return false;
        }
        let Some(connection) = http else {
            *http = reopen(round.address).await;
            continue;
        };
        if let Ok(answer) = connection.exchange(request).await {
            answered(&answer);
            return true;
        }
        *http = None;
    }
}

async fn reopen(address: SocketAddr) -> Option<Http> {
    let opened = Http::connect(address).await.ok();
    if opened.is_none() {
        sleep(PAUSE).await;
    }
    opened
}
