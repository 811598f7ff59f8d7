//! Key records, key rings, local keys and their wraps.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::envelope::envelope_keys;

fuzz_target!(|bytes: &[u8]| {
    envelope_keys(bytes);
});
