//! A stream of a mailbox that connects again and again.

use core::{fmt, future::poll_fn, task::Poll, time::Duration};
use std::collections::VecDeque;

use sealwire_core::keys::SigningKey;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Interval, MissedTickBehavior},
};

use super::{
    Client, ClientError, Settings, driver,
    socket::{Heard, Socket},
};
use crate::{
    Problem,
    wire::{Acked, Acks, FromClient, FromServer, Messages},
};

/// News of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a version has these")]
pub enum News {
    /// Something was left in it, or may have been while there was no connection; or it is gone.
    Arrived,
    /// One-time prekeys of the device whose contact mailbox it is run low.
    PrekeysLow,
}

/// A stream of a mailbox, over a connection of its own. Whenever that breaks, it connects again,
/// with growing pauses, and says [`News::Arrived`]. Dropped, it ends.
///
/// What is asked over it needs no further signature. Where there is no connection now, the answer
/// is `None`, and [`Client::fetch`] and [`Client::ack`] do the same.
pub struct Stream {
    asking: mpsc::Sender<Asked>,
    state: watch::Receiver<State>,
    answer: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It was not connected yet.
    New,
    /// It stands.
    Live,
    /// It will be tried again.
    Away,
    /// The relay has no such mailbox.
    Gone,
}

/// A request, and whom to answer.
type Asked = (FromClient, oneshot::Sender<FromServer>);

/// Requests that wait to be sent, and that wait for an answer.
const MAX_ASKED: usize = 16;

type Tell = Box<dyn Fn(News) + Send + Sync>;

impl Stream {
    pub(super) fn begin(client: Client, key: SigningKey, tell: Tell) -> Self {
        let (asking, asked) = mpsc::channel(MAX_ASKED);
        let (states, state) = watch::channel(State::New);
        let answer = client.shared.settings.answer;
        driver::spawn(Task { client, key, tell, asked, states }.run());
        Self { asking, state, answer }
    }

    /// Waits until it stands, or was found not to. If it stands, all that is left in the mailbox
    /// from now on is told.
    pub async fn settle(&self) {
        let mut state = self.state.clone();
        // The task says so before it ends.
        let _ = state.wait_for(|state| *state != State::New).await;
    }

    /// Whether it stands.
    pub fn is_live(&self) -> bool {
        *self.state.borrow() == State::Live
    }

    /// Whether the relay has no such mailbox: then it will not stand any more.
    pub fn is_gone(&self) -> bool {
        *self.state.borrow() == State::Gone
    }

    /// The oldest messages behind `after`, at most `limit`.
    pub async fn fetch(&self, after: u64, limit: u32) -> Option<Result<Messages, ClientError>> {
        Some(match self.ask(FromClient::Fetch { after, limit }).await? {
            FromServer::Messages { messages, more } => {
                Ok(Messages { messages, more, prekeys_low: false })
            }
            other => Err(refusal(&other)),
        })
    }

    /// Removes messages for good.
    pub async fn ack(&self, acks: Acks) -> Option<Result<Acked, ClientError>> {
        Some(match self.ask(FromClient::Ack(acks)).await? {
            FromServer::Acked { removed } => Ok(Acked { removed }),
            other => Err(refusal(&other)),
        })
    }

    async fn ask(&self, message: FromClient) -> Option<FromServer> {
        if !self.is_live() {
            return None;
        }
        let (answering, answer) = oneshot::channel();
        let asked = async {
            self.asking.send((message, answering)).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(self.answer, asked).await.ok()?
    }
}

fn refusal(answer: &FromServer) -> ClientError {
    match answer {
        FromServer::Problem(problem) => ClientError::Problem(*problem),
        _ => ClientError::Protocol("an answer to another question"),
    }
}

struct Task {
    client: Client,
    key: SigningKey,
    tell: Tell,
    asked: mpsc::Receiver<Asked>,
    states: watch::Sender<State>,
}

/// What happens on a stream that stands.
enum Turn {
    Heard(Result<Heard, ClientError>),
    Asked(Option<Asked>),
    Tick,
}

/// Why a stream does not stand any more.
enum End {
    Broken,
    /// Nobody has it any more.
    Dropped,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = self.client.shared.backoff();
        loop {
            let opened = Socket::open(&self.client.shared, &self.key).await;
            let mut retry_after = None;
            match opened {
                Ok(socket) => {
                    // Whoever was there from the beginning reads the backlog anyway.
                    if *self.states.borrow() != State::New {
                        (self.tell)(News::Arrived);
                    }
                    self.states.send_replace(State::Live);
                    let begun = driver::now();
                    if matches!(self.talk(socket).await, End::Dropped) {
                        return;
                    }
                    // One that breaks again and again is not one that recovered.
                    let stood = driver::now().saturating_duration_since(begun);
                    if stood >= self.client.shared.settings.ping {
                        backoff = self.client.shared.backoff();
                    }
                    self.states.send_replace(State::Away);
                }
                Err(failure) if failure.is(Problem::NotFound) => {
                    self.states.send_replace(State::Gone);
                    (self.tell)(News::Arrived);
                    return;
                }
                Err(failure) => {
                    retry_after = failure.retry_after();
                    self.states.send_replace(State::Away);
                }
            }
            let pause = backoff.delay(retry_after, &mut driver::rng());
            if matches!(self.rest(pause).await, End::Dropped) {
                return;
            }
        }
    }

    async fn talk(&mut self, mut socket: Socket) -> End {
        let Settings { ping, answer, .. } = self.client.shared.settings;
        let mut ticks = tokio::time::interval_at(driver::now() + ping, ping);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut waiting: VecDeque<oneshot::Sender<FromServer>> = VecDeque::new();
        let mut heard = true;
        loop {
            let room = waiting.len() < MAX_ASKED;
            let said = match self.turn(&mut socket, &mut ticks, room).await {
                Turn::Heard(Err(_)) => return End::Broken,
                Turn::Heard(Ok(message)) => {
                    heard = true;
                    if !self.hear(message, &mut waiting) {
                        return End::Broken;
                    }
                    continue;
                }
                Turn::Asked(None) => {
                    let _ = tokio::time::timeout(answer, socket.close()).await;
                    return End::Dropped;
                }
                Turn::Asked(Some((message, answering))) => {
                    waiting.push_back(answering);
                    tokio::time::timeout(answer, socket.say(&message)).await
                }
                Turn::Tick if heard => {
                    heard = false;
                    tokio::time::timeout(answer, socket.ping()).await
                }
                Turn::Tick => return End::Broken,
            };
            if !matches!(said, Ok(Ok(()))) {
                return End::Broken;
            }
        }
    }

    async fn turn(&mut self, socket: &mut Socket, ticks: &mut Interval, room: bool) -> Turn {
        poll_fn(|context| {
            if let Poll::Ready(heard) = socket.poll_heard(context) {
                return Poll::Ready(Turn::Heard(heard));
            }
            if room && let Poll::Ready(asked) = self.asked.poll_recv(context) {
                return Poll::Ready(Turn::Asked(asked));
            }
            ticks.poll_tick(context).map(|_| Turn::Tick)
        })
        .await
    }

    /// Says whether the relay keeps to the protocol.
    fn hear(&self, heard: Heard, waiting: &mut VecDeque<oneshot::Sender<FromServer>>) -> bool {
        match heard {
            Heard::Pong => true,
            Heard::Message(FromServer::Arrived) => {
                (self.tell)(News::Arrived);
                true
            }
            Heard::Message(FromServer::PrekeysLow) => {
                (self.tell)(News::PrekeysLow);
                true
            }
            Heard::Message(FromServer::Ready) => false,
            // Answers come in the order of what was asked.
            Heard::Message(answer) => waiting.pop_front().is_some_and(|asked| {
                // Whoever asked may have gone.
                let _ = asked.send(answer);
                true
            }),
        }
    }

    /// Waits. Whoever asks meanwhile is not answered.
    async fn rest(&mut self, pause: Duration) -> End {
        let turned_away = async { while self.asked.recv().await.is_some() {} };
        match tokio::time::timeout(pause, turned_away).await {
            Ok(()) => End::Dropped,
            Err(_) => End::Broken,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("is_live", &self.is_live()).finish_non_exhaustive()
    }
}
