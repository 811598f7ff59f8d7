//! A sealed session with somebody between its ends.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::record;

fuzz_target!(|bytes: &[u8]| {
    record(bytes);
});
