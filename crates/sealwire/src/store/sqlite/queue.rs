//! Whoever comes first does the work of all who came meanwhile.

use std::{
    collections::BTreeMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

/// The most jobs of one batch: a bound on what one transaction holds.
// STA-13
const MAX_BATCH: usize = 256;

/// Gathers the jobs of callers that wait at a time into batches, which are done one after the
/// other, in the order in which the jobs came, by one of the callers each.
pub(super) struct Queue<J, R> {
    state: Mutex<State<J, R>>,
    changed: Condvar,
    /// The result of a batch whose work did not return.
    lost: R,
}

struct State<J, R> {
    next: u64,
    busy: bool,
    waiting: Vec<(u64, J)>,
    done: BTreeMap<u64, R>,
}

impl<J, R: Clone> Queue<J, R> {
    pub(super) const fn new(lost: R) -> Self {
        let state = State { next: 0, busy: false, waiting: Vec::new(), done: BTreeMap::new() };
        Self { state: Mutex::new(state), changed: Condvar::new(), lost }
    }

    /// Has `job` done by `work`, its own or another caller's, and gives the result of the batch.
    pub(super) fn run(&self, job: J, work: impl Fn(&[J]) -> R) -> R {
        let mut state = self.lock();
        let ticket = state.next;
        state.next = ticket.wrapping_add(1);
        state.waiting.push((ticket, job));
        loop {
            if let Some(result) = state.done.remove(&ticket) {
                return result;
            }
            if state.busy {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            state.busy = true;
            let len = state.waiting.len().min(MAX_BATCH);
            let rest = state.waiting.split_off(len);
            let batch = core::mem::replace(&mut state.waiting, rest);
            drop(state);
            let (tickets, jobs): (Vec<u64>, Vec<J>) = batch.into_iter().unzip();
            let mut turn = Turn { queue: self, tickets, result: self.lost.clone() };
            turn.result = work(&jobs);
            drop(turn);
            state = self.lock();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        // It is held for moments in which nothing panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One batch. Its end, however it comes, wakes everybody.
struct Turn<'a, J, R: Clone> {
    queue: &'a Queue<J, R>,
    tickets: Vec<u64>,
    result: R,
}

impl<J, R: Clone> Drop for Turn<'_, J, R> {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.busy = false;
        state.done.extend(self.tickets.iter().map(|ticket| (*ticket, self.result.clone())));
        drop(state);
        self.queue.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        sync::Barrier,
        thread,
    };

    // STA-13
    #[test]
    fn jobs_that_wait_share_a_batch_in_their_order() {
        let queue = Queue::new(0);
        let batches = Mutex::new(Vec::new());
        let record = |batch: &[usize]| batches.lock().expect("batches").push(batch.to_vec());
        let (started, go) = (Barrier::new(2), Barrier::new(2));
        let first = |batch: &[usize]| {
            record(batch);
            started.wait();
            go.wait();
            1
        };
        let later = |batch: &[usize]| {
            record(batch);
            2
        };
        thread::scope(|scope| {
            scope.spawn(|| queue.run(0, first));
            started.wait();
            for job in 1..=20 {
                let (queue, later) = (&queue, &later);
                scope.spawn(move || assert_eq!(queue.run(job, later), 2));
                while queue.lock().waiting.len() < job {
                    thread::yield_now();
                }
            }
            go.wait();
        });
        let batches = batches.into_inner().expect("batches");
        assert_eq!(batches, [vec![0], (1..=20).collect()]);
        assert!(queue.lock().done.is_empty() && !queue.lock().busy);
    }

    // STA-13
    #[test]
    fn a_batch_has_a_bound_and_nothing_is_left_behind() {
        let queue = Queue::new(0);
        let mut state = queue.lock();
        state.waiting = (1000..1000 + 600).map(|ticket| (ticket, 0)).collect();
        drop(state);
        let sizes = Mutex::new(Vec::new());
        queue.run(1, |batch| {
            sizes.lock().expect("sizes").push(batch.len());
            1
        });
        assert_eq!(sizes.into_inner().expect("sizes"), [256, 256, 89]);
    }

    #[test]
    fn work_that_panics_leaves_nobody_waiting() {
        let queue = Queue::new("lost");
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            queue.run(1, |_| panic!("within the work"));
        }));
        assert!(panicked.is_err());
        assert_eq!(queue.run(2, |_| "done"), "done");
    }
}
