//! Agent ids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::identity::did_key;

fuzz_target!(|bytes: &[u8]| {
    did_key(bytes);
});
