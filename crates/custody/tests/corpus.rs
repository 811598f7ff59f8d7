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
    use sealwire_testkit::corpus::replay;

    // attack T32
    #[test]
    fn key_files() {
        replay("key_file", super::key_file);
    }
}
