//! Headers of signed requests, and the requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::relay::relay_signature;

fuzz_target!(|bytes: &[u8]| {
    relay_signature(bytes);
});
