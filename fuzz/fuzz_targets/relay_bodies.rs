//! Bodies of requests and answers, and problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::relay::relay_bodies;

fuzz_target!(|bytes: &[u8]| {
    relay_bodies(bytes);
});
