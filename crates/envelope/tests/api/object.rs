//! Objects: what opens, and everything that must not.

use sealwire_core::Suite;

use crate::support::{content, kek, open, seal};

/// Around the edges of chunks.
const LENGTHS: [usize; 9] = [0, 1, 15, 16_383, 16_384, 16_385, 32_767, 32_768, 40_000];

#[test]
fn objects_of_every_length_survive_a_round_trip() {
    let kek = kek(1);
    for suite in Suite::ALL {
        for len in LENGTHS {
            let stored = seal(&kek, suite, 7, &content(len));
            assert_eq!(open(&kek, &stored).unwrap(), content(len), "{suite:?} {len}");
        }
    }
}
