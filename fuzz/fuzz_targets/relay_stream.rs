//! Messages of streams.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::relay::relay_stream;

fuzz_target!(|bytes: &[u8]| {
    relay_stream(bytes);
});
