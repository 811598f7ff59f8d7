//! Request lines of a relay.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::relay::relay_paths;

fuzz_target!(|bytes: &[u8]| {
    relay_paths(bytes);
});
