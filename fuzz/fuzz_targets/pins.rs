//! The file of pinned peers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::identity::pins;

fuzz_target!(|bytes: &[u8]| {
    pins(bytes);
});
