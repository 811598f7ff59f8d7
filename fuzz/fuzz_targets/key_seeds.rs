//! The seeds of an agent's keys, as a key file holds them once it is opened.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::core::key_seeds;

fuzz_target!(|bytes: &[u8]| {
    key_seeds(bytes);
});
