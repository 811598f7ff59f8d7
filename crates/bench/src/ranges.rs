//! Which parts of an object are read.

use crate::KIB;

/// Length of the object, in bytes.
pub const OBJECT: usize = 64 * 1024 * KIB;
/// Length of a range, in bytes.
pub const RANGE: usize = 4 * KIB;
/// So many ranges, over and over.
const COUNT: usize = 1000;
/// What is sealed at once.
pub const CHUNK: usize = 16 * KIB;

/// Where the ranges begin, without an end.
pub fn starts() -> impl Iterator<Item = usize> {
    // The same each time: Knuth's generator for 64 bits, whose upper bits are good.
    let draws = core::iter::successors(Some(1_u64), |state| {
        Some(state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407))
    });
    let begins = OBJECT.saturating_sub(RANGE);
    let starts: Vec<usize> = draws
        .skip(1)
        .take(COUNT)
        .map(|draw| usize::try_from(draw >> 33).unwrap_or_default() % begins)
        .collect();
    starts.into_iter().cycle()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_lie_in_the_object_and_all_over_it() {
        let starts: Vec<usize> = starts().take(COUNT).collect();
        assert!(starts.iter().all(|start| start + RANGE <= OBJECT));
        let mean = starts.iter().sum::<usize>() / COUNT;
        assert!((OBJECT * 9 / 20..OBJECT * 11 / 20).contains(&mean), "{mean}");
        let again: Vec<usize> = super::starts().skip(COUNT).take(COUNT).collect();
        assert_eq!(starts, again);
    }
}
