//! First messages, their prefixes and what is sealed in them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::ratchet::first_message;

fuzz_target!(|bytes: &[u8]| {
    first_message(bytes);
});
