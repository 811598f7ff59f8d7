//! A conversation at random: the same in every run.

use super::super::Side;
use super::demand;
use super::talk::{Letter, Protocol, Talk};

/// What is done in a row.
const STEPS: usize = 160;

/// Numbers that look random enough.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        // Knuth's MMIX generator; the high bits are the better ones.
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap_or(0).checked_rem(sides).unwrap_or(0)
    }
}

/// Either side sends when it can, letters arrive in any order, some twice, some at the end only.
pub(super) fn at_random(talk: &mut Talk<'_>) -> Result<(), String> {
    let begun = talk.setup;
    let seed = u64::from(begun.suite) << 1 | u64::from(begun.we == Side::Initiator);
    let (mut dice, mut late, mut read) = (Dice(seed), Vec::<Letter>::new(), Vec::<Letter>::new());
    for _ in 0..STEPS {
        match dice.roll(16) {
            0..=3 => late.push(talk.seal(Side::Initiator, dice.roll(600))?),
            4..=7 if !read.is_empty() => late.push(talk.seal(Side::Responder, dice.roll(600))?),
            8..=13 if !late.is_empty() => {
                let letter = late.swap_remove(dice.roll(late.len()));
                talk.open(&letter)?;
                read.push(letter);
            }
            14 if !read.is_empty() => {
                let letter = &read[dice.roll(read.len())];
                talk.refuse(letter.from.other(), &letter.frame, &["duplicate", "refused"])?;
            }
            _ => {}
        }
    }
    while !late.is_empty() {
        let letter = late.swap_remove(dice.roll(late.len()));
        talk.open(&letter)?;
    }
    for side in [Side::Initiator, Side::Responder] {
        talk.skipped(side, 0)?;
    }
    if begun.protocol == Protocol::Classical {
        return Ok(());
    }
    let mut epoch = |side| Ok::<_, String>(talk.state(side)?["epoch"].as_u64().unwrap_or(0));
    let epochs = [epoch(Side::Initiator)?, epoch(Side::Responder)?];
    let apart = epochs[0].abs_diff(epochs[1]);
    demand(apart <= 1 && epochs[1] >= 3, || format!("epochs {epochs:?}"))
}
