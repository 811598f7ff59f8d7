//! The file of an agent's keys, before it is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::custody::key_file;

fuzz_target!(|bytes: &[u8]| {
    key_file(bytes);
});
