//! The payload of a handshake message.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::noise::handshake_payload;

fuzz_target!(|bytes: &[u8]| {
    handshake_payload(bytes);
});
