//! Rows of the store: sessions, prekeys, the replay cache.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::ratchet::ratchet_state;

fuzz_target!(|bytes: &[u8]| {
    ratchet_state(bytes);
});
