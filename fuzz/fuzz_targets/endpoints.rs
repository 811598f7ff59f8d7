//! Two ends of a handshake and of its session, with somebody between them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::endpoints;

fuzz_target!(|bytes: &[u8]| {
    endpoints(bytes);
});
