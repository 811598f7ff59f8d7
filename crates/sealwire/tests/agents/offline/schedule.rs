//! Any schedule of sends, losses, repetitions, disorder and restarts keeps the invariants.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use proptest::prelude::*;
use sealwire::{Agent, store::Table};

use crate::offline::{
    common::{Place, World, read},
    relay::Fate,
};

#[derive(Clone, Copy, Debug)]
enum Side {
    Alice,
    Bob,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send(Side),
    Sync(Side),
    Restart(Side),
    /// The disk fails within the next sync, and the process dies.
    Crash(Side, usize),
    NextFrame(Fault),
    Backwards(bool),
    Pass(u64),
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Lost,
    Twice,
    Away,
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Alice), Just(Side::Bob)]
}

fn step() -> impl Strategy<Value = Step> {
    let fault = prop_oneof![Just(Fault::Lost), Just(Fault::Twice), Just(Fault::Away)];
    prop_oneof![
        6 => side().prop_map(Step::Send),
        6 => side().prop_map(Step::Sync),
        1 => side().prop_map(Step::Restart),
        1 => (side(), 0_usize..4).prop_map(|(side, commits)| Step::Crash(side, commits)),
        2 => fault.prop_map(Step::NextFrame),
        1 => any::<bool>().prop_map(Step::Backwards),
        1 => (0_u64..100_000).prop_map(Step::Pass),
    ]
}

/// Who runs, and what was sent and read by each.
struct Run {
    world: World,
    alice: Option<Agent>,
    bob: Option<Agent>,
    faults: Arc<Mutex<Vec<Fault>>>,
    /// The next number of each sender, and how often each number was read.
    sent: [u32; 2],
    read: [BTreeMap<u32, u32>; 2],
    lost: Arc<Mutex<usize>>,
}

impl Run {
    async fn new() -> Self {
        let (world, alice, bob) = World::published().await;
        let faults: Arc<Mutex<Vec<Fault>>> = Arc::default();
        let lost: Arc<Mutex<usize>> = Arc::default();
        let (next, count) = (Arc::clone(&faults), Arc::clone(&lost));
        world.relay.on_deposit(move |_| match next.lock().expect("lock").pop() {
            None => Fate::Pass,
            Some(Fault::Twice) => Fate::Twice,
            Some(Fault::Away) => Fate::Away,
            Some(Fault::Lost) => {
                *count.lock().expect("lock") += 1;
                Fate::Lost
            }
        });
        let (alice, bob) = (Some(alice), Some(bob));
        Self { world, alice, bob, faults, sent: [0; 2], read: Default::default(), lost }
    }

    fn place(&self, side: Side) -> &Place {
        match side {
            Side::Alice => &self.world.alice,
            Side::Bob => &self.world.bob,
        }
    }

    fn agent(&self, side: Side) -> &Agent {
        let agent = match side {
            Side::Alice => &self.alice,
            Side::Bob => &self.bob,
        };
        agent.as_ref().expect("it runs")
    }

    fn restart(&mut self, side: Side) {
        match side {
            Side::Alice => self.alice = None,
            Side::Bob => self.bob = None,
        }
        let agent = Some(self.place(side).start());
        match side {
            Side::Alice => self.alice = agent,
            Side::Bob => self.bob = agent,
        }
    }

    async fn send(&mut self, side: Side) {
        let (index, to) = match side {
            Side::Alice => (0, self.agent(Side::Bob).id().clone()),
            Side::Bob => (1, self.agent(Side::Alice).id().clone()),
        };
        let number = self.sent[index];
        self.sent[index] += 1;
        self.agent(side).send(&to, &number.to_be_bytes()).await.expect("send");
    }

    /// Syncs, whatever comes of it, and reads.
    async fn sync(&mut self, side: Side) {
        let _ = self.agent(side).sync().await;
        let from = match side {
            Side::Alice => 1,
            Side::Bob => 0,
        };
        for payload in read(self.agent(side)).await {
            let number = u32::from_be_bytes(payload.try_into().expect("a number"));
            *self.read[from].entry(number).or_default() += 1;
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Send(side) => self.send(side).await,
            Step::Sync(side) => self.sync(side).await,
            Step::Restart(side) => self.restart(side),
            Step::Crash(side, commits) => {
                self.place(side).disk.fail_after(commits);
                let _ = self.agent(side).sync().await;
                self.place(side).disk.heal();
                self.restart(side);
            }
            Step::NextFrame(fault) => self.faults.lock().expect("lock").push(fault),
            Step::Backwards(backwards) => self.world.relay.backwards(backwards),
            Step::Pass(seconds) => self.world.clock.pass(seconds),
        }
    }

    /// Everything that was not lost has been read, once, and both still talk.
    async fn check(&mut self) {
        self.faults.lock().expect("lock").clear();
        for _ in 0..3 {
            self.sync(Side::Alice).await;
            self.sync(Side::Bob).await;
        }
        for _ in 0..2 {
            self.send(Side::Alice).await;
            self.send(Side::Bob).await;
            for side in [Side::Alice, Side::Bob, Side::Alice] {
                self.sync(side).await;
            }
        }
        let mut missing = 0;
        for (read, sent) in self.read.iter().zip(self.sent) {
            assert!(read.values().all(|times| *times == 1), "{read:?}");
            assert!(read.keys().all(|number| *number < sent));
            missing += usize::try_from(sent).expect("few") - read.len();
            assert!(read.contains_key(&(sent - 1)), "the last one arrived: {read:?} of {sent}");
        }
        // A frame that was lost in a crash is sent again.
        assert!(missing <= *self.lost.lock().expect("lock"), "{missing} are missing");
        for side in [Side::Alice, Side::Bob] {
            assert!(self.place(side).disk.table(Table::Outbox).is_empty());
            assert!(self.place(side).disk.table(Table::Session).len() <= 9);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    // attack T17, T25
    #[test]
    fn what_was_not_lost_is_read_once(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut run = Run::new().await;
            for step in steps {
                run.take(step).await;
            }
            run.check().await;
        });
    }
}
