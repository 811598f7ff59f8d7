//! A stream over a transport with somebody on it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::stream;

fuzz_target!(|bytes: &[u8]| {
    stream(bytes);
});
