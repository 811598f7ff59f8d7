//! What holds for every input of the decoder of key files. The fuzz target of the same name
//! includes this file, and the tests at its foot replay the target's corpus.

use sealwire_custody::{KeyFile, Params};

/// A key file is read only from the bytes that it is written as, with bounded parameters.
/// Says whether it was read.
pub fn key_file(bytes: &[u8]) -> bool {
    let Ok(file) = KeyFile::from_bytes(bytes) else { return false };
    assert_eq!(file.to_bytes(), bytes);
    assert!(bytes.len() <= KeyFile::MAX_LEN);
    let params = file.params();
    assert!(Params::new(params.memory_kib(), params.passes(), params.lanes()).is_ok());
    true
}

#[cfg(test)]
mod replay {
    use std::{fs, path::Path};

    /// Checks every file in the corpus of `target`: the seeds, and what a fuzzer found on this
    /// machine. Seeds of an older format would all be refused, and test nothing.
    fn replay(target: &str, check: fn(&[u8]) -> bool) {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz");
        if !fuzz.is_dir() {
            eprintln!("this is not the repository: there is no corpus of {target} to replay");
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

    // attack T32
    #[test]
    fn key_files() {
        replay("key_file", super::key_file);
    }
}
