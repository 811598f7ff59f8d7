//! Public keys, ciphertexts, signatures and lists of suites.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::core::public_keys;

fuzz_target!(|bytes: &[u8]| {
    public_keys(bytes);
});
