//! Schedules that are drawn, and long conversations.

use proptest::{collection::vec, prelude::*};
use rand_core::TryRng;
use sealwire_testkit::rng::SeededRng;

use super::{
    interaction, is_long,
    world::{Op, World},
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if is_long() { 2000 } else { 64 }))]

    // attack T3, T17, T19, T33
    // RAT-18, RAT-19, RAT-20, RAT-21, RAT-22, RAT-24, AGR-19, AGR-20
    #[test]
    fn any_schedule_opens_each_message_exactly_once(
        first: u8,
        ops in vec(any::<[u8; 2]>(), 0..60),
    ) {
        prop_assert!(interaction(&[&[first], ops.as_flattened()].concat()));
    }
}

// attack T17
#[test]
fn random_messages_open_once_each() {
    let messages = if is_long() { 100_000 } else { 2000 };
    let (mut world, mut rng) = (World::new(3, 17), SeededRng::new(18));
    let mut draw = move |below: usize| {
        let Ok(number) = rng.try_next_u32();
        usize::try_from(number).expect("32 bits") % below
    };
    let mut opened = 0;
    for _ in 0..messages {
        let from = draw(3);
        world.step(Op::Send { from, to: (from + 1 + draw(2)) % 3, long: draw(20) == 0 });
        // Of forty that fly any may be next; one in twenty is lost, one in ten comes twice.
        while world.flying() > draw(40) {
            let index = draw(world.flying());
            if draw(20) > 0 {
                opened += usize::from(world.deliver(index));
                if draw(10) == 0 {
                    world.step(Op::Deliver(index));
                }
            }
            world.step(Op::Lose(index));
        }
        if draw(100) == 0 {
            world.step(Op::Restart(draw(3)));
        }
    }
    assert!(opened > messages * 8 / 10, "{opened} of {messages}");
    world.finish();
}

// attack T3, T33
#[test]
fn two_copies_of_one_state_share_no_key_and_nonce() {
    for seed in 0..8 {
        let mut world = World::new(2, seed);
        world.step(Op::Send { from: 0, to: 1, long: false });
        world.step(Op::Deliver(0));
        world.step(Op::Lose(0));
        if seed % 2 == 0 {
            world.step(Op::Send { from: 1, to: 0, long: false });
            world.step(Op::Deliver(0));
            world.step(Op::Lose(0));
        }
        world.step(Op::Copy(0));
        // In the same places of the same chains, and in chains of their own.
        for _ in 0..3 {
            world.step(Op::Send { from: 0, to: 1, long: false });
            world.step(Op::CopySends { of: 0, to: 1 });
        }
        for index in [0, 1, 2, 3, 4, 5, 0, 1] {
            world.step(Op::Deliver(index));
        }
        world.finish();
    }
}

// attack T19
#[test]
fn three_agents_that_all_begin_at_once_settle() {
    for seed in 0..4 {
        let mut world = World::new(3, seed);
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            world.step(Op::BothBegin(one, other));
        }
        for index in [5, 0, 3, 1, 4] {
            world.step(Op::Deliver(index));
        }
        world.finish();
    }
}

// AGR-19, PRE-16
#[test]
fn first_messages_open_while_prekeys_rotate_and_run_out() {
    let mut world = World::new(2, 5);
    for round in 0..12 {
        world.step(Op::Begin { from: 0, to: 1 });
        world.step(Op::Send { from: 0, to: 1, long: false });
        world.step(if round % 3 == 0 { Op::Rotate(1) } else { Op::Restart(1) });
        world.step(Op::Wait(40));
    }
    let opened = (0..12).filter(|index| world.deliver(*index)).count();
    assert_eq!(opened, 12, "none is older than three weeks");
    (0..12).for_each(|index| assert!(!world.deliver(index), "it comes again"));
    world.finish();
}
