//! Whole agents under any schedule, beside a model that knows no keys. The fuzz target
//! `interaction` includes this file and writes schedules of its own.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test that fails panics"
)]

mod agents;
#[cfg(test)]
mod exhaustive;
mod model;
#[cfg(test)]
mod schedules;
mod world;

use world::{Op, World};

/// A schedule for two or three agents: a byte of which bit 0 says how many, bits 1 to 7 are a
/// seed; then operations of two bytes, of which the low half of the first is the kind. Everything
/// within limits opens exactly once, nothing else ever does, and in the end all talk again.
pub fn interaction(bytes: &[u8]) -> bool {
    let Some((first, rest)) = bytes.split_first() else { return false };
    let (ops, left) = rest.as_chunks::<2>();
    if ops.len() > 200 || !left.is_empty() {
        return false;
    }
    let mut world = World::new(2 + usize::from(first & 1), u64::from(first >> 1));
    for [kind, argument] in ops {
        let op = op(&world, *kind, usize::from(*argument));
        world.step(op);
    }
    world.finish();
    true
}

/// Bits 4 and 5 of `kind` pick who, and bits 6 and 7 with whom.
fn op(world: &World, kind: u8, argument: usize) -> Op {
    let agents = world.agents();
    let one = usize::from(kind >> 4 & 3) % agents;
    let other = (one + 1 + usize::from(kind >> 6) % (agents - 1)) % agents;
    match kind & 15 {
        0..=2 => Op::Send { from: one, to: other, long: argument > 200 },
        // The newest one, or one of the last.
        3 | 4 => Op::Deliver(world.flying().saturating_sub(1 + argument % 4)),
        5 | 6 => Op::Deliver(argument),
        7 => Op::Lose(argument),
        8 => Op::Restart(one),
        9 => Op::Copy(one),
        10 => Op::CopySends { of: one, to: other },
        11 if argument < 128 => Op::Begin { from: one, to: other },
        11 => Op::BothBegin(one, other),
        12 => Op::AcceptReset { of: one, with: other },
        13 if argument < 128 => Op::Rotate(one),
        13 => Op::Wait([1, 30, 170, 800][argument % 4]),
        14 if argument < 128 => Op::Misdeliver(argument),
        14 => Op::Flood { from: one, to: other, count: argument },
        _ => Op::Change(usize::from(kind >> 4), argument * 37),
    }
}

/// Whether there is time for the long versions, which `SEALWIRE_LONG=1` asks for.
#[cfg(test)]
fn is_long() -> bool {
    std::env::var_os("SEALWIRE_LONG").is_some_and(|value| value == "1")
}

#[cfg(test)]
mod replay {
    // attack T33
    #[test]
    fn interactions() {
        sealwire_testkit::corpus::replay("interaction", super::interaction);
    }
}
