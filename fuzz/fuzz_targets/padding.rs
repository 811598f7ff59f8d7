//! Padded content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::core::padding;

fuzz_target!(|bytes: &[u8]| {
    padding(bytes);
});
