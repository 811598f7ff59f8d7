//! What wakes a watch.

use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Notice;

/// Remembers news until somebody hears them. News that are the same are heard once.
#[derive(Debug, Default)]
pub(super) struct Bell {
    news: Mutex<News>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct News {
    arrived: bool,
    prekeys_low: bool,
}

impl Bell {
    pub(super) fn ring(&self, notice: Notice) {
        self.with(|news| match notice {
            Notice::Arrived => news.arrived = true,
            Notice::PrekeysLow => news.prekeys_low = true,
        });
        // One waits at most, and one that is not here yet finds the permit.
        self.rung.notify_one();
    }

    /// The next news. What was not taken because this was dropped is still there.
    pub(super) async fn hear(&self) -> Notice {
        loop {
            if let Some(notice) = self.with(News::take) {
                return notice;
            }
            self.rung.notified().await;
        }
    }

    fn with<R>(&self, change: impl FnOnce(&mut News) -> R) -> R {
        change(&mut self.news.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl News {
    fn take(&mut self) -> Option<Notice> {
        if std::mem::take(&mut self.arrived) {
            return Some(Notice::Arrived);
        }
        std::mem::take(&mut self.prekeys_low).then_some(Notice::PrekeysLow)
    }
}
