//! Frames that are left in mailboxes, and what becomes of them.

use std::{
    cell::{Cell, RefCell},
    net::SocketAddr,
    ops::Range,
    rc::Rc,
    time::{Duration, Instant},
};

use sealwire::core::kdf;
use sealwire_bench::{
    Failure,
    load::{Histogram, Ledger, MessageId, Random},
    now,
};
use sealwire_relay::MessageId as Name;
use tokio::{sync::Notify, task::JoinSet, time::sleep};

use crate::{
    drive::{Connections, Traffic},
    http::{Answer, Http},
    people::{self, FRAME_LEN, Owner},
    plan::{Phase, Plan, Report},
    reader,
};

/// How long messages may be on their way after the last was sent.
const PATIENCE: Duration = Duration::from_secs(60);

/// Requests to make mailboxes that are under way at a time.
const MAKERS: u32 = 16;

/// What all tasks of this process share.
pub(crate) struct Messages {
    pub(crate) address: SocketAddr,
    pub(crate) host: String,
    /// Of the process.
    number: u32,
    /// The mailboxes that it sends to.
    mailboxes: Range<u32>,
    /// Requests as far as they are the same each time, by mailbox.
    heads: RefCell<Vec<Option<Rc<[u8]>>>>,
    random: RefCell<Random>,
    sent: Cell<u64>,
    /// What became of each message, where this process reads them.
    pub(crate) accounts: Option<Accounts>,
    /// The senders are done: readers look once more, and end.
    pub(crate) over: Notify,
}

/// What is read.
#[derive(Debug)]
pub(crate) struct Accounts {
    pub(crate) ledger: RefCell<Ledger>,
    start: Cell<Instant>,
    deliveries: RefCell<Histogram>,
    /// Stands until the last phase.
    pub(crate) is_over: Cell<bool>,
}

/// A load of messages.
pub(crate) struct Post {
    messages: Rc<Messages>,
    connections: Connections,
    readers: JoinSet<Result<(), Failure>>,
}

impl Post {
    /// Opens connections. With mailboxes of its own, it makes them, and begins to read.
    pub(crate) async fn new(plan: &Plan, all: u32, own: bool) -> Result<Self, Failure> {
        let part = people::part(all, plan.number, plan.of);
        let mailboxes = if own { part } else { 0..all };
        let messages = Rc::new(Messages {
            address: plan.address,
            host: plan.address.to_string(),
            number: plan.number,
            heads: RefCell::new(vec![None; mailboxes.len()]),
            mailboxes,
            random: RefCell::new(Random::new(plan.number.into())),
            sent: Cell::default(),
            accounts: own.then(Accounts::new),
            over: Notify::new(),
        });
        let mut readers = JoinSet::new();
        if own {
            make(&messages).await?;
            for number in messages.mailboxes.clone() {
                readers.spawn_local(reader::read(Rc::clone(&messages), Owner::new(number)));
            }
        }
        let connections = Connections::open(plan.address, plan.connections).await?;
        Ok(Self { messages, connections, readers })
    }

    /// Sends for a time, and then waits until all that was accepted is acknowledged.
    pub(crate) async fn run(&mut self, phase: &Phase) -> Result<Report, Failure> {
        let messages = &self.messages;
        if let Some(accounts) = &messages.accounts {
            accounts.begin();
        }
        let seed = messages.random.borrow_mut().number();
        let mut report = self.connections.drive(messages, phase, seed).await?;
        if let Some(accounts) = &messages.accounts {
            accounts.settle().await;
            report.deliveries = (&*accounts.deliveries.borrow()).into();
            report.tally = accounts.ledger.borrow().tally().into();
        }
        Ok(report)
    }

    /// Lets readers look for what should not be there, and gives the sums.
    pub(crate) async fn end(mut self) -> Result<Report, Failure> {
        let Some(accounts) = &self.messages.accounts else { return Ok(Report::default()) };
        accounts.is_over.set(true);
        self.messages.over.notify_waiters();
        while let Some(ended) = self.readers.join_next().await {
            ended??;
        }
        let tally = accounts.ledger.borrow().tally().into();
        Ok(Report { tally, ..Report::default() })
    }
}

impl Accounts {
    fn new() -> Self {
        Self {
            ledger: RefCell::default(),
            start: Cell::new(now()),
            deliveries: RefCell::default(),
            is_over: Cell::new(false),
        }
    }

    /// A phase begins. Nothing is on its way.
    fn begin(&self) {
        self.start.set(now());
        self.deliveries.borrow_mut().clone_from(&Histogram::new());
    }

    /// A message was read.
    pub(crate) fn delivered(&self, mailbox: u32, id: &MessageId, frame: &[u8]) {
        let due = self.ledger.borrow_mut().delivered(id, mailbox, &digest(frame));
        if let Some(due) = due {
            let took = self.start.get().elapsed().saturating_sub(due);
            self.deliveries.borrow_mut().record(took);
        }
    }

    async fn settle(&self) {
        let start = now();
        while self.ledger.borrow().open() > 0 && start.elapsed() < PATIENCE {
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Messages {
    /// The part of a request that is the same for each message into a mailbox.
    fn head(&self, place: usize, mailbox: u32) -> Result<Rc<[u8]>, Failure> {
        let mut heads = self.heads.borrow_mut();
        let head = heads.get_mut(place).ok_or("no such mailbox")?;
        if let Some(head) = head {
            return Ok(Rc::clone(head));
        }
        let made: Rc<[u8]> = people::deposit_head(&self.host, mailbox)?.into();
        *head = Some(Rc::clone(&made));
        Ok(made)
    }

    /// A name that no other message has.
    pub(crate) fn name(&self) -> MessageId {
        let count = self.sent.get();
        self.sent.set(count.wrapping_add(1));
        let mut name = [0; 16];
        let parts = self.number.to_be_bytes().into_iter().chain(count.to_be_bytes());
        for (byte, part) in name.iter_mut().zip(parts) {
            *byte = part;
        }
        name
    }
}

impl Traffic for Messages {
    type Ticket = MessageId;

    fn write(&self, due: Duration, request: &mut Vec<u8>) -> Result<Option<MessageId>, Failure> {
        let count = u64::try_from(self.mailboxes.len())?;
        let place = self.random.borrow_mut().below(count);
        let mailbox = self.mailboxes.start.saturating_add(u32::try_from(place)?);
        let name = self.name();
        request.clear();
        request.extend_from_slice(&self.head(usize::try_from(place)?, mailbox)?);
        request.extend_from_slice(Name::from_bytes(name).to_string().as_bytes());
        request.extend_from_slice(b"\r\n\r\n");
        let head_len = request.len();
        request.extend_from_slice(&name);
        request.resize(head_len.saturating_add(FRAME_LEN), 0xA5);
        if let Some(accounts) = &self.accounts {
            let digest = digest(request.get(head_len..).unwrap_or_default());
            accounts.ledger.borrow_mut().sent(name, mailbox, digest, due);
        }
        Ok(Some(name))
    }

    fn answered(&self, name: MessageId, answer: &Answer<'_>) -> bool {
        let accepted = answer.status == 202;
        if let (true, Some(accounts)) = (accepted, &self.accounts) {
            accounts.ledger.borrow_mut().accepted(&name);
        }
        accepted
    }
}

fn digest(frame: &[u8]) -> [u8; 16] {
    people::half(&kdf::sha256(&[frame]))
}

/// Makes the mailboxes of this process.
async fn make(messages: &Rc<Messages>) -> Result<(), Failure> {
    let mut makers = JoinSet::new();
    for maker in 0..MAKERS {
        let messages = Rc::clone(messages);
        makers.spawn_local(async move {
            let mut http = Http::connect(messages.address).await?;
            for number in messages.mailboxes.clone().filter(|it| it % MAKERS == maker) {
                let request = Owner::new(number).create(&messages.host)?;
                let answer = http.exchange(&request).await?;
                if answer.status != 201 {
                    let problem = String::from_utf8_lossy(answer.body).into_owned();
                    return Err(format!("a mailbox could not be made: {problem}").into());
                }
            }
            Ok::<(), Failure>(())
        });
    }
    while let Some(ended) = makers.join_next().await {
        ended??;
    }
    Ok(())
}
