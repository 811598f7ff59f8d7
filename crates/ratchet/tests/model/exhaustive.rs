//! Every schedule of a few sends: each message arrives at any later time, once more at once,
//! or never. Both agents are read back from what they stored before each operation.

use std::collections::HashSet;

use super::{
    is_long,
    model::{Model, Place},
    world::{Op, World},
};

/// What decides all that can still happen: sends that are left, who stands where, what flies.
type Standpoint = (usize, Model, Vec<(Place, bool)>);

/// A walk through all schedules. Of two that led to the same place in the model only one is
/// followed on: what can still happen is the same for both.
#[derive(Default)]
struct Walk {
    seen: HashSet<Standpoint>,
    steps: usize,
}

impl Walk {
    fn visit(&mut self, world: World, left: usize) {
        if !self.seen.insert((left, world.model.clone(), world.places())) {
            return;
        }
        for (from, to) in [(0, 1), (1, 0)] {
            if left > 0 && world.model.active(from, to).is_some() {
                let mut world = self.branch(&world);
                world.step(Op::Send { from, to, long: false });
                self.visit(world, left - 1);
            }
        }
        for index in 0..world.flying() {
            let mut world = self.branch(&world);
            world.step(Op::Deliver(index));
            world.step(Op::Deliver(index));
            world.step(Op::Lose(index));
            self.visit(world, left);
        }
    }

    fn branch(&mut self, world: &World) -> World {
        self.steps += 1;
        world.again()
    }
}

/// Walks through every schedule of as many sends from where `before` led.
fn every_schedule(seed: u64, sends: [usize; 2], before: &[Op]) {
    let mut world = World::standing_still(seed);
    for op in before {
        world.step(*op);
    }
    let mut walk = Walk::default();
    walk.visit(world, sends[usize::from(is_long())]);
    println!("{} places, {} steps", walk.seen.len(), walk.steps);
    assert!(walk.steps > 1000, "only {} steps", walk.steps);
}

const WRITE: Op = Op::Send { from: 0, to: 1, long: false };
const ANSWER: Op = Op::Send { from: 1, to: 0, long: false };
const ARRIVE: Op = Op::Deliver(0);
const FORGET: Op = Op::Lose(0);

// attack T17
// RAT-18, RAT-19
#[test]
fn every_schedule_of_a_session_that_stands() {
    every_schedule(1, [6, 8], &[WRITE, ARRIVE, FORGET, ANSWER, ARRIVE, FORGET]);
}

#[test]
fn every_schedule_of_a_session_that_begins() {
    every_schedule(1, [6, 8], &[Op::Begin { from: 0, to: 1 }]);
}

const BOTH_BEGIN: [Op; 2] = [Op::Begin { from: 0, to: 1 }, Op::Begin { from: 1, to: 0 }];

// attack T19
// RAT-24
#[test]
fn every_schedule_of_a_simultaneous_start() {
    every_schedule(1, [6, 8], &BOTH_BEGIN);
}

// attack T19
// Of the two sessions the other one has the lower name.
#[test]
fn every_schedule_of_a_simultaneous_start_that_the_other_wins() {
    every_schedule(2, [5, 8], &BOTH_BEGIN);
}
