//! Two streams over a transport which a script steers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::duplex;

fuzz_target!(|bytes: &[u8]| {
    duplex(bytes);
});
