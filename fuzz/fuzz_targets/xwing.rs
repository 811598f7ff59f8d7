//! X-Wing keys and ciphertexts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::hybrid::xwing;

fuzz_target!(|bytes: &[u8]| {
    xwing(bytes);
});
