//! Messages that arrive at a session.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::ratchet::ratchet_message;

fuzz_target!(|bytes: &[u8]| {
    ratchet_message(bytes);
});
