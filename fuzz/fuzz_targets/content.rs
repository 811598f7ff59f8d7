//! What a ratchet message of an agent holds: messages, parts of large ones, answers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::sealwire::content;

fuzz_target!(|bytes: &[u8]| {
    content(bytes);
});
