//! How much requests may take, in all and from one origin: bytes of memory, or places in a queue.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// So many, and no more.
#[derive(Debug)]
pub(super) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// What is taken from two budgets until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    budgets: [Arc<Budget>; 2],
    number: usize,
}

impl Budget {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    fn take(&self, number: usize) -> bool {
        let more = |used: usize| used.checked_add(number).filter(|sum| *sum <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    fn give_back(&self, number: usize) {
        self.used.fetch_sub(number, Ordering::Relaxed);
    }
}

impl Share {
    /// Takes from both budgets, or from neither.
    pub(super) fn take(all: &Arc<Budget>, origin: &Arc<Budget>, number: usize) -> Option<Self> {
        if !origin.take(number) {
            return None;
        }
        if !all.take(number) {
            origin.give_back(number);
            return None;
        }
        Some(Self { budgets: [Arc::clone(all), Arc::clone(origin)], number })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        for budget in &self.budgets {
            budget.give_back(self.number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_from_both_or_from_neither_and_given_back() {
        let (all, one, other) = (Budget::new(100), Budget::new(60), Budget::new(60));
        let first = Share::take(&all, &one, 60).expect("room");
        assert!(Share::take(&all, &one, 1).is_none());
        assert!(Share::take(&all, &other, 41).is_none());
        assert_eq!((all.used(), one.used(), other.used()), (60, 60, 0));
        let second = Share::take(&all, &other, 40).expect("room");
        drop((first, second));
        assert_eq!((all.used(), one.used(), other.used()), (0, 0, 0));
        assert!(Share::take(&all, &one, usize::MAX).is_none());
    }
}
