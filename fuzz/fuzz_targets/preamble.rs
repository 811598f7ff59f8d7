//! The preamble in clear before message 1.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::preamble;

fuzz_target!(|bytes: &[u8]| {
    preamble(bytes);
});
