//! How deep a call goes.

use std::{fs::File, hint::black_box, os::unix::fs::FileExt};

/// How far below the caller is looked. Deeper calls give this.
pub const LOOKED_AT: usize = 256 * 1024;

/// What unused stack is painted with.
const PAINT: u8 = 0xA5;

/// How many bytes of stack below the caller `work` writes to: the deepest one counts.
///
/// The stack is painted before and looked at afterwards, through the kernel.
#[inline(never)]
pub fn depth<R>(work: impl FnOnce() -> R) -> usize {
    let memory = File::open("/proc/self/mem").expect("a process may look at itself");
    let mut below = vec![0; LOOKED_AT];
    let here = 0_u8;
    let start = (&raw const here).addr() - LOOKED_AT;
    let start = u64::try_from(start).expect("64 bits");
    paint();
    drop(black_box(apart(work)));
    memory.read_exact_at(&mut below, start).expect("a stack that has been used is there");
    below.iter().position(|byte| *byte != PAINT).map_or(0, |deepest| LOOKED_AT - deepest)
}

#[inline(never)]
fn paint() {
    // Further than is looked, since frames stand between.
    let mut frame = [PAINT; LOOKED_AT + 4096];
    black_box(&mut frame);
}

/// Keeps the frames of `work` below the frame that looks.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[inline(never)]
    fn write<const LEN: usize>() {
        let mut frame = [1_u8; LEN];
        black_box(&mut frame);
    }

    #[test]
    fn the_deepest_byte_that_was_written_counts() {
        assert!((10_000..16_000).contains(&depth(write::<10_000>)), "{}", depth(write::<10_000>));
        assert!((90_000..96_000).contains(&depth(write::<90_000>)));
        assert!(depth(|| ()) < 4_096);
    }
}
