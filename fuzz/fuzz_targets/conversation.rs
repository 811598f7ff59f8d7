//! Two or three agents and what stands between them, under a schedule.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::conversations::conversation;

fuzz_target!(|bytes: &[u8]| {
    conversation(bytes);
});
