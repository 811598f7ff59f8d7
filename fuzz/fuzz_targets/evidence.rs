//! Evidence lists and score statements.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::identity::evidence;

fuzz_target!(|bytes: &[u8]| {
    evidence(bytes);
});
