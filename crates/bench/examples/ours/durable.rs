//! Sending when each message must survive a crash: sealed, and stored before it leaves.

use std::{
    env,
    sync::{
        Barrier,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use sealwire::{
    Effects,
    core::MemoryKeyStore,
    custody::system_rng,
    store::{Options, RowKey, SqliteStore, Store, Table, Value},
};
use sealwire_bench::{Failure, Request, clock::processor, now, ratchet::PAYLOAD};
use sealwire_ratchet::Session;

use crate::{ratchet::pair, side::NOW};

/// How many send at a time, each in a session of its own: what a transaction is shared by.
const SENDERS: u32 = 32;

/// Messages for each second of processor time that the process used; but for `durable, processor
/// time` no more than a second saw, for a disk that is waited for is no processor.
pub(crate) fn measure(request: &Request) -> Result<f64, Failure> {
    // Beside the program: a folder for temporary files may be in memory.
    let program = env::current_exe()?;
    let home = tempfile::tempdir_in(program.parent().ok_or("no folder")?)?;
    let keys = MemoryKeyStore::generate(&mut system_rng())?;
    let store = SqliteStore::open(home.path().join("state"), &keys, Options::new())?;
    let senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect::<Result<_, _>>()?;

    let (sent, stop) = (AtomicU32::new(0), AtomicBool::new(false));
    let begin = Barrier::new(senders.len().saturating_add(1));
    thread::scope(|scope| {
        let running: Vec<_> = senders
            .into_iter()
            .map(|mut sender| {
                let (store, sent, stop, begin) = (&store, &sent, &stop, &begin);
                scope.spawn(move || {
                    begin.wait();
                    while !stop.load(Ordering::Relaxed) {
                        sender.send(store)?;
                        sent.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok::<(), Failure>(())
                })
            })
            .collect();
        begin.wait();
        thread::sleep(request.time / 4);
        let (start, busy, before) = (now(), processor(), sent.load(Ordering::Relaxed));
        thread::sleep(request.time);
        let (elapsed, busy) = (start.elapsed().as_secs_f64(), processor() - busy);
        let count = sent.load(Ordering::Relaxed).saturating_sub(before);
        stop.store(true, Ordering::Relaxed);
        for thread in running {
            thread.join().map_err(|_| "a sender panicked")??;
        }
        let alone = request.name == "durable, processor time";
        Ok(f64::from(count) / if alone { busy } else { elapsed.max(busy) })
    })
}

/// One session, and how far it is.
struct Sender {
    session: Session,
    name: RowKey,
    number: u32,
    count: u32,
}

impl Sender {
    fn new(number: u32) -> Result<Self, Failure> {
        let [session, _] = pair()?;
        let name = RowKey::new(&number.to_be_bytes())?;
        Ok(Self { session, name, number, count: 0 })
    }

    fn message(&self, count: u32) -> Result<RowKey, Failure> {
        Ok(RowKey::new(&[self.number.to_be_bytes(), count.to_be_bytes()].concat())?)
    }

    /// Seals a message and stores it beside the session. The one before has arrived.
    fn send(&mut self, store: &SqliteStore) -> Result<(), Failure> {
        let sealed = self.session.seal(NOW, &mut system_rng(), &PAYLOAD)?;
        self.session.apply(sealed.step)?;
        let mut effects = Effects::new();
        effects.put(Table::Session, self.name.clone(), self.session.to_bytes())?;
        effects.send(self.message(self.count)?, Value::new(sealed.frame))?;
        if let Some(before) = self.count.checked_sub(1) {
            effects.delete(Table::Outbox, self.message(before)?)?;
        }
        let (outgoing, _) = store.commit(effects)?.into_parts();
        self.count = self.count.saturating_add(1);
        if outgoing.len() == 1 { Ok(()) } else { Err("nothing may leave".into()) }
    }
}
