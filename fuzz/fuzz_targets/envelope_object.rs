//! Contexts and heads of objects at rest, and an object with changes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::envelope::envelope_object;

fuzz_target!(|bytes: &[u8]| {
    envelope_object(bytes);
});
