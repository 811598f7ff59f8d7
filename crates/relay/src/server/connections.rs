//! Who is connected: how many in all, and how many from one origin.

use core::net::IpAddr;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Notify;

use super::{
    address::Origin,
    budget::{Budget, Share},
    settings::Bounds,
};

/// Part of what there is for all that one origin may take: an eighth.
const ORIGIN_PART: usize = 8;

/// All connections.
#[derive(Debug)]
pub(super) struct Connections {
    bounds: Bounds,
    all: Budgets,
    table: Mutex<Table>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    all: usize,
    origins: HashMap<Origin, Entry>,
}

#[derive(Debug)]
struct Entry {
    connections: usize,
    budgets: Budgets,
}

/// What requests may take, of all or of one origin.
#[derive(Clone, Debug)]
struct Budgets {
    /// Bytes of bodies.
    bodies: Arc<Budget>,
    /// Frames that are not stored yet.
    deposits: Arc<Budget>,
}

/// The place of one connection, given up when this is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    connections: Arc<Connections>,
    origin: Option<Origin>,
    budgets: Budgets,
}

impl Connections {
    pub(super) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            all: Budgets::new(&bounds, 1),
            table: Mutex::default(),
            changed: Notify::new(),
        })
    }

    /// A place for a connection from this address, `None` when there are too many. A `proxy`
    /// is counted with all, but not as one origin.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr, proxy: bool) -> Option<Slot> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.all >= self.bounds.connections {
            return None;
        }
        let (origin, budgets) = if proxy {
            (None, Budgets::new(&self.bounds, 1))
        } else {
            let origin = Origin::of(address);
            let entry = table.origins.entry(origin).or_insert_with(|| Entry {
                connections: 0,
                budgets: Budgets::new(&self.bounds, ORIGIN_PART),
            });
            if entry.connections >= self.bounds.connections_per_address {
                return None;
            }
            entry.connections = entry.connections.saturating_add(1);
            (Some(origin), entry.budgets.clone())
        };
        table.all = table.all.saturating_add(1);
        Some(Slot { connections: Arc::clone(self), origin, budgets })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).all
    }

    /// Bytes of bodies in memory.
    pub(super) fn body_bytes(&self) -> usize {
        self.all.bodies.used()
    }

    /// Frames that are not stored yet.
    pub(super) fn waiting_deposits(&self) -> usize {
        self.all.deposits.used()
    }

    /// Waits until there is none.
    pub(super) async fn ended(&self) {
        loop {
            let changed = self.changed.notified();
            if self.count() == 0 {
                return;
            }
            changed.await;
        }
    }
}

impl Budgets {
    fn new(bounds: &Bounds, part: usize) -> Self {
        Self {
            bodies: Budget::new(bounds.bodies / part),
            deposits: Budget::new(bounds.waiting_deposits.div_ceil(part)),
        }
    }
}

impl Slot {
    /// Memory for a body, `None` when bodies of this origin or of all take too much.
    pub(super) fn memory(&self, bytes: usize) -> Option<Share> {
        Share::take(&self.connections.all.bodies, &self.budgets.bodies, bytes)
    }

    /// A place in the queue of frames, `None` when those of this origin or of all are too many.
    pub(super) fn place(&self) -> Option<Share> {
        Share::take(&self.connections.all.deposits, &self.budgets.deposits, 1)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.connections.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.all = table.all.saturating_sub(1);
        if let Some(origin) = self.origin
            && let Some(entry) = table.origins.get_mut(&origin)
        {
            entry.connections = entry.connections.saturating_sub(1);
            if entry.connections == 0 {
                table.origins.remove(&origin);
            }
        }
        drop(table);
        self.connections.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn connections_are_counted_in_all_and_by_origin() {
        let bounds = Bounds { connections: 4, connections_per_address: 2, ..Bounds::default() };
        let connections = Connections::new(bounds);
        let one = connections.enter(ip("192.0.2.1"), false).expect("the first");
        let two = connections.enter(ip("192.0.2.1"), false).expect("the second");
        assert!(connections.enter(ip("192.0.2.1"), false).is_none());
        let three = connections.enter(ip("192.0.2.2"), false).expect("another origin");
        let four = connections.enter(ip("192.0.2.1"), true).expect("a proxy");
        assert!(connections.enter(ip("192.0.2.3"), true).is_none());
        assert_eq!(connections.count(), 4);
        drop((one, three));
        let five = connections.enter(ip("192.0.2.1"), false).expect("there is room again");
        drop((two, four, five));
        assert_eq!(connections.count(), 0);
        assert!(connections.table.lock().expect("a lock").origins.is_empty());
    }

    // attack T23: one origin cannot take the memory of all.
    #[test]
    fn one_origin_gets_a_part_of_the_memory() {
        let connections = Connections::new(Bounds { bodies: 800, ..Bounds::default() });
        let flood = connections.enter(ip("192.0.2.1"), false).expect("room");
        let other = connections.enter(ip("192.0.2.2"), false).expect("room");
        let taken: Vec<_> = (0..20).map_while(|_| flood.memory(10)).collect();
        assert_eq!(taken.len(), 10);
        assert!(other.memory(100).is_some());
        assert_eq!(connections.body_bytes(), 100);
    }
}
