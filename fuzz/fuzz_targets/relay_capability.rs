//! Deposit capabilities.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sealwire_fuzz::relay::relay_capability;

fuzz_target!(|bytes: &[u8]| {
    relay_capability(bytes);
});
