//! Two or three agents under a schedule, beside a model.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::agents::interaction;

fuzz_target!(|bytes: &[u8]| {
    interaction(bytes);
});
