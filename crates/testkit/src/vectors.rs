//! Vector files, and the count of vectors that passed.

use std::{fs::OpenOptions, io::Write};

use serde_json::Value;

/// Parses a vector file that was included in the test.
pub fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("a vector file holds JSON")
}

/// The bytes of a hex field.
pub fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))).expect("hex")
}

/// Says that `count` vectors of the set `name` passed, for the summary of `cargo xtask ci`.
/// Without `SEALWIRE_VECTOR_LOG` in the environment it does nothing.
pub fn passed(name: &str, count: usize) {
    assert!(count > 0, "a vector set that tests nothing");
    let Some(path) = std::env::var_os("SEALWIRE_VECTOR_LOG") else { return };
    let mut log = OpenOptions::new().create(true).append(true).open(path).expect("the vector log");
    // One write, so that lines of tests that run side by side do not mix.
    log.write_all(format!("{name} {count}\n").as_bytes()).expect("the vector log");
}
