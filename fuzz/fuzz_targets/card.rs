//! Identity cards, as bytes and as text.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::identity::card;

fuzz_target!(|bytes: &[u8]| {
    card(bytes);
});
