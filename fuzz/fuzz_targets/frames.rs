//! The first frames of a connection.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::frames;

fuzz_target!(|bytes: &[u8]| {
    frames(bytes);
});
