//! The corpora of the fuzz targets, replayed by ordinary tests.

use std::{fs, path::Path};

/// Checks every file in the corpus of `target`: the seeds, and what a fuzzer found on this
/// machine. `check` says whether it accepted its input. Seeds of an older format would all be
/// refused, and test nothing: so some must be accepted, and some refused.
pub fn replay(target: &str, check: fn(&[u8]) -> bool) {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
    if !fuzz.is_dir() {
        println!("this is not the repository: there is no corpus of {target} to replay");
        return;
    }
    let (mut accepted, mut refused) = (0, 0);
    for entry in fs::read_dir(fuzz.join("corpus").join(target)).expect("the corpus") {
        let path = entry.expect("an entry").path();
        // Shown when the test fails: the last one is the culprit.
        println!("{}", path.display());
        let count =
            if check(&fs::read(&path).expect("a file")) { &mut accepted } else { &mut refused };
        *count += 1;
    }
    assert!(accepted > 0, "no file in the corpus of {target} is accepted");
    assert!(refused > 0, "no file in the corpus of {target} is refused");
}
