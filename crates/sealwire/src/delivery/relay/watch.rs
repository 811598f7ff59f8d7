//! Streams of mailboxes: one for each, whoever watches it.

use core::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
    time::Duration,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use sealwire_relay::{
    ReceiveId,
    client::{Client, News, Stream},
};
use tokio::time::{Interval, MissedTickBehavior};

use super::handle::Handle;
use crate::delivery::{MailboxHandle, Notice, Pending, Watch, bell::Bell};

/// The streams that somebody watches.
pub(super) struct Streams {
    client: Client,
    most: usize,
    poll: Duration,
    open: Mutex<HashMap<ReceiveId, Weak<Watched>>>,
}

/// A mailbox that is watched.
pub(super) struct Watched {
    pub(super) stream: Stream,
    bells: Arc<Bells>,
}

#[derive(Default)]
struct Bells(Mutex<Vec<Weak<Bell>>>);

/// A watch: streams stand for as long as there is one.
pub(super) struct Watching {
    bell: Arc<Bell>,
    _streams: Vec<Arc<Watched>>,
    /// For those that have no stream.
    poll: Option<Interval>,
}

impl Streams {
    pub(super) fn new(client: Client, most: usize, poll: Duration) -> Self {
        Self { client, most, poll, open: Mutex::default() }
    }

    /// The stream of this mailbox, if it stands.
    pub(super) fn live(&self, handle: &Handle) -> Option<Arc<Watched>> {
        let open = self.lock();
        if open.is_empty() {
            return None;
        }
        let watched = open.get(&handle.id())?.upgrade()?;
        watched.stream.is_live().then_some(watched)
    }

    pub(super) async fn watch(&self, mailboxes: &[MailboxHandle]) -> Watching {
        let bell = Arc::<Bell>::default();
        let mut streams = Vec::new();
        for mailbox in mailboxes.iter().take(self.most) {
            match Handle::parse(mailbox) {
                Ok(handle) => streams.push(self.open(&handle, &bell)),
                // Fetching shows what is wrong with it.
                Err(_) => bell.ring(Notice::Arrived),
            }
        }
        // All of them connect at a time.
        for watched in &streams {
            watched.stream.settle().await;
        }
        let poll = (mailboxes.len() > self.most).then(|| interval(self.poll));
        Watching { bell, _streams: streams, poll }
    }

    /// The stream that there is, or a new one. It rings from now on.
    fn open(&self, handle: &Handle, bell: &Arc<Bell>) -> Arc<Watched> {
        let mut open = self.lock();
        open.retain(|_, watched| watched.strong_count() > 0);
        let id = handle.id();
        let known = open.get(&id).and_then(Weak::upgrade);
        if let Some(known) = known.filter(|known| !known.stream.is_gone()) {
            known.bells.add(bell);
            return known;
        }
        let bells = Arc::<Bells>::default();
        bells.add(bell);
        let ringing = Arc::clone(&bells);
        let stream = self.client.stream(handle.key(), move |news| ringing.ring(news));
        let watched = Arc::new(Watched { stream, bells });
        open.insert(id, Arc::downgrade(&watched));
        watched
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ReceiveId, Weak<Watched>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bells {
    fn add(&self, bell: &Arc<Bell>) {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.retain(|bell| bell.strong_count() > 0);
        bells.push(Arc::downgrade(bell));
    }

    fn ring(&self, news: News) {
        let notice = match news {
            News::Arrived => Notice::Arrived,
            News::PrekeysLow => Notice::PrekeysLow,
        };
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for bell in bells.iter().filter_map(Weak::upgrade) {
            bell.ring(notice);
        }
    }
}

fn interval(period: Duration) -> Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first tick is not at once.
    interval.reset();
    interval
}

impl Watch for Watching {
    fn changed(&mut self) -> Pending<'_, Notice> {
        Box::pin(async {
            let Some(poll) = &mut self.poll else { return Ok(self.bell.hear().await) };
            let mut hear = pin!(self.bell.hear());
            Ok(poll_fn(|context| match hear.as_mut().poll(context) {
                Poll::Pending => poll.poll_tick(context).map(|_| Notice::Arrived),
                heard => heard,
            })
            .await)
        })
    }
}

impl fmt::Debug for Watching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watching(..)")
    }
}
